/* Reading through tables: values, every kind of fault with its line, includes, printing, differences, units. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "conf/conf.h"

struct item {
	const void *place;
	char *name;
	int64_t weight;
};

struct sample {
	const void *place;
	bool flag;
	int64_t number;
	int64_t any;
	int64_t wait;
	uint64_t room;
	uint64_t free_room;
	char *text;
	int color;
	struct conf_strings words;
	struct {
		const void *place;
		int64_t pause;
		int64_t depth;
	} inner;
	struct conf_list items;
};

static const char *const colors[] = {"red", "green", "blue", NULL};

static const struct conf_key item_keys[] = {
        {.name = "name",
                .type = CONF_STRING,
                .offset = offsetof(struct item, name),
                .help = "what it is called"},
        {.name = "weight",
                .type = CONF_INT,
                .offset = offsetof(struct item, weight),
                .fallback = "1",
                .min = 1,
                .max = 256},
        {.name = NULL},
};
static const struct conf_section item_section = {
        .size = sizeof(struct item), .place = offsetof(struct item, place), .one = "item", .keys = item_keys};

#define INNER(field) (offsetof(struct sample, inner.field) - offsetof(struct sample, inner))
static const struct conf_key inner_keys[] = {
        {.name = "pause", .type = CONF_DURATION, .offset = INNER(pause), .fallback = "2m"},
        {.name = "depth", .type = CONF_INT, .offset = INNER(depth), .fallback = "7", .min = 0, .max = 9},
        {.name = NULL},
};
static const struct conf_section inner_section = {
        .size = sizeof(((struct sample *)NULL)->inner), .place = INNER(place), .keys = inner_keys};

#define ROW(field, kind, text)                                                                               \
	.name = #field, .type = (kind), .offset = offsetof(struct sample, field), .fallback = (text)
static const struct conf_key sample_keys[] = {
        {ROW(flag, CONF_BOOL, "true"), .help = "a flag"},
        {ROW(number, CONF_INT, "16"), .min = 1, .max = 4096, .help = "a number", .live = true},
        {ROW(any, CONF_INT, "-5")},
        {ROW(wait, CONF_DURATION, "50ms"), .min = CLOCK_NS_PER_MS, .max = CLOCK_NS_PER_S * 3600},
        {ROW(room, CONF_SIZE, "16k"), .min = 1024, .max = 1048576},
        {ROW(free_room, CONF_SIZE, "0")},
        {ROW(text, CONF_STRING, "hello")},
        {ROW(color, CONF_CHOICE, "green"), .choices = colors, .note = "no other paint is here"},
        {ROW(words, CONF_STRINGS, "")},
        {ROW(inner, CONF_GROUP, NULL), .section = &inner_section, .help = "a group"},
        {ROW(items, CONF_LIST, ""), .section = &item_section, .help = "a list"},
        {.name = NULL},
};
static const struct conf_section sample_section = {
        .size = sizeof(struct sample), .place = offsetof(struct sample, place), .keys = sample_keys};

/* The same with a list that must be there. */
static const struct conf_key strict_keys[] = {
        {ROW(items, CONF_LIST, NULL), .section = &item_section},
        {ROW(text, CONF_STRING, NULL), .help = "some text"},
        {.name = NULL},
};
static const struct conf_section strict_section = {
        .size = sizeof(struct sample), .place = offsetof(struct sample, place), .keys = strict_keys};

/* What conf_print_faults prints; the caller frees it. */
static char *faults_of(const struct conf *conf)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	conf_print_faults(conf, out);
	fclose(out);
	return text;
}

static char *printed(const struct sample *s)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	conf_print(&sample_section, s, out);
	fclose(out);
	return text;
}

static void expect_of(const struct conf_section *section, const char *text, const char *want)
{
	struct sample s;
	struct conf *conf = conf_read_text("x", text, section, &s);
	char *got = faults_of(conf);
	ck_assert_str_eq(got, want);
	ck_assert_int_eq(conf_fault_count(conf) == 0, want[0] == '\0');
	free(got);
	conf_free(conf);
}

static void expect(const char *text, const char *want)
{
	expect_of(&sample_section, text, want);
}

