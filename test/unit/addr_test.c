/* Addresses as text: what is taken, what is refused and why, and blocks of them. */
#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>

#include "net/addr.h"

static struct addr parsed(const char *text, bool listening)
{
	struct addr a;
	const char *why = "";
	ck_assert_msg(addr_parse(text, listening, &a, &why), "%s: %s", text, why);
	return a;
}

static void expect_format(const char *text, bool listening, const char *want)
{
	char out[ADDR_TEXT_MAX];
	struct addr a = parsed(text, listening);
	ck_assert_str_eq(addr_format(&a, out), want);
}

START_TEST(test_good)
{
	expect_format("1.2.3.4:80", false, "1.2.3.4:80");
	expect_format("255.255.255.255:65535", false, "255.255.255.255:65535");
	expect_format("[::1]:80", false, "[::1]:80");
	expect_format("[2001:DB8:0:0:0:0:0:1]:080", false, "[2001:db8::1]:80");
	expect_format("[::]:8080", true, "[::]:8080");
	expect_format("[::ffff:1.2.3.4]:1", false, "[::ffff:1.2.3.4]:1");
	expect_format("*:80", true, "0.0.0.0:80");
	expect_format(":80", true, "0.0.0.0:80");
	expect_format("127.0.0.1:0", true, "127.0.0.1:0");
	expect_format("unix:/run/x.sock", false, "unix:/run/x.sock");
	expect_format("[fe80::1%lo]:80", false, "[fe80::1%lo]:80");
}
END_TEST

START_TEST(test_fields)
{
	struct addr v4 = parsed("1.2.3.4:80", false), v6 = parsed("[::1]:443", false),
	            un = parsed("unix:/x", true);
	ck_assert_int_eq(v4.u.any.sa_family, AF_INET);
	ck_assert_uint_eq(v4.len, sizeof(struct sockaddr_in));
	ck_assert_uint_eq(addr_port(&v4), 80);
	ck_assert_int_eq(v6.u.any.sa_family, AF_INET6);
	ck_assert_uint_eq(v6.len, sizeof(struct sockaddr_in6));
	ck_assert_uint_eq(addr_port(&v6), 443);
	ck_assert_int_eq(un.u.any.sa_family, AF_UNIX);
	ck_assert_uint_eq(un.len, offsetof(struct sockaddr_un, sun_path) + 3);
	ck_assert_uint_eq(addr_port(&un), 0);
}
END_TEST

static const struct {
	const char *text;
	bool listening;
	const char *why;
} bad[] = {
        {"", true, "a port is missing, as in \"127.0.0.1:80\""},
        {"127.0.0.1", false, "a port is missing, as in \"127.0.0.1:80\""},
        {"example.org", false, "a port is missing, as in \"127.0.0.1:80\""},
        {"[::1]", false, "a port is missing, as in \"[::1]:80\""},
        {"[::1]80", false, "a port is missing, as in \"[::1]:80\""},
        {"[::1:80", false, "the bracket is not closed, as in \"[::1]:80\""},
        {"::1:80", false, "an IPv6 address stands in brackets, as in \"[::1]:80\""},
        {"[1.2.3.4]:80", false, "what stands in brackets is not an IPv6 address"},
        {"[]:80", false, "what stands in brackets is not an IPv6 address"},
        {"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:80", false,
                "what stands in brackets is not an IPv6 address"},
        {"1111.2222.3333.4444:80", false, "it is not an IPv4 address"},
        {"[fe80::1%]:80", false, "what stands in brackets is not an IPv6 address"},
        {"[fe80::1%nosuchif0]:80", false, "what stands in brackets is not an IPv6 address"},
        {"127.0.0.1:", false, "the port must be a number from 1 to 65535"},
        {"127.0.0.1:0", false, "the port must be a number from 1 to 65535"},
        {"127.0.0.1:65536", false, "the port must be a number from 1 to 65535"},
        {"127.0.0.1:+80", false, "the port must be a number from 1 to 65535"},
        {"127.0.0.1:http", false, "the port must be a number from 1 to 65535"},
        {"127.0.0.1:80 ", true, "the port must be a number from 0 to 65535"},
        {"127.0.0.1:000080", true, "the port must be a number from 0 to 65535"},
        {"256.0.0.1:80", false, "it is not an IPv4 address"},
        {"1.2.3:80", false, "it is not an IPv4 address"},
        {"*:80", false, "a host is missing before the port"},
        {":80", false, "a host is missing before the port"},
        {"a b:80", false, "it is neither an address nor a host name"},
        {"http://a:80", false, "it is a URL, write host and port only, as in \"example.org:80\""},
        {"a/b:80", false, "it is neither an address nor a host name"},
        {"a..b:80", false, "it is neither an address nor a host name"},
        {".a:80", false, "it is neither an address nor a host name"},
        {"unix:", false, "a path is missing, as in \"unix:/run/x.sock\""},
};

