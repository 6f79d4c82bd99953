#include "lb/rate.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/lock.h"
#include "lb/keyed_hash.h"

enum { CACHE_LINE = 64, LOCKS = 64 };

#define YEAR_NS (INT64_C(365) * 86400 * 1000000000)

struct bucket {
	uint64_t key;    /* the hash: of two clients in one bucket nobody will ever hear */
	int64_t full_at; /* 0: unused */
};

struct rate_lock {
	_Alignas(CACHE_LINE) struct lock lock;
	int64_t now; /* lock: the latest time that anyone came with */
};

struct rate {
	_Atomic unsigned owners; /* acq_rel */
	/* constant */
	struct rate_options options;
	int64_t interval;  /* between two tokens */
	int64_t tolerance; /* how far ahead of now full_at may be before a request */
	size_t sets;
	struct hash_secret secret;
	struct bucket *buckets;        /* RATE_SET a set; under the set's lock */
	struct rate_lock locks[LOCKS]; /* set i has lock i % LOCKS */
};

int64_t rate_interval(const struct rate_options *options)
{
	return (options->per + options->requests / 2) / options->requests;
}

struct rate *rate_new(const struct rate_options *options)
{
	void *memory = NULL;

	if (posix_memalign(&memory, CACHE_LINE, sizeof(struct rate)) != 0)
		return NULL;
	struct rate *r = memset(memory, 0, sizeof(*r));
	atomic_init(&r->owners, 1);
	r->options = *options;
	r->interval = rate_interval(options);
	MUST(r->interval > 0 && options->burst > 0 && options->burst <= YEAR_NS / r->interval);
	r->tolerance = (options->burst - 1) * r->interval;
	r->sets = ((size_t)options->entries + RATE_SET - 1) / RATE_SET;
	for (unsigned i = 0; i < LOCKS; i++)
		lock_init(&r->locks[i].lock);
	/* calloc: pages that no client needs are never there. */
	r->buckets = calloc(r->sets, RATE_SET * sizeof(struct bucket));
	if (r->buckets && hash_secret_make(&r->secret))
		return r;
	rate_free(r);
	return NULL;
}

struct rate *rate_share(struct rate *r, const struct rate_options *options)
{
	if (!r || r->options.requests != options->requests || r->options.per != options->per ||
	        r->options.burst != options->burst || r->options.entries != options->entries)
		return NULL;
	atomic_fetch_add_explicit(&r->owners, 1, memory_order_relaxed);
	return r;
}

void rate_free(struct rate *r)
{
	if (!r || atomic_fetch_sub_explicit(&r->owners, 1, memory_order_acq_rel) > 1)
		return;
	for (unsigned i = 0; i < LOCKS; i++)
		lock_destroy(&r->locks[i].lock);
	free(r->buckets);
	free(r);
}

/* The key's bucket, else the one that is full for the longest or will be the soonest. */
static struct bucket *find(struct bucket *set, uint64_t key)
{
	struct bucket *best = set;

	for (unsigned i = 0; i < RATE_SET; i++) {
		if (set[i].full_at != 0 && set[i].key == key)
			return &set[i];
		if (set[i].full_at < best->full_at)
			best = &set[i];
	}
	return best;
}

int64_t rate_take(struct rate *r, const void *key, size_t len, int64_t now, bool *evicted)
{
	uint64_t hash = keyed_hash(&r->secret, key, len);
	size_t set = hash % r->sets;
	struct rate_lock *l = &r->locks[set % LOCKS];

	lock_take(&l->lock);
	/* Who read the clock first may come second: of a burst that comes at once nobody is refused for that. */
	if (now < l->now)
		now = l->now;
	l->now = now;
	struct bucket *b = find(r->buckets + set * RATE_SET, hash);
	bool known = b->full_at != 0 && b->key == hash;
	int64_t full_at = known && b->full_at > now ? b->full_at : now;
	int64_t wait = full_at - now - r->tolerance;
	*evicted = !known && b->full_at > now;
	if (wait <= 0)
		*b = (struct bucket){hash, full_at + r->interval};
	lock_drop(&l->lock);
	return wait > 0 ? wait : 0;
}
