/*
 * Who is next, and who is shed, in each discipline of the queue. Time is what the items bring with them, or an argument: nothing here
 * depends on the machine. At the end 16 workers under more load than they can serve, to see what the disciplines are for.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "work/queue.h"

#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))
#define MS CLOCK_NS_PER_MS
#define TARGET (5 * MS)
#define INTERVAL (100 * MS)

static struct queue *queue_of(enum queue_discipline discipline, size_t size)
{
	struct queue *q = queue_new(size, 1, 1);

	queue_set_rule(q, (struct queue_rule){discipline, TARGET, INTERVAL});
	queue_worker_enters(q);
	return q;
}

static struct queue_item item(uintptr_t number, int64_t since)
{
	return (struct queue_item){.what = (void *)number, .since = since};
}

static uintptr_t number_of(const struct queue_item *i)
{
	return (uintptr_t)i->what;
}

static void put(struct queue *q, uintptr_t number, int64_t since)
{
	struct queue_item i = item(number, since);

	HOLDS(queue_put(q, &i, 1) == 1);
}

static void take(struct queue *q, uintptr_t want)
{
	struct queue_item i;

	HOLDS(queue_take(q, &i, 1) == 1);
	ck_assert_uint_eq(number_of(&i), want);
}

/* The only one that is refused for this one. */
static uintptr_t put_full(struct queue *q, uintptr_t number, int64_t since)
{
	struct queue_item i = item(number, since);

	HOLDS(queue_put(q, &i, 1) == 0);
	return number_of(&i);
}

START_TEST(fifo)
{
	struct queue *q = queue_of(QUEUE_FIFO, 4);
	struct queue_item out[4];

	for (uintptr_t i = 0; i < 4; i++)
		put(q, i, (int64_t)i * 10 * INTERVAL);
	ck_assert_uint_eq(put_full(q, 9, 50 * INTERVAL), 9);
	ck_assert_uint_eq(queue_take_shed(q, 100 * INTERVAL, out, 4), 0);
	ck_assert_int_eq(queue_next_shed(q), CLOCK_NEVER);
	for (uintptr_t i = 0; i < 4; i++)
		take(q, i);
	queue_free(q);
}
END_TEST

/* A burst is served in its order; once it has lasted for an interval, the newest first, until it is over. */
START_TEST(lifo)
{
	struct queue *q = queue_of(QUEUE_LIFO, 8);
	struct queue_item out[8];

	for (int64_t round = 0; round < 3; round++) { /* round the ring, too */
		int64_t at = round * 10 * INTERVAL;

		put(q, 1, at);
		put(q, 2, at + 1);
		put(q, 3, at + INTERVAL - 1);
		take(q, 1);
		put(q, 4, at + INTERVAL);
		take(q, 4);
		put(q, 5, at + INTERVAL + 1);
		put(q, 6, at + INTERVAL + 2);
		put(q, 7, at + INTERVAL + 3);
		ck_assert_int_eq(queue_oldest(q), at + 1);
		HOLDS(queue_take(q, out, 2) == 2 && number_of(&out[0]) == 7 && number_of(&out[1]) == 6);
		ck_assert_uint_eq(queue_take_shed(q, at + 5 * INTERVAL, out, 8), 0);
		take(q, 5);
		take(q, 3);
		take(q, 2);
		/* It was empty. */
		put(q, 8, at + INTERVAL + 4);
		put(q, 9, at + INTERVAL + 5);
		take(q, 8);
		take(q, 9);
	}
	queue_free(q);
}
END_TEST

