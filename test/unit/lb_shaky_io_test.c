/* The whole relay on a driver that keeps the I/O contract in the worst way: what is sent is what arrives, whatever a transfer moved and whatever was said to be ready. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "lb/balancer.h"
#include "lb/exchange.h"
#include "shaky_io.h"

enum {
	SEEDS = 10 /* in each test */,
	REQUESTS = 9,
	SERVERS_MAX = 4 * REQUESTS,
	TEXT_MAX = 1 << 18,
	BODY_MAX = 40000,
	SOCKET_BYTES = 4096
};

/* One end of a connection that the test plays. */
struct peer {
	int fd; /* -1: closed */
	size_t in, out, sent;
	size_t used; /* of in */
	bool ends;   /* when all of out is sent */
	char *in_text, *out_text;
};

struct body {
	size_t len;
	char bytes[BODY_MAX];
};

static struct shaky_io driver;
static struct peer client, servers[SERVERS_MAX];
static unsigned server_count, seen[REQUESTS];
static struct lb_config *config;
static struct balancer *balancer;
static struct service service;
static struct worker worker;
static struct counters *counters;
static struct listener listener;
static struct conn conn;

/* Messages. */

static char byte_of(unsigned number, size_t at)
{
	return (char)('a' + (number * 7 + at * 13 + at / 251) % 26);
}

/* Nothing, little, and more than a buffer and a socket hold; so that the next one differs. */
static size_t body_len(unsigned number)
{
	static const size_t lens[] = {17, 0, 39000, 1, 5000};

	return lens[number % 5];
}

static void add(struct peer *p, const char *bytes, size_t n)
{
	ck_assert_uint_le(p->out + n, TEXT_MAX);
	memcpy(p->out_text + p->out, bytes, n);
	p->out += n;
}

static void add_text(struct peer *p, const char *text)
{
	add(p, text, strlen(text));
}

static void add_body(struct peer *p, unsigned number, size_t len, bool chunked)
{
	char piece[997], line[32];

	for (size_t at = 0; at < len;) {
		size_t n = len - at < sizeof(piece) ? len - at : sizeof(piece);

		for (size_t i = 0; i < n; i++)
			piece[i] = byte_of(number, at + i);
		snprintf(line, sizeof(line), "%zx\r\n", n);
		if (chunked)
			add_text(p, line);
		add(p, piece, n);
		if (chunked)
			add_text(p, "\r\n");
		at += n;
	}
	if (chunked)
		add_text(p, "0\r\n\r\n");
}

static bool is_post(unsigned number)
{
	return number % 3 != 0;
}

static void add_request(unsigned number)
{
	char head[256], framing[64] = "";

	if (is_post(number) && number % 3 == 1)
		snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", body_len(number));
	else if (is_post(number))
		snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked\r\n");
	snprintf(head, sizeof(head), "%s /%u HTTP/1.1\r\nHost: h\r\n%s\r\n", is_post(number) ? "POST" : "GET",
	        number, framing);
	add_text(&client, head);
	if (is_post(number))
		add_body(&client, number, body_len(number), number % 3 == 2);
}

static size_t answer_len(unsigned number)
{
	return body_len(number + 2);
}

static void add_answer(struct peer *p, unsigned number)
{
	char head[256], framing[64] = "";

	if (number % 4 == 1)
		add_text(p, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
	if (number % 4 < 2)
		snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", answer_len(number));
	else if (number % 4 == 2)
		snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked\r\n");
	p->ends = number % 4 == 3; /* and only the end of the stream tells its length */
	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nX-Number: %u\r\n%s\r\n", number, framing);
	add_text(p, head);
	add_body(p, number, answer_len(number), number % 4 == 2);
}

static const char *field(const char *head, const char *end, const char *name)
{
	const char *at = memmem(head, (size_t)(end - head), name, strlen(name));

	return at ? at + strlen(name) : NULL;
}

/* Takes a chunked body off. Its length, framing included; 0: there is not all of it. */
static size_t take_chunks(const char *at, size_t n, struct body *b)
{
	size_t used = 0;

	for (;;) {
		const char *end = memmem(at + used, n - used, "\r\n", 2);
		size_t size;

		if (!end)
			return 0;
		ck_assert_int_eq(sscanf(at + used, "%zx", &size), 1);
		used = (size_t)(end - at) + 2;
		if (n - used < size + 2)
			return 0;
		ck_assert_uint_le(b->len + size, sizeof(b->bytes));
		memcpy(b->bytes + b->len, at + used, size);
		b->len += size;
		ck_assert_int_eq(memcmp(at + used + size, "\r\n", 2), 0);
		used += size + 2;
		if (size == 0)
			return used;
	}
}

/* The message at the front. Its length; 0: there is not all of it. *head_end: behind its head. */
static size_t take_message(const char *at, size_t n, const char **head_end, struct body *b)
{
	const char *end = memmem(at, n, "\r\n\r\n", 4), *value;

	b->len = 0;
	if (!end)
		return 0;
	*head_end = end + 4;
	size_t head = (size_t)(*head_end - at);
	if (field(at, end, "\r\nTransfer-Encoding: chunked")) {
		size_t chunks = take_chunks(at + head, n - head, b);

		return chunks > 0 ? head + chunks : 0;
	}
	if ((value = field(at, *head_end, "\r\nContent-Length: ")))
		b->len = strtoul(value, NULL, 10);
	ck_assert_uint_le(b->len, sizeof(b->bytes));
	if (n - head < b->len)
		return 0;
	memcpy(b->bytes, at + head, b->len);
	return head + b->len;
}

static void check_body(const struct body *b, unsigned number, size_t len)
{
	ck_assert_uint_eq(b->len, len);
	for (size_t i = 0; i < len; i++)
		MUST(b->bytes[i] == byte_of(number, i));
}

/* Peers. */

static void peer_open(struct peer *p, int fd)
{
	int bytes = SOCKET_BYTES;

	*p = (struct peer){.fd = fd, .in_text = malloc(TEXT_MAX), .out_text = malloc(TEXT_MAX)};
	MUST(p->in_text && p->out_text && setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) == 0);
}

