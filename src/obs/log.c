/*
 * One thread writes all log files. Access lines come through one lock-free ring a worker; diagnostic lines, which are
 * rare and come from any thread, through one ring behind a lock. The thread is woken by the first line after it
 * slept, then waits BATCH_NS for company, so that it costs a busy server some fifty wake-ups a second; or for less, until a ring is half full.
 *
 * A target that takes nothing, a pipe whose reader stalls or a disk that is full, holds up neither the other target nor a request: its
 * lines stay in their rings, and what finds its ring full is lost and counted. That is said once, and again when it is over. Writing
 * goes on at the very byte where it stopped.
 */
#include "obs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/lock.h"
#include "base/sparse.h"
#include "obs/log_target.h"
#include "obs/ring.h"

enum { DIAG_RING_BYTES = 256 * 1024 };

#define BATCH_NS (20 * CLOCK_NS_PER_MS)
#define STOP_PATIENCE_NS (2 * CLOCK_NS_PER_S)

#define RETRY_NS (500 * CLOCK_NS_PER_MS) /* after a write that failed */
#define CALM_NS CLOCK_NS_PER_S           /* so long nothing was lost: the trouble is over */

/* A target, and what the thread knows about it. The thread's own, once it runs. */
struct outlet {
	struct log_target target;
	struct ring *unfinished; /* writing stopped within it; NULL: nowhere */
	int64_t retry_at;        /* while target.state is TARGET_FAILS */
	bool told;               /* that lines are lost, or will be */
	uint64_t lost;           /* lines, as counted at the last look */
	uint64_t lost_before;    /* likewise, before it was told */
	int64_t calm_at;         /* if nothing is lost until then */
};

struct log_ring {
	struct ring ring;
	_Atomic uint64_t lost; /* lines that found no room; relaxed, the ring's writer writes */
	struct log *log;       /* NULL: not made yet */
	struct log_ring *made; /* the one made before it; constant once it is in the list */
};

struct log {
	struct outlet output;
	struct outlet access;
	struct log_identity output_id;   /* constant */
	struct log_identity access_id;   /* constant */
	bool access_on;                  /* constant */
	unsigned ring_count;             /* constant */
	size_t ring_bytes;               /* constant */
	struct log_ring *rings;          /* sparse */
	_Atomic(struct log_ring *) made; /* a list of those there are; release, acquire */
	struct ring diag_ring;           /* written under diag_lock */
	struct lock diag_lock;
	_Atomic uint64_t lost;    /* relaxed: diagnostic lines that found no room */
	_Atomic uint64_t dropped; /* relaxed: lines that were dropped by the thread */
	_Atomic bool pending;     /* lines may be waiting; seq_cst */
	_Atomic bool
	        hurry; /* a ring is half full; seq_cst; taken back by the thread, and not while the target takes nothing */
	_Atomic bool reopen; /* seq_cst */
	_Atomic bool stop;   /* seq_cst */
	struct lock lock;    /* with wake */
	pthread_cond_t wake; /* pending, hurry or stop became true */
	pthread_t thread;
};

static void wake_thread(struct log *log)
{
	lock_take(&log->lock);
	PTHREAD_OK(pthread_cond_signal(&log->wake));
	lock_drop(&log->lock);
}

static void note_pending(struct log *log)
{
	if (!atomic_load(&log->pending) && !atomic_exchange(&log->pending, true))
		wake_thread(log);
}

static void note_hurry(struct log *log)
{
	if (!atomic_load(&log->hurry) && !atomic_exchange(&log->hurry, true))
		wake_thread(log);
}

static uint64_t access_lost(const struct log *log)
{
	uint64_t sum = 0;

	for (struct log_ring *r = atomic_load_explicit(&log->made, memory_order_acquire); r; r = r->made)
		sum += atomic_load_explicit(&r->lost, memory_order_relaxed);
	return sum;
}

/* The first line of what a ring holds, which may lie in two parts; returns its length with its newline. */
static size_t first_line(const struct str parts[2], int n, struct str line[2])
{
	size_t len = 0;

	line[0] = line[1] = STR("");
	for (int i = 0; i < n; i++) {
		const char *newline = memchr(parts[i].at, '\n', parts[i].len);

		line[i] = (struct str){parts[i].at, newline ? (size_t)(newline - parts[i].at) : parts[i].len};
		len += line[i].len;
		if (newline)
			return len + 1;
	}
	return len;
}

/* To a socket, line by line. */
static void send_ring(struct log_target *t, struct ring *ring)
{
	struct str parts[2], line[2];
	int n;

	while ((n = ring_peek(ring, parts)) > 0) {
		size_t len = first_line(parts, n, line);

		if (!target_send(t, line))
			return;
		ring_skip(ring, len);
	}
}

