/* The parking lot: states, late events, deadlines, notices, and its two races hammered from two threads. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "engine/lot.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

enum { PATIENCE_MS = 20000, TURNS = 5000 };

static struct lot lot;
static struct lingerer *lingerer;
static _Atomic unsigned total;
static int64_t began;

static void setup(void)
{
	const char *why;
	int error;

	lingerer = lingerer_start("test", lot_done_lingering, &error);
	ck_assert(lingerer != NULL);
	ck_assert(lot_init(&lot, NULL, lingerer, 2 * LOT_NOTICES, &total, &why));
	began = clock_now();
}

static void teardown(void)
{
	lingerer_stop(lingerer);
	lot_free(&lot);
}

static unsigned state_of(struct conn *c)
{
	return atomic_load(&c->state);
}

/* A connection in the lot; *peer is the other end. */
/* A record without a socket, which is as good as watched already. */
static struct conn *take_bare(void)
{
	struct conn *c = conn_table_take(&lot.table);

	if (c)
		c->watched = true;
	return c;
}

static struct conn *watched(int64_t deadline, int *peer)
{
	struct conn *c = conn_table_take(&lot.table);
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	c->fd = fds[0];
	*peer = fds[1];
	ck_assert(lot_watch(&lot, c, began, deadline));
	ck_assert_uint_eq(state_of(c), CONN_PARKED);
	return c;
}

/* The next event of a connection; those of the keeper's own descriptor are passed over. */
static uint64_t next_event(void)
{
	struct epoll_event e;
	uint64_t count;

	for (;;) {
		int n = epoll_wait(lot.epoll, &e, 1, PATIENCE_MS);

		HOLDS(n == 1 || (n < 0 && errno == EINTR));
		if (n == 1 && (e.data.u64 & LOT_EVENT_CONN))
			return e.data.u64;
		HOLDS(read(lot.event, &count, sizeof(count)) == sizeof(count));
	}
}

static bool has_event(void)
{
	struct epoll_event e;

	return epoll_wait(lot.epoll, &e, 1, 0) > 0;
}

START_TEST(states)
{
	int peer;
	char bytes[10];
	struct conn *c = watched(CLOCK_NEVER, &peer);

	ck_assert(!has_event());
	ck_assert_int_eq(send(peer, "a", 1, 0), 1);
	uint64_t event = next_event();
	ck_assert_ptr_eq(lot_claim(&lot, event, false), c);
	ck_assert_uint_eq(state_of(c), CONN_BUSY);
	ck_assert(!has_event()); /* said once */
	/* More while it is busy: the owner finds it when it parks. */
	ck_assert_int_eq(send(peer, "b", 1, 0), 1);
	ck_assert_ptr_null(lot_claim(&lot, next_event(), false));
	ck_assert_uint_eq(state_of(c), CONN_BUSY_READY);
	ck_assert_ptr_null(lot_claim(&lot, event, false));
	ck_assert_uint_eq(state_of(c), CONN_BUSY_READY);
	ck_assert(lot_park(&lot, c, CLOCK_NEVER) == LOOP_READY);
	ck_assert_uint_eq(state_of(c), CONN_BUSY);
	ck_assert_int_eq(recv(c->fd, bytes, sizeof(bytes), 0), 2);
	ck_assert(lot_park(&lot, c, CLOCK_NEVER) == LOOP_PARKED);
	ck_assert_uint_eq(state_of(c), CONN_PARKED);
	/* The end of the stream is the last event: it is to be looked at again before it is parked. */
	close(peer);
	ck_assert_ptr_eq(lot_claim(&lot, next_event(), true), c);
	ck_assert_uint_eq(state_of(c), CONN_BUSY_READY);
	ck_assert(lot_park(&lot, c, CLOCK_NEVER) == LOOP_READY);
	ck_assert_uint_eq(state_of(c), CONN_BUSY);
	lot_close(&lot, c);
	lot_collect(&lot);
	ck_assert_uint_eq(atomic_load(&lot.table.open), 0);
}
END_TEST