static void peer_close(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	free(p->in_text);
	free(p->out_text);
	p->in_text = p->out_text = NULL;
}

static void peer_move(struct peer *p)
{
	if (p->fd < 0)
		return;
	if (p->sent < p->out && shaky_chance(&driver, 2)) {
		ssize_t n = send(p->fd, p->out_text + p->sent, shaky_part(&driver, p->out - p->sent),
		        MSG_NOSIGNAL | MSG_DONTWAIT);

		p->sent += n > 0 ? (size_t)n : 0;
	}
	ssize_t n = recv(p->fd, p->in_text + p->in, shaky_part(&driver, TEXT_MAX - p->in), MSG_DONTWAIT);
	p->in += n > 0 ? (size_t)n : 0;
	if ((p->ends && p->sent == p->out) || n == 0) {
		close(p->fd);
		p->fd = -1;
	}
}

static void serve(struct peer *p)
{
	static struct body body;
	const char *head_end, *at = p->in_text + p->used;
	unsigned number;
	size_t n = p->fd >= 0 ? take_message(at, p->in - p->used, &head_end, &body) : 0;

	if (n == 0)
		return;
	MUST(sscanf(at, "%*s /%u HTTP/1.1\r\n", &number) == 1 && number < REQUESTS);
	check_body(&body, number, is_post(number) ? body_len(number) : 0);
	seen[number]++;
	p->used += n;
	add_answer(p, number);
}

static void step(void)
{
	peer_move(&client);
	for (unsigned i = 0; i < server_count; i++) {
		peer_move(&servers[i]);
		serve(&servers[i]);
	}
}

static int connect_server(void)
{
	int fds[2], bytes = SOCKET_BYTES;

	ck_assert_uint_lt(server_count, SERVERS_MAX);
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	MUST(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) == 0);
	peer_open(&servers[server_count++], fds[1]);
	return fds[0];
}

/* The relay. */

static void setup(unsigned seed)
{
	int fds[2];

	config = lb_config_read_text("x", "listeners = ( { bind = \"127.0.0.1:1\"; upstream = \"o\"; } );"
	                                  "upstreams = ( { name = \"o\"; passive = { max_fails = 0; };"
	                                  "servers = ( { address = \"127.0.0.1:2\"; } ); } );");
	MUST(config && conf_fault_count(config->conf) == 0);
	lb_config_resolve(config);
	balancer = balancer_new(1, 0);
	counters = counters_new(1);
	MUST(balancer && balancer_build(balancer, config) && counters);
	service = lb_service(balancer);
	shaky_io_init(&driver, seed, step, connect_server);
	worker_init(&worker, 0, &driver.io, counters, NULL, config->limits.header_size, 4);
	MUST(service.worker_start(balancer, &worker));
	listener = (struct listener){.fd = -1, .app = balancer_front(balancer, 0)};
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	conn = (struct conn){
	        .magic = CONN_MAGIC, .fd = fds[0], .listener = &listener, .accepted_at = clock_now()};
	conn.peer.family = AF_INET;
	peer_open(&client, fds[1]);
	server_count = 0;
	memset(seen, 0, sizeof(seen));
	for (unsigned i = 0; i < REQUESTS; i++)
		add_request(i);
}

