/*
 * A byte buffer of fixed capacity: [0, start) is consumed, [start, end) holds bytes, [end, cap) is free.
 * One owner at a time; not locked.
 */
#ifndef TPLB_BASE_BUF_H
#define TPLB_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct buf {
	size_t cap;
	size_t start;
	size_t end;
	struct buf *next; /* in a list of free buffers */
	char data[];
};

/* NULL when memory is out. The caller owns it and frees it with free(3). */
struct buf *buf_new(size_t cap);

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

static inline size_t buf_room(const struct buf *b)
{
	return b->cap - b->end;
}

static inline char *buf_head(struct buf *b)
{
	return b->data + b->start;
}

static inline char *buf_tail(struct buf *b)
{
	return b->data + b->end;
}

static inline struct str buf_str(const struct buf *b)
{
	return (struct str){b->data + b->start, b->end - b->start};
}

static inline void buf_clear(struct buf *b)
{
	b->start = b->end = 0;
}

/* Takes n bytes off the front; n is at most buf_len. An emptied buffer starts anew at 0. */
void buf_consume(struct buf *b, size_t n);

/* Moves what is left to the front, so that all free room is at the end. */
void buf_compact(struct buf *b);

/* Appends all or nothing; false when there is no room. */
bool buf_add(struct buf *b, const void *bytes, size_t n);
static inline bool buf_add_str(struct buf *b, struct str s)
{
	return buf_add(b, s.at, s.len);
}
bool buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
