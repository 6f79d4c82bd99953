/* One look at a server: does it take a connection, does it answer as it should. */
#ifndef TPLB_LB_PROBE_H
#define TPLB_LB_PROBE_H

#include "lb/config.h"
#include "net/io.h"

enum { PROBE_WHY_MAX = 128 };

/*
 * `proxy`, an enum lb_send_proxy: the connection begins with a PROXY protocol header that says that it is ours: LOCAL in version 2. In version 1 it names the
 * connection's own addresses, since servers may refuse UNKNOWN (section 2.1).
 */

/* A connection is opened and closed again. False: why[] tells. */
bool probe_tcp(struct io *io, const struct addr *to, int proxy, int64_t deadline, char why[PROBE_WHY_MAX]);

/*
 * A request is sent, and the answer's status and, if that is asked for, its body are looked at. host: the Host field where the
 * configuration names none. False: why[] tells.
 */
bool probe_http(struct io *io, const struct addr *to, int proxy, const struct lb_config_health *how,
        const char *host, int64_t deadline, char why[PROBE_WHY_MAX]);

#endif
