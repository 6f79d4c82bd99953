/* Names: taken apart; SRV records to targets; who comes into which slot, and stays there. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lb/name.h"

enum { SLOTS = 4 };

static struct target target(const char *key, const char *address)
{
	struct target t = {.share = SHARE_FULL};
	const char *why;

	snprintf(t.key, sizeof(t.key), "%s", key);
	if (address)
		ck_assert(addr_parse(address, false, &t.addr, &why));
	return t;
}

/* The slots' keys, "-" for an empty one. */
static void holds(const struct target *slots, const char *want)
{
	char got[512] = "";

	for (int i = 0; i < SLOTS; i++) {
		strcat(got, slots[i].key[0] ? slots[i].key : "-");
		strcat(got, i + 1 < SLOTS ? " " : "");
		ck_assert_int_eq(slots[i].key[0] != '\0', slots[i].addr.len > 0);
	}
	ck_assert_str_eq(got, want);
}

static const struct {
	const char *text, *host, *domain;
	unsigned port;
} names[] = {
        {"origin.example:8080", "origin.example", NULL, 8080},
        {"a:65535", "a", NULL, 65535},
        {"srv:_http._tcp.origin.example", "_http._tcp.origin.example", "origin.example", 0},
        {"srv:web.service.consul", "web.service.consul", "web.service.consul", 0},
        {"srv:_x", "_x", "_x", 0},
};

START_TEST(taken_apart)
{
	struct name n;
	struct addr none = {.len = 0};

	name_init(&n, names[_i].text, 3, &none);
	ck_assert_str_eq(n.text, names[_i].text);
	ck_assert_str_eq(n.host, names[_i].host);
	ck_assert_uint_eq(n.port, names[_i].port);
	ck_assert_uint_eq(n.slots, 3);
	ck_assert_int_eq(n.is_srv, names[_i].domain != NULL);
	if (names[_i].domain)
		ck_assert_str_eq(name_srv_domain(names[_i].text), names[_i].domain);
}
END_TEST

START_TEST(slots)
{
	struct target s[SLOTS] = {{.share = 0}};
	const struct target two[] = {target("a:1", "192.0.2.1:1"), target("b:1", "192.0.2.2:1")};
	const struct target four[] = {target("c:1", "192.0.2.3:1"), target("b:1", "192.0.2.2:1"),
	        target("d:1", "192.0.2.4:1"), target("a:1", "192.0.2.1:1")};
	const struct target others[] = {target("e:1", "192.0.2.5:1"), target("d:1", "192.0.2.4:1"),
	        target("f:1", "192.0.2.6:1"), target("e:1", "192.0.2.5:1")};

	ck_assert_uint_eq(name_assign(s, SLOTS, two, 2), 0);
	holds(s, "a:1 b:1 - -");
	ck_assert_uint_eq(name_assign(s, SLOTS, four, 4), 0);
	holds(s, "a:1 b:1 c:1 d:1");
	ck_assert_uint_eq(name_assign(s, SLOTS, four + 1, 2), 0);
	holds(s, "- b:1 - d:1");
	ck_assert_uint_eq(name_assign(s, SLOTS, others, 4), 0); /* one of them twice */
	holds(s, "e:1 f:1 - d:1");
	ck_assert_uint_eq(name_assign(s, SLOTS, NULL, 0), 0);
	holds(s, "- - - -");
}
END_TEST

START_TEST(more_than_slots)
{
	struct target s[SLOTS] = {{.share = 0}};
	const struct target five[] = {target("a:1", "192.0.2.1:1"), target("b:1", "192.0.2.2:1"),
	        target("c:1", "192.0.2.3:1"), target("d:1", "192.0.2.4:1"), target("e:1", "192.0.2.5:1")};

	ck_assert_uint_eq(name_assign(s, SLOTS, five, 5), 1);
	holds(s, "a:1 b:1 c:1 d:1");
	ck_assert_uint_eq(name_assign(s, SLOTS, five + 2, 3), 0);
	holds(s, "e:1 - c:1 d:1");
}
END_TEST