START_TEST(test_bad)
{
	struct addr a;
	const char *why = NULL;
	bool is_name = true;
	ck_assert_msg(!addr_check(bad[_i].text, bad[_i].listening, &is_name, &why), "%s", bad[_i].text);
	ck_assert_str_eq(why, bad[_i].why);
	ck_assert(!is_name);
	why = NULL;
	ck_assert(!addr_parse(bad[_i].text, bad[_i].listening, &a, &why));
	ck_assert_str_eq(why, bad[_i].why);
	ck_assert_uint_eq(a.len, 0);
}
END_TEST

START_TEST(test_unix_length)
{
	char text[256] = "unix:", out[ADDR_TEXT_MAX];
	const char *why;
	memset(text + 5, 'x', 107);
	expect_format(text, true, text);
	ck_assert_uint_eq(strlen(text), 112);
	text[112] = 'x';
	ck_assert(!addr_check(text, true, NULL, &why));
	ck_assert_str_eq(why, "the path of a Unix socket has at most 107 bytes");
	/* what the kernel may give back: a path without a NUL, and a peer without a path */
	struct addr full = {.len = sizeof(struct sockaddr_un), .u.un.sun_family = AF_UNIX};
	memset(full.u.un.sun_path, 'y', sizeof(full.u.un.sun_path));
	ck_assert_uint_eq(strlen(addr_format(&full, out)), 5 + sizeof(full.u.un.sun_path));
	struct addr none = {.len = sizeof(sa_family_t), .u.un.sun_family = AF_UNIX};
	ck_assert_str_eq(addr_format(&none, out), "unix:");
	struct addr empty = {.len = 0};
	ck_assert_str_eq(addr_format(&empty, out), "");
	ck_assert_uint_eq(addr_port(&empty), 0);
}
END_TEST

START_TEST(test_equal)
{
	static const char *const texts[] = {"127.0.0.1:80", "127.0.0.1:81", "127.0.0.2:80", "[::1]:80",
	        "[::2]:80", "[::1]:81", "unix:/x", "unix:/y"};
	enum { COUNT = sizeof(texts) / sizeof(texts[0]) };
	struct addr a[COUNT], none = {.len = 0};
	const char *why;
	for (int i = 0; i < COUNT; i++)
		ck_assert(addr_parse(texts[i], false, &a[i], &why));
	for (int i = 0; i < COUNT; i++) {
		ck_assert(!addr_equal(&a[i], &none) && !addr_equal(&none, &a[i]));
		for (int k = 0; k < COUNT; k++)
			ck_assert_int_eq(addr_equal(&a[i], &a[k]), i == k);
	}
	ck_assert(addr_equal(&none, &none));
}
END_TEST

