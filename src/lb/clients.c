#include "lb/clients.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/lock.h"
#include "lb/keyed_hash.h"

enum { CACHE_LINE = 64, LOCKS = 64, SPARE_MAX = 64 };

/* Lives from a client's first request to the end of its last. */
struct client {
	struct addr_ip site; /* constant */
	unsigned count;      /* requests under way; its row's lock */
	size_t row;          /* constant */
	struct client *next; /* in its row, or among the spare ones; the row's lock */
};

struct stripe {
	_Alignas(CACHE_LINE) struct lock lock;
	struct client *spare; /* lock: for the next client */
	unsigned spare_count; /* lock */
};

struct clients {
	_Atomic unsigned owners; /* acq_rel */
	_Atomic unsigned limit;  /* relaxed */
	/* constant */
	size_t rows;
	struct hash_secret secret;
	struct client **row;          /* rows lists; row i under the lock of stripe i % LOCKS */
	struct stripe stripes[LOCKS]; /* a cache line each */
};

struct clients *clients_new(unsigned limit, unsigned expected)
{
	void *memory = NULL;

	if (posix_memalign(&memory, CACHE_LINE, sizeof(struct clients)) != 0)
		return NULL;
	struct clients *cs = memset(memory, 0, sizeof(*cs));
	atomic_init(&cs->owners, 1);
	atomic_init(&cs->limit, limit);
	cs->rows = expected > 0 ? expected : 1;
	for (unsigned i = 0; i < LOCKS; i++)
		lock_init(&cs->stripes[i].lock);
	cs->row = calloc(cs->rows, sizeof(*cs->row));
	if (cs->row && hash_secret_make(&cs->secret))
		return cs;
	clients_free(cs);
	return NULL;
}

struct clients *clients_share(struct clients *cs)
{
	atomic_fetch_add_explicit(&cs->owners, 1, memory_order_relaxed);
	return cs;
}

void clients_set_limit(struct clients *cs, unsigned limit)
{
	atomic_store_explicit(&cs->limit, limit, memory_order_relaxed);
}

void clients_free(struct clients *cs)
{
	if (!cs || atomic_fetch_sub_explicit(&cs->owners, 1, memory_order_acq_rel) > 1)
		return;
	for (unsigned i = 0; i < LOCKS; i++) {
		struct stripe *s = &cs->stripes[i];

		while (s->spare) {
			struct client *c = s->spare;

			s->spare = c->next;
			free(c);
		}
		lock_destroy(&s->lock);
	}
	for (size_t i = 0; cs->row && i < cs->rows; i++)
		MUST(cs->row[i] == NULL);
	free(cs->row);
	free(cs);
}

static struct stripe *stripe_of(struct clients *cs, size_t row)
{
	return &cs->stripes[row % LOCKS];
}

static bool is_same(const struct addr_ip *a, const struct addr_ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* A record for the client, without requests yet; NULL when memory is out. */
static struct client *add_locked(struct clients *cs, struct stripe *s, size_t row, const struct addr_ip *site)
{
	struct client *c = s->spare;

	lock_must_hold(&s->lock);
	if (c) {
		s->spare = c->next;
		s->spare_count--;
	} else if (!(c = malloc(sizeof(*c)))) {
		return NULL;
	}
	*c = (struct client){.site = *site, .row = row, .next = cs->row[row]};
	cs->row[row] = c;
	return c;
}

bool clients_enter(struct clients *cs, const struct addr_ip *site, struct client **client)
{
	size_t row = keyed_hash(&cs->secret, site, sizeof(*site)) % cs->rows;
	struct stripe *s = stripe_of(cs, row);

	lock_take(&s->lock);
	struct client *c = cs->row[row];
	while (c && !is_same(&c->site, site))
		c = c->next;
	if (!c)
		c = add_locked(cs, s, row, site);
	bool enters = !c || c->count < atomic_load_explicit(&cs->limit, memory_order_relaxed);
	if (c && enters)
		c->count++;
	lock_drop(&s->lock);
	*client = enters ? c : NULL;
	return enters;
}

static void remove_locked(struct clients *cs, struct stripe *s, struct client *c)
{
	struct client **link = &cs->row[c->row];

	lock_must_hold(&s->lock);
	while (*link != c)
		link = &(*link)->next;
	*link = c->next;
	if (s->spare_count >= SPARE_MAX) {
		free(c);
		return;
	}
	c->next = s->spare;
	s->spare = c;
	s->spare_count++;
}

void clients_leave(struct clients *cs, struct client *client)
{
	if (!client)
		return;
	struct stripe *s = stripe_of(cs, client->row);

	lock_take(&s->lock);
	MUST(client->count > 0);
	if (--client->count == 0)
		remove_locked(cs, s, client);
	lock_drop(&s->lock);
}
