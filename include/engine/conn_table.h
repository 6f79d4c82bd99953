/*
 * The records of all connections. They are made as needed, never freed before the end, and found by index, so that
 * an event that comes late meets a record, if one of another life. Taken by the acceptor, given back by anyone.
 */
#ifndef TPLB_ENGINE_CONN_TABLE_H
#define TPLB_ENGINE_CONN_TABLE_H

#include "engine/conn.h"

enum { CONN_CHUNK = 256 };

struct conn_table {
	unsigned limit; /* records at most */
	_Atomic unsigned
	        made; /* records that exist, and their chunks; release by the acceptor, acquire by others */
	struct conn *
	        *chunks;   /* written by the acceptor before the record's first use; entries then constant */
	struct conn *free; /* acceptor */
	_Atomic(struct conn *)
	        given_back; /* a stack: pushed by anyone (release), taken whole by the acceptor (acquire) */
	_Atomic unsigned open; /* relaxed: taken and not yet collected, for readers elsewhere */
	_Atomic unsigned
	        *total;  /* relaxed: the same over all tables of the engine, and who is about to take one */
	struct lot *lot; /* constant: whose records they are */
};

/* total: see there; it outlives the table. False when memory is out. */
bool conn_table_init(struct conn_table *t, unsigned limit, struct lot *lot, _Atomic unsigned *total);
void conn_table_free(struct conn_table *t);

/* Acceptor, who has counted it in *total: a fresh record in state BUSY, or NULL at the limit or without memory. */
struct conn *conn_table_take(struct conn_table *t);

/* Anyone who owns the connection: its descriptor is closed already; `in` is freed here. The record must not be touched any more. */
void conn_table_give_back(struct conn_table *t, struct conn *c);

/* Acceptor: makes what was given back free again, clearing its timer. Returns how many. */
unsigned conn_table_collect(struct conn_table *t, struct timers *timers);

static inline unsigned conn_table_made(const struct conn_table *t)
{
	return atomic_load_explicit(&t->made, memory_order_acquire);
}

/* The record with this index; index < made. */
static inline struct conn *conn_table_at(const struct conn_table *t, uint32_t index)
{
	return &t->chunks[index / CONN_CHUNK][index % CONN_CHUNK];
}

/* Acceptor: the connection that has been parked longest, now in state CLOSING and the caller's; NULL when none is parked. */
struct conn *conn_table_claim_oldest(struct conn_table *t);

#endif
