/* The policies: the order of smooth weights, exactness over threads, and statistics of the others, with servers coming and going. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "lb/pick.h"
#include "lb/standing.h"

enum { SERVERS_MAX = 8, THREADS = 4, PICKS = 7000 };

static struct server servers[SERVERS_MAX];
static struct server_load loads[SERVERS_MAX];
static struct lb_config_upstream config;

static struct upstream upstream_by(
        enum lb_balance balance, const char *header, const unsigned *weights, unsigned count)
{
	struct upstream u = {
	        .name = "u", .count = count, .primaries = count, .servers = servers, .config = &config};

	memset(servers, 0, sizeof(servers));
	memset(loads, 0, sizeof(loads));
	for (unsigned i = 0; i < count; i++) {
		servers[i].weight = weights[i];
		servers[i].load = &loads[i];
		servers[i].id = 0x1234567 * (uint64_t)(i + 1);
	}
	u.picker = picker_new(balance, header, &u);
	ck_assert_ptr_nonnull(u.picker);
	return u;
}

static struct upstream upstream_of(const unsigned *weights, unsigned count)
{
	return upstream_by(LB_BALANCE_ROUNDROBIN, NULL, weights, count);
}

static unsigned pick(struct upstream *u)
{
	static const struct addr_ip client;
	struct pick_request r = {.client = &client};

	return pick_server(u, &r);
}

static const struct {
	unsigned count;
	unsigned weights[SERVERS_MAX];
	const char *order; /* once around, by hand */
} orders[] = {
        {1, {1}, "a"},
        {1, {256}, "a"},
        {3, {1, 1, 1}, "abc"},
        {3, {7, 7, 7}, "abc"},
        {2, {2, 1}, "aba"},
        {2, {1, 2}, "bab"},
        {2, {4, 2}, "aba"},
        {3, {5, 1, 1}, "aabacaa"},
        {3, {10, 2, 2}, "aabacaa"},
        {4, {4, 3, 2, 1}, "abcabdacba"},
};

START_TEST(order)
{
	struct upstream u = upstream_of(orders[_i].weights, orders[_i].count);
	size_t len = strlen(orders[_i].order);

	for (size_t turn = 0; turn < 5 * len; turn++)
		ck_assert_int_eq('a' + (int)pick(&u), orders[_i].order[turn % len]);
	picker_free(u.picker);
}
END_TEST

/* Each gets its share of every round exactly, whatever the weights. */
START_TEST(shares)
{
	unsigned weights[SERVERS_MAX], got[SERVERS_MAX] = {0}, sum = 0;
	unsigned state = (unsigned)_i + 1;

	for (unsigned i = 0; i < SERVERS_MAX; i++) {
		state = state * 1664525u + 1013904223u;
		weights[i] = 1 + (state >> 8) % 256;
		sum += weights[i];
	}
	struct upstream u = upstream_of(weights, SERVERS_MAX);
	for (unsigned i = 0; i < 3 * sum; i++)
		got[pick(&u)]++;
	for (unsigned i = 0; i < SERVERS_MAX; i++)
		ck_assert_uint_eq(got[i], 3 * weights[i]);
	picker_free(u.picker);
}
END_TEST

struct picking {
	struct upstream *upstream;
	pthread_t thread;
	unsigned got[SERVERS_MAX];
};

static void *pick_often(void *arg)
{
	struct picking *p = arg;

	for (int i = 0; i < PICKS; i++) {
		unsigned server = pick(p->upstream);

		MUST(server < p->upstream->count);
		p->got[server]++;
	}
	return NULL;
}

START_TEST(over_threads)
{
	static const unsigned weights[] = {5, 1, 1};
	struct upstream u = upstream_of(weights, 3);
	static struct picking all[THREADS];
	unsigned got[3] = {0};

	for (unsigned i = 0; i < THREADS; i++) {
		all[i] = (struct picking){.upstream = &u};
		PTHREAD_OK(pthread_create(&all[i].thread, NULL, pick_often, &all[i]));
	}
	for (unsigned i = 0; i < THREADS; i++) {
		PTHREAD_OK(pthread_join(all[i].thread, NULL));
		for (unsigned k = 0; k < 3; k++)
			got[k] += all[i].got[k];
	}
	for (unsigned k = 0; k < 3; k++)
		ck_assert_uint_eq(got[k], THREADS * PICKS / 7 * weights[k]);
	picker_free(u.picker);
}
END_TEST

