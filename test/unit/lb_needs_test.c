/* What a configuration needs against what a made-up system grants: sums, verdicts, words, and what a start does. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lb/needs.h"
#include "net/sock.h"

#define MIB (UINT64_C(1024) * 1024)

/* 100 clients, 2 workers of 4 requests each, 3 fibers on a loop, 10 in the queue. */
#define SMALL                                                                                                \
	"limits: { connections = 100; };\n"                                                                  \
	"pool: { workers = 2; burst = 4; };\n"                                                               \
	"queue: { size = 10; };\n"                                                                           \
	"async: { loops = 1; fibers = 3; };\n"
#define ENDS                                                                                                 \
	"listeners = ( { bind = \"127.0.0.1:80\"; upstream = \"o\"; },\n"                                    \
	"              { bind = \"unix:/x\"; upstream = \"p\"; } );\n"                                       \
	"upstreams = ( { name = \"o\"; keepalive = 5; servers = ( { address = \"127.0.0.1:1\"; },\n"         \
	"                                                         { address = \"127.0.0.1:2\"; } ); },\n"    \
	"              { name = \"p\"; keepalive = 7; servers = ( { address = \"unix:/y\"; } ); } );\n"

/* Plenty of all. */
static struct grants rich(void)
{
	return (struct grants){.cores = 2,
	        .thread_stack = 8 * MIB,
	        .of = {[RESOURCE_DESCRIPTORS] = {LIMIT_NOFILE, 1000000, 0},
	                [RESOURCE_THREADS] = {LIMIT_THREADS_MAX, 9000, 800},
	                [RESOURCE_MAPPINGS] = {LIMIT_MAP_COUNT, 65530, 0},
	                [RESOURCE_MEMORY] = {LIMIT_AVAILABLE, 100000 * MIB, 0},
	                [RESOURCE_LOCKED] = {LIMIT_MEMLOCK, 8 * MIB, 0},
	                [RESOURCE_BACKLOG] = {LIMIT_SOMAXCONN, 4096, 0},
	                [RESOURCE_PORTS] = {LIMIT_PORT_RANGE, 28232, 0}}};
}

static struct lb_config *config(const char *text)
{
	struct lb_config *c = lb_config_read_text("x", text);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(conf_fault_count(c->conf), 0);
	return c;
}

static char *table(const struct needs *n)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	needs_print(n, out);
	fclose(out);
	return text;
}

static void expect_in(const char *text, const char *want)
{
	ck_assert_msg(strstr(text, want) != NULL, "no\n%s\nin\n%s", want, text);
}

START_TEST(test_pool)
{
	struct lb_config *c = config(SMALL ENDS);
	struct grants g = rich();
	struct needs n;
	needs_sum(&n, c, true, &g);
	/* 100 + 256 + 2 * 4 + 10 + 3 + 2 * 5 + 7 + 512 * 2 + 3 + 2 * 8 + 2 + 64 */
	ck_assert_uint_eq(n.of[RESOURCE_DESCRIPTORS].amount, 1503);
	char *text = table(&n);
	expect_in(text, "                       needed       granted\n"
	                "descriptors              1503       1000000  well   RLIMIT_NOFILE (hard)\n"
	                "    100 clients + 256 refused clients + 8 at servers for workers +\n"
	                "    10 at servers, queued again + 3 at servers for fibers + 17 kept to servers +\n"
	                "    512 x 2 in pipes + 3 for probes + 2 x 8 of loops and probes + 2 of listeners + "
	                "64 others\n"
	                "threads                    10          8200  well   kernel.threads-max, of which "
	                "800 are in use\n"
	                "    2 workers + 1 loops + 7 others\n"
	                "mappings                  544         65530  well   vm.max_map_count\n"
	                "    6 x 2 for fibers and probes + 10 x 2 for threads + 512 others\n"
	                "address space ");
	expect_in(text, "     -  well   no limit\n    356 x ");
	expect_in(text, "3 x 128 KiB probes + 512 x 256 KiB pipes");
	expect_in(text, "2 x 256 KiB workers' stacks");
	expect_in(text, "8 x 8 MiB threads' stacks");
	expect_in(text, "\nmemory ");
	expect_in(text, "    100000 MiB  well   MemAvailable\n");
	expect_in(text, "21 x ");
	expect_in(text, "10 x 256 KiB threads' stacks");
	expect_in(text,
	        "locked memory         316 KiB      8192 KiB  well   RLIMIT_MEMLOCK\n"
	        "    300 KiB rings of loops + 16 KiB others\n"
	        "backlog                  4096          4096  well   net.core.somaxconn\n"
	        "    4096 for each listener\n"
	        "ports                      27         28232  well   net.ipv4.ip_local_port_range\n"
	        "    8 at servers for workers + 10 at servers, queued again + 3 at servers for fibers +\n"
	        "    5 kept to it + 1 for a probe\n");
	ck_assert_ptr_null(strstr(text, "It takes"));
	free(text);
	lb_config_free(c);
}
END_TEST