static void finish(void)
{
	close(conn.fd);
	buf_store_put(&worker.heads, conn.in);
	service.worker_stop(balancer, &worker);
	worker_free(&worker);
	balancer_free(balancer);
	counters_free(counters, 1);
	lb_config_free(config);
	peer_close(&client);
	for (unsigned i = 0; i < server_count; i++)
		peer_close(&servers[i]);
}

static bool is_readable(int fd)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};

	return poll(&one, 1, 0) > 0;
}

static void wait_readable(int fd)
{
	for (unsigned rounds = 0; !is_readable(fd); rounds++) {
		ck_assert_msg(rounds < SHAKY_ROUNDS_MAX, "nothing comes");
		step();
	}
}

static bool starts(const char *at, const char *text)
{
	return strncmp(at, text, strlen(text)) == 0;
}

/* The server's answer to this request, or tplb's own. */
static void check_answer(const char *at, const char *head_end, const struct body *b, unsigned number)
{
	const char *value = field(at, head_end, "\r\nX-Number: ");
	unsigned told;

	if (!value) {
		ck_assert_msg(driver.faults > 0 && (starts(at, "HTTP/1.1 5") || starts(at, "HTTP/1.1 408")),
		        "%.200s", at);
		return;
	}
	MUST(sscanf(value, "%u", &told) == 1 && told == number);
	check_body(b, number, answer_len(number));
}

/* What the client got: answers in order. Returns how many were whole; *rest: what is behind them. */
static unsigned check_answers(const char **rest)
{
	static struct body body;
	const char *at = client.in_text, *end = client.in_text + client.in, *head_end;
	unsigned number = 0;
	size_t n;

	while ((n = take_message(at, (size_t)(end - at), &head_end, &body)) > 0) {
		if (!starts(at, "HTTP/1.1 103"))
			check_answer(at, head_end, &body, number++);
		at += n;
	}
	*rest = at;
	return number;
}

/* The client has said all, and all of it was read. */
static bool is_over(void)
{
	return client.sent == client.out && !conn.in && !is_readable(conn.fd);
}

/* As an engine calls it, until all requests are answered or the client's connection ends. */
static enum verdict_kind run(void)
{
	void *x = NULL;

	wait_readable(conn.fd);
	struct verdict v = service.begin(balancer, &worker, &conn, &x);
	for (;;) {
		if (v.kind == VERDICT_WAIT) {
			if (!shaky_chance(
			            &driver, 3)) /* a thread of the pool waits before; a loop does not */
				wait_readable(v.fd);
			v = service.end(balancer, &worker, x);
			continue;
		}
		if (v.kind != VERDICT_PARK && v.kind != VERDICT_AGAIN)
			return v.kind;
		while (v.kind == VERDICT_PARK && !is_readable(conn.fd) && !is_over())
			step();
		if (v.kind == VERDICT_PARK && is_over())
			return v.kind;
		x = NULL;
		v = service.begin(balancer, &worker, &conn, &x);
	}
}

static void drain(void)
{
	size_t before;

	shutdown(conn.fd, SHUT_WR);
	do {
		before = client.in;
		for (int i = 0; i < 20; i++)
			peer_move(&client);
	} while (client.in > before);
}

/* Transfers of any size, false alarms: the bytes are right, and each request is seen once. */
static void check_every_byte(unsigned seed)
{
	const char *rest;

	setup(seed);
	ck_assert_int_eq(run(), VERDICT_PARK);
	drain();
	ck_assert_uint_eq(check_answers(&rest), REQUESTS);
	ck_assert_ptr_eq(rest, client.in_text + client.in);
	for (unsigned i = 0; i < REQUESTS; i++)
		ck_assert_uint_eq(seen[i], 1);
	finish();
}

START_TEST(every_byte)
{
	for (unsigned i = 0; i < SEEDS; i++)
		check_every_byte(SEEDS * (unsigned)_i + i + 1);
}
END_TEST

/* Deadlines pass early, connections are lost: no half answer looks whole, none is another's, no POST is seen twice. */
static void check_faults(unsigned seed)
{
	const char *rest;

	setup(seed);
	driver.late_in = seed % 2 ? 300 : 0;
	driver.lost_in = seed % 2 ? 0 : 300;
	(void)run();
	drain();
	unsigned answers = check_answers(&rest);
	if (driver.faults == 0)
		ck_assert_uint_eq(answers, REQUESTS);
	for (unsigned i = 0; i < REQUESTS; i++)
		ck_assert_uint_le(seen[i], is_post(i) ? 1 : 2);
	finish();
}

START_TEST(faults)
{
	for (unsigned i = 0; i < SEEDS; i++)
		check_faults(SEEDS * (unsigned)_i + i + 1001);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lb/shaky_io");
	TCase *tc = tcase_create("relay");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, every_byte, 0, 6);
	tcase_add_loop_test(tc, faults, 0, 20);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