START_TEST(test_defaults)
{
	struct sample s;
	struct conf *conf = conf_read_text("x", "", &sample_section, &s);
	ck_assert_uint_eq(conf_fault_count(conf), 0);
	ck_assert(s.flag);
	ck_assert_int_eq(s.number, 16);
	ck_assert_int_eq(s.any, -5);
	ck_assert_int_eq(s.wait, 50 * CLOCK_NS_PER_MS);
	ck_assert_uint_eq(s.room, 16384);
	ck_assert_uint_eq(s.free_room, 0);
	ck_assert_str_eq(s.text, "hello");
	ck_assert_int_eq(s.color, 1);
	ck_assert_uint_eq(s.words.count, 0);
	ck_assert_int_eq(s.inner.pause, 120 * CLOCK_NS_PER_S);
	ck_assert_int_eq(s.inner.depth, 7);
	ck_assert_uint_eq(s.items.count, 0);
	ck_assert(!conf_is_set(conf, s.place, "flag"));
	ck_assert(!conf_is_set(conf, s.inner.place, "depth"));
	conf_free(conf);
}
END_TEST

START_TEST(test_values)
{
	struct sample s;
	struct conf *conf = conf_read_text("x",
	        "flag = false; number = 4096L; any = -9223372036854775807; wait = \"1h\"; room = \"1M\"\n"
	        "free_room = \"3g\"; text = \"a \\\"b\\\" \\\\ \" \"c\"; color = \"blue\"; words = [ \"a\", "
	        "\"b\" ];\n"
	        "inner: { depth = 0x9; }\n"
	        "items: ( { name = \"one\"; }, { name : \"two\", weight : 256 } );",
	        &sample_section, &s);
	ck_assert_uint_eq(conf_fault_count(conf), 0);
	ck_assert(!s.flag);
	ck_assert_int_eq(s.number, 4096);
	ck_assert_int_eq(s.any, -INT64_MAX);
	ck_assert_int_eq(s.wait, 3600 * CLOCK_NS_PER_S);
	ck_assert_uint_eq(s.room, 1 << 20);
	ck_assert_uint_eq(s.free_room, UINT64_C(3) << 30);
	ck_assert_str_eq(s.text, "a \"b\" \\ c");
	ck_assert_int_eq(s.color, 2);
	ck_assert_uint_eq(s.words.count, 2);
	ck_assert_str_eq(s.words.at[1], "b");
	ck_assert_int_eq(s.inner.depth, 9);
	ck_assert_uint_eq(s.items.count, 2);
	const struct item *items = s.items.at;
	ck_assert_str_eq(items[0].name, "one");
	ck_assert_int_eq(items[0].weight, 1);
	ck_assert_int_eq(items[1].weight, 256);
	ck_assert(conf_is_set(conf, s.place, "flag"));
	ck_assert(conf_is_set(conf, s.inner.place, "depth"));
	ck_assert(!conf_is_set(conf, s.inner.place, "pause"));
	ck_assert(!conf_is_set(conf, items[0].place, "weight"));
	ck_assert(conf_is_set(conf, items[1].place, "weight"));
	conf_free(conf);
}
END_TEST

