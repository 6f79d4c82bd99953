#include "engine/conn_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "engine/engine.h"

bool conn_table_init(struct conn_table *t, unsigned limit, struct lot *lot, _Atomic unsigned *total)
{
	*t = (struct conn_table){.limit = limit, .lot = lot, .total = total};
	t->chunks = calloc((limit + CONN_CHUNK - 1) / CONN_CHUNK, sizeof(struct conn *));
	return t->chunks != NULL;
}

void conn_table_free(struct conn_table *t)
{
	for (unsigned i = 0; i * CONN_CHUNK < conn_table_made(t); i++)
		free(t->chunks[i]);
	free(t->chunks);
}

/* Makes the chunk of records that comes next. */
static bool add_chunk(struct conn_table *t, unsigned made)
{
	struct conn *chunk = calloc(CONN_CHUNK, sizeof(struct conn));

	if (!chunk)
		return false;
	for (uint32_t i = 0; i < CONN_CHUNK; i++) {
		chunk[i].magic = CONN_MAGIC;
		chunk[i].index = made + i;
		chunk[i].lot = t->lot;
		chunk[i].fd = -1;
	}
	t->chunks[made / CONN_CHUNK] = chunk;
	return true;
}

static struct conn *make_record(struct conn_table *t)
{
	unsigned made = conn_table_made(t);

	if (made >= t->limit)
		return NULL;
	if (made % CONN_CHUNK == 0 && !add_chunk(t, made))
		return NULL;
	atomic_store_explicit(&t->made, made + 1, memory_order_release);
	return conn_table_at(t, made);
}

_Static_assert(sizeof(struct addr_ip) <= sizeof(((struct conn_card *)0)->peer), "an address fits");

void conn_show_peer(struct conn *c)
{
	uint64_t words[3] = {0};

	memcpy(words, &c->peer, sizeof(c->peer));
	for (unsigned i = 0; i < 3; i++)
		atomic_store_explicit(&c->card.peer[i], words[i], memory_order_release);
}

struct addr_ip conn_shown_peer(const struct conn *c)
{
	uint64_t words[3];
	struct addr_ip peer;

	for (unsigned i = 0; i < 3; i++)
		words[i] = atomic_load_explicit(&c->card.peer[i], memory_order_acquire);
	memcpy(&peer, words, sizeof(peer));
	return peer;
}

struct conn *conn_table_take(struct conn_table *t)
{
	struct conn *c = t->free;

	if (c) {
		t->free = c->next;
	} else {
		c = make_record(t);
		if (!c)
			return NULL;
	}
	c->next = NULL;
	c->listener = NULL;
	c->in = NULL;
	c->scanned = 0;
	c->led = false;
	c->head_since = 0;
	atomic_store_explicit(&c->requests, 0, memory_order_relaxed);
	conn_queued(c, 0);
	c->queue_wait = 0;
	c->exchange = NULL;
	c->arrival.client = NULL;
	c->unread = false;
	c->introduced = false;
	c->target = (struct addr_ip){.family = 0};
	c->watched = false;
	atomic_store_explicit(&c->timer_at, CLOCK_NEVER, memory_order_relaxed);
	atomic_store_explicit(&c->state, CONN_BUSY, memory_order_relaxed);
	atomic_fetch_add_explicit(&t->open, 1, memory_order_relaxed);
	return c;
}

void conn_table_give_back(struct conn_table *t, struct conn *c)
{
	CHECK_MAGIC(c, CONN_MAGIC);
	free(c->in);
	c->in = NULL;
	c->fd = -1;
	conn_is_at(c, CONN_AT_NOTHING);
	atomic_fetch_add_explicit(&c->generation, 1, memory_order_relaxed);
	MUST(atomic_exchange_explicit(&c->state, CONN_FREE, memory_order_acq_rel) != CONN_FREE);
	struct conn *top = atomic_load_explicit(&t->given_back, memory_order_relaxed);
	do {
		c->next = top;
	} while (!atomic_compare_exchange_weak_explicit(
	        &t->given_back, &top, c, memory_order_release, memory_order_relaxed));
}

unsigned conn_table_collect(struct conn_table *t, struct timers *timers)
{
	struct conn *c = atomic_exchange_explicit(&t->given_back, NULL, memory_order_acquire);
	unsigned n = 0;

	while (c) {
		struct conn *next = c->next;

		timers_clear(timers, &c->timer);
		if (c->listener)
			atomic_fetch_sub_explicit(&c->listener->open, 1, memory_order_relaxed);
		c->next = t->free;
		t->free = c;
		n++;
		c = next;
	}
	if (n > 0) {
		atomic_fetch_sub_explicit(&t->open, n, memory_order_relaxed);
		atomic_fetch_sub_explicit(t->total, n, memory_order_relaxed);
	}
	return n;
}

static struct conn *find_oldest(struct conn_table *t)
{
	struct conn *oldest = NULL;
	int64_t since = CLOCK_NEVER;

	for (uint32_t i = 0; i < conn_table_made(t); i++) {
		struct conn *c = conn_table_at(t, i);
		int64_t parked_at = atomic_load_explicit(&c->parked_at, memory_order_relaxed);

		if (atomic_load_explicit(&c->state, memory_order_relaxed) == CONN_PARKED &&
		        parked_at < since) {
			oldest = c;
			since = parked_at;
		}
	}
	return oldest;
}

struct conn *conn_table_claim_oldest(struct conn_table *t)
{
	struct conn *c;

	while ((c = find_oldest(t))) {
		unsigned parked = CONN_PARKED;

		if (atomic_compare_exchange_strong_explicit(
		            &c->state, &parked, CONN_CLOSING, memory_order_acquire, memory_order_relaxed))
			return c;
	} /* it became busy this moment: then the next */
	return NULL;
}
