#include "origin/options.h"

#include <check.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

enum { ARGS_MAX = 8 };

static struct origin_options options;
static char why[OPTIONS_WHY_MAX];

static enum options_verdict parse(const char *const *args)
{
	static char program[] = "tplb-origin";
	static char copies[ARGS_MAX + 2][64]; /* the options point into them */
	char *argv[ARGS_MAX + 2] = {program};
	int argc = 1;

	why[0] = '\0';
	for (; args[argc - 1]; argc++) {
		snprintf(copies[argc], sizeof(copies[argc]), "%s", args[argc - 1]);
		argv[argc] = copies[argc];
	}
	return options_parse(argc, argv, &options, why);
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

START_TEST(defaults)
{
	ck_assert_int_eq(PARSE(NULL), OPTIONS_RUN);
	ck_assert_uint_eq(options.listen_count, 1);
	ck_assert_str_eq(options.listen[0], "127.0.0.1:8000");
	ck_assert_uint_eq(options.workers, 16);
	ck_assert_uint_eq(options.queue, 1024);
	ck_assert(options.keepalive);
	ck_assert_ptr_null(options.root);
}
END_TEST

START_TEST(short_and_long_forms)
{
	ck_assert_int_eq(PARSE("-l", "[::]:80", "-l", "unix:/run/o.sock", "-w", "3", "-koff"), OPTIONS_RUN);
	ck_assert_uint_eq(options.listen_count, 2);
	ck_assert_str_eq(options.listen[1], "unix:/run/o.sock");
	ck_assert_uint_eq(options.workers, 3);
	ck_assert(!options.keepalive);
	ck_assert_int_eq(
	        PARSE("--listen=:81", "--engine", "pool", "--queue=7", "--root", "/srv", "--keepalive=on"),
	        OPTIONS_RUN);
	ck_assert_str_eq(options.listen[0], ":81");
	ck_assert_uint_eq(options.queue, 7);
	ck_assert_str_eq(options.root, "/srv");
	ck_assert(options.keepalive);
}
END_TEST

START_TEST(help_and_version)
{
	ck_assert_int_eq(PARSE("-h"), OPTIONS_HELP);
	ck_assert_int_eq(PARSE("--help"), OPTIONS_HELP);
	ck_assert_int_eq(PARSE("-v"), OPTIONS_VERSION);
	ck_assert_int_eq(PARSE("--version"), OPTIONS_VERSION);
	ck_assert_ptr_nonnull(strstr(options_help(), "--keepalive on|off"));
}
END_TEST

static const struct {
	const char *args[3];
	const char *says;
} wrongs[] = {
        {{"-w", "0"}, "--workers: 0: give a number from 1 to 1024"},
        {{"-w", "1025"}, "--workers: 1025: give a number from 1 to 1024"},
        {{"-w", "4x"}, "--workers: 4x: give a number from 1 to 1024"},
        {{"-w", "99999999999999999999"}, "--workers: 99999999999999999999: give"},
        {{"-q", "-1"}, "--queue: -1: give a number from 1 to 1048576"},
        {{"-q", ""}, "--queue: (empty): give"},
        {{"-k", "yes"}, "--keepalive: yes: give on or off"},
        {{"-e", "fast"}, "--engine: fast: no such engine; give pool or async"},
        {{"-easync", "-w65"}, "--workers: 65: the async engine has at most 64 loops"},
        {{"-d", "uring"}, "--driver: uring: no such driver; give auto, io_uring or epoll"},
        {{"-l", "127.0.0.1"}, "--listen: 127.0.0.1: "},
        {{"-l", "127.0.0.1:99999"}, "--listen: 127.0.0.1:99999: "},
        {{"-r", ""}, "--root: (empty): give a directory"},
        {{"-w"}, "-w: a value is missing; see tplb-origin --help"},
        {{"--root"}, "--root: a value is missing; see tplb-origin --help"},
        {{"-x"}, "-x: no such option; see tplb-origin --help"},
        {{"-vx"}, ""}, /* -v comes first and is enough */
        {{"--lisen", "x"}, "--lisen: no such option; see tplb-origin --help"},
        {{"8000"}, "argument: 8000: none is expected; addresses are given with --listen"},
};

START_TEST(wrong_usage_is_told_with_its_remedy)
{
	enum options_verdict verdict = parse(wrongs[_i].args);

	if (wrongs[_i].says[0] == '\0') {
		ck_assert_int_eq(verdict, OPTIONS_VERSION);
		return;
	}
	ck_assert_int_eq(verdict, OPTIONS_WRONG);
	ck_assert_msg(strncmp(why, wrongs[_i].says, strlen(wrongs[_i].says)) == 0, "%s", why);
	ck_assert_ptr_null(strchr(why, '\n'));
}
END_TEST

START_TEST(too_many_listeners)
{
	char *argv[2 * OPTIONS_LISTEN_MAX + 4];
	static char program[] = "tplb-origin", l[] = "-l", at[] = ":0";
	int argc = 0;

	argv[argc++] = program;
	while (argc < 2 * OPTIONS_LISTEN_MAX + 1) {
		argv[argc++] = l;
		argv[argc++] = at;
	}
	argv[argc] = NULL;
	ck_assert_int_eq(options_parse(argc, argv, &options, why), OPTIONS_RUN);
	argv[argc++] = l;
	argv[argc++] = at;
	argv[argc] = NULL;
	ck_assert_int_eq(options_parse(argc, argv, &options, why), OPTIONS_WRONG);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("origin/options");
	TCase *t = tcase_create("options");
	SRunner *sr = srunner_create(s);

	tcase_add_test(t, defaults);
	tcase_add_test(t, short_and_long_forms);
	tcase_add_test(t, help_and_version);
	tcase_add_loop_test(
	        t, wrong_usage_is_told_with_its_remedy, 0, (int)(sizeof(wrongs) / sizeof(wrongs[0])));
	tcase_add_test(t, too_many_listeners);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