static const unsigned alike[] = {1, 1, 1, 1, 1, 1, 1, 1};

/* Each once, and the backups at the end in their order, whatever the policy. */
START_TEST(each_once)
{
	static const enum lb_balance policies[] = {LB_BALANCE_ROUNDROBIN, LB_BALANCE_LEASTCONN,
	        LB_BALANCE_RANDOM, LB_BALANCE_SOURCE, LB_BALANCE_URI, LB_BALANCE_HEADER};
	struct upstream u = upstream_by(policies[_i], "X-Key", alike, SERVERS_MAX);
	static const struct addr_ip client;
	const struct http_head head = {.path = STR("/a")};

	picker_free(u.picker);
	u.primaries = 5;
	u.picker = picker_new(policies[_i], "X-Key", &u);
	for (int n = 0; n < 200; n++) {
		struct pick_request r = {.client = &client, .head = &head};
		unsigned seen = 0;

		for (unsigned i = 0; i < u.count; i++) {
			unsigned server = pick_server(&u, &r);

			ck_assert(i < 5 ? server < 5 : server == i);
			ck_assert_uint_eq(seen & (1u << server), 0);
			seen |= 1u << server;
		}
	}
	picker_free(u.picker);
}
END_TEST

START_TEST(leastconn)
{
	static const unsigned weights[] = {1, 2, 1};
	struct upstream u = upstream_by(LB_BALANCE_LEASTCONN, NULL, weights, 3);

	/* As many as the weights say, when nothing ends. */
	for (int i = 0; i < 400; i++)
		loads[pick(&u)].active++;
	ck_assert_uint_eq(loads[0].active, 100);
	ck_assert_uint_eq(loads[1].active, 200);
	ck_assert_uint_eq(loads[2].active, 100);
	/* A slow one gets no more until it has caught up. */
	loads[0].active = 150;
	for (int i = 0; i < 150; i++) {
		unsigned server = pick(&u);

		ck_assert_uint_ne(server, 0);
		loads[server].active++;
	}
	/* One without any, as after its return, is first. */
	loads[2].active = 0;
	ck_assert_uint_eq(pick(&u), 2);
	picker_free(u.picker);
}
END_TEST

/* Idle servers are used evenly. */
START_TEST(leastconn_in_turn)
{
	struct upstream u = upstream_by(LB_BALANCE_LEASTCONN, NULL, alike, 4);
	unsigned got[4] = {0};

	for (int i = 0; i < 400; i++)
		got[pick(&u)]++;
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(got[i], 100);
	picker_free(u.picker);
}
END_TEST

/* ... or as their weights say. */
START_TEST(idle_weights)
{
	static const enum lb_balance policies[] = {
	        LB_BALANCE_LEASTCONN, LB_BALANCE_RANDOM, LB_BALANCE_HEADER};
	static const unsigned weights[] = {1, 3, 4};
	struct upstream u = upstream_by(policies[_i], "X-None", weights, 3);
	const struct http_head head = {.path = STR("/")};
	unsigned got[3] = {0};

	for (int i = 0; i < 8000; i++) {
		struct pick_request r = {.head = &head};

		got[pick_server(&u, &r)]++;
	}
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_ge(got[i], 1000 * weights[i] - 180); /* 4 standard deviations */
		ck_assert_uint_le(got[i], 1000 * weights[i] + 180);
	}
	picker_free(u.picker);
}
END_TEST

enum { ONCE_AROUND = 8000 };

/* How often each is picked, for as many keys; loads stay 0. */
static void count_by_server(struct upstream *u, unsigned got[3])
{
	static const struct addr_ip client;

	memset(got, 0, 3 * sizeof(got[0]));
	for (int i = 0; i < ONCE_AROUND; i++) {
		char path[16];
		struct http_head head = {.is_request = true};
		struct pick_request r = {.head = &head, .client = &client};

		snprintf(path, sizeof(path), "/%d", i);
		head.path = str_of(path);
		got[pick_server(u, &r)]++;
	}
}

static const enum lb_balance weighed[] = {
        LB_BALANCE_ROUNDROBIN, LB_BALANCE_LEASTCONN, LB_BALANCE_RANDOM, LB_BALANCE_URI, LB_BALANCE_HEADER};

