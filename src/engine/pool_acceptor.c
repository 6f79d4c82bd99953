#include "engine/pool_acceptor.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "net/sock.h"
#include "obs/board.h"

enum { EVENTS = 256, ACCEPTS_A_TURN = 64 };

static size_t dispatch(void *arg, struct queue_item *items, size_t n)
{
	struct pool_acceptor *p = arg;

	return queue_put(p->acceptor.queue, items, n);
}

static bool listen_on(void *arg, unsigned listener, int fd)
{
	struct pool_acceptor *p = arg;
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = listener};

	return epoll_ctl(p->acceptor.lot->epoll, EPOLL_CTL_ADD, fd, &e) == 0 || errno == EEXIST;
}

static bool unlisten(void *arg, unsigned listener, int fd)
{
	struct pool_acceptor *p = arg;

	(void)listener;
	(void)epoll_ctl(p->acceptor.lot->epoll, EPOLL_CTL_DEL, fd, NULL); /* not there: as good */
	return true;
}

/* Under load the request is there when its connection is accepted: then the way through epoll is spared. */
static bool has_input(void *arg, int fd)
{
	char byte;

	(void)arg;
	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void accept_some(struct acceptor *a, unsigned listener)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct addr peer;
		int fd = sock_accept(a->listeners->slots[listener].fd, &peer);

		if (fd == -EAGAIN || !acceptor_take(a, listener, fd, &peer))
			return;
	}
}

static void clear_event(struct lot *lot)
{
	uint64_t count;

	(void)!read(lot->event, &count, sizeof(count));
}

static void handle_event(struct acceptor *a, const struct epoll_event *e)
{
	uint64_t data = e->data.u64;

	if (data & LOT_EVENT_CONN) {
		bool last = (e->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
		struct conn *c = lot_claim(a->lot, data, last);

		if (c && last && sock_is_over(c->fd))
			acceptor_hang_up(a, c);
		else if (c)
			acceptor_add(a, c);
	} else if (data < LISTENERS_MAX) {
		if (a->listening && a->held[data].hold == HOLD_WATCHED)
			accept_some(a, (unsigned)data);
	} else {
		clear_event(a->lot);
	}
}

static void turn(struct acceptor *a)
{
	struct epoll_event events[EVENTS];
	int timeout = clock_poll_ms(clock_now(), acceptor_next_look(a));

	board_step(a->row, DOING_IDLE, LABEL_NONE, -1);
	int n = epoll_wait(a->lot->epoll, events, EVENTS, timeout);
	MUST(n >= 0 || errno == EINTR);
	acceptor_begin_turn(a);
	board_step_at(a->row, DOING_TURN, LABEL_NONE, -1, a->now);
	for (int i = 0; i < n; i++)
		handle_event(a, &events[i]);
	acceptor_end_turn(a);
}

static void *acceptor_thread(void *arg)
{
	struct acceptor *a = arg;

	while (!acceptor_is_finished(a))
		turn(a);
	board_step(a->row, DOING_GONE, LABEL_NONE, -1);
	return NULL;
}

int pool_acceptor_start(struct pool_acceptor *p)
{
	static const struct acceptor_ops ops = {
	        .dispatch = dispatch, .listen = listen_on, .unlisten = unlisten, .is_eager = has_input};
	struct acceptor *a = &p->acceptor;
	char name[16]; /* the kernel's limit */

	a->ops = &ops;
	a->arg = p;
	if (!acceptor_open(a))
		return errno;
	board_step(a->row, DOING_TURN, LABEL_NONE, -1); /* its thread is not there yet */
	int error = pthread_create(&p->thread, NULL, acceptor_thread, a);
	if (error == 0) {
		snprintf(name, sizeof(name), "%.8s-accept", a->options->name);
		(void)pthread_setname_np(p->thread, name); /* a name is a convenience */
	}
	return error;
}
