#include "engine/worker.h"

#include <stdlib.h>

struct buf *buf_store_get(struct buf_store *s)
{
	struct buf *b = s->free;

	if (!b)
		return buf_new(s->cap);
	s->free = b->next;
	s->count--;
	b->next = NULL;
	buf_clear(b);
	return b;
}

void buf_store_put(struct buf_store *s, struct buf *b)
{
	if (!b)
		return;
	if (s->count >= s->keep) {
		free(b);
		return;
	}
	b->next = s->free;
	s->free = b;
	s->count++;
}

void buf_store_free(struct buf_store *s)
{
	while (s->free) {
		struct buf *b = s->free;

		s->free = b->next;
		free(b);
	}
	s->count = 0;
}
