/* The name that somebody probably meant. */
#include "conf/conf.h"

#include <string.h>

/* Longer words are compared by their beginnings; no key comes near it. */
enum { WORD_MAX = 63 };

/* Capitals, and '-' for '_', are no difference worth counting. */
static char folded(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '-' ? '_' : c;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours (optimal string alignment) from a to b. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1];
	size_t la = strnlen(a, WORD_MAX), lb = strnlen(b, WORD_MAX);
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];

	for (size_t j = 0; j <= lb; j++)
		before[j] = last[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned differ = folded(a[i - 1]) != folded(b[j - 1]);
			unsigned best = least(least(row[j - 1], last[j]) + 1, last[j - 1] + differ);
			if (i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) &&
			        folded(a[i - 2]) == folded(b[j - 1]))
				best = least(best, before[j - 2] + 1);
			row[j] = best;
		}
		unsigned *spare = before;
		before = last;
		last = row;
		row = spare;
	}
	return last[lb];
}

const char *conf_nearest(const char *word, const char *const *names)
{
	const char *best = NULL;
	unsigned best_distance = 0;

	for (; *names != NULL; names++) {
		size_t shorter = strnlen(word, WORD_MAX), len = strnlen(*names, WORD_MAX);
		if (len < shorter)
			shorter = len;
		unsigned far = distance(word, *names);
		unsigned allowed = shorter < 6 ? 1 : (unsigned)shorter / 3;
		if (far > allowed || far >= shorter)
			continue;
		if (best == NULL || far < best_distance) {
			best = *names;
			best_distance = far;
		}
	}
	return best;
}
