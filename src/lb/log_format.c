#include "lb/log_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "conf/conf.h"
#include "lb/exchange.h"

/* What is not a client's fits FIXED_MAX: names of the configuration are looked at when they are counted. */
enum {
	VALUE_MAX = 1024,
	VALUE_LEAST = 64,
	FIXED_MAX = 128,
	NAME_MAX_BYTES = 64,
	ITEMS_MAX = 128,
	LITERAL_PIECE = 16
};

/* Where a variable puts its value: as text, to be escaped, or as a number. */
struct writer {
	const struct log_format *format;
	char *at, *end; /* room for this value */
};

struct log_variable {
	const char *name, *help;
	void (*write)(struct writer *w, const struct log_record *r);
	bool is_clients; /* as long as the client likes */
	bool is_time;
};

struct log_item {
	struct str literal;                                          /* before the variable */
	void (*write)(struct writer *w, const struct log_record *r); /* the variable's; NULL: the end */
	size_t room;                                                 /* for its value */
};

/* Values ---------------------------------------------------------------------------------------------------------*/

enum { ESCAPE_BYTES = 6 /* of one byte, at most */ };

static bool is_plain(unsigned char c)
{
	return c >= ' ' && c < 127 && c != '"' && c != '\\';
}

/* In each byte of the word. */
#define EACH(c) (UINT64_C(0x0101010101010101) * (c))

/*
 * Whether each of eight bytes is plain. Of bytes below 128 no sum carries into the next one, and its upper bit says what is asked: at least a
 * blank, not 127, not one of the two. (After Henry S. Warren, "Hacker's Delight", section 6-1.)
 */
static bool are_plain(uint64_t word)
{
	uint64_t low = word & ~EACH(0x80);
	uint64_t not_quote = (low ^ EACH('"')) + EACH(0x7f), not_slash = (low ^ EACH('\\')) + EACH(0x7f);

	return (((low + EACH(0x60)) & ~(low + EACH(1)) & not_quote & not_slash & ~word) & EACH(0x80)) ==
	       EACH(0x80);
}

/* Copies what is plain at the front, and returns how much that is: eight bytes at a time, for texts are most of what a line costs. */
static size_t copy_plain(char *to, const char *from, size_t len)
{
	size_t n = 0;
	uint64_t word;

	for (; len - n >= sizeof(word); n += sizeof(word)) {
		memcpy(&word, from + n, sizeof(word));
		if (!are_plain(word))
			break;
		memcpy(to + n, &word, sizeof(word));
	}
	if (n > 0 && len - n < sizeof(word)) { /* the rest, with some of what is there already */
		memcpy(&word, from + len - sizeof(word), sizeof(word));
		if (are_plain(word)) {
			memcpy(to + len - sizeof(word), &word, sizeof(word));
			return len;
		}
	}
	for (; n < len && is_plain((unsigned char)from[n]); n++)
		to[n] = from[n];
	return n;
}

static void put_escaped(struct writer *w, unsigned char c)
{
	if (w->format->json)
		w->at += snprintf(w->at, (size_t)(w->end - w->at), "\\u%04x", c);
	else
		w->at += snprintf(w->at, (size_t)(w->end - w->at), "\\x%02X", c);
}

/* What a client sent must end neither the field nor the line; what is not ASCII is no UTF-8 that one could rely on. */
static void put_text(struct writer *w, struct str s)
{
	if (s.len == 0 && !w->format->json)
		*w->at++ = '-';
	while (s.len > 0 && w->end - w->at > ESCAPE_BYTES) {
		size_t room = (size_t)(w->end - w->at) - ESCAPE_BYTES;
		size_t n = copy_plain(w->at, s.at, s.len < room ? s.len : room);

		w->at += n;
		if (n == 0) {
			put_escaped(w, (unsigned char)s.at[0]);
			n = 1;
		}
		s.at += n;
		s.len -= n;
	}
}

/* By hand: what printf needs for it was a part of what a line costs that showed. */
static void put_number(struct writer *w, uint64_t n)
{
	uint64_t rest = n;
	unsigned digits = 1;

	for (; rest >= 1000; rest /= 1000)
		digits += 3;
	digits += (unsigned)(rest >= 10) + (unsigned)(rest >= 100);
	char *at = w->at += digits;
	do
		*--at = (char)('0' + n % 10);
	while ((n /= 10) > 0);
}

static void put_none(struct writer *w)
{
	const char *none = w->format->json ? "null" : "-";

	w->at += snprintf(w->at, (size_t)(w->end - w->at), "%s", none);
}

