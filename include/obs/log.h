/*
 * The log thread: the only one that writes log files, so that a slow disk slows no request. Each worker has a
 * bounded ring of its own to it; what does not fit is lost and counted. A full disk or a reader that stalls loses lines, and nothing else.
 */
#ifndef TPLB_OBS_LOG_H
#define TPLB_OBS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct log;
struct log_ring; /* one writer, the log thread reads */

/* Room for lines in a ring: for many writers; for a few, each of which writes as much as several of those, and waits for the log thread for no longer. */
enum { LOG_RING_BYTES = 64 * 1024, LOG_RING_BYTES_OF_FEW = 128 * 1024 };

struct log_targets {
	const char *output; /* diagnostics: "stderr", "syslog", "journald" or a path; see obs/log_target.h */
	const char *access; /* access lines: "off", "stdout", "syslog", "journald" or a path */
	const char *tag;    /* program name for syslog and the journal */
	int facility;       /* likewise, 0 to 23 */
	size_t ring_bytes;  /* a power of two; 0: LOG_RING_BYTES */
	/* Opens what is named as log_open does, for a process that may not do so itself; NULL: log_open. Called by the log thread, too. */
	int (*open)(void *arg, const char *path);
	void *arg; /* must outlive the log */
};

/* Opens or makes the file, for appending. flags: more of open(2)'s. A descriptor, or -errno. */
int log_open_file(const char *path, int flags);
/* The same, or connects to the socket that is named so (obs/log_socket.h). */
int log_open(const char *name, int flags);

/*
 * Opens the targets and starts the thread, which from then on also writes what diag() is given (its sink). rings: one a worker that there
 * can be; each is made when it is asked for. NULL on failure: *why then tells (static or allocated by strerror), *where which target.
 */
struct log *log_start(
        const struct log_targets *targets, unsigned rings, const char **where, const char **why);

/* Ring number id, for that worker alone; one thread at a time asks for it. NULL where access lines are not wanted, or memory is out. */
struct log_ring *log_ring(struct log *log, unsigned id);

/* True when access lines are wanted at all. */
bool log_access_on(const struct log *log);

/* Queues an access line (newline included). False when there was no room: it is lost, and counted. Never waits. */
bool log_access(struct log_ring *ring, struct str line);
/* Room to make a line of `most` bytes at most in, which log_access_made then queues; NULL: there is none in one piece, it is to be made elsewhere. */
char *log_access_room(struct log_ring *ring, size_t most);
void log_access_made(struct log_ring *ring, size_t len);

/* Files are closed and opened again, soon, by the thread; what an old one did not take goes to the new one. Others stay. Any thread. */
void log_reopen(struct log *log);

/* Lines lost so far, of both kinds. Any thread. */
uint64_t log_lost(const struct log *log);

/* Writes what is queued now and returns, while other threads go on logging: for a process that is about to end abruptly. */
void log_flush(struct log *log);

/* Writes what is queued, stops the thread, takes the sink of diag() away, closes, frees. Joined last of all threads. */
void log_stop(struct log *log);

#endif
