/*
 * The driver on io_uring(7). On the path of a request it makes no system call but the one a turn that hands in what was
 * asked for and waits.
 *
 * - Who waits for the first bytes of a message (a parked client, a server that rests or owes an answer) has a receive in the ring that takes a
 *   buffer only when there is something, from a group of buffers that the ring owns; io_recv_buf swaps it for the caller's empty one.
 * - All other transfers ask not to wait (MSG_DONTWAIT): they are over when the ring has taken them in, so no operation ever outlives
 *   its fiber or its buffer, and nothing has to be cancelled but receives of the first kind and polls, which hold no memory of ours.
 * - Waiting for room, or for more of a body, is a poll. It stays in the ring when its fiber stops waiting, for the next wait.
 *
 * Cancelling needs no waiting either: what was cancelled is told from what is new by the descriptor's generation.
 */
#include "config.h"

#if HAVE_LIBURING

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#if HAVE_VALGRIND_VALGRIND_H
#include <valgrind/valgrind.h>
#endif

#include "base/assert.h"
#include "net/loop.h"
#include "net/number.h"
#include "net/sock.h"

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
/* What the kernel does in between, ThreadSanitizer does not see. */
#define HANDED_IN(thing) __tsan_release(thing)
#define HANDED_BACK(thing) __tsan_acquire(thing)
#else
#define HANDED_IN(thing) (void)(thing)
#define HANDED_BACK(thing) (void)(thing)
#endif

enum {
	ENTRIES = LOOP_RING_ENTRIES,
	GROUP_BUFFERS = LOOP_RING_BUFFERS, /* at most */
	GROUP_STEP = 64,                   /* made at once */
	EVENTS_A_TURN = 4096
};

#define RING_FLAGS (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE)

/* What an operation's user_data says: this in its highest byte, then 24 bits of generation, then a descriptor; or a fiber's struct transfer. */
enum tag {
	TAG_TRANSFER,
	TAG_RECV_CLIENT, /* into a buffer of that group */
	TAG_RECV_SERVER,
	TAG_POLL_IN,
	TAG_POLL_OUT,
	TAG_ACCEPT,
	TAG_EVENT,
	TAG_NOTHING
};

#define GENERATION_MASK 0xffffffu

/* A send or receive that does not wait; on its fiber's stack until it is over. */
struct transfer {
	struct loop_wait wait;
	int result;
};

struct uring_wait {
	struct loop_wait wait;
	struct pollfd *set;
	unsigned n;
};

enum { GROUP_CLIENT, GROUP_SERVER, GROUPS };

enum recv_state { RECV_NONE, RECV_ARMED, RECV_DONE };

/* `result` of a receive that found no buffer: there is something, go and get it. */
enum { RESULT_TRY = INT32_MIN };

struct watch {
	void *thing;               /* parked; NULL: not */
	struct loop_wait *reader;  /* a fiber that waits for the armed receive */
	struct uring_wait *waiter; /* a fiber that waits for readiness */
	struct buf *held;          /* RECV_DONE: what came; NULL: nothing did */
	int32_t result;            /* RECV_DONE */
	uint32_t generation;       /* counts the descriptor's lives */
	uint16_t id;               /* of `held` in its group */
	uint8_t group;             /* of the armed receive */
	uint8_t recv;              /* enum recv_state */
	bool in_armed, out_armed;  /* polls in the ring */
	bool in_ready, out_ready;  /* a poll told so, and no wait has taken it yet */
};

/* Buffers of the ring's: an id is one of ours, bufs[id] what stands for it now. */
struct group {
	struct io_uring_buf_ring *ring;
	size_t capacity;
	unsigned count;
	struct buf *bufs[GROUP_BUFFERS];
};

struct accepting {
	int fd;
	bool wanted, armed;
	bool ending; /* armed, and its cancel is on the way */
};

struct uring_own {
	struct io_uring ring;
	struct watch *watches;
	unsigned outstanding; /* operations that will still be heard of */
	bool event_armed;
	uint64_t event; /* what was read from the loop's eventfd */
	struct group groups[GROUPS];
	unsigned listeners; /* of `accepting`, so many were ever used */
	struct accepting accepting[LOOP_LISTENERS_MAX];
};

static struct uring_own *own(struct io *io)
{
	return ((struct loop *)io)->own;
}

