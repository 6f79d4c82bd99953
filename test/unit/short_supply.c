/*
 * Makes the system's supplies run short at a chosen moment: linked into a program with the linker's --wrap, it stands between it and malloc, socket,
 * pthread_create and their like, and has a call of the chosen kind fail, and as many after it as are wished. Who runs the program says so through a file that both
 * have mapped, named by TPLB_SHORT_SUPPLY. For tests only.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MEMORY = 1, DESCRIPTORS = 2, THREADS = 4, EVENTS = 8, SIGNALS = 16, ROOM = 32, TRANSFERS = 64 };

/* All native 64-bit numbers, relaxed. `kinds` is set last. */
struct supply {
	_Atomic int64_t kinds; /* which run short; 0: none */
	_Atomic int64_t left;  /* calls that succeed before that; SIGNALS, ROOM: a seed */
	_Atomic int64_t width; /* how many fail then; SIGNALS, ROOM: it befalls one call in so many */
	_Atomic int64_t hits;  /* have failed */
};

static struct supply *supply;

__attribute__((constructor)) static void find_supply(void)
{
	const char *path = getenv("TPLB_SHORT_SUPPLY");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	void *at = mmap(NULL, sizeof(struct supply), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		supply = at;
}

static bool fails(int kind, int error)
{
	if (!supply || !(atomic_load_explicit(&supply->kinds, memory_order_relaxed) & kind))
		return false;
	int64_t left = atomic_fetch_sub_explicit(&supply->left, 1, memory_order_relaxed);
	if (left > 0 || left <= -atomic_load_explicit(&supply->width, memory_order_relaxed))
		return false;
	atomic_fetch_add_explicit(&supply->hits, 1, memory_order_relaxed);
	errno = error;
	return true;
}

#define WRAP(kind, error, failed, result, name, parameters, arguments)                                       \
	result __real_##name parameters;                                                                     \
	result __wrap_##name parameters;                                                                     \
	result __wrap_##name parameters                                                                      \
	{                                                                                                    \
		return fails(kind, error) ? (failed) : __real_##name arguments;                              \
	}

WRAP(MEMORY, ENOMEM, NULL, void *, malloc, (size_t n), (n))
WRAP(MEMORY, ENOMEM, NULL, void *, calloc, (size_t n, size_t size), (n, size))
WRAP(MEMORY, ENOMEM, NULL, void *, realloc, (void *old, size_t n), (old, n))
WRAP(MEMORY, ENOMEM, NULL, void *, reallocarray, (void *old, size_t n, size_t size), (old, n, size))
WRAP(MEMORY, ENOMEM, NULL, char *, strdup, (const char *s), (s))
WRAP(MEMORY, ENOMEM, ENOMEM, int, posix_memalign, (void **out, size_t align, size_t n), (out, align, n))
WRAP(MEMORY, ENOMEM, NULL, FILE *, open_memstream, (char **out, size_t *n), (out, n))
WRAP(MEMORY, ENOMEM, MAP_FAILED, void *, mmap, (void *at, size_t n, int prot, int flags, int fd, off_t from),
        (at, n, prot, flags, fd, from))
WRAP(DESCRIPTORS, EMFILE, NULL, FILE *, fopen, (const char *path, const char *mode), (path, mode))
WRAP(DESCRIPTORS, EMFILE, -1, int, socket, (int family, int type, int protocol), (family, type, protocol))
WRAP(DESCRIPTORS, ENFILE, -1, int, accept4, (int fd, struct sockaddr *peer, socklen_t *len, int flags),
        (fd, peer, len, flags))
WRAP(DESCRIPTORS, EMFILE, -1, int, pipe2, (int out[2], int flags), (out, flags))
WRAP(DESCRIPTORS, EMFILE, -1, int, eventfd, (unsigned start, int flags), (start, flags))
WRAP(DESCRIPTORS, EMFILE, -1, int, epoll_create1, (int flags), (flags))
WRAP(THREADS, EAGAIN, EAGAIN, int, pthread_create,
        (pthread_t * out, const pthread_attr_t *attr, void *(*function)(void *), void *arg),
        (out, attr, function, arg))

struct io_uring;
struct io_uring_params;
int __wrap_io_uring_queue_init_params(unsigned n, struct io_uring *ring, struct io_uring_params *params);
#ifdef HAVE_LIBURING
int __real_io_uring_queue_init_params(unsigned n, struct io_uring *ring, struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned n, struct io_uring *ring, struct io_uring_params *params)
{
	return fails(DESCRIPTORS, EMFILE) ? -EMFILE : __real_io_uring_queue_init_params(n, ring, params);
}
#endif

/* Only an addition needs anything. */
int __real_epoll_ctl(int epoll, int what, int fd, struct epoll_event *e);
int __wrap_epoll_ctl(int epoll, int what, int fd, struct epoll_event *e);
int __wrap_epoll_ctl(int epoll, int what, int fd, struct epoll_event *e)
{
	return what == EPOLL_CTL_ADD && fails(EVENTS, ENOSPC) ? -1 : __real_epoll_ctl(epoll, what, fd, e);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	int mode = flags & O_CREAT ? va_arg(args, int) : 0;
	va_end(args);
	return fails(DESCRIPTORS, EMFILE) ? -1 : __real_open(path, flags, mode);
}

/* As the C library has it where memory is out: *out is left as it may be. */
static int print_new(char **out, const char *format, va_list args)
{
	return fails(MEMORY, ENOMEM) ? -1 : vasprintf(out, format, args);
}

int __wrap_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **out, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = print_new(out, format, args);
	va_end(args);
	return n;
}