static const struct {
	const char *text;
	const char *want;
} wrong[] = {
        /* keys */
        {"\nnumbr = 3;", "x:2: numbr: unknown key, did you mean `number`?\n"},
        {"Number = 3;", "x:1: Number: unknown key, did you mean `number`?\n"},
        {"free-room = \"1\";", "x:1: free-room: unknown key, did you mean `free_room`?\n"},
        {"zebra = 3;",
                "x:1: zebra: unknown key, the known ones are flag, number, any, wait, room, free_room, "
                "text, color, words, inner, items\n"},
        {"inner: { deptH = 3; };", "x:1: inner.deptH: unknown key, did you mean `depth`?\n"},
        {"items = ( { name = \"a\"; },\n { name = \"b\"; wieght = 3; } );",
                "x:2: items[1].wieght: unknown key, did you mean `weight`?\n"},
        /* whole numbers */
        {"number = \"3\";", "x:1: number: must be a whole number from 1 to 4096, not a string\n"},
        {"number = 3.5;",
                "x:1: number: must be a whole number from 1 to 4096, not a number with a fraction\n"},
        {"number = 0;", "x:1: number: must be a whole number from 1 to 4096, not 0\n"},
        {"number = 4097L;", "x:1: number: must be a whole number from 1 to 4096, not 4097\n"},
        {"number = 4294967297;", "x:1: number: must be a whole number from 1 to 4096, not 4294967297\n"},
        {"number = 0xFFFFFFFF;", "x:1: number: must be a whole number from 1 to 4096, not 4294967295\n"},
        {"any = true;", "x:1: any: must be a whole number, not a boolean\n"},
        {"any = 9223372036854775808;",
                "x:1: the number 9223372036854775808 is out of range: whole numbers have at most 63 bits\n"},
        {"number = ( 3 );", "x:1: number: must be a whole number from 1 to 4096, not a list\n"},
        {"number = [ 3 ];", "x:1: number: must be a whole number from 1 to 4096, not an array\n"},
        {"number: { };", "x:1: number: must be a whole number from 1 to 4096, not a group\n"},
        /* booleans */
        {"flag = 1;", "x:1: flag: must be true or false, not a whole number\n"},
        {"flag = \"true\";", "x:1: flag: must be true or false, not a string\n"},
        /* durations */
        {"wait = \"5\";",
                "x:1: wait: must be a duration such as \"250ms\" or \"5s\", from 1ms to 1h, not \"5\"\n"},
        {"wait = \"0s\";",
                "x:1: wait: must be a duration such as \"250ms\" or \"5s\", from 1ms to 1h, not \"0s\"\n"},
        {"wait = \"61m\";",
                "x:1: wait: must be a duration such as \"250ms\" or \"5s\", from 1ms to 1h, not \"61m\"\n"},
        {"wait = 5;",
                "x:1: wait: must be a duration such as \"250ms\" or \"5s\", from 1ms to 1h, not a number: "
                "write \"5s\"\n"},
        {"wait = 5000;",
                "x:1: wait: must be a duration such as \"250ms\" or \"5s\", from 1ms to 1h, not a number: "
                "write \"5000ms\"\n"},
        {"wait = 0;", "x:1: wait: must be a duration such as \"250ms\" or \"5s\", from 1ms to 1h, not a "
                      "whole number\n"},
        {"wait = 1.5;",
                "x:1: wait: must be a duration such as \"250ms\" or \"5s\", from 1ms to 1h, not a number "
                "with a fraction\n"},
        {"wait = 5s;", "x:1: 5s must stand in quotes: \"5s\"\n"},
        {"inner: { pause = true; };",
                "x:1: inner.pause: must be a duration such as \"250ms\" or \"5s\", not a boolean\n"},
        /* sizes */
        {"room = \"1023\";",
                "x:1: room: must be a size such as \"64k\" or \"1m\", from 1k to 1m, not \"1023\"\n"},
        {"room = \"64kb\";",
                "x:1: room: must be a size such as \"64k\" or \"1m\", from 1k to 1m, not \"64kb\"\n"},
        {"room = 2048;", "x:1: room: must be a size such as \"64k\" or \"1m\", from 1k to 1m, not a number: "
                         "write \"2k\"\n"},
        {"room = 1;",
                "x:1: room: must be a size such as \"64k\" or \"1m\", from 1k to 1m, not a whole number\n"},
        {"free_room = -1;", "x:1: free_room: must be a size such as \"64k\" or \"1m\", not a whole number\n"},
        {"room = 64k;", "x:1: 64k must stand in quotes: \"64k\"\n"},
        /* strings */
        {"text = 3;", "x:1: text: must be a string in quotes, not a whole number\n"},
        {"text = hello;", "x:1: hello must stand in quotes: \"hello\"\n"},
        {"text = \"a\\nb\";", "x:1: text: must not contain control characters (there is a \\x0a)\n"},
        {"text = \"a\tb\";", "x:1: text: must not contain control characters (there is a \\x09)\n"},
        {"text = \"a\\x7f\";", "x:1: text: must not contain control characters (there is a \\x7f)\n"},
        {"text = \"a\\x00b\";", "x:1: a string must not contain control characters (there is a \\x00)\n"},
        {"text = \"a;\nany = 3;",
                "x:1: the string that starts here is not closed: a quote is missing on this line\n"},
        {"color = \"gren\";",
                "x:1: color: must be \"red\", \"green\" or \"blue\", not \"gren\": did you mean "
                "\"green\"?\n"},
        {"color = \"mauve\";", "x:1: color: must be \"red\", \"green\" or \"blue\", not \"mauve\": no other "
                               "paint is here\n"},
        {"color = 1;", "x:1: color: must be \"red\", \"green\" or \"blue\", not a whole number\n"},
        /* the last of a list: libconfig alone says line 3 */
        {"words = ( \"a\",\n 7, \"\\x01\"\n);",
                "x:2: words[1]: must be a string in quotes, not a whole number\n"
                "x:2: words[2]: must not contain control characters (there is a \\x01)\n"},
        {"words = \"a\";", "x:1: words: must be a list of strings such as ( \"a\", \"b\" ), not a string\n"},
        /* groups and lists */
        {"inner = 3;", "x:1: inner: must be a group such as { key = value; }, not a whole number\n"},
        {"items = ( 3 );", "x:1: items[0]: must be a group such as { key = value; }, not a whole number\n"},
        {"items = { name = \"a\"; };",
                "x:1: items: must be a list of groups such as ( { ... }, { ... } ), not a "
                "group: put it in parentheses\n"},
        {"items = 3;",
                "x:1: items: must be a list of groups such as ( { ... }, { ... } ), not a whole number\n"},
        {"items = (\n { } );", "x:2: items[0].name: missing, every item needs it: what it is called\n"},
        {"items = (\n { nam = \"x\"; } );", "x:2: items[0].nam: unknown key, did you mean `name`?\n"},
        /* syntax */
        {"any = 1;\nany = 2;", "x:2: syntax error: this key is given twice, keep one of them\n"},
        {"any 1;",
                "x:1: syntax error here or just above: look for a missing quote, bracket, comma or \"=\"\n"},
        {"text \"a\";", "x:1: a string does not belong here: is a \"=\" or a comma missing before it?\n"},
        {"words = ( \"a\" \"b\", 3 \"c\" );",
                "x:1: a string does not belong here: is a \"=\" or a comma missing before it?\n"},
        {"inner: { depth = 1, \"c\" };",
                "x:1: a string does not belong here: is a \"=\" or a comma missing before it?\n"},
        {"inner: {\n depth = 1;\n", "x:1: the \"{\" that opens here is never closed\n"},
        {"items = (\n { name = \"a\"; );", "x:2: the \")\" does not close the \"{\" of line 2\n"},
        {"any = 1; }", "x:1: the \"}\" closes nothing: a \"{\" is missing, or this is one too many\n"},
        {"any = 1;\n/* never\n\nended", "x:2: the comment that starts here has no end, \"*/\"\n"},
        {"@include more.conf",
                "x:1: @include must be followed by a path in quotes, such as @include \"more.conf\"\n"},
        {"\n@include \"/no/such/file\"",
                "x:2: @include: cannot read /no/such/file: No such file or directory\n"},
        {"@include \"/\"", "x:1: @include: cannot read /: it is a directory\n"},
};

