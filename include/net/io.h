/*
 * The I/O contract: how the relay and the origin talk to sockets, whatever runs them. Code above reads as if it
 * blocked; a driver decides what waiting means (a thread sleeps in poll(2); a fiber switches out).
 * Every socket is non-blocking. Transfers may be partial. Results: a count, 0 for the end of the stream
 * (recv), or a negative errno; -ETIMEDOUT when the deadline (CLOCK_MONOTONIC ns) passed first. The
 * program ignores SIGPIPE. A deadline of IO_NOW tries once and gives -EAGAIN in place of waiting.
 */
#ifndef TPLB_NET_IO_H
#define TPLB_NET_IO_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/str.h"
#include "net/addr.h"

#define IO_NOW INT64_MIN

struct io;

struct io_ops {
	ssize_t (*recv)(struct io *io, int fd, void *to, size_t room, int64_t deadline);
	ssize_t (*send)(struct io *io, int fd, const struct iovec *parts, int count, int64_t deadline);
	/* Opens a socket to the address; returns the descriptor or -errno. */
	int (*connect)(struct io *io, const struct addr *to, int64_t deadline);
	/* Waits until a descriptor of set[0, n) is ready; fills revents. Returns how many, or -ETIMEDOUT (with IO_NOW too). n may be 0. */
	int (*wait)(struct io *io, struct pollfd *set, unsigned n, int64_t deadline);
};

/* One worker's own; never shared. */
struct io {
	const struct io_ops *ops;
};

static inline ssize_t io_recv(struct io *io, int fd, void *to, size_t room, int64_t deadline)
{
	return io->ops->recv(io, fd, to, room, deadline);
}

static inline ssize_t io_send(struct io *io, int fd, struct str bytes, int64_t deadline)
{
	struct iovec part = {(char *)(uintptr_t)bytes.at, bytes.len};

	return io->ops->send(io, fd, &part, 1, deadline);
}

static inline ssize_t io_sendv(struct io *io, int fd, const struct iovec *parts, int count, int64_t deadline)
{
	return io->ops->send(io, fd, parts, count, deadline);
}

static inline int io_connect(struct io *io, const struct addr *to, int64_t deadline)
{
	return io->ops->connect(io, to, deadline);
}

static inline int io_wait(struct io *io, struct pollfd *set, unsigned n, int64_t deadline)
{
	return io->ops->wait(io, set, n, deadline);
}

/* Sleeps until the time. */
void io_sleep(struct io *io, int64_t until);

/*
 * Sends all of the parts; the timeout (ns, 0: none) starts again whenever some bytes went. Changes the parts. Returns 0 or -errno.
 */
int io_send_all(struct io *io, int fd, struct iovec *parts, int count, int64_t timeout);
int io_send_str(struct io *io, int fd, struct str bytes, int64_t timeout);

/* Sends `count` bytes of the file from *offset on (sendfile(2)); *offset moves. Timeout as above. 0 or -errno; -EIO when the file ended early. */
int io_send_file(struct io *io, int fd, int file, off_t *offset, size_t count, int64_t timeout);

/* Moves up to n bytes between a socket and a pipe without copying them (splice(2)); never waits. A count, 0 at the end of the stream, -errno. */
ssize_t io_splice(int from, int to, size_t n);

#endif
