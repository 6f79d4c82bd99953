/* A slice of bytes that somebody else owns; not terminated by a NUL. */
#ifndef TPLB_BASE_STR_H
#define TPLB_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct str {
	const char *at;
	size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).len, (s).at

static inline struct str str_of(const char *text)
{
	return (struct str){text, strlen(text)};
}

/* Without its first n bytes; n: at most s.len. */
static inline struct str str_from(struct str s, size_t n)
{
	return (struct str){s.at + n, s.len - n};
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* ASCII letters compare without case. */
bool str_eq_nocase(struct str a, struct str b);

/* Spaces and tabs off both ends (OWS, RFC 9110 section 5.6.3). */
struct str str_trim(struct str s);

/*
 * The next element of a comma-separated list (RFC 9110 section 5.6.1), trimmed; empty elements are
 * skipped. Takes it off the front of *list. False when nothing is left.
 */
bool str_next_element(struct str *list, struct str *element);

/* Decimal digits only, all of s, at least one; false on anything else or on overflow of 63 bits. */
bool str_to_uint63(struct str s, long long *value);

#endif
