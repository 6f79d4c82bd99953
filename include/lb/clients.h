/* How many requests each client has under way, or connections: for limits.requests_per_client and connections_per_client, exact over all workers and loops. */
#ifndef TPLB_LB_CLIENTS_H
#define TPLB_LB_CLIENTS_H

#include <stdbool.h>

#include "net/addr.h"

struct clients;
struct client;

/* limit: requests of one client at once, > 0. expected: clients at once, for the table's size; more are possible. NULL when memory is out, or random bytes. */
struct clients *clients_new(unsigned limit, unsigned expected);
/* The same table for one more owner. */
struct clients *clients_share(struct clients *cs);
/* Another limit from now on, for all owners. */
void clients_set_limit(struct clients *cs, unsigned limit);
/* By each owner; with the last one all have left. NULL is allowed. */
void clients_free(struct clients *cs);

/*
 * One request more for the address (without its port; addr_ip_site), *client is what clients_leave gets. False: it has as many as it may.
 * When memory is out the request passes uncounted, *client is NULL. Any thread.
 */
bool clients_enter(struct clients *cs, const struct addr_ip *site, struct client **client);
/* That request is over. NULL is allowed. Any thread. */
void clients_leave(struct clients *cs, struct client *client);

#endif