START_TEST(late_events)
{
	int peer, other;
	struct conn *c = watched(began + CLOCK_NS_PER_S, &peer);

	ck_assert_int_eq(send(peer, "a", 1, 0), 1);
	uint64_t event = next_event();
	/* It is being closed. */
	ck_assert_ptr_eq(lot_claim_expired(&lot, began + 2 * CLOCK_NS_PER_S), c);
	ck_assert_uint_eq(state_of(c), CONN_CLOSING);
	ck_assert_ptr_null(lot_claim(&lot, event, false));
	ck_assert_uint_eq(state_of(c), CONN_CLOSING);
	/* It is closed. */
	lot_close(&lot, c);
	ck_assert_ptr_null(lot_claim(&lot, event, false));
	lot_collect(&lot);
	ck_assert_ptr_null(lot_claim(&lot, event, false));
	ck_assert_uint_eq(state_of(c), CONN_FREE);
	/* It has another life. */
	ck_assert_ptr_eq(watched(CLOCK_NEVER, &other), c);
	ck_assert_ptr_null(lot_claim(&lot, event, false));
	ck_assert_uint_eq(state_of(c), CONN_PARKED);
	ck_assert_int_eq(send(other, "b", 1, 0), 1);
	uint64_t second = next_event();
	ck_assert_uint_ne(second, event);
	ck_assert_ptr_eq(lot_claim(&lot, second, false), c);
	ck_assert_ptr_null(lot_claim(&lot, event, false)); /* nor does it make it ready */
	ck_assert_uint_eq(state_of(c), CONN_BUSY);
	lot_close(&lot, c);
	close(peer);
	close(other);
}
END_TEST

START_TEST(expiry)
{
	int peers[3];
	int64_t ms = CLOCK_NS_PER_MS;
	struct conn *a = watched(began + 100 * ms, &peers[0]);
	struct conn *b = watched(began + 200 * ms, &peers[1]);
	struct conn *never = watched(CLOCK_NEVER, &peers[2]);

	ck_assert_ptr_null(lot_claim_expired(&lot, began + 99 * ms));
	ck_assert_ptr_eq(lot_claim_expired(&lot, began + 111 * ms), a);
	ck_assert_uint_eq(state_of(a), CONN_CLOSING);
	ck_assert_ptr_null(lot_claim_expired(&lot, began + 111 * ms));
	/* A busy one does not expire; parked anew, its new deadline counts. */
	ck_assert_int_eq(send(peers[1], "x", 1, 0), 1);
	ck_assert_ptr_eq(lot_claim(&lot, next_event(), false), b);
	ck_assert_ptr_null(lot_claim_expired(&lot, began + 250 * ms));
	ck_assert(lot_park(&lot, b, began + 400 * ms) == LOOP_PARKED);
	lot_collect(&lot);
	ck_assert_ptr_null(lot_claim_expired(&lot, began + 399 * ms));
	ck_assert_ptr_eq(lot_claim_expired(&lot, began + 411 * ms), b);
	ck_assert_ptr_null(lot_claim_expired(&lot, began + 3600 * CLOCK_NS_PER_S));
	ck_assert_uint_eq(state_of(never), CONN_PARKED);
	lot_close(&lot, a);
	lot_close(&lot, b);
	ck_assert_ptr_eq(conn_table_claim_oldest(&lot.table), never);
	lot_close(&lot, never);
	for (int i = 0; i < 3; i++)
		close(peers[i]);
}
END_TEST

/* A deadline earlier than the timer: the keeper is woken and told. A later one costs nothing. */
START_TEST(notices)
{
	int peer;
	int64_t ms = CLOCK_NS_PER_MS;
	struct conn *c = watched(began + 1000 * ms, &peer);

	for (int round = 0; round < 2; round++) {
		ck_assert_int_eq(send(peer, "x", 1, 0), 1);
		ck_assert_ptr_eq(lot_claim(&lot, next_event(), false), c);
		ck_assert(lot_park(&lot, c, began + (round ? 300 : 2000) * ms) == LOOP_PARKED);
		ck_assert_int_eq(has_event(), round);
	}
	ck_assert_uint_eq(lot.notice_count, 1);
	lot_collect(&lot);
	ck_assert_uint_eq(lot.notice_count, 0);
	ck_assert_int_le(timers_next(&lot.timers), began + 310 * ms);
	ck_assert_ptr_null(lot_claim_expired(&lot, began + 299 * ms));
	ck_assert_ptr_eq(lot_claim_expired(&lot, began + 310 * ms), c);
	lot_close(&lot, c);
	close(peer);
}
END_TEST

