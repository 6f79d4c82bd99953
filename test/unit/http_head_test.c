/* The end of a head, known fields, lists, hops, persistence, methods, faults. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/head.h"

#define BYTES(literal)                                                                                       \
	{                                                                                                    \
		(literal), sizeof(literal) - 1                                                               \
	}
#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

enum { ROOM = 16 };

static const struct {
	struct str bytes;
	size_t end; /* 0: incomplete */
} ends[] = {
        {BYTES(""), 0},
        {BYTES("G"), 0},
        {BYTES("\r"), 0},
        {BYTES("\n"), 1},
        {BYTES("\r\n"), 2},
        {BYTES("\rx"), 0},
        {BYTES("\rx\r\n\r\n"), 6},
        {BYTES("\r\r\n\r\n"), 5},
        {BYTES("x\n"), 0},
        {BYTES("x\r\n"), 0},
        {BYTES("x\r\n\r"), 0},
        {BYTES("x\r\n\r\n"), 5},
        {BYTES("x\n\r\n"), 4},
        {BYTES("x\n\n"), 3},
        {BYTES("x\r\n\n"), 4},
        {BYTES("x\r\n\r\r\n"), 0},
        {BYTES("x\r\n\ry\r\n"), 0},
        {BYTES("x\r\n\ry\r\n\r\n"), 9},
        {BYTES("x\r\r\n\r\n"), 6},
        {BYTES("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), 27},
        {BYTES("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\n\r\n"), 27},
        {BYTES("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r"), 0},
};

static size_t find_end_in(struct str bytes, size_t len, size_t *scanned)
{
	char *copy = malloc(len + 1); /* of the exact size but for 0 */
	size_t end;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy + 1, bytes.at, len);
	end = http_head_find_end(copy + 1, len, scanned);
	free(copy);
	return end;
}

START_TEST(find_end_at_once)
{
	size_t scanned = 0;

	ck_assert_uint_eq(find_end_in(ends[_i].bytes, ends[_i].bytes.len, &scanned), ends[_i].end);
}
END_TEST

/* In three parts, cut at every pair of places. */
START_TEST(find_end_split)
{
	struct str bytes = ends[_i].bytes;

	for (size_t a = 0; a <= bytes.len; a++)
		for (size_t b = a; b <= bytes.len; b++) {
			size_t scanned = 0;
			size_t end = find_end_in(bytes, a, &scanned);

			if (end == 0)
				end = find_end_in(bytes, b, &scanned);
			if (end == 0)
				end = find_end_in(bytes, bytes.len, &scanned);
			ck_assert_msg(end == ends[_i].end, "cut at %zu and %zu: %zu", a, b, end);
		}
}
END_TEST

START_TEST(find_end_bytewise)
{
	struct str bytes = ends[_i].bytes;
	size_t scanned = 0, end = 0;

	for (size_t len = 0; len <= bytes.len && end == 0; len++) {
		end = find_end_in(bytes, len, &scanned);
		ck_assert_uint_le(scanned, len);
		/* At most "LF CR" is looked at again. */
		ck_assert(end > 0 || scanned + 2 >= len);
	}
	ck_assert_uint_eq(end, ends[_i].end);
}
END_TEST

START_TEST(leading_crlf)
{
	ck_assert_uint_eq(http_leading_crlf("", 0), 0);
	ck_assert_uint_eq(http_leading_crlf("\r", 1), 0);
	ck_assert_uint_eq(http_leading_crlf("\r\n", 2), 2);
	ck_assert_uint_eq(http_leading_crlf("\r\n\r\n", 4), 2);
	ck_assert_uint_eq(http_leading_crlf("\nG", 2), 1);
	ck_assert_uint_eq(http_leading_crlf("\rG", 2), 0);
	ck_assert_uint_eq(http_leading_crlf("GET", 3), 0);
}
END_TEST

START_TEST(sniff)
{
	ck_assert_int_eq(http_request_sniff("G", 1), HTTP_OK);
	ck_assert_int_eq(http_request_sniff("\r", 1), HTTP_OK);
	ck_assert_int_eq(http_request_sniff("\r\n", 2), HTTP_OK);
	ck_assert_int_eq(http_request_sniff("\n", 1), HTTP_OK);
	ck_assert_int_eq(http_request_sniff("\rG", 2), HTTP_BAD_REQUEST_LINE);
	ck_assert_int_eq(http_request_sniff("\x16\x03\x01", 3), HTTP_BAD_REQUEST_LINE);
	ck_assert_int_eq(http_request_sniff("\0", 1), HTTP_BAD_REQUEST_LINE);
	ck_assert_int_eq(http_request_sniff(" GET", 4), HTTP_BAD_REQUEST_LINE);
	ck_assert_int_eq(http_request_sniff("\xff", 1), HTTP_BAD_REQUEST_LINE);
}
END_TEST

static const struct {
	const char *name;
	enum http_field_id id;
} known[] = {
        {"Accept-Ranges", FIELD_ACCEPT_RANGES},
        {"Connection", FIELD_CONNECTION},
        {"Content-Length", FIELD_CONTENT_LENGTH},
        {"Date", FIELD_DATE},
        {"Expect", FIELD_EXPECT},
        {"Forwarded", FIELD_FORWARDED},
        {"Host", FIELD_HOST},
        {"If-Match", FIELD_IF_MATCH},
        {"If-Modified-Since", FIELD_IF_MODIFIED_SINCE},
        {"If-None-Match", FIELD_IF_NONE_MATCH},
        {"If-Range", FIELD_IF_RANGE},
        {"If-Unmodified-Since", FIELD_IF_UNMODIFIED_SINCE},
        {"Keep-Alive", FIELD_KEEP_ALIVE},
        {"Max-Forwards", FIELD_MAX_FORWARDS},
        {"Proxy-Connection", FIELD_PROXY_CONNECTION},
        {"Range", FIELD_RANGE},
        {"Referer", FIELD_REFERER},
        {"TE", FIELD_TE},
        {"Trailer", FIELD_TRAILER},
        {"Transfer-Encoding", FIELD_TRANSFER_ENCODING},
        {"Upgrade", FIELD_UPGRADE},
        {"User-Agent", FIELD_USER_AGENT},
        {"Via", FIELD_VIA},
        {"X-Forwarded-For", FIELD_X_FORWARDED_FOR},
        {"X-Forwarded-Host", FIELD_X_FORWARDED_HOST},
        {"X-Forwarded-Proto", FIELD_X_FORWARDED_PROTO},
};

START_TEST(field_ids)
{
	char name[32];
	size_t len = strlen(known[_i].name);

	ck_assert_int_eq(COUNT(known), FIELD_COUNT - 1);
	memcpy(name, known[_i].name, len + 1);
	ck_assert_int_eq(http_field_id_of((struct str){name, len}), known[_i].id);
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (c != '-') {
			name[i] = (char)(c ^ 0x20); /* the other case */
			ck_assert_int_eq(http_field_id_of((struct str){name, len}), known[_i].id);
		}
		name[i] = c == '-' ? '_' : '.';
		ck_assert_int_eq(http_field_id_of((struct str){name, len}), FIELD_OTHER);
		name[i] = c;
	}
	ck_assert_int_eq(http_field_id_of((struct str){name, len - 1}), FIELD_OTHER);
}
END_TEST

