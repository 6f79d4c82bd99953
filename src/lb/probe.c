#include "lb/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/frame.h"
#include "net/proxy_header.h"

enum { ANSWER_ROOM = 64 * 1024, FIELDS = 100, LINE_LIMIT = 8 * 1024, INTERIM_MAX = 32 };

/* One probe with all that it needs; on the heap: a fiber's stack is small. */
struct probe {
	struct io *io;
	int fd;
	int64_t deadline;
	const struct lb_config_health *how;
	char *why;
	struct buf *in;
	struct buf *body; /* as far as it was read */
	size_t looked;    /* of body: looked through for the text */
	bool found;
	struct http_head head;
	struct http_field fields[FIELDS];
};

static bool fail(struct probe *p, const char *doing, int error)
{
	snprintf(p->why, PROBE_WHY_MAX, "%s: %s", doing,
	        error == -ETIMEDOUT ? "no answer within health.timeout" : strerror(-error));
	return false;
}

/* All of the bytes: 0 or -errno. */
static int send_by(struct io *io, int fd, struct str rest, int64_t deadline)
{
	while (rest.len > 0) {
		ssize_t n = io_send(io, fd, rest, deadline);

		if (n < 0)
			return (int)n;
		rest.at += n;
		rest.len -= (size_t)n;
	}
	return 0;
}

static int introduce(struct io *io, int fd, int proxy, int64_t deadline)
{
	char header[PROXY_HEADER_WRITE_MAX];
	struct addr from = {.len = sizeof(from.u)}, to = {.len = sizeof(to.u)};
	bool named = proxy == LB_SEND_PROXY_V1 && getsockname(fd, &from.u.any, &from.len) == 0 &&
	             getpeername(fd, &to.u.any, &to.len) == 0;
	size_t len = proxy_header_write((unsigned)proxy, named ? &from : NULL, named ? &to : NULL, header);

	return send_by(io, fd, (struct str){header, len}, deadline);
}

static int connect_by(struct io *io, const struct addr *to, int proxy, int64_t deadline, char *why)
{
	int fd = io_connect(io, to, deadline);

	if (fd < 0) {
		snprintf(why, PROBE_WHY_MAX, "connect: %s", strerror(-fd));
		return fd;
	}
	int sent = proxy != LB_SEND_PROXY_OFF ? introduce(io, fd, proxy, deadline) : 0;
	if (sent != 0) {
		snprintf(why, PROBE_WHY_MAX, "send: %s", strerror(-sent));
		io_close(io, fd);
		return sent;
	}
	return fd;
}

bool probe_tcp(struct io *io, const struct addr *to, int proxy, int64_t deadline, char why[PROBE_WHY_MAX])
{
	int fd = connect_by(io, to, proxy, deadline, why);

	if (fd >= 0)
		io_close(io, fd);
	return fd >= 0;
}

static bool send_request(struct probe *p, const char *host)
{
	char text[4096];
	int len = snprintf(text, sizeof(text),
	        "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tplb\r\nAccept: */*\r\nConnection: close\r\n\r\n",
	        p->how->method, p->how->path, p->how->host[0] ? p->how->host : host);
	if (len < 0 || (size_t)len >= sizeof(text)) /* lb_config_read has seen to it */
		return fail(p, "send", -EMSGSIZE);
	int sent = send_by(p->io, p->fd, (struct str){text, (size_t)len}, p->deadline);
	return sent == 0 || fail(p, "send", sent);
}

/* > 0, 0 for the end of the stream, -errno. */
static ssize_t receive(struct probe *p)
{
	if (clock_now() >= p->deadline) /* what is there already would be taken without a look at the clock */
		return -ETIMEDOUT;
	if (buf_room(p->in) == 0)
		buf_compact(p->in);
	if (buf_room(p->in) == 0)
		return -EMSGSIZE;
	return io_recv_buf(p->io, p->fd, &p->in, p->deadline);
}

