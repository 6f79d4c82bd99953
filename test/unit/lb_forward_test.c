/* The heads as they go out, byte for byte. */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/worker.h"
#include "lb/forward.h"

enum { HEADER_SIZE = 4096 };

#define ROWS(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

static struct lb_config *config;
static struct lb *lb;
static struct worker worker;
static struct listener listener;
static struct conn conn;
static struct exchange *x;

/* An exchange on a balancer of one server; forward: what stands in the configuration's `forward`. */
static void setup_with(const char *forward, const char *server, const char *client)
{
	char text[1024];

	snprintf(text, sizeof(text),
	        "listeners = ( { bind = \"127.0.0.1:8080\"; upstream = \"o\"; } );"
	        "upstreams = ( { name = \"o\"; servers = ( { address = \"%s\"; } ); } );"
	        "forward = { %s };",
	        server, forward);
	config = lb_config_read_text("x", text);
	ck_assert_ptr_nonnull(config);
	conf_print_faults(config->conf, stderr);
	ck_assert_uint_eq(conf_fault_count(config->conf), 0);
	lb_config_resolve(config);
	lb = lb_new(config, 1, 0, NULL);
	ck_assert_ptr_nonnull(lb);
	worker = (struct worker){
	        .heads = {.keep = 4, .cap = HEADER_SIZE}, .bodies = {.keep = 4, .cap = HEADER_SIZE}};
	ck_assert(exchange_store_init(&worker));
	listener = (struct listener){.app = &lb->listeners[0]};
	conn = (struct conn){.magic = CONN_MAGIC, .fd = -1, .listener = &listener};
	if (client) {
		conn.peer.family = strchr(client, ':') ? AF_INET6 : AF_INET;
		ck_assert_int_eq(inet_pton(conn.peer.family, client, conn.peer.bytes), 1);
	}
	lb_begin_use(lb, 0);
	x = exchange_new(&lb->listeners[0], &worker, &conn);
	ck_assert_ptr_nonnull(x);
}

static void finish(void)
{
	exchange_free(x);
	exchange_store_free(&worker);
	buf_store_free(&worker.heads);
	buf_store_free(&worker.bodies);
	lb_free(lb);
	lb_config_free(config);
}

/* As exchange_head does it. */
static void parse_request(const char *text, bool upgrade)
{
	ck_assert(buf_add_str(x->in, str_of(text)));
	ck_assert_int_eq(http_request_parse(&x->request, buf_head(x->in), buf_len(x->in)), HTTP_OK);
	ck_assert_int_eq(http_request_framing(&x->request, &x->request_framing), HTTP_OK);
	http_head_mark_hops(&x->request);
	x->wants_upgrade = upgrade;
}

static void assert_out(const char *want)
{
	struct str out = buf_str(x->out);

	ck_assert_msg(str_eq(out, str_of(want)), "want:\n%s\ngot:\n%.*s", want, STR_ARG(out));
}

#define PLAIN "x_forwarded_for = false; via = \"\";"
#define VIA "x_forwarded_for = false; via = \"lb\";"
#define XFF "x_forwarded_for = true; via = \"\";"
#define TRUSTED " trusted = ( \"10.0.0.0/8\", \"2001:db8::/32\", \"unix:\" );"
#define TRUST XFF TRUSTED
#define RFC7239 PLAIN " forwarded = true;" TRUSTED