START_TEST(field_ids_other)
{
	const char *others[] = {"", "a", "Hosts", "Cookie", "X-Forwarded-Prot0", "Accept-Encoding",
	        "A-Name-Longer-Than-Every-Known-One"};

	for (int i = 0; i < COUNT(others); i++)
		ck_assert_int_eq(http_field_id_of(str_of(others[i])), FIELD_OTHER);
}
END_TEST

static void parse(struct http_head *head, const char *text)
{
	ck_assert_int_eq(http_request_parse(head, text, strlen(text)), HTTP_OK);
}

START_TEST(find_and_tokens)
{
	struct http_field fields[ROOM];
	struct http_head head = {.fields = fields, .room = ROOM};

	parse(&head, "GET / HTTP/1.1\r\nHost: h\r\nConnection: a, Keep-Alive\r\nVia: 1\r\nVia: 2\r\n"
	             "CONNECTION: ,, Upgrade\t,close-not\r\nConnection:\r\n\r\n");
	ck_assert_ptr_eq(http_head_find(&head, FIELD_VIA), &fields[2]);
	ck_assert_ptr_null(http_head_find(&head, FIELD_TE));
	ck_assert(http_head_has_token(&head, FIELD_CONNECTION, STR("keep-alive")));
	ck_assert(http_head_has_token(&head, FIELD_CONNECTION, STR("upgrade")));
	ck_assert(!http_head_has_token(&head, FIELD_CONNECTION, STR("close")));
	ck_assert(!http_head_has_token(&head, FIELD_CONNECTION, STR("")));
	ck_assert(!http_head_has_token(&head, FIELD_TE, STR("a")));
}
END_TEST

