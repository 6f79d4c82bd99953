/*
 * Sticky sessions: a cookie names the server that a client's session lives on, and the client's requests go there as long as that
 * server is up or draining, whatever the policy. A client without it, or whose server is gone, gets it with its next answer.
 */
#ifndef TPLB_LB_STICKY_H
#define TPLB_LB_STICKY_H

#include "lb/exchange.h"

enum { STICKY_COOKIE_MAX = 512 };

/* The server that the request's cookie names; NULL: none, or it is not of this upstream. The first cookie of the name counts (RFC 6265 section 5.4). */
struct server *sticky_server(const struct exchange *x);

/*
 * The value of a Set-Cookie field (RFC 6265 section 4.1) for the answer of x->server, into out; its length. 0: the client has the right one,
 * or keeps the one that it has because its server is only busy.
 */
size_t sticky_cookie(const struct exchange *x, char out[STICKY_COOKIE_MAX]);

#endif
