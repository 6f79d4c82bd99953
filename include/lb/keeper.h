/*
 * The parent process that keeps the rights which serving does not need: it reads the configuration, binds, opens logs, and removes socket files. The child serves, having
 * given the rights up (ctl/privileges.h, ctl/sandbox.h), and asks for these few things over a socket, one question and one answer at a time.
 *
 * The parent believes the child nothing. It opens for reading what its own reading of the configuration has opened; binds where that configuration has a listener; opens as logs what it or the
 * configuration of the start calls so; and removes the socket files that it has made itself. It starts the program anew, as it was started, when the child says so, and believes
 * that the new one has taken over: the child can do no worse to those whom it serves than it can do anyway. It takes no part in serving: one thread, no state but that.
 * (The split is that of Provos, Friedl and Honeyman, "Preventing Privilege Escalation", USENIX Security 2003.)
 */
#ifndef TPLB_LB_KEEPER_H
#define TPLB_LB_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/lock.h"
#include "lb/config.h"
#include "lb/supply.h"

struct keeper; /* the parent's */

/* The child's end. */
struct keeper_link {
	struct lock lock;     /* a question and its answer belong together */
	int sock;             /* constant */
	struct supply supply; /* for the balancer: through the parent */
};

/*
 * Forks, while there is one thread. In the parent *keeper is set, in the child *link. file: the configuration's; config: as read from it, whose listeners and admin sockets are bound. given: sockets that were listening at the start: a manager's files are its own, and those of a process whose place this one
 * takes are left until keeper_in_office. All must outlive the
 * parent. Returns the child's pid, 0 in the child, or -errno: nothing has happened.
 */
pid_t keeper_fork(const char *file, const struct lb_config *config, const struct activation *given,
        struct office *office, struct keeper **keeper, struct keeper_link *link);

/* The child's end, over this socket, the link's from now on. By keeper_fork. */
void keeper_link_init(struct keeper_link *link, int sock);

/* By the child: the process whose place this program takes is about to end. */
void keeper_in_office(struct keeper_link *link);

/*
 * The rest of the parent's life: answers the child, hands on signals to it (TERM, INT, HUP, USR1, USR2, which are blocked), and waits for its end, which it
 * says where it was no good one. Returns the exit status of the program: the child's, or 1 where a signal has ended that. Frees.
 * Once another process has taken over, signals are for that one, and a process that nobody can be told to take it for goes on as its caretaker (office_stay).
 */
int keeper_serve(struct keeper *keeper, pid_t child);

/* For log_targets.open, with the link as arg. */
int keeper_open_log(void *link, const char *path);

#endif
