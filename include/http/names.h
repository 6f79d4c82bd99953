/* Names of the fields that somebody looks at: almost every field is looked up here, and almost none of them twice. */
#ifndef TPLB_HTTP_NAMES_H
#define TPLB_HTTP_NAMES_H

#include <stdint.h>

#include "http/head.h"

enum {
	NAMES_LENGTHS = 20, /* the longest has 19 letters */
	NAMES_ENDS = 32
};

/* In lower case: letters and "-" only, which http_is_named relies on. */
extern const char http_names[FIELD_COUNT][24];
/* The one known name of a length whose first and last letters add up to this, modulo 32, in which case makes no difference; FIELD_OTHER: none. */
extern const unsigned char http_names_by_ends[NAMES_LENGTHS][NAMES_ENDS];

static inline uint64_t http_word8(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w | UINT64_C(0x2020202020202020);
}

static inline uint32_t http_word4(const char *p)
{
	uint32_t w;

	memcpy(&w, p, sizeof(w));
	return w | 0x20202020;
}

/*
 * Whether the name is the known one of its length, of 2 to 24 letters, in either case. In words, which overlap where the length is no multiple of theirs. Setting
 * 0x20 folds the case of letters; it makes a "-" only of "-" and of CR, which no name holds.
 */
static inline bool http_is_named(struct str name, const char *known)
{
	const char *last = name.at + name.len, *known_last = known + name.len;

	if (name.len >= 8)
		return http_word8(name.at) == http_word8(known) &&
		       http_word8(last - 8) == http_word8(known_last - 8) &&
		       (name.len <= 16 || http_word8(name.at + 8) == http_word8(known + 8));
	if (name.len >= 4)
		return http_word4(name.at) == http_word4(known) &&
		       http_word4(last - 4) == http_word4(known_last - 4);
	for (size_t i = 0; i < name.len; i++)
		if ((name.at[i] | 0x20) != known[i])
			return false;
	return true;
}

/* http_field_id_of for a name that is not empty. */
static inline enum http_field_id http_name_id(struct str name)
{
	if (name.len >= NAMES_LENGTHS)
		return FIELD_OTHER;
	unsigned ends = (unsigned char)name.at[0] + (unsigned char)name.at[name.len - 1];
	enum http_field_id id = (enum http_field_id)http_names_by_ends[name.len][ends % NAMES_ENDS];
	return id != FIELD_OTHER && http_is_named(name, http_names[id]) ? id : FIELD_OTHER;
}

#endif
