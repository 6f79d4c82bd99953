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

enum { MEMORY = 1, DESCRIPTORS = 2, THREADS = 4, EVENTS = 8 };

/* All native 64-bit numbers, relaxed. `kinds` is set last. */
struct supply {
	_Atomic int64_t kinds; /* which run short; 0: none */
	_Atomic int64_t left;  /* calls that succeed before that */
	_Atomic int64_t width; /* how many fail then */
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