/* A notice about a life that is over concerns nobody. */
START_TEST(late_notice)
{
	int peer, other;
	struct conn *c = watched(began + 1000 * CLOCK_NS_PER_S, &peer);

	ck_assert_int_eq(send(peer, "x", 1, 0), 1);
	ck_assert_ptr_eq(lot_claim(&lot, next_event(), false), c);
	ck_assert(lot_park(&lot, c, began) == LOOP_PARKED);
	ck_assert_ptr_eq(conn_table_claim_oldest(&lot.table), c);
	lot_close(&lot, c);
	conn_table_collect(&lot.table, &lot.timers);
	ck_assert_ptr_eq(watched(began + 500 * CLOCK_NS_PER_S, &other), c);
	lot_collect(&lot);
	ck_assert_ptr_null(lot_claim_expired(&lot, began + 400 * CLOCK_NS_PER_S));
	ck_assert_ptr_eq(lot_claim_expired(&lot, began + 501 * CLOCK_NS_PER_S), c);
	lot_close(&lot, c);
	close(peer);
	close(other);
}
END_TEST

/* More notices than there is room for: none is forgotten. */
START_TEST(many_notices)
{
	enum { COUNT = LOT_NOTICES + 100 };
	unsigned expired = 0;
	struct conn *c;

	for (unsigned i = 0; i < COUNT; i++) /* no descriptor is needed to park */
		HOLDS(lot_park(&lot, take_bare(), began + (int64_t)(i % 7) * CLOCK_NS_PER_MS) == LOOP_PARKED);
	lot_collect(&lot);
	while ((c = lot_claim_expired(&lot, began + CLOCK_NS_PER_S))) {
		conn_table_give_back(&lot.table, c);
		expired++;
	}
	ck_assert_uint_eq(expired, COUNT);
	lot_collect(&lot);
	ck_assert_uint_eq(atomic_load(&lot.table.open), 0);
}
END_TEST

START_TEST(idle)
{
	enum { N = 6 };
	struct conn *all[N], *c;
	uint32_t at = 0;
	unsigned claimed = 0;

	for (int i = 0; i < N; i++) {
		all[i] = take_bare();
		if (i != 2)
			HOLDS(lot_park(&lot, all[i], CLOCK_NEVER) == LOOP_PARKED);
		atomic_store(&all[i]->parked_at, began - i);
	}
	while ((c = lot_claim_idle(&lot, &at, began - 1, false))) {
		ck_assert_uint_gt(c->index, 2);
		ck_assert_uint_eq(state_of(c), CONN_CLOSING);
		claimed++;
	}
	ck_assert_uint_eq(claimed, 3);
	ck_assert_uint_eq(state_of(all[2]), CONN_BUSY);
	for (int i = 0; i < N; i++)
		conn_table_give_back(&lot.table, all[i]);
}
END_TEST

/* The answer arrives though the client's bytes were not read; the record is back when the client is done. */
START_TEST(lingers)
{
	int peer;
	char bytes[10];
	struct pollfd one;
	struct conn *c = watched(CLOCK_NEVER, &peer);

	atomic_store(&lot.wake_on_close, true);
	ck_assert_int_eq(send(peer, "unread", 6, 0), 6);
	ck_assert_ptr_eq(lot_claim(&lot, next_event(), false), c);
	ck_assert_int_eq(send(c->fd, "answer", 6, 0), 6);
	lot_linger(&lot, c);
	one = (struct pollfd){.fd = peer, .events = POLLRDHUP};
	ck_assert_int_eq(poll(&one, 1, PATIENCE_MS), 1);
	ck_assert_int_eq(send(peer, "more", 4, 0), 4);
	ck_assert_int_eq(recv(peer, bytes, sizeof(bytes), 0), 6);
	ck_assert_int_eq(recv(peer, bytes, sizeof(bytes), 0), 0);
	close(peer);
	one = (struct pollfd){.fd = lot.event, .events = POLLIN};
	ck_assert_int_eq(poll(&one, 1, PATIENCE_MS), 1);
	lot_collect(&lot);
	ck_assert_uint_eq(atomic_load(&lot.table.open), 0);
}
END_TEST

/* ---- two threads ---- */

/* One connection between the keeper and a worker; a client that sends a byte for each it gets back. */
static _Atomic(struct conn *) mailbox;
static _Atomic bool over;

static void *client_thread(void *arg)
{
	int fd = *(int *)arg;
	char byte = 'c';

	for (int i = 0; i < TURNS; i++) {
		struct pollfd one = {.fd = fd, .events = POLLIN};

		HOLDS(send(fd, &byte, 1, 0) == 1);
		HOLDS(poll(&one, 1, PATIENCE_MS) == 1);
		HOLDS(recv(fd, &byte, 1, 0) == 1);
	}
	close(fd);
	return NULL;
}