/* A target whose address was not found keeps what it has; one that has none gets no slot. */
START_TEST(address_unknown)
{
	struct target s[SLOTS] = {{.share = 0}};
	struct target found[] = {target("a:1", "192.0.2.1:1"), target("b:1", NULL)};
	char text[ADDR_TEXT_MAX];

	ck_assert_uint_eq(name_assign(s, SLOTS, found, 2), 0);
	holds(s, "a:1 - - -");
	found[0] = target("a:1", NULL);
	found[0].share = 7;
	found[1] = target("b:1", "192.0.2.2:1");
	ck_assert_uint_eq(name_assign(s, SLOTS, found, 2), 0);
	holds(s, "a:1 b:1 - -");
	ck_assert_str_eq(addr_format(&s[0].addr, text), "192.0.2.1:1");
	ck_assert_uint_eq(s[0].share, 7);
	found[1] = target("b:1", "192.0.2.9:1");
	ck_assert_uint_eq(name_assign(s, SLOTS, found, 2), 0);
	ck_assert_str_eq(addr_format(&s[1].addr, text), "192.0.2.9:1");
}
END_TEST

START_TEST(of_records)
{
	struct srv_record records[] = {
	        {.priority = 2, .weight = 9, .port = 1, .target = "other.example"},
	        {.priority = 1, .weight = 50, .port = 80, .target = "B.example"},
	        {.priority = 1, .weight = 100, .port = 80, .target = "a.example"},
	        {.priority = 1, .weight = 0, .port = 8, .target = "a.example"},
	        {.priority = 1, .weight = 100, .port = 0, .target = ""},
	};
	struct target out[5];

	ck_assert_uint_eq(name_targets(records, 5, out), 3);
	ck_assert_str_eq(out[0].key, "a.example:8");
	ck_assert_uint_eq(out[0].share, 1);
	ck_assert_str_eq(out[1].key, "a.example:80");
	ck_assert_uint_eq(out[1].share, 256);
	ck_assert_str_eq(out[2].key, "b.example:80");
	ck_assert_uint_eq(out[2].share, 128);
}
END_TEST

START_TEST(of_records_without_weights)
{
	struct srv_record records[] = {
	        {.port = 80, .target = "a.example"}, {.port = 80, .target = "b.example"}};
	struct srv_record none[] = {{.target = ""}};
	struct target out[2];

	ck_assert_uint_eq(name_targets(records, 2, out), 2);
	ck_assert_uint_eq(out[0].share, SHARE_FULL);
	ck_assert_uint_eq(out[1].share, SHARE_FULL);
	ck_assert_uint_eq(name_targets(none, 1, out), 0);
}
END_TEST

/* Nobody answers: the slots stay as they are. */
START_TEST(failure)
{
	struct target s[SLOTS] = {target("a:1", "192.0.2.1:1")}, before[SLOTS];
	struct name n;
	struct lookup result;
	struct addr nameserver;
	const char *why;

	ck_assert(addr_parse("127.0.0.1:1", false, &nameserver, &why));
	memcpy(before, s, sizeof(s));
	for (int i = 0; i < 2; i++) {
		name_init(&n, i == 0 ? "srv:_http._tcp.x.example" : "x.example:80", SLOTS, &nameserver);
		ck_assert(!name_look_up(&n, s, &result));
		ck_assert_ptr_nonnull(result.why);
		ck_assert_int_eq(memcmp(before, s, sizeof(s)), 0);
	}
}
END_TEST

START_TEST(system_resolver)
{
	struct target s = {.share = 0};
	struct name n;
	struct lookup result;
	struct addr none = {.len = 0};
	char text[ADDR_TEXT_MAX];

	name_init(&n, "LocalHost:80", 1, &none);
	ck_assert(name_look_up(&n, &s, &result));
	ck_assert_ptr_null(result.why);
	ck_assert_uint_eq(result.left_out + result.unresolved, 0);
	ck_assert_str_eq(s.key, "localhost:80");
	ck_assert_str_eq(addr_format(&s.addr, text), "127.0.0.1:80");
	ck_assert_uint_eq(s.share, SHARE_FULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lb/name");
	TCase *tc = tcase_create("all");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, taken_apart, 0, (int)(sizeof(names) / sizeof(names[0])));
	tcase_add_test(tc, slots);
	tcase_add_test(tc, more_than_slots);
	tcase_add_test(tc, address_unknown);
	tcase_add_test(tc, of_records);
	tcase_add_test(tc, of_records_without_weights);
	tcase_add_test(tc, failure);
	tcase_add_test(tc, system_resolver);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
