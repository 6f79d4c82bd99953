#include "ctl/top_view.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { NAME_WIDTH_MIN = 16, NAME_WIDTH_MAX = 48, LINE_BYTES = 512 };

/* What is shown of a server. value: of the row itself; rate: how much that grew, a second. */
struct server_line {
	char name[128];
	const char *state;
	double values[TOP_COLUMNS]; /* negative: unknown */
	const struct top_look *look;
};

enum column_kind { COLUMN_NAME, COLUMN_STATE, COLUMN_VALUE, COLUMN_RATE, COLUMN_MEAN };
static const struct {
	const char *heading, *member;
	enum column_kind kind;
	int width, digits;
} columns[TOP_COLUMNS] = {
        {"SERVER", NULL, COLUMN_NAME, 0, 0},
        {"STATE", "state", COLUMN_STATE, 9, 0},
        {"WEIGHT", "weight", COLUMN_VALUE, 7, 0},
        {"ACTIVE", "active", COLUMN_VALUE, 7, 0},
        {"REQ/S", "requests", COLUMN_RATE, 10, 1},
        {"FAIL/S", "failures", COLUMN_RATE, 8, 1},
        {"MS", "answers_us", COLUMN_MEAN, 8,
                2}, /* to the first byte of an answer, on the average between the two */
        {"REQUESTS", "requests", COLUMN_VALUE, 12, 0},
        {"FAILURES", "failures", COLUMN_VALUE, 10, 0},
        {"DOWNS", "downs", COLUMN_VALUE, 6, 0},
};

const char *top_column_name(unsigned column)
{
	return columns[column].heading;
}

/* A frame as it is written, a line at a time. */
struct frame {
	const struct top_sample *before, *now;
	const struct top_look *look;
	double seconds; /* between the two; 0: rates are unknown */
	unsigned lines;
	FILE *out;
};

static const json_t *member(const struct top_sample *s, const char *of, const char *name)
{
	return json_object_get(json_object_get(s->data, of), name);
}

/* Negative: it is not there. */
static double number(const struct top_sample *s, const char *of, const char *name)
{
	const json_t *value = member(s, of, name);

	return json_is_number(value) ? json_number_value(value) : -1;
}

/* A second; negative: unknown. One that fell was another tplb's. */
static double rate_of(const struct frame *f, double before, double now)
{
	return f->seconds > 0 && before >= 0 && now >= before ? (now - before) / f->seconds : -1;
}

static double rate(const struct frame *f, const char *of, const char *name)
{
	return rate_of(f, number(f->before, of, name), number(f->now, of, name));
}

static const char *text(const struct top_sample *s, const char *of, const char *name)
{
	const char *value = json_string_value(member(s, of, name));

	return value ? value : "-";
}

/* Begins a character in UTF-8. */
static bool begins(char byte)
{
	return ((unsigned char)byte & 0xc0) != 0x80;
}

/* One of ASCII, or of C1, U+0080 to U+009F: U+009B is what "\033[" is. */
static bool is_control(const char *p)
{
	unsigned char c = (unsigned char)p[0], next = (unsigned char)p[1];

	return c < ' ' || c == 127 || (c == 0xc2 && next >= 0x80 && next < 0xa0);
}

/* Writes a line, cut short at the width. Nothing in it moves a cursor. */
static void put_line(struct frame *f, const char *line, const char *before, const char *after)
{
	size_t most = f->look->width > 0 ? f->look->width : LINE_BYTES, width = 0;

	if (f->look->height > 0 && f->lines == f->look->height)
		return;
	f->lines++;
	fputs(before, f->out);
	for (const char *p = line; *p != '\0'; p++) {
		width += begins(*p);
		if (width > most)
			break;
		putc(is_control(p) ? '?' : *p, f->out);
		p += is_control(p) && !begins(p[1]);
	}
	fprintf(f->out, "%s%s\n", after, f->look->colours ? "\033[K" : "");
}

/* "1234", "12.3", or "-". */
static const char *amount(double value, int digits, char out[32])
{
	if (value < 0)
		return "-";
	snprintf(out, 32, "%.*f", digits, value);
	return out;
}

/* With a unit: "12.3 MB". */
static const char *bytes(double value, char out[32])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	unsigned unit = 0;

	if (value < 0)
		return "-";
	while (value >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1000;
		unit++;
	}
	snprintf(out, 32, "%.*f %s", unit > 0 && value < 100 ? 1 : 0, value, units[unit]);
	return out;
}

/* Of microseconds: "123 us", "1.2 ms", "3.4 s". */
static const char *while_of(double us, char out[32])
{
	if (us < 0)
		return "-";
	if (us < 1000)
		snprintf(out, 32, "%.0f us", us);
	else if (us < 1e6)
		snprintf(out, 32, "%.1f ms", us / 1000);
	else
		snprintf(out, 32, "%.1f s", us / 1e6);
	return out;
}