/* Weights that are set while it runs have the effect of configured ones, whatever the policy; up and down again. */
START_TEST(weights_set)
{
	static const unsigned first[] = {1, 1, 1},
	                      after[][3] = {{1, 3, 4}, {256, 1, 255}, {2, 5, 1}, {1, 1, 2}};
	struct upstream u = upstream_by(weighed[_i], "X-None", first, 3);
	unsigned got[3];

	for (size_t row = 0; row < sizeof(after) / sizeof(after[0]); row++) {
		unsigned total = 0;

		for (unsigned i = 0; i < 3; i++) {
			ck_assert(server_weigh(&u, &servers[i], after[row][i]));
			total += after[row][i];
		}
		count_by_server(&u, got);
		for (unsigned i = 0; i < 3; i++) {
			double want = (double)ONCE_AROUND * after[row][i] / total;

			ck_assert_double_ge(got[i], want - 180); /* 4 standard deviations */
			ck_assert_double_le(got[i], want + 180);
		}
	}
	picker_free(u.picker);
}
END_TEST

/* An order that is written anew amid picks never gives a server that is not there; afterwards the shares are exact. */
START_TEST(weights_set_over_threads)
{
	static const unsigned weights[] = {5, 1, 1};
	struct upstream u = upstream_of(weights, 3);
	static struct picking all[THREADS];
	unsigned got[3] = {0};

	for (unsigned i = 0; i < THREADS; i++) {
		all[i] = (struct picking){.upstream = &u};
		PTHREAD_OK(pthread_create(&all[i].thread, NULL, pick_often, &all[i]));
	}
	for (unsigned i = 0; i < 300; i++)
		ck_assert(server_weigh(&u, &servers[i % 3], 1 + i * 37 % LB_WEIGHT_MAX));
	for (unsigned i = 0; i < THREADS; i++)
		PTHREAD_OK(pthread_join(all[i].thread, NULL));
	for (unsigned i = 0; i < 3; i++)
		ck_assert(server_weigh(&u, &servers[i], i + 1));
	for (unsigned i = 0; i < 600; i++)
		got[pick(&u)]++;
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(got[i], 100 * (i + 1));
	picker_free(u.picker);
}
END_TEST

/* When a heavy one is down the others keep their shares. */
START_TEST(shares_of_the_rest)
{
	static const unsigned weights[] = {5, 1, 1};
	struct upstream u = upstream_of(weights, 3);
	unsigned got[3] = {0};

	for (int i = 0; i < 700; i++) {
		struct pick_request r = {.head = NULL};
		unsigned server = pick_server(&u, &r);

		got[server != 0 ? server : pick_server(&u, &r)]++;
	}
	ck_assert_uint_ge(got[1], 300);
	ck_assert_uint_ge(got[2], 300);
	picker_free(u.picker);
}
END_TEST

/* With balls that stay, the fullest of n bins is within a few of the mean: one choice would be some 4 standard deviations off. */
START_TEST(random_two_choices)
{
	struct upstream u = upstream_by(LB_BALANCE_RANDOM, NULL, alike, SERVERS_MAX);

	for (int i = 0; i < 8000; i++)
		loads[pick(&u)].active++;
	for (int i = 0; i < SERVERS_MAX; i++) {
		ck_assert_uint_ge(loads[i].active, 985);
		ck_assert_uint_le(loads[i].active, 1015);
	}
	picker_free(u.picker);
}
END_TEST

/* By weight, when nothing ends. */
START_TEST(random_weights)
{
	static const unsigned weights[] = {1, 3};
	struct upstream u = upstream_by(LB_BALANCE_RANDOM, NULL, weights, 2);

	for (int i = 0; i < 4000; i++)
		loads[pick(&u)].active++;
	ck_assert_uint_ge(loads[1].active, 2980);
	ck_assert_uint_le(loads[1].active, 3020);
	picker_free(u.picker);
}
END_TEST

static unsigned by_uri(struct upstream *u, unsigned key)
{
	char path[32];
	struct http_head head = {.is_request = true};
	struct pick_request r = {.head = &head};

	snprintf(path, sizeof(path), "/file/%u?x=%u", key, key * 7);
	head.path = str_of(path);
	return pick_server(u, &r);
}

