#include "world.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "made_up_clock.h"
#include "net/sock.h"

enum { WAITS_MAX = 200000, SOCKET_BUFFER = 4096 };

void bytes_add(struct bytes *b, struct str s)
{
	if (b->len + s.len > b->room) {
		b->room = 2 * (b->len + s.len) + 256;
		b->at = realloc(b->at, b->room);
		MUST(b->at != NULL);
	}
	if (s.len > 0)
		memcpy(b->at + b->len, s.at, s.len);
	b->len += s.len;
}

void bytes_printf(struct bytes *b, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	int len = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	MUST(len >= 0 && (size_t)len < sizeof(text));
	bytes_add(b, (struct str){text, (size_t)len});
}

bool peer_send(struct peer *p, size_t most)
{
	size_t left = p->outbox.len - p->sent;

	if (most > 0 && left > most)
		left = most;
	if (p->fd < 0 || p->finished || left == 0)
		return false;
	ssize_t n = send(p->fd, p->outbox.at + p->sent, left, MSG_NOSIGNAL);
	if (n > 0)
		p->sent += (size_t)n;
	else if (errno != EAGAIN)
		p->finished = true; /* the relay has left */
	return n > 0;
}

bool peer_receive(struct peer *p)
{
	char room[16384];

	if (p->fd < 0 || p->ended || p->deaf)
		return false;
	ssize_t n = recv(p->fd, room, sizeof(room), 0);
	if (n > 0)
		bytes_add(&p->got, (struct str){room, (size_t)n});
	else if (n == 0 || errno != EAGAIN)
		p->ended = true;
	return n > 0 || p->ended;
}

void peer_finish(struct peer *p)
{
	if (p->fd >= 0 && !p->finished)
		(void)shutdown(p->fd, SHUT_WR);
	p->first |= !p->finished && !p->ended;
	p->finished = true;
}

void peer_close(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->first |= !p->finished && !p->ended;
	p->fd = -1;
	p->finished = p->ended = true;
}

static void peer_free(struct peer *p)
{
	peer_close(p);
	free(p->outbox.at);
	free(p->got.at);
}

/* The two ends of a connection; the buffers are as small as the system makes them. */
static void make_pair(int ends[2])
{
	int size = SOCKET_BUFFER;

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
	for (int i = 0; i < 2; i++)
		MUST(setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
}

/* Once the script is over all do what is left for them to do. */
static bool go_on(struct world *w)
{
	bool moved = false;

	for (unsigned i = 0; i < w->client_count; i++) {
		struct peer *p = &w->clients[i].peer;

		p->deaf = false;
		moved |= peer_send(p, 0);
		moved |= peer_receive(p);
		if (p->ended && p->fd >= 0) {
			peer_close(p);
			moved = true;
		}
	}
	for (unsigned i = 0; i < w->link_count; i++) {
		w->links[i].peer.deaf = false;
		moved |= link_step(w, &w->links[i]);
	}
	return moved;
}

bool world_step(struct world *w)
{
	if (w->script.left > 0) {
		script_step(w);
		return true;
	}
	if (go_on(w))
		return true;
	if (w->is_over)
		return false;
	for (unsigned i = 0; i < w->client_count; i++)
		peer_finish(&w->clients[i].peer);
	w->is_over = true;
	return true;
}

/* The relay would wait forever: for somebody who is still there. */
static void end_all(struct world *w)
{
	bool any = false;

	for (unsigned i = 0; i < w->client_count; i++) {
		any |= w->clients[i].peer.fd >= 0;
		peer_close(&w->clients[i].peer);
	}
	for (unsigned i = 0; i < w->link_count; i++) {
		any |= w->links[i].peer.fd >= 0;
		peer_close(&w->links[i].peer);
	}
	MUST(any);
}

static void look_busy(struct world *w)
{
	w->amid = true;
	if (w->busy)
		(void)world_step(w);
	w->amid = false;
}

static int world_wait(struct io *io, struct pollfd *set, unsigned n, int64_t deadline)
{
	struct world *w = (struct world *)io;

	for (;;) {
		MUST(++w->waits < WAITS_MAX); /* else it turns in circles */
		int ready = poll(set, n, 0);
		if (ready > 0)
			return ready;
		if (ready < 0) { /* libFuzzer's timer */
			MUST(errno == EINTR);
			continue;
		}
		if (deadline == IO_NOW || made_up_now >= deadline)
			return -ETIMEDOUT;
		if (world_step(w))
			continue;
		if (deadline == CLOCK_NEVER)
			end_all(w);
		else
			made_up_now = deadline;
	}
}

static ssize_t world_recv(struct io *io, int fd, void *to, size_t room, int64_t deadline)
{
	struct world *w = (struct world *)io;

	look_busy(w);
	if (w->limit > 0 && room > w->limit)
		room = w->limit;
	for (;;) {
		ssize_t n = recv(fd, to, room, 0);

		if (n >= 0)
			return n;
		if (errno != EAGAIN || deadline == IO_NOW)
			return -errno;
		struct pollfd one = {.fd = fd, .events = POLLIN};
		int ready = world_wait(io, &one, 1, deadline);
		if (ready < 0)
			return ready;
	}
}

static ssize_t world_recv_buf(struct io *io, int fd, struct buf **b, int64_t deadline)
{
	const struct world *w = (const struct world *)io;

	if (w->swaps && buf_len(*b) == 0) {
		struct buf *other = buf_new((*b)->cap);

		MUST(other != NULL);
		free(*b);
		*b = other;
	}
	ssize_t n = world_recv(io, fd, buf_tail(*b), buf_room(*b), deadline);
	if (n > 0)
		(*b)->end += (size_t)n;
	return n;
}

static ssize_t world_send(struct io *io, int fd, const struct iovec *parts, int count, int64_t deadline)
{
	struct world *w = (struct world *)io;
	struct iovec first = parts[0];
	struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};

	look_busy(w);
	if (w->limit > 0) {
		if (first.iov_len > w->limit)
			first.iov_len = w->limit;
		message.msg_iov = &first;
		message.msg_iovlen = 1;
	}
	for (;;) {
		ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);

		if (n >= 0)
			return n;
		if (errno != EAGAIN || deadline == IO_NOW)
			return -errno;
		struct pollfd one = {.fd = fd, .events = POLLOUT};
		int ready = world_wait(io, &one, 1, deadline);
		if (ready < 0)
			return ready;
	}
}

