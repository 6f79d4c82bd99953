#include "obs/labels.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { BUCKETS = 1024 };

struct label {
	unsigned number;
	struct label *next; /* in its bucket */
	char text[];
};

/* The process's own: numbers outlive whatever they are about. */
static struct {
	pthread_mutex_t lock;
	unsigned count;                                      /* lock: numbers given out are 1 to this */
	struct label *buckets[BUCKETS];                      /* lock */
	_Atomic(const struct label *) by_number[LABELS_MAX]; /* written once, under lock: release; acquire */
} labels = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* FNV-1a (Fowler, Noll, Vo, 1991). */
static unsigned bucket_of(const char *text)
{
	uint32_t h = 2166136261u;

	for (; *text != '\0'; text++)
		h = (h ^ (unsigned char)*text) * 16777619u;
	return h % BUCKETS;
}

static unsigned add_locked(const char *text, struct label **bucket)
{
	size_t size = strlen(text) + 1;
	struct label *l = labels.count + 1 < LABELS_MAX ? malloc(sizeof(*l) + size) : NULL;

	if (!l)
		return LABEL_NONE;
	l->number = ++labels.count;
	l->next = *bucket;
	memcpy(l->text, text, size);
	*bucket = l;
	atomic_store_explicit(&labels.by_number[l->number], l, memory_order_release);
	return l->number;
}

unsigned label_of(const char *text)
{
	struct label **bucket = &labels.buckets[bucket_of(text)];
	unsigned number = LABEL_NONE;

	PTHREAD_OK(pthread_mutex_lock(&labels.lock));
	for (const struct label *l = *bucket; l && number == LABEL_NONE; l = l->next)
		if (strcmp(l->text, text) == 0)
			number = l->number;
	if (number == LABEL_NONE)
		number = add_locked(text, bucket);
	PTHREAD_OK(pthread_mutex_unlock(&labels.lock));
	return number;
}

const char *label_text(unsigned label)
{
	const struct label *l = label < LABELS_MAX
	                                ? atomic_load_explicit(&labels.by_number[label], memory_order_acquire)
	                                : NULL;

	return l ? l->text : "";
}
