/* The body reader: every split, strictness of the chunked coding, and random bytes. */
#include <check.h>
#include <stdlib.h>

#include "http/frame.h"

#define BYTES(literal)                                                                                       \
	{                                                                                                    \
		(literal), sizeof(literal) - 1                                                               \
	}
#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

/* For the inner loops: libcheck writes down every assertion that it passes. */
#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

enum { LIMIT = 32, MOST = 256 };

/* What came of a whole stream, read in parts. */
struct outcome {
	enum http_fault fault;
	bool done;
	size_t used;
	size_t len;
	char data[MOST];
};

/* Feeds one part until the reader takes no more of it; false on a fault. */
static bool feed(struct http_body_reader *r, struct str part, struct outcome *o)
{
	char *copy = malloc(part.len > 0 ? part.len : 1);
	size_t at = 0, used;
	struct str data;

	HOLDS(copy);
	memcpy(copy, part.at, part.len);
	do {
		o->fault = http_body_read(r, copy + at, part.len - at, &used, &data);
		HOLDS(used <= part.len - at);
		HOLDS(data.len <= used);
		HOLDS(o->fault == HTTP_OK || (used == 0 && data.len == 0));
		if (data.len > 0) {
			HOLDS(data.at >= copy + at && data.at + data.len <= copy + at + used);
			HOLDS(o->len + data.len <= MOST);
			memcpy(o->data + o->len, data.at, data.len);
			o->len += data.len;
		}
		at += used;
	} while (used > 0 && o->fault == HTTP_OK);
	o->used += at;
	HOLDS(o->fault != HTTP_OK || r->done || at == part.len);
	HOLDS(o->fault != HTTP_OK || r->taken == o->len);
	free(copy);
	return o->fault == HTTP_OK;
}

static struct outcome run(struct http_framing framing, struct str bytes, const size_t *cuts, int n)
{
	struct outcome o = {0};
	struct http_body_reader r;
	size_t from = 0;

	http_body_reader_init(&r, framing, LIMIT);
	for (int i = 0; i <= n; i++) {
		size_t to = i < n ? cuts[i] : bytes.len;

		if (!feed(&r, (struct str){bytes.at + from, to - from}, &o) || r.done)
			break;
		from = to;
	}
	o.done = r.done;
	return o;
}

enum verdict { WHOLE, PARTIAL, BAD };

static void assert_outcome(
        const struct outcome *o, enum verdict verdict, struct str data, size_t rest, size_t total)
{
	HOLDS(o->fault == (verdict == BAD ? HTTP_BAD_CHUNK : HTTP_OK));
	if (verdict == BAD)
		return;
	HOLDS(o->done == (verdict == WHOLE));
	HOLDS(str_eq((struct str){o->data, o->len}, data));
	HOLDS(o->used == total - rest);
}

