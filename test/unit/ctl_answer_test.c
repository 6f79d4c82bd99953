/* Commands as text: which row a line means, what is refused and with which words. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/answer.h"

static bool show(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	(void)words;
	(void)why;
	fprintf(out, "%s\n", (const char *)arg);
	return true;
}

static bool set(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	(void)arg;
	snprintf(why, ANSWER_WHY_BYTES, "not [%s]", words[0]);
	fprintf(out, "[%s] [%s]\n", words[0], words[1]);
	return strcmp(words[1], "bad") != 0;
}

/* Two words or fewer; "bad" and "empty" are refused. */
static json_t *list(void *arg, char *const *words, char why[ANSWER_WHY_BYTES])
{
	(void)arg;
	if (words[0] && strcmp(words[0], "empty") == 0)
		return NULL;
	if (words[0] && strcmp(words[0], "bad") == 0) {
		snprintf(why, ANSWER_WHY_BYTES, "not \"%s\"", words[0]);
		return NULL;
	}
	json_t *data = json_object();
	render_set_text(data, "first", words[0]);
	render_set_text(data, "second", words[0] ? words[1] : NULL);
	return data;
}

/* In so many pieces as the word says, of lines with an "l" behind it; "bad" is not begun, and "9" breaks off. */
struct pieces {
	struct answer_feed feed;
	int left;
	bool breaks, one_line;
	bool *ended;
};

static bool next_piece(struct answer_feed *f, FILE *out, int64_t *at, char why[ANSWER_WHY_BYTES])
{
	struct pieces *p = (struct pieces *)f;

	*at = 1000 + p->left;
	fprintf(out, "%d%s", p->left, p->one_line && p->left > 1 ? "" : "\n");
	if (p->breaks)
		snprintf(why, ANSWER_WHY_BYTES, "it broke");
	return !p->breaks && --p->left > 0;
}

static void end_pieces(struct answer_feed *f)
{
	*((struct pieces *)f)->ended = true;
	free(f);
}

static bool pieces_ended;

static struct answer_feed *begin_pieces(
        void *arg, char *const *words, bool as_json, char why[ANSWER_WHY_BYTES])
{
	struct pieces *p = calloc(1, sizeof(*p));

	(void)arg;
	ck_assert_ptr_nonnull(p);
	bool lines = words[0][1] == 'l';

	*p = (struct pieces){.feed = {.next = next_piece, .end = end_pieces, .has_lines = lines},
	        .left = atoi(words[0]),
	        .breaks = words[0][0] == '9',
	        .one_line = as_json && !lines,
	        .ended = &pieces_ended};
	if (strcmp(words[0], "bad") != 0)
		return &p->feed;
	free(p);
	snprintf(why, ANSWER_WHY_BYTES, "not \"bad\"");
	return NULL;
}

static const struct answer_command table[] = {
        {.name = "show status", .arguments = "", .help = "one", .run = show},
        {.name = "show servers", .arguments = "", .help = "two", .run = show},
        {.name = "set server", .arguments = "U/S drain|ready", .help = "three", .run = set},
        {.name = "set pool workers", .arguments = "N", .help = "four", .run = show},
        {.name = "reload", .arguments = "", .help = "five", .run = show},
        {.name = "both", .arguments = "", .help = "seven", .run = show, .data = list},
        {.name = "list", .arguments = "[A] [B]", .help = "six", .data = list},
        {.name = "pieces", .arguments = "N", .help = "eight", .feed = begin_pieces},
        {.name = NULL},
};