/* A time in microseconds; below 0: there is none. */
static void put_us(struct writer *w, int64_t ns)
{
	if (ns < 0)
		put_none(w);
	else
		put_number(w, (uint64_t)(ns / CLOCK_NS_PER_US));
}

static void put_field(struct writer *w, const struct log_record *r, enum http_field_id id)
{
	const struct http_field *field = r->x ? http_head_find(&r->x->request, id) : NULL;

	put_text(w, field ? field->value : STR(""));
}

/* Variables ------------------------------------------------------------------------------------------------------*/

/*
 * The text of a second, kept for the lines that follow in it: each worker has its own, for strftime and the time zone (which localtime_r looks
 * up under a lock of all threads) cost more than the rest of a line.
 */
struct second {
	time_t at;
	size_t len; /* 0: none yet */
	char text[FIXED_MAX / 2];
};

/* As Apache and nginx have it. */
static size_t format_local(char *out, size_t cap, time_t now)
{
	struct tm parts;

	localtime_r(&now, &parts);
	return strftime(out, cap, "%d/%b/%Y:%H:%M:%S %z", &parts);
}

static size_t format_utc(char *out, size_t cap, time_t now)
{
	struct tm parts;

	gmtime_r(&now, &parts);
	return strftime(out, cap, "%Y-%m-%dT%H:%M:%S", &parts);
}

static void put_second(
        struct writer *w, struct second *s, time_t now, size_t (*format)(char *, size_t, time_t))
{
	if (s->at != now || s->len == 0) {
		s->at = now;
		s->len = format(s->text, sizeof(s->text), now);
	}
	memcpy(w->at, s->text,
	        sizeof(s->text)); /* all of it: of a constant size that is no call, and a value has the room */
	w->at += s->len;
}

static void write_time(struct writer *w, const struct log_record *r)
{
	static _Thread_local struct second second;

	(void)r;
	put_second(w, &second, time(NULL), format_local);
}

/* RFC 3339, with milliseconds. */
static void write_time_iso(struct writer *w, const struct log_record *r)
{
	static _Thread_local struct second second;
	struct timespec now;

	(void)r;
	clock_gettime(CLOCK_REALTIME, &now);
	unsigned ms = (unsigned)(now.tv_nsec / 1000000);
	put_second(w, &second, now.tv_sec, format_utc);
	*w->at++ = '.';
	*w->at++ = (char)('0' + ms / 100);
	*w->at++ = (char)('0' + ms / 10 % 10);
	*w->at++ = (char)('0' + ms % 10);
	*w->at++ = 'Z';
}

_Static_assert((int)FIXED_MAX >= (int)ADDR_TEXT_MAX, "an address has room");

static void write_client(struct writer *w, const struct log_record *r)
{
	w->at += addr_ip_format(&r->c->peer, w->at); /* nothing in it needs an escape */
}

static void write_client_port(struct writer *w, const struct log_record *r)
{
	if (r->c->peer.family == 0)
		put_none(w);
	else
		put_number(w, ntohs(r->c->peer.port));
}

static void write_listener(struct writer *w, const struct log_record *r)
{
	put_text(w, str_of(r->x ? r->x->listener->name : r->c->listener->name));
}

static void write_upstream(struct writer *w, const struct log_record *r)
{
	put_text(w, r->x ? str_of(r->x->listener->upstream->name) : STR(""));
}

static void write_server(struct writer *w, const struct log_record *r)
{
	put_text(w, r->x && r->x->server ? str_of(r->x->server->text) : STR(""));
}

/* The request line as received; of a malformed request what came of its first line. */
static void write_request(struct writer *w, const struct log_record *r)
{
	const struct exchange *x = r->x;

	if (!x || x->listener->mode == LB_MODE_TCP) {
		put_text(w, STR(""));
		return;
	}
	const char *at = x->in->data + x->head_at;
	size_t len = x->request.size           ? x->request.size
	             : x->in->end > x->head_at ? x->in->end - x->head_at
	                                       : 0;
	/* The end is near behind a target that is known. */
	size_t n = x->request.target.len > 0 ? (size_t)(x->request.target.at - at) + x->request.target.len
	                                     : 0;
	while (n < len && at[n] != '\n')
		n++;
	if (n > 0 && at[n - 1] == '\r')
		n--;
	put_text(w, (struct str){at, n});
}

