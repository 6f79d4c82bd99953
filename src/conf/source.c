/*
 * A file and all that it includes, merged into one text for libconfig, with a table of where each line comes from.
 * libconfig is not left to read files itself: 1.5 ends the process when an include is a directory, takes an include's
 * path relative to one fixed folder and never as absolute, gives the last string of a list the line after it, and
 * wraps numbers that are too large and drops NULs without a word.
 */
#define TPLB_CONF_PARTS
#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_MAX = 16 << 20, DEPTH_MAX = 10 };

/* One file on its way into the text. */
struct reader {
	struct conf *conf;
	const struct reader *parent; /* the file that includes this one */
	const char *path;
	dev_t dev;
	ino_t ino;
	unsigned depth;
	unsigned file;
	unsigned line;
	unsigned held; /* line ends read, but not yet written: see put_pending */
	bool fresh;    /* nothing but spaces since the line's start */
	bool stopped;  /* after a mistake that makes the rest meaningless */
	const char *at, *end;
};

static void reader_run(struct reader *r);

static void put(struct conf *conf, const char *bytes, size_t n)
{
	struct conf_source *s = &conf->source;
	if (conf->no_memory || n == 0)
		return;
	if (s->len + n + 1 > s->cap) {
		size_t cap = (s->len + n + 1) * 2;
		char *text = realloc(s->text, cap);
		if (text == NULL) {
			conf->no_memory = true;
			return;
		}
		s->text = text;
		s->cap = cap;
	}
	memcpy(s->text + s->len, bytes, n);
	s->len += n;
	s->text[s->len] = '\0';
}

/* Starts a line of the text, which comes from `line` of `file`. */
static void put_line(struct conf *conf, unsigned file, unsigned line)
{
	struct conf_source *s = &conf->source;
	if (!conf_grow(conf, &s->lines, s->line_count, &s->line_cap, sizeof(s->lines[0])))
		return;
	if (s->line_count > 0)
		put(conf, "\n", 1);
	s->lines[s->line_count++] = (struct conf_line){.file = file, .line = line};
}

/*
 * Line ends are held back until the next token that is not a separator, so that a separator stands on the line of
 * the token before it: libconfig gives a string in a list the line of the token that follows.
 */
static void put_pending(struct reader *r)
{
	for (; r->held > 0; r->held--)
		put_line(r->conf, r->file, r->line - r->held + 1);
}

/* Takes n bytes of the file into the text. */
static void take(struct reader *r, size_t n)
{
	put_pending(r);
	put(r->conf, r->at, n);
	r->at += n;
	r->fresh = false;
}

static size_t reader_left(const struct reader *r)
{
	return (size_t)(r->end - r->at);
}

static bool reader_sees(const struct reader *r, const char *word)
{
	size_t len = strlen(word);
	return reader_left(r) >= len && memcmp(r->at, word, len) == 0;
}

/* A mistake here, on this line. */
#define FAULT(r, ...)                                                                                        \
	(put_pending(r), conf_fault_line((r)->conf, (r)->conf->source.line_count, NULL, __VA_ARGS__))

static void skip_line_end(struct reader *r)
{
	r->at++;
	r->line++;
	r->held++;
	r->fresh = true;
}

static void skip_line_comment(struct reader *r)
{
	while (r->at < r->end && *r->at != '\n')
		r->at++;
}

static void skip_block_comment(struct reader *r)
{
	const struct reader start = *r;
	put(r->conf, " ", 1);
	for (r->at += 2; r->at < r->end && !reader_sees(r, "*/");) {
		if (*r->at == '\n')
			skip_line_end(r);
		else
			r->at++;
	}
	r->fresh = false;
	if (r->at < r->end) {
		r->at += 2;
		return;
	}
	*r = start; /* the place to name */
	FAULT(r, "the comment that starts here has no end, \"*/\"");
	r->stopped = true;
}

/* The length of the string that starts here, both quotes included; 0 when its line ends first. */
static size_t string_length(const struct reader *r)
{
	for (const char *p = r->at + 1; p < r->end && *p != '\n'; p++) {
		if (*p == '"')
			return (size_t)(p - r->at) + 1;
		if (*p == '\\' && p + 1 < r->end && p[1] != '\n')
			p++;
	}
	return 0;
}

