/*
 * Scans with vectors, in words and byte by byte find the same: each byte in each place, random bytes at every alignment, and heads with random changes through
 * the whole parser. What is scanned lies between pages that nobody may touch, so that a look beyond it ends the test.
 */
#include <check.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/rng.h"
#include "http/scan.h"
#include "http_words.h"

#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

/* For the inner loops: libcheck writes down every assertion that it passes. */
#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

enum { CLASSES = SCAN_TARGET + 1, PLACE = 4096, ROOM = 12, HEADS = 150000 };

/* PLACE bytes between two pages without access. */
static char *place;

static void make_place(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (PLACE + page - 1) / page * page;
	char *all = mmap(NULL, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(all != MAP_FAILED);
	ck_assert_int_eq(mprotect(all + page, size, PROT_READ | PROT_WRITE), 0);
	place = all + page + size - PLACE;
}

/* n bytes that end where the place does. */
static char *at_end(size_t n)
{
	return place + PLACE - n;
}

/* The classes once more, spelt out. */
static bool is_of(enum scan_class class, int c)
{
	bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

	switch (class) {
	case SCAN_LF:
		return c == 10;
	case SCAN_CONTROL:
		return c < 32 || c == 127;
	case SCAN_NAME:
		return letter || c == '-';
	case SCAN_HOST:
		return letter || (c >= '0' && c <= '9') || c == '-' || c == '.';
	case SCAN_TARGET:
		return c > 32 && c < 127 && c != '#';
	}
	return false;
}

/* The classes that stand for one of http_chars hold no more than it. */
START_TEST(classes)
{
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;

		for (int class = 0; class < CLASSES; class ++)
			ck_assert_int_eq(
			        scan_is((enum scan_class) class, byte), is_of((enum scan_class) class, c));
		ck_assert(!is_of(SCAN_NAME, c) || http_is(CHAR_TOKEN, byte));
		ck_assert(!is_of(SCAN_HOST, c) || http_is(CHAR_HOST, byte));
		ck_assert_int_eq(is_of(SCAN_TARGET, c), http_is(CHAR_TARGET, byte));
		ck_assert_int_eq(is_of(SCAN_CONTROL, c) && c != '\t', !http_is(CHAR_VALUE, byte));
	}
}
END_TEST

/* Each byte in each of sixteen places, among bytes all of the class and among such as are not. */
START_TEST(sixteen)
{
	enum scan_class class = (enum scan_class)_i;
	char bytes[16];

	for (int other = 0; other < 256; other += 85)
		for (int c = 0; c < 256; c++)
			for (int i = 0; i < 16; i++) {
				unsigned want = is_of(class, other) ? 0xffff : 0;

				memset(bytes, other, sizeof(bytes));
				bytes[i] = (char)c;
				want = (want & ~(1u << i)) | (unsigned)is_of(class, c) << i;
				HOLDS(scan_16(class, bytes) == want);
				HOLDS(scan_16_words(class, bytes) == want);
			}
}
END_TEST

static void fill(uint64_t *rng, char *p, size_t n, enum scan_class class)
{
	/* Mostly bytes of one kind, so that scans go far. */
	bool of = rng_next(rng) % 2;

	for (size_t i = 0; i < n; i++) {
		do
			p[i] = (char)rng_next(rng);
		while (is_of(class, (unsigned char)p[i]) != of && rng_next(rng) % 32 != 0);
	}
}

/* Of every length, from every place in it; the end of the bytes is that of what may be read, or their beginning is. */
START_TEST(spans)
{
	enum scan_class class = (enum scan_class)_i;
	uint64_t rng = 11;

	for (size_t n = 1; n < 80; n++)
		for (int round = 0; round < 8; round++) {
			char *p = round % 2 ? at_end(n) : place;
			struct span s = span_of(p, p + n);

			fill(&rng, p, n, class);
			for (size_t from = 0; from <= n; from++) {
				size_t until = from, through = from;

				while (until < n && !is_of(class, (unsigned char)p[until]))
					until++;
				while (through < n && is_of(class, (unsigned char)p[through]))
					through++;
				HOLDS(scan_until(class, &s, p + from) == p + until);
				HOLDS(scan_while(class, &s, p + from) == p + through);
			}
		}
}
END_TEST

static const char *const heads[] = {
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a?b HTTP/1.0\r\n\r\n",
        "G / HTTP/1.0\r\n\r\n",
        "A\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nMax-Forwards: 0\r\n\r\n",
        "GET http://a.b:80/c?d HTTP/1.1\r\nHost: a.%20\r\nX:\r\nY: \t z \r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "POST /some/longer/path?with=a&query HTTP/1.1\r\nhost: some.example.org:8080\r\nContent-Length: 5\r\n"
        "User-Agent: tplb (of some length, with\ttabs); \xe4\xff\x80\r\nX_y!~: \t \r\nIf-Unmodified-Since: "
        "x\r\n\r\nhello",
        "GET https://[2001:db8::1]/x HTTP/1.1\r\nHost: b.c-d_e~f!\r\nHost2: y\r\nVia: q\r\nTe: z\r\n\r\n",
        "\r\nGET\t/ HTTP/1.1\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.0 404\r\nA : b\r\nC: d\r\n e\r\n\t\r\nF: g\r\n\r\n",
        "HTTP/1.1 304 \tNot Mod\tified\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nTransfer-Encoding: "
        "chunked\r\n\r\n",
};

