/*
 * Closing without losing the last answer (RFC 9112 section 9.6): a connection with unread input that is closed is reset, and
 * the reset may destroy what the client has not read yet. So one thread says "no more" (FIN), reads what still comes
 * and throws it away, until the client closes or a time is over. Never on the acceptor or a worker.
 */
#ifndef TPLB_ENGINE_LINGERER_H
#define TPLB_ENGINE_LINGERER_H

#include "engine/conn_table.h"

struct lingerer;

/* Starts the thread. `done` is called (in that thread) for each connection that is to be closed and given back. NULL: *error is an errno. */
struct lingerer *lingerer_start(const char *name, void (*done)(struct conn *c), int *error);

/* Takes the connection over; it is in state BUSY or CLOSING and leaves `epoll`, where it was watched (-1: nowhere). Any thread, never waits. */
void lingerer_add(struct lingerer *l, struct conn *c, int epoll);

/* Closes what still lingers, joins the thread, frees. */
void lingerer_stop(struct lingerer *l);

#endif