static void write_method(struct writer *w, const struct log_record *r)
{
	put_text(w, r->x ? r->x->request.method : STR(""));
}

static void write_target(struct writer *w, const struct log_record *r)
{
	put_text(w, r->x ? r->x->request.target : STR(""));
}

static void write_version(struct writer *w, const struct log_record *r)
{
	if (!r->x || r->x->request.size == 0)
		put_text(w, STR(""));
	else
		put_text(w, r->x->request.minor == 0 ? STR("HTTP/1.0") : STR("HTTP/1.1"));
}

static void write_host(struct writer *w, const struct log_record *r)
{
	put_text(w, r->x ? r->x->request.host : STR(""));
}

static void write_referer(struct writer *w, const struct log_record *r)
{
	put_field(w, r, FIELD_REFERER);
}

static void write_agent(struct writer *w, const struct log_record *r)
{
	put_field(w, r, FIELD_USER_AGENT);
}

static void write_status(struct writer *w, const struct log_record *r)
{
	put_number(w, (uint64_t)r->status);
}

static void write_bytes(struct writer *w, const struct log_record *r)
{
	put_number(w, r->bytes);
}

static void write_bytes_in(struct writer *w, const struct log_record *r)
{
	put_number(w, r->x ? exchange_bytes_in(r->x) : 0);
}

static void write_queue_us(struct writer *w, const struct log_record *r)
{
	put_us(w, r->c->queue_wait);
}

static void write_server_queue_us(struct writer *w, const struct log_record *r)
{
	put_us(w, r->x ? r->x->shelf_wait : -1);
}

static void write_connect_us(struct writer *w, const struct log_record *r)
{
	put_us(w, r->x && r->x->connect_time > 0 ? r->x->connect_time : -1);
}

static void write_first_byte_us(struct writer *w, const struct log_record *r)
{
	put_us(w, r->x && r->x->first_byte_at > 0 ? r->x->first_byte_at - r->x->asked_at : -1);
}

static void write_total_us(struct writer *w, const struct log_record *r)
{
	int64_t end = r->x && r->x->ended_at ? r->x->ended_at : clock_now();

	put_us(w, end - (conn_queued_at(r->c) ? conn_queued_at(r->c) : r->c->head_since));
}

static void write_retries(struct writer *w, const struct log_record *r)
{
	put_number(w, r->x ? r->x->failed_count : 0);
}

static void write_reused(struct writer *w, const struct log_record *r)
{
	put_number(w, r->x && r->x->reused);
}

static void write_request_id(struct writer *w, const struct log_record *r)
{
	put_text(w, r->x ? r->x->request_id : STR(""));
}

static void write_end(struct writer *w, const struct log_record *r)
{
	put_text(w, str_of(r->end));
}

static const struct log_variable variables[] = {
        {"time", "when the request ended, as in the combined format", write_time, .is_time = false},
        {"time_iso", "likewise, as RFC 3339 has it: UTC, with milliseconds", write_time_iso,
                .is_time = false},
        {"client", "the address that the connection came from, or that its PROXY protocol header names",
                write_client, .is_clients = false},
        {"client_port", "its port", write_client_port, .is_clients = false},
        {"listener", "the name of the listener that took it", write_listener,
                .is_clients = true}, /* a name may be long as well */
        {"upstream", "whose servers were to answer it", write_upstream, .is_clients = true},
        {"server", "who answered, or was to", write_server, .is_clients = true},
        {"request", "the line of the request as it came, or what came of it", write_request,
                .is_clients = true},
        {"method", "its method, where it was well-formed", write_method, .is_clients = true},
        {"target", "its target, likewise", write_target, .is_clients = true},
        {"version", "its version, likewise", write_version, .is_clients = false},
        {"host", "the host that it asks for, likewise", write_host, .is_clients = true},
        {"referer", "its field Referer", write_referer, .is_clients = true},
        {"agent", "its field User-Agent", write_agent, .is_clients = true},
        {"status", "what the client was told; 0: nothing", write_status, .is_clients = false},
        {"bytes", "bytes of the body of the answer that it was sent, or of a tunnel", write_bytes,
                .is_clients = false},
        {"bytes_in", "bytes of the request, head and body", write_bytes_in, .is_clients = false},
        {"queue_us", "time in the queue", write_queue_us, .is_time = true},
        {"server_queue_us", "time that it waited for a server with room, see max_connections",
                write_server_queue_us, .is_time = true},
        {"connect_us", "time that connecting to servers took; none where a kept connection served",
                write_connect_us, .is_time = true},
        {"first_byte_us", "from when the request had its server to the first byte of its answer",
                write_first_byte_us, .is_time = true},
        {"total_us", "from when it was put into the queue, or was begun if it never was, to its end",
                write_total_us, .is_time = true},
        {"retries", "how many servers had lost it before", write_retries, .is_clients = false},
        {"reused", "1 where a kept connection served, else 0", write_reused, .is_clients = false},
        {"request_id", "its id: see forward.request_id", write_request_id, .is_clients = true},
        {"end", "how it ended, in one word", write_end, .is_clients = false},
};
enum { VARIABLES = sizeof(variables) / sizeof(variables[0]) };