START_TEST(test_admin)
{
	struct lb_config *with = config("admin: { socket = \"/z\"; };\n" SMALL ENDS),
	                 *without = config(SMALL ENDS);
	struct grants g = rich();
	struct needs more, less;
	needs_sum(&more, with, true, &g);
	needs_sum(&less, without, true, &g);
	ck_assert_uint_eq(
	        more.of[RESOURCE_DESCRIPTORS].amount - less.of[RESOURCE_DESCRIPTORS].amount, 16 + 3);
	ck_assert_uint_eq(more.of[RESOURCE_THREADS].amount - less.of[RESOURCE_THREADS].amount, 1);
	char *text = table(&more);
	expect_in(text, "19 of the admin socket");
	free(text);
	lb_config_free(with);
	lb_config_free(without);
}
END_TEST

/* No request has a server without having a client. */
START_TEST(test_few_clients)
{
	struct lb_config *c = config("limits: { connections = 20; };\n" ENDS);
	struct grants g = rich();
	struct needs n;
	needs_sum(&n, c, false, &g);
	char *text = table(&n);
	expect_in(text, "    20 clients + 256 refused clients + 20 at servers + ");
	ck_assert_uint_eq(n.of[RESOURCE_LOCKED].amount, 0);
	ck_assert_ptr_null(strstr(text, "locked"));
	ck_assert_ptr_null(strstr(text, "rings"));
	free(text);
	lb_config_free(c);
}
END_TEST

/* max_connections: servers take no more, where all have it; who waits for one has buffers. */
START_TEST(test_limited_servers)
{
	struct lb_config *c = config(SMALL ENDS);
	struct grants g = rich();
	struct needs all, some, none;
	needs_sum(&none, c, false, &g);
	lb_config_server(lb_config_upstream(c, 0), 0)->max_connections = 3;
	needs_sum(&some, c, false, &g);
	ck_assert_uint_eq(some.of[RESOURCE_DESCRIPTORS].amount, none.of[RESOURCE_DESCRIPTORS].amount);
	ck_assert_uint_eq((some.of[RESOURCE_MEMORY].amount - none.of[RESOURCE_MEMORY].amount) % 10, 0);
	ck_assert_uint_gt(
	        some.of[RESOURCE_MEMORY].amount, none.of[RESOURCE_MEMORY].amount + 10 * 3 * 96 * 1024);
	lb_config_server(lb_config_upstream(c, 0), 1)->max_connections = 4;
	lb_config_server(lb_config_upstream(c, 1), 0)->max_connections = 1;
	needs_sum(&all, c, false, &g);
	/* 8 at servers in place of 8 + 10 + 3; a queue before either upstream */
	ck_assert_uint_eq(none.of[RESOURCE_DESCRIPTORS].amount - all.of[RESOURCE_DESCRIPTORS].amount, 13);
	ck_assert_uint_eq(none.of[RESOURCE_PORTS].amount - all.of[RESOURCE_PORTS].amount, 13);
	ck_assert_uint_eq(all.of[RESOURCE_MEMORY].amount - none.of[RESOURCE_MEMORY].amount,
	        2 * (some.of[RESOURCE_MEMORY].amount - none.of[RESOURCE_MEMORY].amount));
	lb_config_free(c);
}
END_TEST