START_TEST(test_wrong)
{
	expect(wrong[_i].text, wrong[_i].want);
}
END_TEST

START_TEST(test_required)
{
	expect_of(&strict_section, "\n\n",
	        "x:1: items: missing, there must be at least one item\n"
	        "x:1: text: missing: some text\n");
	expect_of(&strict_section, "text = \"\"; \n items = ( );",
	        "x:2: items: empty, there must be at least one item\n");
	expect_of(&strict_section, "text = \"\"; items = ( { name = \"\"; } );", "");
}
END_TEST

START_TEST(test_all_in_file_order)
{
	/* The order of the lines, not that of the tables. */
	expect("zebra = 1;\n"
	       "items = ( { weight = 0; },\n"
	       "  { name = 1; } );\n"
	       "/* two\n"
	       "lines */ wait = \"x\"; // and \"more\n"
	       "# @include \"nothing\"\n"
	       "flag = 2\n"
	       ";\n"
	       "text = \"// no comment, /* none */ # none\";\n"
	       "numbr = 1;\r\n",
	        "x:1: zebra: unknown key, the known ones are flag, number, any, wait, room, free_room, text, "
	        "color, "
	        "words, inner, items\n"
	        "x:2: items[0].name: missing, every item needs it: what it is called\n"
	        "x:2: items[0].weight: must be a whole number from 1 to 256, not 0\n"
	        "x:3: items[1].name: must be a string in quotes, not a whole number\n"
	        "x:5: wait: must be a duration such as \"250ms\" or \"5s\", from 1ms to 1h, not \"x\"\n"
	        "x:7: flag: must be true or false, not a whole number\n"
	        "x:10: numbr: unknown key, did you mean `number`?\n");
}
END_TEST

