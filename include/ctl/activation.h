/*
 * Sockets that listen already when the program starts. By the service manager, which has opened them ($LISTEN_FDS, sd_listen_fds(3)): a port is open while the program restarts, and needs no right of
 * its own. By the process whose place this one takes (ctl/takeover.h), each for a role. At start, while there is one thread.
 */
#ifndef TPLB_CTL_ACTIVATION_H
#define TPLB_CTL_ACTIVATION_H

#include <stdbool.h>

#include "net/addr.h"

#define ACTIVATION_LISTENER "listener"
#define ACTIVATION_ADMIN "admin"
#define ACTIVATION_WEB "web"

enum { ACTIVATION_MAX = 1100, ACTIVATION_ROLE_BYTES = 16, ACTIVATION_NAME_BYTES = 64 };

struct activated {
	int fd; /* -1: taken */
	struct addr at;
	bool managed; /* by a service manager, at first: a Unix socket's file is the manager's */
	char role
	        [ACTIVATION_ROLE_BYTES]; /* what the process before had it for; empty: nothing, it is the manager's */
	char name[ACTIVATION_NAME_BYTES]; /* the beginning of what that one called it */
};

struct activation {
	unsigned count;
	struct activated sockets[ACTIVATION_MAX];
};

/*
 * Takes over what this process was given, stream sockets that listen, close-on-exec and non-blocking from now on; others are left shut with a warning. The variables are unset, so
 * that no program started later takes them for its own. They are added to those that are in it.
 */
void activation_take(struct activation *a);

/* The manager's socket with this address, the caller's from now on; -1: there is none. */
int activation_find(struct activation *a, const struct addr *at);

/*
 * The socket that the process before had at this address for this role, the caller's from now on; -1: there is none. Of those with port 0 the one with this name. *managed: a service
 * manager has opened it, once.
 */
int activation_inherit(
        struct activation *a, const char *role, const char *name, const struct addr *at, bool *managed);
/* Whether it is a stream socket that listens. */
bool activation_listens(int fd);
/* Whether it was one of those that the process before had. */
bool activation_is_inherited(const struct activation *a, const char *role, const struct addr *at);

/* Closes the manager's that no listener has asked for, each with a warning. */
void activation_end(struct activation *a);

/* Whether a socket with this address was given by a manager: a Unix one's file is the manager's. */
bool activation_gave(const struct activation *a, const struct addr *at);

#endif
