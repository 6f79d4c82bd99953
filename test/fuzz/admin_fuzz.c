/*
 * The admin socket, from the bytes that a client sends to the bytes that it gets. The first byte says in which pieces they go. The answers do not
 * depend on that; they are those of each line by itself; each is lines that end with one "ok" or "error: ...", behind "json" one line of JSON; and a command is given
 * the words that a plain reading of the line finds. The commands are those of tplb by name, and do nothing but tell their words.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/admin.h"
#include "fuzz.h"
#include "lb/commands.h"
#include "lb/show_connections.h"

enum { COMMANDS_MAX = 40, MOST = 3 * ANSWER_LINE_MAX, WORDS_MAX = 8 };

static struct answer_command table[COMMANDS_MAX];

/* Says the words back, written as a line takes them. */
static bool tell(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	(void)arg;
	for (unsigned i = 0; i < 2 && words[i]; i++) {
		fputs("word ", out);
		answer_print_word(words[i], out);
		putc('\n', out);
	}
	if (strcmp(words[0], "refuse") != 0)
		return true;
	snprintf(why, ANSWER_WHY_BYTES, "it is refused; say something else");
	return false;
}

static bool tell_nothing(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES])
{
	(void)arg, (void)words, (void)out, (void)why;
	return true;
}

/* The words as data; "refuse" is refused. */
static json_t *give(void *arg, char *const *words, char why[ANSWER_WHY_BYTES])
{
	json_t *data = json_object();

	(void)arg;
	if (words[0] && strcmp(words[0], "refuse") == 0) {
		snprintf(why, ANSWER_WHY_BYTES, "%.20s is refused", words[0]);
		json_decref(data);
		return NULL;
	}
	render_set_text(data, "first", words[0]);
	render_set_text(data, "second", words[0] ? words[1] : NULL);
	return data;
}

static json_t *give_nothing(void *arg, char *const *words, char why[ANSWER_WHY_BYTES])
{
	(void)arg, (void)words, (void)why;
	return json_array();
}

/* As `show connections` reads its words. */
static json_t *choose(void *arg, char *const *words, char why[ANSWER_WHY_BYTES])
{
	struct show_filter f;

	(void)arg;
	if (!show_filter_parse(&f, words, why)) {
		MUST(why[0] != '\0');
		return NULL;
	}
	MUST(f.most >= 1 && f.most <= SHOW_CONNECTIONS_MOST);
	return json_array();
}

/* Says the words back as `say` does, one in a piece. */
struct pieces {
	struct answer_feed feed;
	char words[2][ANSWER_LINE_MAX];
	unsigned next;
};

static bool next_piece(struct answer_feed *f, FILE *out, int64_t *at_time, char why[ANSWER_WHY_BYTES])
{
	struct pieces *p = (struct pieces *)f;
	const char *word = p->next < 2 ? p->words[p->next] : "";

	*at_time = 0;
	if (word[0] == '\0')
		return false;
	fputs("word ", out);
	answer_print_word(word, out);
	putc('\n', out);
	if (strcmp(word, "break") != 0)
		return ++p->next < 2;
	snprintf(why, ANSWER_WHY_BYTES, "it broke");
	return false;
}

static void end_pieces(struct answer_feed *f)
{
	free(f);
}

static struct answer_feed *begin_pieces(
        void *arg, char *const *words, bool as_json, char why[ANSWER_WHY_BYTES])
{
	struct pieces *p = calloc(1, sizeof(*p));

	(void)arg, (void)as_json;
	MUST(p != NULL);
	p->feed = (struct answer_feed){.next = next_piece, .end = end_pieces, .has_lines = true};
	for (unsigned i = 0; i < 2 && words[i]; i++)
		strcpy(p->words[i], words[i]);
	if (strcmp(p->words[0], "refuse") != 0)
		return &p->feed;
	snprintf(why, ANSWER_WHY_BYTES, "%.20s is refused", words[0]);
	free(p);
	return NULL;
}

