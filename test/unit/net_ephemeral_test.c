/* The ports of outgoing connections: the range, what is reserved in it, what is left. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/ephemeral.h"

#include "made_up_root.h"

static char root[] = "/tmp/tplb-ephemeral-XXXXXX";

static const struct {
	const char *reserved;
	unsigned count;
	unsigned in[4], out[4]; /* 0 at the end */
} cases[] = {
        {"\n", 11, {100, 105, 110}, {99, 111}},
        {"105\n", 10, {104, 106}, {105}},
        {"1-5,90-100,104,109-200\n", 7, {101, 103, 105}, {100, 104, 110}},
        {"1-65535\n", 0, {0}, {100, 110}},
        {"50,99,111\n", 11, {100, 110}, {99, 111}},
};

START_TEST(test_ports)
{
	struct ephemeral e;
	write_file(root, "proc/sys/net/ipv4/ip_local_port_range", "100\t110\n");
	write_file(root, "proc/sys/net/ipv4/ip_local_reserved_ports", cases[_i].reserved);
	ck_assert(ephemeral_read(&e, root));
	ck_assert_uint_eq(e.first, 100);
	ck_assert_uint_eq(e.last, 110);
	ck_assert_uint_eq(ephemeral_count(&e), cases[_i].count);
	for (unsigned i = 0; i < 4 && cases[_i].in[i] > 0; i++)
		ck_assert(ephemeral_has(&e, cases[_i].in[i]));
	for (unsigned i = 0; i < 4 && cases[_i].out[i] > 0; i++)
		ck_assert(!ephemeral_has(&e, cases[_i].out[i]));
}
END_TEST

START_TEST(test_unknown)
{
	struct ephemeral e;
	ck_assert(!ephemeral_read(&e, "/no/such/folder"));
	write_file(root, "proc/sys/net/ipv4/ip_local_port_range", "110 100\n");
	ck_assert(!ephemeral_read(&e, root));
	write_file(root, "proc/sys/net/ipv4/ip_local_port_range", "100 65536\n");
	ck_assert(!ephemeral_read(&e, root));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/ephemeral");
	TCase *all = tcase_create("all");
	char command[64];

	if (!mkdtemp(root))
		return EXIT_FAILURE;
	tcase_add_loop_test(all, test_ports, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(all, test_unknown);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	if (system(command) != 0)
		return EXIT_FAILURE;
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
