/* Gets a connection to a server. Retries lie here, before any byte of the request was sent. */
#ifndef TPLB_LB_DIAL_H
#define TPLB_LB_DIAL_H

#include "lb/exchange.h"

enum dial_end {
	DIAL_DONE,
	DIAL_NONE,    /* there is none to ask */
	DIAL_FAILED,  /* none could be connected to */
	DIAL_BUSY,    /* all have what they may have, and there is no room to wait */
	DIAL_SHELVED, /* likewise, and it waits (lb/shelf.h): the exchange is no longer the caller's */
};

/*
 * Picks a server and leases a connection to it (x->server, x->fd, x->reused). A server that cannot be reached is skipped;
 * each is tried once.
 */
enum dial_end dial(struct exchange *x);

/* What the client is told where it is neither DIAL_DONE nor DIAL_SHELVED. */
static inline enum exchange_end dial_refusal(enum dial_end end)
{
	return end == DIAL_BUSY ? END_SERVER_BUSY : end == DIAL_FAILED ? END_CONNECT_FAILED : END_NO_SERVER;
}

/* It was on the shelf and was given a place with x->server: connects. */
enum dial_end dial_shelved(struct exchange *x);

/* Whether the request may be sent once more after its kept connection failed: RFC 9110 section 9.2.2, and no byte of an answer came. */
bool dial_may_repeat(const struct exchange *x);

/* Whether it may be sent twice at all: an idempotent method (RFC 9110 section 9.2.2), and no body that is used up. */
bool dial_is_repeatable(const struct exchange *x);

/* x->server has lost the request that it was given: gives its connection up and goes to a server that has not lost it yet. DIAL_SHELVED never. */
enum dial_end dial_other(struct exchange *x);

/* A fresh connection to x->server, (or, when that can't be reached, another server) in place of one that turned out to be closed. False: none is to be had, x->end and x->status say so. */
bool dial_again(struct exchange *x);

/* The server could not be reached, or failed the request; what: as standing_failed has it. */
void dial_server_failed(struct exchange *x, struct server *s, const char *what);

/* Done with the server's connection: it is kept when x->server_reusable, else closed. */
void dial_release(struct exchange *x);

#endif