/* The end of the last token; ';' at the start. */
static char last_char(const struct conf_source *s)
{
	size_t i = s->len;
	while (i > 0 && (s->text[i - 1] == ' ' || s->text[i - 1] == '\n'))
		i--;
	return i > 0 ? s->text[i - 1] : ';';
}

/* Whether a string may stand here. libconfig finds that out too, but then never frees the string. */
static bool string_belongs(const struct conf_source *s)
{
	bool group = s->bracket_count == 0 || s->brackets[s->bracket_count - 1].what == '{';
	return strchr(group ? "=:\"" : "([,\"", last_char(s)) != NULL;
}

static bool string_has_nul(const char *text, size_t len)
{
	for (size_t i = 0; i + 3 < len; i++) {
		if (text[i] != '\\')
			continue;
		if (memcmp(text + i, "\\x00", 4) == 0)
			return true;
		i++; /* an escaped backslash */
	}
	return false;
}

static void read_string(struct reader *r)
{
	size_t len = string_length(r);
	if (len == 0 || !string_belongs(&r->conf->source)) {
		FAULT(r,
		        len == 0
		                ? "the string that starts here is not closed: a quote is missing on this line"
		                : "a string does not belong here: is a \"=\" or a comma missing before it?");
		r->stopped = true;
		return;
	}
	if (string_has_nul(r->at, len))
		FAULT(r, "a string must not contain control characters (there is a \\x00)");
	take(r, len);
}

/* Whether the word is a whole number as libconfig writes them, and which; false for other words. */
static bool word_number(struct reader *r, const char *word, size_t len, int64_t *value)
{
	bool hex = len > 2 && word[0] == '0' && (word[1] == 'x' || word[1] == 'X');
	size_t from = hex ? 2 : (size_t)(word[0] == '-' || word[0] == '+');
	const char *digits = hex ? "0123456789abcdefABCDEF" : "0123456789";
	size_t till = from + strspn(word + from, digits);
	if (till == from || strspn(word + till, "L") != len - till || len - till > 2)
		return false;
	errno = 0;
	*value = strtoll(word, NULL, hex ? 16 : 10);
	if (errno == ERANGE)
		FAULT(r, "the number %.*s is out of range: whole numbers have at most 63 bits", (int)till,
		        word);
	return true;
}

/* 5s and http for "5s" and "http": libconfig would say "syntax error". */
static bool lacks_quotes(const struct reader *r, const char *word)
{
	int64_t ns;
	uint64_t bytes;
	char *end;
	if (word[0] >= '0' && word[0] <= '9') {
		(void)strtod(word, &end);
		return *end != '\0' && (conf_parse_duration(word, &ns) || conf_parse_size(word, &bytes));
	}
	bool letter = (word[0] >= 'a' && word[0] <= 'z') || (word[0] >= 'A' && word[0] <= 'Z');
	return letter && strcasecmp(word, "true") != 0 && strcasecmp(word, "false") != 0 &&
	       strchr("=:", last_char(&r->conf->source)) != NULL;
}

/* Whole numbers become 64-bit ones, for libconfig 1.5 cuts others to 32 bits. */
static void read_word(struct reader *r)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+*.";
	char word[64], number[32];
	int64_t value;
	size_t len = 0;

	while (len < reader_left(r) && memchr(letters, r->at[len], sizeof(letters) - 1) != NULL)
		len++;
	size_t kept = len < sizeof(word) ? len : sizeof(word) - 1;
	memcpy(word, r->at, kept);
	word[kept] = '\0';
	if (!word_number(r, word, kept, &value)) {
		if (lacks_quotes(r, word))
			FAULT(r, "%s must stand in quotes: \"%s\"", word, word);
		take(r, len > 0 ? len : 1);
		return;
	}
	if (kept < len)
		FAULT(r, "the number %s... is out of range: whole numbers have at most 63 bits", word);
	put_pending(r);
	put(r->conf, number, (size_t)snprintf(number, sizeof(number), "%" PRId64 "L", value));
	r->at += len;
	r->fresh = false;
}

