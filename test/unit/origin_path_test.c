#include "origin/path.h"

#include <check.h>
#include <stdlib.h>

static const struct {
	const char *raw;
	enum path_verdict verdict;
	const char *decoded;
} decodings[] = {
        {"/", PATH_OK, "/"},
        {"/a%20b", PATH_OK, "/a b"},
        {"/%41%7a%C3%a9", PATH_OK, "/Az\xc3\xa9"},
        {"/%2e%2E/x", PATH_OK, "/../x"}, /* path_relative refuses it */
        {"/%252e", PATH_OK, "/%2e"},     /* decoded once only */
        {"/%00", PATH_BAD, NULL},
        {"/a%00.html", PATH_BAD, NULL},
        {"/%", PATH_BAD, NULL},
        {"/%4", PATH_BAD, NULL},
        {"/%4g", PATH_BAD, NULL},
        {"/%g4", PATH_BAD, NULL},
        {"/..%2fetc", PATH_REFUSED, NULL},
        {"/..%2Fetc", PATH_REFUSED, NULL},
        {"/..%5cetc", PATH_REFUSED, NULL},
        {"/..\\etc", PATH_REFUSED, NULL},
};

START_TEST(decodes_once)
{
	char room[PATH_ROOM];
	struct str decoded;
	enum path_verdict verdict = path_decode(str_of(decodings[_i].raw), room, &decoded);

	ck_assert_msg(verdict == decodings[_i].verdict, "%s: %d", decodings[_i].raw, verdict);
	if (verdict == PATH_OK) {
		ck_assert_str_eq(room, decodings[_i].decoded);
		ck_assert_uint_eq(decoded.len, strlen(room));
	}
}
END_TEST

START_TEST(long_paths_are_told)
{
	static char raw[PATH_ROOM + 1];
	char room[PATH_ROOM];
	struct str decoded;

	memset(raw, 'a', sizeof(raw));
	ck_assert_int_eq(path_decode((struct str){raw, PATH_ROOM - 1}, room, &decoded), PATH_OK);
	ck_assert_uint_eq(decoded.len, PATH_ROOM - 1);
	ck_assert_int_eq(path_decode((struct str){raw, PATH_ROOM}, room, &decoded), PATH_LONG);
}
END_TEST

static const struct {
	const char *decoded;
	const char *relative; /* NULL: refused */
	bool directory;
} relatives[] = {
        {"/", ".", true},
        {"//", ".", true},
        {"/a", "a", false},
        {"/a/", "a", true},
        {"/a/b.txt", "a/b.txt", false},
        {"//a//b", "a/b", false},
        {"//etc/passwd", "etc/passwd", false},
        {"/./a/./b/.", "a/b", true},
        {"/.", ".", true},
        {"/...", "...", false},
        {"/..a/b..", "..a/b..", false},
        {"/..", NULL, false},
        {"/../a", NULL, false},
        {"/a/..", NULL, false},
        {"/a/../b", NULL, false},
        {"/a/../../b/", NULL, false},
};

START_TEST(relative_names_stay_beneath)
{
	char room[PATH_ROOM];
	bool directory;
	bool ok = path_relative(str_of(relatives[_i].decoded), room, &directory);

	ck_assert_msg(ok == (relatives[_i].relative != NULL), "%s", relatives[_i].decoded);
	if (ok) {
		ck_assert_str_eq(room, relatives[_i].relative);
		ck_assert_msg(directory == relatives[_i].directory, "%s", relatives[_i].decoded);
	}
}
END_TEST

START_TEST(the_longest_name_fits)
{
	static char path[PATH_ROOM];
	char room[PATH_ROOM];
	bool directory;

	memset(path, 'a', sizeof(path));
	path[0] = '/';
	ck_assert(path_relative((struct str){path, PATH_ROOM - 1}, room, &directory));
	ck_assert_uint_eq(strlen(room), PATH_ROOM - 2);
	ck_assert(!path_relative((struct str){path, PATH_ROOM}, room, &directory));
}
END_TEST

START_TEST(encodes_what_is_not_plain)
{
	struct buf *b = buf_new(32);

	ck_assert(path_encode(STR("a/b~c"), b));
	ck_assert(path_encode(STR("\r\n ?%\xc3"), b));
	ck_assert(str_eq(buf_str(b), STR("a/b~c%0D%0A%20%3F%25%C3")));
	ck_assert(!path_encode(STR("0123456789"), b));
	free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("origin/path");
	TCase *t = tcase_create("path");
	SRunner *sr = srunner_create(s);

	tcase_add_loop_test(t, decodes_once, 0, (int)(sizeof(decodings) / sizeof(decodings[0])));
	tcase_add_test(t, long_paths_are_told);
	tcase_add_loop_test(
	        t, relative_names_stay_beneath, 0, (int)(sizeof(relatives) / sizeof(relatives[0])));
	tcase_add_test(t, the_longest_name_fits);
	tcase_add_test(t, encodes_what_is_not_plain);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
