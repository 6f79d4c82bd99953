/* Names to addresses and SRV records. Each call blocks until the name servers have answered or were given up, for seconds at worst. */
#ifndef TPLB_NET_RESOLVE_H
#define TPLB_NET_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"

enum {
	RESOLVE_MAX = 1024, /* records of one answer that are looked at */
	RESOLVE_NAME_MAX =
	        256 /* a host's name with the NUL; what is longer is none (RFC 1035 section 2.3.4) */
};

/* One SRV record (RFC 2782). */
struct srv_record {
	unsigned priority; /* the lowest is to be asked first */
	unsigned weight;   /* its share among those of its priority; 0: hardly any */
	unsigned port;
	char target
	        [RESOLVE_NAME_MAX]; /* without the dot at the end; "": the service is decidedly not offered */
};

/*
 * The addresses of a host, with this port, in the order of the answer: the IPv4 ones, or where it has none the IPv6 ones. nameserver: asked
 * for A and AAAA records, and nobody else; NULL: the system's way (getaddrinfo: /etc/hosts, search domains and all). out holds `max`.
 * Returns how many; 0 on failure, *why is then a static text.
 */
unsigned resolve_host(const struct addr *nameserver, const char *host, unsigned port, struct addr *out,
        unsigned max, const char **why);

/* The SRV records of a name, likewise; nameserver NULL: those of /etc/resolv.conf, without its search domains. */
unsigned resolve_srv(const struct addr *nameserver, const char *name, struct srv_record *out, unsigned max,
        const char **why);

/* What a DNS message's answer section says: A records (ipv6: AAAA), or SRV records. Records of other types are passed over; 0 where it is malformed. */
unsigned resolve_parse_addresses(
        const unsigned char *message, size_t len, bool ipv6, unsigned port, struct addr *out, unsigned max);
unsigned resolve_parse_srv(const unsigned char *message, size_t len, struct srv_record *out, unsigned max);

#endif
