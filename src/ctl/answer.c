#include "ctl/answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "conf/conf.h"

enum { WORDS_MAX = 8, NAME_WORDS_MAX = 3, COMMANDS_MAX = 40, SHOWN_BYTES = 80 };

#define HELP_REMEDY "; \"help\" lists the commands"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_clean(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 127)
			return false;
	return true;
}

/* Takes the next word off the line and ends it with a NUL. NULL: there is none. */
static char *next_word(char **line)
{
	char *from = *line, *word, *to;

	while (is_blank(*from))
		from++;
	if (*from == '\0')
		return NULL;
	for (word = to = from; *from != '\0' && !is_blank(*from); from++) {
		if (*from == '\\' && from[1] != '\0')
			from++;
		*to++ = *from;
	}
	*line = *from == '\0' ? from : from + 1;
	*to = '\0';
	return word;
}

/* More words than any command has are counted, not kept; "json" is one more. */
static size_t split(char *line, char *words[WORDS_MAX + 2])
{
	size_t n = 0;

	for (char *word; (word = next_word(&line)) != NULL; n++)
		if (n <= WORDS_MAX)
			words[n] = word;
	return n;
}

static size_t count_words(const char *text)
{
	size_t n = 0;

	for (size_t i = 0; text[i] != '\0'; i++)
		n += !is_blank(text[i]) && (i == 0 || is_blank(text[i - 1]));
	return n;
}

/* How many words of the command's name the line begins with. */
static size_t matching(const char *name, char *const *words, size_t n)
{
	size_t i = 0;

	for (; i < n && *name != '\0'; i++) {
		size_t len = strcspn(name, " ");

		if (strlen(words[i]) != len || memcmp(words[i], name, len) != 0)
			break;
		name += len;
		name += *name == ' ';
	}
	return i;
}

static json_t *help_data(void *arg, char *const *words, char why[ANSWER_WHY_BYTES]);

static const struct answer_command help_row = {
        .name = "help", .arguments = "", .help = "", .data = help_data};

/* One of which JSON needs no other look. */
static json_t *help_data(void *arg, char *const *words, char why[ANSWER_WHY_BYTES])
{
	json_t *rows = json_array();

	(void)words;
	(void)why;
	for (const struct answer_command *c = arg; c->name != NULL; c++) {
		json_t *row = json_object();

		render_set_text(row, "command", c->name);
		render_set_text(row, "arguments", c->arguments);
		render_set_text(row, "help", c->help);
		(void)json_array_append_new(rows, row);
	}
	return rows;
}

static void print_help(const struct answer_command *table, FILE *out)
{
	for (const struct answer_command *c = table; c->name != NULL; c++)
		fprintf(out, "%s%s%s\n        %s\n", c->name, c->arguments[0] ? " " : "", c->arguments,
		        c->help);
	fputs("json COMMAND\n        answers with JSON, in one line\n", out);
	fputs("help\n        prints this\n", out);
}

void answer_suggest(const char *word, const char *const *names, const char *remedy, char *why, size_t size)
{
	const char *nearest = conf_nearest(word, names);

	if (nearest)
		snprintf(why, size, "; did you mean \"%s\"?", nearest);
	else
		snprintf(why, size, "%s", remedy);
}

/* The words that were meant to be a command's name, as one; longer ones are cut short. */
static void join(char *const *words, size_t n, char out[SHOWN_BYTES])
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n && len < SHOWN_BYTES; i++)
		len += (size_t)snprintf(
		        out + len, SHOWN_BYTES - len, "%s%.*s", i > 0 ? " " : "", SHOWN_BYTES, words[i]);
}

/* A command as it came. */
struct query {
	const struct answer_command *table;
	void *arg;
	char *words[WORDS_MAX + 2]; /* a NULL behind them */
	size_t n;                   /* of words that were said; WORDS_MAX of them are kept */
	bool as_json;
	FILE *out;
	struct answer_feed **feed; /* NULL: no answer comes in pieces */
};

static void print_object(json_t *data, FILE *out)
{
	if (data && render_json(data, out))
		putc('\n', out);
	json_decref(data);
}

/* The end of an answer whose lines are `messages`, taken over: of one that could be given. */
static void end_messages(json_t *messages, FILE *out)
{
	json_t *data = json_object();

	render_set(data, "messages", messages);
	print_object(data, out);
	fputs("ok\n", out);
}