START_TEST(test_program_faults)
{
	struct sample s;
	struct conf *conf = conf_read_text("x",
	        "\nitems = ( { name = \"a\";\n weight = 2; } );\nwords = ( \"a\",\n\"b\"\n );",
	        &sample_section, &s);
	const struct item *items = s.items.at;
	conf_warning(conf, items[0].place, "weight", "is %s", "odd");
	ck_assert_uint_eq(conf_fault_count(conf), 0);
	conf_fault(conf, s.place, "words[1]", "element");
	conf_fault(conf, s.place, "words[9]", "no such element");
	conf_fault(conf, items[0].place, NULL, "item");
	conf_fault(conf, items[0].place, "absent", "absent");
	conf_fault(conf, s.inner.place, "depth", "group absent");
	conf_fault(conf, NULL, NULL, "file");
	conf_fault(conf, NULL, "text", "key of the file");
	ck_assert_uint_eq(conf_fault_count(conf), 7);
	char *got = faults_of(conf);
	ck_assert_str_eq(got, "x: file\n"
	                      "x:1: inner.depth: group absent\n"
	                      "x:1: text: key of the file\n"
	                      "x:2: items[0]: item\n"
	                      "x:2: items[0].absent: absent\n"
	                      "x:3: items[0].weight: warning: is odd\n"
	                      "x:4: words[9]: no such element\n"
	                      "x:5: words[1]: element\n");
	free(got);
	conf_free(conf);
}
END_TEST

/* A folder of its own for each test that needs files. */
static char folder[64];

static void folder_make(void)
{
	snprintf(folder, sizeof(folder), "/tmp/conf_test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void folder_remove(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static void file_write(const char *name, const char *text, size_t len)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	fclose(f);
}

/* Reads a file of the folder; the faults must be `want`, with "^" for the folder's path. */
static struct conf *file_expect(const char *name, const char *want, struct sample *s)
{
	char path[128], *all, *text;
	size_t len;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	struct conf *conf = conf_read(path, &sample_section, s);
	FILE *out = open_memstream(&all, &len);
	for (; *want != '\0'; want++)
		fprintf(out, *want == '^' ? "%s" : "%.1s", *want == '^' ? folder : want);
	fclose(out);
	text = faults_of(conf);
	ck_assert_str_eq(text, all);
	free(text);
	free(all);
	return conf;
}

#define FILE_WRITE(name, text) file_write(name, text, sizeof(text) - 1)

START_TEST(test_include)
{
	struct sample s;
	char path[128];
	snprintf(path, sizeof(path), "%s/sub", folder);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "inner: { depth = 2; };\n@include \"%s/abs.conf\"\n", folder);
	file_write("sub/b.conf", path, strlen(path));
	FILE_WRITE("main.conf", "any = 1;\n \t@include \"sub/a.conf\" flag = 7;\nnumber = 0;\n");
	FILE_WRITE("sub/a.conf", "\xef\xbb\xbfwait = \"7s\";\n@include \"b.conf\"\n\nroom = \"1\";");
	FILE_WRITE("abs.conf", "text = \"far\";\nfree_room = 3;");
	/* a.conf finds b.conf beside itself, and each place names its own file */
	struct conf *conf = file_expect("main.conf",
	        "^/abs.conf:2: free_room: must be a size such as \"64k\" or \"1m\", not a number: write "
	        "\"3\"\n"
	        "^/sub/a.conf:4: room: must be a size such as \"64k\" or \"1m\", from 1k to 1m, not \"1\"\n"
	        "^/main.conf:2: flag: must be true or false, not a whole number\n"
	        "^/main.conf:3: number: must be a whole number from 1 to 4096, not 0\n",
	        &s);
	ck_assert_int_eq(s.any, 1);
	ck_assert_int_eq(s.inner.depth, 2);
	ck_assert_int_eq(s.wait, 7 * CLOCK_NS_PER_S);
	ck_assert_str_eq(s.text, "far");
	ck_assert(!conf_unreadable(conf));
	conf_free(conf);
}
END_TEST