static struct watch *watch_of(struct io *io, int fd)
{
	MUST(fd >= 0 && (unsigned)fd < ((struct loop *)io)->descriptors);
	return &own(io)->watches[fd];
}

static uint64_t data_of(enum tag tag, uint32_t generation, int fd)
{
	return (uint64_t)tag << 56 | (uint64_t)(generation & GENERATION_MASK) << 32 | (uint32_t)fd;
}

/* An entry to fill; NULL when even handing in what there is makes no room. */
static struct io_uring_sqe *entry(struct io *io)
{
	struct uring_own *o = own(io);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&o->ring);

	if (sqe)
		return sqe;
	((struct loop *)io)->stats.ring_full++;
	(void)io_uring_submit(&o->ring); /* on failure there is no entry still, and the caller says so */
	return io_uring_get_sqe(&o->ring);
}

static void hand_in(struct io *io, struct io_uring_sqe *sqe, uint64_t data)
{
	sqe->user_data = data;
	own(io)->outstanding++;
}

/* Buffers of the ring ------------------------------------------------------------------------------------------*/

static void group_add(struct group *g, unsigned id)
{
	io_uring_buf_ring_add(g->ring, g->bufs[id]->data, (unsigned)g->capacity, (unsigned short)id,
	        io_uring_buf_ring_mask(GROUP_BUFFERS), 0);
	io_uring_buf_ring_advance(g->ring, 1);
}

/* Makes more buffers. False at the limit or without memory. */
static bool group_grow(struct group *g)
{
	unsigned from = g->count;

	for (unsigned i = 0; i < GROUP_STEP && g->count < GROUP_BUFFERS; i++) {
		struct buf *b = buf_new(g->capacity);

		if (!b)
			break;
		g->bufs[g->count] = b;
		group_add(g, g->count++);
	}
	return g->count > from;
}

static int group_init(struct uring_own *o, unsigned id, size_t capacity)
{
	struct group *g = &o->groups[id];
	void *memory;
	size_t bytes = GROUP_BUFFERS * sizeof(struct io_uring_buf);
	int error = posix_memalign(&memory, 4096, bytes);

	if (error != 0)
		return error;
	memset(memory, 0, bytes);
	g->ring = memory;
	g->capacity = capacity;
	io_uring_buf_ring_init(g->ring);
	struct io_uring_buf_reg reg = {
	        .ring_addr = (uintptr_t)memory, .ring_entries = GROUP_BUFFERS, .bgid = (uint16_t)id};
	error = -io_uring_register_buf_ring(&o->ring, &reg, 0);
	if (error == 0 && !group_grow(g))
		error = ENOMEM;
	return error;
}

static void group_free(struct group *g)
{
	for (unsigned i = 0; i < g->count; i++)
		free(g->bufs[i]);
	free(g->ring);
}

/* What the watch holds is used up. */
static void release_held(struct io *io, struct watch *w)
{
	struct group *g = &own(io)->groups[w->group];

	if (w->held)
		group_add(g, w->id);
	w->held = NULL;
	w->recv = RECV_NONE;
}

static enum tag recv_tag(unsigned group)
{
	return group == GROUP_CLIENT ? TAG_RECV_CLIENT : TAG_RECV_SERVER;
}

/* Receives of first bytes --------------------------------------------------------------------------------------*/

static bool arm_recv(struct io *io, int fd, struct watch *w, unsigned group)
{
	struct io_uring_sqe *sqe = entry(io);

	if (!sqe)
		return false;
	io_uring_prep_recv(sqe, fd, NULL, own(io)->groups[group].capacity, 0);
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = (uint16_t)group;
	hand_in(io, sqe, data_of(recv_tag(group), w->generation, fd));
	w->group = (uint8_t)group;
	w->recv = RECV_ARMED;
	return true;
}

static bool arm_poll(struct io *io, int fd, struct watch *w, bool out)
{
	struct io_uring_sqe *sqe = entry(io);

	if (!sqe)
		return false;
	io_uring_prep_poll_add(sqe, fd, out ? POLLOUT : POLLIN | POLLRDHUP);
	hand_in(io, sqe, data_of(out ? TAG_POLL_OUT : TAG_POLL_IN, w->generation, fd));
	*(out ? &w->out_armed : &w->in_armed) = true;
	return true;
}

