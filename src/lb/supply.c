#include "lb/supply.h"

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

const struct supply supply_direct = {.read = read_file, .listen = listen_at};