START_TEST(test_include_inside)
{
	struct sample s;
	FILE_WRITE("main.conf", "items = (\n@include \"items.conf\"\n);\n@include \"end.conf\"");
	FILE_WRITE("items.conf", "{ name = \"a\"; },\n{ name = \"b\"; weight = 300; }\n");
	FILE_WRITE("end.conf", "any = ;");
	struct conf *conf = file_expect("main.conf",
	        "^/end.conf:1: syntax error here or just above: look for a missing quote, bracket, comma or "
	        "\"=\"\n",
	        &s);
	conf_free(conf);
	FILE_WRITE("end.conf", "any = 3;");
	conf = file_expect("main.conf",
	        "^/items.conf:2: items[1].weight: must be a whole number from 1 to 256, not 300\n", &s);
	ck_assert_uint_eq(s.items.count, 2);
	conf_free(conf);
}
END_TEST

START_TEST(test_include_wrong)
{
	struct sample s;
	FILE_WRITE("main.conf",
	        "any = 1;\n@include \"again.conf\"\n@include \"none.conf\"\n@include \"nul.conf\"\n");
	FILE_WRITE("again.conf", "\n@include \"main.conf\"\n");
	FILE_WRITE("nul.conf", "text = 3;\nx\0y");
	struct conf *conf = file_expect("main.conf",
	        "^/again.conf:2: @include: cannot take in ^/main.conf: the file includes itself\n"
	        "^/main.conf:3: @include: cannot read ^/none.conf: No such file or directory\n"
	        "^/nul.conf:2: there is a NUL byte here: this is not a text file\n",
	        &s);
	ck_assert(!conf_unreadable(conf));
	conf_free(conf);
}
END_TEST

START_TEST(test_include_deep)
{
	struct sample s;
	char name[32], text[64];
	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "%d.conf", i);
		snprintf(text, sizeof(text), "@include \"%d.conf\"", i + 1);
		file_write(name, text, strlen(text));
	}
	struct conf *conf = file_expect("0.conf",
	        "^/10.conf:1: @include: cannot take in ^/11.conf: includes stand inside each other more than "
	        "10 deep\n",
	        &s);
	conf_free(conf);
}
END_TEST

START_TEST(test_unreadable)
{
	struct sample s;
	struct conf *conf = file_expect(
	        "none.conf", "^/none.conf: cannot be read: No such file or directory\n", &s);
	ck_assert(conf_unreadable(conf));
	ck_assert_uint_eq(conf_fault_count(conf), 1);
	conf_free(conf);
	conf = file_expect(".", "^/.: cannot be read: it is a directory\n", &s);
	ck_assert(conf_unreadable(conf));
	conf_free(conf);
	conf = conf_read("/dev/zero", &sample_section, &s);
	char *got = faults_of(conf);
	ck_assert_str_eq(got, "/dev/zero: cannot be read: it is larger than 16 MiB\n");
	free(got);
	conf_free(conf);
}
END_TEST

