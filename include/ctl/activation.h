/*
 * Sockets that the service manager has opened before it started the program ($LISTEN_FDS, sd_listen_fds(3)): a port is open while the program restarts, and needs no right of
 * its own. At start, while there is one thread.
 */
#ifndef TPLB_CTL_ACTIVATION_H
#define TPLB_CTL_ACTIVATION_H

#include <stdbool.h>

#include "net/addr.h"

enum { ACTIVATION_MAX = 256 };

struct activated {
	int fd; /* -1: taken */
	struct addr at;
};

struct activation {
	unsigned count;
	struct activated sockets[ACTIVATION_MAX];
};

/*
 * Takes over what this process was given, stream sockets that listen, close-on-exec and non-blocking from now on; others are left shut with a warning. The variables are unset, so
 * that no program started later takes them for its own. None: count is 0.
 */
void activation_take(struct activation *a);

/* The socket with this address, the caller's from now on; -1: there is none. */
int activation_find(struct activation *a, const struct addr *at);

/* Closes those that no listener has asked for, each with a warning. */
void activation_end(struct activation *a);

/* Whether a socket with this address was given: a Unix one's file is the manager's. */
bool activation_gave(const struct activation *a, const struct addr *at);

#endif
