#include "lb/supply.h"

#include <stdint.h>
#include <unistd.h>

#include "lb/needs.h"
#include "net/sock.h"

static struct lb_config *read_file(void *arg, const char *file)
{
	(void)arg;
	return lb_config_read(file);
}

static int listen_at(void *arg, const struct lb_config_listener *l)
{
	(void)arg;
	return sock_listen(&l->addr, LB_BACKLOG);
}

static void remove_file(void *arg, const struct lb_config_listener *l)
{
	const struct activation *given = arg;

	if (l->addr.u.any.sa_family == AF_UNIX && !activation_gave(given, &l->addr))
		unlink(l->addr.u.un.sun_path);
}

static void notify(void *arg, enum notice notice)
{
	(void)arg;
	(void)notify_send(notice); /* who does not hear it asks for it no more */
}

struct supply supply_direct(const struct activation *given)
{
	return (struct supply){.arg = (void *)(uintptr_t)given,
	        .read = read_file,
	        .listen = listen_at,
	        .remove = remove_file,
	        .notify = notify};
}
