/*
 * The driver on epoll(7). A descriptor is registered once, edge-triggered for both directions, when a fiber first waits
 * for it or it is parked, and leaves when it is closed: no system call a wait. What edges told is remembered in `ready` until a try finds
 * nothing (EAGAIN) or less than it had room for; then the next edge is still to come.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/loop.h"
#include "net/sock.h"

enum { EVENTS = 256, ACCEPTS_A_TURN = 64 };

/* What epoll hands back: a descriptor and the life it was registered in; or this bit and a listener; or all ones, the eventfd. */
#define LISTENER_BIT (UINT64_C(1) << 63)
#define GENERATION_MASK 0x7fffffffu

struct epoll_wait_for {
	struct loop_wait wait;
	struct pollfd *set;
	unsigned n;
};

/* What is known of a descriptor. */
struct watch {
	void *thing;                   /* parked; NULL: not */
	struct epoll_wait_for *waiter; /* the fiber that waits for it, at most one */
	uint32_t
	        generation; /* counts the descriptor's lives, so that an event that comes late is told from a new one */
	bool registered;
	bool urgent; /* there were urgent bytes: a receive may stop before them though there is more */
	short ready; /* POLLIN, POLLOUT: an edge told so, and no try found otherwise since */
	short ended; /* likewise, and it stays so */
};

struct epoll_own {
	int epoll;
	struct watch *watches;
};

static struct epoll_own *own(struct loop *l)
{
	return l->own;
}

static struct watch *watch_of(struct io *io, int fd)
{
	struct loop *l = (struct loop *)io;

	MUST(fd >= 0 && (unsigned)fd < l->descriptors);
	return &own(l)->watches[fd];
}

/* 0 or -errno. */
static int register_once(struct io *io, int fd, struct watch *w)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET,
	        .data.u64 = (uint64_t)(w->generation & GENERATION_MASK) << 32 | (unsigned)fd};

	if (w->registered)
		return 0;
	if (epoll_ctl(own((struct loop *)io)->epoll, EPOLL_CTL_ADD, fd, &e) != 0)
		return -errno;
	w->registered = true;
	return 0;
}

static void spent(struct watch *w, short events)
{
	w->ready = (short)((w->ready & ~events) | w->ended);
}

static ssize_t try_recv(struct io *io, int fd, void *to, size_t room)
{
	struct watch *w = watch_of(io, fd);

	for (;;) {
		ssize_t n = recv(fd, to, room, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 ? errno == EAGAIN || errno == EWOULDBLOCK : (size_t)n < room && !w->urgent)
			spent(w, POLLIN);
		return n < 0 ? -errno : n;
	}
}

static ssize_t try_send(struct io *io, int fd, const struct iovec *parts, int count)
{
	struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};

	for (;;) {
		ssize_t n = count == 1 ? send(fd, parts->iov_base, parts->iov_len, MSG_NOSIGNAL)
		                       : sendmsg(fd, &message, MSG_NOSIGNAL);

		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			spent(watch_of(io, fd), POLLOUT);
		return -errno;
	}
}

static void attach(struct io *io, struct epoll_wait_for *f, struct epoll_wait_for *to)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->set[i].fd >= 0)
			watch_of(io, f->set[i].fd)->waiter = to;
}

static int count_ready(struct io *io, struct pollfd *set, unsigned n)
{
	int count = 0;

	for (unsigned i = 0; i < n; i++) {
		set[i].revents = set[i].fd < 0 ? 0 : watch_of(io, set[i].fd)->ready & set[i].events;
		count += set[i].revents != 0;
	}
	return count;
}

static int epoll_io_wait(struct io *io, struct pollfd *set, unsigned n, int64_t deadline)
{
	struct loop *l = (struct loop *)io;
	struct epoll_wait_for f = {.set = set, .n = n};

	MUST(n <= IO_WAIT_MAX);
	for (unsigned i = 0; i < n; i++) {
		int error = set[i].fd < 0 ? 0 : register_once(io, set[i].fd, watch_of(io, set[i].fd));

		if (error < 0)
			return error;
	}
	if (deadline == IO_NOW)
		loop_yield(l);
	int count = count_ready(io, set, n);
	if (count > 0 || deadline == IO_NOW)
		return count > 0 ? count : -ETIMEDOUT;
	attach(io, &f, &f);
	(void)loop_suspend(l, &f.wait, deadline);
	attach(io, &f, NULL);
	count = count_ready(io, set, n); /* what came in the last moment counts */
	return count > 0 ? count : -ETIMEDOUT;
}

