#include "net/io_blocking.h"

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "net/sock.h"

static int blocking_wait(struct io *io, struct pollfd *set, unsigned n, int64_t deadline)
{
	struct io_blocking *b = (struct io_blocking *)io;
	bool sleeps = b->sleeping && deadline != IO_NOW;
	int ready;

	if (sleeps)
		b->sleeping(b->arg, 1);
	else if (b->goes_on)
		b->goes_on(b->arg);
	for (;;) {
		int64_t now = deadline == CLOCK_NEVER || deadline == IO_NOW ? 0 : clock_now();
		int ms = deadline == IO_NOW ? 0 : clock_poll_ms(now, deadline);

		ready = poll(set, n, ms);
		if (ready > 0)
			break;
		if (ready < 0 && errno != EINTR) {
			ready = -errno;
			break;
		}
		if (ready == 0 &&
		        (deadline == IO_NOW || (deadline != CLOCK_NEVER && clock_now() >= deadline))) {
			ready = -ETIMEDOUT;
			break;
		}
	}
	if (sleeps)
		b->sleeping(b->arg, 0);
	return ready;
}

static int wait_for_one(struct io *io, int fd, short events, int64_t deadline)
{
	struct pollfd one = {.fd = fd, .events = events};

	if (deadline == IO_NOW)
		return -EAGAIN;
	return blocking_wait(io, &one, 1, deadline);
}

static ssize_t blocking_recv(struct io *io, int fd, void *to, size_t room, int64_t deadline)
{
	for (;;) {
		ssize_t n = recv(fd, to, room, 0);

		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return -errno;
		int ready = wait_for_one(io, fd, POLLIN, deadline);
		if (ready < 0)
			return ready;
	}
}

static ssize_t blocking_recv_buf(struct io *io, int fd, struct buf **b, int64_t deadline)
{
	ssize_t n = blocking_recv(io, fd, buf_tail(*b), buf_room(*b), deadline);

	if (n > 0)
		(*b)->end += (size_t)n;
	return n;
}

static ssize_t send_parts(int fd, const struct iovec *parts, int count)
{
	if (count == 1)
		return send(fd, parts->iov_base, parts->iov_len, MSG_NOSIGNAL);
	struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static ssize_t blocking_send(struct io *io, int fd, const struct iovec *parts, int count, int64_t deadline)
{
	for (;;) {
		ssize_t n = send_parts(fd, parts, count);

		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return -errno;
		int ready = wait_for_one(io, fd, POLLOUT, deadline);
		if (ready < 0)
			return ready;
	}
}

/* A Unix socket whose backlog is full can't be polled for: the thread waits in connect(2) itself. */
static int connect_full_backlog(struct io_blocking *b, const struct addr *to, int64_t deadline)
{
	if (b->sleeping)
		b->sleeping(b->arg, 1);
	int fd = sock_connect_waiting(to, deadline == CLOCK_NEVER ? 0 : deadline - clock_now());
	if (b->sleeping)
		b->sleeping(b->arg, 0);
	return fd;
}

static int blocking_connect(struct io *io, const struct addr *to, int64_t deadline)
{
	bool pending;
	int fd = sock_connect_start(to, &pending);

	if (fd == -EAGAIN && to->u.any.sa_family == AF_UNIX && deadline != IO_NOW)
		return connect_full_backlog((struct io_blocking *)io, to, deadline);
	if (fd < 0 || !pending)
		return fd;
	int error = wait_for_one(io, fd, POLLOUT, deadline);
	if (error > 0)
		error = sock_error(fd);
	if (error == 0)
		return fd;
	close(fd);
	return error;
}

/* A thread remembers nothing about a descriptor. */
static void blocking_spent(struct io *io, int fd, short events)
{
	(void)io, (void)fd, (void)events;
}

static bool blocking_rest(struct io *io, int fd)
{
	(void)io, (void)fd;
	return true;
}

static bool blocking_quiet(struct io *io, int fd)
{
	(void)io;
	return sock_is_quiet(fd);
}

static void blocking_forget(struct io *io, int fd)
{
	(void)io, (void)fd;
}

static void blocking_close(struct io *io, int fd)
{
	(void)io;
	close(fd);
}

static void blocking_call(struct io *io, void (*function)(void *arg), void *arg)
{
	(void)io;
	function(arg);
}

void io_blocking_init(struct io_blocking *b)
{
	static const struct io_ops ops = {
	        .recv = blocking_recv,
	        .recv_buf = blocking_recv_buf,
	        .send = blocking_send,
	        .connect = blocking_connect,
	        .wait = blocking_wait,
	        .spent = blocking_spent,
	        .rest = blocking_rest,
	        .quiet = blocking_quiet,
	        .forget = blocking_forget,
	        .close = blocking_close,
	        .call = blocking_call,
	};

	*b = (struct io_blocking){.io = {.ops = &ops}};
}
