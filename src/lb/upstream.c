#include "lb/upstream.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/sock.h"

/* An idle connection that was not needed for so long is closed. */
#define IDLE_MAX_NS (60 * CLOCK_NS_PER_S)

int server_take_idle(struct server *s, int64_t now, int64_t max_idle, unsigned *stale)
{
	*stale = 0;
	for (;;) {
		lock_take(&s->lock);
		if (s->idle_count == 0 || now - s->idle[s->idle_count - 1].since > max_idle) {
			lock_drop(&s->lock); /* the top is the youngest: the rest is older still */
			return -1;
		}
		int fd = s->idle[--s->idle_count].fd;
		lock_drop(&s->lock);
		if (sock_is_quiet(fd))
			return fd;
		close(fd); /* closed by the server, or it sent what nobody asked for (RFC 9112 section 9.2) */
		(*stale)++;
	}
}

void server_keep(struct server *s, int fd, int64_t now)
{
	int surplus = -1;

	lock_take(&s->lock);
	/* The bottom of the stack is used only under more load than there was for long: let it go. */
	if (s->idle_count > 0 && now - s->idle[0].since > IDLE_MAX_NS) {
		surplus = s->idle[0].fd;
		memmove(&s->idle[0], &s->idle[1], --s->idle_count * sizeof(s->idle[0]));
	}
	if (s->idle_count < s->keepalive) {
		s->idle[s->idle_count++] = (struct idle){fd, now};
		fd = -1;
	}
	lock_drop(&s->lock);
	if (surplus >= 0)
		close(surplus);
	if (fd >= 0)
		close(fd);
}

void server_close_idle(struct server *s)
{
	lock_take(&s->lock);
	while (s->idle_count > 0)
		close(s->idle[--s->idle_count].fd);
	lock_drop(&s->lock);
}