/* A send or receive that is over when the ring has taken it in. */
static ssize_t transfer(struct io *io, struct io_uring_sqe *sqe)
{
	struct transfer t = {.result = 0};

	sqe->user_data = (uintptr_t)&t;
	own(io)->outstanding++;
	HANDED_IN(&t);
	(void)loop_suspend((struct loop *)io, &t.wait, CLOCK_NEVER);
	return t.result;
}

static ssize_t recv_now(struct io *io, int fd, void *to, size_t room)
{
	struct io_uring_sqe *sqe = entry(io);

	if (!sqe)
		return -ENOBUFS;
	io_uring_prep_recv(sqe, fd, to, room, MSG_DONTWAIT);
	ssize_t n = transfer(io, sqe);
	return n == -EINTR ? -EAGAIN : n;
}

static ssize_t send_now(struct io *io, int fd, const struct iovec *parts, int count)
{
	struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};
	struct io_uring_sqe *sqe = entry(io);

	if (!sqe)
		return -ENOBUFS;
	if (count == 1)
		io_uring_prep_send(sqe, fd, parts->iov_base, parts->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		io_uring_prep_sendmsg(sqe, fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	ssize_t n = transfer(io, sqe);
	return n == -EINTR ? -EAGAIN : n;
}

/* Waiting for readiness ----------------------------------------------------------------------------------------*/

static void attach(struct io *io, struct uring_wait *f, struct uring_wait *to)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->set[i].fd >= 0)
			watch_of(io, f->set[i].fd)->waiter = to;
}

static int take_ready(struct io *io, struct pollfd *set, unsigned n)
{
	int count = 0;

	for (unsigned i = 0; i < n; i++) {
		set[i].revents = 0;
		if (set[i].fd < 0)
			continue;
		struct watch *w = watch_of(io, set[i].fd);
		if ((set[i].events & POLLIN) && (w->in_ready || w->recv == RECV_DONE)) {
			set[i].revents |= POLLIN;
			w->in_ready = false;
		}
		if ((set[i].events & POLLOUT) && w->out_ready) {
			set[i].revents |= POLLOUT;
			w->out_ready = false;
		}
		count += set[i].revents != 0;
	}
	return count;
}

/* False: there is no room in the ring. */
static bool arm_polls(struct io *io, const struct pollfd *set, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (set[i].fd < 0)
			continue;
		struct watch *w = watch_of(io, set[i].fd);
		/* An armed receive would take the bytes before a poll sees them: then its end is what is waited for. */
		if ((set[i].events & POLLIN) && !w->in_armed && w->recv == RECV_NONE &&
		        !arm_poll(io, set[i].fd, w, false))
			return false;
		if ((set[i].events & POLLOUT) && !w->out_armed && !arm_poll(io, set[i].fd, w, true))
			return false;
	}
	return true;
}

/* Looks once, after everybody else had a turn. */
static int look(struct io *io, struct pollfd *set, unsigned n)
{
	loop_yield((struct loop *)io);
	int ready = poll(set, n, 0);
	for (unsigned i = 0; i < n; i++) {
		if (set[i].fd < 0 || set[i].revents || !(set[i].events & POLLIN))
			continue;
		if (watch_of(io, set[i].fd)->recv == RECV_DONE) {
			set[i].revents = POLLIN;
			ready = ready > 0 ? ready + 1 : 1;
		}
	}
	return ready > 0 ? ready : -ETIMEDOUT;
}

static int uring_io_wait(struct io *io, struct pollfd *set, unsigned n, int64_t deadline)
{
	struct uring_wait f = {.set = set, .n = n};

	MUST(n <= IO_WAIT_MAX);
	if (deadline == IO_NOW)
		return look(io, set, n);
	for (bool late = false;;) {
		int count = take_ready(io, set, n); /* what came in the last moment counts */

		if (count > 0 || late)
			return count > 0 ? count : -ETIMEDOUT;
		if (!arm_polls(io, set, n))
			return -ENOBUFS;
		attach(io, &f, &f);
		late = !loop_suspend((struct loop *)io, &f.wait, deadline);
		attach(io, &f, NULL);
	}
}

static int wait_for_one(struct io *io, int fd, short events, int64_t deadline)
{
	struct pollfd one = {.fd = fd, .events = events};

	return uring_io_wait(io, &one, 1, deadline);
}

/* The contract -------------------------------------------------------------------------------------------------*/