/* Reads fd to its end. The caller frees the bytes; NULL sets *why. */
static char *bytes_of(int fd, size_t *len, const char **why)
{
	ssize_t n = 1;
	size_t cap = 0;
	char *bytes = NULL;
	for (*len = 0; n > 0 && *len <= TEXT_MAX; *len += n > 0 ? (size_t)n : 0) {
		if (*len == cap) {
			cap = cap == 0 ? 16384 : cap * 2;
			char *grown = realloc(bytes, cap);
			n = grown != NULL ? n : -1; /* errno is ENOMEM */
			bytes = grown != NULL ? grown : bytes;
		}
		if (n > 0)
			n = read(fd, bytes + *len, cap - *len);
	}
	if (n == 0)
		return bytes;
	*why = n < 0 ? strerror(errno) : "it is larger than 16 MiB";
	free(bytes);
	return NULL;
}

int conf_open(const char *path)
{
	int fd = open(
	        path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a pipe would wait for a writer */
	return fd < 0 ? -errno : fd;
}

/* The bytes of the file at r->path, which the caller frees; NULL sets *why. Notes which file it is. */
static char *file_bytes(struct reader *r, size_t *len, const char **why)
{
	struct stat st;
	char *bytes = NULL;
	const struct conf_opener *opener = r->conf->opener;
	int fd = opener != NULL ? opener->open(opener->arg, r->path) : conf_open(r->path);
	if (fd < 0) {
		*why = strerror(-fd);
	} else if (fstat(fd, &st) != 0) {
		*why = strerror(errno);
	} else if (S_ISDIR(st.st_mode)) {
		*why = "it is a directory";
	} else if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) {
		*why = "it is a pipe or a socket, not a file";
	} else {
		r->dev = st.st_dev;
		r->ino = st.st_ino;
		bytes = bytes_of(fd, len, why);
	}
	if (fd >= 0)
		close(fd);
	return bytes;
}

static bool reader_add_name(struct reader *r)
{
	struct conf_source *s = &r->conf->source;
	char *name = conf_text(r->conf, "%s", r->path);
	if (name == NULL || !conf_grow(r->conf, &s->files, s->file_count, &s->file_cap, sizeof(s->files[0])))
		return false;
	s->files[s->file_count] = name;
	r->file = (unsigned)s->file_count++;
	return true;
}

/* A path in an include counts from the folder of the file that says it. */
static const char *include_path(const struct reader *r, const char *written)
{
	const char *slash = strrchr(r->path, '/');
	if (written[0] == '/' || slash == NULL)
		return written;
	return conf_text(r->conf, "%.*s%s", (int)(slash - r->path + 1), r->path, written);
}

static const char *include_refusal(const struct reader *r)
{
	if (r->depth > DEPTH_MAX)
		return "includes stand inside each other more than 10 deep";
	for (const struct reader *up = r->parent; up != NULL; up = up->parent) {
		if (up->dev == r->dev && up->ino == r->ino)
			return "the file includes itself";
	}
	if (r->conf->source.len + reader_left(r) > TEXT_MAX)
		return "all files together are larger than 16 MiB";
	return NULL;
}

static void include_file(struct reader *r, const char *path)
{
	struct reader in = {.conf = r->conf, .parent = r, .path = path, .depth = r->depth + 1};
	const char *why;
	size_t len;
	char *bytes = file_bytes(&in, &len, &why);
	if (bytes == NULL) {
		FAULT(r, "@include: cannot read %s: %s", path, why);
		return;
	}
	in.at = bytes;
	in.end = bytes + len;
	why = include_refusal(&in);
	if (why != NULL) {
		FAULT(r, "@include: cannot take in %s: %s", path, why);
	} else if (reader_add_name(&in)) {
		reader_run(&in);
		put_line(r->conf, r->file, r->line);
	}
	free(bytes);
}

static void read_include(struct reader *r)
{
	put_pending(r);
	r->fresh = false;
	r->at += strlen("@include");
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t'))
		r->at++;
	size_t len = reader_sees(r, "\"") ? string_length(r) : 0;
	if (len <= 2) {
		FAULT(r, "@include must be followed by a path in quotes, such as @include \"more.conf\"");
		skip_line_comment(r);
		return;
	}
	char *path = conf_alloc(r->conf, len);
	if (path == NULL)
		return;
	for (size_t i = 1, n = 0; i < len - 1; i++) {
		if (r->at[i] == '\\' && i + 1 < len - 1)
			i++;
		path[n++] = r->at[i];
	}
	r->at += len;
	const char *full = include_path(r, path);
	if (full != NULL)
		include_file(r, full);
}