START_TEST(test_print)
{
	struct sample s, again;
	struct conf *conf = conf_read_text("x",
	        "flag = false; any = -5000000000; wait = \"1500ms\"; room = \"3k\"; free_room = \"1025\";\n"
	        "text = \"a \\\"b\\\" \\\\ \xc3\xa9 \\\\x00\"; color = \"red\"; words = ( \"a\", \"\\\"\" "
	        ");\n"
	        "items = ( { name = \"one\"; }, { name = \"two\"; weight = 2; } );",
	        &sample_section, &s);
	ck_assert_uint_eq(conf_fault_count(conf), 0);
	char *first = printed(&s);
	struct conf *conf_again = conf_read_text("y", first, &sample_section, &again);
	char *faults = faults_of(conf_again);
	ck_assert_str_eq(faults, "");
	char *second = printed(&again);
	ck_assert_str_eq(first, second);
	ck_assert_str_eq(again.text, s.text);
	ck_assert_int_eq(again.any, s.any);
	ck_assert_uint_eq(again.free_room, 1025);
	ck_assert_ptr_nonnull(strstr(first, "flag = false;                            // a flag\n"));
	ck_assert_ptr_nonnull(strstr(first, "any = -5000000000L;\n"));
	ck_assert_ptr_nonnull(strstr(first, "\n// a group\ninner: {\n\tpause = \"2m\";\n"));
	free(first);
	free(second);
	free(faults);
	conf_free(conf);
	conf_free(conf_again);
}
END_TEST

/* A key a line, as they are told. */
static void note_difference(void *arg, const struct conf_difference *d)
{
	size_t len = strlen(d->path), name = strlen(d->key->name);
	ck_assert(len >= name && strcmp(d->path + len - name, d->key->name) == 0);
	ck_assert_int_eq(d->change, CONF_CHANGED);
	fprintf(arg, "%s%s\n", d->path, d->live ? " live" : "");
}

static void expect_difference(const char *before, const char *after, const char *want)
{
	struct sample a, b;
	struct conf *of_a = conf_read_text("a", before, &sample_section, &a);
	struct conf *of_b = conf_read_text("b", after, &sample_section, &b);
	char *text;
	size_t len;
	for (int turn = 0; turn < 2; turn++) {
		FILE *out = open_memstream(&text, &len);
		conf_diff(&sample_section, turn == 0 ? &a : &b, turn == 0 ? &b : &a, note_difference, out);
		fclose(out);
		ck_assert_str_eq(text, want);
		free(text);
	}
	ck_assert_uint_eq(conf_fault_count(of_a) + conf_fault_count(of_b), 0);
	conf_free(of_a);
	conf_free(of_b);
}

START_TEST(test_differences)
{
	expect_difference("", "", "");
	/* What is written out is no difference, nor is another way to write it, or another place. */
	expect_difference("", "number = 16; wait = \"50000us\"; text = \"hello\"; items = ();", "");
	expect_difference(
	        "\n\ninner: { depth = 3; };\nroom = \"2048\";", "room = \"2k\"; inner: { depth = 3; };", "");
	expect_difference("", "number = 17;", "number live\n");
	expect_difference("inner: { depth = 8; pause = \"120s\"; };", "", "inner.depth\n");
	/* Every type, in the order of the table. */
	expect_difference("items = ( { name = \"a\"; weight = 3; }, { name = \"b\"; } );",
	        "items = ( { name = \"a\"; }, { name = \"c\"; weight = 2; } ); words = ( \"x\" ); color = "
	        "\"red\"; text = \"\"; flag = false; any = 7; wait = \"1s\"; room = \"32k\"; free_room = "
	        "\"1\"; number = 2; inner: { pause = \"1s\"; depth = 1; };",
	        "flag\nnumber "
	        "live\nany\nwait\nroom\nfree_room\ntext\ncolor\nwords\ninner.pause\ninner.depth\n"
	        "items[0].weight\nitems[1].name\nitems[1].weight\n");
	expect_difference("words = ( \"x\", \"y\" );", "words = ( \"x\", \"z\" );", "words\n");
	expect_difference("items = ( { name = \"a\"; } );",
	        "items = ( { name = \"b\"; }, { name = \"a\"; } );", "items\n");
}
END_TEST

START_TEST(test_nearest)
{
	static const char *const names[] = {"workers", "hold", "timeout", "timeouts", "x", NULL};
	ck_assert_str_eq(conf_nearest("workers", names), "workers");
	ck_assert_str_eq(conf_nearest("worker", names), "workers");
	ck_assert_str_eq(conf_nearest("wrokers", names), "workers");
	ck_assert_str_eq(conf_nearest("WORKERS", names), "workers");
	ck_assert_str_eq(conf_nearest("hodl", names), "hold");
	ck_assert_str_eq(conf_nearest("timeouts", names), "timeouts");
	ck_assert_ptr_null(conf_nearest("gold_", names));
	ck_assert_ptr_null(conf_nearest("y", names));
	ck_assert_ptr_null(conf_nearest("", names));
	ck_assert_ptr_null(conf_nearest("threads", names));
	char word[300];
	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	ck_assert_ptr_null(conf_nearest(word, names));
}
END_TEST