static void *worker_thread(void *arg)
{
	(void)arg;
	while (!atomic_load(&over)) {
		struct conn *c = atomic_exchange(&mailbox, NULL);
		char byte;

		while (c) {
			ssize_t n = recv(c->fd, &byte, 1, 0);

			if (n == 0) {
				lot_close(&lot, c);
				atomic_store(&over, true);
				lot_wake(&lot);
				break;
			}
			/* The answer goes out first: the next byte comes while it parks. */
			HOLDS(n < 0 || send(c->fd, &byte, 1, 0) == 1);
			if (lot_park(&lot, c, CLOCK_NEVER) == LOOP_PARKED)
				break;
		}
		sched_yield();
	}
	return NULL;
}

START_TEST(event_against_park)
{
	pthread_t worker, client;
	int peer;

	watched(CLOCK_NEVER, &peer);
	PTHREAD_OK(pthread_create(&worker, NULL, worker_thread, NULL));
	PTHREAD_OK(pthread_create(&client, NULL, client_thread, &peer));
	while (!atomic_load(&over)) {
		struct epoll_event e;
		uint64_t count;

		if (epoll_wait(lot.epoll, &e, 1, PATIENCE_MS) != 1)
			continue;
		if (!(e.data.u64 & LOT_EVENT_CONN)) {
			HOLDS(read(lot.event, &count, sizeof(count)) == sizeof(count));
			continue;
		}
		struct conn *c = lot_claim(
		        &lot, e.data.u64, (e.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
		if (c)
			HOLDS(atomic_exchange(&mailbox, c) == NULL);
	}
	PTHREAD_OK(pthread_join(worker, NULL));
	PTHREAD_OK(pthread_join(client, NULL));
	lot_collect(&lot);
	ck_assert_uint_eq(atomic_load(&lot.table.open), 0);
}
END_TEST

static _Atomic int64_t virtual_now;

/* Parks with deadlines around that of the timer, which goes off meanwhile. */
static void *parking_thread(void *arg)
{
	unsigned state = 5;

	(void)arg;
	for (int i = 0; i < TURNS;) {
		struct conn *c = atomic_exchange(&mailbox, NULL);

		if (!c) {
			sched_yield();
			continue;
		}
		state = state * 1664525u + 1013904223u;
		int64_t ticks = (int64_t)(state >> 20) % 6 - 1;
		HOLDS(lot_park(&lot, c, atomic_load(&virtual_now) + ticks * TIMERS_TICK_NS) == LOOP_PARKED);
		i++;
	}
	atomic_store(&over, true);
	return NULL;
}

/* A deadline that were forgotten would leave the connection parked and this waiting for ever. */
START_TEST(timer_against_park)
{
	pthread_t worker;
	struct conn *c = take_bare();
	int claims = 0;

	atomic_store(&virtual_now, began);
	atomic_store(&mailbox, c);
	PTHREAD_OK(pthread_create(&worker, NULL, parking_thread, NULL));
	while (claims < TURNS) {
		int64_t now = atomic_fetch_add(&virtual_now, TIMERS_TICK_NS / 2);

		lot_collect(&lot);
		struct conn *expired = lot_claim_expired(&lot, now);
		if (expired) {
			HOLDS(expired == c && state_of(c) == CONN_CLOSING);
			HOLDS(atomic_load(&c->deadline) <= now);
			claims++;
			/* Its timer is set, as that of a connection that was claimed by an event. */
			timers_set(&lot.timers, &c->timer, now + 2 * TIMERS_TICK_NS);
			atomic_store(&c->timer_at, now + 2 * TIMERS_TICK_NS);
			atomic_store(&c->state, CONN_BUSY);
			atomic_store(&mailbox, c);
		} else if (claims % 2 || atomic_load(&mailbox)) {
			sched_yield(); /* the worker has not even begun */
		}
	}
	PTHREAD_OK(pthread_join(worker, NULL));
	conn_table_give_back(&lot.table, c);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/lot");
	TCase *tc = tcase_create("lot");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, states);
	tcase_add_test(tc, late_events);
	tcase_add_test(tc, expiry);
	tcase_add_test(tc, notices);
	tcase_add_test(tc, late_notice);
	tcase_add_test(tc, many_notices);
	tcase_add_test(tc, idle);
	tcase_add_test(tc, lingers);
	tcase_add_test(tc, event_against_park);
	tcase_add_test(tc, timer_against_park);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
