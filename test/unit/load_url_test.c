/* URLs: what goes into Host, where to connect, what is asked for; and what is refused, with its remedy. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/url.h"

static const struct {
	const char *text, *host, *address, *target;
} good[] = {
        {"http://127.0.0.1:8000/", "127.0.0.1:8000", "127.0.0.1:8000", "/"},
        {"http://127.0.0.1:8000", "127.0.0.1:8000", "127.0.0.1:8000", "/"},
        {"HTTP://origin.example/a/b?c=d&e", "origin.example", "origin.example:80", "/a/b?c=d&e"},
        {"http://origin.example?q", "origin.example", "origin.example:80", "/?q"},
        {"http://[::1]:81/x", "[::1]:81", "[::1]:81", "/x"},
        {"http://[::1]/x", "[::1]", "[::1]:80", "/x"},
        {"http://h:1/a#part", "h:1", "h:1", "/a"},
        {"http://h:1#part", "h:1", "h:1", "/"},
        {"http://h:1//a:b@c/%20", "h:1", "h:1", "//a:b@c/%20"},
};

START_TEST(taken_apart)
{
	struct url url;
	const char *why = "";

	ck_assert_msg(url_parse(good[_i].text, &url, &why), "%s: %s", good[_i].text, why);
	ck_assert_str_eq(url.host, good[_i].host);
	ck_assert_str_eq(url.address, good[_i].address);
	ck_assert_str_eq(url.target, good[_i].target);
}
END_TEST

static const struct {
	const char *text, *why;
} bad[] = {
        {"", "not a URL; give one such as http://"},
        {"127.0.0.1:8000", "not a URL; give one such as http://"},
        {"ftp://h/", "not a URL; give one such as http://"},
        {"https://h/", "https is not spoken"},
        {"http://", "the host is missing"},
        {"http:///path", "the host is missing"},
        {"http://:80/", "a host is missing"},
        {"http://u:p@h/", "a user name is not sent"},
        {"http://h:x/", "the port must be a number"},
        {"http://h:/", "the port must be a number"},
        {"http://h:0/", "the port must be a number"},
        {"http://h:65536/", "the port must be a number"},
        {"http://[::1/", "the bracket is not closed"},
        {"http://[h]:1/", "what stands in brackets is not an IPv6 address"},
        {"http://::1/", "an IPv6 address stands in brackets"},
        {"http://h!:1/", "it is neither an address nor a host name"},
        {"http://unix:/run/x", "a path is missing"},
        {"http://h/a b", "a character in the path is to be percent-encoded"},
        {"http://h/\r\nX: y", "a character in the path is to be percent-encoded"},
        {"http://h/\xc3\xa4", "a character in the path is to be percent-encoded"},
};

START_TEST(refused_with_a_remedy)
{
	struct url url;
	const char *why = "";

	ck_assert_msg(!url_parse(bad[_i].text, &url, &why), "%s", bad[_i].text);
	ck_assert_msg(strncmp(why, bad[_i].why, strlen(bad[_i].why)) == 0, "%s: %s", bad[_i].text, why);
}
END_TEST

START_TEST(too_long)
{
	static char text[URL_HOST_MAX + URL_TARGET_MAX];
	struct url url;
	const char *why = "";
	int room = URL_TARGET_MAX - 2; /* the longest path */

	snprintf(text, sizeof(text), "http://h/%0*d", room - 1, 0);
	ck_assert(url_parse(text, &url, &why));
	ck_assert_uint_eq(strlen(url.target), (size_t)room);
	snprintf(text, sizeof(text), "http://h/%0*d", room, 0);
	ck_assert(!url_parse(text, &url, &why));
	ck_assert_str_eq(why, "the path is too long");
	snprintf(text, sizeof(text), "http://%0*d/", URL_HOST_MAX, 0);
	ck_assert(!url_parse(text, &url, &why));
	ck_assert_str_eq(why, "the host is too long");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("load/url");
	TCase *t = tcase_create("url");
	SRunner *sr = srunner_create(s);

	tcase_add_loop_test(t, taken_apart, 0, (int)(sizeof(good) / sizeof(good[0])));
	tcase_add_loop_test(t, refused_with_a_remedy, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(t, too_long);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