START_TEST(test_durations)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {{"0s", 0}, {"1ns", 1}, {"7us", 7000}, {"250ms", 250000000}, {"90s", 90 * CLOCK_NS_PER_S},
	        {"2m", 120 * CLOCK_NS_PER_S}, {"24h", 86400 * CLOCK_NS_PER_S},
	        {"1d", 86400 * CLOCK_NS_PER_S}};
	static const char *const bad[] = {"", "5", "s", "-5s", "+5s", "5S", "5 s", " 5s", "5s ", "1.5s",
	        "1m30s", "106752d", "99999999999999999999s"};
	int64_t ns = -1;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_msg(conf_parse_duration(good[i].text, &ns), "%s", good[i].text);
		ck_assert_int_eq(ns, good[i].ns);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!conf_parse_duration(bad[i], &ns), "%s", bad[i]);
	ck_assert(conf_parse_duration("106751d", &ns));
}
END_TEST

START_TEST(test_sizes)
{
	static const char *const bad[] = {
	        "", "k", "-1", "1kb", "1.5m", "1 k", "16777216t", "99999999999999999999"};
	uint64_t bytes = 0;
	ck_assert(conf_parse_size("0", &bytes) && bytes == 0);
	ck_assert(conf_parse_size("512", &bytes) && bytes == 512);
	ck_assert(conf_parse_size("64k", &bytes) && bytes == 65536);
	ck_assert(conf_parse_size("64K", &bytes) && bytes == 65536);
	ck_assert(conf_parse_size("2g", &bytes) && bytes == UINT64_C(2) << 30);
	ck_assert(conf_parse_size("16777215t", &bytes) && bytes == UINT64_C(16777215) << 40);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!conf_parse_size(bad[i], &bytes), "%s", bad[i]);
}
END_TEST

START_TEST(test_formats)
{
	static const struct {
		int64_t ns;
		const char *text;
	} times[] = {{0, "0s"}, {1, "1ns"}, {1500, "1500ns"}, {2000, "2us"},
	        {1500 * CLOCK_NS_PER_MS, "1500ms"}, {60 * CLOCK_NS_PER_S, "1m"}, {90 * CLOCK_NS_PER_S, "90s"},
	        {86400 * CLOCK_NS_PER_S, "24h"}, {-CLOCK_NS_PER_S, "-1s"},
	        {INT64_MAX, "9223372036854775807ns"}};
	char text[32];
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		conf_format_duration(times[i].ns, text);
		ck_assert_str_eq(text, times[i].text);
	}
	conf_format_size(0, text);
	ck_assert_str_eq(text, "0");
	conf_format_size(1025, text);
	ck_assert_str_eq(text, "1025");
	conf_format_size(16384, text);
	ck_assert_str_eq(text, "16k");
	conf_format_size(UINT64_MAX, text);
	ck_assert_str_eq(text, "18446744073709551615");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("conf");
	TCase *text = tcase_create("text"), *files = tcase_create("files"), *units = tcase_create("units");
	tcase_add_test(text, test_defaults);
	tcase_add_test(text, test_values);
	tcase_add_loop_test(text, test_wrong, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(text, test_required);
	tcase_add_test(text, test_all_in_file_order);
	tcase_add_test(text, test_program_faults);
	tcase_add_test(text, test_print);
	tcase_add_checked_fixture(files, folder_make, folder_remove);
	tcase_add_test(files, test_include);
	tcase_add_test(files, test_include_inside);
	tcase_add_test(files, test_include_wrong);
	tcase_add_test(files, test_include_deep);
	tcase_add_test(files, test_unreadable);
	tcase_add_test(units, test_nearest);
	tcase_add_test(units, test_differences);
	tcase_add_test(units, test_durations);
	tcase_add_test(units, test_sizes);
	tcase_add_test(units, test_formats);
	suite_add_tcase(s, text);
	suite_add_tcase(s, files);
	suite_add_tcase(s, units);
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