static struct {
	const char *line, *want;
	bool leaves;
} const rows[] = {
        {"show status", "shown\nok\n", false},
        {"  show\t status  ", "shown\nok\n", false},
        {"show servers", "shown\nok\n", false},
        {"reload", "shown\nok\n", false},
        {"set server a/b drain", "[a/b] [drain]\nok\n", false},
        {"set server a\\ b/\\\\c x\\", "[a b/\\c] [x\\]\nok\n", false},
        {"set server a/b bad", "[a/b] [bad]\nerror: not [a/b]\n", false},
        {"set pool workers 4", "shown\nok\n", false},
        {"set server a/b", "error: usage: set server U/S drain|ready\n", false},
        {"set server a/b c d e f g h i j", "error: usage: set server U/S drain|ready\n", false},
        {"reload now", "error: usage: reload\n", false},
        {"show", "error: the command is not whole; it goes on as one of: show status, show servers\n", false},
        {"set", "error: the command is not whole; it goes on as one of: set server, set pool workers\n",
                false},
        {"set pool", "error: the command is not whole; it goes on as one of: set pool workers\n", false},
        {"shw status", "error: there is no command \"shw status\"; did you mean \"show status\"?\n", false},
        {"set sever a/b drain", "error: there is no command \"set sever\"; did you mean \"set server\"?\n",
                false},
        {"set pool worker 4",
                "error: there is no command \"set pool worker\"; did you mean \"set pool workers\"?\n",
                false},
        {"reloat", "error: there is no command \"reloat\"; did you mean \"reload\"?\n", false},
        {"fly me to the moon",
                "error: there is no command \"fly me to the moon\"; \"help\" lists the commands\n", false},
        {"SHOW", "error: there is no command \"SHOW\"; \"help\" lists the commands\n", false},
        {"", "error: an empty line is no command; \"help\" lists the commands\n", false},
        {" \t ", "error: an empty line is no command; \"help\" lists the commands\n", false},
        {"help",
                "show status\n        one\nshow servers\n        two\nset server U/S drain|ready\n        "
                "three\n"
                "set pool workers N\n        four\nreload\n        five\nboth\n        seven\nlist [A] [B]\n "
                "       six\n"
                "pieces N\n"
                "        eight\n"
                "json COMMAND\n        answers with JSON, in one line\nhelp\n        prints this\nok\n",
                false},
        {"both", "shown\nok\n", false},
        {"json both", "{\"first\":null,\"second\":null}\nok\n", false},
        {"list", "first -\nsecond -\nok\n", false},
        {"list a", "first a\nsecond -\nok\n", false},
        {"list a b", "first a\nsecond b\nok\n", false},
        {"list a b c", "error: usage: list [A] [B]\n", false},
        {"list bad", "error: not \"bad\"\n", false},
        {"list empty", "error: out of memory\n", false},
        {"json list a", "{\"first\":\"a\",\"second\":null}\nok\n", false},
        {"json list a\\ \\\"\\\\ \xfc", "{\"first\":\"a \\\"\\\\\",\"second\":\"\xef\xbf\xbd\"}\nok\n",
                false},
        {"json list bad", "{\"error\":\"not \\\"bad\\\"\"}\nerror: not \"bad\"\n", false},
        {"json show status", "{\"messages\":[\"shown\"]}\nok\n", false},
        {"json set server a/b bad",
                "{\"messages\":[\"[a/b] [bad]\"],\"error\":\"not [a/b]\"}\nerror: not [a/b]\n", false},
        {"json reload now", "{\"error\":\"usage: reload\"}\nerror: usage: reload\n", false},
        {"json set pool",
                "{\"error\":\"the command is not whole; it goes on as one of: set pool workers\"}\n"
                "error: the command is not whole; it goes on as one of: set pool workers\n",
                false},
        {"json",
                "{\"error\":\"an empty line is no command; \\\"help\\\" lists the commands\"}\n"
                "error: an empty line is no command; \"help\" lists the commands\n",
                false},
        {"json json",
                "{\"error\":\"there is no command \\\"json\\\"; \\\"help\\\" lists the commands\"}\n"
                "error: there is no command \"json\"; \"help\" lists the commands\n",
                false},
        {"json a b c d e f g h i j k l",
                "{\"error\":\"there is no command \\\"a b c d e f g h\\\"; \\\"help\\\" lists the "
                "commands\"}\n"
                "error: there is no command \"a b c d e f g h\"; \"help\" lists the commands\n",
                false},
        {"show \1 status", "error: a command is a line of printable text; \"help\" lists the commands\n",
                true},
        {"\x7f", "error: a command is a line of printable text; \"help\" lists the commands\n", true},
};