static int wait_for_one(struct io *io, int fd, short events, int64_t deadline)
{
	struct pollfd one = {.fd = fd, .events = events};

	return epoll_io_wait(io, &one, 1, deadline);
}

static ssize_t epoll_recv(struct io *io, int fd, void *to, size_t room, int64_t deadline)
{
	for (;;) {
		/* An answer that has just been asked for is not there yet: the edge will tell, a try would only cost. */
		if (deadline != IO_NOW) {
			int ready = wait_for_one(io, fd, POLLIN, deadline);

			if (ready < 0)
				return ready;
		}
		ssize_t n = try_recv(io, fd, to, room);
		if (n != -EAGAIN || deadline == IO_NOW)
			return n;
	}
}

static ssize_t epoll_recv_buf(struct io *io, int fd, struct buf **b, int64_t deadline)
{
	ssize_t n = epoll_recv(io, fd, buf_tail(*b), buf_room(*b), deadline);

	if (n > 0)
		(*b)->end += (size_t)n;
	return n;
}

static ssize_t epoll_send(struct io *io, int fd, const struct iovec *parts, int count, int64_t deadline)
{
	for (;;) {
		ssize_t n = try_send(io, fd, parts, count);

		if (n != -EAGAIN || deadline == IO_NOW)
			return n;
		int ready = wait_for_one(io, fd, POLLOUT, deadline);
		if (ready < 0)
			return ready;
	}
}

static void epoll_spent(struct io *io, int fd, short events)
{
	spent(watch_of(io, fd), events);
}

static bool epoll_rest(struct io *io, int fd)
{
	return register_once(io, fd, watch_of(io, fd)) == 0;
}

static bool epoll_quiet(struct io *io, int fd)
{
	struct watch *w = watch_of(io, fd);

	if (!(w->ready & POLLIN))
		return true;
	/* The last receive took just what it had room for: whether that was all, only a look can tell. */
	if (!sock_is_quiet(fd))
		return false;
	spent(w, POLLIN);
	return true;
}

static void clear(struct watch *w)
{
	MUST(w->waiter == NULL);
	*w = (struct watch){.generation = w->generation + 1};
}

static void epoll_forget(struct io *io, int fd)
{
	struct watch *w = watch_of(io, fd);

	if (w->registered) /* it is there: cannot fail */
		MUST(epoll_ctl(own((struct loop *)io)->epoll, EPOLL_CTL_DEL, fd, NULL) == 0);
	clear(w);
}

static void epoll_close(struct io *io, int fd)
{
	clear(watch_of(io, fd));
	close(fd); /* leaves epoll by itself: nobody else holds this socket */
}

static int epoll_open(struct loop *l)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
	struct epoll_own *o = calloc(1, sizeof(*o));

	if (!o)
		return ENOMEM;
	l->own = o;
	o->watches = loop_table_new(l, sizeof(struct watch));
	o->epoll = o->watches ? epoll_create1(EPOLL_CLOEXEC) : -1;
	if (o->epoll >= 0 && epoll_ctl(o->epoll, EPOLL_CTL_ADD, l->event, &e) == 0)
		return 0;
	int error = errno;
	if (o->epoll >= 0)
		close(o->epoll);
	if (o->watches)
		loop_table_free(l, o->watches, sizeof(struct watch));
	free(o);
	return error;
}

static void epoll_driver_close(struct loop *l)
{
	struct epoll_own *o = own(l);

	close(o->epoll);
	loop_table_free(l, o->watches, sizeof(struct watch));
	free(o);
}

