/*
 * One thread writes all log files. Access lines come through one lock-free ring a worker; diagnostic lines, which are
 * rare and come from any thread, through one ring behind a lock. The thread is woken by the first line after it
 * slept, then waits BATCH_NS for company, so that it costs a busy server some fifty wake-ups a second.
 */
#include "obs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/lock.h"
#include "base/sparse.h"
#include "obs/ring.h"

enum { ACCESS_RING_BYTES = 64 * 1024, DIAG_RING_BYTES = 256 * 1024 };

#define BATCH_NS (20 * CLOCK_NS_PER_MS)
#define STOP_PATIENCE_NS (2 * CLOCK_NS_PER_S)

/* How often a stalled write looks whether the log is to stop. */
enum { LOOK_UP_MS = 500 };

enum target_kind { TARGET_OFF, TARGET_FD, TARGET_FILE, TARGET_SYSLOG };

/* The log thread's own, once it runs. */
struct target {
	enum target_kind kind;
	const char *path;
	int fd;
	bool regular; /* writing to it does not wait for a reader */
};

struct log_ring {
	struct ring ring;
	struct log *log;       /* NULL: not made yet */
	struct log_ring *made; /* the one made before it; constant once it is in the list */
};

struct log {
	struct target output;
	struct target access;
	int (*open)(void *arg, const char *path); /* constant; NULL: log_open_file */
	void *open_arg;                           /* constant */
	bool access_on;                           /* constant */
	unsigned ring_count;                      /* constant */
	struct log_ring *rings;                   /* sparse */
	_Atomic(struct log_ring *) made;          /* a list of those there are; release, acquire */
	struct ring diag_ring;                    /* written under diag_lock */
	struct lock diag_lock;
	_Atomic uint64_t lost; /* relaxed: diagnostic lines */
	_Atomic bool pending;  /* lines may be waiting; seq_cst */
	_Atomic bool reopen;   /* seq_cst */
	_Atomic bool stop;     /* seq_cst; also read while a write is stalled */
	struct lock lock;      /* with wake */
	pthread_cond_t wake;   /* pending or stop became true */
	int64_t stop_end;      /* the thread's: until when a stalled reader is waited for; 0: not stopping */
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

int log_open_file(const char *path)
{
	/* O_NONBLOCK: a FIFO that nobody reads is ENXIO, not for ever */
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);

	return fd < 0 ? -errno : fd;
}

/* 0 or an errno. */
static int target_open(const struct log *log, struct target *t)
{
	struct stat st;

	if (t->kind == TARGET_FILE)
		t->fd = log->open ? log->open(log->open_arg, t->path) : log_open_file(t->path);
	if (t->kind == TARGET_OFF || t->kind == TARGET_SYSLOG)
		return 0;
	t->regular = t->fd >= 0 && fstat(t->fd, &st) == 0 && S_ISREG(st.st_mode);
	return t->fd >= 0 ? 0 : -t->fd;
}

static void target_close(struct target *t)
{
	if (t->kind == TARGET_FILE && t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

static void target_name(struct target *t, const char *name)
{
	t->path = name;
	t->fd = -1;
	t->kind = TARGET_FILE;
	if (strcmp(name, "off") == 0) {
		t->kind = TARGET_OFF;
	} else if (strcmp(name, "syslog") == 0) {
		t->kind = TARGET_SYSLOG;
	} else if (strcmp(name, "stderr") == 0) {
		t->kind = TARGET_FD;
		t->fd = STDERR_FILENO;
	} else if (strcmp(name, "stdout") == 0) {
		t->kind = TARGET_FD;
		t->fd = STDOUT_FILENO;
	}
}

/* Waits for a pipe's or terminal's reader; once the log is to stop, STOP_PATIENCE_NS in all for all that is left. */
static bool wait_for_reader(struct log *log, const struct target *t)
{
	struct pollfd room = {.fd = t->fd, .events = POLLOUT};

	for (;;) {
		int timeout = LOOK_UP_MS;

		if (atomic_load(&log->stop)) {
			if (log->stop_end == 0)
				log->stop_end = clock_now() + STOP_PATIENCE_NS;
			timeout = clock_poll_ms(clock_now(), log->stop_end);
		}
		int ready = poll(&room, 1, timeout);
		if (ready > 0)
			return true;
		if ((ready < 0 && errno != EINTR) || (log->stop_end > 0 && clock_now() >= log->stop_end))
			return false;
	}
}

static bool write_all(struct log *log, const struct target *t, struct str s)
{
	while (s.len > 0) {
		size_t step = s.len;

		if (!t->regular) {
			if (step > 4096) /* PIPE_BUF: so much never blocks a pipe that polls writable */
				step = 4096;
			if (!wait_for_reader(log, t))
				return false;
		}
		ssize_t n = write(t->fd, s.at, step);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			continue; /* somebody else made it non-blocking: poll again */
		if (n < 0)
			return false;
		s.at += n;
		s.len -= (size_t)n;
	}
	return true;
}

static void write_syslog(struct str s)
{
	while (s.len > 0) {
		const char *newline = memchr(s.at, '\n', s.len);
		size_t len = newline ? (size_t)(newline - s.at) : s.len;

		syslog(LOG_INFO, "%.*s", (int)len, s.at);
		len += newline != NULL;
		s.at += len;
		s.len -= len;
	}
}

static uint64_t count_lines(struct str s)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < s.len; i++)
		lines += s.at[i] == '\n';
	return lines;
}

