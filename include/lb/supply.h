/*
 * What a running balancer must be given from outside: its configuration, and listening sockets. The program says by whom: by itself, or by
 * somebody with more rights than it has kept.
 */
#ifndef TPLB_LB_SUPPLY_H
#define TPLB_LB_SUPPLY_H

#include "ctl/activation.h"
#include "ctl/notify.h"
#include "ctl/office.h"
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
	/* For another process to take this one's place: as office_spawn, office_reap and office_hand_over say. Called in one thread at a time. */
	int (*spawn)(void *arg, int channel, pid_t *pid);
	int (*reap)(void *arg, pid_t pid, enum office_reap how);
	void (*hand_over)(void *arg, pid_t heir, bool reload);
};

/* By the program itself: lb_config_read, sock_listen, notify_send, the office. The socket files of what a service manager has opened stay. */
struct supply_source {
	const struct activation *given;
	struct office *office;
};
struct supply supply_direct(const struct supply_source *source);

#endif
