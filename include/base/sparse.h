/*
 * Zeroed arrays of which only what is written takes memory: room for as many as there can ever be, in one place, so that a pointer
 * into it stays good while more come into use.
 */
#ifndef TPLB_BASE_SPARSE_H
#define TPLB_BASE_SPARSE_H

#include <stddef.h>

/* count > 0 items of `size` bytes, on a page's boundary (mmap(2)). NULL when the system does not give the addresses. */
void *sparse_new(size_t count, size_t size);

/* With what sparse_new was given. NULL is allowed. */
void sparse_free(void *at, size_t count, size_t size);

#endif
