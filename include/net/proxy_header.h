/*
 * The header that one proxy puts before a connection's bytes to tell the next one whose connection it is: PROXY protocol, versions 1 (a line of text)
 * and 2 (binary). Source: W. Tarreau, "The PROXY protocol, versions 1 & 2", doc/proxy-protocol.txt of HAProxy. Knows no sockets.
 */
#ifndef TPLB_NET_PROXY_HEADER_H
#define TPLB_NET_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "net/addr.h"

/* The longest header that is taken, in bytes. A v1 line has at most 107; what a v2 header has beyond that are TLVs. */
enum { PROXY_HEADER_MAX = 4096 };

struct proxy_header {
	unsigned version; /* 1 or 2 */
	/*
	 * Whether `source` and `destination` are set: the client's address and the one that it connected to. Otherwise the connection's own addresses count:
	 * it is the sender's own (LOCAL: a probe, say), or a client's of whom the sender cannot tell (UNKNOWN, UNSPEC, datagrams).
	 */
	bool relayed;
	struct addr source;
	struct addr destination;
	size_t size; /* bytes of the header; the connection's own begin behind them */
};

enum proxy_fault {
	PROXY_OK,
	PROXY_MORE,          /* no fault: the header is not complete */
	PROXY_BAD_SIGNATURE, /* neither version begins so */
	PROXY_BAD_LINE,      /* v1: no CRLF within 107 bytes, or a bare CR or LF before it */
	PROXY_BAD_VERSION,   /* v2: of the header */
	PROXY_BAD_COMMAND,   /* v2: neither LOCAL nor PROXY */
	PROXY_BAD_FAMILY,    /* v1: not TCP4, TCP6, UNKNOWN; v2: of the address or the transport */
	PROXY_BAD_ADDRESS,   /* v1: not in canonical form */
	PROXY_BAD_PORT,      /* v1: not 0 to 65535, or with leading zeros */
	PROXY_BAD_LENGTH,    /* v2: longer than PROXY_HEADER_MAX, or too short for its addresses */
	PROXY_BAD_TLV, /* v2: one that does not end with the header, or a checksum that has not 4 bytes or is there twice */
	PROXY_BAD_CHECKSUM, /* v2: the CRC32c that the sender wrote is not this header's */
	PROXY_FAULT_COUNT
};

/* One word for logs, e.g. "bad_signature". */
const char *proxy_fault_word(enum proxy_fault fault);

/*
 * Looks at bytes[0, len), the front of a connection as far as it has come. PROXY_OK: *header is set. PROXY_MORE: call again with all of the bytes when there
 * are more; whatever comes first of the end of a v1 line and PROXY_HEADER_MAX bytes decides. Anything else is final, and known as early as the bytes tell: the
 * connection is to be closed. Strict: what is not exactly the protocol is refused. TLVs are skipped but for a checksum, which is compared; those of a
 * header without addresses are ignored with its whole block (section 2.2). A Unix address' path has at most 107 bytes here, a longer one is cut.
 */
enum proxy_fault proxy_header_parse(const char *bytes, size_t len, struct proxy_header *header);

/* The longest header that is written: v2 with two Unix addresses. */
enum { PROXY_HEADER_WRITE_MAX = 232 };

/*
 * Writes the header of `version`, 1 or 2, for a connection from source to destination; returns its length. Where only one is IPv4 it is written as an
 * IPv4-mapped IPv6 address. Addresses that the version cannot express, and NULL: LOCAL (v2), UNKNOWN (v1).
 */
size_t proxy_header_write(unsigned version, const struct addr *source, const struct addr *destination,
        char out[PROXY_HEADER_WRITE_MAX]);

#endif
