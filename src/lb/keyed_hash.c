#include "lb/keyed_hash.h"

#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(HASH_SECRET_BYTES >= XXH3_SECRET_SIZE_MIN, "the secret is too short");

bool hash_secret_make(struct hash_secret *s)
{
	/* Up to 256 bytes come whole, and no signal cuts them short (random(7)). */
	return getrandom(s->bytes, sizeof(s->bytes), 0) == (ssize_t)sizeof(s->bytes);
}

uint64_t keyed_hash(const struct hash_secret *s, const void *key, size_t len)
{
	return XXH3_64bits_withSecret(key, len, s->bytes, sizeof(s->bytes));
}
