/* DNS messages: the records that count, in order; others passed over; malformed ones give nothing. And the system's own resolver. */
#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "net/resolve.h"

enum { A = 1, CNAME = 5, AAAA = 28, SRV = 33, MAX = 8 };

static unsigned char message[4096];
static size_t len;

static void put16(unsigned value)
{
	message[len++] = (unsigned char)(value >> 8);
	message[len++] = (unsigned char)value;
}

static void put(const char *bytes, size_t n)
{
	memcpy(message + len, bytes, n);
	len += n;
}

/* A head and the question "a.b IN type", whose name begins at 12. */
static void begin(unsigned type, unsigned answers)
{
	len = 0;
	put16(0x1234);
	put16(0x8180);
	put16(1);
	put16(answers);
	put16(0);
	put16(0);
	put("\1a\1b\0", 5);
	put16(type);
	put16(1);
}

/* An answer for the question's name, but its data. */
static void row(unsigned type, unsigned class, unsigned size)
{
	put16(0xc00c);
	put16(type);
	put16(class);
	put16(0);
	put16(60);
	put16(size);
}

static void put_srv(unsigned priority, unsigned weight, unsigned port, const char *target, size_t n)
{
	row(SRV, 1, 6 + (unsigned)n);
	put16(priority);
	put16(weight);
	put16(port);
	put(target, n);
}

START_TEST(addresses)
{
	struct addr out[MAX];
	char text[ADDR_TEXT_MAX];

	begin(A, 4);
	row(CNAME, 1, 2);
	put16(0xc00e);
	row(A, 1, 4);
	put("\xc0\x00\x02\x01", 4);
	row(A, 3, 4); /* another class */
	put("\xc0\x00\x02\x02", 4);
	row(A, 1, 4);
	put("\xc0\x00\x02\x03", 4);
	ck_assert_uint_eq(resolve_parse_addresses(message, len, false, 80, out, MAX), 2);
	ck_assert_str_eq(addr_format(&out[0], text), "192.0.2.1:80");
	ck_assert_str_eq(addr_format(&out[1], text), "192.0.2.3:80");
	ck_assert_uint_eq(resolve_parse_addresses(message, len, false, 80, out, 1), 1);
	ck_assert_uint_eq(resolve_parse_addresses(message, len, true, 80, out, MAX), 0);
}
END_TEST

START_TEST(ipv6_addresses)
{
	struct addr out[MAX];
	char text[ADDR_TEXT_MAX];

	begin(AAAA, 1);
	row(AAAA, 1, 16);
	put("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7", 16);
	ck_assert_uint_eq(resolve_parse_addresses(message, len, true, 443, out, MAX), 1);
	ck_assert_str_eq(addr_format(&out[0], text), "[2001:db8::7]:443");
	ck_assert_uint_eq(resolve_parse_addresses(message, len, false, 443, out, MAX), 0);
}
END_TEST

START_TEST(records)
{
	struct srv_record out[MAX];

	begin(SRV, 3);
	put_srv(10, 60, 8080, "\2s1\xc0\x0c", 5); /* compressed, which RFC 2782 forbids and some servers do */
	put_srv(0, 0, 65535, "\1x\7example\0", 11);
	put_srv(1, 2, 0, "", 1); /* the root: not offered */
	ck_assert_uint_eq(resolve_parse_srv(message, len, out, MAX), 3);
	ck_assert_uint_eq(out[0].priority, 10);
	ck_assert_uint_eq(out[0].weight, 60);
	ck_assert_uint_eq(out[0].port, 8080);
	ck_assert_str_eq(out[0].target, "s1.a.b");
	ck_assert_uint_eq(out[1].port, 65535);
	ck_assert_str_eq(out[1].target, "x.example");
	ck_assert_str_eq(out[2].target, "");
	ck_assert_uint_eq(resolve_parse_srv(message, len, out, 2), 2);
}
END_TEST

