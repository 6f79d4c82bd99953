/*
 * A driver of the I/O contract (net/io.h) that keeps it in the worst way: transfers of a byte, readiness for nothing, -EAGAIN though there is something; where
 * asked, deadlines that pass early and connections that are lost. All of it follows from a seed. Nobody sleeps: in place of waiting the peers, which
 * are the test's, take a step. One thread.
 */
#ifndef TPLB_TEST_SHAKY_IO_H
#define TPLB_TEST_SHAKY_IO_H

#include <check.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rng.h"
#include "net/io.h"

enum { SHAKY_ROUNDS_MAX = 1000000 };

struct shaky_io {
	struct io io; /* first, so that the one is the other */
	uint64_t random;
	void (*step)(void);   /* the peers take a step, or none */
	int (*connect)(void); /* a connected socket to a server, or -errno */
	unsigned late_in;     /* one wait in so many ends with -ETIMEDOUT before its time; 0: none */
	unsigned lost_in;     /* one transfer in so many ends with -ECONNRESET; 0: none */
	unsigned faults;      /* of these two, so far */
};

static inline bool shaky_chance(struct shaky_io *s, unsigned one_in)
{
	return one_in > 0 && rng_next(&s->random) % one_in == 0;
}

/* A part of n, often a small one. */
static inline size_t shaky_part(struct shaky_io *s, size_t n)
{
	uint64_t kind = rng_next(&s->random) % 4, size = rng_next(&s->random);

	if (n < 2 || kind == 0)
		return n;
	if (kind == 1)
		return 1;
	return 1 + (size_t)(size % (kind == 2 && n > 100 ? 100 : n));
}

static inline bool shaky_fault(struct shaky_io *s, unsigned one_in)
{
	if (!shaky_chance(s, one_in))
		return false;
	s->faults++;
	return true;
}

/* In place of waiting. False: the deadline. */
static inline bool shaky_wait_a_step(struct shaky_io *s, unsigned *rounds)
{
	ck_assert_msg(++*rounds < SHAKY_ROUNDS_MAX, "everybody waits for somebody else");
	if (shaky_fault(s, s->late_in))
		return false;
	s->step();
	return true;
}

static inline ssize_t shaky_recv(struct io *io, int fd, void *to, size_t room, int64_t deadline)
{
	struct shaky_io *s = (struct shaky_io *)io;

	for (unsigned rounds = 0;;) {
		if (shaky_fault(s, s->lost_in))
			return -ECONNRESET;
		if (deadline == IO_NOW && shaky_chance(s, 6))
			return -EAGAIN;
		ssize_t n = recv(fd, to, shaky_part(s, room), MSG_DONTWAIT);
		if (n >= 0)
			return n;
		if (errno != EAGAIN || deadline == IO_NOW)
			return -errno;
		if (!shaky_wait_a_step(s, &rounds))
			return -ETIMEDOUT;
	}
}

static inline ssize_t shaky_recv_buf(struct io *io, int fd, struct buf **b, int64_t deadline)
{
	ssize_t n = shaky_recv(io, fd, buf_tail(*b), buf_room(*b), deadline);

	if (n > 0)
		(*b)->end += (size_t)n;
	return n;
}

/* Of the first part only, or of all of them. */
static inline ssize_t shaky_try_send(struct shaky_io *s, int fd, const struct iovec *parts, int count)
{
	struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};

	if (shaky_chance(s, 3))
		return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	return send(fd, parts->iov_base, shaky_part(s, parts->iov_len), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static inline ssize_t shaky_send(
        struct io *io, int fd, const struct iovec *parts, int count, int64_t deadline)
{
	struct shaky_io *s = (struct shaky_io *)io;

	for (unsigned rounds = 0;;) {
		if (shaky_fault(s, s->lost_in))
			return -ECONNRESET;
		if (deadline == IO_NOW && shaky_chance(s, 6))
			return -EAGAIN;
		ssize_t n = shaky_try_send(s, fd, parts, count);
		if (n >= 0)
			return n;
		if (errno != EAGAIN || deadline == IO_NOW)
			return -errno;
		if (!shaky_wait_a_step(s, &rounds))
			return -ETIMEDOUT;
	}
}

static inline int shaky_io_wait(struct io *io, struct pollfd *set, unsigned n, int64_t deadline)
{
	struct shaky_io *s = (struct shaky_io *)io;

	for (unsigned rounds = 0;;) {
		struct pollfd *lie = n > 0 && shaky_chance(s, 5) ? &set[rng_next(&s->random) % n] : NULL;
		int ready = poll(set, n, 0);

		if (lie && lie->fd >= 0 && lie->revents == 0) {
			lie->revents = lie->events;
			ready++;
		}
		if (ready > 0)
			return ready;
		if (deadline == IO_NOW || !shaky_wait_a_step(s, &rounds))
			return -ETIMEDOUT;
	}
}

static inline int shaky_connect(struct io *io, const struct addr *to, int64_t deadline)
{
	(void)to, (void)deadline;
	return ((struct shaky_io *)io)->connect();
}

static inline void shaky_spent(struct io *io, int fd, short events)
{
	(void)io, (void)fd, (void)events;
}

static inline bool shaky_rest(struct io *io, int fd)
{
	(void)fd;
	return !shaky_chance((struct shaky_io *)io, 10);
}

static inline bool shaky_quiet(struct io *io, int fd)
{
	char byte;

	(void)io;
	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static inline void shaky_forget(struct io *io, int fd)
{
	(void)io, (void)fd;
}

static inline void shaky_close(struct io *io, int fd)
{
	(void)io;
	close(fd);
}

static inline void shaky_call(struct io *io, void (*function)(void *arg), void *arg)
{
	(void)io;
	function(arg);
}

static inline void shaky_io_init(struct shaky_io *s, uint64_t seed, void (*step)(void), int (*connect)(void))
{
	static const struct io_ops ops = {
	        .recv = shaky_recv,
	        .recv_buf = shaky_recv_buf,
	        .send = shaky_send,
	        .connect = shaky_connect,
	        .wait = shaky_io_wait,
	        .spent = shaky_spent,
	        .rest = shaky_rest,
	        .quiet = shaky_quiet,
	        .forget = shaky_forget,
	        .close = shaky_close,
	        .call = shaky_call,
	};

	*s = (struct shaky_io){.io.ops = &ops, .random = seed, .step = step, .connect = connect};
}

#endif
