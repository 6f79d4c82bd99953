#include "ctl/desk.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "net/sock.h"

#define STOP_PATIENCE_NS (500 * CLOCK_NS_PER_MS)
#define RETRY_NS (100 * CLOCK_NS_PER_MS) /* after an accept that failed, for want of descriptors */
#define LINGER_NS (2 * CLOCK_NS_PER_S)

/* The thread's alone once that runs. */
struct desk {
	struct desk_rules rules;
	void *arg;
	struct addr at;
	struct stat file; /* as it was made */
	bool has_file;
	int listener;
	int wake;           /* eventfd, non-blocking: the thread is to end, or to look at `keeps` again */
	_Atomic bool ends;  /* relaxed, told by `wake` */
	int ended;          /* eventfd: it has ended */
	_Atomic bool keeps; /* relaxed: the socket is ours to accept from, and its file to remove */
	int64_t accept_at;
	struct desk_peer *peers; /* [place] */
	char *inputs;            /* rules.room bytes a place */
	struct pollfd *fds;      /* [2 + place] */
	bool runs;
	pthread_t thread;
};

static void drop(struct desk *d, struct desk_peer *p)
{
	if (p->feed)
		d->rules.gone(d->arg, p);
	p->feed = NULL;
	close(p->fd);
	free(p->out);
	p->fd = -1;
	p->out = NULL;
}

void desk_answer(struct desk_peer *p, size_t used, char *out, size_t len)
{
	p->out = out;
	p->out_len = len;
	p->out_sent = 0;
	if (!out)
		p->leave = true;
	p->in_len -= used;
	memmove(p->in, p->in + used, p->in_len);
	p->since = clock_now();
}

/* False: it has not taken all of it, or is gone. */
static bool send_answer(struct desk *d, struct desk_peer *p)
{
	while (p->out_sent < p->out_len) {
		ssize_t n = send(p->fd, p->out + p->out_sent, p->out_len - p->out_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno != EAGAIN)
				drop(d, p);
			return false;
		}
		p->out_sent += (size_t)n;
	}
	free(p->out);
	p->out = NULL;
	return true;
}

/* False: nothing came. */
static bool receive(struct desk *d, struct desk_peer *p)
{
	ssize_t n = recv(p->fd, p->in + p->in_len, d->rules.room - p->in_len, 0);

	if (n > 0)
		p->in_len += (size_t)n;
	else if (n == 0)
		p->ended = true;
	else if (errno != EAGAIN && errno != EINTR)
		drop(d, p);
	return p->fd >= 0 && n >= 0;
}

/* It has all that it gets. */
static void part(struct desk *d, struct desk_peer *p)
{
	if (p->ended || shutdown(p->fd, SHUT_WR) != 0) {
		drop(d, p);
		return;
	}
	p->lingers = true;
	p->since = clock_now();
}

static void throw_away(struct desk *d, struct desk_peer *p)
{
	p->in_len = 0;
	if (receive(d, p) && p->ended)
		drop(d, p);
}

/* Sends what it has to get, and answers one message of what it has said: others have messages, too. */
static void talk(struct desk *d, struct desk_peer *p)
{
	bool answered = false;

	p->goes_on = false;
	for (;;) {
		if (p->out && !send_answer(d, p))
			return;
		if (p->feed) /* when it is time */
			return;
		if (p->leave)
			break;
		if (answered && p->in_len > 0) {
			p->goes_on = true;
			return;
		}
		if (!d->rules.next(d->arg, p))
			break;
		answered = true;
	}
	if (p->leave)
		part(d, p);
	else if (p->ended)
		drop(d, p);
}

/* It is readable, or takes more, or has left amid an answer. */
static void attend(struct desk *d, struct desk_peer *p)
{
	if (p->lingers)
		throw_away(d, p);
	else if (p->feed && !p->out)
		drop(d, p);
	else if (p->out || p->goes_on || receive(d, p))
		talk(d, p);
}

