/* The ends of scans. */
#include "http/scan.h"

static inline unsigned few(enum scan_class class, const struct span *s, const char *p)
{
	unsigned bits = 0;

	if (s->whole)
		return scan_16(class, s->whole) >> (p - s->whole);
	for (int i = 0; i < s->end - p; i++)
		bits |= (unsigned)scan_is(class, p[i]) << i;
	return bits;
}

/* A constant class each, so that the compiler knows what to look for. */
unsigned scan_few(enum scan_class class, const struct span *s, const char *p)
{
	switch (class) {
	case SCAN_LF:
		return few(SCAN_LF, s, p);
	case SCAN_CONTROL:
		return few(SCAN_CONTROL, s, p);
	case SCAN_NAME:
		return few(SCAN_NAME, s, p);
	case SCAN_HOST:
		return few(SCAN_HOST, s, p);
	case SCAN_TARGET:
		return few(SCAN_TARGET, s, p);
	}
	return 0;
}
