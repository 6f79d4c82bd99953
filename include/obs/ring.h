/*
 * A bounded ring of bytes from one writer to one reader, without a lock. A write is all or nothing, so the reader
 * always sees whole lines.
 */
#ifndef TPLB_OBS_RING_H
#define TPLB_OBS_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct ring {
	_Atomic size_t written; /* bytes ever written; released by the writer */
	_Atomic size_t read;    /* bytes ever read; released by the reader */
	size_t cap;             /* a power of two */
	char *bytes;
};

/* cap: a power of two. False when memory is out. */
bool ring_init(struct ring *r, size_t cap);
void ring_free(struct ring *r);

/* The writer: false when there is no room for all of s. */
bool ring_write(struct ring *r, struct str s);

/* The writer: n bytes in one piece to write into; NULL: there are none. The reader sees what ring_written then says of them. */
char *ring_room(struct ring *r, size_t n);
void ring_written(struct ring *r, size_t n);

/* The writer: bytes that the reader has not taken yet, or a little while ago had not. */
size_t ring_used(const struct ring *r);

/* The reader: the bytes in the ring, in at most two parts; returns the number of parts. ring_skip is then told how many were used. */
int ring_peek(const struct ring *r, struct str parts[2]);
void ring_skip(struct ring *r, size_t n);

#endif
