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
	const struct supply_source *s = arg;

	if (l->addr.u.any.sa_family == AF_UNIX && !activation_gave(s->given, &l->addr))
		unlink(l->addr.u.un.sun_path);
}

static void notify(void *arg, enum notice notice)
{
	(void)arg;
	(void)notify_send(notice); /* who does not hear it asks for it no more */
}

static int spawn(void *arg, int channel, pid_t *pid)
{
	const struct supply_source *s = arg;

	return office_spawn(s->office, channel, pid);
}

static int reap(void *arg, pid_t pid, enum office_reap how)
{
	const struct supply_source *s = arg;

	return office_reap(s->office, pid, how);
}

static void hand_over(void *arg, pid_t heir, bool reload)
{
	const struct supply_source *s = arg;

	office_hand_over(s->office, heir, reload);
}

struct supply supply_direct(const struct supply_source *source)
{
	return (struct supply){.arg = (void *)(uintptr_t)source,
	        .read = read_file,
	        .listen = listen_at,
	        .remove = remove_file,
	        .notify = notify,
	        .spawn = spawn,
	        .reap = reap,
	        .hand_over = hand_over};
}
