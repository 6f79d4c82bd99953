/* Data as text and as JSON. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/render.h"

/* json's quotes are single ones here. */
static const struct {
	const char *json;
	struct render_look look;
	const char *text;
} rows[] = {
        {"{'a': 1, 'b': 'two words', 'c': true, 'd': null, 'e': 0.25}", {.columns = NULL},
                "a 1\nb two words\nc true\nd -\ne 0.25\n"},
        {"{'z': 1, 'a': 2}", {.columns = NULL}, "z 1\na 2\n"}, /* in their order */
        {"{'a': 0, 'b': 1, 'c': 0.0, 'd': ''}", {.skip_zeros = true}, "b 1\nd \n"},
        {"{'a': 1, 'b': 2, 'c': 3}", {.columns = "c a x"}, "c 3\na 1\n"},
        {"{'a': {'b': 1, 'c': {'d': 'x y'}}, 'e': [1, 'two']}", {.columns = NULL},
                "a.b 1\na.c.d x y\ne 1\ne two\n"},
        {"{'a': 'one', 'b': 'two words', 'c': 3}", {.columns = "a/b x c", .bare = true},
                "one/two\\ words 3\n"},
        {"[{'a': 1, 'b': 'x y'}, {'b': 'back\\\\', 'a': 2}]", {.columns = NULL},
                "a b\n1 x\\ y\n2 back\\\\\n"},
        {"[{'a': 1, 'b': [2], 'c': {'d': 3}, 'e': 4}]", {.columns = NULL}, "a e\n1 4\n"},
        {"[{'a': 1, 'b': 0}, {'a': ''}]", {.columns = "a/b b", .skip_zeros = true}, "a/b b\n1/0 0\n-/- -\n"},
        {"[{'a': 'x y', 'b': 'two words'}]", {.columns = "a b", .bare = true, .open_end = true},
                "x\\ y two words\n"},
        {"[{'a': 1}]", {.columns = "a", .bare = true}, "1\n"},
        {"[]", {.columns = "a b"}, "a b\n"},
        {"[]", {.columns = NULL}, ""},
        {"['a b', 1]", {.columns = NULL}, "a b\n1\n"},
        {"{'a': 'x\\nok\\u007f'}", {.columns = NULL}, "a x?ok?\n"},
        {"'text'", {.columns = NULL}, "text\n"},
        {"{}", {.columns = NULL}, ""},
};

static char *text_of(json_t *data, const struct render_look *look)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ck_assert(out != NULL);
	if (look)
		render_text(data, look, out);
	else
		ck_assert(render_json(data, out));
	ck_assert_int_eq(fclose(out), 0);
	return text;
}

START_TEST(test_text)
{
	char *json = strdup(rows[_i].json), *quote;

	while ((quote = strchr(json, '\'')))
		*quote = '"';
	json_t *data = json_loads(json, JSON_DECODE_ANY, NULL);
	ck_assert(data != NULL);
	char *got = text_of(data, &rows[_i].look);
	ck_assert_str_eq(got, rows[_i].text);
	free(got);
	free(json);
	json_decref(data);
}
END_TEST

START_TEST(test_json)
{
	json_t *data = json_object();

	render_set_text(data, "text", "a \"b\"\n");
	render_set_text(data, "none", NULL);
	render_set_number(data, "number", UINT64_C(1) << 53);
	render_set_real(data, "real", 0.5);
	render_set_bool(data, "bool", true);
	render_set_text(NULL, "nowhere", "x");
	char *got = text_of(data, NULL);
	ck_assert_str_eq(got,
	        "{\"text\":\"a "
	        "\\\"b\\\"\\n\",\"none\":null,\"number\":9007199254740992,\"real\":0.5,\"bool\":true}");
	free(got);
	json_decref(data);
}
END_TEST

/* Names may be any bytes; JSON is UTF-8 (RFC 8259 section 8.1). As text they stay what they are. */
START_TEST(test_no_utf8)
{
	static const struct {
		const char *bytes, *json;
	} names[] = {
	        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
	        {"\xf0\x9f\x92\xa7", "\xf0\x9f\x92\xa7"},
	        {"gr\xfc\xdf", "gr\xef\xbf\xbd\xef\xbf\xbd"},
	        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
	        {"\xe0\x80\x80x", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx"},
	        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	        {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
	        {"\xff", "\xef\xbf\xbd"},
	};
	static const struct render_look look = {.columns = NULL};
	char want[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		json_t *data = json_array(), *row = json_object();

		render_set_text(row, "n", names[i].bytes);
		ck_assert_int_eq(json_array_append_new(data, row), 0);
		char *got = text_of(data, &look);
		snprintf(want, sizeof(want), "n\n%s\n", names[i].bytes);
		ck_assert_str_eq(got, want);
		free(got);
		got = text_of(data, NULL);
		snprintf(want, sizeof(want), "[{\"n\":\"%s\"}]", names[i].json);
		ck_assert_str_eq(got, want);
		free(got);
		json_decref(data);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("render");
	TCase *cases = tcase_create("render");

	tcase_add_loop_test(cases, test_text, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(cases, test_json);
	tcase_add_test(cases, test_no_utf8);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