static void accept_some(struct loop *l, unsigned listener, int fd)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct addr peer;
		int got = sock_accept(fd, &peer);

		if (got >= 0 && (unsigned)got >= l->descriptors) {
			close(got);
			got = -EMFILE;
		}
		if (got == -EAGAIN ||
		        !l->options.events.accepted(l->options.events.arg, listener, got, &peer))
			return;
	}
}

static void take_event(struct loop *l, uint64_t data, unsigned events)
{
	int fd = (int)(uint32_t)data;
	struct watch *w = watch_of(&l->io, fd);
	struct epoll_wait_for *f = w->waiter;
	short now = 0;

	if ((w->generation & GENERATION_MASK) != data >> 32)
		return;

	if (events & EPOLLPRI)
		w->urgent = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		now = POLLIN;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		now = (short)(now | POLLOUT);
	w->ready = (short)(w->ready | now);
	if (events & EPOLLRDHUP)
		w->ended = (short)(w->ended | POLLIN);
	if (events & (EPOLLHUP | EPOLLERR))
		w->ended = POLLIN | POLLOUT;
	if (w->thing && (now & POLLIN)) {
		void *thing = w->thing;

		w->thing = NULL;
		l->options.events.ready(l->options.events.arg, thing, w->ended && sock_is_over(fd));
		return;
	}
	for (unsigned i = 0; f && i < f->n; i++) {
		if (f->set[i].fd != fd || !(f->set[i].events & w->ready))
			continue;
		attach(&l->io, f, NULL);
		loop_resume(l, &f->wait);
		return;
	}
}

static void epoll_turn(struct loop *l, int64_t deadline)
{
	struct epoll_event events[EVENTS];
	int timeout = deadline == CLOCK_NEVER ? -1 : deadline <= 0 ? 0 : clock_poll_ms(clock_now(), deadline);

	loop_sleeps(l, true);
	int n = epoll_wait(own(l)->epoll, events, EVENTS, timeout);
	MUST(n >= 0 ||
	        errno == EINTR); /* a loop that cannot wait is the end of the process, not of some clients */
	loop_sleeps(l, false);
	for (int i = 0; i < n; i++) {
		uint64_t data = events[i].data.u64;
		uint64_t count;

		if (data == UINT64_MAX)
			MUST(read(l->event, &count, sizeof(count)) ==
			        sizeof(count)); /* readable: one reader */
		else if (data & LISTENER_BIT)
			accept_some(l, (unsigned)((data & ~LISTENER_BIT) >> 32), (int)(uint32_t)data);
		else
			take_event(l, data, events[i].events);
	}
}

static bool epoll_listen(struct loop *l, unsigned listener, int fd)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE,
	        .data.u64 = LISTENER_BIT | (uint64_t)listener << 32 | (unsigned)fd};

	return epoll_ctl(own(l)->epoll, EPOLL_CTL_ADD, fd, &e) == 0 || errno == EEXIST;
}

static bool epoll_unlisten(struct loop *l, unsigned listener, int fd)
{
	(void)listener;
	(void)epoll_ctl(own(l)->epoll, EPOLL_CTL_DEL, fd, NULL); /* not there: as good */
	return true;
}

static enum loop_parked epoll_park(struct loop *l, int fd, void *thing)
{
	struct watch *w = watch_of(&l->io, fd);

	if (w->ready & POLLIN)
		return LOOP_READY;
	if (register_once(&l->io, fd, w) < 0)
		return LOOP_FAILED;
	w->thing = thing;
	return LOOP_PARKED;
}

static const struct io_ops ops = {
        .recv = epoll_recv,
        .recv_buf = epoll_recv_buf,
        .send = epoll_send,
        .connect = loop_connect,
        .wait = epoll_io_wait,
        .spent = epoll_spent,
        .rest = epoll_rest,
        .quiet = epoll_quiet,
        .forget = epoll_forget,
        .close = epoll_close,
        .call = loop_call,
};

const struct loop_driver loop_epoll = {
        .name = "epoll",
        .ops = &ops,
        .open = epoll_open,
        .close = epoll_driver_close,
        .turn = epoll_turn,
        .listen = epoll_listen,
        .unlisten = epoll_unlisten,
        .park = epoll_park,
};