/* Moves what is in the ring to the target, as far as that takes it. */
static void drain_ring(struct outlet *o, struct ring *ring)
{
	struct str parts[2];
	int n = ring_peek(ring, parts);

	if (o->target.kind == TARGET_SOCKET) {
		send_ring(&o->target, ring);
		return;
	}
	o->unfinished = ring;
	for (int i = 0; i < n; i++) {
		size_t done = target_write(&o->target, parts[i]);

		ring_skip(ring, done);
		if (done < parts[i].len)
			return;
	}
	o->unfinished = NULL;
}

static bool may_try(struct outlet *o, int64_t now)
{
	if (o->target.state == TARGET_FAILS && now < o->retry_at)
		return false;
	o->target.state = TARGET_WELL;
	return true;
}

static void drain_output(struct log *log, int64_t now)
{
	if (may_try(&log->output, now))
		drain_ring(&log->output, &log->diag_ring);
	log->output.retry_at = now + RETRY_NS;
}

/* What was begun is finished first: a line is never cut by another. */
static void drain_access(struct log *log, int64_t now)
{
	struct outlet *o = &log->access;

	if (!may_try(o, now))
		return;
	if (o->unfinished)
		drain_ring(o, o->unfinished);
	for (struct log_ring *r = atomic_load_explicit(&log->made, memory_order_acquire);
	        r && o->target.state == TARGET_WELL; r = r->made)
		drain_ring(o, &r->ring);
	o->retry_at = now + RETRY_NS;
}

/* Says once that lines are lost, and once that none is any more. */
static void tell(struct outlet *o, uint64_t lost, int64_t now)
{
	bool more = lost > o->lost;

	o->lost = lost;
	if (more || o->target.state == TARGET_FAILS)
		o->calm_at = now + CALM_NS;
	if (!o->told && o->target.state == TARGET_FAILS)
		diag_error("log: cannot write to %s: %s; lines are kept as far as there is room, then lost",
		        o->target.path, strerror(o->target.error));
	else if (!o->told && more)
		diag_warning(
		        "log: %s does not take lines as fast as they come; some are lost", o->target.path);
	o->told |= more || o->target.state == TARGET_FAILS;
	if (!o->told)
		o->lost_before = lost;
	if (!o->told || o->target.state != TARGET_WELL || now < o->calm_at)
		return;
	diag_warning("log: %s takes lines again; %llu were lost", o->target.path,
	        (unsigned long long)(lost - o->lost_before));
	o->told = false;
	o->lost_before = lost;
}

static void drain_all(struct log *log)
{
	int64_t now = clock_now();

	drain_output(log, now);
	drain_access(log, now);
	tell(&log->access, access_lost(log), now);
	tell(&log->output, atomic_load_explicit(&log->lost, memory_order_relaxed), now);
}

/* The rest of a line whose beginning is in the old file: it would begin the new one. */
static void drop_rest_of_line(struct log *log, struct outlet *o)
{
	struct str parts[2];
	int n = o->unfinished ? ring_peek(o->unfinished, parts) : 0;

	for (int i = 0; i < n; i++) {
		const char *newline = memchr(parts[i].at, '\n', parts[i].len);

		ring_skip(o->unfinished, newline ? (size_t)(newline - parts[i].at) + 1 : parts[i].len);
		if (newline)
			break;
	}
	if (n > 0)
		atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
}

static void reopen(struct log *log, struct outlet *o)
{
	bool cut = o->target.mid_line;
	int error = target_reopen(&o->target);

	if (error != 0)
		diag_error("log: cannot open %s again: %s; going on with the old file", o->target.path,
		        strerror(error));
	else if (cut && !o->target.mid_line)
		drop_rest_of_line(log, o);
}

/* What was logged before belongs to the old files, as far as they take it. */
static void reopen_all(struct log *log)
{
	drain_all(log);
	reopen(log, &log->output);
	reopen(log, &log->access);
}

static int wait_lock(struct log *log, int64_t until)
{
	struct timespec at = {until / CLOCK_NS_PER_S, until % CLOCK_NS_PER_S};
	int error = until == CLOCK_NEVER ? pthread_cond_wait(&log->wake, &log->lock.mutex)
	                                 : pthread_cond_timedwait(&log->wake, &log->lock.mutex, &at);

	lock_taken_by_wait(&log->lock);
	MUST(error == 0 || error == ETIMEDOUT);
	return error;
}

/* Whether a ring fills faster than lines are waited for. One that fills because its target takes nothing is no reason to hurry. */
static bool in_hurry(const struct log *log)
{
	return log->access.target.state == TARGET_WELL && atomic_load(&log->hurry);
}

