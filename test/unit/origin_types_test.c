#include "origin/types.h"

#include <check.h>
#include <stdlib.h>

static const struct {
	const char *name;
	const char *type;
} rows[] = {
        {"index.html", "text/html"},
        {"a/b.c/INDEX.HTML", "text/html"},
        {"notes.txt", "text/plain; charset=utf-8"},
        {"app.min.js", "text/javascript"},
        {"a.css", "text/css"},
        {"a.svg", "image/svg+xml"},
        {"archive.tar.gz", "application/gzip"},
        {"film.mp4", "video/mp4"},
        {"html", "application/octet-stream"},
        {".html", "application/octet-stream"},
        {"a/.html", "application/octet-stream"},
        {"a.html/b", "application/octet-stream"},
        {"a.", "application/octet-stream"},
        {"a.htmlx", "application/octet-stream"},
        {"", "application/octet-stream"},
};

START_TEST(type_of_each_name)
{
	struct str type = types_of(str_of(rows[_i].name));

	ck_assert_msg(str_eq(type, str_of(rows[_i].type)), "%s: %.*s", rows[_i].name, STR_ARG(type));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("origin/types");
	TCase *t = tcase_create("types");
	SRunner *sr = srunner_create(s);

	tcase_add_loop_test(t, type_of_each_name, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