int __wrap___asprintf_chk(char **out, int flag, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
int __wrap___asprintf_chk(char **out, int flag, const char *format, ...)
{
	va_list args;

	(void)flag;
	va_start(args, format);
	int n = print_new(out, format, args);
	va_end(args);
	return n;
}

/* SplitMix64's mixing (Steele, Lea and Flood, 2014): the same seed, the same calls. */
static uint64_t dice(void)
{
	uint64_t x = (uint64_t)atomic_fetch_add_explicit(&supply->left, 1, memory_order_relaxed) *
	             0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static bool befalls(int kind)
{
	if (!supply || !(atomic_load_explicit(&supply->kinds, memory_order_relaxed) & kind))
		return false;
	if (dice() % (uint64_t)atomic_load_explicit(&supply->width, memory_order_relaxed) != 0)
		return false;
	atomic_fetch_add_explicit(&supply->hits, 1, memory_order_relaxed);
	return true;
}

static bool is_interrupted(void)
{
	if (!befalls(SIGNALS))
		return false;
	errno = EINTR;
	return true;
}

/*
 * A byte, or some part. kind: TRANSFERS for what moves less only where a socket is empty or full: epoll(7) says so, and whoever waits for the next edge
 * relies on it.
 */
static size_t shortened(int kind, size_t n)
{
	if (n < 2 || !befalls(kind))
		return n;
	return dice() % 2 ? 1 : 1 + dice() % (n - 1);
}

#define WRAP_TRANSFER(name, parameters, arguments)                                                           \
	ssize_t __real_##name parameters;                                                                    \
	ssize_t __wrap_##name parameters;                                                                    \
	ssize_t __wrap_##name parameters                                                                     \
	{                                                                                                    \
		return is_interrupted() ? -1 : __real_##name arguments;                                      \
	}

WRAP_TRANSFER(recv, (int fd, void *to, size_t n, int flags),
        (fd, to, flags &MSG_PEEK ? n : shortened(TRANSFERS, n), flags))
WRAP_TRANSFER(
        send, (int fd, const void *from, size_t n, int flags), (fd, from, shortened(TRANSFERS, n), flags))
WRAP_TRANSFER(splice, (int from, off_t *at, int to, off_t *to_at, size_t n, unsigned flags),
        (from, at, to, to_at, shortened(ROOM, n), flags))

/* Of an eventfd 8 bytes are all there is. */
ssize_t __real_write(int fd, const void *from, size_t n);
ssize_t __wrap_write(int fd, const void *from, size_t n);
ssize_t __wrap_write(int fd, const void *from, size_t n)
{
	if (n == sizeof(uint64_t))
		return __real_write(fd, from, n);
	return is_interrupted() ? -1 : __real_write(fd, from, shortened(ROOM, n));
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (is_interrupted())
		return -1;
	if (message->msg_iovlen == 0 || !befalls(TRANSFERS))
		return __real_sendmsg(fd, message, flags);
	return __real_send(
	        fd, message->msg_iov[0].iov_base, shortened(TRANSFERS, message->msg_iov[0].iov_len), flags);
}

struct pollfd;
int __real_poll(struct pollfd *set, unsigned long n, int ms);
int __wrap_poll(struct pollfd *set, unsigned long n, int ms);
int __wrap_poll(struct pollfd *set, unsigned long n, int ms)
{
	return is_interrupted() ? -1 : __real_poll(set, n, ms);
}

int __real_epoll_wait(int epoll, struct epoll_event *events, int room, int ms);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int room, int ms);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int room, int ms)
{
	return is_interrupted() ? -1 : __real_epoll_wait(epoll, events, room, ms);
}
