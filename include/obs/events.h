/*
 * What has happened of late: the last changes that an operator would want to be told of (a server's state, reloads, drains), each also a line of the diagnostics
 * log. Beside that log (base/diag.h) it is the one process-wide state, for the same reason: who has something to say need not be handed where.
 */
#ifndef TPLB_OBS_EVENTS_H
#define TPLB_OBS_EVENTS_H

#include <stdint.h>

#include "base/diag.h"

enum { EVENTS_KEPT = 200, EVENT_TEXT_BYTES = 400 };

struct event {
	uint64_t id; /* 1, 2, 3 and so on since the start */
	int64_t at;  /* ms since 1970 */
	enum diag_level level;
	char text[EVENT_TEXT_BYTES]; /* well-formed UTF-8 without control characters; what is longer is cut */
};

/* Logs the line as diag() does, and keeps it, whatever level is logged. Any thread; holds one lock of its own for a copy. */
void event(enum diag_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define event_error(...) event(DIAG_ERROR, __VA_ARGS__)
#define event_warning(...) event(DIAG_WARNING, __VA_ARGS__)
#define event_info(...) event(DIAG_INFO, __VA_ARGS__)

/* The id of the last one; 0: there was none. Any thread; takes no lock. */
uint64_t events_last(void);

/* Copies the last ones, `most` of them at most, the oldest first. Returns how many. Any thread. */
unsigned events_read(struct event *out, unsigned most);

#endif