/* And of one that could not. */
static void fail_messages(json_t *messages, const char *why, FILE *out)
{
	json_t *data = json_object();

	if (messages && json_array_size(messages) > 0)
		render_set(data, "messages", messages);
	else
		json_decref(messages);
	render_set_text(data, "error", why);
	print_object(data, out);
	fprintf(out, "error: %s\n", why);
}

/* The end of an answer that could not be given. */
static void fail(const struct query *q, const char *why)
{
	if (q->as_json)
		fail_messages(NULL, why, q->out);
	else
		fprintf(q->out, "error: %s\n", why);
}

/* What the words are the beginning of. */
static void print_beginning(const struct query *q, FILE *out)
{
	const char *before = "";

	fputs("the command is not whole; it goes on as one of: ", out);
	for (const struct answer_command *c = q->table; c->name != NULL; c++) {
		if (matching(c->name, q->words, q->n) < q->n)
			continue;
		fprintf(out, "%s%s", before, c->name);
		before = ", ";
	}
}

/* No command begins so: as many words as a name may have are compared, then fewer. */
static void print_unknown(const struct query *q, FILE *out)
{
	const char *names[COMMANDS_MAX + 2], *nearest = NULL;
	size_t count = 0, n = q->n < WORDS_MAX ? q->n : WORDS_MAX;
	char said[SHOWN_BYTES];

	for (const struct answer_command *c = q->table; c->name != NULL; c++) {
		MUST(count < COMMANDS_MAX);
		names[count++] = c->name;
	}
	names[count] = help_row.name;
	names[count + 1] = NULL;
	for (size_t k = n < NAME_WORDS_MAX ? n : NAME_WORDS_MAX; k > 0 && !nearest; k--) {
		join(q->words, k, said);
		nearest = conf_nearest(said, names);
	}
	if (nearest) {
		fprintf(out, "there is no command \"%s\"; did you mean \"%s\"?", said, nearest);
	} else {
		join(q->words, n, said);
		fprintf(out, "there is no command \"%s\"%s", said, HELP_REMEDY);
	}
}

/* Answers with what the function prints. */
static void refuse(const struct query *q, void (*print)(const struct query *q, FILE *out))
{
	char *why = NULL;
	size_t len;
	FILE *out = open_memstream(&why, &len);

	if (out) {
		print(q, out);
		(void)fclose(out);
	}
	fail(q, why ? why : "out of memory");
	free(why);
}

/* The row whose whole name the line begins with, the longest; *known: how many words begin some name. */
static const struct answer_command *find(const struct query *q, size_t *known)
{
	size_t n = q->n < WORDS_MAX ? q->n : WORDS_MAX;
	const struct answer_command *found = NULL;

	*known = 0;
	if (n > 0 && strcmp(q->words[0], help_row.name) == 0) {
		*known = 1;
		return &help_row;
	}
	for (const struct answer_command *c = q->table; c->name != NULL; c++) {
		size_t i = matching(c->name, q->words, n);

		if (i > 0 && i >= *known) {
			found = i == count_words(c->name) ? c : i > *known ? NULL : found;
			*known = i;
		}
	}
	return found;
}

/* Each line as an element; the text is taken apart. NULL when memory is out. */
static json_t *lines_of(char *text)
{
	json_t *lines = json_array();

	for (char *line; (line = strsep(&text, "\n")) != NULL;)
		if (text) /* behind the last newline there is nothing */
			(void)json_array_append_new(lines, json_string_nocheck(line));
	return lines;
}

/* A command with text, asked for JSON. */
static void run_as_json(const struct query *q, const struct answer_command *c, char *const *words)
{
	char why[ANSWER_WHY_BYTES] = "", *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out) {
		fail(q, "out of memory");
		return;
	}
	bool good = c->run(q->arg, words, out, why);
	json_t *messages = fclose(out) == 0 ? lines_of(text) : NULL;
	free(text);
	if (good)
		end_messages(messages, q->out);
	else
		fail_messages(messages, why, q->out);
}

static void run_text(const struct query *q, const struct answer_command *c, char *const *words)
{
	char why[ANSWER_WHY_BYTES] = "";

	if (q->as_json)
		run_as_json(q, c, words);
	else if (c->run(q->arg, words, q->out, why))
		fputs("ok\n", q->out);
	else
		fail(q, why);
}

