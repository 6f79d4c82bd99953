#include "ctl/answer.h"

#include <string.h>

#include "base/assert.h"
#include "conf/conf.h"

enum { WORDS_MAX = 8, NAME_WORDS_MAX = 3, COMMANDS_MAX = 32, SHOWN_BYTES = 80 };

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

/* More words than any command has are counted, not kept. */
static size_t split(char *line, char *words[WORDS_MAX])
{
	size_t n = 0;

	for (char *word; (word = next_word(&line)) != NULL; n++)
		if (n < WORDS_MAX)
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

static bool print_help(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	(void)words;
	(void)why;
	for (const struct answer_command *c = arg; c->name != NULL; c++)
		fprintf(out, "%s%s%s\n        %s\n", c->name, c->arguments[0] ? " " : "", c->arguments,
		        c->help);
	fputs("help\n        prints this\n", out);
	return true;
}

static const struct answer_command help_row = {"help", "", "", print_help};

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

/* What the words are the beginning of. */
static void refuse_beginning(const struct answer_command *table, char *const *words, size_t n, FILE *out)
{
	const char *before = "";

	fputs("error: the command is not whole; it goes on as one of: ", out);
	for (const struct answer_command *c = table; c->name != NULL; c++) {
		if (matching(c->name, words, n) < n)
			continue;
		fprintf(out, "%s%s", before, c->name);
		before = ", ";
	}
	putc('\n', out);
}

/* No command begins so: as many words as a name may have are compared, then fewer. */
static void refuse_unknown(const struct answer_command *table, char *const *words, size_t n, FILE *out)
{
	const char *names[COMMANDS_MAX + 2], *nearest = NULL;
	char said[SHOWN_BYTES];
	size_t count = 0;

	for (const struct answer_command *c = table; c->name != NULL; c++) {
		MUST(count < COMMANDS_MAX);
		names[count++] = c->name;
	}
	names[count] = help_row.name;
	names[count + 1] = NULL;
	for (size_t k = n < NAME_WORDS_MAX ? n : NAME_WORDS_MAX; k > 0 && !nearest; k--) {
		join(words, k, said);
		nearest = conf_nearest(said, names);
	}
	if (nearest) {
		fprintf(out, "error: there is no command \"%s\"; did you mean \"%s\"?\n", said, nearest);
	} else {
		join(words, n, said);
		fprintf(out, "error: there is no command \"%s\"%s\n", said, HELP_REMEDY);
	}
}

/* The row whose whole name the line begins with, the longest; *known: how many words begin some name. */
static const struct answer_command *find(
        const struct answer_command *table, char *const *words, size_t n, size_t *known)
{
	const struct answer_command *found = NULL;

	*known = 0;
	if (n > 0 && strcmp(words[0], help_row.name) == 0) {
		*known = 1;
		return &help_row;
	}
	for (const struct answer_command *c = table; c->name != NULL; c++) {
		size_t i = matching(c->name, words, n);

		if (i > 0 && i >= *known) {
			found = i == count_words(c->name) ? c : i > *known ? NULL : found;
			*known = i;
		}
	}
	return found;
}

static void run(const struct answer_command *c, void *arg, char *const *words, FILE *out)
{
	char why[ANSWER_WHY_BYTES] = "";

	if (c->run(arg, words, out, why))
		fputs("ok\n", out);
	else
		fprintf(out, "error: %s\n", why);
}

bool answer(const struct answer_command *table, void *arg, char *line, size_t len, FILE *out)
{
	char *words[WORDS_MAX];
	size_t known;

	if (!is_clean(line, len)) {
		fputs("error: a command is a line of printable text" HELP_REMEDY "\n", out);
		return false;
	}
	line[len] = '\0';
	size_t n = split(line, words);
	if (n == 0) {
		fputs("error: an empty line is no command" HELP_REMEDY "\n", out);
		return true;
	}
	size_t kept = n < WORDS_MAX ? n : WORDS_MAX;
	const struct answer_command *c = find(table, words, kept, &known);
	if (!c && known == n)
		refuse_beginning(table, words, n, out);
	else if (!c)
		refuse_unknown(table, words, kept, out);
	else if (n - known != count_words(c->arguments))
		fprintf(out, "error: usage: %s%s%s\n", c->name, c->arguments[0] ? " " : "", c->arguments);
	else
		run(c, c == &help_row ? (void *)(uintptr_t)table : arg, words + known, out);
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
