#include "config.h"

#include "net/loop.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/sock.h"

#define TRIM_NS (10 * CLOCK_NS_PER_S)
/* A Unix socket whose backlog is full says nothing when there is room again. */
#define UNIX_RETRY_NS (2 * CLOCK_NS_PER_MS)
enum { DESCRIPTORS_MAX = 4 * 1024 * 1024 };

/* NULL: io_uring works here. */
static const char *why_no_uring(void)
{
#if HAVE_LIBURING
	int error = loop_uring_probe();

	if (error == 0)
		return NULL;
	return error == EPERM || error == EACCES
	               ? "not permitted (a container or kernel.io_uring_disabled forbids it)"
	       : error == ENOSYS || error == EINVAL ? "this kernel is too old for it (6.1 is needed)"
	                                            : strerror(error);
#else
	return "built without liburing";
#endif
}

enum loop_driver_kind loop_choose(enum loop_driver_kind wanted, const char **why)
{
	*why = wanted == LOOP_EPOLL ? NULL : why_no_uring();
	if (wanted != LOOP_AUTO)
		return wanted;
	return *why ? LOOP_EPOLL : LOOP_URING;
}

const char *loop_driver_name(enum loop_driver_kind kind)
{
	return kind == LOOP_URING ? "io_uring" : kind == LOOP_EPOLL ? "epoll" : "auto";
}

static const struct loop_driver *driver_of(enum loop_driver_kind kind)
{
#if HAVE_LIBURING
	if (kind == LOOP_URING)
		return &loop_uring;
#endif
	return kind == LOOP_EPOLL ? &loop_epoll : NULL;
}

int loop_open(struct loop *l, const struct loop_options *options)
{
	*l = (struct loop){.options = *options, .driver = driver_of(options->driver), .event = -1};
	if (!l->driver)
		return ENOSYS;
	l->io.ops = l->driver->ops;
	l->last = &l->first;
	l->yielded_last = &l->yielded;
	unsigned long limit = sock_raise_limit(0);
	l->descriptors = limit < DESCRIPTORS_MAX ? (unsigned)limit : DESCRIPTORS_MAX;
	/* Blocking: the driver reads it only when there is something, or asynchronously. */
	l->event = eventfd(0, EFD_CLOEXEC);
	if (l->event < 0)
		return errno;
	lock_init(&l->lock);
	l->io.woke = clock_now();
	timers_init(&l->timers, l->io.woke);
	fiber_store_init(&l->fibers, options->fibers);
	fiber_report_overflow(&l->fibers);
	l->trim_at = clock_now() + TRIM_NS;
	int error = l->driver->open(l);
	if (error != 0) {
		close(l->event);
		lock_destroy(&l->lock);
	}
	return error;
}

void loop_close(struct loop *l)
{
	l->driver->close(l);
	fiber_store_free(&l->fibers);
}

struct loop_message *loop_free(struct loop *l)
{
	close(l->event);
	lock_destroy(&l->lock);
	return l->first;
}

static void deliver(struct loop *l)
{
	if (!atomic_load(&l->posted))
		return;
	lock_take(&l->lock);
	struct loop_message *m = l->first;
	l->first = NULL;
	l->last = &l->first;
	atomic_store(&l->posted, false);
	lock_drop(&l->lock);
	while (m) {
		struct loop_message *next = m->next;

		m->deliver(l, m);
		m = next;
	}
}

static void expire(struct loop *l, int64_t now)
{
	struct timer *timer;

	while ((timer = timers_expire(&l->timers, now))) {
		struct loop_wait *w = (struct loop_wait *)((char *)timer - offsetof(struct loop_wait, timer));

		w->late = true;
		loop_resume(l, w);
	}
}

/* Those that yielded before this turn; who yields again has the next one. */
static void resume_yielded(struct loop *l)
{
	struct loop_wait *w = l->yielded;

	l->yielded = NULL;
	l->yielded_last = &l->yielded;
	while (w) {
		struct loop_wait *next = w->next;

		loop_resume(l, w);
		w = next;
	}
}

void loop_turn(struct loop *l, int64_t deadline)
{
	int64_t first = timers_next(&l->timers);

	if (first > l->trim_at)
		first = l->trim_at;
	if (l->yielded)
		first = 0;
	l->driver->turn(l, deadline < first ? deadline : first);
	int64_t now = l->io.woke;
	deliver(l);
	expire(l, now);
	resume_yielded(l);
	if (now >= l->trim_at) {
		fiber_store_trim(&l->fibers);
		l->trim_at = now + TRIM_NS;
	}
}