/* libconfig would find a missing bracket where the file ends, or not say what it misses. */
static void bracket_open(struct reader *r)
{
	struct conf_source *s = &r->conf->source;
	put_pending(r);
	if (s->bracket_count == CONF_BRACKETS_MAX) {
		FAULT(r, "brackets stand inside each other more than %d deep", CONF_BRACKETS_MAX);
		r->stopped = true;
		return;
	}
	s->brackets[s->bracket_count].what = *r->at;
	s->brackets[s->bracket_count++].line = s->line_count;
	take(r, 1);
}

static void bracket_close(struct reader *r)
{
	struct conf_source *s = &r->conf->source;
	const char *open = *r->at == ')' ? "(" : *r->at == ']' ? "[" : "{";
	if (s->bracket_count > 0 && s->brackets[s->bracket_count - 1].what == *open) {
		s->bracket_count--;
		return;
	}
	r->stopped = true;
	if (s->bracket_count == 0)
		FAULT(r, "the \"%c\" closes nothing: a \"%s\" is missing, or this is one too many", *r->at,
		        open);
	else
		FAULT(r, "the \"%c\" does not close the \"%c\" of line %u", *r->at,
		        s->brackets[s->bracket_count - 1].what,
		        s->lines[s->brackets[s->bracket_count - 1].line - 1].line);
}

static void check_brackets(struct conf *conf)
{
	const struct conf_source *s = &conf->source;
	if (conf->faults == 0 && s->bracket_count > 0)
		conf_fault_line(conf, s->brackets[s->bracket_count - 1].line, NULL,
		        "the \"%c\" that opens here is never closed", s->brackets[s->bracket_count - 1].what);
}

static void read_separator(struct reader *r)
{
	if (*r->at != ',' && *r->at != ';')
		bracket_close(r);
	put(r->conf, r->at++, 1);
	r->fresh = false;
}

static void read_one(struct reader *r)
{
	char c = *r->at;
	if (c == '\n') {
		skip_line_end(r);
	} else if (c == ' ' || c == '\t' || c == '\r' || c == '\f') {
		put(r->conf, " ", 1);
		r->at++;
	} else if (c == '#' || reader_sees(r, "//")) {
		skip_line_comment(r);
	} else if (reader_sees(r, "/*")) {
		skip_block_comment(r);
	} else if (c == '"') {
		read_string(r);
	} else if (r->fresh && reader_sees(r, "@include")) {
		read_include(r);
	} else if (strchr(",;)]}", c) != NULL && c != '\0') {
		read_separator(r);
	} else if (c == '(' || c == '[' || c == '{') {
		bracket_open(r);
	} else if (c == '\0') {
		FAULT(r, "there is a NUL byte here: this is not a text file");
		r->stopped = true;
	} else {
		read_word(r);
	}
}

static void reader_run(struct reader *r)
{
	r->line = 1;
	r->fresh = true;
	put_line(r->conf, r->file, 1);
	if (reader_sees(r, "\xef\xbb\xbf")) /* the byte order mark that some editors write */
		r->at += 3;
	while (r->at < r->end && !r->stopped && !r->conf->no_memory)
		read_one(r);
	put_pending(r);
}

void conf_source_file(struct conf *conf, const char *path)
{
	struct reader r = {.conf = conf, .path = path};
	const char *why;
	size_t len;
	char *bytes = file_bytes(&r, &len, &why);
	if (bytes == NULL) {
		conf->unreadable = true;
		conf_fault_line(conf, 0, NULL, "cannot be read: %s", why);
		return;
	}
	r.at = bytes;
	r.end = bytes + len;
	if (reader_add_name(&r))
		reader_run(&r);
	check_brackets(conf);
	free(bytes);
}

void conf_source_text(struct conf *conf, const char *name, const char *text)
{
	struct reader r = {.conf = conf, .path = name, .at = text, .end = text + strlen(text)};
	if (reader_add_name(&r))
		reader_run(&r);
	check_brackets(conf);
}