static const struct {
	const char *forward;
	const char *client; /* NULL: over a Unix socket */
	const char *in;
	const char *out;
	long long max_forwards; /* 0: none given */
	bool upgrade;
} requests[] = {
        {PLAIN, "1.2.3.4", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0,
                false},
        /* Order, spelling and inner spaces stay; outer ones do not. */
        {PLAIN, "1.2.3.4", "GET /a%20b?c=d HTTP/1.1\r\nB:  1 2\t\r\nhOST:h:81\r\nb: 3\r\nE:\r\n\r\n",
                "GET /a%20b?c=d HTTP/1.1\r\nB: 1 2\r\nhOST: h:81\r\nb: 3\r\nE: \r\n\r\n", 0, false},
        /* Targets. */
        {PLAIN, "1.2.3.4", "GET http://a.b:8080/c?d HTTP/1.1\r\nHost: other\r\n\r\n",
                "GET /c?d HTTP/1.1\r\nHost: a.b:8080\r\n\r\n", 0, false},
        {PLAIN, "1.2.3.4", "GET http://a.b HTTP/1.1\r\nHost: a.b\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a.b\r\n\r\n", 0, false},
        {PLAIN, "1.2.3.4", "OPTIONS http://a.b HTTP/1.1\r\nHost: a.b\r\n\r\n",
                "OPTIONS * HTTP/1.1\r\nHost: a.b\r\n\r\n", 0, false},
        {PLAIN, "1.2.3.4", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
                0, false},
        /* HTTP/1.0. */
        {PLAIN, "1.2.3.4", "GET /x HTTP/1.0\r\nA: b\r\n\r\n",
                "GET /x HTTP/1.1\r\nA: b\r\nHost: 127.0.0.1:9000\r\n\r\n", 0, false},
        {PLAIN, "1.2.3.4", "GET http://q/x HTTP/1.0\r\nA: b\r\n\r\n",
                "GET /x HTTP/1.1\r\nA: b\r\nHost: q\r\n\r\n", 0, false},
        /* Hop by hop. */
        {PLAIN, "1.2.3.4",
                "GET / HTTP/1.1\r\nHost: h\r\nConnection: close, X-A\r\nX-A: 1\r\nKeep-Alive: 5\r\nTE: "
                "trailers\r\n"
                "Proxy-Connection: close\r\nTrailer: T\r\nUpgrade: websocket\r\nX-B: 2\r\nConnection: "
                "x-c\r\nx-C: 3\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nX-B: 2\r\n\r\n", 0, false},
        {PLAIN, "1.2.3.4",
                "GET / HTTP/1.1\r\nHost: h\r\nConnection: host, content-length, via\r\nVia: 1.1 a\r\n"
                "Content-Length: 3\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.1 a\r\nContent-Length: 3\r\n\r\n", 0, false},
        /* Framing is written anew. */
        {PLAIN, "1.2.3.4", "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nHost: h\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 0, false},
        {PLAIN, "1.2.3.4", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", 0, false},
        /* Upgrade. */
        {PLAIN, "1.2.3.4",
                "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nK: v\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nK: v\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 0,
                true},
        /* Max-Forwards. */
        {PLAIN, "1.2.3.4", "OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 010\r\n\r\n",
                "OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 9\r\n\r\n", 9, false},
        {PLAIN, "1.2.3.4", "GET / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 010\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 010\r\n\r\n", 0, false},
        /* Via says the version that the client spoke. */
        {VIA, "1.2.3.4", "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.0 a\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.0 a\r\nVia: 1.1 lb\r\n\r\n", 0, false},
        {VIA, "1.2.3.4", "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.0 lb\r\n\r\n", 0, false},
        /* X-Forwarded: an untrusted client's word is not taken. */
        {XFF, "1.2.3.4", "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: http\r\n"
                "X-Forwarded-Host: h\r\n\r\n",
                0, false},
        {TRUST, "11.0.0.1",
                "GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\nHost: h\r\nx-forwarded-for: 9.9.9.9\r\n"
                "X-Forwarded-Host: e\r\nForwarded: for=x\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 11.0.0.1\r\n"
                "X-Forwarded-Proto: http\r\nX-Forwarded-Host: h\r\n\r\n",
                0, false},
        {TRUST, "10.0.0.1",
                "GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\nHost: h\r\nx-forwarded-for: 9.9.9.9, "
                "8.8.8.8\r\n"
                "X-Forwarded-For: 7.7.7.7\r\nX-Forwarded-Host: e\r\n\r\n",
                "GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\nHost: h\r\nX-Forwarded-Host: e\r\n"
                "X-Forwarded-For: 9.9.9.9, 8.8.8.8, 7.7.7.7, 10.0.0.1\r\n\r\n",
                0, false},
        {TRUST, "2001:db8::1", "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 9.9.9.9, 2001:db8::1\r\nX-Forwarded-Proto: "
                "http\r\n"
                "X-Forwarded-Host: h\r\n\r\n",
                0, false},
        {TRUST, NULL, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 9.9.9.9, unix:\r\nX-Forwarded-Proto: http\r\n"
                "X-Forwarded-Host: h\r\n\r\n",
                0, false},
        {XFF, "1.2.3.4", "GET http://a/ HTTP/1.1\r\nHost: h\r\nConnection: X-Forwarded-For\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: http\r\n"
                "X-Forwarded-Host: a\r\n\r\n",
                0, false},
        {XFF, "1.2.3.4", "GET / HTTP/1.0\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: "
                "http\r\n\r\n",
                0, false},
        {PLAIN, "1.2.3.4",
                "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 9.9.9.9\r\nForwarded: for=x\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 9.9.9.9\r\nForwarded: for=x\r\n\r\n", 0,
                false},
        {TRUST, "10.0.0.1", "GET / HTTP/1.1\r\nForwarded: for=x\r\nHost: h\r\n\r\n",
                "GET / HTTP/1.1\r\nForwarded: for=x\r\nHost: h\r\nX-Forwarded-For: 10.0.0.1\r\n"
                "X-Forwarded-Proto: http\r\nX-Forwarded-Host: h\r\n\r\n",
                0, false},
        /* Forwarded. */
        {RFC7239, "11.0.0.1",
                "GET / HTTP/1.1\r\nHost: h\r\nForwarded: for=x\r\nX-Forwarded-For: y\r\nX-Forwarded-Host: "
                "z\r\nX-Forwarded-Proto: https\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nForwarded: for=11.0.0.1;host=h;proto=http\r\n\r\n", 0, false},
        {RFC7239, "10.0.0.1",
                "GET / HTTP/1.1\r\nForwarded: for=x;proto=https, for=\"[::1]:5\"\r\nHost: "
                "h:80\r\nX-Forwarded-For: y\r\n"
                "forwarded: for=_z\r\nForwarded:\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h:80\r\nX-Forwarded-For: y\r\nForwarded: for=x;proto=https, "
                "for=\"[::1]:5\", for=_z, for=10.0.0.1;host=\"h:80\";proto=http\r\n\r\n",
                0, false},
        {RFC7239, "2001:db8::1", "GET http://[::1] HTTP/1.1\r\nHost: h\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: [::1]\r\nForwarded: "
                "for=\"[2001:db8::1]\";host=\"[::1]\";proto=http\r\n\r\n",
                0, false},
        {RFC7239, NULL, "GET / HTTP/1.0\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nForwarded: for=unknown;proto=http\r\n\r\n", 0,
                false},
        {RFC7239, "10.0.0.1",
                "GET / HTTP/1.1\r\nHost: h\r\nConnection: Forwarded\r\nForwarded: for=x\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nForwarded: for=10.0.0.1;host=h;proto=http\r\n\r\n", 0, false},
        {XFF " forwarded = true;", "11.0.0.1", "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 11.0.0.1\r\nX-Forwarded-Proto: http\r\n"
                "X-Forwarded-Host: h\r\nForwarded: for=11.0.0.1;host=h;proto=http\r\n\r\n",
                0, false},
};

START_TEST(request)
{
	setup_with(requests[_i].forward, "127.0.0.1:9000", requests[_i].client);
	parse_request(requests[_i].in, requests[_i].upgrade);
	ck_assert(buf_add_str(x->out, STR("of the last request")));
	ck_assert(forward_request(x, requests[_i].max_forwards ? requests[_i].max_forwards : -1));
	assert_out(requests[_i].out);
	finish();
}
END_TEST

START_TEST(unix_server)
{
	setup_with(PLAIN, "unix:/run/o.sock", "1.2.3.4");
	parse_request("GET / HTTP/1.0\r\n\r\n", false);
	ck_assert(forward_request(x, -1));
	assert_out("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	finish();
}
END_TEST

/* Whatever the room, all of it or false. */
START_TEST(no_room)
{
	const char *out = "GET /abc HTTP/1.1\r\nHost: h\r\nVia: 1.1 lb\r\n\r\n";

	setup_with(VIA, "127.0.0.1:9000", "1.2.3.4");
	parse_request("GET /abc HTTP/1.1\r\nHost: h\r\n\r\n", false);
	size_t cap = x->out->cap;
	for (size_t room = 0; room <= strlen(out) + 1; room++) {
		x->out->cap = room;
		ck_assert_int_eq(forward_request(x, -1), room >= strlen(out));
		ck_assert_uint_le(x->out->end, room);
	}
	assert_out(out);
	x->out->cap = cap;
	finish();
}
END_TEST

#define DATE "Date: Mon, 23 Nov 2026 10:00:00 GMT\r\n"

static const struct {
	const char *in;
	struct http_framing framing;
	bool close;
	int minor; /* of the request */
	const char *via;
	const char *out;
} responses[] = {
        {"HTTP/1.1 200 OK\r\n" DATE "Content-Length: 3\r\n\r\n", {BODY_LENGTH, 3}, false, 1, PLAIN,
                "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 3\r\n\r\n"},
        {"HTTP/1.1 200 OK\r\n" DATE "Content-Length: 3\r\n\r\n", {BODY_LENGTH, 3}, true, 1, PLAIN,
                "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 3\r\nConnection: close\r\n\r\n"},
        {"HTTP/1.1 200 OK\r\n" DATE "Content-Length: 3\r\n\r\n", {BODY_LENGTH, 3}, false, 0, PLAIN,
                "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 3\r\nConnection: keep-alive\r\n\r\n"},
        {"HTTP/1.1 200 OK\r\n" DATE "Content-Length: 3\r\n\r\n", {BODY_LENGTH, 3}, true, 0, PLAIN,
                "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 3\r\nConnection: close\r\n\r\n"},
        /* Any reason or none, and no version but ours. */
        {"HTTP/1.0 404 Not  here\r\n" DATE "\r\n", {BODY_CLOSE, 0}, true, 0, PLAIN,
                "HTTP/1.1 404 Not  here\r\n" DATE "Connection: close\r\n\r\n"},
        {"HTTP/1.1 599 \r\n" DATE "\r\n", {BODY_NONE, 0}, false, 1, PLAIN, "HTTP/1.1 599 \r\n" DATE "\r\n"},
        /* Framing is ours, hop-by-hop fields go. */
        {"HTTP/1.1 200 OK\r\n" DATE
         "Transfer-Encoding: chunked\r\nKeep-Alive: x\r\nConnection: close, a\r\nA: b\r\n\r\n",
                {BODY_CHUNKED, 0}, false, 1, PLAIN,
                "HTTP/1.1 200 OK\r\n" DATE "Transfer-Encoding: chunked\r\n\r\n"},
        {"HTTP/1.1 200 OK\r\n" DATE
         "Content-Length: 4\r\ncontent-length: 4\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
                {BODY_LENGTH, 4}, false, 1, PLAIN,
                "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 4\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n"},
        {"HTTP/1.1 204 No Content\r\n" DATE "Content-Length: 0\r\n\r\n", {BODY_NONE, 0}, false, 1, PLAIN,
                "HTTP/1.1 204 No Content\r\n" DATE "\r\n"},
        {"HTTP/1.1 304 Not Modified\r\n" DATE "Content-Length: 7\r\n\r\n", {BODY_NONE, 0}, false, 1, PLAIN,
                "HTTP/1.1 304 Not Modified\r\n" DATE "Content-Length: 7\r\n\r\n"},
        /* Interim answers say nothing of the connection. */
        {"HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\n", {BODY_NONE, 0}, true, 1, PLAIN,
                "HTTP/1.1 100 Continue\r\n\r\n"},
        {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", {BODY_NONE, 0}, false, 1, PLAIN,
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"},
        {"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: ws\r\nS: t\r\n\r\n", {BODY_TUNNEL, 0},
                false, 1, PLAIN,
                "HTTP/1.1 101 Switching\r\nS: t\r\nUpgrade: ws\r\nConnection: upgrade\r\n\r\n"},
        /* Via. */
        {"HTTP/1.0 200 OK\r\n" DATE "Via: 1.1 x\r\n\r\n", {BODY_CLOSE, 0}, true, 1, VIA,
                "HTTP/1.1 200 OK\r\n" DATE "Via: 1.1 x\r\nVia: 1.0 lb\r\nConnection: close\r\n\r\n"},
};

static void parse_response(const char *text, int minor, bool close)
{
	x->request.minor = minor;
	x->client_close = close;
	ck_assert(buf_add_str(x->from_server, str_of(text)));
	ck_assert_int_eq(http_response_parse(&x->response, buf_head(x->from_server), buf_len(x->from_server)),
	        HTTP_OK);
	http_head_mark_hops(&x->response);
}

START_TEST(response)
{
	char want[HEADER_SIZE];

	setup_with(responses[_i].via, "127.0.0.1:9000", "1.2.3.4");
	parse_response(responses[_i].in, responses[_i].minor, responses[_i].close);
	ck_assert(buf_add_str(x->out, STR("before")));
	ck_assert(forward_response(x, responses[_i].framing));
	snprintf(want, sizeof(want), "before%s", responses[_i].out);
	assert_out(want);
	finish();
}
END_TEST

/* RFC 9110 section 6.6.1. */
START_TEST(date_added)
{
	struct http_date_cache cache = {0};
	char want[3][200];

	setup_with(PLAIN, "127.0.0.1:9000", "1.2.3.4");
	parse_response("HTTP/1.1 200 OK\r\nA: b\r\n\r\n", 1, false);
	for (int i = 0; i < 3; i++) { /* the second may change between */
		snprintf(want[i], sizeof(want[i]), "HTTP/1.1 200 OK\r\nA: b\r\nDate: %.*s\r\n\r\n",
		        STR_ARG(http_date_now(&cache)));
		if (i == 0)
			ck_assert(forward_response(x, (struct http_framing){.kind = BODY_NONE}));
	}
	if (!str_eq(buf_str(x->out), str_of(want[0])))
		assert_out(want[1]);
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lb/forward");
	TCase *tc = tcase_create("forward");

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, request, 0, ROWS(requests));
	tcase_add_test(tc, unix_server);
	tcase_add_test(tc, no_room);
	tcase_add_loop_test(tc, response, 0, ROWS(responses));
	tcase_add_test(tc, date_added);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
