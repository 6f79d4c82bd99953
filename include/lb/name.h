/*
 * A name in place of a server's address: a host's ("origin.example:80"), or one with SRV records ("srv:_http._tcp.origin.example"). What is
 * found under it fills `slots` servers, of which some may be empty. Here is who comes into which slot; nothing here knows threads.
 */
#ifndef TPLB_LB_NAME_H
#define TPLB_LB_NAME_H

#include <stdbool.h>

#include "net/addr.h"
#include "net/resolve.h"

enum {
	NAME_TEXT_MAX = RESOLVE_NAME_MAX + 8,  /* as configured: with "srv:", or a port */
	TARGET_KEY_MAX = RESOLVE_NAME_MAX + 8, /* with a port */
	SHARE_FULL = 256
};

/* Whether text is "srv:NAME" rather than an address. */
bool name_is_srv(const char *text);
/* Behind "srv:" and the labels that begin with an underscore: the domain whose service it is. */
const char *name_srv_domain(const char *text);

/* Constant. It holds all that a lookup needs: one that hangs may be left alone with it. */
struct name {
	char text[NAME_TEXT_MAX]; /* as configured */
	char host[RESOLVE_NAME_MAX];
	unsigned port; /* of a host */
	bool is_srv;
	unsigned slots;         /* 1: a host has one address, whichever of those found */
	struct addr nameserver; /* len 0: the system's */
};

/* text: checked by lb_config_read. nameserver: len 0: the system's. */
void name_init(struct name *n, const char *text, unsigned slots, const struct addr *nameserver);

/* What a slot holds, or what was found. */
struct target {
	char key[TARGET_KEY_MAX]; /* tells it from the others: an SRV record's host and port, an address, the host's name; "": an empty slot */
	struct addr addr; /* found, but not known: len 0 */
	unsigned share;   /* of SHARE_FULL: an SRV record's weight next to the heaviest one's; at least 1 */
};

/* How a lookup went. */
struct lookup {
	const char *why;     /* it failed, or left some unresolved; else NULL */
	unsigned left_out;   /* targets for which no slot was left */
	unsigned unresolved; /* targets of SRV records whose own name could not be resolved */
};

/*
 * Looks the name up (blocking) and brings its slots up to date; all of them empty before the first time. Who is still there stays in its
 * slot and keeps its address as long as that is among those found. False: nothing was found, and the slots stay as they are. Of SRV records
 * those of the lowest priority value count. An SRV record whose target is "." empties all slots: the service is not offered (RFC 2782).
 */
bool name_look_up(const struct name *n, struct target *slots, struct lookup *result);

/* The parts of it, for tests. Targets to slots, returns how many were left out: */
unsigned name_assign(struct target *slots, unsigned slot_count, const struct target *found, unsigned count);
/* SRV records to targets without addresses, of one priority, in an order that does not depend on the answer's. Returns how many; records are sorted. */
unsigned name_targets(struct srv_record *records, unsigned count, struct target *out);

#endif