/* What the armed receive brought, as far as there is room. RESULT_TRY: nothing, but there is something to get. */
static ssize_t take_held(struct io *io, struct watch *w, void *to, size_t room)
{
	ssize_t n = w->result;

	if (w->held) {
		size_t len = buf_len(w->held) < room ? buf_len(w->held) : room;

		memcpy(to, buf_head(w->held), len);
		buf_consume(w->held, len);
		n = (ssize_t)len;
		if (buf_len(w->held) > 0)
			return n;
	}
	release_held(io, w);
	return n;
}

static ssize_t uring_recv(struct io *io, int fd, void *to, size_t room, int64_t deadline)
{
	struct watch *w = watch_of(io, fd);

	for (;;) {
		ssize_t n = RESULT_TRY;

		if (w->recv == RECV_DONE)
			n = take_held(io, w, to, room);
		else if (w->recv == RECV_ARMED)
			n = -EAGAIN;
		if (n == RESULT_TRY)
			n = recv_now(io, fd, to, room);
		if (n != -EAGAIN || deadline == IO_NOW)
			return n;
		int ready = wait_for_one(io, fd, POLLIN, deadline);
		if (ready < 0)
			return ready;
	}
}

/* Into *b by swapping, where it is empty and of our size: either side must get as much as it gave. */
static bool swap_held(struct io *io, struct watch *w, struct buf **b)
{
	struct group *g = &own(io)->groups[w->group];
	struct buf *given = *b;

	if (!w->held || buf_len(given) > 0 || given->cap != g->capacity)
		return false;
	*b = w->held;
	g->bufs[w->id] = given;
	release_held(io, w);
	return true;
}

static ssize_t uring_recv_buf(struct io *io, int fd, struct buf **b, int64_t deadline)
{
	struct watch *w = watch_of(io, fd);

	if (deadline != IO_NOW && w->recv == RECV_NONE && !w->in_armed && !arm_recv(io, fd, w, GROUP_SERVER))
		return -ENOBUFS;
	if (deadline != IO_NOW && w->recv == RECV_ARMED) {
		struct loop_wait wait;

		w->reader = &wait;
		(void)loop_suspend((struct loop *)io, &wait, deadline);
		w->reader = NULL;
		if (w->recv == RECV_ARMED)
			return -ETIMEDOUT;
	}
	if (w->recv == RECV_DONE && swap_held(io, w, b))
		return (ssize_t)buf_len(*b);
	ssize_t n = uring_recv(io, fd, buf_tail(*b), buf_room(*b), deadline);
	if (n > 0)
		(*b)->end += (size_t)n;
	return n;
}

static ssize_t uring_send(struct io *io, int fd, const struct iovec *parts, int count, int64_t deadline)
{
	for (;;) {
		ssize_t n = send_now(io, fd, parts, count);

		if (n != -EAGAIN || deadline == IO_NOW)
			return n;
		int ready = wait_for_one(io, fd, POLLOUT, deadline);
		if (ready < 0)
			return ready;
	}
}

/* Readiness is not remembered beyond a wait. */
static void uring_spent(struct io *io, int fd, short events)
{
	(void)io, (void)fd, (void)events;
}

static bool uring_rest(struct io *io, int fd)
{
	struct watch *w = watch_of(io, fd);

	w->in_ready = false; /* told of what was received since */
	return w->recv == RECV_NONE && arm_recv(io, fd, w, GROUP_SERVER);
}

static bool uring_quiet(struct io *io, int fd)
{
	return watch_of(io, fd)->recv == RECV_ARMED;
}

/* False when there is no entry for it. */
static bool cancel(struct io *io, uint64_t data)
{
	struct io_uring_sqe *sqe = entry(io);

	if (!sqe)
		return false;
	io_uring_prep_cancel64(sqe, data, 0);
	hand_in(io, sqe, data_of(TAG_NOTHING, 0, 0));
	return true;
}

enum cleared { CLEARED_NOTHING, CLEARED_ALL, CLEARED_PART /* no entries for the rest */ };

/* Takes out of the ring what is in it of this descriptor. */
static enum cleared clear(struct io *io, int fd)
{
	struct watch *w = watch_of(io, fd);
	bool any = w->recv == RECV_ARMED || w->in_armed || w->out_armed, all = true;