static int world_connect(struct io *io, const struct addr *to, int64_t deadline)
{
	struct world *w = (struct world *)io;
	unsigned server = addr_port(to) - FIRST_PORT;
	int ends[2];

	(void)deadline;
	look_busy(w);
	MUST(server < SERVERS);
	if (w->refuses[server])
		return -ECONNREFUSED;
	if (w->link_count == LINKS_MAX) {
		w->plain = false;
		return -EMFILE;
	}
	make_pair(ends);
	w->links[w->link_count++] = (struct link){
	        .peer = {.fd = ends[0]}, .server = server, .close_at = SIZE_MAX, .stray_at = SIZE_MAX};
	w->opened++;
	return ends[1];
}

static void world_spent(struct io *io, int fd, short events)
{
	(void)io, (void)fd, (void)events;
}

static bool world_rest(struct io *io, int fd)
{
	(void)io, (void)fd;
	return true;
}

static bool world_quiet(struct io *io, int fd)
{
	(void)io;
	return sock_is_quiet(fd);
}

static void world_forget(struct io *io, int fd)
{
	(void)io, (void)fd;
}

static void world_close_link(struct io *io, int fd)
{
	struct world *w = (struct world *)io;

	close(fd);
	w->closed++;
}

static void world_call(struct io *io, void (*function)(void *arg), void *arg)
{
	(void)io;
	function(arg);
}

static const struct io_ops ops = {
        .recv = world_recv,
        .recv_buf = world_recv_buf,
        .send = world_send,
        .connect = world_connect,
        .wait = world_wait,
        .spent = world_spent,
        .rest = world_rest,
        .quiet = world_quiet,
        .forget = world_forget,
        .close = world_close_link,
        .call = world_call,
};

void world_open(struct world *w, struct str input)
{
	static const size_t limits[] = {0, 1, 7, 100};

	memset(w, 0, sizeof(*w));
	w->io.ops = &ops;
	w->script = (struct input){(const uint8_t *)input.at, input.len};
	w->plain = true;
	unsigned how = input_byte(&w->script);
	w->limit = limits[how & 3];
	w->busy = how & 4;
	w->swaps = how & 8;
	w->client_count = 1 + (how >> 4) % CLIENTS_MAX;
	for (unsigned i = 0; i < w->client_count; i++) {
		int ends[2];

		make_pair(ends);
		w->clients[i] = (struct client){.peer = {.fd = ends[0]}, .relay_fd = ends[1]};
	}
	made_up_now = CLOCK_NS_PER_S;
}

void world_close(struct world *w)
{
	MUST(w->opened == w->closed);
	for (unsigned i = 0; i < w->client_count; i++)
		peer_free(&w->clients[i].peer);
	for (unsigned i = 0; i < w->link_count; i++)
		peer_free(&w->links[i].peer);
}

static void print_bytes(const char *what, unsigned who, struct str s)
{
	fprintf(stderr, "--- %s %u: %zu bytes\n", what, who, s.len);
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if (c == '\n' || (c >= ' ' && c < 127))
			putc(c, stderr);
		else if (c != '\r')
			fprintf(stderr, "\\x%02x", c);
	}
	putc('\n', stderr);
}

void world_print(const struct world *w)
{
	for (unsigned i = 0; i < w->client_count; i++) {
		const struct client *c = &w->clients[i];

		print_bytes("sent by client", i, (struct str){bytes_str(&c->peer.outbox).at, c->peer.sent});
		print_bytes(c->reset ? "got, with a reset, by client" : "got by client", i,
		        bytes_str(&c->peer.got));
	}
	for (unsigned i = 0; i < w->link_count; i++) {
		const struct link *l = &w->links[i];

		print_bytes("seen by a server on connection", i, bytes_str(&l->peer.got));
		print_bytes("sent by a server on connection", i,
		        (struct str){bytes_str(&l->peer.outbox).at, l->peer.sent});
	}
}