START_TEST(test_is_name)
{
	static const char *const good[] = {"a", "origin.example", "_http._tcp.origin.example.", "1a"};
	static const char *const wrong[] = {"", ".", "a b", "a..b", "1.2.3.4", "::1", "a:80"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(addr_is_name(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(!addr_is_name(wrong[i]), "%s", wrong[i]);
}
END_TEST

START_TEST(test_names)
{
	char host[300];
	bool is_name = false;
	const char *why;
	ck_assert(addr_check("origin.example:80", false, &is_name, &why) && is_name);
	ck_assert(addr_check("a_b-c.d1.:80", false, &is_name, &why) && is_name);
	ck_assert(addr_check("1a:80", false, &is_name, &why) && is_name);
	ck_assert(addr_check("1.2.3.4:80", false, &is_name, &why) && !is_name);
	ck_assert(addr_check("[::1]:80", false, &is_name, &why) && !is_name);
	ck_assert(addr_check("unix:/x", false, &is_name, &why) && !is_name);
	memset(host, 'a', 63);
	strcpy(host + 63, ":80");
	ck_assert(addr_check(host, false, &is_name, &why) && is_name);
	memset(host, 'a', 64);
	strcpy(host + 64, ":80");
	ck_assert(!addr_check(host, false, &is_name, &why));
	for (size_t i = 0; i < 260; i++)
		host[i] = i % 2 == 0 ? 'a' : '.';
	strcpy(host + 259, ":80");
	ck_assert(!addr_check(host, false, &is_name, &why));
}
END_TEST

START_TEST(test_resolve)
{
	/* from /etc/hosts; IPv4 comes first even where the name has both */
	expect_format("localhost:8080", false, "127.0.0.1:8080");
	struct addr a;
	const char *why = NULL;
	ck_assert(!addr_parse("no-such-host.invalid:80", false, &a, &why));
	ck_assert_ptr_nonnull(why);
	ck_assert_str_ne(why, "");
	ck_assert_uint_eq(a.len, 0);
}
END_TEST

static bool collide(const char *a, const char *b)
{
	struct addr x = parsed(a, true), y = parsed(b, true);
	ck_assert_int_eq(addr_collides(&x, &y), addr_collides(&y, &x));
	return addr_collides(&x, &y);
}

START_TEST(test_collides)
{
	ck_assert(collide("127.0.0.1:80", "127.0.0.1:80"));
	ck_assert(collide("*:80", "127.0.0.1:80"));
	ck_assert(collide("[::]:80", "[::1]:80"));
	ck_assert(collide("[::1]:80", "[0::1]:80"));
	ck_assert(collide("unix:/a", "unix:/a"));
	ck_assert(!collide("127.0.0.1:80", "127.0.0.1:81"));
	ck_assert(!collide("127.0.0.1:80", "127.0.0.2:80"));
	ck_assert(!collide("*:80", "[::]:80"));
	ck_assert(!collide("[::1]:80", "[::2]:80"));
	ck_assert(!collide("unix:/a", "unix:/b"));
	ck_assert(!collide("127.0.0.1:0", "127.0.0.1:0"));
	struct addr none = {.len = 0}, a = parsed("*:80", true);
	ck_assert(!addr_collides(&none, &a));
	ck_assert(!addr_collides(&none, &none));
}
END_TEST

START_TEST(test_ip)
{
	static const struct {
		const char *text, *ip;
		sa_family_t family;
		unsigned port;
	} cases[] = {{"1.2.3.4:80", "1.2.3.4", AF_INET, 80},
	        {"[2001:db8::1]:443", "2001:db8::1", AF_INET6, 443},
	        {"[::ffff:1.2.3.4]:81", "1.2.3.4", AF_INET, 81}, {"unix:/x", "unix:", 0, 0}};
	char out[ADDR_TEXT_MAX];
	ck_assert_uint_eq(sizeof(struct addr_ip), 20);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr a = parsed(cases[i].text, false);
		struct addr_ip ip = addr_ip_of(&a);
		ck_assert_uint_eq(addr_ip_format(&ip, out), strlen(cases[i].ip));
		ck_assert_str_eq(out, cases[i].ip);
		ck_assert_uint_eq(ip.family, cases[i].family);
		ck_assert_uint_eq(ntohs(ip.port), cases[i].port);
	}
}
END_TEST

START_TEST(test_of_ip)
{
	static const char *const texts[][2] = {{"1.2.3.4:80", "1.2.3.4:80"},
	        {"[2001:db8::1]:443", "[2001:db8::1]:443"}, {"[::ffff:1.2.3.4]:81", "1.2.3.4:81"},
	        {"unix:/x", "unix:"}};
	char out[ADDR_TEXT_MAX];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct addr a = parsed(texts[i][0], false);
		struct addr_ip ip = addr_ip_of(&a);
		struct addr back = addr_of_ip(&ip);

		ck_assert_str_eq(addr_format(&back, out), texts[i][1]);
	}
}
END_TEST

/* Every value of a byte, in each place. */
START_TEST(test_ipv4_text)
{
	char out[ADDR_TEXT_MAX], want[INET_ADDRSTRLEN];

	for (unsigned n = 0; n < 256; n++) {
		struct addr_ip ip = {.family = AF_INET,
		        .bytes = {(unsigned char)n, (unsigned char)(255 - n), (unsigned char)(n * 7),
		                (unsigned char)(n + 1)}};

		ck_assert_ptr_nonnull(inet_ntop(AF_INET, ip.bytes, want, sizeof(want)));
		ck_assert_uint_eq(addr_ip_format(&ip, out), strlen(want));
		ck_assert_str_eq(out, want);
	}
}
END_TEST

/* One client for limits: whatever its port, and whatever its interface's half of an IPv6 address. */
START_TEST(test_site)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {{"1.2.3.4:80", "1.2.3.4:81", true}, {"1.2.3.4:80", "1.2.3.5:80", false},
	        {"[::ffff:1.2.3.4]:1", "1.2.3.4:2", true},
	        {"[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff:ffff:ffff:ffff]:2", true},
	        {"[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false}, {"[102:304::]:1", "1.2.3.4:1", false},
	        {"unix:/x", "unix:/y", true}, {"unix:/x", "0.0.0.0:1", false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr a = parsed(cases[i].a, true), b = parsed(cases[i].b, true);
		struct addr_ip ip_a = addr_ip_of(&a), ip_b = addr_ip_of(&b);
		struct addr_ip site_a = addr_ip_site(&ip_a), site_b = addr_ip_site(&ip_b);
		ck_assert_msg((memcmp(&site_a, &site_b, sizeof(site_a)) == 0) == cases[i].same, "%s and %s",
		        cases[i].a, cases[i].b);
	}
}
END_TEST

static const struct {
	const char *block, *address;
	bool in;
} members[] = {
        {"10.0.0.0/8", "10.255.1.2:1", true},
        {"10.0.0.0/8", "11.0.0.0:1", false},
        {"10.1.2.3/8", "10.9.9.9:1", true},
        {"192.168.4.0/22", "192.168.7.255:1", true},
        {"192.168.4.0/22", "192.168.8.0:1", false},
        {"1.2.3.4", "1.2.3.4:1", true},
        {"1.2.3.4", "1.2.3.5:1", false},
        {"1.2.3.4/31", "1.2.3.5:1", true},
        {"0.0.0.0/0", "1.2.3.4:1", true},
        {"0.0.0.0/0", "[::1]:1", false},
        {"::/0", "[::1]:1", true},
        {"::/0", "1.2.3.4:1", false},
        {"::1", "[::1]:1", true},
        {"::1", "[::2]:1", false},
        {"2001:db8::/33", "[2001:db8:7fff::1]:1", true},
        {"2001:db8::/33", "[2001:db8:8000::1]:1", false},
        {"10.0.0.0/8", "[::ffff:10.1.2.3]:1", true},
        {"10.0.0.0/8", "[::ffff:11.1.2.3]:1", false},
        {"::ffff:10.0.0.0/104", "10.1.2.3:1", true},
        {"::ffff:10.0.0.0/104", "10.200.2.3:1", true},
        {"::ffff:10.0.0.0/104", "11.1.2.3:1", false},
        {"::ffff:1.2.3.4", "1.2.3.4:1", true},
        {"unix:", "unix:/x", true},
        {"unix:", "0.0.0.0:1", false},
        {"0.0.0.0/0", "unix:/x", false},
        {"::/0", "unix:/x", false},
};

START_TEST(test_block)
{
	struct addr_block block;
	struct addr a = parsed(members[_i].address, true);
	struct addr_ip ip = addr_ip_of(&a);
	ck_assert_msg(addr_block_parse(members[_i].block, &block), "%s", members[_i].block);
	ck_assert_msg(addr_block_has(&block, &ip) == members[_i].in, "%s in %s", members[_i].address,
	        members[_i].block);
}
END_TEST

START_TEST(test_block_mapped_raw)
{
	/* an address that did not come through addr_ip_of */
	struct addr_ip ip = {.bytes = {[10] = 0xff, 0xff, 10, 1, 2, 3}, .family = AF_INET6};
	struct addr_block block;
	ck_assert(addr_block_parse("10.0.0.0/8", &block));
	ck_assert(addr_block_has(&block, &ip));
	ck_assert(addr_block_parse("::/0", &block));
	ck_assert(!addr_block_has(&block, &ip));
}
END_TEST

START_TEST(test_block_bad)
{
	static const char *const texts[] = {"", "x", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
	        "10.0.0.0/8/8", "10.0.0.0/ 8", "10/8", "::1/129", "[::1]", "1.2.3.4:80", "unix:/x", "/8",
	        "10.0.0.0/0008", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb"};
	struct addr_block block;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(!addr_block_parse(texts[i], &block), "%s", texts[i]);
}
END_TEST

/* What no text gives, but the kernel may: an interface that is gone, no address at all, one of another kind. */
START_TEST(test_odd)
{
	char text[ADDR_TEXT_MAX];
	struct addr a = parsed("[fe80::1%lo]:80", false);
	a.u.in6.sin6_scope_id = 777777;
	ck_assert_str_eq(addr_format(&a, text), "[fe80::1%777777]:80");
	a.u.any.sa_family = AF_PACKET;
	ck_assert_str_eq(addr_format(&a, text), "");
	ck_assert_int_eq(addr_ip_of(&a).family, 0);
	a.len = 0;
	ck_assert_str_eq(addr_format(&a, text), "");
	ck_assert_int_eq(addr_ip_of(&a).family, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("addr");
	TCase *text = tcase_create("text"), *ip = tcase_create("ip");
	tcase_add_test(text, test_good);
	tcase_add_test(text, test_fields);
	tcase_add_loop_test(text, test_bad, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(text, test_unix_length);
	tcase_add_test(text, test_equal);
	tcase_add_test(text, test_is_name);
	tcase_add_test(text, test_names);
	tcase_add_test(text, test_resolve);
	tcase_add_test(text, test_collides);
	tcase_add_test(text, test_odd);
	tcase_set_timeout(text, 30);
	tcase_add_test(ip, test_ip);
	tcase_add_test(ip, test_of_ip);
	tcase_add_test(ip, test_ipv4_text);
	tcase_add_test(ip, test_site);
	tcase_add_loop_test(ip, test_block, 0, sizeof(members) / sizeof(members[0]));
	tcase_add_test(ip, test_block_mapped_raw);
	tcase_add_test(ip, test_block_bad);
	suite_add_tcase(s, text);
	suite_add_tcase(s, ip);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
