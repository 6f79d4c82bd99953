#include "lb/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/clock.h"

/* A lookup that took so long was given up: an answer comes sooner. */
#define HANG_NS CLOCK_NS_PER_S

static const char srv_prefix[] = "srv:";

bool name_is_srv(const char *text)
{
	return strncmp(text, srv_prefix, sizeof(srv_prefix) - 1) == 0;
}

const char *name_srv_domain(const char *text)
{
	const char *domain = text + sizeof(srv_prefix) - 1, *dot;

	while (domain[0] == '_' && (dot = strchr(domain, '.')) != NULL)
		domain = dot + 1;
	return domain;
}

void name_init(struct name *n, const char *text, unsigned slots, const struct addr *nameserver)
{
	const char *end = text + strlen(text);

	*n = (struct name){.slots = slots, .is_srv = name_is_srv(text), .nameserver = *nameserver};
	MUST((size_t)(end - text) < sizeof(n->text)); /* addr_check and addr_is_name saw to that */
	strcpy(n->text, text);
	if (n->is_srv) {
		text += sizeof(srv_prefix) - 1;
	} else {
		end = strrchr(text, ':');
		n->port = (unsigned)strtoul(end + 1, NULL, 10);
	}
	memcpy(n->host, text, (size_t)(end - text));
}

/* Room for one lookup: large, hence not on a stack. */
struct room {
	struct addr addrs[RESOLVE_MAX];
	struct srv_record records[RESOLVE_MAX];
	struct target found[RESOLVE_MAX];
};

static const struct target *find(const struct target *in, unsigned count, const char *key)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(in[i].key, key) == 0)
			return &in[i];
	return NULL;
}

unsigned name_assign(struct target *slots, unsigned slot_count, const struct target *found, unsigned count)
{
	unsigned free_slot = 0, left_out = 0;

	for (unsigned i = 0; i < slot_count; i++) {
		const struct target *t = slots[i].key[0] ? find(found, count, slots[i].key) : NULL;

		if (!t) {
			slots[i] = (struct target){.share = 0};
			continue;
		}
		slots[i].share = t->share;
		if (t->addr.len > 0) /* else the last one that was good */
			slots[i].addr = t->addr;
	}
	for (unsigned i = 0; i < count; i++) {
		if (found[i].addr.len == 0 || find(slots, slot_count, found[i].key))
			continue;
		while (free_slot < slot_count && slots[free_slot].key[0])
			free_slot++;
		if (free_slot < slot_count)
			slots[free_slot] = found[i];
		else
			left_out++;
	}
	return left_out;
}

static int by_priority(const void *a, const void *b)
{
	const struct srv_record *x = a, *y = b;
	int order = strcasecmp(x->target, y->target); /* RFC 4343 */

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return order != 0 ? order : (int)x->port - (int)y->port;
}

static void set_key(struct target *t, const char *host, unsigned port)
{
	snprintf(t->key, sizeof(t->key), "%s:%u", host, port);
	for (char *p = t->key; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
}

unsigned name_targets(struct srv_record *records, unsigned count, struct target *out)
{
	unsigned heaviest = 0, n = 0;

	qsort(records, count, sizeof(records[0]), by_priority);
	for (unsigned i = 0; i < count && records[i].priority == records[0].priority; i++) {
		const struct srv_record *r = &records[i];

		if (!r->target[0])
			continue;
		if (r->weight > heaviest)
			heaviest = r->weight;
		out[n] = (struct target){.share = r->weight};
		set_key(&out[n++], r->target, r->port);
	}
	for (unsigned i = 0; i < n; i++) {
		unsigned share = heaviest > 0 ? out[i].share * SHARE_FULL / heaviest : SHARE_FULL;

		out[i].share = share > 0 ? share : 1;
	}
	return n;
}

/* One of the addresses: the one in use, if it is still among them. */
static struct addr choose(const struct addr *addrs, unsigned count, const struct target *now)
{
	for (unsigned i = 0; now && i < count; i++)
		if (addr_equal(&addrs[i], &now->addr))
			return addrs[i];
	return addrs[0];
}

static const struct addr *nameserver_of(const struct name *n)
{
	return n->nameserver.len > 0 ? &n->nameserver : NULL;
}

/* The address of an SRV record's target. */
static bool find_address(const struct name *n, const struct target *slots, struct target *t,
        struct room *room, const char **why)
{
	char host[TARGET_KEY_MAX];
	const char *colon = strrchr(t->key, ':');

	snprintf(host, sizeof(host), "%.*s", (int)(colon - t->key), t->key);
	unsigned count = resolve_host(nameserver_of(n), host, (unsigned)strtoul(colon + 1, NULL, 10),
	        room->addrs, RESOLVE_MAX, why);
	if (count > 0)
		t->addr = choose(room->addrs, count, find(slots, n->slots, t->key));
	return count > 0;
}

/* Those of all targets, until one is waited for in vain: the others would take as long. */
static void find_each(const struct name *n, const struct target *slots, struct room *room, unsigned found,
        struct lookup *result)
{
	const char *why;
	bool hangs = false;

	for (unsigned i = 0; i < found; i++) {
		int64_t began = clock_now();

		if (!hangs && find_address(n, slots, &room->found[i], room, &why))
			continue;
		result->unresolved++;
		result->why = why;
		hangs = hangs || clock_now() - began >= HANG_NS;
	}
}

/* Those of SRV records. False: none was found, or of none the address, which no slot has either. */
static bool find_records(const struct name *n, const struct target *slots, struct room *room, unsigned *found,
        struct lookup *result)
{
	unsigned count = resolve_srv(nameserver_of(n), n->host, room->records, RESOLVE_MAX, &result->why);

	if (count == 0)
		return false;
	*found = name_targets(room->records, count, room->found);
	find_each(n, slots, room, *found, result);
	for (unsigned i = 0; i < *found; i++)
		if (room->found[i].addr.len > 0 || find(slots, n->slots, room->found[i].key))
			return true;
	return *found == 0;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct target *)a)->key, ((const struct target *)b)->key);
}

/* Those of a host: an address a slot, or one of them for the one slot. */
static bool find_addresses(const struct name *n, const struct target *slots, struct room *room,
        unsigned *found, struct lookup *result)
{
	unsigned count = resolve_host(
	        nameserver_of(n), n->host, n->port, room->addrs, RESOLVE_MAX, &result->why);

	if (count == 0)
		return false;
	*found = n->slots == 1 ? 1 : count;
	for (unsigned i = 0; i < *found; i++) {
		struct target *t = &room->found[i];

		*t = (struct target){.addr = room->addrs[i], .share = SHARE_FULL};
		addr_format(&t->addr, t->key);
	}
	if (n->slots == 1) {
		set_key(&room->found[0], n->host, n->port);
		room->found[0].addr = choose(room->addrs, count, slots);
	}
	qsort(room->found, *found, sizeof(room->found[0]), by_key); /* name servers turn them around */
	return true;
}

bool name_look_up(const struct name *n, struct target *slots, struct lookup *result)
{
	struct room *room = malloc(sizeof(*room));
	unsigned found = 0;

	*result = (struct lookup){.why = "out of memory"};
	if (!room)
		return false;
	bool good = (n->is_srv ? find_records : find_addresses)(n, slots, room, &found, result);
	if (good) {
		if (result->unresolved == 0)
			result->why = NULL;
		result->left_out = name_assign(slots, n->slots, room->found, found);
	}
	free(room);
	return good;
}
