/*
 * Where lines go: a file, a standard stream, syslog, nowhere. A write never waits for a reader, and what could not be written is not taken: the
 * caller has it still, and tries again once the reader has made room, or a full disk was given some.
 */
#ifndef TPLB_OBS_LOG_TARGET_H
#define TPLB_OBS_LOG_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum target_kind { TARGET_OFF, TARGET_FD, TARGET_FILE, TARGET_SYSLOG };

enum target_state {
	TARGET_WELL,
	TARGET_STALLED, /* a pipe is full: poll says when it has room */
	TARGET_FAILS    /* the last write failed, with `error`: ENOSPC, EPIPE, EIO */
};

/* Opens or makes the file, for appending. A descriptor, or -errno. */
typedef int target_opener(void *arg, const char *path);

/* Of one thread. */
struct target {
	enum target_kind kind;
	target_opener *open;
	void *arg;
	const char *path; /* the name that it was given; the owner's */
	int fd;
	bool regular; /* writing to it does not wait for a reader */
	enum target_state state;
	int error;     /* of TARGET_FAILS */
	bool mid_line; /* the last byte that was written ends no line */
};

/* name: "off", "syslog", "stderr", "stdout" or a path, which `open` opens. */
void target_name(struct target *t, const char *name, target_opener *open, void *arg);
/* Opens what it names. 0 or an errno. A FIFO must have a reader. */
int target_open(struct target *t);
void target_close(struct target *t);
/* A path is opened anew, and the old file closed. 0 or an errno: the old one stays. */
int target_reopen(struct target *t);

/* Writes what can be written now; how much that was. Less than all of it: t->state says why. */
size_t target_write(struct target *t, struct str s);

#endif