START_TEST(test_async)
{
	/* Of 5 kept connections each of 3 loops keeps 2. */
	struct lb_config *c = config("engine = \"async\"; async: { loops = 3; fibers = 9; };\n" ENDS);
	struct grants g = rich();
	struct needs n;
	needs_sum(&n, c, true, &g);
	/* 16384 + 256 + 9 + 2 * 6 + 9 + 1024 + 3 + 32 + 2 + 64 */
	ck_assert_uint_eq(n.of[RESOURCE_DESCRIPTORS].amount, 17795);
	ck_assert_uint_eq(n.of[RESOURCE_THREADS].amount, 9);
	ck_assert_uint_eq(n.of[RESOURCE_MAPPINGS].amount, 12 * 2 + 9 * 2 + 512);
	ck_assert_uint_eq(n.of[RESOURCE_PORTS].amount, 16);
	ck_assert_uint_eq(n.of[RESOURCE_LOCKED].amount, 3 * 300 * 1024 + 16 * 1024);
	lb_config_free(c);
}
END_TEST

START_TEST(test_classic_pool)
{
	struct lb_config *c = config("pool: { workers = 5; hold = \"connection\"; };\n" ENDS);
	struct grants g = rich();
	struct needs n;
	needs_sum(&n, c, true, &g);
	/* 16384 + 256 + 5 + 17 + 1024 + 3 + 8 + 2 + 64: nothing leaves a worker */
	ck_assert_uint_eq(n.of[RESOURCE_DESCRIPTORS].amount, 17763);
	ck_assert_uint_eq(n.of[RESOURCE_THREADS].amount, 12);
	ck_assert_uint_eq(n.of[RESOURCE_LOCKED].amount, 0);
	lb_config_free(c);
}
END_TEST

START_TEST(test_loops)
{
	struct lb_config *c = config("async: { fibers = 3; };\n" ENDS);
	ck_assert_uint_eq(needs_loops(c, 2), 2);
	ck_assert_uint_eq(needs_loops(c, 8), 3);
	c->async.fibers = 1000;
	ck_assert_uint_eq(needs_loops(c, 100), 64);
	c->async.loops = 5;
	ck_assert_uint_eq(needs_loops(c, 2), 5);
	c->pool.patience = 0;
	ck_assert_uint_eq(needs_loops(c, 2), 0);
	c->engine = LB_ENGINE_ASYNC;
	ck_assert_uint_eq(needs_loops(c, 2), 5);
	lb_config_free(c);
}
END_TEST

