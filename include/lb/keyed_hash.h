/* A hash for tables whose keys clients choose: nobody outside knows which of them meet in one place. */
#ifndef TPLB_LB_KEYED_HASH_H
#define TPLB_LB_KEYED_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HASH_SECRET_BYTES = 192 /* what XXH3 mixes its input with; at least 136 */ };

/* Constant once made. */
struct hash_secret {
	unsigned char bytes[HASH_SECRET_BYTES];
};

/* Random bytes from the system. False when it has none for us (a filter forbids getrandom(2)). */
bool hash_secret_make(struct hash_secret *s);

/* XXH3, 64 bits, under the secret. */
uint64_t keyed_hash(const struct hash_secret *s, const void *key, size_t len);

#endif