bool loop_listen(struct loop *l, unsigned listener, int fd)
{
	return l->driver->listen(l, listener, fd);
}

bool loop_unlisten(struct loop *l, unsigned listener, int fd)
{
	return l->driver->unlisten(l, listener, fd);
}

enum loop_parked loop_park(struct loop *l, int fd, void *thing)
{
	return l->driver->park(l, fd, thing);
}

void loop_wake(struct loop *l)
{
	uint64_t one = 1;

	MUST(write(l->event, &one, sizeof(one)) == sizeof(one)); /* the counter is never near its end */
}

void loop_post(struct loop *l, struct loop_message *m)
{
	m->next = NULL;
	lock_take(&l->lock);
	bool first = l->first == NULL;
	*l->last = m;
	l->last = &m->next;
	atomic_store(&l->posted, true);
	lock_drop(&l->lock);
	if (first)
		loop_wake(l);
}

bool loop_suspend(struct loop *l, struct loop_wait *w, int64_t deadline)
{
	const struct loop_events *e = &l->options.events;

	w->fiber = l->fibers.current;
	w->late = false;
	w->timer = (struct timer){.next = NULL};
	timers_set(&l->timers, &w->timer, deadline);
	uint64_t kept = e->leaves ? e->leaves(e->arg) : 0;
	fiber_suspend(&l->fibers);
	if (e->returns)
		e->returns(e->arg, kept);
	timers_clear(&l->timers, &w->timer);
	return !w->late;
}

void loop_yield(struct loop *l)
{
	struct loop_wait w = {.next = NULL};

	*l->yielded_last = &w;
	// cppcheck-suppress autoVariables ; taken out of the list before this fiber goes on
	l->yielded_last = &w.next;
	(void)loop_suspend(l, &w, CLOCK_NEVER);
}

static int connect_once(struct io *io, const struct addr *to, int64_t deadline)
{
	bool pending;
	int fd = sock_connect_start(to, &pending);

	if (fd >= 0 && (unsigned)fd >= ((struct loop *)io)->descriptors) {
		close(fd);
		return -EMFILE;
	}
	if (fd < 0 || !pending)
		return fd;
	struct pollfd writable = {.fd = fd, .events = POLLOUT};
	int error = io_wait(io, &writable, 1, deadline);
	if (error > 0)
		error = sock_error(fd);
	if (error == 0)
		return fd;
	io_close(io, fd);
	return error;
}

int loop_connect(struct io *io, const struct addr *to, int64_t deadline)
{
	for (;;) {
		int fd = connect_once(io, to, deadline);

		if (deadline == IO_NOW)
			return fd == -ETIMEDOUT ? -EAGAIN : fd;
		if (fd != -EAGAIN || to->u.any.sa_family != AF_UNIX)
			return fd;
		int64_t now = clock_now();
		if (now >= deadline)
			return -ETIMEDOUT;
		io_sleep(io, now + UNIX_RETRY_NS < deadline ? now + UNIX_RETRY_NS : deadline);
	}
}

/* A job that a helper does while its fiber waits. */
struct call {
	struct helper_job job;
	struct loop_message message;
	struct loop_wait wait;
	struct loop *loop;
};

static void call_deliver(struct loop *l, struct loop_message *m)
{
	struct call *c = (struct call *)((char *)m - offsetof(struct call, message));

	loop_resume(l, &c->wait);
}

static void call_done(struct helper_job *job)
{
	struct call *c = (struct call *)((char *)job - offsetof(struct call, job));

	loop_post(c->loop, &c->message);
}

void loop_call(struct io *io, void (*function)(void *arg), void *arg)
{
	struct loop *l = (struct loop *)io;
	struct call c = {.job = {.run = function, .arg = arg, .done = call_done},
	        .message = {.deliver = call_deliver},
	        .loop = l};

	MUST(l->options.helpers != NULL);
	helpers_give(l->options.helpers, &c.job);
	(void)loop_suspend(l, &c.wait, CLOCK_NEVER);
}

/* Address space only: a page is there once a descriptor of it is used. Entries never move. */
void *loop_table_new(const struct loop *l, size_t entry)
{
	void *table = mmap(NULL, l->descriptors * entry, PROT_READ | PROT_WRITE,
	        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	// cppcheck-suppress memleak ; it is the caller's
	return table == MAP_FAILED ? NULL : table;
}

void loop_table_free(const struct loop *l, void *table, size_t entry)
{
	MUST(munmap(table, l->descriptors * entry) == 0); /* fails for a wrong address only */
}