	MUST(w->waiter == NULL && w->reader == NULL);
	if (w->recv == RECV_ARMED)
		all = cancel(io, data_of(recv_tag(w->group), w->generation, fd)) && all;
	if (w->in_armed)
		all = cancel(io, data_of(TAG_POLL_IN, w->generation, fd)) && all;
	if (w->out_armed)
		all = cancel(io, data_of(TAG_POLL_OUT, w->generation, fd)) && all;
	release_held(io, w);
	*w = (struct watch){.generation = w->generation + 1};
	return !any ? CLEARED_NOTHING : all ? CLEARED_ALL : CLEARED_PART;
}

/* At once: while an operation holds the socket, its next owner's close(2) would neither end the connection nor take it out of an epoll. */
static void uring_forget(struct io *io, int fd)
{
	if (clear(io, fd) != CLEARED_NOTHING)
		(void)io_uring_submit_and_get_events(&own(io)->ring); /* on failure the next turn does it */
}

static void uring_close(struct io *io, int fd)
{
	enum cleared cleared = clear(io, fd);
	struct io_uring_sqe *sqe = entry(io);

	if (!sqe || cleared == CLEARED_PART)
		(void)shutdown(
		        fd, SHUT_RDWR); /* ends the receive that could not be cancelled and keeps it open */
	if (!sqe) {
		close(fd);
		return;
	}
	NUMBER_CLOSED(fd);
	io_uring_prep_close(sqe, fd);
	hand_in(io, sqe, data_of(TAG_NOTHING, 0, 0));
}

/* The driver ---------------------------------------------------------------------------------------------------*/

static bool arm_event(struct loop *l)
{
	struct uring_own *o = l->own;
	struct io_uring_sqe *sqe = entry(&l->io);

	if (!sqe)
		return false;
	io_uring_prep_read(sqe, l->event, &o->event, sizeof(o->event), 0);
	hand_in(&l->io, sqe, data_of(TAG_EVENT, 0, 0));
	o->event_armed = true;
	return true;
}

