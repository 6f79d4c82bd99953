/* What differs between two structs that were read through the same tables. */
#include "conf/conf.h"

#include <string.h>

/* Longer paths, which no table makes, are cut short. */
enum { PATH_BYTES = 256 };

struct walk {
	conf_differs *told;
	void *arg;
	char path[PATH_BYTES]; /* of what is looked at; its front belongs to the caller */
};

static void diff_section(
        struct walk *w, const struct conf_section *section, const void *a, const void *b, size_t len);

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_strings(const struct conf_strings *a, const struct conf_strings *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!same_text(a->at[i], b->at[i]))
			return false;
	return true;
}

/* Of neither a group nor a list. */
static bool same_value(const struct conf_key *key, const void *a, const void *b)
{
	switch (key->type) {
	case CONF_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case CONF_INT:
	case CONF_DURATION:
		return *(const int64_t *)a == *(const int64_t *)b;
	case CONF_SIZE:
		return *(const uint64_t *)a == *(const uint64_t *)b;
	case CONF_STRING:
		return same_text(*(char *const *)a, *(char *const *)b);
	case CONF_CHOICE:
		return *(const int *)a == *(const int *)b;
	case CONF_STRINGS:
		return same_strings(a, b);
	case CONF_GROUP:
	case CONF_LIST:
		break;
	}
	return true;
}

/* Writes behind the first len bytes of the path; returns how many it then has. */
static size_t add_name(struct walk *w, size_t len, const char *name)
{
	int n = snprintf(w->path + len, PATH_BYTES - len, "%s%s", len > 0 ? "." : "", name);

	return n >= 0 && (size_t)n < PATH_BYTES - len ? len + (size_t)n : PATH_BYTES - 1;
}

static size_t add_index(struct walk *w, size_t len, size_t index)
{
	int n = snprintf(w->path + len, PATH_BYTES - len, "[%zu]", index);

	return n >= 0 && (size_t)n < PATH_BYTES - len ? len + (size_t)n : PATH_BYTES - 1;
}

/* Items have no identity but their place. Where their number differs, the list differs. */
static void diff_list(struct walk *w, const struct conf_key *key, const struct conf_list *a,
        const struct conf_list *b, size_t len)
{
	if (a->count != b->count) {
		w->told(w->arg, w->path, key);
		return;
	}
	for (size_t i = 0; i < a->count; i++) {
		size_t at = i * key->section->size;

		diff_section(w, key->section, (const char *)a->at + at, (const char *)b->at + at,
		        add_index(w, len, i));
	}
}

static void diff_section(
        struct walk *w, const struct conf_section *section, const void *a, const void *b, size_t len)
{
	for (const struct conf_key *key = section->keys; key->name != NULL; key++) {
		const void *of_a = (const char *)a + key->offset, *of_b = (const char *)b + key->offset;
		size_t end = add_name(w, len, key->name);

		if (key->type == CONF_GROUP)
			diff_section(w, key->section, of_a, of_b, end);
		else if (key->type == CONF_LIST)
			diff_list(w, key, of_a, of_b, end);
		else if (!same_value(key, of_a, of_b))
			w->told(w->arg, w->path, key);
	}
}

void conf_diff(const struct conf_section *root, const void *a, const void *b, conf_differs *told, void *arg)
{
	struct walk w = {.told = told, .arg = arg};

	diff_section(&w, root, a, b, 0);
}
