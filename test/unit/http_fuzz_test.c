/*
 * Messages with random changes, read from head to body: slices stay inside, what passes holds no byte that would
 * mean something else to the next parser. The seed is fixed; the sanitizers see the rest.
 */
#include <check.h>
#include <stdlib.h>

#include "http/frame.h"
#include "http/head.h"

#define BYTES(literal)                                                                                       \
	{                                                                                                    \
		(literal), sizeof(literal) - 1                                                               \
	}
#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

/* For the inner loops: libcheck writes down every assertion that it passes. */
#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

enum { ROOM = 8, ROUNDS = 100000, MOST = 512 };

static const struct str requests[] = {
        BYTES("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        BYTES("\r\nGET /a?b HTTP/1.0\r\n\r\n"),
        BYTES("OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nMax-Forwards: 0\r\n\r\n"),
        BYTES("GET http://a.b:80/c?d HTTP/1.1\r\nHost: a.%20\r\nX:\r\nY: \t z \r\n\r\nGET / "
              "HTTP/1.1\r\n\r\n"),
        BYTES("OPTIONS https://[2001:db8::1] HTTP/1.1\r\nHost: b\r\nConnection: a, b,,close\r\nB: 1\r\n\r\n"),
        BYTES("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        BYTES("POST / HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: "
              "b\r\n\r\n"),
        BYTES("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\nExpect: "
              "100-continue\r\n\r\n0\r\n\r\n"),
};

static const struct str responses[] = {
        BYTES("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        BYTES("HTTP/1.0 404\r\nA : b\r\nC: d\r\n e\r\n\t\r\nF: g\r\n\r\n"),
        BYTES("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc"),
        BYTES("HTTP/1.1 304 \r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nTransfer-Encoding: chunked\r\n\r\n"),
        BYTES("HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n3\r\nabc\r\n00a "
              "\t;x\r\n0123456789\r\n0\r\n\r\n"),
};

static unsigned random_below(unsigned n)
{
	static unsigned state = 20240229;

	state = state * 1664525u + 1013904223u;
	return (state >> 8) % n;
}

/* Changes, removes or repeats a few bytes, mostly to those that mean something. */
static size_t mutate(char *bytes, size_t len)
{
	static const char telling[] = "\r\n\r\n\t :;,/?#@[]%*09aA\x7f\x80\xff";

	for (unsigned n = random_below(4); n > 0; n--) {
		size_t at = random_below((unsigned)len);

		switch (random_below(4)) {
		case 0:
			bytes[at] = (char)random_below(256);
			break;
		case 1:
			bytes[at] = telling[random_below(sizeof(telling))];
			break;
		case 2:
			memmove(bytes + at, bytes + at + 1, len - at - 1);
			len--;
			break;
		default:
			memmove(bytes + at + 1, bytes + at, len - at);
			len++;
		}
	}
	return len;
}

/* A changed message in memory of its exact size, so that a read beyond it is seen; the caller frees it. */
static struct str make(const struct str *seeds, int count, char **bytes)
{
	struct str seed = seeds[random_below((unsigned)count)];
	char scratch[MOST];

	HOLDS(seed.len + 4 < MOST);
	memcpy(scratch, seed.at, seed.len);
	size_t len = mutate(scratch, seed.len);
	*bytes = malloc(len);
	HOLDS(*bytes);
	memcpy(*bytes, scratch, len);
	return (struct str){*bytes, len};
}

static void assert_inside(struct str s, struct str bytes)
{
	HOLDS(s.len == 0 || (s.at >= bytes.at && s.at + s.len <= bytes.at + bytes.len));
}

static void assert_holds_none(struct str s, const char *bad, size_t n)
{
	for (size_t i = 0; i < n && s.len > 0; i++)
		HOLDS(!memchr(s.at, bad[i], s.len));
}

static void assert_sane(const struct http_head *head, struct str bytes)
{
	assert_inside(head->method, bytes);
	assert_inside(head->target, bytes);
	assert_inside(head->host, bytes);
	assert_inside(head->reason, bytes);
	if (!str_eq(head->path, STR("/")) && !str_eq(head->path, STR("*")))
		assert_inside(head->path, bytes);
	assert_holds_none(head->method, "\0\r\n \t", 5);
	assert_holds_none(head->path, "\0\r\n \t#", 6);
	assert_holds_none(head->host, "\0\r\n \t@/?#", 9);
	HOLDS(head->count <= head->room);
	for (unsigned i = 0; i < head->count; i++) {
		HOLDS(head->fields[i].name.len > 0);
		assert_inside(head->fields[i].name, bytes);
		assert_inside(head->fields[i].value, bytes);
		assert_holds_none(head->fields[i].name, "\0\r\n \t:", 6);
		assert_holds_none(head->fields[i].value, "\0\r\n", 3);
	}
}

/* The promises of a request that was not refused. */
static void assert_taken(const struct http_head *head)
{
	unsigned hosts = 0;

	for (unsigned i = 0; i < head->count; i++)
		hosts += head->fields[i].id == FIELD_HOST;
	HOLDS(hosts == 1 || (hosts == 0 && head->minor == 0));
	HOLDS(head->host.len > 0 || hosts == 0);
	HOLDS(head->path.len > 0 &&
	        (head->path.at[0] == '/' || head->path.at[0] == '?' || str_eq(head->path, STR("*"))));
}

static void read_body(const struct http_head *head, struct http_framing framing, struct str rest)
{
	struct http_body_reader r;
	struct str data;
	size_t used;

	HOLDS(framing.kind != BODY_CHUNKED ||
	        (head->minor == 1 && !http_head_find(head, FIELD_CONTENT_LENGTH)));
	http_body_reader_init(&r, framing, 1 + random_below(64));
	do {
		if (http_body_read(&r, rest.at, rest.len, &used, &data) != HTTP_OK)
			return;
		HOLDS(used <= rest.len);
		assert_inside(data, (struct str){rest.at, used});
		rest = (struct str){rest.at + used, rest.len - used};
	} while (used > 0);
	HOLDS(r.done || rest.len == 0);
	HOLDS(framing.kind != BODY_LENGTH || r.taken + r.left == framing.length);
}

START_TEST(request_fuzz)
{
	for (int round = 0; round < ROUNDS; round++) {
		struct http_field fields[ROOM];
		struct http_head head = {.fields = fields, .room = random_below(ROOM + 1)};
		struct http_framing framing;
		char *bytes;
		struct str all = make(requests, COUNT(requests), &bytes);
		size_t skip = http_leading_crlf(all.at, all.len), scanned = 0;
		struct str rest = {all.at + skip, all.len - skip};
		size_t end = http_head_find_end(rest.at, rest.len, &scanned);

		HOLDS(end <= rest.len);
		if (http_request_parse(&head, rest.at, end) == HTTP_OK) {
			HOLDS(http_request_sniff(all.at, all.len) == HTTP_OK);
			assert_taken(&head);
			http_head_mark_hops(&head);
			HOLDS(head.host.len == 0 || head.form == TARGET_ABSOLUTE ||
			        !http_head_find(&head, FIELD_HOST)->hop);
			if (http_request_framing(&head, &framing) == HTTP_OK)
				read_body(&head, framing, (struct str){rest.at + end, rest.len - end});
		}
		assert_sane(&head, rest);
		/* Not cut by find_end: an empty line within is refused. */
		enum http_fault fault = http_request_parse(&head, all.at, all.len);
		assert_sane(&head, all);
		HOLDS(fault != HTTP_OK || (skip == 0 && end == all.len));
		free(bytes);
	}
}
END_TEST

START_TEST(response_fuzz)
{
	static const struct str methods[] = {BYTES("GET"), BYTES("HEAD")};

	for (int round = 0; round < ROUNDS; round++) {
		struct http_field fields[ROOM];
		struct http_head head = {.fields = fields, .room = random_below(ROOM + 1)};
		struct http_framing framing;
		char *bytes;
		struct str all = make(responses, COUNT(responses), &bytes);
		size_t scanned = 0, end = http_head_find_end(all.at, all.len, &scanned);

		HOLDS(end <= all.len);
		if (http_response_parse(&head, bytes, end) == HTTP_OK) {
			HOLDS(head.status >= 100 && head.status <= 599);
			if (http_response_framing(&head, methods[random_below(2)], &framing) == HTTP_OK)
				read_body(&head, framing, (struct str){all.at + end, all.len - end});
		}
		assert_sane(&head, all);
		http_response_parse(&head, bytes, all.len);
		assert_sane(&head, all);
		free(bytes);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http/fuzz");
	TCase *tc = tcase_create("fuzz");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, request_fuzz);
	tcase_add_test(tc, response_fuzz);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