/* One of the heads, part of another behind it now and then, with some bytes changed, put in, taken out or repeated. Returns the length. */
static size_t make_head(uint64_t *rng, char out[PLACE])
{
	static const char common[] = " \t\r\n:\0\x7f\x80/.-_#%A1a~";
	const char *text = heads[rng_next(rng) % COUNT(heads)], *more = heads[rng_next(rng) % COUNT(heads)];
	size_t len = strlen(text);

	memcpy(out, text, len);
	if (rng_next(rng) % 3 == 0) {
		size_t keep = 1 + rng_next(rng) % len, skip = rng_next(rng) % strlen(more);

		len = keep + strlen(more + skip);
		memcpy(out + keep, more + skip, len - keep);
	}
	for (uint64_t changes = rng_next(rng) % 5; changes > 0; changes--) {
		size_t at = rng_next(rng) % len, times = rng_next(rng) % 8 == 0 ? rng_next(rng) % 50 : 1;
		char c = rng_next(rng) % 3 ? common[rng_next(rng) % (sizeof(common) - 1)]
		                           : (char)rng_next(rng);
		uint64_t how = rng_next(rng) % 4;

		if (how < 2) {
			out[at] = c;
		} else if (how == 2) {
			memmove(out + at + times, out + at, len - at);
			memset(out + at, c, times);
			len += times;
		} else if (len > 1) {
			memmove(out + at, out + at + 1, --len - at);
		}
	}
	return len;
}

static bool same(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || a.at == b.at);
}

static void expect_same(const struct http_head *a, const struct http_head *b)
{
	HOLDS(same(a->method, b->method) && same(a->target, b->target) && same(a->host, b->host));
	HOLDS(str_eq(a->path, b->path) && same(a->reason, b->reason));
	HOLDS(a->is_request == b->is_request && a->minor == b->minor && a->form == b->form);
	HOLDS(a->status == b->status && a->size == b->size && a->count == b->count);
	for (unsigned i = 0; i < a->count; i++) {
		const struct http_field *f = &a->fields[i], *g = &b->fields[i];

		HOLDS(same(f->name, g->name) && same(f->value, g->value) && f->id == g->id &&
		        f->hop == g->hop);
	}
}

/* The head comes in pieces; both find its end at the same time, or want to go on from the same place. Returns its length. */
static size_t find_ends(uint64_t *rng, const char *p, size_t len)
{
	size_t step = rng_next(rng) % 2 ? len : 1 + rng_next(rng) % 20, scanned = 0, words_scanned = 0, end;

	for (size_t have = step < len ? step : len;; have = len - have < step ? len : have + step) {
		end = http_head_find_end(p, have, &scanned);
		HOLDS(words_head_find_end(p, have, &words_scanned) == end);
		HOLDS(end != 0 || words_scanned == scanned);
		if (end != 0 || have == len)
			return end;
	}
}

/* The same faults and slices; and reading is finding the end and parsing. */
static void parse_requests(const char *p, size_t len, unsigned room)
{
	struct http_field fields[ROOM], words_fields[ROOM];
	struct http_head head = {.room = room, .fields = fields};
	struct http_head words_head = {.room = room, .fields = words_fields};
	enum http_fault fault = HTTP_OK, words_fault = HTTP_OK;
	size_t scanned = 0, words_scanned = 0, read_scanned = 0;
	size_t end = http_head_find_end(p, len, &scanned);

	HOLDS(http_request_read(&head, p, len, &read_scanned, &fault) == end);
	HOLDS(words_request_read(&words_head, p, len, &words_scanned, &words_fault) == end);
	HOLDS(fault == words_fault);
	HOLDS(end != 0 || (read_scanned == scanned && words_scanned == scanned));
	expect_same(&head, &words_head);
	if (end != 0)
		HOLDS(http_request_parse(&words_head, p, end) == fault);
	if (end != 0)
		expect_same(&head, &words_head);
	HOLDS(http_request_parse(&head, p, len) == words_request_parse(&words_head, p, len));
	expect_same(&head, &words_head);
}

/* A fold in a response is written over, so each has bytes of its own. */
static void parse_responses(char *p, size_t len, unsigned room)
{
	struct http_field fields[ROOM], words_fields[ROOM];
	struct http_head head = {.room = room, .fields = fields};
	struct http_head words_head = {.room = room, .fields = words_fields};
	char before[PLACE], after[PLACE];

	memcpy(before, p, len);
	enum http_fault fault = http_response_parse(&head, p, len);
	memcpy(after, p, len);
	memcpy(p, before, len);
	HOLDS(words_response_parse(&words_head, p, len) == fault);
	HOLDS(memcmp(p, after, len) == 0);
	expect_same(&head, &words_head);
}

START_TEST(whole_heads)
{
	static char made[PLACE];
	uint64_t rng = 13;
	int found = 0;

	for (int i = 0; i < HEADS; i++) {
		size_t len = make_head(&rng, made);
		char *p = rng_next(&rng) % 4 ? at_end(len) : place;
		unsigned room = rng_next(&rng) % 3 ? ROOM : (unsigned)(rng_next(&rng) % 4);

		memcpy(p, made, len);
		size_t end = find_ends(&rng, p, len);
		found += end > 0;
		parse_requests(p, len, room);
		parse_responses(p, end > 0 && rng_next(&rng) % 8 ? end : len, room);
	}
	ck_assert_int_gt(found, HEADS / 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http/scan");
	TCase *tc = tcase_create("scan");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, make_place, NULL);
	tcase_add_test(tc, classes);
	tcase_add_loop_test(tc, sixteen, 0, CLASSES);
	tcase_add_loop_test(tc, spans, 0, CLASSES);
	tcase_add_test(tc, whole_heads);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