/* Who is refused is who would be served last: the newest, or, once these are served first, the oldest. */
START_TEST(full)
{
	enum queue_discipline discipline = _i == 0 ? QUEUE_LIFO : QUEUE_CODEL;
	struct queue *q = queue_of(discipline, 3);
	struct queue_item many[5];

	put(q, 1, 0);
	put(q, 2, 1);
	put(q, 3, 2);
	ck_assert_uint_eq(put_full(q, 4, 3), 4);
	ck_assert_uint_eq(put_full(q, 5, INTERVAL), 1);
	ck_assert_uint_eq(put_full(q, 6, INTERVAL + 1), 2);
	take(q, 6);
	for (uintptr_t i = 0; i < 5; i++)
		many[i] = item(10 + i, INTERVAL + 2);
	ck_assert_uint_eq(queue_put(q, many, 5), 1); /* 3 5 10 | 11 to 14 */
	ck_assert_uint_eq(number_of(&many[1]), 3);
	ck_assert_uint_eq(number_of(&many[2]), 5);
	ck_assert_uint_eq(number_of(&many[3]), 10);
	ck_assert_uint_eq(number_of(&many[4]), 11);
	ck_assert_uint_eq(queue_depth(q), 3);
	take(q, 14);
	take(q, 13);
	take(q, 12);
	queue_free(q);
}
END_TEST

/* What was taken and comes back is next, in its order; nothing pushes it out, and it is not shed. */
START_TEST(put_back)
{
	enum queue_discipline discipline = (enum queue_discipline)_i;
	struct queue *q = queue_of(discipline, 4);
	struct queue_item out[4];

	put(q, 1, 0);
	put(q, 2, INTERVAL);
	HOLDS(queue_put_back(q, item(11, 0)));
	HOLDS(queue_put_back(q, item(10, CLOCK_NEVER)));
	uintptr_t refused = put_full(q, 3, INTERVAL + 1);
	ck_assert_uint_eq(refused, discipline == QUEUE_FIFO ? 3 : 1);
	ck_assert_int_eq(queue_oldest(q), 0);
	size_t shed = queue_take_shed(q, 9 * INTERVAL, out, 4);
	ck_assert_uint_eq(shed, discipline == QUEUE_CODEL ? 2 : 0);
	take(q, 10);
	ck_assert_uint_eq(queue_take_older(q, 1, out, 4), discipline == QUEUE_FIFO ? 2 : 1);
	ck_assert_uint_eq(number_of(&out[0]), 11);
	/* Full of what came back: who is new is refused. */
	while (queue_depth(q) > 0)
		(void)queue_take(q, out, 4);
	put(q, 1, 0);
	put(q, 2, INTERVAL);
	HOLDS(queue_take(q, out, 2) == 2);
	for (uintptr_t i = 0; i < 4; i++)
		HOLDS(queue_put_back(q, item(i, CLOCK_NEVER)));
	ck_assert_uint_eq(put_full(q, 9, 2 * INTERVAL), 9);
	ck_assert_uint_eq(put_full(q, 9, 4 * INTERVAL), 9);
	ck_assert_uint_eq(queue_take_shed(q, 9 * INTERVAL, out, 4), 0);
	ck_assert_int_eq(queue_next_shed(q), CLOCK_NEVER);
	for (uintptr_t i = 4; i-- > 0;)
		take(q, i);
	queue_free(q);
}
END_TEST

START_TEST(codel)
{
	struct queue *q = queue_of(QUEUE_CODEL, 8);
	struct queue_item out[8];

	for (int64_t round = 0; round < 3; round++) {
		int64_t at = round * 10 * INTERVAL;

		put(q, 1, at);
		put(q, 2, at + 40 * MS);
		put(q, 3, at + 93 * MS);
		put(q, 4, at + 98 * MS);
		/* A burst, and nobody has waited for too long. */
		ck_assert_int_eq(queue_next_shed(q), at + INTERVAL);
		ck_assert_uint_eq(queue_take_shed(q, at + INTERVAL - 1, out, 8), 0);
		ck_assert_uint_eq(queue_take_shed(q, at + INTERVAL, out, 1), 1);
		ck_assert_uint_eq(number_of(&out[0]), 1);
		ck_assert_uint_eq(queue_take_shed(q, at + INTERVAL, out, 8), 2);
		HOLDS(number_of(&out[0]) == 2 && number_of(&out[1]) == 3);
		/* From now on each has the target. */
		ck_assert_int_eq(queue_next_shed(q), at + 98 * MS + TARGET);
		put(q, 5, at + 101 * MS);
		put(q, 6, at + 102 * MS);
		take(q, 6);
		ck_assert_uint_eq(queue_take_shed(q, at + 103 * MS - 1, out, 8), 0);
		ck_assert_uint_eq(queue_take_shed(q, at + 103 * MS, out, 8), 1);
		ck_assert_uint_eq(number_of(&out[0]), 4);
		take(q, 5);
		/* It was empty: a burst has its interval again. */
		put(q, 7, at + 104 * MS);
		ck_assert_int_eq(queue_next_shed(q), at + 104 * MS + INTERVAL);
		put(q, 8, at + 203 * MS);
		ck_assert_uint_eq(queue_take_shed(q, at + 203 * MS, out, 8), 0);
		take(q, 7);
		take(q, 8);
		ck_assert_int_eq(queue_next_shed(q), CLOCK_NEVER);
	}
	queue_free(q);
}
END_TEST

