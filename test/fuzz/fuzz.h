/*
 * What every fuzz target has: the function that libFuzzer calls with each input, and that replay.c calls with each file of the corpus. A property
 * that does not hold is a MUST (base/assert.h) that ends the process.
 */
#ifndef TPLB_TEST_FUZZ_H
#define TPLB_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/str.h"

/* 0: the input may join the corpus; -1: it says nothing worth keeping. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input read from the front. Past its end all bytes are 0, so that every input means something. */
struct input {
	const uint8_t *at;
	size_t left;
};

static inline unsigned input_byte(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

/* Two bytes; below `limit`. */
static inline unsigned input_below(struct input *in, unsigned limit)
{
	unsigned high = input_byte(in);

	return (high << 8 | input_byte(in)) % limit;
}

/* At most n bytes off the front. */
static inline struct str input_bytes(struct input *in, size_t n)
{
	struct str s = {(const char *)in->at, n < in->left ? n : in->left};

	in->at += s.len;
	in->left -= s.len;
	return s;
}

/* A copy of exactly these bytes, so that AddressSanitizer sees a step beyond them. The caller frees it. */
static inline char *copy_of(struct str s)
{
	char *copy = malloc(s.len > 0 ? s.len : 1);

	MUST(copy != NULL);
	if (s.len > 0)
		memcpy(copy, s.at, s.len);
	return copy;
}

#endif
