#include "obs/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { CACHE_LINE = 64 };

bool ring_init(struct ring *r, size_t cap)
{
	MUST(cap > 0 && (cap & (cap - 1)) == 0);
	atomic_init(&r->written, 0);
	atomic_init(&r->read, 0);
	r->cap = cap;
	r->bytes = malloc(cap);
	return r->bytes != NULL;
}

void ring_free(struct ring *r)
{
	free(r->bytes);
	r->bytes = NULL;
}

bool ring_write(struct ring *r, struct str s)
{
	size_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
	size_t used = written - atomic_load_explicit(&r->read, memory_order_acquire);

	if (s.len > r->cap - used)
		return false;
	size_t at = written & (r->cap - 1);
	size_t before_wrap = r->cap - at < s.len ? r->cap - at : s.len;
	memcpy(r->bytes + at, s.at, before_wrap);
	if (before_wrap < s.len)
		memcpy(r->bytes, s.at + before_wrap, s.len - before_wrap);
	atomic_store_explicit(&r->written, written + s.len, memory_order_release);
	return true;
}

char *ring_room(struct ring *r, size_t n)
{
	size_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
	size_t used = written - atomic_load_explicit(&r->read, memory_order_acquire);
	size_t at = written & (r->cap - 1);

	return n <= r->cap - used && n <= r->cap - at ? r->bytes + at : NULL;
}

void ring_written(struct ring *r, size_t n)
{
	size_t written = atomic_load_explicit(&r->written, memory_order_relaxed);

	atomic_store_explicit(&r->written, written + n, memory_order_release);
	/* Where the next goes was last touched by the reader. By then it is here. */
	for (size_t ahead = CACHE_LINE; ahead <= 2 * CACHE_LINE; ahead += CACHE_LINE)
		__builtin_prefetch(r->bytes + ((written + n + ahead) & (r->cap - 1)), 1);
}

size_t ring_used(const struct ring *r)
{
	return atomic_load_explicit(&r->written, memory_order_relaxed) -
	       atomic_load_explicit(&r->read, memory_order_relaxed);
}

int ring_peek(const struct ring *r, struct str parts[2])
{
	size_t read = atomic_load_explicit(&r->read, memory_order_relaxed);
	size_t used = atomic_load_explicit(&r->written, memory_order_acquire) - read;
	size_t at = read & (r->cap - 1);
	size_t before_wrap = r->cap - at < used ? r->cap - at : used;

	if (used == 0)
		return 0;
	parts[0] = (struct str){r->bytes + at, before_wrap};
	parts[1] = (struct str){r->bytes, used - before_wrap};
	return parts[1].len > 0 ? 2 : 1;
}

void ring_skip(struct ring *r, size_t n)
{
	size_t read = atomic_load_explicit(&r->read, memory_order_relaxed);

	atomic_store_explicit(&r->read, read + n, memory_order_release);
}
