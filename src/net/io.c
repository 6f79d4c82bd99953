#include "net/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>

#include "net/sock.h"

void io_sleep(struct io *io, int64_t until)
{
	while (io_wait(io, NULL, 0, until) != -ETIMEDOUT)
		;
}

/* Takes n sent bytes off the front of the parts; returns how many parts are empty now. */
static int skip_parts(struct iovec *parts, int count, size_t n)
{
	int done = 0;

	while (done < count && n >= parts[done].iov_len) {
		n -= parts[done].iov_len;
		done++;
	}
	if (done < count) {
		parts[done].iov_base = (char *)parts[done].iov_base + n;
		parts[done].iov_len -= n;
	}
	return done;
}

int io_send_all(struct io *io, int fd, struct iovec *parts, int count, int64_t timeout)
{
	int64_t deadline = IO_NOW; /* the first try is free of a look at the clock */

	while (count > 0) {
		ssize_t n = io_sendv(io, fd, parts, count, deadline);

		if (n == -EAGAIN) {
			deadline = clock_after(clock_now(), timeout);
			continue;
		}
		if (n < 0)
			return (int)n;
		int done = skip_parts(parts, count, (size_t)n);
		parts += done;
		count -= done;
		deadline = IO_NOW;
	}
	return 0;
}

int io_send_str(struct io *io, int fd, struct str bytes, int64_t timeout)
{
	struct iovec part = {(char *)(uintptr_t)bytes.at, bytes.len};

	return io_send_all(io, fd, &part, bytes.len > 0, timeout);
}

/* One sendfile(2): it reads a file, so it is called where a disk holds up nobody. */
struct file_part {
	int fd, file;
	off_t *offset;
	size_t count;
	ssize_t result;
};

static void send_file_part(void *arg)
{
	struct file_part *p = arg;

	do
		p->result = sendfile(p->fd, p->file, p->offset, p->count);
	while (p->result < 0 && errno == EINTR);
	if (p->result < 0)
		p->result = -errno;
}

int io_send_file(struct io *io, int fd, int file, off_t *offset, size_t count, int64_t timeout)
{
	struct file_part part = {.fd = fd, .file = file, .offset = offset, .count = count};

	while (part.count > 0) {
		io_spent(io, fd, POLLOUT); /* before: room that comes after a full send must still be told */
		io_call(io, send_file_part, &part);
		if (part.result > 0) {
			part.count -= (size_t)part.result;
			continue;
		}
		if (part.result == 0)
			return -EIO; /* the file is shorter than it was */
		if (part.result != -EAGAIN)
			return (int)part.result;
		struct pollfd room = {.fd = fd, .events = POLLOUT};
		int ready = io_wait(io, &room, 1, clock_after(clock_now(), timeout));
		if (ready < 0)
			return ready;
	}
	return 0;
}

static ssize_t splice_once(int from, int to, size_t n)
{
	for (;;) {
		ssize_t moved = splice(from, NULL, to, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (moved >= 0)
			return moved;
		if (errno != EINTR)
			return -errno;
	}
}

ssize_t io_splice_in(struct io *io, int sock, int pipe, size_t n)
{
	ssize_t moved = splice_once(sock, pipe, n);

	if (moved == -EAGAIN)
		io_spent(io, sock, POLLIN);
	return moved;
}

ssize_t io_splice_out(struct io *io, int pipe, int sock, size_t n)
{
	ssize_t moved = splice_once(pipe, sock, n);

	if (moved == -EAGAIN)
		io_spent(io, sock, POLLOUT);
	return moved;
}

void io_reset(struct io *io, int fd)
{
	sock_linger_none(fd);
	io_close(io, fd);
}