/* Cut anywhere, it gives what came whole or nothing, and reads no further (sanitizers would see it). */
START_TEST(cut_short)
{
	struct srv_record out[MAX];
	struct addr addrs[MAX];

	begin(SRV, 2);
	put_srv(10, 60, 8080, "\2s1\xc0\x0c", 5);
	put_srv(10, 60, 8081, "\2s2\xc0\x0c", 5);
	for (size_t n = 0; n < len; n++) {
		unsigned char *copy = malloc(n + 1);

		memcpy(copy, message, n);
		ck_assert_uint_eq(resolve_parse_srv(copy, n, out, MAX), 0);
		ck_assert_uint_eq(resolve_parse_addresses(copy, n, false, 80, addrs, MAX), 0);
		free(copy);
	}
	ck_assert_uint_eq(resolve_parse_srv(message, len, out, MAX), 2);
}
END_TEST

START_TEST(malformed)
{
	struct srv_record out[MAX];
	struct addr addrs[MAX];
	char label[64] = "\77", name[5 * 64 + 1];

	begin(SRV, 1);
	put_srv(1, 1, 1, "\1x\0y", 4); /* more than the name */
	ck_assert_uint_eq(resolve_parse_srv(message, len, out, MAX), 0);
	begin(SRV, 1);
	row(SRV, 1, 6); /* no name at all */
	put("\0\1\0\1\0\1", 6);
	ck_assert_uint_eq(resolve_parse_srv(message, len, out, MAX), 0);
	begin(SRV, 1);
	put_srv(1, 1, 1, "\xc0\x29", 2); /* points to itself */
	ck_assert_uint_eq(resolve_parse_srv(message, len, out, MAX), 0);
	begin(A, 1);
	row(A, 1, 3);
	put("\1\2\3", 3);
	ck_assert_uint_eq(resolve_parse_addresses(message, len, false, 80, addrs, MAX), 0);
	/* Longer than a name may be. */
	memset(label + 1, 'a', 63);
	for (int i = 0; i < 5; i++)
		memcpy(name + (ptrdiff_t)64 * i, label, 64);
	name[5 * 64] = '\0';
	begin(SRV, 1);
	put_srv(1, 1, 1, name, sizeof(name));
	ck_assert_uint_eq(resolve_parse_srv(message, len, out, MAX), 0);
}
END_TEST

START_TEST(system_resolver)
{
	struct addr out[MAX];
	const char *why = NULL;
	char text[ADDR_TEXT_MAX];

	ck_assert_uint_ge(resolve_host(NULL, "localhost", 9, out, MAX, &why), 1);
	ck_assert_str_eq(addr_format(&out[0], text), "127.0.0.1:9");
	ck_assert_uint_eq(resolve_host(NULL, "::1", 9, out, MAX, &why), 1); /* no IPv4: then IPv6 */
	ck_assert_str_eq(addr_format(&out[0], text), "[::1]:9");
	ck_assert_uint_eq(resolve_host(NULL, "no-such-host.invalid", 9, out, MAX, &why), 0);
	ck_assert_ptr_nonnull(why);
}
END_TEST

/* Nobody answers there: told at once, not after all tries. */
START_TEST(refused)
{
	struct addr nameserver, out[MAX];
	struct srv_record out_srv[MAX];
	const char *why = NULL;

	ck_assert(addr_parse("127.0.0.1:1", false, &nameserver, &why));
	ck_assert_uint_eq(resolve_host(&nameserver, "localhost", 9, out, MAX, &why), 0);
	ck_assert_ptr_nonnull(strstr(why, "no name server answers"));
	why = NULL;
	ck_assert_uint_eq(resolve_srv(&nameserver, "_x._tcp.localhost", out_srv, MAX, &why), 0);
	ck_assert_ptr_nonnull(strstr(why, "no name server answers"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/resolve");
	TCase *tc = tcase_create("all");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, addresses);
	tcase_add_test(tc, ipv6_addresses);
	tcase_add_test(tc, records);
	tcase_add_test(tc, cut_short);
	tcase_add_test(tc, malformed);
	tcase_add_test(tc, system_resolver);
	tcase_add_test(tc, refused);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
