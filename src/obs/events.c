#include "obs/events.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/lock.h"

static struct {
	struct lock lock;               /* held for copies; nobody takes another one meanwhile */
	_Atomic uint64_t last;          /* relaxed; written under lock */
	struct event kept[EVENTS_KEPT]; /* lock; the one with id n is at n % EVENTS_KEPT */
} ring = {.lock = {.mutex = PTHREAD_MUTEX_INITIALIZER}};

/* The length of the well-formed UTF-8 sequence (RFC 3629, section 4) at s, which a NUL ends; 0: there is none. */
static size_t sequence(const unsigned char *s)
{
	size_t n = s[0] < 0x80   ? 1
	           : s[0] < 0xc2 ? 0
	           : s[0] < 0xe0 ? 2
	           : s[0] < 0xf0 ? 3
	           : s[0] < 0xf5 ? 4
	                         : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||   /* overlong; a surrogate */
	        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) /* overlong; too large */
		return 0;
	return n;
}

/* Puts a question mark in the place of what a peer's bytes might do to a page or a terminal. */
static void clean(char *text)
{
	unsigned char *s = (unsigned char *)text;

	while (*s != '\0') {
		size_t n = sequence(s);

		if (n == 0 || s[0] < ' ' || s[0] == 127 || (s[0] == 0xc2 && s[1] < 0xa0))
			*s++ = '?';
		else
			s += n;
	}
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void keep(enum diag_level level, const char *text)
{
	lock_take(&ring.lock);
	uint64_t id = atomic_load_explicit(&ring.last, memory_order_relaxed) + 1;
	struct event *e = &ring.kept[id % EVENTS_KEPT];
	e->id = id;
	e->at = now_ms();
	e->level = level;
	size_t len = strnlen(text, sizeof(e->text) - 1);
	memcpy(e->text, text, len);
	e->text[len] = '\0';
	clean(e->text);
	atomic_store_explicit(&ring.last, id, memory_order_relaxed);
	lock_drop(&ring.lock);
}

void event(enum diag_level level, const char *format, ...)
{
	char text[DIAG_TEXT_BYTES];
	int saved_errno = errno;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	keep(level, text);
	diag(level, "%s", text);
	errno = saved_errno;
}

uint64_t events_last(void)
{
	return atomic_load_explicit(&ring.last, memory_order_relaxed);
}

unsigned events_read(struct event *out, unsigned most)
{
	lock_take(&ring.lock);
	uint64_t last = atomic_load_explicit(&ring.last, memory_order_relaxed);
	unsigned n = last < EVENTS_KEPT ? (unsigned)last : EVENTS_KEPT;
	if (n > most)
		n = most;
	for (unsigned i = 0; i < n; i++)
		out[i] = ring.kept[(last - n + 1 + i) % EVENTS_KEPT];
	lock_drop(&ring.lock);
	return n;
}
