/*
 * A process gives up what it was started with, for good: user, group, further groups, the sight of the file system, and the means to get any of it
 * back. For a process of one thread.
 */
#ifndef TPLB_CTL_PRIVILEGES_H
#define TPLB_CTL_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

enum { PRIVILEGES_WHY_BYTES = 256 };

struct privileges {
	const char *user; /* empty: stay who we are */
	const char *root; /* the folder to be locked into (chroot(2)); empty: none */
};

/* Whether this process has to be another user to be this one; so is a name that nobody has. */
bool privileges_differ(const char *user);

/*
 * Becomes that user, with the user's own groups only, below the folder, and sets no_new_privs, so that no program that this process could start gives
 * any of it back. Where a parent is named the kernel ends this process by SIGTERM once that is gone. False: `why` tells, and the process is good for nothing but to end.
 */
bool privileges_drop(const struct privileges *p, pid_t parent, char why[PRIVILEGES_WHY_BYTES]);

#endif
