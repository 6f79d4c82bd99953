/*
 * max_connections: a server gets so many requests at once, exactly, over all workers and loops. Who finds all servers full waits
 * on the upstream's shelf, and holds no worker: an exchange in a bounded queue, under the discipline and the timeout of the queue before the workers.
 *
 * A lease that ends goes to who is next on the shelf, server and all, without ever being free. So who waits is hardly ever overtaken: only by one who comes at the moment when a server gets room in
 * another way (it came up, or starts slowly).
 *
 * A server that just refused a connection is given nobody for a moment: those who wait are not run against it one after the other.
 *
 * No wake-up is lost: who goes on the shelf is put there and then looks for a server with room; who ends a lease lowers
 * server.load and then looks at the shelf. All of these are sequentially consistent, so one of the two sees the other.
 */
#ifndef TPLB_LB_SHELF_H
#define TPLB_LB_SHELF_H

#include "lb/exchange.h"

/* A lease on a server with a limit; false: it is full. A server that starts slowly has room for less. Any thread. */
bool shelf_lease(struct server *s);

/* The end of one. */
void shelf_end_lease(struct lb *lb, struct upstream *u, struct server *s);

/* All servers are full: the exchange waits, and is no longer the caller's. False: there is no room, it is. */
bool shelf_put(struct exchange *x);

/*
 * Refuses those that have waited for too long, and gives away what became free otherwise (a server came up). When to call it again. By one
 * thread.
 */
int64_t shelf_tick(struct lb *lb, struct upstream *u, int64_t now);

#endif