/* hops: the letters h (hop) and - in the order of the fields after Host. */
static const struct {
	const char *fields;
	const char *hops;
} hops[] = {
        {"A: 1\r\nCookie: 2\r\nContent-Length: 0\r\n", "---"},
        {"Connection: close\r\nKeep-Alive: 1\r\nProxy-Connection: 1\r\nTE: 1\r\nTrailer: 1\r\nUpgrade: 1\r\n"
         "Transfer-Encoding: chunked\r\n",
                "hhhhhhh"},
        {"X-a: 1\r\nConnection: x-A, B\r\nb: 1\r\nX-A: 2\r\nC: 3\r\n", "hhhh-"},
        {"Connection: a\r\nA: 1\r\nB: 1\r\nConnection: ,b\r\n", "hhhh"},
        {"Connection: Host, content-length, Via, Transfer-Encoding\r\nContent-Length: 0\r\nVia: 1\r\n",
                "h--"},
        {"Connection: Range, X-Forwarded-For\r\nRange: 1\r\nX-Forwarded-For: 1\r\nX-Forwarded-Host: 1\r\n",
                "hhh-"},
        {"Connection: a b, \"c\"\r\na: 1\r\nc: 1\r\n", "h--"},
        {"Close: 1\r\nConnection: close\r\n", "hh"},
        {"Proxy-Connection: a\r\nA: 1\r\n", "h-"},
};

START_TEST(mark_hops)
{
	struct http_field fields[ROOM];
	struct http_head head = {.fields = fields, .room = ROOM};
	char text[512];

	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", hops[_i].fields);
	parse(&head, text);
	for (int twice = 0; twice < 2; twice++) {
		http_head_mark_hops(&head);
		ck_assert_uint_eq(head.count, 1 + strlen(hops[_i].hops));
		ck_assert(!fields[0].hop);
		for (unsigned i = 1; i < head.count; i++)
			ck_assert_msg(fields[i].hop == (hops[_i].hops[i - 1] == 'h'), "%.*s",
			        STR_ARG(fields[i].name));
	}
}
END_TEST

static const struct {
	const char *text;
	bool keeps;
} alive[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: h\r\nProxy-Connection: close\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
};

START_TEST(keeps_alive)
{
	struct http_field fields[ROOM];
	struct http_head head = {.fields = fields, .room = ROOM};

	parse(&head, alive[_i].text);
	ck_assert_int_eq(http_head_keeps_alive(&head), alive[_i].keeps);
}
END_TEST

static const struct {
	const char *method;
	bool safe;
	bool idempotent;
} methods[] = {
        {"GET", true, true},
        {"HEAD", true, true},
        {"OPTIONS", true, true},
        {"TRACE", true, true},
        {"PUT", false, true},
        {"DELETE", false, true},
        {"POST", false, false},
        {"PATCH", false, false},
        {"CONNECT", false, false},
        {"get", false, false},
        {"GETX", false, false},
        {"", false, false},
};

START_TEST(method_properties)
{
	ck_assert_int_eq(http_method_is_safe(str_of(methods[_i].method)), methods[_i].safe);
	ck_assert_int_eq(http_method_is_idempotent(str_of(methods[_i].method)), methods[_i].idempotent);
}
END_TEST

/* Each fault has its own word. */
START_TEST(faults)
{
	for (int i = 0; i < HTTP_FAULT_COUNT; i++) {
		const char *word = http_fault_word((enum http_fault)i);
		int status = http_fault_status((enum http_fault)i);

		ck_assert_ptr_nonnull(word);
		ck_assert(i == HTTP_OK ? status == 200 : status >= 400 && status <= 505);
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(word, http_fault_word((enum http_fault)j));
	}
	ck_assert_str_eq(http_fault_word(HTTP_BAD_HOST), "bad_host");
	ck_assert_int_eq(http_fault_status(HTTP_BAD_VERSION), 505);
	ck_assert_int_eq(http_fault_status(HTTP_BAD_CODING), 501);
	ck_assert_int_eq(http_fault_status(HTTP_NO_CONNECT), 405);
	ck_assert_int_eq(http_fault_status(HTTP_HEAD_TOO_LARGE), 431);
	ck_assert_int_eq(http_fault_status(HTTP_TARGET_TOO_LONG), 414);
	ck_assert_int_eq(http_fault_status(HTTP_BODY_TOO_LARGE), 413);
	ck_assert_int_eq(http_fault_status(HTTP_BAD_EXPECTATION), 417);
	ck_assert_int_eq(http_fault_status(HTTP_BAD_STATUS_LINE), 502);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http/head");
	TCase *tc = tcase_create("head");

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, find_end_at_once, 0, COUNT(ends));
	tcase_add_loop_test(tc, find_end_split, 0, COUNT(ends));
	tcase_add_loop_test(tc, find_end_bytewise, 0, COUNT(ends));
	tcase_add_test(tc, leading_crlf);
	tcase_add_test(tc, sniff);
	tcase_add_loop_test(tc, field_ids, 0, COUNT(known));
	tcase_add_test(tc, field_ids_other);
	tcase_add_test(tc, find_and_tokens);
	tcase_add_loop_test(tc, mark_hops, 0, COUNT(hops));
	tcase_add_loop_test(tc, keeps_alive, 0, COUNT(alive));
	tcase_add_loop_test(tc, method_properties, 0, COUNT(methods));
	tcase_add_test(tc, faults);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