static bool read_head(struct probe *p)
{
	size_t scanned = 0;

	for (int interims = 0; interims < INTERIM_MAX;) {
		size_t len = http_head_find_end(buf_head(p->in), buf_len(p->in), &scanned);

		if (len == 0) {
			ssize_t n = receive(p);

			if (n <= 0)
				return fail(p, "answer", n == 0 ? -ECONNRESET : (int)n);
			continue;
		}
		p->head = (struct http_head){.fields = p->fields, .room = FIELDS};
		if (http_response_parse(&p->head, buf_head(p->in), len) != HTTP_OK)
			break;
		if (p->head.status >= 200)
			return true;
		buf_consume(p->in, len);
		scanned = 0;
		interims++;
	}
	snprintf(p->why, PROBE_WHY_MAX, "answer: it is not HTTP");
	return false;
}

/* Looks at what came since the last look, and at what the text could have begun in before. */
static bool has_text(struct probe *p)
{
	size_t text = strlen(p->how->body), len = buf_len(p->body);
	size_t from = p->looked >= text ? p->looked - text + 1 : 0;

	p->looked = len;
	p->found = p->found || memmem(buf_head(p->body) + from, len - from, p->how->body, text) != NULL;
	return p->found;
}

/* Reads until the text was seen or the body, or the room for it, is at its end. */
static bool read_body(struct probe *p)
{
	struct http_framing framing;
	struct http_body_reader reader;

	if (http_response_framing(&p->head, str_of(p->how->method), &framing) != HTTP_OK)
		return fail(p, "answer", -EPROTO);
	buf_consume(p->in, p->head.size);
	http_body_reader_init(&reader, framing, LINE_LIMIT);
	while (!reader.done && !has_text(p) && buf_room(p->body) > 0) {
		struct str data;
		size_t used;

		if (buf_len(p->in) == 0) {
			ssize_t n = receive(p);

			if (n == 0 && http_body_eof(&reader))
				break;
			if (n <= 0)
				return fail(p, "answer", n == 0 ? -ECONNRESET : (int)n);
		}
		if (http_body_read(&reader, buf_head(p->in), buf_len(p->in), &used, &data) != HTTP_OK)
			return fail(p, "answer", -EPROTO);
		if (data.len > buf_room(p->body))
			data.len = buf_room(p->body);
		(void)buf_add_str(p->body, data);
		buf_consume(p->in, used);
	}
	if (has_text(p))
		return true;
	snprintf(p->why, PROBE_WHY_MAX, "the answer's body lacks \"%.64s\"", p->how->body);
	return false;
}

static bool status_is_good(const struct probe *p)
{
	int status = p->head.status;

	if (p->how->expect == 0 ? status >= 200 && status < 400 : status == p->how->expect)
		return true;
	if (p->how->expect == 0)
		snprintf(p->why, PROBE_WHY_MAX, "status %d, not one of 200 to 399", status);
	else
		snprintf(p->why, PROBE_WHY_MAX, "status %d, not %lld", status, (long long)p->how->expect);
	return false;
}

static bool ask(struct probe *p, const char *host)
{
	return send_request(p, host) && read_head(p) && status_is_good(p) &&
	       (p->how->body[0] == '\0' || read_body(p));
}

bool probe_http(struct io *io, const struct addr *to, int proxy, const struct lb_config_health *how,
        const char *host, int64_t deadline, char why[PROBE_WHY_MAX])
{
	struct probe *p = calloc(1, sizeof(*p));
	bool good = false;

	snprintf(why, PROBE_WHY_MAX, "out of memory");
	if (!p)
		return false;
	*p = (struct probe){.io = io, .deadline = deadline, .how = how, .why = why};
	p->in = buf_new(ANSWER_ROOM);
	p->body = buf_new(ANSWER_ROOM);
	if (p->in && p->body) {
		p->fd = connect_by(io, to, proxy, deadline, why);
		good = p->fd >= 0 && ask(p, host);
		if (p->fd >= 0)
			io_close(io, p->fd);
	}
	free(p->in);
	free(p->body);
	free(p);
	return good;
}
