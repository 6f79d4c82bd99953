/*
 * The admin socket: a Unix stream socket for the user that the program runs as and for root, nobody else. One line is a command, and answered as ctl/answer.h
 * says; then the next one, on the same connection. A thread of its own serves it (ctl/desk.h), so no request waits for a command.
 *
 * Whoever is silent for 30 s, or does not end a line or take an answer in that time, is dropped. A further connection than ADMIN_CONNECTIONS takes the place of
 * the one that has been silent for longest: nobody is locked out.
 */
#ifndef TPLB_CTL_ADMIN_H
#define TPLB_CTL_ADMIN_H

#include <sys/types.h>

#include "ctl/answer.h"
#include "net/addr.h"

enum { ADMIN_CONNECTIONS = 16 };

struct admin;

/*
 * Listens, with mode 0600 from the beginning, as a socket of this user and group. A stale socket file of a dead process is replaced. Before any thread is
 * started: it changes the process's umask for a moment. NULL: *error is an errno.
 */
struct admin *admin_open(const struct addr *at, uid_t user, gid_t group, int *error);

/*
 * The same with a socket that listens at this address already, of a process whose place this one takes: until desk_keep says otherwise its file is left. It is given to this user and group. Takes
 * fd over, in any case.
 */
struct admin *admin_adopt(int fd, const struct addr *at, uid_t user, gid_t group, int *error);

/* Starts the thread, called "NAME-admin", which calls the table's functions with arg. Both must outlive it. Returns 0 or an errno. */
int admin_start(struct admin *a, const char *name, const struct answer_command *table, void *arg);

/* What talks with its peers, the admin's. */
struct desk *admin_desk(const struct admin *a);

/* For a process that has forked another one to serve it: closes and frees what there is of it here, and leaves the socket file. Before admin_start. */
void admin_leave(struct admin *a);

/*
 * Removes the socket file unless another one is in its place, waits for a command that runs, for half a second at most, closes all connections and frees. False: the
 * command still runs, a reload that waits for a name server perhaps, and all is left as it is for the process's end.
 */
bool admin_stop(struct admin *a);

#endif