/* A later target than the time when it begins to stand. */
START_TEST(next_shed_waits_for_target)
{
	struct queue *q = queue_of(QUEUE_CODEL, 8);
	struct queue_item out[8];

	put(q, 1, 0);
	put(q, 2, 99 * MS);
	take(q, 1);
	ck_assert_int_eq(queue_next_shed(q), 99 * MS + TARGET);
	ck_assert_uint_eq(queue_take_shed(q, 99 * MS + TARGET - 1, out, 8), 0);
	ck_assert_uint_eq(queue_take_shed(q, 99 * MS + TARGET, out, 8), 1);
	queue_free(q);
}
END_TEST

/* Live: what waits falls under the new rule. */
START_TEST(rule_changes)
{
	struct queue *q = queue_of(QUEUE_LIFO, 8);
	struct queue_item out[8];

	put(q, 1, 0);
	put(q, 2, 1);
	put(q, 3, INTERVAL);
	take(q, 3);
	queue_set_rule(q, (struct queue_rule){.discipline = QUEUE_FIFO});
	put(q, 4, 2 * INTERVAL);
	take(q, 1);
	queue_set_rule(q, (struct queue_rule){QUEUE_CODEL, TARGET, INTERVAL});
	ck_assert_uint_eq(queue_take_shed(q, 3 * INTERVAL, out, 8), 2);
	queue_free(q);
}
END_TEST

/* ---- against a plain list ---- */

enum { SIZE = 11 };

struct model {
	enum queue_discipline discipline;
	struct queue_item at[SIZE];
	size_t ahead, count;
	int64_t busy_since;
	bool stands;
};

static struct queue_item model_remove(struct model *m, size_t k)
{
	struct queue_item gone = m->at[k];

	memmove(&m->at[k], &m->at[k + 1], (m->count - k - 1) * sizeof(gone));
	m->count--;
	m->ahead -= k < m->ahead;
	if (m->count == 0) {
		m->busy_since = CLOCK_NEVER;
		m->stands = false;
	}
	return gone;
}

static void model_look(struct model *m, int64_t now)
{
	if (m->busy_since == CLOCK_NEVER)
		m->busy_since = now;
	else if (m->discipline != QUEUE_FIFO && now - m->busy_since >= INTERVAL)
		m->stands = true;
}

static struct queue_item model_next(struct model *m)
{
	return model_remove(m, m->ahead > 0 || !m->stands ? 0 : m->count - 1);
}

static unsigned random_below(unsigned *state, unsigned n)
{
	*state = *state * 1664525u + 1013904223u;
	return (*state >> 8) % n;
}

static void step_put(struct queue *q, struct model *m, uintptr_t number, int64_t now)
{
	struct queue_item i = item(number, now);
	size_t taken = queue_put(q, &i, 1);

	model_look(m, now);
	if (m->count < SIZE) {
		m->at[m->count++] = item(number, now);
		HOLDS(taken == 1);
	} else if (m->stands && m->ahead < SIZE) {
		HOLDS(taken == 0 && number_of(&i) == number_of(&m->at[m->ahead]));
		(void)model_remove(m, m->ahead);
		m->at[m->count++] = item(number, now);
	} else {
		HOLDS(taken == 0 && number_of(&i) == number);
	}
}

