/* Sockets: open, accept, close. All are non-blocking and close-on-exec. */
#ifndef TPLB_NET_SOCK_H
#define TPLB_NET_SOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/addr.h"

/* Listens; a stale Unix socket file that nobody listens on is replaced. Returns the descriptor or -errno. */
int sock_listen(const struct addr *at, int backlog);

/*
 * Listens on a Unix socket that only its owner may connect to, from the beginning: mode 0600, and it is given to this user and group. While there is one
 * thread: it changes the process's umask for a moment. Returns the descriptor or -errno.
 */
int sock_listen_private(const struct addr *at, int backlog, uid_t user, gid_t group);

/* Gives the socket file to this user and group, where it is not theirs. Returns 0 or an errno. */
int sock_give_file(const char *path, uid_t user, gid_t group);

/* One pending connection: descriptor or -errno (-EAGAIN: none). TCP_NODELAY comes from the listener. */
int sock_accept(int listener, struct addr *peer);

/* Opens a socket and starts to connect. Returns the descriptor, *pending true when the answer is still to come; or -errno. */
int sock_connect_start(const struct addr *to, bool *pending);
/* Connects, sleeping in the kernel for up to `timeout` ns (0: no limit; negative: -ETIMEDOUT). Returns the descriptor, non-blocking, or -errno. */
int sock_connect_waiting(const struct addr *to, int64_t timeout);

/* The outcome of a pending connect once the socket is writable: 0 or -errno. */
int sock_error(int fd);

/* Whether an idle connection is as it should be: open, with nothing to read. Never waits. */
bool sock_is_quiet(int fd);
/* Whether the stream is at its end, or broken, with nothing to be read before that. Never waits. */
bool sock_is_over(int fd);

/*
 * Whether the peer is still there: it may have closed its sending side (FIN), be there or not; or it is gone: a reset, or a Unix socket that is
 * closed. What it sent and nobody has read does not hide it. One system call; never waits.
 */
enum sock_peer { SOCK_PEER_THERE, SOCK_PEER_ENDED, SOCK_PEER_GONE };
enum sock_peer sock_peer(int fd);

/* Bytes sent on the socket that the peer's system has not acknowledged; 0 where that is not to be had. One system call; never waits. */
uint64_t sock_unsent(int fd);

/* Closes so that the peer sees a reset, not a clean end: for a message that had to be cut short. */
void sock_reset(int fd);
/* The first half of that: the close that follows will be a reset. */
void sock_linger_none(int fd);

/* Raises the soft descriptor limit to at least `wanted`, as far as the hard one lets it; returns what it is now. */
unsigned long sock_raise_limit(unsigned long wanted);

#endif