static const struct {
	struct str bytes;
	enum verdict verdict;
	struct str data;
	size_t rest; /* bytes after the body, left alone */
} chunks[] = {
        {BYTES("0\r\n\r\n"), WHOLE, BYTES(""), 0},
        {BYTES("000\r\n\r\nGET /"), WHOLE, BYTES(""), 5},
        {BYTES("5\r\nhello\r\n0\r\n\r\n"), WHOLE, BYTES("hello"), 0},
        {BYTES("3\r\nabc\r\nA\r\n0123456789\r\n1\r\n\n\r\n0\r\n\r\n"), WHOLE, BYTES("abc0123456789\n"), 0},
        {BYTES("c\r\n0\r\n\r\n0\r\n\r\n12\r\n0\r\n\r\nx"), WHOLE, BYTES("0\r\n\r\n0\r\n\r\n12"), 1},
        {BYTES("0000000000000002\r\nab\r\n0\r\n\r\n"), WHOLE, BYTES("ab"), 0},
        {BYTES("7fffffffffffffff\r\nab"), PARTIAL, BYTES("ab"), 0},
        {BYTES("2"), PARTIAL, BYTES(""), 0},
        {BYTES("2\r"), PARTIAL, BYTES(""), 0},
        {BYTES("2\r\na"), PARTIAL, BYTES("a"), 0},
        {BYTES("2\r\nab"), PARTIAL, BYTES("ab"), 0},
        {BYTES("2\r\nab\r\n0\r\n"), PARTIAL, BYTES("ab"), 0},
        {BYTES("2\r\nab\r\n0\r\n\r"), PARTIAL, BYTES("ab"), 0},
        /* Sizes. */
        {BYTES("\r\n"), BAD, BYTES(""), 0},
        {BYTES("+2\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("-2\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("0x2\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES(" 2\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("\t2\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2 \r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2 2\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("g\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2_0\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES(";a\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("00000000000000002\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("8000000000000000\r\nab"), BAD, BYTES(""), 0},
        {BYTES("ffffffffffffffff\r\nab"), BAD, BYTES(""), 0},
        {BYTES("10000000000000002\r\nab"), BAD, BYTES(""), 0},
        /* Line ends. */
        {BYTES("2\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2\rxab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2\r\nabx\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2\rab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2\r\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2\r\nab0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2\r\nab\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2\r\nab\rx0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2\r\nabc\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2\r\nab\r\n\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("0\r\n\n"), BAD, BYTES(""), 0},
        {BYTES("0\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("0\r\n\rx"), BAD, BYTES(""), 0},
        /* Extensions, RFC 9112 section 7.1.1. */
        {BYTES("2;a\r\nab\r\n0;b=c\r\n\r\n"), WHOLE, BYTES("ab"), 0},
        {BYTES("2 \t; a = \"b;\\\" c\"\r\nab\r\n0\r\n\r\n"), WHOLE, BYTES("ab"), 0},
        {BYTES("2;a ; b\t= \"\xe4\" ;c= d;e\r\nab\r\n0\r\n\r\n"), WHOLE, BYTES("ab"), 0},
        {BYTES("2;a\xe4\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a;;\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a;\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a=\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a=b=c\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a b\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a=b c\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a=b \r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a \r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a=\"b\"c\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a\"b\"\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2; \r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;=a\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a\rb\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a\0\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a\x7f\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a=\"\r\n\"\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a=\"b\\\"\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a=\"b\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("2;a=\"\\\";\\\\\";c\r\nab\r\n0\r\n\r\n"), WHOLE, BYTES("ab"), 0},
        {BYTES("2;0123456789012345678901234567\r\nab\r\n0\r\n\r\n"), WHOLE, BYTES("ab"), 0},
        {BYTES("2;01234567890123456789012345678\r\nab\r\n0\r\n\r\n"), BAD, BYTES(""), 0},
        /* Trailers, section 7.1.2. */
        {BYTES("0\r\nA: b\r\nContent-Length: 5\r\n\r\nx"), WHOLE, BYTES(""), 1},
        {BYTES("0\r\nA:\r\nB:\t\xe4\r\n\r\n"), WHOLE, BYTES(""), 0},
        {BYTES("0\r\nA: b\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("0\r\nA: b\rc\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("0\r\nA: \0\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("0\r\nA\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("0\r\n: b\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("0\r\n A: b\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("0\r\nA : b\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("0\r\nA: b\r\n c\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("0\r\nGET / HTTP/1.1\r\n\r\n"), BAD, BYTES(""), 0},
        {BYTES("0\r\nA: 01234567890123\r\nB: 012345\r\n\r\n"), WHOLE, BYTES(""), 0},
        {BYTES("0\r\nA: 01234567890123\r\nB: 0123456\r\n\r\n"), BAD, BYTES(""), 0},
};

START_TEST(chunked_splits)
{
	struct http_framing framing = {.kind = BODY_CHUNKED};
	struct str bytes = chunks[_i].bytes;

	for (size_t a = 0; a <= bytes.len; a++)
		for (size_t b = a; b <= bytes.len; b++) {
			struct outcome o = run(framing, bytes, (size_t[]){a, b}, 2);

			assert_outcome(&o, chunks[_i].verdict, chunks[_i].data, chunks[_i].rest, bytes.len);
		}
}
END_TEST

START_TEST(chunked_bytewise)
{
	struct http_framing framing = {.kind = BODY_CHUNKED};
	size_t cuts[MOST];

	for (size_t i = 0; i < MOST; i++)
		cuts[i] = i;
	struct outcome o = run(framing, chunks[_i].bytes, cuts, (int)chunks[_i].bytes.len);
	assert_outcome(&o, chunks[_i].verdict, chunks[_i].data, chunks[_i].rest, chunks[_i].bytes.len);
}
END_TEST

/* One call takes one run of data with all the framing around it. */
START_TEST(chunked_calls)
{
	struct str bytes = STR("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
	struct http_body_reader r;
	struct str data;
	size_t used;

	http_body_reader_init(&r, (struct http_framing){.kind = BODY_CHUNKED}, LIMIT);
	ck_assert_int_eq(http_body_read(&r, bytes.at, bytes.len, &used, &data), HTTP_OK);
	ck_assert_uint_eq(used, 11);
	ck_assert(str_eq(data, STR("abc")));
	ck_assert(!r.done);
	ck_assert_int_eq(http_body_read(&r, bytes.at + 11, bytes.len - 11, &used, &data), HTTP_OK);
	ck_assert_uint_eq(used, bytes.len - 11);
	ck_assert(str_eq(data, STR("de")));
	ck_assert(r.done);
	ck_assert_uint_eq(r.taken, 5);
}
END_TEST

static const struct {
	struct http_framing framing;
	struct str bytes;
	bool done;
	struct str data;
	bool at_eof; /* http_body_eof after it */
} plain[] = {
        {{BODY_NONE, 0}, BYTES("abc"), true, BYTES(""), true},
        {{BODY_LENGTH, 0}, BYTES("abc"), true, BYTES(""), true},
        {{BODY_LENGTH, 3}, BYTES("abc"), true, BYTES("abc"), true},
        {{BODY_LENGTH, 3}, BYTES("abcdef"), true, BYTES("abc"), true},
        {{BODY_LENGTH, 4}, BYTES("abc"), false, BYTES("abc"), false},
        {{BODY_LENGTH, INT64_MAX}, BYTES("abc"), false, BYTES("abc"), false},
        {{BODY_LENGTH, 1}, BYTES(""), false, BYTES(""), false},
        {{BODY_CLOSE, 0}, BYTES("abc"), false, BYTES("abc"), true},
        {{BODY_CLOSE, 0}, BYTES(""), false, BYTES(""), true},
        {{BODY_TUNNEL, 0}, BYTES("a\0\r\n"), false, BYTES("a\0\r\n"), true},
        {{BODY_CHUNKED, 0}, BYTES(""), false, BYTES(""), false},
        {{BODY_CHUNKED, 0}, BYTES("0\r\n"), false, BYTES(""), false},
        {{BODY_CHUNKED, 0}, BYTES("0\r\n\r\n"), true, BYTES(""), true},
};

START_TEST(plain_splits)
{
	struct str bytes = plain[_i].bytes;

	for (size_t a = 0; a <= bytes.len; a++) {
		struct outcome o = run(plain[_i].framing, bytes, &a, 1);

		ck_assert_int_eq(o.fault, HTTP_OK);
		ck_assert_int_eq(o.done, plain[_i].done);
		ck_assert(str_eq((struct str){o.data, o.len}, plain[_i].data));
	}
}
END_TEST

START_TEST(end_of_stream)
{
	struct http_body_reader r;
	struct outcome o = {0};

	http_body_reader_init(&r, plain[_i].framing, LIMIT);
	feed(&r, plain[_i].bytes, &o);
	ck_assert_int_eq(http_body_eof(&r), plain[_i].at_eof);
	ck_assert_int_eq(r.done, plain[_i].at_eof);
}
END_TEST

static const struct {
	uint64_t n;
	const char *line;
} heads[] = {
        {1, "1\r\n"},
        {15, "f\r\n"},
        {16, "10\r\n"},
        {0xabcdef, "abcdef\r\n"},
        {65536, "10000\r\n"},
        {INT64_MAX, "7fffffffffffffff\r\n"},
        {UINT64_MAX, "ffffffffffffffff\r\n"},
};

START_TEST(chunk_head)
{
	char out[HTTP_CHUNK_HEAD_MAX];
	size_t len = http_chunk_head(out, heads[_i].n);

	ck_assert(str_eq((struct str){out, len}, str_of(heads[_i].line)));
}
END_TEST

static unsigned random_below(unsigned n)
{
	static unsigned state = 19700101;

	state = state * 1664525u + 1013904223u;
	return (state >> 8) % n;
}

/* Changed bytes, random cuts: all ways to cut them come to the same end. */
START_TEST(chunked_fuzz)
{
	static const char telling[] = "\r\n\r\n0123aAfF;: \t\x7f\xff";
	struct http_framing framing = {.kind = BODY_CHUNKED};

	for (int round = 0; round < 50000; round++) {
		struct str seed = chunks[random_below((unsigned)COUNT(chunks))].bytes;
		char bytes[MOST];
		size_t cuts[3] = {0};

		memcpy(bytes, seed.at, seed.len);
		for (unsigned n = random_below(4); n > 0; n--)
			bytes[random_below((unsigned)seed.len)] = telling[random_below(sizeof(telling))];
		for (int i = 0; i < 3; i++) {
			size_t from = i > 0 ? cuts[i - 1] : 0;

			cuts[i] = from + random_below((unsigned)(seed.len - from + 1));
		}
		struct outcome whole = run(framing, (struct str){bytes, seed.len}, NULL, 0);
		struct outcome cut = run(framing, (struct str){bytes, seed.len}, cuts, 3);
		HOLDS(whole.fault == cut.fault);
		HOLDS(whole.done == cut.done);
		if (whole.fault != HTTP_OK)
			continue;
		HOLDS(whole.used == cut.used);
		HOLDS(str_eq((struct str){whole.data, whole.len}, (struct str){cut.data, cut.len}));
	}
}
END_TEST

/* What http_chunk_head frames, the reader unframes. */
START_TEST(round_trip)
{
	struct http_framing framing = {.kind = BODY_CHUNKED};

	for (int round = 0; round < 2000; round++) {
		char text[MOST] = {0}, wire[4 * MOST];
		size_t len = random_below(MOST), at = 0, out = 0;

		for (size_t i = 0; i < len; i++)
			text[i] = (char)random_below(256);
		while (at < len) {
			size_t n = 1 + random_below((unsigned)(len - at < 40 ? len - at : 40));

			if (len - at > 40)
				n = 20 + random_below(20); /* few enough chunks for `wire` */
			out += http_chunk_head(wire + out, n);
			memcpy(wire + out, text + at, n);
			memcpy(wire + out + n, "\r\n", 2);
			out += n + 2;
			at += n;
			HOLDS(out < sizeof(wire) - 100);
		}
		memcpy(wire + out, "0\r\n\r\n", 5);
		struct outcome o = run(framing, (struct str){wire, out + 5}, NULL, 0);
		assert_outcome(&o, WHOLE, (struct str){text, len}, 0, out + 5);
	}
}
END_TEST

/* How many such chunks are read, at most 1000; -1: all are. */
static int chunks_until_bad(struct str size_line, size_t data)
{
	struct http_framing framing = {.kind = BODY_CHUNKED};
	struct http_body_reader r;
	char chunk[4096];
	size_t len = size_line.len + data + 2;

	HOLDS(len <= sizeof(chunk));
	memcpy(chunk, size_line.at, size_line.len);
	memset(chunk + size_line.len, 'x', data);
	memcpy(chunk + len - 2, "\r\n", 2);
	http_body_reader_init(&r, framing, 100);
	for (int i = 0; i < 1000; i++) {
		for (size_t at = 0, used = 0; at < len; at += used) {
			struct str bytes;

			if (http_body_read(&r, chunk + at, len - at, &used, &bytes) != HTTP_OK)
				return i;
		}
	}
	return -1;
}

/* Size lines are bounded all together, too, by what their chunks bring. */
START_TEST(excess)
{
	static const char line[] =
	        "001;23456789012345678901234567890123456789\r\n"; /* 44 bytes: 26 beyond 18 */

	ck_assert_int_eq(chunks_until_bad(STR("1\r\n"), 1), -1);
	ck_assert_int_eq(chunks_until_bad(STR("1;34567890123456\r\n"), 1), -1); /* 18 of 18 */
	ck_assert_int_eq(chunks_until_bad(STR("1;345678901234567\r\n"), 1), 100);
	ck_assert_int_eq(chunks_until_bad((struct str){line, 44}, 1), 3);
	ck_assert_int_eq(chunks_until_bad(STR("00e;23456789012345678901234567890123456789\r\n"), 14),
	        -1); /* 44 of 44 */
	ck_assert_int_eq(chunks_until_bad(STR("7d0;23456789012345678901234567890123456789\r\n"), 2000), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http/body");
	TCase *tc = tcase_create("body");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, chunked_splits, 0, COUNT(chunks));
	tcase_add_loop_test(tc, chunked_bytewise, 0, COUNT(chunks));
	tcase_add_test(tc, chunked_calls);
	tcase_add_loop_test(tc, plain_splits, 0, COUNT(plain));
	tcase_add_loop_test(tc, end_of_stream, 0, COUNT(plain));
	tcase_add_loop_test(tc, chunk_head, 0, COUNT(heads));
	tcase_add_test(tc, excess);
	tcase_add_test(tc, chunked_fuzz);
	tcase_add_test(tc, round_trip);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