enum { KEYS = 20000 };

/* The shares follow the weights: 4 standard deviations, and 1 % for the hash. */
START_TEST(hash_shares)
{
	static const unsigned weights[] = {1, 2, 3, 4};
	struct upstream u = upstream_by(LB_BALANCE_URI, NULL, weights, 4);
	unsigned got[4] = {0};

	for (unsigned key = 0; key < KEYS; key++)
		got[by_uri(&u, key)]++;
	for (unsigned i = 0; i < 4; i++) {
		double want = KEYS * weights[i] / 10.0;

		ck_assert_double_ge(got[i], want * 0.95);
		ck_assert_double_le(got[i], want * 1.05);
	}
	picker_free(u.picker);
}
END_TEST

/* The path alone counts. */
START_TEST(hash_of_path)
{
	struct upstream u = upstream_by(LB_BALANCE_URI, NULL, alike, SERVERS_MAX);
	struct http_head one = {.path = STR("/a?b=1")}, other = {.path = STR("/a?c=2")},
	                 bare = {.path = STR("/a")};
	struct pick_request a = {.head = &one}, b = {.head = &other}, c = {.head = &bare};
	unsigned server = pick_server(&u, &a);

	ck_assert_uint_eq(pick_server(&u, &b), server);
	ck_assert_uint_eq(pick_server(&u, &c), server);
	picker_free(u.picker);
}
END_TEST

/* A server that gets lighter loses keys and gets none; what it had before it has again with the weight of before. */
START_TEST(hash_weight_moves_little)
{
	static unsigned before[KEYS];
	struct upstream u = upstream_by(LB_BALANCE_URI, NULL, alike, 4);
	unsigned moved = 0;

	for (unsigned i = 0; i < 4; i++)
		ck_assert(server_weigh(&u, &servers[i], 10));
	for (unsigned key = 0; key < KEYS; key++)
		before[key] = by_uri(&u, key);
	ck_assert(server_weigh(&u, &servers[1], 5));
	for (unsigned key = 0; key < KEYS; key++) {
		unsigned now = by_uri(&u, key);

		ck_assert(now == before[key] || (before[key] == 1 && now != 1));
		moved += now != before[key];
	}
	/* Of a fourth of the keys it keeps a seventh of all. */
	ck_assert_double_ge(moved, KEYS * (1 / 4.0 - 1 / 7.0) * 0.9);
	ck_assert_double_le(moved, KEYS * (1 / 4.0 - 1 / 7.0) * 1.1);
	ck_assert(server_weigh(&u, &servers[1], 10));
	for (unsigned key = 0; key < KEYS; key++)
		ck_assert_uint_eq(by_uri(&u, key), before[key]);
	picker_free(u.picker);
}
END_TEST

/* When a server leaves only its own keys move, and they spread over all the others; when it comes back all is as before. */
START_TEST(hash_moves_little)
{
	static unsigned before[KEYS];
	struct upstream u = upstream_by(LB_BALANCE_URI, NULL, alike, SERVERS_MAX);
	unsigned moved[SERVERS_MAX] = {0}, total = 0;

	for (unsigned key = 0; key < KEYS; key++)
		before[key] = by_uri(&u, key);
	picker_free(u.picker);
	u.count = u.primaries = SERVERS_MAX - 1; /* the last has gone */
	u.picker = picker_new(LB_BALANCE_URI, NULL, &u);
	for (unsigned key = 0; key < KEYS; key++) {
		unsigned now = by_uri(&u, key);

		if (before[key] != SERVERS_MAX - 1) {
			ck_assert_uint_eq(now, before[key]);
			continue;
		}
		moved[now]++;
		total++;
	}
	for (unsigned i = 0; i < SERVERS_MAX - 1; i++) {
		ck_assert_double_ge(moved[i], total / 7.0 * 0.75);
		ck_assert_double_le(moved[i], total / 7.0 * 1.25);
	}
	picker_free(u.picker);
}
END_TEST

