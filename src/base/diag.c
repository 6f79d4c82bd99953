#include "base/diag.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
	_Atomic int level;         /* relaxed: a late change loses or shows a line, no more */
	_Atomic(diag_sink *) sink; /* release, acquire; after `arg` */
	_Atomic(void *) arg;       /* relaxed */
} log_state = {.level = DIAG_INFO};

const char *diag_level_name(enum diag_level level)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};

	return names[level];
}

void diag_set_level(enum diag_level level)
{
	atomic_store_explicit(&log_state.level, (int)level, memory_order_relaxed);
}

bool diag_enabled(enum diag_level level)
{
	return (int)level <= atomic_load_explicit(&log_state.level, memory_order_relaxed);
}

void diag_set_sink(diag_sink *sink, void *arg)
{
	if (sink)
		atomic_store_explicit(&log_state.arg, arg, memory_order_relaxed);
	atomic_store_explicit(&log_state.sink, sink, memory_order_release);
}

static size_t write_prefix(char *line, size_t cap, enum diag_level level)
{
	struct timespec now;
	struct tm utc;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	size_t n = strftime(line, cap, "%Y-%m-%dT%H:%M:%S", &utc);
	return n + (size_t)snprintf(
	                   line + n, cap - n, ".%03ldZ %s: ", now.tv_nsec / 1000000, diag_level_name(level));
}

void diag(enum diag_level level, const char *format, ...)
{
	char line[DIAG_TEXT_BYTES];
	int saved_errno = errno;

	if (!diag_enabled(level))
		return;
	size_t n = write_prefix(line, sizeof(line), level);
	size_t room = sizeof(line) - n - 1; /* one byte for the newline */
	va_list args;
	va_start(args, format);
	errno = saved_errno; /* for %m */
	int added = vsnprintf(line + n, room, format, args);
	va_end(args);
	if (added > 0)
		n += (size_t)added < room ? (size_t)added : room - 1;
	for (size_t i = 0; i < n; i++) /* one call, one line: what a peer sent must not forge another */
		if ((unsigned char)line[i] < ' ' || line[i] == 127)
			line[i] = '?';
	line[n++] = '\n';
	diag_sink *sink = atomic_load_explicit(&log_state.sink, memory_order_acquire);
	if (sink)
		sink(atomic_load_explicit(&log_state.arg, memory_order_relaxed), level, line, n);
	else
		(void)!write(STDERR_FILENO, line, n); /* a failure has nowhere left to be told */
	errno = saved_errno;
}
