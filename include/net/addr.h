/* Addresses of listeners, servers and peers: IPv4, IPv6, Unix sockets, and names. */
#ifndef TPLB_NET_ADDR_H
#define TPLB_NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/str.h"

/* One resolved address. */
struct addr {
	socklen_t len; /* of the part of `u` in use; 0: none */
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} u;
};

/* A client's or server's IP in 20 bytes, for records of which there are thousands. family 0: a Unix socket. */
struct addr_ip {
	unsigned char bytes[16];
	in_port_t port; /* network order */
	sa_family_t family;
};

/* Longest text that addr_format and addr_ip_format write, with the NUL. */
enum { ADDR_TEXT_MAX = 128 };

/*
 * "1.2.3.4:80", "[::1]:80", "unix:/run/x.sock", "*:80" and ":80" (any IPv4 address, listeners only), "name:80".
 * Port 0 (any free one) for listeners only. "[fe80::1%eth0]:80" names the interface of a link-local address.
 * Resolves a name with getaddrinfo, which may block for seconds: at start only. The first address is taken,
 * IPv4 before IPv6. On failure returns false and sets *why to a static or getaddrinfo's text.
 */
bool addr_parse(const char *text, bool listening, struct addr *out, const char **why);

/* Two addresses that a host cannot listen on both: the same, or one is the wildcard of the other's family and port. */
bool addr_collides(const struct addr *a, const struct addr *b);

/* The same address and port, or path. */
bool addr_equal(const struct addr *a, const struct addr *b);

/* Whether text could be a host's name (RFC 1123 section 2.1, and '_' for DNS use), without a port. */
bool addr_is_name(const char *text);

/* Syntax only: as above without resolving anything. *is_name (may be NULL): a name that needs resolving. */
bool addr_check(const char *text, bool listening, bool *is_name, const char **why);

/* "1.2.3.4:80", "[::1]:80", "unix:/run/x.sock". Returns out. */
const char *addr_format(const struct addr *a, char out[ADDR_TEXT_MAX]);
/* The port in host order; 0 for a Unix socket. */
unsigned addr_port(const struct addr *a);

/* An IPv4-mapped IPv6 address (a client of a listener on [::]) becomes the IPv4 address that it is. */
struct addr_ip addr_ip_of(const struct addr *a);
/* The other way round; family 0 is a Unix socket without a path. */
struct addr addr_of_ip(const struct addr_ip *ip);
/*
 * Whom limits count as one client: an IPv4 address, or an IPv6 address' /64, all of which one host may use (RFC 4291 section 2.5.1, RFC 6177); all
 * clients of Unix sockets. No port; every other byte is 0.
 */
struct addr_ip addr_ip_site(const struct addr_ip *ip);
/* The address without its port: "1.2.3.4", "::1", "unix:". Returns the length written. */
size_t addr_ip_format(const struct addr_ip *ip, char out[ADDR_TEXT_MAX]);

/* A block of addresses, "10.0.0.0/8", "::1" (a single one) or "unix:". */
struct addr_block {
	unsigned char bytes[16];
	unsigned bits;
	sa_family_t family; /* 0: Unix sockets */
};
/* Bits of the address beyond the block's length are cleared. */
bool addr_block_parse(const char *text, struct addr_block *out);
/* An IPv4-mapped IPv6 address counts as IPv4. */
bool addr_block_has(const struct addr_block *block, const struct addr_ip *ip);

#endif
