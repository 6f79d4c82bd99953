/*
 * The diagnostics log: one line a call, "2026-11-23T10:00:00.123Z LEVEL: TEXT". Safe from every thread.
 * The one process-wide state beside the program's root: where lines go. Until a sink is set they are
 * written straight to standard error; the log thread (obs/log.h) sets one.
 */
#ifndef TPLB_BASE_DIAG_H
#define TPLB_BASE_DIAG_H

#include <stdbool.h>
#include <stddef.h>

enum diag_level { DIAG_ERROR, DIAG_WARNING, DIAG_INFO, DIAG_DEBUG };

enum { DIAG_TEXT_BYTES = 1024 }; /* a line with its prefix at most; what is longer is cut */

/* "error", "warning", "info", "debug". */
const char *diag_level_name(enum diag_level level);

/* Sets the least important level that is written; DIAG_INFO at start. Any thread, takes effect at once. */
void diag_set_level(enum diag_level level);
bool diag_enabled(enum diag_level level);

/*
 * The sink gets each finished line, newline included; it must not block and must not call diag().
 * NULL: standard error again; a call that runs may still use the one before, whose arg must live until no other thread calls diag(). Set while
 * one thread does so.
 */
typedef void diag_sink(void *arg, enum diag_level level, const char *line, size_t len);
void diag_set_sink(diag_sink *sink, void *arg);

void diag(enum diag_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define diag_error(...) diag(DIAG_ERROR, __VA_ARGS__)
#define diag_warning(...) diag(DIAG_WARNING, __VA_ARGS__)
#define diag_info(...) diag(DIAG_INFO, __VA_ARGS__)
#define diag_debug(...) (diag_enabled(DIAG_DEBUG) ? diag(DIAG_DEBUG, __VA_ARGS__) : (void)0)

#endif