static void step_take(struct queue *q, struct model *m, unsigned *state, int64_t now)
{
	struct queue_item out[4];
	size_t want = 1 + random_below(state, 4);
	size_t n = queue_take(q, out, want);

	HOLDS(n == (want < m->count ? want : m->count));
	for (size_t i = 0; i < n; i++)
		HOLDS(number_of(&out[i]) == number_of(&(struct queue_item[]){model_next(m)}[0]));
	if (random_below(state, 3) > 0)
		return;
	for (size_t i = n; i-- > 0;) {
		if (random_below(state, 2))
			out[i].since = CLOCK_NEVER;
		HOLDS(queue_put_back(q, out[i]));
		memmove(&m->at[1], &m->at[0], m->count * sizeof(m->at[0]));
		m->at[0] = out[i];
		m->ahead++;
		m->count++;
	}
	(void)now;
}

static void step_shed(struct queue *q, struct model *m, int64_t now)
{
	struct queue_item out[3];
	size_t n = queue_take_shed(q, now, out, 3);
	size_t want = 0;

	if (m->discipline == QUEUE_CODEL && m->count > 0) {
		model_look(m, now);
		for (; want < 3 && m->stands && m->ahead < m->count && now - m->at[m->ahead].since >= TARGET;
		        want++)
			HOLDS(want < n && number_of(&out[want]) == number_of(&(struct queue_item[]){
			                                                   model_remove(m, m->ahead)}[0]));
	}
	HOLDS(n == want);
}

static void step_older(struct queue *q, struct model *m, int64_t time)
{
	struct queue_item out[SIZE];
	size_t n = queue_take_older(q, time, out, SIZE);
	size_t want = 0;

	for (size_t k = 0; k < m->count;) {
		if (m->at[k].since < time)
			HOLDS(want < n && number_of(&out[want++]) ==
			                          number_of(&(struct queue_item[]){model_remove(m, k)}[0]));
		else
			k++;
	}
	HOLDS(n == want);
}

START_TEST(against_a_list)
{
	struct model m = {.discipline = (enum queue_discipline)_i, .busy_since = CLOCK_NEVER};
	struct queue *q = queue_of(m.discipline, SIZE);
	unsigned state = (unsigned)_i + 5;
	int64_t now = 0;

	for (uintptr_t round = 1; round < 100000; round++) {
		/* Phases of more and of less than is taken. */
		unsigned puts = round / 500 % 2 ? 5 : 3;

		now += random_below(&state, 4) * MS;
		if (random_below(&state, 8) < puts)
			step_put(q, &m, round, now);
		else if (random_below(&state, 4) > 0 && m.count > 0)
			step_take(q, &m, &state, now);
		else if (random_below(&state, 2))
			step_shed(q, &m, now);
		else
			step_older(q, &m, now - 150 * MS);
		HOLDS(queue_depth(q) == m.count && queue_is_full(q) == (m.count == SIZE));
	}
	queue_free(q);
}
END_TEST

/* ---- what they are for ---- */

/* Workers and a stream of requests that does not care how it is served: a client has what it wants if it is answered within a second. */
struct world {
	enum { WORKERS = 16 } workers;
	struct queue *queue;
	int64_t free_at[WORKERS];
	int64_t service;
	unsigned asked, good, late, refused, shed;
	int64_t longest; /* wait of those who were served in the second half */
};

#define PATIENCE CLOCK_NS_PER_S
#define TIMEOUT CLOCK_NS_PER_S
#define LENGTH (10 * CLOCK_NS_PER_S)

static void serve_free(struct world *w, int64_t now)
{
	for (unsigned i = 0; i < WORKERS && queue_depth(w->queue) > 0; i++) {
		struct queue_item item;

		if (w->free_at[i] > now)
			continue;
		HOLDS(queue_take(w->queue, &item, 1) == 1);
		w->free_at[i] = now + w->service;
		if (w->free_at[i] - item.since <= PATIENCE)
			w->good++;
		else
			w->late++;
		if (now > LENGTH / 2 && now - item.since > w->longest)
			w->longest = now - item.since;
	}
}

