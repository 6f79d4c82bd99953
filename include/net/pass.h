/*
 * Messages with at most one descriptor each, between two processes of ours, over a Unix socket that keeps messages apart (SOCK_SEQPACKET). Blocking:
 * for a parent and its child, not for requests.
 */
#ifndef TPLB_NET_PASS_H
#define TPLB_NET_PASS_H

#include <sys/types.h>

/* Sends one message; fd, unless -1, goes along and stays the caller's. Returns 0 or -errno. */
int pass_send(int sock, const void *bytes, size_t len, int fd);

/* The same without a descriptor, and without waiting for room. */
int pass_send_now(int sock, const void *bytes, size_t len);

/*
 * Receives one message of at most `room` bytes. Its length; 0: the other side is gone; or -errno, -EMSGSIZE for one that is longer. *fd: what came
 * along, close-on-exec, the caller's; -1: nothing.
 */
ssize_t pass_recv(int sock, void *bytes, size_t room, int *fd);

#endif