/* One resource is short at a time. */
static const struct {
	const char *config;
	enum resource resource;
	struct grant grant;
	const char *want; /* after "x:LINE: " or "x: " */
} shorts[] = {
        {SMALL ENDS, RESOURCE_DESCRIPTORS, {LIMIT_NOFILE, 1502, 0},
                "x:1: limits.connections: warning: 1503 descriptors are needed at most, and RLIMIT_NOFILE "
                "(hard) leaves 1502: it takes ulimit -Hn 1503 (LimitNOFILE= in the unit), or set "
                "limits.connections to 99\n"},
        /* of fewer than 21 clients each that goes takes a request at a server along */
        {SMALL ENDS, RESOURCE_DESCRIPTORS, {LIMIT_NR_OPEN, 1412, 0},
                "x:1: limits.connections: warning: 1503 descriptors are needed at most, and fs.nr_open "
                "leaves "
                "1412: it takes sysctl -w fs.nr_open=1503, or set limits.connections to 15\n"},
        {SMALL ENDS, RESOURCE_DESCRIPTORS, {LIMIT_NOFILE, 1000, 0},
                "x:1: limits.connections: warning: 1503 descriptors are needed at most, and RLIMIT_NOFILE "
                "(hard) leaves 1000: it takes ulimit -Hn 1503 (LimitNOFILE= in the unit), or less of all "
                "that "
                "adds up to it, limits.connections first\n"},
        {"engine = \"async\"; limits: { connections = 500; };\nasync: { fibers = 400; };\n" ENDS,
                RESOURCE_DESCRIPTORS, {LIMIT_NOFILE, 2211, 0},
                "x:1: limits.connections: warning: 2293 descriptors are needed at most, and RLIMIT_NOFILE "
                "(hard) leaves 2211: it takes ulimit -Hn 2293 (LimitNOFILE= in the unit), or set "
                "limits.connections to 418\n"},
        {SMALL ENDS, RESOURCE_THREADS, {LIMIT_NPROC, 9, 0},
                "x:2: pool.workers: warning: 10 threads are needed at most, and RLIMIT_NPROC leaves 9: it "
                "takes "
                "ulimit -u 10 or more, with the user's other processes (LimitNPROC= in the unit), or set "
                "pool.workers to 1\n"},
        {SMALL ENDS, RESOURCE_THREADS, {LIMIT_PIDS_CGROUP, 106, 100},
                "x:2: pool.workers: warning: 10 threads are needed at most, and pids.max leaves 6: it takes "
                "pids.max = 110 in the control group (TasksMax= in the unit, --pids-limit of a container), "
                "or "
                "less of all that adds up to it, pool.workers first\n"},
        {"engine = \"async\"; async: { loops = 4; };\n" ENDS, RESOURCE_THREADS, {LIMIT_THREADS_MAX, 8, 0},
                "x:1: async.loops: warning: 10 threads are needed at most, and kernel.threads-max leaves 8: "
                "it "
                "takes sysctl -w kernel.threads-max=10, or set async.loops to 2\n"},
        {ENDS "async: { fibers = 30000; };\n", RESOURCE_MAPPINGS, {LIMIT_MAP_COUNT, 10000, 0},
                "x:6: async.fibers: warning: 60568 memory mappings are needed at most, and vm.max_map_count "
                "leaves 10000: it takes sysctl -w vm.max_map_count=60568, or set async.fibers to 4716\n"},
        {SMALL ENDS, RESOURCE_BACKLOG, {LIMIT_SOMAXCONN, 128, 0},
                "x: warning: 4096 places in a listener's backlog are needed at most, and net.core.somaxconn "
                "leaves 128: it takes sysctl -w net.core.somaxconn=4096\n"},
        {SMALL ENDS, RESOURCE_PORTS, {LIMIT_PORT_RANGE, 26, 0},
                "x:4: async.fibers: warning: 27 local ports for one server are needed at most, and "
                "net.ipv4.ip_local_port_range leaves 26: it takes a wider range (less "
                "ip_local_reserved_ports), or set async.fibers to 2\n"},
        {SMALL ENDS, RESOURCE_LOCKED, {LIMIT_MEMLOCK, 64 * 1024, 0},
                "x: warning: 316 KiB of locked memory are needed at most, and RLIMIT_MEMLOCK "
                "leaves 64 KiB: it takes ulimit -l 316 or more, with the user's other processes "
                "(LimitMEMLOCK= in the unit), or async.driver = \"epoll\"\n"},
};

START_TEST(test_short)
{
	struct lb_config *c = config(shorts[_i].config);
	struct grants g = rich();
	struct needs n;
	g.of[shorts[_i].resource] = shorts[_i].grant;
	needs_sum(&n, c, true, &g);
	for (enum resource r = 0; r < RESOURCE_COUNT; r++)
		ck_assert_int_eq(needs_is_short(&n, r), r == shorts[_i].resource);
	needs_warn(&n);
	ck_assert_uint_eq(conf_fault_count(c->conf), 0); /* another machine may have it */
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	conf_print_faults(c->conf, out);
	fclose(out);
	ck_assert_str_eq(text, shorts[_i].want);
	free(text);
	/* The table says it, too. */
	text = table(&n);
	char *remedy = strdup(strstr(shorts[_i].want, "it takes ") + strlen("it takes "));
	remedy[strlen(remedy) - 1] = '\0';
	expect_in(text, "  short  ");
	expect_in(text, remedy);
	free(remedy);
	free(text);
	lb_config_free(c);
}
END_TEST