/* One key alone, and requests that do not end: beyond a few nobody has more than 1.25 times its share and one. */
START_TEST(hash_bounded)
{
	struct upstream u = upstream_by(LB_BALANCE_URI, NULL, alike, 4);
	unsigned first = by_uri(&u, 42);

	for (unsigned n = 1; n <= 4000; n++) {
		loads[by_uri(&u, 42)].active++;
		for (unsigned i = 0; i < 4; i++)
			ck_assert_double_le(loads[i].active, n <= 51 ? 16 : n / 4.0 * 1.25 + 1);
	}
	ck_assert_double_ge(loads[first].active, 1240);
	picker_free(u.picker);
}
END_TEST

START_TEST(hash_of_source)
{
	struct upstream u = upstream_by(LB_BALANCE_SOURCE, NULL, alike, SERVERS_MAX);
	unsigned got[SERVERS_MAX] = {0};

	for (unsigned n = 0; n < 4000; n++) {
		struct addr_ip client = {
		        .bytes = {10, 0, (unsigned char)(n >> 8), (unsigned char)n}, .port = (in_port_t)n};
		struct pick_request r = {.client = &client}, again = {.client = &client};
		unsigned server = pick_server(&u, &r);

		client.port++; /* the port does not count */
		ck_assert_uint_eq(pick_server(&u, &again), server);
		got[server]++;
	}
	for (unsigned i = 0; i < SERVERS_MAX; i++) {
		ck_assert_uint_ge(got[i], 400);
		ck_assert_uint_le(got[i], 600);
	}
	picker_free(u.picker);
}
END_TEST

/* By the field's value, whatever the case of its name; anywhere without one. */
START_TEST(hash_of_header)
{
	struct upstream u = upstream_by(LB_BALANCE_HEADER, "X-User", alike, SERVERS_MAX);
	struct http_field one = {.name = STR("x-user"), .value = STR("ann")};
	struct http_field other = {.name = STR("X-USER"), .value = STR("ann")};
	struct http_field stranger = {.name = STR("X-Users"), .value = STR("ann")};
	struct http_head a = {.count = 1, .fields = &one}, b = {.count = 1, .fields = &other};
	struct http_head c = {.count = 1, .fields = &stranger};
	unsigned seen = 0;

	for (int i = 0; i < 10; i++) {
		struct pick_request r = {.head = &a}, s = {.head = &b};

		ck_assert_uint_eq(pick_server(&u, &r), pick_server(&u, &s));
	}
	for (int i = 0; i < 200; i++) {
		struct pick_request r = {.head = &c};

		seen |= 1u << pick_server(&u, &r);
	}
	ck_assert_uint_eq(seen, (1u << SERVERS_MAX) - 1);
	picker_free(u.picker);
}
END_TEST

static void set_state(struct upstream *u, unsigned server, enum server_state state)
{
	atomic_store(&servers[server].state, state);
	u->impaired = 0;
	for (unsigned i = 0; i < u->count; i++)
		u->impaired += server_state(&servers[i]) != SERVER_UP;
}

static const enum lb_balance every_policy[] = {LB_BALANCE_ROUNDROBIN, LB_BALANCE_LEASTCONN, LB_BALANCE_RANDOM,
        LB_BALANCE_SOURCE, LB_BALANCE_URI, LB_BALANCE_HEADER};

/* All that a request is offered, in order: a letter a server, a capital one in panic. */
static const char *offers(struct upstream *u)
{
	static const struct addr_ip client;
	const struct http_head head = {.path = STR("/a")};
	static char text[SERVERS_MAX + 1];
	struct pick_request r = {.client = &client, .head = &head};
	unsigned server, n = 0;

	while ((server = pick_server(u, &r)) < u->count) {
		ck_assert_uint_lt(n, SERVERS_MAX);
		text[n++] = (char)((r.in_panic ? 'A' : 'a') + (int)server);
	}
	text[n] = '\0';
	return text;
}

/* Servers 0 and 1, and 2 and 3 as backups: who is offered in what states, whatever the policy. */
START_TEST(by_state)
{
	struct upstream u = upstream_by(every_policy[_i], "X-Key", alike, 4);

	picker_free(u.picker);
	u.primaries = 2;
	u.picker = picker_new(every_policy[_i], "X-Key", &u);
	set_state(&u, 0, SERVER_DOWN);
	ck_assert_str_eq(offers(&u), "bcd");
	set_state(&u, 2, SERVER_DRAINING);
	ck_assert_str_eq(offers(&u), "bd");
	set_state(&u, 1, SERVER_MAINT);
	ck_assert_str_eq(offers(&u), "d");
	set_state(&u, 3, SERVER_DOWN);
	ck_assert_str_eq(offers(&u), "");
	config.panic = true;
	ck_assert_str_eq(offers(&u), "AD");
	set_state(&u, 1, SERVER_UP);
	ck_assert_str_eq(offers(&u), "bAD");
	config.panic = false;
	picker_free(u.picker);
}
END_TEST