static void put_head(struct frame *f)
{
	long seconds = (long)number(f->now, "status", "uptime_s");
	char line[LINE_BYTES], pid[32];

	snprintf(line, sizeof(line), "tplb %s, pid %s, %s engine, %s, for %ld d %02ld:%02ld:%02ld",
	        text(f->now, "status", "version"), amount(number(f->now, "status", "pid"), 0, pid),
	        text(f->now, "status", "engine"), text(f->now, "status", "state"), seconds / 86400,
	        seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
	put_line(f, line, "", "");
}

static void put_requests(struct frame *f)
{
	char line[LINE_BYTES], all[32], two[32], three[32], four[32], five[32], refused[32], failed[32];

	snprintf(line, sizeof(line),
	        "requests    %s/s: 2xx %s, 3xx %s, 4xx %s, 5xx %s; of them refused %s, failed %s",
	        amount(rate(f, "counters", "requests"), 1, all),
	        amount(rate(f, "counters", "responses_2xx"), 1, two),
	        amount(rate(f, "counters", "responses_3xx"), 1, three),
	        amount(rate(f, "counters", "responses_4xx"), 1, four),
	        amount(rate(f, "counters", "responses_5xx"), 1, five),
	        amount(rate(f, "counters", "requests_refused"), 1, refused),
	        amount(rate(f, "counters", "requests_failed"), 1, failed));
	put_line(f, line, "", "");
}

static void put_clients(struct frame *f)
{
	char line[LINE_BYTES], now[32], most[32], new[32], in[32], out[32];

	snprintf(line, sizeof(line), "clients     %s of %s; %s/s new; %s/s in, %s/s out",
	        amount(number(f->now, "status", "connections"), 0, now),
	        amount(number(f->now, "status", "connections_most"), 0, most),
	        amount(rate(f, "counters", "connections_accepted"), 1, new),
	        bytes(rate(f, "counters", "bytes_in"), in), bytes(rate(f, "counters", "bytes_out"), out));
	put_line(f, line, "", "");
}

static void put_queue(struct frame *f)
{
	char line[LINE_BYTES], depth[32], size[32], oldest[32], p50[32], p99[32];

	snprintf(line, sizeof(line),
	        "queue       %s of %s, the oldest for %s; since the start p50 %s, p99 %s",
	        amount(number(f->now, "queue", "queue_depth"), 0, depth),
	        amount(number(f->now, "queue", "queue_size"), 0, size),
	        while_of(number(f->now, "queue", "queue_oldest_us"), oldest),
	        while_of(number(f->now, "queue", "waits_p50_us"), p50),
	        while_of(number(f->now, "queue", "waits_p99_us"), p99));
	put_line(f, line, "", "");
}

/* How many have something in hand, and which part of their time all of them had together. */
static void put_workers(struct frame *f)
{
	double workers = number(f->now, "pool", "workers"), loops = number(f->now, "pool", "loops");
	double busy_us = rate(f, "pool", "busy_us");
	unsigned busy = 0, threads = 0;
	char line[LINE_BYTES], n[32], share[32];
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(f->now->data, "workers"), i, row)
	{
		const char *doing = json_string_value(json_object_get(row, "doing"));
		const char *kind = json_string_value(json_object_get(row, "kind"));

		if (!doing || !kind || strcmp(kind, "acceptor") == 0 ||
		        (workers >= 0 && strcmp(kind, "loop") == 0))
			continue;
		threads++;
		busy += strcmp(doing, "idle") != 0;
	}
	double part = workers > 0 && busy_us >= 0 ? busy_us / 1e4 / workers : -1;
	int len = snprintf(line, sizeof(line), "%s %s", workers >= 0 ? "workers    " : "loops      ",
	        amount(workers >= 0 ? workers : loops, 0, n));
	if (threads > 0)
		len += snprintf(line + len, sizeof(line) - (size_t)len, "; %u of %u busy now", busy, threads);
	if (workers >= 0)
		snprintf(line + len, sizeof(line) - (size_t)len, "; %s %% of their time",
		        amount(part > 100 ? 100 : part, 0, share));
	put_line(f, line, "", "");
}

/* The same server in the look before; NULL: it was not there. */
static const json_t *server_before(const struct frame *f, const char *upstream, const char *server)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(f->before->data, "servers"), i, row)
	{
		const char *u = json_string_value(json_object_get(row, "upstream"));
		const char *s = json_string_value(json_object_get(row, "server"));

		if (u && s && strcmp(u, upstream) == 0 && strcmp(s, server) == 0)
			return row;
	}
	return NULL;
}

static double number_in(const json_t *row, const char *name)
{
	const json_t *value = json_object_get(row, name);

	return json_is_number(value) ? json_number_value(value) : -1;
}

/* Of the answers between the two; negative: there were none, or none is timed. */
static double mean_ms(const json_t *before, const json_t *now)
{
	double n = number_in(now, "answers_timed") - number_in(before, "answers_timed");
	double us = number_in(now, "answers_us") - number_in(before, "answers_us");

	return n > 0 && us >= 0 ? us / n / 1000 : -1;
}