static void run_data(const struct query *q, const struct answer_command *c, char *const *words)
{
	char why[ANSWER_WHY_BYTES] = "";
	json_t *data = c->data(c == &help_row ? (void *)(uintptr_t)q->table : q->arg, words, why);
	bool good = data != NULL;

	if (good && q->as_json)
		good = render_json(data, q->out) && putc('\n', q->out) != EOF;
	else if (good && c == &help_row)
		print_help(q->table, q->out);
	else if (good)
		render_text(data, &c->look, q->out);
	json_decref(data);
	if (good)
		fputs("ok\n", q->out);
	else
		fail(q, why[0] ? why : "out of memory");
}

static void run_feed(const struct query *q, const struct answer_command *c, char *const *words)
{
	char why[ANSWER_WHY_BYTES] = "the answer comes in pieces, which are not to be had here";

	if (q->feed)
		*q->feed = c->feed(q->arg, words, q->as_json, why);
	if (!q->feed || !*q->feed)
		fail(q, why);
	else if (q->as_json && (*q->feed)->has_lines)
		(*q->feed)->messages = json_array();
}

/* Of one that has lines, asked for JSON. */
static bool collect_next(struct answer_feed *feed, FILE *out, int64_t *at)
{
	char why[ANSWER_WHY_BYTES] = "", *text = NULL;
	size_t len;
	FILE *piece = open_memstream(&text, &len);

	if (!piece) {
		fail_messages(NULL, "out of memory", out);
		return false;
	}
	bool more = feed->next(feed, piece, at, why);
	json_t *lines = fclose(piece) == 0 ? lines_of(text) : NULL;
	free(text);
	(void)json_array_extend(feed->messages, lines); /* without memory some are missing */
	json_decref(lines);
	if (more)
		return true;
	if (why[0] != '\0')
		fail_messages(json_incref(feed->messages), why, out);
	else
		end_messages(json_incref(feed->messages), out);
	return false;
}

void answer_feed_end(struct answer_feed *feed)
{
	json_decref(feed->messages);
	feed->end(feed);
}

bool answer_feed_next(struct answer_feed *feed, FILE *out, int64_t *at)
{
	char why[ANSWER_WHY_BYTES] = "";

	if (feed->messages)
		return collect_next(feed, out, at);
	if (feed->next(feed, out, at, why))
		return true;
	if (why[0] != '\0')
		fprintf(out, "error: %s\n", why);
	else
		fputs("ok\n", out);
	return false;
}

/* What may stand behind a name. */
static bool takes(const struct answer_command *c, size_t words)
{
	size_t most = count_words(c->arguments), least = most;

	for (const char *p = c->arguments; *p != '\0'; p++)
		least -= *p == '[' && (p == c->arguments || p[-1] == ' ');
	return words >= least && words <= most;
}

static void answer_words(const struct query *q)
{
	size_t known;
	const struct answer_command *c = find(q, &known);
	char usage[ANSWER_WHY_BYTES];

	if (q->n == 0) {
		fail(q, "an empty line is no command" HELP_REMEDY);
	} else if (!c && known == q->n) {
		refuse(q, print_beginning);
	} else if (!c) {
		refuse(q, print_unknown);
	} else if (!takes(c, q->n - known)) {
		snprintf(usage, sizeof(usage), "usage: %s%s%s", c->name, c->arguments[0] ? " " : "",
		        c->arguments);
		fail(q, usage);
	} else if (c->feed) {
		run_feed(q, c, q->words + known);
	} else if (c->data && (q->as_json || !c->run)) {
		run_data(q, c, q->words + known);
	} else {
		run_text(q, c, q->words + known);
	}
}

bool answer(const struct answer_command *table, void *arg, char *line, size_t len, FILE *out)
{
	return answer_or_feed(table, arg, line, len, out, NULL);
}

bool answer_or_feed(const struct answer_command *table, void *arg, char *line, size_t len, FILE *out,
        struct answer_feed **feed)
{
	struct query q = {.table = table, .arg = arg, .out = out, .feed = feed};

	if (feed)
		*feed = NULL;
	if (!is_clean(line, len)) {
		fputs("error: a command is a line of printable text" HELP_REMEDY "\n", out);
		return false;
	}
	line[len] = '\0';
	q.n = split(line, q.words);
	if (q.n > 0 && strcmp(q.words[0], "json") == 0) {
		q.as_json = true;
		q.n--;
		memmove(&q.words[0], &q.words[1], (WORDS_MAX + 1) * sizeof(q.words[0]));
	}
	answer_words(&q);
	return true;
}

void answer_print_word(const char *word, FILE *out)
{
	for (; *word != '\0'; word++) {
		if (is_blank(*word) || *word == '\\')
			putc('\\', out);
		putc(*word, out);
	}
}