static void sweep(struct world *w, int64_t now)
{
	struct queue_item items[64];
	size_t n;

	while ((n = queue_take_shed(w->queue, now, items, 64)) > 0)
		w->shed += (unsigned)n;
	while ((n = queue_take_older(w->queue, now - TIMEOUT, items, 64)) > 0)
		w->refused += (unsigned)n;
}

static int64_t next_event(const struct world *w, int64_t arrival, int64_t now)
{
	int64_t at = arrival;
	int64_t shed = queue_next_shed(w->queue);

	for (unsigned i = 0; i < WORKERS; i++)
		if (w->free_at[i] > now && w->free_at[i] < at)
			at = w->free_at[i];
	if (shed < at)
		at = shed > now ? shed : now + 1;
	return at;
}

/* load: arrivals, as a multiple of what the workers can do. */
static struct world run_world(enum queue_discipline discipline, int64_t service, double load)
{
	struct world w = {.queue = queue_of(discipline, 1024), .service = service};
	double gap = (double)service / WORKERS / load;
	unsigned state = 1;
	int64_t arrival = 1;

	for (int64_t now = 0; now < LENGTH; now = next_event(&w, arrival, now)) {
		if (now >= arrival) {
			struct queue_item item = {.since = now};

			w.asked++;
			w.refused += queue_put(w.queue, &item, 1) == 0;
			double u = (random_below(&state, 1 << 20) + 1) / (double)(1 << 20);
			arrival = now + 1 + (int64_t)(-log(u) * gap); /* Poisson's */
		}
		serve_free(&w, now);
		sweep(&w, now);
	}
	queue_free(w.queue);
	return w;
}

static double goodput(const struct world *w)
{
	double capacity = (double)LENGTH / (double)w->service * WORKERS;

	return w->good / (w->asked < capacity ? w->asked : capacity);
}

static const int64_t services[] = {2 * MS, 20 * MS, 100 * MS};
static const double loads[] = {0.5, 1, 2, 4};

START_TEST(overload)
{
	int64_t service = services[_i / 4];
	double load = loads[_i % 4];
	struct world by_fifo = run_world(QUEUE_FIFO, service, load);
	struct world by_lifo = run_world(QUEUE_LIFO, service, load);
	struct world by_codel = run_world(QUEUE_CODEL, service, load);

	printf("service %3lld ms, load %.1f: goodput fifo %3.0f %%, lifo %3.0f %%, codel %3.0f %%; longest "
	       "wait %lld, %lld, %lld ms\n",
	        (long long)(service / MS), load, 100 * goodput(&by_fifo), 100 * goodput(&by_lifo),
	        100 * goodput(&by_codel), (long long)(by_fifo.longest / MS),
	        (long long)(by_lifo.longest / MS), (long long)(by_codel.longest / MS));
	ck_assert_double_ge(goodput(&by_lifo), 0.9);
	ck_assert_double_ge(goodput(&by_codel), 0.9);
	if (load < 1)
		ck_assert_uint_eq(by_codel.shed + by_codel.refused + by_lifo.refused, 0);
	if (load > 1)
		ck_assert_uint_gt(by_codel.shed, 0);
	/* Some 1024 / 160 s of waiting; with 2 ms a full queue is served in time even so. */
	if (load > 1 && service > 10 * MS)
		ck_assert_double_lt(goodput(&by_fifo), 0.5);
	ck_assert_int_le(by_codel.longest, INTERVAL + TARGET);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("work/queue disciplines");
	TCase *tc = tcase_create("disciplines");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, fifo);
	tcase_add_test(tc, lifo);
	tcase_add_loop_test(tc, full, 0, 2);
	tcase_add_loop_test(tc, put_back, QUEUE_FIFO, QUEUE_CODEL + 1);
	tcase_add_test(tc, codel);
	tcase_add_test(tc, next_shed_waits_for_target);
	tcase_add_test(tc, rule_changes);
	tcase_add_loop_test(tc, against_a_list, QUEUE_FIFO, QUEUE_CODEL + 1);
	tcase_add_loop_test(tc, overload, 0, 12);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