static bool is_due(const struct desk_peer *p, int64_t now)
{
	return p->fd >= 0 && p->feed && !p->out && now >= p->feed_at;
}

static void feed(struct desk *d)
{
	int64_t now = clock_now();

	for (unsigned i = 0; i < d->rules.places; i++)
		if (is_due(&d->peers[i], now)) {
			d->rules.more(d->arg, &d->peers[i]);
			talk(d, &d->peers[i]);
		}
}

/* What is waited for; of one that waits for the next piece of its answer only that it leaves. */
static short events_of(const struct desk_peer *p)
{
	return p->out ? POLLOUT : p->feed || p->goes_on ? 0 : POLLIN;
}

/* Who gives up a place first: the greater. */
static int rank(const struct desk_peer *p)
{
	return p->fd < 0 ? 3 : p->lingers ? 2 : !p->out && !p->feed && !p->goes_on ? 1 : 0;
}

/* A free place, or one of somebody who has to go. */
static struct desk_peer *place(struct desk *d)
{
	struct desk_peer *best = &d->peers[0];

	for (unsigned i = 1; i < d->rules.places; i++) {
		struct desk_peer *p = &d->peers[i];

		if (rank(p) > rank(best) || (rank(p) == rank(best) && p->since < best->since))
			best = p;
	}
	if (rank(best) == 1 && d->rules.full)
		(void)send(best->fd, d->rules.full, strlen(d->rules.full), MSG_NOSIGNAL);
	if (best->fd >= 0)
		drop(d, best);
	return best;
}

static void accept_peer(struct desk *d)
{
	struct addr who;
	int fd = sock_accept(d->listener, &who);
	int64_t now = clock_now(); /* it was waited for: the turn may have begun long ago */

	if (fd >= 0) {
		struct desk_peer *p = place(d);
		char *in = d->inputs + (size_t)(p - d->peers) * d->rules.room;

		*p = (struct desk_peer){.fd = fd, .since = now, .in = in};
	} else if (fd != -EAGAIN && fd != -EINTR && fd != -ECONNABORTED) {
		d->accept_at = now + RETRY_NS;
	}
}

/* Drops who is late. When to look next: now, if somebody may have said more than was answered. */
static int64_t expire(struct desk *d, int64_t now)
{
	int64_t next = d->accept_at > now ? d->accept_at : CLOCK_NEVER;

	for (unsigned i = 0; i < d->rules.places; i++) {
		struct desk_peer *p = &d->peers[i];
		int64_t until = p->since + (p->lingers ? LINGER_NS : d->rules.patience);

		if (p->fd >= 0 && now >= until)
			drop(d, p);
		if (p->fd >= 0 && p->feed && !p->out && p->feed_at < until)
			until = p->feed_at;
		if (p->fd >= 0 && p->goes_on)
			until = now;
		if (p->fd >= 0 && until < next)
			next = until;
	}
	return next;
}

static bool keeps(const struct desk *d)
{
	return atomic_load_explicit(&d->keeps, memory_order_relaxed);
}

/* False: the thread is to end. */
static bool turn(struct desk *d)
{
	struct pollfd *fds = d->fds;
	eventfd_t told;
	int64_t now = clock_now(), until = expire(d, now);

	fds[0] = (struct pollfd){.fd = d->wake, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = now >= d->accept_at && keeps(d) ? d->listener : -1, .events = POLLIN};
	for (unsigned i = 0; i < d->rules.places; i++)
		fds[2 + i] = (struct pollfd){.fd = d->peers[i].fd, .events = events_of(&d->peers[i])};
	int ready = poll(fds, 2 + d->rules.places, clock_poll_ms(now, until));
	MUST(ready >= 0 || errno == EINTR || errno == ENOMEM);
	if (ready < 0)
		return true;
	if (fds[0].revents && eventfd_read(d->wake, &told) == 0 &&
	        atomic_load_explicit(&d->ends, memory_order_relaxed))
		return false;
	for (unsigned i = 0; i < d->rules.places; i++)
		if (fds[2 + i].revents || (d->peers[i].fd >= 0 && d->peers[i].goes_on))
			attend(d, &d->peers[i]);
	feed(d);
	if (fds[1].revents && keeps(d)) /* last: it may give a place to another descriptor */
		accept_peer(d);
	return true;
}