static void read_server(const struct frame *f, const json_t *row, struct server_line *line)
{
	const char *upstream = json_string_value(json_object_get(row, "upstream"));
	const char *server = json_string_value(json_object_get(row, "server"));
	const char *state = json_string_value(json_object_get(row, "state"));
	const json_t *before = server_before(f, upstream ? upstream : "", server ? server : "");

	*line = (struct server_line){.state = state ? state : "-", .look = f->look};
	snprintf(line->name, sizeof(line->name), "%s/%s", upstream ? upstream : "-", server ? server : "-");
	for (unsigned i = 0; i < TOP_COLUMNS; i++) {
		double now = columns[i].member ? number_in(row, columns[i].member) : -1;

		if (columns[i].kind == COLUMN_RATE)
			now = rate_of(f, before ? number_in(before, columns[i].member) : -1, now);
		else if (columns[i].kind == COLUMN_MEAN)
			now = before ? mean_ms(before, row) : -1;
		line->values[i] = now;
	}
}

static int by_column(const void *a, const void *b)
{
	const struct server_line *x = a, *y = b;
	unsigned c = x->look->sort;
	int order;

	if (columns[c].kind == COLUMN_NAME)
		order = 0;
	else if (columns[c].kind == COLUMN_STATE)
		order = strcmp(x->state, y->state);
	else
		order = (x->values[c] < y->values[c]) - (x->values[c] > y->values[c]);
	if (order == 0)
		order = strcmp(x->name, y->name);
	return x->look->reverse ? -order : order;
}

static void put_headings(struct frame *f, int name_width)
{
	char line[LINE_BYTES], heading[16];
	int len = 0;

	for (unsigned i = 0; i < TOP_COLUMNS; i++) {
		bool left = columns[i].kind == COLUMN_NAME || columns[i].kind == COLUMN_STATE;
		int width = i == 0 ? name_width : columns[i].width;

		snprintf(heading, sizeof(heading), "%s%s", f->look->colours && i == f->look->sort ? ">" : "",
		        columns[i].heading);
		len += snprintf(line + len, sizeof(line) - (size_t)len, left ? "%s%-*s" : "%s%*s",
		        i > 0 ? " " : "", width, heading);
	}
	put_line(f, line, f->look->colours ? "\033[7m" : "", f->look->colours ? "\033[0m" : "");
}

static int width_of(const char *name)
{
	int width = 0;

	for (; *name != '\0'; name++)
		width += begins(*name);
	return width;
}

/* Cut or filled up to so many characters. Returns how many bytes that are. */
static int write_name(char *out, const char *name, int width)
{
	int len = 0;

	for (; *name != '\0'; name++) {
		if (begins(*name) && width-- == 0)
			return len;
		out[len++] = *name;
	}
	while (width-- > 0)
		out[len++] = ' ';
	return len;
}

static void put_server(struct frame *f, const struct server_line *s, int name_width)
{
	const char *colour = strcmp(s->state, "up") == 0     ? ""
	                     : strcmp(s->state, "down") == 0 ? "\033[31m"
	                                                     : "\033[33m";
	char line[LINE_BYTES], value[32];
	int len = write_name(line, s->name, name_width);

	for (unsigned i = 1; i < TOP_COLUMNS; i++) {
		const char *shown = columns[i].kind == COLUMN_STATE
		                            ? s->state
		                            : amount(s->values[i], columns[i].digits, value);

		len += snprintf(line + len, sizeof(line) - (size_t)len,
		        columns[i].kind == COLUMN_STATE ? " %-*s" : " %*s", columns[i].width, shown);
	}
	if (f->look->colours)
		put_line(f, line, colour, *colour ? "\033[0m" : "");
	else
		put_line(f, line, "", "");
}

static void put_servers(struct frame *f)
{
	json_t *rows = json_object_get(f->now->data, "servers");
	size_t count = json_array_size(rows), i;
	struct server_line *lines = count > 0 ? calloc(count, sizeof(*lines)) : NULL;
	int name_width = NAME_WIDTH_MIN;
	const json_t *row;

	json_array_foreach(rows, i, row)
	{
		if (!lines)
			return;
		read_server(f, row, &lines[i]);
		int len = width_of(lines[i].name);
		name_width = len > name_width ? len : name_width;
	}
	if (name_width > NAME_WIDTH_MAX)
		name_width = NAME_WIDTH_MAX;
	if (count > 0)
		qsort(lines, count, sizeof(*lines), by_column);
	put_headings(f, name_width);
	for (i = 0; i < count; i++)
		put_server(f, &lines[i], name_width);
	free(lines);
}

void top_view_print(
        const struct top_sample *before, const struct top_sample *now, const struct top_look *look, FILE *out)
{
	struct frame f = {.before = before, .now = now, .look = look, .out = out};

	if (before->data && now->at > before->at)
		f.seconds = (double)(now->at - before->at) / (double)CLOCK_NS_PER_S;
	put_head(&f);
	put_requests(&f);
	put_clients(&f);
	put_queue(&f);
	put_workers(&f);
	put_line(&f, "", "", "");
	put_servers(&f);
}
