#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

struct buf *buf_new(size_t cap)
{
	struct buf *b = malloc(sizeof(*b) + cap);

	if (!b)
		return NULL;
	b->cap = cap;
	b->start = b->end = 0;
	b->next = NULL;
	return b;
}

void buf_consume(struct buf *b, size_t n)
{
	MUST(n <= buf_len(b));
	b->start += n;
	if (b->start == b->end)
		buf_clear(b);
}

void buf_compact(struct buf *b)
{
	if (b->start == 0)
		return;
	memmove(b->data, b->data + b->start, buf_len(b));
	b->end -= b->start;
	b->start = 0;
}

bool buf_add(struct buf *b, const void *bytes, size_t n)
{
	if (n > buf_room(b))
		return false;
	if (n > 0)
		memcpy(buf_tail(b), bytes, n);
	b->end += n;
	return true;
}

bool buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(buf_tail(b), buf_room(b), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= buf_room(b))
		return false;
	b->end += (size_t)n;
	return true;
}