/* Three that take words, and of tplb's names and arguments the rest. */
static void make_table(void)
{
	unsigned n = 0;

	table[n++] = (struct answer_command){
	        .name = "say", .arguments = "A B", .help = "for the test", .run = tell};
	table[n++] = (struct answer_command){
	        .name = "give", .arguments = "[A] [B]", .help = "for the test", .data = give};
	table[n++] = (struct answer_command){
	        .name = "pieces", .arguments = "[A] [B]", .help = "for the test", .feed = begin_pieces};
	for (const struct answer_command *c = lb_commands; c->name; c++) {
		MUST(n + 1 < COMMANDS_MAX);
		table[n] = *c;
		table[n].run = c->run || c->feed ? tell_nothing : NULL;
		table[n].feed = NULL;
		table[n++].data = strcmp(c->name, "show connections") == 0 ? choose
		                  : c->data                                ? give_nothing
		                                                           : NULL;
	}
}

/* A line taken apart: a blank ends a word, what follows a backslash is of the word. Returns how many. */
static unsigned split(const char *line, size_t len, char words[WORDS_MAX][ANSWER_LINE_MAX])
{
	unsigned n = 0;
	size_t word = 0;
	bool within = false;

	for (size_t i = 0; i <= len; i++) {
		bool ends = i == len || line[i] == ' ' || line[i] == '\t';

		if (ends && within && n < WORDS_MAX)
			words[n++][word] = '\0';
		if (ends) {
			within = false;
			continue;
		}
		word = within ? word : 0;
		within = true;
		if (line[i] == '\\' && i + 1 < len)
			i++;
		if (n < WORDS_MAX)
			words[n][word++] = line[i];
	}
	return n;
}

/* What "say A B" must be answered. */
static void check_words(const char *line, size_t len, const char *text)
{
	static char words[WORDS_MAX][ANSWER_LINE_MAX], again[WORDS_MAX][ANSWER_LINE_MAX];

	if (split(line, len, words) != 3 || strcmp(words[0], "say") != 0)
		return;
	for (unsigned i = 1; i <= 2; i++) {
		const char *end = strchr(text, '\n');

		MUST(end != NULL && strncmp(text, "word ", 5) == 0);
		MUST(split(text + 5, (size_t)(end - text) - 5, again) == 1);
		MUST(strcmp(words[i], again[0]) == 0);
		text = end + 1;
	}
	MUST(strcmp(text, "ok\n") == 0 ||
	        (strcmp(words[1], "refuse") == 0 && strncmp(text, "error: ", 7) == 0));
}

/* One line of JSON, then the last: an error is told in both. */
static void check_json(const char *text)
{
	const char *end = strchr(text, '\n');
	json_t *data = json_loadb(text, (size_t)(end - text), JSON_DECODE_ANY, NULL);

	MUST(data != NULL);
	const char *error = json_string_value(json_object_get(data, "error"));
	MUST((error != NULL) == (strcmp(end + 1, "ok\n") != 0));
	json_decref(data);
}

/* Lines, the last one and no other "ok" or "error: ...". */
static void check_form(const char *text, bool as_json)
{
	bool last = false;

	if (as_json)
		check_json(text);

	while (*text) {
		const char *end = strchr(text, '\n');

		MUST(end != NULL && !last);
		for (const char *p = text; p < end; p++)
			MUST((unsigned char)*p >= ' ' || *p == '\t');
		last = strncmp(text, "ok\n", 3) == 0 || strncmp(text, "error: ", 7) == 0;
		text = end + 1;
	}
	MUST(last);
}

