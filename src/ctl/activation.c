#include "ctl/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/diag.h"

enum { FIRST = 3 /* the protocol's: after the standard three */ };

static long number_of(const char *name)
{
	const char *text = getenv(name);
	char *end;

	if (!text || !text[0])
		return -1;
	errno = 0;
	long n = strtol(text, &end, 10);
	return errno == 0 && *end == '\0' ? n : -1;
}

bool activation_listens(int fd)
{
	int listens = 0, type = 0;
	socklen_t len = sizeof(listens);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0)
		return false;
	len = sizeof(type);
	return listens && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static void add(struct activation *a, int fd)
{
	struct addr at = {.len = sizeof(at.u)};
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return; /* not open: then it is not ours */
	if (a->count == ACTIVATION_MAX || !activation_listens(fd) ||
	        getsockname(fd, &at.u.any, &at.len) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
	        fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
		diag_warning("socket activation: descriptor %d is no stream socket that listens", fd);
		close(fd);
		return;
	}
	a->sockets[a->count++] = (struct activated){.fd = fd, .at = at, .managed = true};
}

void activation_take(struct activation *a)
{
	long pid = number_of("LISTEN_PID"), count = number_of("LISTEN_FDS");

	if (pid == getpid())
		for (int fd = FIRST; count > 0; count--, fd++)
			add(a, fd);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

int activation_find(struct activation *a, const struct addr *at)
{
	for (unsigned i = 0; i < a->count; i++) {
		int fd = a->sockets[i].fd;

		if (fd < 0 || a->sockets[i].role[0] || !addr_equal(&a->sockets[i].at, at))
			continue;
		a->sockets[i].fd = -1;
		return fd;
	}
	return -1;
}

static bool has_role(const struct activated *s, const char *role, const struct addr *at)
{
	return strcmp(s->role, role) == 0 && addr_equal(&s->at, at);
}

int activation_inherit(
        struct activation *a, const char *role, const char *name, const struct addr *at, bool *managed)
{
	bool any_port = at->u.any.sa_family != AF_UNIX && addr_port(at) == 0;

	for (unsigned i = 0; i < a->count; i++) {
		struct activated *s = &a->sockets[i];
		int fd = s->fd;

		if (fd < 0 || !has_role(s, role, at) ||
		        (any_port && strncmp(s->name, name, sizeof(s->name) - 1) != 0))
			continue;
		s->fd = -1;
		*managed = s->managed;
		return fd;
	}
	return -1;
}

bool activation_is_inherited(const struct activation *a, const char *role, const struct addr *at)
{
	for (unsigned i = 0; i < a->count; i++)
		if (has_role(&a->sockets[i], role, at))
			return true;
	return false;
}

void activation_end(struct activation *a)
{
	char text[ADDR_TEXT_MAX];

	for (unsigned i = 0; i < a->count; i++) {
		if (a->sockets[i].fd < 0 || a->sockets[i].role[0])
			continue;
		diag_warning(
		        "socket activation: no listener binds %s, which is closed: its ListenStream= and "
		        "`bind` must say the same",
		        addr_format(&a->sockets[i].at, text));
		close(a->sockets[i].fd);
		a->sockets[i] = (struct activated){.fd = -1};
	}
}

bool activation_gave(const struct activation *a, const struct addr *at)
{
	for (unsigned i = 0; i < a->count; i++)
		if (a->sockets[i].managed && addr_equal(&a->sockets[i].at, at))
			return true;
	return false;
}