static void *desk_thread(void *arg)
{
	struct desk *d = arg;

	while (turn(d))
		continue;
	MUST(eventfd_write(d->ended, 1) == 0);
	return NULL;
}

static bool make_places(struct desk *d, unsigned places, size_t room)
{
	d->peers = calloc(places, sizeof(*d->peers));
	d->inputs = calloc(places, room);
	d->fds = calloc(2 + places, sizeof(*d->fds));
	for (unsigned i = 0; d->peers && i < places; i++)
		d->peers[i].fd = -1;
	return d->peers && d->inputs && d->fds;
}

struct desk *desk_open(
        int listener, const struct addr *at, bool file_stays, const struct desk_rules *rules, int *error)
{
	struct desk *d = calloc(1, sizeof(*d));

	*error = ENOMEM;
	if (!d) {
		close(listener);
		return NULL;
	}
	d->rules = *rules;
	d->at = *at;
	d->listener = listener;
	atomic_init(&d->keeps, true);
	d->has_file = !file_stays && at->u.any.sa_family == AF_UNIX;
	d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->ended = eventfd(0, EFD_CLOEXEC);
	if (d->wake < 0 || d->ended < 0 || (d->has_file && lstat(at->u.un.sun_path, &d->file) != 0))
		*error = errno;
	else if (make_places(d, rules->places, rules->room))
		return d;
	(void)desk_stop(d);
	return NULL;
}

int desk_start(struct desk *d, const char *name, const char *role, void *arg)
{
	char text[16]; /* the kernel's limit */

	d->arg = arg;
	int error = pthread_create(&d->thread, NULL, desk_thread, d);
	d->runs = error == 0;
	if (!d->runs)
		return error;
	snprintf(text, sizeof(text), "%.9s-%.5s", name, role);
	(void)pthread_setname_np(d->thread, text); /* a name is a convenience */
	return 0;
}

int desk_listener(const struct desk *d)
{
	return d->listener;
}

void desk_keep(struct desk *d, bool keep)
{
	atomic_store_explicit(&d->keeps, keep, memory_order_relaxed);
	MUST(eventfd_write(d->wake, 1) == 0);
}

void desk_leave(struct desk *d)
{
	if (!d)
		return;
	close(d->listener);
	if (d->wake >= 0)
		close(d->wake);
	if (d->ended >= 0)
		close(d->ended);
	free(d->peers);
	free(d->inputs);
	free(d->fds);
	free(d);
}

/* False: it has not ended in time. */
static bool end_thread(struct desk *d)
{
	struct pollfd ended = {.fd = d->ended, .events = POLLIN};
	int64_t until = clock_now() + STOP_PATIENCE_NS;
	int ready;

	atomic_store_explicit(&d->ends, true, memory_order_relaxed);
	MUST(eventfd_write(d->wake, 1) == 0);
	do
		ready = poll(&ended, 1, clock_poll_ms(clock_now(), until));
	while (ready < 0 && (errno == EINTR || errno == ENOMEM));
	if (ready == 0)
		return false;
	PTHREAD_OK(pthread_join(d->thread, NULL));
	return true;
}

bool desk_stop(struct desk *d)
{
	struct stat now;

	if (!d)
		return true;
	if (d->has_file && keeps(d) && lstat(d->at.u.un.sun_path, &now) == 0 &&
	        now.st_dev == d->file.st_dev && now.st_ino == d->file.st_ino)
		unlink(d->at.u.un.sun_path);
	if (d->runs && !end_thread(d))
		return false;
	for (unsigned i = 0; d->peers && i < d->rules.places; i++)
		if (d->peers[i].fd >= 0)
			drop(d, &d->peers[i]);
	desk_leave(d);
	return true;
}