static char *ask(const char *text, size_t len, bool *stays)
{
	char line[ANSWER_LINE_MAX], *got = NULL;
	size_t size;
	FILE *out = open_memstream(&got, &size);

	ck_assert(out != NULL && len < sizeof(line));
	memcpy(line, text, len);
	*stays = answer(table, (void *)(uintptr_t) "shown", line, len, out);
	ck_assert_int_eq(fclose(out), 0);
	return got;
}

START_TEST(test_rows)
{
	bool stays;
	char *got = ask(rows[_i].line, strlen(rows[_i].line), &stays);

	ck_assert_str_eq(got, rows[_i].want);
	ck_assert_int_eq(stays, !rows[_i].leaves);
	free(got);
}
END_TEST

START_TEST(test_nul)
{
	bool stays;
	char *got = ask("show\0status", 11, &stays);

	ck_assert_int_eq(strncmp(got, "error: ", 7), 0);
	ck_assert(!stays);
	free(got);
}
END_TEST

/* As long as a line can be: of one word, and of as many as possible. Each answer is one line. */
START_TEST(test_long)
{
	char text[ANSWER_LINE_MAX - 1];
	bool stays;

	for (int words = 0; words < 2; words++) {
		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = words && i % 2 ? ' ' : 'x';
		char *got = ask(text, sizeof(text), &stays);
		ck_assert_int_eq(strncmp(got, "error: there is no command \"x", 28), 0);
		ck_assert_ptr_eq(strchr(got, '\n'), got + strlen(got) - 1);
		ck_assert_uint_lt(strlen(got), 300);
		ck_assert(stays);
		free(got);
	}
}
END_TEST

START_TEST(test_print_word)
{
	static const char name[] = "a b\\c\td";
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	bool stays;

	fputs("set server ", out);
	answer_print_word(name, out);
	fputs(" x", out);
	ck_assert_int_eq(fclose(out), 0);
	char *got = ask(text, strlen(text), &stays);
	ck_assert_str_eq(got, "[a b\\c\td] [x]\nok\n");
	free(got);
	free(text);
}
END_TEST

/* What comes of a line whose answer comes in pieces: each of them, with "|" behind it. */
static void check_pieces(const char *said, const char *want)
{
	char line[ANSWER_LINE_MAX], *text = NULL;
	size_t size;
	struct answer_feed *feed;
	int64_t at = 0;
	FILE *out = open_memstream(&text, &size);

	snprintf(line, sizeof(line), "%s", said);
	pieces_ended = false;
	ck_assert(answer_or_feed(table, NULL, line, strlen(line), out, &feed));
	fputs("|", out);
	for (bool more = feed != NULL; more; fputs("|", out))
		more = answer_feed_next(feed, out, &at);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_str_eq(text, want);
	free(text);
	if (!feed)
		return;
	ck_assert_int_gt(at, 1000);
	answer_feed_end(feed);
	ck_assert(pieces_ended);
}

START_TEST(test_pieces)
{
	bool stays;

	check_pieces("pieces 3", "|3\n|2\n|1\nok\n|");
	check_pieces("json pieces 2", "|2|1\nok\n|");
	check_pieces("pieces 9", "|9\nerror: it broke\n|");
	check_pieces("pieces 2l", "|2\n|1\nok\n|");
	check_pieces("json pieces 2l", "||{\"messages\":[\"2\",\"1\"]}\nok\n|");
	check_pieces("json pieces 9l", "|{\"messages\":[\"9\"],\"error\":\"it broke\"}\nerror: it broke\n|");
	check_pieces("pieces bad", "error: not \"bad\"\n|");
	check_pieces("json pieces bad", "{\"error\":\"not \\\"bad\\\"\"}\nerror: not \"bad\"\n|");
	check_pieces("pieces", "error: usage: pieces N\n|");
	/* Where there is nobody to ask for the next one. */
	char *got = ask("pieces 3", 8, &stays);
	ck_assert_str_eq(got, "error: the answer comes in pieces, which are not to be had here\n");
	free(got);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("answer");
	TCase *cases = tcase_create("answer");
	SRunner *runner = srunner_create(suite);

	tcase_add_loop_test(cases, test_rows, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(cases, test_nul);
	tcase_add_test(cases, test_long);
	tcase_add_test(cases, test_print_word);
	tcase_add_test(cases, test_pieces);
	suite_add_tcase(suite, cases);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