static bool arm_accept(struct loop *l, unsigned listener)
{
	struct accepting *a = &own(&l->io)->accepting[listener];
	struct io_uring_sqe *sqe = entry(&l->io);

	if (!sqe)
		return false;
	io_uring_prep_multishot_accept(sqe, a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	hand_in(&l->io, sqe, data_of(TAG_ACCEPT, 0, (int)listener));
	a->armed = true;
	return true;
}

static int ring_init(struct io_uring *ring, unsigned entries)
{
	struct io_uring_params p = {.flags = RING_FLAGS, .cq_entries = 4 * entries};

	return -io_uring_queue_init_params(entries, ring, &p); /* a kernel without these flags says EINVAL */
}

int loop_uring_probe(void)
{
	struct io_uring ring;

#if HAVE_VALGRIND_VALGRIND_H
	if (RUNNING_ON_VALGRIND) /* it holds all other threads up while one waits in the ring, and does not see what the ring writes */
		return ENOSYS;
#endif
	int error = ring_init(&ring, 8);

	if (error == 0)
		io_uring_queue_exit(&ring);
	return error;
}

static void uring_free(struct loop *l, bool has_ring)
{
	struct uring_own *o = l->own;

	if (has_ring)
		io_uring_queue_exit(&o->ring);
	for (unsigned i = 0; i < GROUPS; i++)
		group_free(&o->groups[i]);
	if (o->watches)
		loop_table_free(l, o->watches, sizeof(struct watch));
	free(o);
}

static int uring_open(struct loop *l)
{
	unsigned entries = l->options.entries > 0 ? l->options.entries : ENTRIES;
	struct uring_own *o = calloc(1, sizeof(*o));

	if (!o)
		return ENOMEM;
	l->own = o;
	o->watches = loop_table_new(l, sizeof(struct watch));
	int error = o->watches ? ring_init(&o->ring, entries) : ENOMEM;
	bool has_ring = error == 0;
	if (error == 0)
		error = group_init(o, GROUP_CLIENT, l->options.client_buffer);
	if (error == 0)
		error = group_init(o, GROUP_SERVER, l->options.server_buffer);
	if (error == 0 && !arm_event(l))
		error = ENOMEM;
	if (error != 0)
		uring_free(l, has_ring);
	return error;
}

static void ended_without_buffer(struct loop *l, int fd, struct watch *w)
{
	l->stats.buffers_short++;
	w->recv = RECV_NONE;
	if (group_grow(&own(&l->io)->groups[w->group]) && arm_recv(&l->io, fd, w, w->group))
		return;
	w->recv = RECV_DONE; /* whoever wants the bytes brings his own buffer */
	w->result = RESULT_TRY;
}

static void wake_waiter(struct loop *l, struct watch *w)
{
	struct uring_wait *f = w->waiter;

	if (!f)
		return;
	attach(&l->io, f, NULL);
	loop_resume(l, &f->wait);
}

static void take_recv(struct loop *l, int fd, unsigned group, bool current, int result, unsigned flags)
{
	struct watch *w = watch_of(&l->io, fd);
	unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;

	if ((flags & IORING_CQE_F_BUFFER) && (!current || result <= 0))
		group_add(&own(&l->io)->groups[group], id);
	if (!current)
		return;
	if (result == -ENOBUFS) {
		ended_without_buffer(l, fd, w);
		if (w->recv == RECV_ARMED)
			return;
	} else {
		w->recv = RECV_DONE;
		w->result = result;
	}
	if (result > 0) {
		w->id = (uint16_t)id;
		w->held = own(&l->io)->groups[w->group].bufs[id];
		HANDED_BACK(w->held);
		w->held->start = 0;
		w->held->end = (size_t)result;
	}
	if (w->reader) {
		loop_resume(l, w->reader);
	} else if (w->thing) {
		void *thing = w->thing;

		w->thing = NULL;
		bool over = result == 0 || (result < 0 && result != RESULT_TRY && result != -ENOBUFS);

		l->options.events.ready(l->options.events.arg, thing, over);
	} else {
		wake_waiter(l, w);
	}
}

static void take_poll(struct loop *l, int fd, bool current, bool out)
{
	struct watch *w = watch_of(&l->io, fd);

	if (!current)
		return;
	*(out ? &w->out_armed : &w->in_armed) = false;
	*(out ? &w->out_ready : &w->in_ready) = true;
	wake_waiter(l, w);
}

static void take_accept(struct loop *l, unsigned listener, int result, unsigned flags)
{
	struct accepting *a = &own(&l->io)->accepting[listener];

	if (!(flags & IORING_CQE_F_MORE))
		a->armed = a->ending = false;
	NUMBER_TAKEN(result);
	if (result >= 0 && (unsigned)result >= l->descriptors) {
		close(result);
		result = -EMFILE;
	}
	if (result != -ECANCELED)
		(void)l->options.events.accepted(l->options.events.arg, listener, result, NULL);
}

static void take_transfer(struct loop *l, uint64_t data, int result)
{
	struct transfer *t = (struct transfer *)(uintptr_t)data; // NOLINT: it is what `transfer` handed in

	HANDED_BACK(t);
	t->result = result;
	loop_resume(l, &t->wait);
}

static void take(struct loop *l, const struct io_uring_cqe *cqe)
{
	struct uring_own *o = l->own;
	int fd = (int)(uint32_t)cqe->user_data;
	enum tag tag = (enum tag)(cqe->user_data >> 56);
	bool current = tag >= TAG_RECV_CLIENT && tag <= TAG_POLL_OUT &&
	               (o->watches[fd].generation & GENERATION_MASK) ==
	                       ((cqe->user_data >> 32) & GENERATION_MASK);

	if (!(cqe->flags & IORING_CQE_F_MORE))
		o->outstanding--;
	switch (tag) {
	case TAG_TRANSFER:
		take_transfer(l, cqe->user_data, cqe->res);
		break;
	case TAG_RECV_CLIENT:
	case TAG_RECV_SERVER:
		take_recv(l, fd, tag - TAG_RECV_CLIENT, current, cqe->res, cqe->flags);
		break;
	case TAG_POLL_IN:
	case TAG_POLL_OUT:
		take_poll(l, fd, current, tag == TAG_POLL_OUT);
		break;
	case TAG_ACCEPT:
		take_accept(l, (unsigned)fd, cqe->res, cqe->flags);
		break;
	case TAG_EVENT:
		o->event_armed = false; /* the next turn sees to it */
		break;
	case TAG_NOTHING:
		break;
	}
}

static void take_all(struct loop *l)
{
	struct uring_own *o = l->own;
	struct io_uring_cqe *cqe;

	for (unsigned i = 0; i < EVENTS_A_TURN && io_uring_peek_cqe(&o->ring, &cqe) == 0; i++) {
		struct io_uring_cqe copy = *cqe;

		io_uring_cqe_seen(&o->ring, cqe);
		take(l, &copy);
	}
}

/* What nobody wants any more. Where the ring has no room for it the next turn tries again. */
static void end_accept(struct loop *l, unsigned listener)
{
	struct accepting *a = &own(&l->io)->accepting[listener];

	if (a->armed && !a->ending)
		a->ending = cancel(&l->io, data_of(TAG_ACCEPT, 0, (int)listener));
}

/* What has ended and is wanted still. Where the ring has no room for it the next turn tries again. */
static void arm_again(struct loop *l)
{
	struct uring_own *o = l->own;

	if (!o->event_armed)
		(void)arm_event(l);
	for (unsigned i = 0; i < o->listeners; i++) {
		if (o->accepting[i].wanted && !o->accepting[i].armed)
			(void)arm_accept(l, i);
		else if (!o->accepting[i].wanted)
			end_accept(l, i);
	}
}

/* Hands in, sleeps, tells whom it concerns. */
static void turn(struct loop *l, int64_t deadline)
{
	struct uring_own *o = l->own;
	struct io_uring_cqe *cqe;
	int64_t left = deadline == CLOCK_NEVER || deadline <= 0 ? 0 : deadline - clock_now();
	if (left < 0)
		left = 0;
	struct __kernel_timespec ts = {.tv_sec = left / CLOCK_NS_PER_S, .tv_nsec = left % CLOCK_NS_PER_S};

	loop_sleeps(l, true);
	int error = io_uring_submit_and_wait_timeout(
	        &o->ring, &cqe, 1, deadline == CLOCK_NEVER ? NULL : &ts, NULL);
	loop_sleeps(l, false);

	/* A loop that cannot wait is the end of the process, not of some clients. The rest passes: a signal, no memory this moment. */
	MUST(error >= 0 || error == -ETIME || error == -EINTR || error == -EAGAIN || error == -EBUSY ||
	        error == -ENOMEM);
	take_all(l);
}

static void uring_turn(struct loop *l, int64_t deadline)
{
	arm_again(l);
	turn(l, deadline);
}

static bool uring_listen(struct loop *l, unsigned listener, int fd)
{
	struct accepting *a;

	if (listener >= LOOP_LISTENERS_MAX)
		return false;
	a = &own(&l->io)->accepting[listener];
	if (listener >= own(&l->io)->listeners)
		own(&l->io)->listeners = listener + 1;
	a->fd = fd;
	a->wanted = true; /* the next turn arms it */
	return true;
}

static bool uring_unlisten(struct loop *l, unsigned listener, int fd)
{
	struct accepting *a = &own(&l->io)->accepting[listener];

	(void)fd;
	a->wanted = false;
	end_accept(l, listener);
	return !a->armed;
}

static enum loop_parked uring_park(struct loop *l, int fd, void *thing)
{
	struct watch *w = watch_of(&l->io, fd);

	if (w->recv == RECV_DONE)
		return LOOP_READY;
	if (w->recv == RECV_NONE && !arm_recv(&l->io, fd, w, GROUP_CLIENT))
		return LOOP_FAILED;
	w->thing = thing;
	return LOOP_PARKED;
}

/* What is still in the ring ends before its memory does. */
static void uring_driver_close(struct loop *l)
{
	struct uring_own *o = l->own;

	loop_wake(l); /* ends the read of the eventfd, and needs no entry */
	while (o->outstanding > 0)
		turn(l, CLOCK_NEVER);
	uring_free(l, true);
}

static const struct io_ops ops = {
        .recv = uring_recv,
        .recv_buf = uring_recv_buf,
        .send = uring_send,
        .connect = loop_connect,
        .wait = uring_io_wait,
        .spent = uring_spent,
        .rest = uring_rest,
        .quiet = uring_quiet,
        .forget = uring_forget,
        .close = uring_close,
        .call = loop_call,
};

const struct loop_driver loop_uring = {
        .name = "io_uring",
        .ops = &ops,
        .open = uring_open,
        .close = uring_driver_close,
        .turn = uring_turn,
        .listen = uring_listen,
        .unlisten = uring_unlisten,
        .park = uring_park,
};

#endif