#define COMBINED "%{client} - - [%{time}] \"%{request}\" %{status} %{bytes} \"%{referer}\" \"%{agent}\""

static const struct {
	const char *name, *text;
} named[] = {
        {"combined", COMBINED},
        {"timed", COMBINED " queue=%{queue_us}us total=%{total_us}us server=%{server} end=%{end}"},
        {"json", "{\"time\":\"%{time_iso}\",\"client\":\"%{client}\",\"client_port\":%{client_port},"
                 "\"listener\":\"%{listener}\",\"method\":\"%{method}\",\"target\":\"%{target}\","
                 "\"version\":\"%{version}\",\"host\":\"%{host}\",\"referer\":\"%{referer}\","
                 "\"agent\":\"%{agent}\",\"status\":%{status},\"bytes\":%{bytes},\"bytes_in\":%{bytes_in},"
                 "\"upstream\":\"%{upstream}\",\"server\":\"%{server}\",\"reused\":%{reused},"
                 "\"retries\":%{retries},\"queue_us\":%{queue_us},\"server_queue_us\":%{server_queue_us},"
                 "\"connect_us\":%{connect_us},"
                 "\"first_byte_us\":%{first_byte_us},\"total_us\":%{total_us},\"request_id\":\"%{request_id}"
                 "\",\"end\":\"%{end}\"}"},
};
enum { NAMED = sizeof(named) / sizeof(named[0]) };

/* Texts ----------------------------------------------------------------------------------------------------------*/

static const struct log_variable *variable_of(struct str name)
{
	for (size_t i = 0; i < VARIABLES; i++)
		if (str_eq(name, str_of(variables[i].name)))
			return &variables[i];
	return NULL;
}

void log_variables_tell(void (*tell)(void *arg, const char *name, const char *help), void *arg)
{
	for (size_t i = 0; i < VARIABLES; i++)
		tell(arg, variables[i].name, variables[i].help);
}

static void fault_variable(struct str name, char why[LOG_FORMAT_WHY_BYTES])
{
	const char *names[VARIABLES + 1] = {NULL};
	char word[NAME_MAX_BYTES];

	snprintf(word, sizeof(word), "%.*s", (int)(name.len < sizeof(word) ? name.len : sizeof(word) - 1),
	        name.at);
	for (size_t i = 0; i < VARIABLES; i++)
		names[i] = variables[i].name;
	const char *nearest = conf_nearest(word, names);
	if (nearest) {
		snprintf(why, LOG_FORMAT_WHY_BYTES, "there is no variable %%{%s}, did you mean %%{%s}?", word,
		        nearest);
		return;
	}
	size_t n = (size_t)snprintf(
	        why, LOG_FORMAT_WHY_BYTES, "there is no variable %%{%s}, the known ones are", word);
	for (size_t i = 0; i < VARIABLES && n < LOG_FORMAT_WHY_BYTES; i++)
		n += (size_t)snprintf(
		        why + n, LOG_FORMAT_WHY_BYTES - n, "%s %s", i > 0 ? "," : "", variables[i].name);
}

/* The text that a name stands for, or the text itself; NULL: neither. */
static const char *text_of(const char *text, char why[LOG_FORMAT_WHY_BYTES])
{
	const char *names[NAMED + 1] = {NULL};

	for (size_t i = 0; i < NAMED; i++) {
		names[i] = named[i].name;
		if (strcmp(text, named[i].name) == 0)
			return named[i].text;
	}
	if (strstr(text, "%{"))
		return text;
	const char *nearest = conf_nearest(text, names);
	if (nearest)
		snprintf(why, LOG_FORMAT_WHY_BYTES, "did you mean \"%s\"?", nearest);
	else
		snprintf(why, LOG_FORMAT_WHY_BYTES,
		        "must be combined, timed, json, or a text with variables in it, such as \"%%{client} "
		        "%%{status}\"");
	return NULL;
}