/* Moves all that is in the ring to the target. What cannot be written is lost and counted. */
static void drain_ring(struct log *log, struct ring *ring, const struct target *t)
{
	struct str parts[2];
	int n = ring_peek(ring, parts);

	for (int i = 0; i < n; i++) {
		if (t->kind == TARGET_SYSLOG)
			write_syslog(parts[i]);
		else if (t->kind != TARGET_OFF && !write_all(log, t, parts[i]))
			atomic_fetch_add_explicit(&log->lost, count_lines(parts[i]), memory_order_relaxed);
		ring_skip(ring, parts[i].len);
	}
}

static void drain_all(struct log *log)
{
	drain_ring(log, &log->diag_ring, &log->output);
	for (struct log_ring *r = atomic_load_explicit(&log->made, memory_order_acquire); r; r = r->made)
		drain_ring(log, &r->ring, &log->access);
}

static void reopen_target(const struct log *log, struct target *t)
{
	struct target fresh = *t;

	if (t->kind != TARGET_FILE)
		return;
	int error = target_open(log, &fresh);
	if (error != 0) {
		diag_error("log: cannot open %s again: %s; going on with the old file", t->path,
		        strerror(error));
		return;
	}
	target_close(t);
	*t = fresh;
}

/* Waits until something is pending, then a little longer for company; not at all once told to stop. */
static void wait_for_lines(struct log *log)
{
	struct timespec until;

	lock_take(&log->lock);
	while (!atomic_load(&log->pending) && !atomic_load(&log->stop)) {
		PTHREAD_OK(pthread_cond_wait(&log->wake, &log->lock.mutex));
		lock_taken_by_wait(&log->lock);
	}
	int64_t end = clock_now() + BATCH_NS;
	until.tv_sec = end / CLOCK_NS_PER_S;
	until.tv_nsec = end % CLOCK_NS_PER_S;
	int error = 0;
	while (!atomic_load(&log->stop) && error != ETIMEDOUT) {
		error = pthread_cond_timedwait(&log->wake, &log->lock.mutex, &until);
		lock_taken_by_wait(&log->lock);
		MUST(error == 0 || error == ETIMEDOUT);
	}
	lock_drop(&log->lock);
}

static void *log_thread(void *arg)
{
	struct log *log = arg;

	while (!atomic_load(&log->stop)) {
		wait_for_lines(log);
		atomic_store(&log->pending, false); /* before looking: a line that comes now wakes us again */
		if (atomic_exchange(&log->reopen, false)) {
			drain_all(log); /* what was logged before belongs to the old files */
			reopen_target(log, &log->output);
			reopen_target(log, &log->access);
		}
		drain_all(log);
	}
	drain_all(log);
	return NULL;
}

static void sink(void *arg, enum diag_level level, const char *line, size_t len)
{
	struct log *log = arg;

	(void)level;
	lock_take(&log->diag_lock);
	bool written = ring_write(&log->diag_ring, (struct str){line, len});
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
	target_close(&log->output);
	target_close(&log->access);
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

struct log *log_start(const struct log_targets *targets, unsigned rings, const char **where, const char **why)
{
	struct log *log = calloc(1, sizeof(*log));

	*where = "log";
	*why = "out of memory";
	if (!log)
		return NULL;
	init_wake(log);
	target_name(&log->output, targets->output);
	target_name(&log->access, targets->access);
	log->access_on = log->access.kind != TARGET_OFF;
	log->open = targets->open;
	log->open_arg = targets->arg;
	openlog(targets->ident, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	int error = target_open(log, &log->output);
	if (error != 0)
		return fail(log, where, targets->output, why, error);
	error = target_open(log, &log->access);
	if (error != 0)
		return fail(log, where, targets->access, why, error);
	if (!make_rings(log, rings))
		return fail(log, where, "log", why, ENOMEM);
	error = pthread_create(&log->thread, NULL, log_thread, log);
	if (error != 0)
		return fail(log, where, "log thread", why, error);
	(void)pthread_setname_np(log->thread, "log"); /* a convenience */
	diag_set_sink(sink, log);
	return log;
}

struct log_ring *log_ring(struct log *log, unsigned id)
{
	if (!log->access_on)
		return NULL;
	MUST(id < log->ring_count);
	struct log_ring *ring = &log->rings[id];
	if (!ring->log) {
		if (!ring_init(&ring->ring, ACCESS_RING_BYTES))
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

bool log_access(struct log_ring *ring, struct str line)
{
	bool written = ring_write(&ring->ring, line);

	note_pending(ring->log);
	return written;
}

void log_reopen(struct log *log)
{
	atomic_store(&log->reopen, true);
	note_pending(log);
}

uint64_t log_lost(const struct log *log)
{
	return atomic_load_explicit(&log->lost, memory_order_relaxed);
}

void log_flush(struct log *log)
{
	atomic_store(&log->stop, true);
	wake_thread(log);
	PTHREAD_OK(pthread_join(log->thread, NULL));
}

void log_stop(struct log *log)
{
	diag_set_sink(NULL, NULL);
	log_flush(log);
	closelog();
	log_free(log);
}
