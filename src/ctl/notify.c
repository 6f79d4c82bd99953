#include "ctl/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

enum { NS_PER_US = 1000, PATIENCE_S = 2 };

/* waits: for room, for a moment; what a manager acts by must not be lost because it has much to hear. */
static int send_to(const char *path, const char *text, bool waits)
{
	const struct timeval limit = {.tv_sec = PATIENCE_S};
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || len >= sizeof(at.sun_path))
		return -EINVAL;
	memcpy(at.sun_path, path, len);
	if (at.sun_path[0] == '@')
		at.sun_path[0] = '\0'; /* an abstract name: its length counts, and no NUL ends it */
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	int flags = MSG_NOSIGNAL;
	if (!waits || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0)
		flags |= MSG_DONTWAIT;
	ssize_t n = sendto(fd, text, strlen(text), flags, (const struct sockaddr *)&at, size);
	int error = n < 0 ? -errno : 0;
	close(fd);
	return error;
}

int notify_send(enum notice notice)
{
	static const char *const texts[NOTICE_COUNT] = {[NOTICE_READY] = "READY=1",
	        [NOTICE_RELOADING] = "RELOADING=1",
	        [NOTICE_STOPPING] = "STOPPING=1",
	        [NOTICE_ALIVE] = "WATCHDOG=1"};
	const char *path = getenv("NOTIFY_SOCKET");
	char text[64];

	if (!path || !path[0])
		return 0;
	/* systemd 253 wants to know when, to tell this reload from an earlier one. */
	if (notice == NOTICE_RELOADING)
		snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_now() / NS_PER_US);
	else
		snprintf(text, sizeof(text), "%s", texts[notice]);
	return send_to(path, text, notice != NOTICE_ALIVE);
}

int notify_send_main(pid_t pid)
{
	const char *path = getenv("NOTIFY_SOCKET");
	char text[64];

	if (!path || !path[0])
		return 0;
	/* In one, so that none of it comes before the manager knows whom to hear. */
	snprintf(text, sizeof(text), "MAINPID=%d\nREADY=1\nWATCHDOG=1", (int)pid);
	return send_to(path, text, true);
}

static long long number_of(const char *name)
{
	const char *text = getenv(name);
	char *end;

	if (!text || !text[0])
		return -1;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' ? n : -1;
}

int64_t notify_interval(void)
{
	long long us = number_of("WATCHDOG_USEC"), pid = number_of("WATCHDOG_PID");

	if (us <= 0 || us > INT64_MAX / NS_PER_US || (pid >= 0 && pid != getpid()))
		return 0;
	return us * NS_PER_US / 2;
}