static bool parse(struct log_format *f, char why[LOG_FORMAT_WHY_BYTES])
{
	const char *at = f->full;

	for (;;) {
		struct log_item *item = &f->items[f->count++];
		const char *start = strstr(at, "%{"), *end = start ? strchr(start, '}') : NULL;

		item->literal = start ? (struct str){at, (size_t)(start - at)} : str_of(at);
		if (!start)
			return true;
		if (!end) {
			snprintf(why, LOG_FORMAT_WHY_BYTES, "\"%.20s\" has no end, \"}\"", start);
			return false;
		}
		struct str name = {start + 2, (size_t)(end - start) - 2};
		const struct log_variable *variable = variable_of(name);
		if (!variable) {
			fault_variable(name, why);
			return false;
		}
		item->write = variable->write;
		item->room = variable->is_clients ? 0 : FIXED_MAX;
		f->timed |= variable->is_time;
		f->has_id |= variable->write == write_request_id;
		if (f->count == ITEMS_MAX) {
			snprintf(why, LOG_FORMAT_WHY_BYTES, "has more than %d variables", ITEMS_MAX - 1);
			return false;
		}
		at = end + 1;
	}
}

/* Shares the line among the values that have no bound of their own, whose room is 0 so far. */
static bool share(struct log_format *f, char why[LOG_FORMAT_WHY_BYTES])
{
	size_t fixed = strlen(f->full) + 2 + LITERAL_PIECE, open = 0;

	for (unsigned i = 0; i < f->count; i++) {
		open += f->items[i].write && f->items[i].room == 0;
		fixed += f->items[i].room;
	}
	size_t left = fixed < LOG_FORMAT_LINE_MAX ? LOG_FORMAT_LINE_MAX - fixed : 0;
	size_t each = open > 0 && left / open < VALUE_MAX ? left / open : VALUE_MAX;
	for (unsigned i = 0; i < f->count; i++)
		if (f->items[i].room == 0)
			f->items[i].room = each;
	if (left > 0 && each >= VALUE_LEAST)
		return true;
	snprintf(why, LOG_FORMAT_WHY_BYTES, "makes lines of more than %d bytes", LOG_FORMAT_LINE_MAX);
	return false;
}

/* A copy with some more bytes behind it that can be read. */
static char *padded(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = calloc(1, size + LITERAL_PIECE);

	if (copy)
		memcpy(copy, text, size);
	return copy;
}

struct log_format *log_format_new(const char *text, char why[LOG_FORMAT_WHY_BYTES])
{
	struct log_format *f = calloc(1, sizeof(*f));

	why[0] = '\0';
	if (!f)
		return NULL;
	const char *full = text_of(text, why);
	f->items = full ? calloc(ITEMS_MAX, sizeof(*f->items)) : NULL;
	f->text = full ? strdup(text) : NULL;
	f->full = full ? padded(full) : NULL;
	f->json = full && full[0] == '{';
	if (f->items && f->text && f->full && strpbrk(f->full, "\r\n"))
		snprintf(why, LOG_FORMAT_WHY_BYTES, "must be one line");
	else if (f->items && f->text && f->full && parse(f, why) && share(f, why))
		return f;
	log_format_free(f);
	return NULL;
}

void log_format_free(struct log_format *f)
{
	if (!f)
		return;
	free(f->items);
	free(f->text);
	free(f->full);
	free(f);
}

/* In pieces of a constant size, which need no call: up to one more than there is, which share() and padded() have room for. */
static char *put_literal(char *at, struct str literal)
{
	for (size_t n = 0; n < literal.len; n += LITERAL_PIECE)
		memcpy(at + n, literal.at + n, LITERAL_PIECE);
	return at + literal.len;
}

size_t log_format_write(
        const struct log_format *f, const struct log_record *r, char line[LOG_FORMAT_LINE_MAX])
{
	struct writer w = {.format = f, .at = line};

	for (unsigned i = 0; i < f->count; i++) {
		const struct log_item *item = &f->items[i];

		w.at = put_literal(w.at, item->literal);
		if (!item->write)
			continue;
		w.end = w.at + item->room;
		item->write(&w, r);
		MUST(w.at < w.end); /* snprintf's result could say more than it wrote */
	}
	*w.at++ = '\n';
	MUST(w.at <= line + LOG_FORMAT_LINE_MAX);
	return (size_t)(w.at - line);
}
