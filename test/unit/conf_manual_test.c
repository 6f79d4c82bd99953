/* The manual of a table of keys, and the list of their paths. */
#include <check.h>
#include <stdlib.h>

#include "conf/conf.h"

static const char *const colors[] = {"red", "dark-blue", "green", NULL};
static const char *const one[] = {"only", NULL};

static const struct conf_key part_keys[] = {
        {.name = "size",
                .type = CONF_SIZE,
                .fallback = "64k",
                .min = 1024,
                .max = 1048576,
                .help = "How much."},
        {.name = NULL},
};
static const struct conf_section part_section = {.keys = part_keys};

static const struct conf_key item_keys[] = {
        {.name = "No", .type = CONF_STRING, .help = ".dot, 'quote', \\back, ^ ~ ` and - \"it\""},
        {.name = "parts", .type = CONF_LIST, .fallback = "", .section = &part_section},
        {.name = NULL},
};
static const struct conf_section item_section = {.keys = item_keys, .live = true};

static const struct conf_key root_keys[] = {
        {.name = "flag", .type = CONF_BOOL, .fallback = "true", .help = "whether"},
        {.name = "number",
                .type = CONF_INT,
                .fallback = "-1",
                .min = -1,
                .max = 9,
                .help = "n",
                .live = true},
        {.name = "any", .type = CONF_INT, .fallback = "5"},
        {.name = "wait", .type = CONF_DURATION, .fallback = "250ms", .max = 60000000000, .help = "how long"},
        {.name = "color", .type = CONF_CHOICE, .fallback = "red", .choices = colors, .help = "red: as blood"},
        {.name = "single", .type = CONF_CHOICE, .fallback = "only", .choices = one, .help = "one"},
        {.name = "out", .type = CONF_STRING, .fallback = "stderr", .help = "stderr or a path"},
        {.name = "words", .type = CONF_STRINGS, .fallback = "", .help = "some"},
        {.name = "part", .type = CONF_GROUP, .section = &part_section, .help = "A part"},
        {.name = "items", .type = CONF_LIST, .section = &item_section, .help = "Some items."},
        {.name = NULL},
};
static const struct conf_section root = {.keys = root_keys, .live = true};

static const char page[] =
        ".Ss Top level\n"
        ".Bl -tag -width Ds\n"
        ".It Ic \\&flag\n"
        "Whether.\nTrue or false.\nDefault: true.\n"
        ".It Ic \\&number\n"
        "N.\nA whole number from \\-1 to 9.\nDefault: \\-1.\n"
        ".It Ic \\&any\n"
        "A whole number.\nDefault: 5.\n"
        ".It Ic \\&wait\n"
        "How long.\nA duration from 0s to 1m.\nDefault: \\(dq250ms\\(dq.\n"
        ".It Ic \\&color\n"
        "red: as blood.\nOne of \\(dqred\\(dq, \\(dqdark\\-blue\\(dq or \\(dqgreen\\(dq.\n"
        "Default: \\(dqred\\(dq.\n"
        ".It Ic \\&single\n"
        "One.\nAlways \\(dqonly\\(dq.\nDefault: \\(dqonly\\(dq.\n"
        ".It Ic \\&out\n"
        "stderr or a path.\nA string.\nDefault: \\(dqstderr\\(dq.\n"
        ".It Ic \\&words\n"
        "Some.\nA list of strings.\nDefault: ( ).\n"
        ".It Ic \\&part\n"
        "A part.\nA group, below.\n"
        ".It Ic \\&items\n"
        "Some items.\nA list of groups, below.\nRequired.\n"
        ".El\n"
        ".Ss Group \\&part\n"
        "A part.\n"
        ".Bl -tag -width Ds\n"
        ".It Ic \\&size\n"
        "How much.\nA size from 1k to 1m.\nDefault: \\(dq64k\\(dq.\nA change needs a restart.\n"
        ".El\n"
        ".Ss Each of \\&items\n"
        "Some items.\n"
        ".Bl -tag -width Ds\n"
        ".It Ic \\&No\n"
        "\\&.dot, \\(aqquote\\(aq, \\eback, \\(ha \\(ti \\(ga and \\- \"it\".\nA string.\nRequired.\n"
        ".It Ic \\&parts\n"
        "A list of groups, below.\n"
        ".El\n"
        ".Ss Each of \\&items.parts\n"
        ".Bl -tag -width Ds\n"
        ".It Ic \\&size\n"
        "How much.\nA size from 1k to 1m.\nDefault: \\(dq64k\\(dq.\nA change needs a restart.\n"
        ".El\n";

static char *written(void (*print)(const struct conf_section *root, FILE *out))
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	print(&root, out);
	fclose(out);
	return text;
}

START_TEST(test_manual)
{
	char *text = written(conf_print_manual);
	ck_assert_str_eq(text, page);
	free(text);
}
END_TEST

START_TEST(test_paths)
{
	char *text = written(conf_print_paths);
	ck_assert_str_eq(text,
	        "flag\nnumber\nany\nwait\ncolor\nsingle\nout\nwords\npart\npart.size\nitems\nitems.No\n"
	        "items.parts\nitems.parts.size\n");
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conf/manual");
	TCase *all = tcase_create("all");

	tcase_add_test(all, test_manual);
	tcase_add_test(all, test_paths);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