/* Who is down leaves its share to the others by their weights; a hash moves nothing else. */
START_TEST(down_and_back)
{
	static const unsigned weights[] = {4, 1, 1, 2};
	static const enum lb_balance policies[] = {
	        LB_BALANCE_ROUNDROBIN, LB_BALANCE_LEASTCONN, LB_BALANCE_RANDOM, LB_BALANCE_URI};
	struct upstream u = upstream_by(policies[_i], NULL, weights, 4);
	static unsigned before[KEYS];
	unsigned got[4] = {0};

	for (unsigned key = 0; key < KEYS; key++)
		before[key] = by_uri(&u, key);
	set_state(&u, 0, SERVER_DOWN);
	for (unsigned key = 0; key < KEYS; key++) {
		unsigned now = by_uri(&u, key);

		got[now]++;
		if (policies[_i] == LB_BALANCE_URI && before[key] != 0)
			ck_assert_uint_eq(now, before[key]);
	}
	ck_assert_uint_eq(got[0], 0);
	for (unsigned i = 1; i < 4; i++) {
		ck_assert_double_ge(got[i], KEYS * weights[i] / 4.0 * 0.95);
		ck_assert_double_le(got[i], KEYS * weights[i] / 4.0 * 1.05);
	}
	set_state(&u, 0, SERVER_UP);
	for (unsigned key = 0; policies[_i] == LB_BALANCE_URI && key < KEYS; key++)
		ck_assert_uint_eq(by_uri(&u, key), before[key]);
	picker_free(u.picker);
}
END_TEST

/* At a half of its share one of four gets 1 of 7: by any policy that shares out. And it alone is asked when there is no other. */
START_TEST(slow_start)
{
	struct upstream u = upstream_by(every_policy[_i], "X-None", alike, 4);
	const struct http_head head = {.path = STR("/")};
	unsigned got[4] = {0};

	servers[2].held_back = 128;
	u.impaired = 1;
	for (int n = 0; n < 14000; n++) {
		struct addr_ip client = {.bytes = {(unsigned char)n, (unsigned char)(n >> 8)}};
		char path[32];
		struct http_head own = head;
		struct pick_request r = {.client = &client, .head = &own};

		snprintf(path, sizeof(path), "/%d", n);
		own.path = str_of(path);
		got[pick_server(&u, &r)]++;
	}
	ck_assert_uint_ge(got[2], 1500); /* 1750 by the dice alone */
	ck_assert_uint_le(got[2], 2200); /* 2000 by weights */
	for (unsigned i = 0; i < 4; i++)
		if (i != 2)
			set_state(&u, i, SERVER_DOWN);
	ck_assert_str_eq(offers(&u), "c");
	/* A backup is not for the time that a server needs to start. */
	picker_free(u.picker);
	u.primaries = 3;
	u.picker = picker_new(every_policy[_i], "X-None", &u);
	set_state(&u, 3, SERVER_UP);
	servers[2].held_back = 250;
	for (int n = 0; n < 100; n++)
		ck_assert_str_eq(offers(&u), "cd");
	picker_free(u.picker);
}
END_TEST

START_TEST(nobody)
{
	picker_free(NULL);
}
END_TEST

