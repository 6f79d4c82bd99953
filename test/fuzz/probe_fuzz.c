/*
 * The answer to a health probe. The first byte says in which pieces it comes, the second one what is wanted. The verdict on a whole answer does
 * not depend on the pieces, has a reason where it is bad, and is what a strict reader of the answer says where that can read it.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "fuzz.h"
#include "lb/probe.h"
#include "strict.h"

enum { MOST = 4096, FD = 1000 /* nobody's */ };

/* A server that says these bytes, then ends. */
struct server {
	struct io io; /* first */
	struct str bytes;
	size_t piece;
	bool open;
};

static ssize_t server_recv_buf(struct io *io, int fd, struct buf **b, int64_t deadline)
{
	struct server *s = (struct server *)io;
	size_t n = s->bytes.len < s->piece ? s->bytes.len : s->piece;

	MUST(fd == FD && s->open && deadline == CLOCK_NEVER && buf_room(*b) > 0);
	if (n > buf_room(*b))
		n = buf_room(*b);
	MUST(buf_add(*b, s->bytes.at, n));
	s->bytes = (struct str){s->bytes.at + n, s->bytes.len - n};
	return (ssize_t)n;
}

static ssize_t server_send(struct io *io, int fd, const struct iovec *parts, int count, int64_t deadline)
{
	const struct server *s = (const struct server *)io;

	(void)deadline;
	MUST(fd == FD && s->open && count == 1);
	return parts->iov_len > s->piece ? (ssize_t)s->piece : (ssize_t)parts->iov_len;
}

static int server_connect(struct io *io, const struct addr *to, int64_t deadline)
{
	(void)to, (void)deadline;
	((struct server *)io)->open = true;
	return FD;
}

static void server_close(struct io *io, int fd)
{
	struct server *s = (struct server *)io;

	MUST(fd == FD && s->open);
	s->open = false;
}

static bool ask(const struct lb_config_health *how, struct str bytes, size_t piece)
{
	static const struct io_ops ops = {.recv_buf = server_recv_buf,
	        .send = server_send,
	        .connect = server_connect,
	        .close = server_close};
	struct server s = {.io = {&ops}, .bytes = bytes, .piece = piece};
	const struct addr nowhere = {.len = 0};
	char why[PROBE_WHY_MAX] = "";
	bool good = probe_http(&s.io, &nowhere, LB_SEND_PROXY_OFF, how, "h", CLOCK_NEVER, why);

	MUST(!s.open);
	MUST(good || (why[0] != '\0' && strlen(why) < sizeof(why) && !strchr(why, '\n')));
	return good;
}

/* What a strict reader makes of it: 1 good, 0 bad, -1: it cannot tell. */
static int expected(const struct lb_config_health *how, struct str bytes)
{
	bool to_head = strcmp(how->method, "HEAD") == 0;
	struct strict m;

	for (;;) {
		enum strict_verdict v = strict_response(&m, bytes, to_head, true);
		bool good = how->expect == 0 ? m.status >= 200 && m.status < 400 : m.status == how->expect;
		bool has_text = how->body[0] == '\0' ||
		                memmem(m.body ? m.body : "", m.body_len, how->body, strlen(how->body));

		strict_free(&m);
		if (v == STRICT_BAD)
			return -1;
		if (m.head == 0) /* more than it reads of a head, or the end within it */
			return bytes.len < MOST ? 0 : -1;
		if (m.status >= 200 && (v == STRICT_MORE || m.extras) && good && how->body[0] != '\0')
			return -1; /* cut short, or broken on its last line; or with extensions, whose grammar it does not look at */
		if (m.status >= 200)
			return good && has_text;
		if (m.status == 101)
			return -1;
		bytes = (struct str){bytes.at + m.size, bytes.len - m.size};
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	unsigned piece = 1 + input_byte(&in), wanted = input_byte(&in);
	struct lb_config_health how = {.method = wanted & 1 ? (char[]){"HEAD"} : (char[]){"GET"},
	        .path = (char[]){"/"},
	        .host = (char[]){""},
	        .body = wanted & 2 ? (char[]){"fine"} : (char[]){""},
	        .expect = wanted & 4 ? 200 : 0};
	struct str bytes = input_bytes(&in, MOST);
	bool good = ask(&how, bytes, SIZE_MAX);
	int should = expected(&how, bytes);

	/* One that is broken behind the text may be good or bad: who has seen the text reads no further. */
	MUST(ask(&how, bytes, piece) == good || (should < 0 && how.body[0] != '\0'));
	MUST(should < 0 || good == should);
	return 0;
}