/* The answer to one line, appended to out. False: the connection ends there. */
static bool answer_to(const char *line, size_t len, FILE *out)
{
	static char words[WORDS_MAX][ANSWER_LINE_MAX];
	char copy[ANSWER_LINE_MAX], *text = NULL;
	size_t text_len;
	FILE *memory = open_memstream(&text, &text_len);

	MUST(memory != NULL);
	memcpy(copy, line, len);
	struct answer_feed *feed;
	int64_t at_time;
	bool goes_on = answer_or_feed(table, NULL, copy, len, memory, &feed);
	while (feed && answer_feed_next(feed, memory, &at_time))
		continue;
	if (feed)
		answer_feed_end(feed);
	MUST(fclose(memory) == 0 && strlen(text) == text_len);
	check_form(text, goes_on && split(line, len, words) > 0 && strcmp(words[0], "json") == 0);
	if (goes_on)
		check_words(line, len, text);
	fputs(text, out);
	free(text);
	return goes_on;
}

/* What the bytes must be answered, whatever the pieces. */
static char *expected(struct str bytes)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	bool goes_on = true;

	MUST(out != NULL);
	while (goes_on && bytes.len > 0) {
		const char *end = memchr(bytes.at, '\n', bytes.len);
		size_t line = end ? (size_t)(end - bytes.at) : bytes.len;

		if (line >= ANSWER_LINE_MAX || (!end && line > 0)) {
			fprintf(out, "error: the line %s\n",
			        line >= ANSWER_LINE_MAX ? "is too long; a command has at most 4095 bytes"
			                                : "was cut short; a command ends with a newline");
			break;
		}
		size_t text_len = line > 0 && bytes.at[line - 1] == '\r' ? line - 1 : line;
		goes_on = answer_to(bytes.at, text_len, out);
		bytes = (struct str){bytes.at + line + 1, bytes.len - line - 1};
	}
	MUST(fclose(out) == 0);
	return text;
}

static char folder[] = "/tmp/tplb-fuzz-XXXXXX";
static struct addr at;

static void clean(void)
{
	unlink(at.u.un.sun_path);
	rmdir(folder);
}

static void start(void)
{
	char text[ADDR_TEXT_MAX];
	const char *why;
	int error;

	make_table();
	MUST(mkdtemp(folder) != NULL);
	snprintf(text, sizeof(text), "unix:%s/s", folder);
	MUST(addr_parse(text, true, &at, &why));
	struct admin *a = admin_open(&at, getuid(), getgid(), &error);
	MUST(a != NULL && atexit(clean) == 0 && admin_start(a, "fuzz", table, NULL) == 0);
}

/* All that the socket says to the bytes, in pieces of `piece`. libFuzzer looks for what hangs by SIGALRM, which interrupts whoever waits. */
static char *talk(struct str bytes, size_t piece)
{
	size_t room = 65536, len = 0;
	char *text = malloc(room);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ssize_t n;

	MUST(text != NULL && fd >= 0);
	while (connect(fd, &at.u.any, at.len) != 0)
		MUST(errno == EINTR);
	while (bytes.len > 0) {
		size_t part = bytes.len < piece ? bytes.len : piece;

		n = send(fd, bytes.at, part, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			break; /* it has left */
		part = n < 0 ? 0 : (size_t)n;
		bytes = (struct str){bytes.at + part, bytes.len - part};
	}
	(void)shutdown(fd, SHUT_WR);
	while ((n = recv(fd, text + len, room - len - 1, 0)) > 0 || (n < 0 && errno == EINTR)) {
		len += n < 0 ? 0 : (size_t)n;
		if (room - len < 65536)
			text = realloc(text, room *= 2);
		MUST(text != NULL);
	}
	text[len] = '\0';
	close(fd);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	size_t piece = input_byte(&in);
	struct str bytes = input_bytes(&in, MOST);

	if (at.len == 0)
		start();
	/* 0: all at once; otherwise such pieces, but not too many. */
	piece = piece == 0 ? MOST : piece + bytes.len / 32;
	char *said = talk(bytes, piece), *wanted = expected(bytes);
	MUST(strcmp(said, wanted) == 0);
	free(said);
	free(wanted);
	return 0;
}
