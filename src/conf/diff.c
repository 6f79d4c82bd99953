/* What differs between two structs that were read through the same tables. */
#define TPLB_CONF_PARTS
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

static void say(struct walk *w, enum conf_change change, const struct conf_key *key, const void *a,
        const void *b, bool live)
{
	w->told(w->arg, &(struct conf_difference){change, w->path, key, a, b, live});
}

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

static size_t add_identity(struct walk *w, size_t len, const char *identity)
{
	int n = snprintf(w->path + len, PATH_BYTES - len, "[%s]", identity);

	return n >= 0 && (size_t)n < PATH_BYTES - len ? len + (size_t)n : PATH_BYTES - 1;
}

static const void *item(const struct conf_key *list, const struct conf_list *l, size_t i)
{
	return (const char *)l->at + i * list->section->size;
}

/* Of a list's item. */
static const char *identity_of(const struct conf_key *list, const void *of)
{
	const struct conf_key *key = list->section->keys;

	while (strcmp(key->name, list->section->identity) != 0)
		key++;
	const char *text = *(char *const *)((const char *)of + key->offset);
	return text ? text : "";
}

/* How many before it have the same identity: as a rule none. */
static size_t turn_of(const struct conf_key *list, const struct conf_list *l, size_t at)
{
	const char *identity = identity_of(list, item(list, l, at));
	size_t n = 0;

	for (size_t i = 0; i < at; i++)
		n += strcmp(identity_of(list, item(list, l, i)), identity) == 0;
	return n;
}

/* Where `other` has the item of that identity and turn; other->count: it has none. */
static size_t find(
        const struct conf_key *list, const struct conf_list *other, const char *identity, size_t turn)
{
	size_t i = 0;

	for (; i < other->count; i++)
		if (strcmp(identity_of(list, item(list, other, i)), identity) == 0 && turn-- == 0)
			break;
	return i;
}

/* Items are found by what they are called: those that went, those that came, those that stay in turn. */
static void diff_named(struct walk *w, const struct conf_key *key, const struct conf_list *a,
        const struct conf_list *b, size_t len)
{
	size_t last = 0;
	bool moved = false;

	for (size_t i = 0; i < a->count; i++) {
		const void *of = item(key, a, i);
		const char *identity = identity_of(key, of);

		if (find(key, b, identity, turn_of(key, a, i)) < b->count)
			continue;
		(void)add_identity(w, len, identity);
		say(w, CONF_REMOVED, key, of, NULL, key->section->live);
	}
	for (size_t i = 0; i < b->count; i++) {
		const void *of = item(key, b, i);
		const char *identity = identity_of(key, of);
		size_t was = find(key, a, identity, turn_of(key, b, i)), end = add_identity(w, len, identity);

		if (was == a->count) {
			say(w, CONF_ADDED, key, NULL, of, key->section->live);
			continue;
		}
		moved |= was < last;
		last = was;
		diff_section(w, key->section, item(key, a, was), of, end);
	}
	w->path[len] = '\0';
	if (moved)
		say(w, CONF_MOVED, key, a, b, key->section->live);
}

/* Items have no identity but their place. Where their number differs, the list differs. */
static void diff_list(struct walk *w, const struct conf_key *key, const struct conf_list *a,
        const struct conf_list *b, size_t len)
{
	if (key->section->identity) {
		diff_named(w, key, a, b, len);
		return;
	}
	if (a->count != b->count) {
		say(w, CONF_CHANGED, key, a, b, key->section->live);
		return;
	}
	for (size_t i = 0; i < a->count; i++)
		diff_section(w, key->section, item(key, a, i), item(key, b, i), add_index(w, len, i));
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
			say(w, CONF_CHANGED, key, of_a, of_b, key->live || section->live);
	}
}

void conf_diff(
        const struct conf_section *root, const void *before, const void *after, conf_differs *told, void *arg)
{
	struct walk w = {.told = told, .arg = arg};

	diff_section(&w, root, before, after, 0);
}

static bool keep_text(struct conf *conf, char **to, const char *from)
{
	*to = conf_text(conf, "%s", from ? from : "");
	return *to != NULL;
}

static bool keep_strings(struct conf *conf, struct conf_strings *to, const struct conf_strings *from)
{
	char **at = conf_alloc(conf, (from->count + 1) * sizeof(*at));

	for (size_t i = 0; at && i < from->count; i++)
		if (!keep_text(conf, &at[i], from->at[i]))
			return false;
	if (at)
		*to = (struct conf_strings){from->count, at};
	return at != NULL;
}

bool conf_keep(struct conf *conf, const struct conf_key *key, void *to, const void *from)
{
	switch (key->type) {
	case CONF_BOOL:
		*(bool *)to = *(const bool *)from;
		break;
	case CONF_INT:
	case CONF_DURATION:
		*(int64_t *)to = *(const int64_t *)from;
		break;
	case CONF_SIZE:
		*(uint64_t *)to = *(const uint64_t *)from;
		break;
	case CONF_CHOICE:
		*(int *)to = *(const int *)from;
		break;
	case CONF_STRING:
		return keep_text(conf, to, *(char *const *)from);
	case CONF_STRINGS:
		return keep_strings(conf, to, from);
	case CONF_GROUP:
	case CONF_LIST:
		break;
	}
	return true;
}
