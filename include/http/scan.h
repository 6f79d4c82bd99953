/*
 * Looks at many bytes of a head at once: which of them are of a class, as bits. Sixteen at a time with the vector instructions that every x86-64 (SSE2) and
 * every 64-bit ARM (NEON) has, eight at a time in a word elsewhere (after L. Lamport, "Multiple Byte Processing with Full-Word Instructions", 1975). No byte
 * beyond the given ones is read.
 */
#ifndef TPLB_HTTP_SCAN_H
#define TPLB_HTTP_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "http/chars.h"

/* SCAN_WORDS: words even so, for a test. */
#if defined(SCAN_WORDS)
#elif defined(__SSE2__)
#include <emmintrin.h>
#define SCAN_VECTORS
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#define SCAN_VECTORS
#endif

enum scan_class {
	SCAN_LF,
	SCAN_CONTROL, /* CTL (RFC 5234 appendix B.1): all but HTAB that a field value does not hold, and HTAB */
	SCAN_NAME,    /* letters and "-": almost all of CHAR_TOKEN that names of fields are made of */
	SCAN_HOST,    /* letters, digits, "-", ".": the same of CHAR_HOST */
	SCAN_TARGET   /* CHAR_TARGET */
};

static inline bool scan_is(enum scan_class class, char c)
{
	switch (class) {
	case SCAN_LF:
		return c == '\n';
	case SCAN_CONTROL:
		return !http_is(CHAR_VALUE, c) || c == '\t';
	case SCAN_NAME:
		return c == '-' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
	case SCAN_HOST:
		return scan_is(SCAN_NAME, c) || c == '.' || http_is_digit(c);
	case SCAN_TARGET:
		return http_is(CHAR_TARGET, c);
	}
	return false;
}

/* In words: eight bytes, of which the result has the highest bit set for those that are of the class. */

#define SCAN_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Neither carries from one byte into the next: bytes below 0x80 are added to at most 0x7f. */
static inline uint64_t scan_word_below(uint64_t w, unsigned char limit) /* limit: at most 0x80 */
{
	return ~(((w & SCAN_EACH(0x7f)) + SCAN_EACH(0x80 - limit)) | w) & SCAN_EACH(0x80);
}

static inline uint64_t scan_word_equal(uint64_t w, unsigned char c)
{
	return scan_word_below(w ^ SCAN_EACH(c), 1);
}

static inline uint64_t scan_word_range(
        uint64_t w, unsigned char first, unsigned char last) /* last: below 0x7f */
{
	return scan_word_below(w, last + 1) & ~scan_word_below(w, first);
}

static inline uint64_t scan_word_of(enum scan_class class, uint64_t w)
{
	switch (class) {
	case SCAN_LF:
		return scan_word_equal(w, '\n');
	case SCAN_CONTROL:
		return scan_word_below(w, 0x20) | scan_word_equal(w, 0x7f);
	case SCAN_NAME:
		return scan_word_range(w | SCAN_EACH(0x20), 'a', 'z') | scan_word_equal(w, '-');
	case SCAN_HOST:
		return scan_word_range(w | SCAN_EACH(0x20), 'a', 'z') |
		       (scan_word_range(w, '-', '9') & ~scan_word_equal(w, '/'));
	case SCAN_TARGET:
		return scan_word_range(w, 0x21, 0x7e) & ~scan_word_equal(w, '#');
	}
	return 0;
}

/* Sixteen bytes as 16 bits, the first byte's is the lowest. */
static inline unsigned scan_16_words(enum scan_class class, const char *p)
{
	unsigned bits = 0;

	for (int i = 0; i < 16; i += 8) {
		uint64_t w;

		memcpy(&w, p + i, sizeof(w));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		w = __builtin_bswap64(w);
#endif
		/* The multiplication moves bit 8k + 7 to 56 + k; no two of its terms meet. */
		w = scan_word_of(class, w) >> 7;
		bits |= (unsigned)(w * UINT64_C(0x0102040810204080) >> 56) << i;
	}
	return bits;
}

#ifdef SCAN_VECTORS
/* The compiler's own vectors: it knows SSE2 and NEON; what it has no operator for is in scan_vector_bits. */
typedef uint8_t scan_vector __attribute__((vector_size(16)));

static inline scan_vector scan_vector_of(enum scan_class class, scan_vector v)
{
	switch (class) {
	case SCAN_LF:
		return (scan_vector)(v == '\n');
	case SCAN_CONTROL:
		return (scan_vector)((v < 0x20) | (v == 0x7f));
	case SCAN_NAME:
		return (scan_vector)(((v | 0x20) - 'a' < 26) | (v == '-'));
	case SCAN_HOST:
		return (scan_vector)(((v | 0x20) - 'a' < 26) | ((v - '-' < 13) & ~(v == '/')));
	case SCAN_TARGET:
		return (scan_vector)((v - 0x21 < 0x5e) & ~(v == '#'));
	}
	return v;
}

/* Bytes are 0 or 0xff. */
static inline unsigned scan_vector_bits(scan_vector yes)
{
#if defined(__SSE2__)
	return (unsigned)_mm_movemask_epi8((__m128i)yes);
#else
	static const scan_vector weights = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
	uint8x16_t weighted = (uint8x16_t)(yes & weights);

	return vaddv_u8(vget_low_u8(weighted)) | (unsigned)vaddv_u8(vget_high_u8(weighted)) << 8;
#endif
}

static inline unsigned scan_16(enum scan_class class, const char *p)
{
	scan_vector v;

	memcpy(&v, p, sizeof(v));
	return scan_vector_bits(scan_vector_of(class, v));
}
#else
static inline unsigned scan_16(enum scan_class class, const char *p)
{
	return scan_16_words(class, p);
}
#endif

/* Bytes that are looked at: [start, end). */
struct span {
	const char *start;
	const char *end;
	const char *whole; /* from where sixteen can be read at most; NULL: there are fewer */
};

static inline struct span span_of(const char *start, const char *end)
{
	return (struct span){start, end, end - start >= 16 ? end - 16 : NULL};
}

/* The fewer than sixteen bytes from p on, as bits. Of those before p some may be read too, none beyond the end. */
unsigned scan_few(enum scan_class class, const struct span *s, const char *p);

/* The first byte of the class from p on; the end where there is none. */
static inline const char *scan_until(enum scan_class class, const struct span *s, const char *p)
{
	for (; __builtin_expect(p <= s->whole, 1); p += 16) {
		unsigned bits = scan_16(class, p);

		if (bits != 0)
			return p + (unsigned)__builtin_ctz(bits);
	}
	unsigned bits = scan_few(class, s, p);
	return bits != 0 ? p + (unsigned)__builtin_ctz(bits) : s->end;
}

/* The first byte from p on that is not of the class; the end where there is none. */
static inline const char *scan_while(enum scan_class class, const struct span *s, const char *p)
{
	for (; __builtin_expect(p <= s->whole, 1); p += 16) {
		unsigned bits = scan_16(class, p);

		if (bits != 0xffff)
			return p + (unsigned)__builtin_ctz(~bits);
	}
	return p + (unsigned)__builtin_ctz(~scan_few(class, s, p));
}

#endif