/* Waits until something is pending, then a little longer for company; not at all once told to stop. */
static void wait_for_lines(struct log *log, int64_t until)
{
	int error = 0;

	lock_take(&log->lock);
	while (!atomic_load(&log->pending) && !atomic_load(&log->stop) && error != ETIMEDOUT)
		error = wait_lock(log, until);
	int64_t end = clock_now() + BATCH_NS;
	error = 0;
	while (!atomic_load(&log->stop) && !in_hurry(log) && error != ETIMEDOUT)
		error = wait_lock(log, end);
	lock_drop(&log->lock);
}

static bool is_stalled(const struct outlet *o)
{
	return o->target.state == TARGET_STALLED;
}

/* Waits for a reader, for as long as lines for the other target may wait. */
static void wait_for_room(struct log *log)
{
	struct pollfd rooms[] = {
	        {.fd = is_stalled(&log->output) ? log->output.target.fd : -1, .events = POLLOUT},
	        {.fd = is_stalled(&log->access) ? log->access.target.fd : -1, .events = POLLOUT}};

	(void)poll(rooms, 2, BATCH_NS / CLOCK_NS_PER_MS); /* whatever came: both are tried */
}

static int64_t next_look(const struct outlet *o)
{
	if (o->target.state == TARGET_FAILS)
		return o->retry_at;
	return o->told ? o->calm_at : CLOCK_NEVER;
}

static void wait_for_work(struct log *log)
{
	int64_t output = next_look(&log->output), access = next_look(&log->access);

	if (is_stalled(&log->output) || is_stalled(&log->access))
		wait_for_room(log);
	else
		wait_for_lines(log, output < access ? output : access);
}

/* Lines that are in rings and can't be written any more. */
static uint64_t count_left(const struct log *log)
{
	uint64_t lines = 0;

	for (struct log_ring *r = atomic_load_explicit(&log->made, memory_order_acquire); r; r = r->made) {
		struct str parts[2];
		int n = ring_peek(&r->ring, parts);

		for (int i = 0; i < n; i++)
			for (size_t k = 0; k < parts[i].len; k++)
				lines += parts[i].at[k] == '\n';
	}
	return lines;
}

/* All that is left, with some patience for readers and none for what fails. */
static void finish(struct log *log)
{
	int64_t end = clock_now() + STOP_PATIENCE_NS;

	log->output.retry_at = log->access.retry_at = 0;
	drain_all(log);
	while ((is_stalled(&log->output) || is_stalled(&log->access)) && clock_now() < end) {
		wait_for_room(log);
		drain_all(log);
	}
	uint64_t left = count_left(log);
	if (left > 0)
		diag_error("log: %llu lines could not be written to %s", (unsigned long long)left,
		        log->access.target.path);
	drain_output(log, clock_now());
}

static void *log_thread(void *arg)
{
	struct log *log = arg;

	while (!atomic_load(&log->stop)) {
		wait_for_work(log);
		atomic_store(&log->pending, false); /* before looking: a line that comes now wakes us again */
		if (log->access.target.state == TARGET_WELL)
			atomic_store(&log->hurry, false);
		if (atomic_exchange(&log->reopen, false))
			reopen_all(log);
		drain_all(log);
	}
	finish(log);
	return NULL;
}

static void sink(void *arg, enum diag_level level, const char *at, size_t len)
{
	char marked[TARGET_DIAG_BYTES];
	struct log *log = arg;
	struct str line = target_diagnostic(&log->output.target, level, (struct str){at, len}, marked);

	lock_take(&log->diag_lock);
	bool written = ring_write(&log->diag_ring, line);
	lock_drop(&log->diag_lock);
	if (!written)
		atomic_fetch_add_explicit(&log->lost, 1, memory_order_relaxed);
	note_pending(log);
}

static void init_wake(struct log *log)
{
	pthread_condattr_t attr;

	lock_init(&log->lock);
	lock_init(&log->diag_lock);
	PTHREAD_OK(pthread_condattr_init(&attr));
	PTHREAD_OK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	PTHREAD_OK(pthread_cond_init(&log->wake, &attr));
	PTHREAD_OK(pthread_condattr_destroy(&attr));
}

static void log_free(struct log *log)
{
	target_close(&log->output.target);
	target_close(&log->access.target);
	for (struct log_ring *r = atomic_load_explicit(&log->made, memory_order_acquire); r; r = r->made)
		ring_free(&r->ring);
	sparse_free(log->rings, log->ring_count, sizeof(*log->rings));
	ring_free(&log->diag_ring);
	PTHREAD_OK(pthread_cond_destroy(&log->wake));
	lock_destroy(&log->lock);
	lock_destroy(&log->diag_lock);
	free(log);
}

static bool make_rings(struct log *log, unsigned count)
{
	log->ring_count = count;
	log->rings = count > 0 ? sparse_new(count, sizeof(*log->rings)) : NULL;
	return (log->rings || count == 0) && ring_init(&log->diag_ring, DIAG_RING_BYTES);
}

