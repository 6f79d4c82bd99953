/*
 * What a running balancer must be given from outside: its configuration, and listening sockets. The program says by whom: by itself, or by
 * somebody with more rights than it has kept.
 */
#ifndef TPLB_LB_SUPPLY_H
#define TPLB_LB_SUPPLY_H

#include "ctl/activation.h"
#include "ctl/notify.h"
#include "lb/config.h"

struct supply {
	void *arg;
	/*
	 * Reads and checks FILE as lb_config_read does: names are not looked up, mistakes are in (*config)->conf. NULL when memory is out, or it cannot be
	 * had at all. The caller frees it with lb_config_free. Called in one thread at a time; may wait for the disk.
	 */
	struct lb_config *(*read)(void *arg, const char *file);
	/*
	 * A non-blocking, listening socket bound to l->addr, the caller's; or -errno: -EADDRINUSE, -EACCES, -EADDRNOTAVAIL and so on. A socket file
	 * that nobody answers at is replaced. Called in one thread at a time.
	 */
	int (*listen)(void *arg, const struct lb_config_listener *l);
	/* Removes the socket file of a listener that is closed; does nothing where it has none. */
	void (*remove)(void *arg, const struct lb_config_listener *l);
	/* Tells the service manager, if there is one. Any thread. */
	void (*notify)(void *arg, enum notice notice);
};

/* By the program itself: lb_config_read, sock_listen, notify_send. The socket files of what a service manager has opened stay. */
struct supply supply_direct(const struct activation *given);

#endif
