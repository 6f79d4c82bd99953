#include "lb/supply.h"

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
	(void)arg;
	if (l->addr.u.any.sa_family == AF_UNIX)
		unlink(l->addr.u.un.sun_path);
}

const struct supply supply_direct = {.read = read_file, .listen = listen_at, .remove = remove_file};
