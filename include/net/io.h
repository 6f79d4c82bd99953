/*
 * The I/O contract: how the relay and the origin talk to sockets, whatever runs them. Code above reads as if it
 * blocked; a driver decides what waiting means: a thread sleeps in poll(2) (io_blocking.h), a fiber switches out and its loop
 * goes on (loop.h, on epoll or io_uring).
 * Every socket is non-blocking. Transfers may be partial. Results: a count, 0 for the end of the stream
 * (recv), or a negative errno; -ETIMEDOUT when the deadline (CLOCK_MONOTONIC ns) passed first. The
 * program ignores SIGPIPE. A deadline of IO_NOW tries once and gives -EAGAIN in place of waiting for the peer.
 *
 * A fiber's loop remembers things about a descriptor. So whoever closes one that was used here, or gives it to another thread,
 * says so: io_close, io_forget.
 */
#ifndef TPLB_NET_IO_H
#define TPLB_NET_IO_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "net/addr.h"

#define IO_NOW INT64_MIN

struct io;

struct io_ops {
	ssize_t (*recv)(struct io *io, int fd, void *to, size_t room, int64_t deadline);
	ssize_t (*recv_buf)(struct io *io, int fd, struct buf **b, int64_t deadline);
	ssize_t (*send)(struct io *io, int fd, const struct iovec *parts, int count, int64_t deadline);
	int (*connect)(struct io *io, const struct addr *to, int64_t deadline);
	int (*wait)(struct io *io, struct pollfd *set, unsigned n, int64_t deadline);
	void (*spent)(struct io *io, int fd, short events);
	bool (*rest)(struct io *io, int fd);
	bool (*quiet)(struct io *io, int fd);
	void (*forget)(struct io *io, int fd);
	void (*close)(struct io *io, int fd);
	void (*call)(struct io *io, void (*function)(void *arg), void *arg);
};

/* One worker's own; never shared. */
struct io {
	const struct io_ops *ops;
	int64_t woke; /* a loop's: when it last came back from waiting; 0: there is no loop */
};

/*
 * When that was there of which a worker just now heard: for a fiber when its loop woke, for others of its fibers may have gone on before it. Costs a loop no look at the
 * clock.
 */
static inline int64_t io_woke(const struct io *io)
{
	return io->woke != 0 ? io->woke : clock_now();
}

static inline ssize_t io_recv(struct io *io, int fd, void *to, size_t room, int64_t deadline)
{
	return io->ops->recv(io, fd, to, room, deadline);
}

/*
 * Receives behind what *b holds; *b has room. An empty *b may come back as another buffer of at least its capacity, which spares
 * a copy: the caller then owns that one and no longer the first.
 */
static inline ssize_t io_recv_buf(struct io *io, int fd, struct buf **b, int64_t deadline)
{
	return io->ops->recv_buf(io, fd, b, deadline);
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

/* Opens a socket to the address; returns the descriptor or -errno. */
static inline int io_connect(struct io *io, const struct addr *to, int64_t deadline)
{
	return io->ops->connect(io, to, deadline);
}

/*
 * Waits until a descriptor of set[0, n) is ready, n at most IO_WAIT_MAX for a fiber; fills revents. Returns how many, or -ETIMEDOUT (with IO_NOW
 * too). n may be 0. It may say ready where a try then finds nothing.
 */
static inline int io_wait(struct io *io, struct pollfd *set, unsigned n, int64_t deadline)
{
	return io->ops->wait(io, set, n, deadline);
}
enum { IO_WAIT_MAX = 4 };

/* A try by other means than these found nothing more: what was told of these events is over. */
static inline void io_spent(struct io *io, int fd, short events)
{
	io->ops->spent(io, fd, events);
}

/* A connection to a server goes idle, to be used again by this same worker. False when it cannot be watched: close it. */
static inline bool io_rest(struct io *io, int fd)
{
	return io->ops->rest(io, fd);
}

/* Whether an idle connection is as it should be: open, with nothing to read. Never waits. */
static inline bool io_is_quiet(struct io *io, int fd)
{
	return io->ops->quiet(io, fd);
}

/* The descriptor goes to another thread: nothing is remembered or watched any more. */
static inline void io_forget(struct io *io, int fd)
{
	io->ops->forget(io, fd);
}

static inline void io_close(struct io *io, int fd)
{
	io->ops->close(io, fd);
}

/* Closes so that the peer sees a reset (sock_reset). */
void io_reset(struct io *io, int fd);

/* Runs function(arg), which may block in the kernel (a disk, a name server), where that holds up nobody else; waits for its end. */
static inline void io_call(struct io *io, void (*function)(void *arg), void *arg)
{
	io->ops->call(io, function, arg);
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
ssize_t io_splice_in(struct io *io, int sock, int pipe, size_t n);
ssize_t io_splice_out(struct io *io, int pipe, int sock, size_t n);

#endif