static void add_ring(struct log *log, struct log_ring *ring)
{
	ring->made = atomic_load_explicit(&log->made, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(
	        &log->made, &ring->made, ring, memory_order_release, memory_order_relaxed))
		;
}

static struct log *fail(struct log *log, const char **where, const char *place, const char **why, int error)
{
	*where = place;
	*why = strerror(error);
	log_free(log);
	return NULL;
}

int log_open_file(const char *path, int flags)
{
	/* O_NONBLOCK: a FIFO that nobody reads is ENXIO, not for ever */
	int fd = open(path, flags | O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);

	return fd < 0 ? -errno : fd;
}

int log_open(const char *name, int flags)
{
	return log_socket_kind(name) == LOG_SOCKET_NONE ? log_open_file(name, flags) : log_socket_open(name);
}

static int open_target(void *arg, const char *name)
{
	(void)arg;
	return log_open(name, 0);
}

static void name_targets(struct log *log, const struct log_targets *targets)
{
	target_opener *open = targets->open ? targets->open : open_target;

	log->output_id = (struct log_identity){
	        .tag = targets->tag, .facility = targets->facility, .what = "diagnostics", .marked = true};
	log->access_id = (struct log_identity){
	        .tag = targets->tag, .facility = targets->facility, .what = "access"};
	target_name(&log->output.target, targets->output, &log->output_id, open, targets->arg);
	target_name(&log->access.target, targets->access, &log->access_id, open, targets->arg);
	log->access_on = log->access.target.kind != TARGET_OFF;
}

static void warn_of_absence(const struct log_target *t)
{
	if (t->kind == TARGET_SOCKET && t->fd < 0)
		diag_warning(
		        "log: nobody takes lines at %s: %s; they are kept as far as there is room, then lost",
		        t->path, strerror(t->error));
}

struct log *log_start(const struct log_targets *targets, unsigned rings, const char **where, const char **why)
{
	struct log *log = calloc(1, sizeof(*log));

	*where = "log";
	*why = "out of memory";
	if (!log)
		return NULL;
	init_wake(log);
	log->ring_bytes = targets->ring_bytes ? targets->ring_bytes : LOG_RING_BYTES;
	name_targets(log, targets);
	int error = target_open(&log->output.target);
	if (error != 0)
		return fail(log, where, targets->output, why, error);
	error = target_open(&log->access.target);
	if (error != 0)
		return fail(log, where, targets->access, why, error);
	if (!make_rings(log, rings))
		return fail(log, where, "log", why, ENOMEM);
	error = pthread_create(&log->thread, NULL, log_thread, log);
	if (error != 0)
		return fail(log, where, "log thread", why, error);
	(void)pthread_setname_np(log->thread, "log"); /* a convenience */
	warn_of_absence(&log->output.target);
	diag_set_sink(sink, log);
	warn_of_absence(&log->access.target);
	return log;
}

struct log_ring *log_ring(struct log *log, unsigned id)
{
	if (!log->access_on)
		return NULL;
	MUST(id < log->ring_count);
	struct log_ring *ring = &log->rings[id];
	if (!ring->log) {
		if (!ring_init(&ring->ring, log->ring_bytes))
			return NULL;
		ring->log = log;
		add_ring(log, ring);
	}
	return ring;
}

bool log_access_on(const struct log *log)
{
	return log->access_on;
}

static void note_line(struct log_ring *ring)
{
	note_pending(ring->log);
	if (ring_used(&ring->ring) > ring->ring.cap / 2)
		note_hurry(ring->log);
}

bool log_access(struct log_ring *ring, struct str line)
{
	bool written = ring_write(&ring->ring, line);

	if (!written)
		atomic_store_explicit(&ring->lost,
		        atomic_load_explicit(&ring->lost, memory_order_relaxed) + 1, memory_order_relaxed);
	note_line(ring);
	return written;
}

char *log_access_room(struct log_ring *ring, size_t most)
{
	return ring_room(&ring->ring, most);
}

void log_access_made(struct log_ring *ring, size_t len)
{
	ring_written(&ring->ring, len);
	note_line(ring);
}

void log_reopen(struct log *log)
{
	atomic_store(&log->reopen, true);
	note_pending(log);
}

uint64_t log_lost(const struct log *log)
{
	return access_lost(log) + atomic_load_explicit(&log->lost, memory_order_relaxed) +
	       atomic_load_explicit(&log->dropped, memory_order_relaxed);
}

void log_flush(struct log *log)
{
	atomic_store(&log->stop, true);
	wake_thread(log);
	PTHREAD_OK(pthread_join(log->thread, NULL));
}

void log_stop(struct log *log)
{
	diag_set_sink(NULL, NULL); /* what the thread has to say itself from here on goes to standard error */
	log_flush(log);
	log_free(log);
}
