/*
 * Where lines go: a file, a standard stream, syslog, the journal, nowhere. A write never waits for a reader, and what could not be written is not taken: the
 * caller has it still, and tries again once the reader has made room, or a full disk was given some.
 */
#ifndef TPLB_OBS_LOG_TARGET_H
#define TPLB_OBS_LOG_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "obs/log_socket.h"

enum target_kind { TARGET_OFF, TARGET_FD, TARGET_FILE, TARGET_SOCKET };

enum target_state {
	TARGET_WELL,
	TARGET_STALLED, /* a pipe or a socket is full: poll says when it has room */
	TARGET_FAILS    /* the last write failed, with `error`: ENOSPC, EPIPE, EIO, ENOENT */
};

/* Opens or makes the file, for appending, or connects to the socket. A descriptor, or -errno. */
typedef int target_opener(void *arg, const char *path);

/* Of one thread, but for target_diagnostic. */
struct log_target {
	/* constant, once it is named */
	enum target_kind kind;
	enum log_socket_kind socket; /* of TARGET_SOCKET */
	const struct log_identity *id;
	target_opener *open;
	void *arg;
	const char *path; /* the name that it was given; the owner's */
	bool marks; /* it wants to know how important diagnostics are, and knows itself when they come */
	/* the thread's */
	int fd;       /* -1: not open; a socket is tried again with each line */
	bool regular; /* writing to it does not wait for a reader */
	enum target_state state;
	int error;     /* of TARGET_FAILS */
	bool mid_line; /* the last byte that was written ends no line */
};

/* name: "off", "stderr", "stdout", what log_socket_kind knows, or a path. The last two are opened by `open`. id: of sockets' lines. Both must outlive it. */
void target_name(struct log_target *t, const char *name, const struct log_identity *id, target_opener *open,
        void *arg);
/* Opens what it names. 0 or an errno. A FIFO must have a reader. Of a socket nobody need be there yet. */
int target_open(struct log_target *t);
void target_close(struct log_target *t);
/* A path is opened anew, and the old file closed. 0 or an errno: the old one stays. */
int target_reopen(struct log_target *t);

/* Not for sockets: writes what can be written now; how much that was. Less than all of it: t->state says why. */
size_t target_write(struct log_target *t, struct str s);

/* For sockets: sends one line, in two parts and without its newline. A peer that is gone is looked for once more. False: not taken, t->state says why. */
bool target_send(struct log_target *t, struct str parts[2]);

/* A line of diag()'s, as this target wants it: the line itself, or what is written into out. Any thread: it looks at `marks` alone. */
enum { TARGET_DIAG_BYTES = 1024 /* the longest of diag()'s */ };
struct str target_diagnostic(
        const struct log_target *t, enum diag_level level, struct str line, char out[TARGET_DIAG_BYTES]);

#endif