/* Bytes: what is proposed is enough, and one more is not. */
START_TEST(test_short_bytes)
{
	static const enum resource bytes[] = {RESOURCE_MEMORY, RESOURCE_ADDRESSES};
	struct lb_config *c = config(SMALL ENDS);
	enum resource r = bytes[_i];
	struct grants g = rich();
	struct needs n;
	c->limits.connections = 100000;
	c->async.fibers = 1;
	needs_sum(&n, c, false, &g);
	uint64_t all = n.of[r].amount;
	ck_assert_uint_gt(all, 100000 * 16384);
	g.of[r] = (struct grant){r == RESOURCE_MEMORY ? LIMIT_MEMORY_CGROUP : LIMIT_AS, all / 2, 0};
	ck_assert(needs_is_short(&n, r));
	struct needs_remedy remedy = needs_remedy(&n, r);
	ck_assert_str_eq(remedy.path, "limits.connections");
	ck_assert_str_eq(remedy.key, "connections");
	ck_assert_ptr_eq(remedy.place, c->limits.place);
	ck_assert_int_gt(remedy.value, 1000);
	c->limits.connections = remedy.value;
	needs_sum(&n, c, false, &g);
	ck_assert(!needs_is_short(&n, r));
	c->limits.connections = remedy.value + 1;
	needs_sum(&n, c, false, &g);
	ck_assert(needs_is_short(&n, r));
	lb_config_free(c);
}
END_TEST

/* What a loop has in the ring grows with the header size; so do a client's head and the buffers of a request. */
START_TEST(test_memory)
{
	struct lb_config *c = config(SMALL ENDS);
	struct grants g = rich();
	struct needs n, more;
	needs_sum(&n, c, true, &g);
	c->limits.header_size += 1024; /* no change in the larger buffers, which have 96 KiB */
	needs_sum(&more, c, true, &g);
	ck_assert_uint_eq(more.of[RESOURCE_MEMORY].amount - n.of[RESOURCE_MEMORY].amount,
	        (100 + 256 + LOOP_RING_BUFFERS) * UINT64_C(1024));
	c->log.access = (char *)(uintptr_t) "/x";
	needs_sum(&n, c, true, &g);
	ck_assert_uint_eq(n.of[RESOURCE_MEMORY].amount - more.of[RESOURCE_MEMORY].amount, 4 * 64 * 1024);
	c->log.access = NULL;
	lb_config_free(c);
}
END_TEST

static void limit_descriptors(rlim_t soft, rlim_t hard)
{
	struct rlimit limit = {soft, hard};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* The soft limit goes up to what is needed, and not further. */
START_TEST(test_fit_raises)
{
	struct lb_config *c = config(SMALL ENDS);
	struct grants g = rich();
	limit_descriptors(64, 2000);
	g.of[RESOURCE_DESCRIPTORS] = (struct grant){LIMIT_NOFILE, 2000, 0};
	needs_fit(c, false, &g);
	ck_assert_uint_eq(sock_raise_limit(0), 1503);
	ck_assert_int_eq(c->limits.connections, 100);
	lb_config_free(c);
}
END_TEST

/* Where it can't, fewer clients are let in, but not fewer than half of what there is. */
START_TEST(test_fit_lowers)
{
	struct lb_config *c = config("limits: { connections = 9000; };\n" ENDS);
	struct grants g = rich();
	limit_descriptors(64, 8000);
	g.of[RESOURCE_DESCRIPTORS] = (struct grant){LIMIT_NOFILE, 8000, 0};
	needs_fit(c, false, &g);
	ck_assert_uint_eq(sock_raise_limit(0), 8000);
	ck_assert_int_eq(c->limits.connections, 4000);
	lb_config_free(c);
	c = config("engine = \"async\"; limits: { connections = 9000; }; async: { fibers = 10; loops = 1; "
	           "};\n" ENDS);
	needs_fit(c, false, &g);
	/* 8000 - 256 - 10 - 17 - 1024 - 3 - 16 - 2 - 64 */
	ck_assert_int_eq(c->limits.connections, 6608);
	lb_config_free(c);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lb/needs");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 60);
	tcase_add_test(all, test_pool);
	tcase_add_test(all, test_admin);
	tcase_add_test(all, test_few_clients);
	tcase_add_test(all, test_limited_servers);
	tcase_add_test(all, test_async);
	tcase_add_test(all, test_classic_pool);
	tcase_add_test(all, test_loops);
	tcase_add_loop_test(all, test_short, 0, sizeof(shorts) / sizeof(shorts[0]));
	tcase_add_loop_test(all, test_short_bytes, 0, 2);
	tcase_add_test(all, test_memory);
	tcase_add_test(all, test_fit_raises);
	tcase_add_test(all, test_fit_lowers);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