/* SRV records' weights: by every policy each gets its share. And one alone is asked, however light it is. */
START_TEST(lighter)
{
	struct upstream u = upstream_by(every_policy[_i], "X-None", alike, 4);
	const struct http_head head = {.path = STR("/")};
	unsigned got[4] = {0};

	for (unsigned i = 0; i < 4; i++)
		servers[i].lighter = i == 0 ? 0 : SHARE_FULL - SHARE_FULL / 4;
	u.impaired = 3;
	for (int n = 0; n < 14000; n++) {
		struct addr_ip client = {.bytes = {(unsigned char)n, (unsigned char)(n >> 8)}};
		char path[32];
		struct http_head own = head;
		struct pick_request r = {.client = &client, .head = &own};

		snprintf(path, sizeof(path), "/%d", n);
		own.path = str_of(path);
		got[pick_server(&u, &r)]++;
	}
	ck_assert_uint_ge(got[0], 7700); /* 8000 */
	ck_assert_uint_le(got[0], 8300);
	for (unsigned i = 1; i < 4; i++) {
		ck_assert_uint_ge(got[i], 1800); /* 2000 */
		ck_assert_uint_le(got[i], 2200);
	}
	for (unsigned i = 0; i < 3; i++)
		set_state(&u, i, SERVER_ABSENT);
	ck_assert_str_eq(offers(&u), "d");
	set_state(&u, 3, SERVER_ABSENT);
	ck_assert_str_eq(offers(&u), "");
	picker_free(u.picker);
}
END_TEST

static const struct picker_ops *counted_ops; /* of the policy that count_picks stands before */
static unsigned policy_picks;

static unsigned count_picks(struct picker *p, const struct upstream *u, const struct pick_request *r)
{
	policy_picks++;
	return counted_ops->pick(p, u, r);
}

/* However many servers start slowly: the policy is asked twice, in a panic four times. */
START_TEST(bounded)
{
	enum { MANY = LB_SERVERS_MAX };
	struct server *many = calloc(MANY, sizeof(*many));
	struct server_load *many_loads = calloc(MANY, sizeof(*many_loads));
	struct upstream u = {.name = "u",
	        .count = MANY,
	        .primaries = MANY,
	        .servers = many,
	        .config = &config,
	        .impaired = MANY};
	const struct http_head head = {.path = STR("/")};
	const struct addr_ip client = {.bytes = {1}};
	struct picker_ops ops;

	for (unsigned i = 0; i < MANY; i++) {
		many[i].weight = 1;
		many[i].load = &many_loads[i];
		many[i].id = i;
	}
	u.picker = picker_new(every_policy[_i], "X-None", &u);
	for (unsigned i = 0; i < MANY; i++)
		many[i].held_back = 250;
	counted_ops = u.picker->ops;
	ops = *counted_ops;
	ops.pick = count_picks;
	u.picker->ops = &ops;
	config.panic = true;
	for (int round = 0; round < 2; round++) {
		struct pick_request r = {.client = &client, .head = &head};

		policy_picks = 0;
		ck_assert_uint_lt(pick_server(&u, &r), MANY);
		ck_assert_uint_le(policy_picks, 4);
		for (unsigned i = 0; i < MANY; i++)
			atomic_store(&many[i].state, SERVER_DOWN);
	}
	config.panic = false;
	picker_free(u.picker);
	free(many_loads);
	free(many);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lb/pick");
	TCase *tc = tcase_create("policies");

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, order, 0, (int)(sizeof(orders) / sizeof(orders[0])));
	tcase_add_loop_test(tc, shares, 0, 10);
	tcase_add_loop_test(tc, by_state, 0, 6);
	tcase_add_loop_test(tc, down_and_back, 0, 4);
	tcase_add_loop_test(tc, slow_start, 0, 6);
	tcase_add_loop_test(tc, lighter, 0, 6);
	tcase_add_loop_test(tc, bounded, 0, 6);
	tcase_add_test(tc, over_threads);
	tcase_add_loop_test(tc, weights_set, 0, (int)(sizeof(weighed) / sizeof(weighed[0])));
	tcase_add_test(tc, weights_set_over_threads);
	tcase_add_test(tc, hash_weight_moves_little);
	tcase_add_test(tc, nobody);
	tcase_add_loop_test(tc, each_once, 0, 6);
	tcase_add_test(tc, leastconn);
	tcase_add_test(tc, leastconn_in_turn);
	tcase_add_loop_test(tc, idle_weights, 0, 3);
	tcase_add_test(tc, shares_of_the_rest);
	tcase_add_test(tc, random_two_choices);
	tcase_add_test(tc, random_weights);
	tcase_add_test(tc, hash_shares);
	tcase_add_test(tc, hash_of_path);
	tcase_add_test(tc, hash_moves_little);
	tcase_add_test(tc, hash_bounded);
	tcase_add_test(tc, hash_of_source);
	tcase_add_test(tc, hash_of_header);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
