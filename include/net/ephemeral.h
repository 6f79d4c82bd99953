/* The ports that the system gives to outgoing connections (ip(7): ip_local_port_range, ip_local_reserved_ports). */
#ifndef TPLB_NET_EPHEMERAL_H
#define TPLB_NET_EPHEMERAL_H

#include <stdbool.h>

struct ephemeral {
	unsigned first, last;
	char reserved[4096]; /* such as "8080,9000-9005": not given out though they lie in between */
};

/* root: stands before /proc; "" but in tests. False when the system does not tell. */
bool ephemeral_read(struct ephemeral *e, const char *root);

/* Whether an outgoing connection may get the port. */
bool ephemeral_has(const struct ephemeral *e, unsigned port);

/* How many ports there are: so many connections can be open to one address and port of a server. */
unsigned ephemeral_count(const struct ephemeral *e);

#endif
