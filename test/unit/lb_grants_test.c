/* What the system grants, read from a system that the test makes up. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lb/grants.h"

#include "made_up_root.h"

static char root[] = "/tmp/tplb-grants-XXXXXX";

/* No capabilities, no control groups. */
static void make_system(void)
{
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s/*", root);
	ck_assert_int_eq(system(command), 0);
	write_file(root, "proc/self/status",
	        "Name:\ttplb\nCapInh:\tffffffffffffffff\nCapEff:\t0000000000000000\n");
	write_file(root, "proc/self/cgroup", "");
	write_file(root, "proc/sys/fs/nr_open", "1048576\n");
	write_file(root, "proc/sys/kernel/threads-max", "9000\n");
	write_file(root, "proc/sys/kernel/pid_max", "32768\n");
	write_file(root, "proc/loadavg", "0.20 0.18 0.12 1/800 11206\n");
	write_file(root, "proc/sys/vm/max_map_count", "65530\n");
	write_file(root, "proc/meminfo", "MemTotal: 9 kB\nMemFree:  1 kB\nMemAvailable:       4 kB\n");
	write_file(root, "proc/sys/net/core/somaxconn", "128\n");
	write_file(root, "proc/sys/net/ipv4/ip_local_port_range", "100\t199\n");
	write_file(root, "proc/sys/net/ipv4/ip_local_reserved_ports", "100-109\n");
}

static void limit(__rlimit_resource_t which, rlim_t soft, rlim_t hard)
{
	struct rlimit limit = {soft, hard};
	ck_assert_int_eq(setrlimit(which, &limit), 0);
}

static void expect(
        const struct grants *g, enum resource r, enum grant_limit by, uint64_t limit, uint64_t used)
{
	ck_assert_int_eq(g->of[r].by, by);
	ck_assert_uint_eq(g->of[r].limit, limit);
	ck_assert_uint_eq(g->of[r].used, used);
}

START_TEST(test_plain)
{
	struct grants g;
	make_system();
	limit(RLIMIT_NOFILE, 256, 512);
	limit(RLIMIT_NPROC, 100, 200);
	limit(RLIMIT_MEMLOCK, 4096, 8192);
	grants_read(&g, root, false);
	expect(&g, RESOURCE_DESCRIPTORS, LIMIT_NOFILE, 512, 0);
	expect(&g, RESOURCE_THREADS, LIMIT_NPROC, 100, 0);
	expect(&g, RESOURCE_MAPPINGS, LIMIT_MAP_COUNT, 65530, 0);
	ck_assert_int_eq(g.of[RESOURCE_ADDRESSES].by, LIMIT_NONE);
	expect(&g, RESOURCE_MEMORY, LIMIT_AVAILABLE, 4096, 0);
	expect(&g, RESOURCE_LOCKED, LIMIT_MEMLOCK, 4096, 0);
	expect(&g, RESOURCE_BACKLOG, LIMIT_SOMAXCONN, 128, 0);
	expect(&g, RESOURCE_PORTS, LIMIT_PORT_RANGE, 90, 0);
	ck_assert_uint_gt(g.cores, 0);
	ck_assert_uint_ge(g.thread_stack, 64 * 1024);
}
END_TEST

START_TEST(test_privileged)
{
	struct grants g;
	make_system();
	limit(RLIMIT_NOFILE, 256, 512);
	limit(RLIMIT_NPROC, 100, 200);
	limit(RLIMIT_MEMLOCK, 4096, 8192);
	write_file(
	        root, "proc/self/status", "CapEff:\t0000000001004000\n"); /* CAP_SYS_RESOURCE, CAP_IPC_LOCK */
	grants_read(&g, root, false);
	expect(&g, RESOURCE_DESCRIPTORS, LIMIT_NR_OPEN, 1048576, 0);
	expect(&g, RESOURCE_THREADS, LIMIT_THREADS_MAX, 9000, 800);
	ck_assert_int_eq(g.of[RESOURCE_LOCKED].by, LIMIT_NONE);
	grants_read(&g, root, true); /* it raises descriptors before it drops privileges */
	expect(&g, RESOURCE_DESCRIPTORS, LIMIT_NR_OPEN, 1048576, 0);
	expect(&g, RESOURCE_THREADS, LIMIT_NPROC, 100, 0);
	expect(&g, RESOURCE_LOCKED, LIMIT_MEMLOCK, 4096, 0);
	write_file(root, "proc/self/status", "CapEff:\t0000000000004000\n");
	grants_read(&g, root, false);
	expect(&g, RESOURCE_DESCRIPTORS, LIMIT_NOFILE, 512, 0);
	ck_assert_int_eq(g.of[RESOURCE_LOCKED].by, LIMIT_NONE);
}
END_TEST

START_TEST(test_threads)
{
	struct grants g;
	make_system();
	write_file(root, "proc/self/status", "CapEff:\tffffffffffffffff\n");
	write_file(root, "proc/sys/kernel/pid_max", "4000\n");
	grants_read(&g, root, false);
	expect(&g, RESOURCE_THREADS, LIMIT_PID_MAX, 4000, 800);
}
END_TEST

/* Version 2: the group's own file, and its parents'. */
START_TEST(test_groups)
{
	struct grants g;
	make_system();
	write_file(root, "proc/meminfo", "MemAvailable: 9999 kB\n");
	write_file(root, "proc/self/status", "CapEff:\tffffffffffffffff\n");
	write_file(root, "proc/self/cgroup", "0::/system.slice/tplb.service\n");
	write_file(root, "sys/fs/cgroup/system.slice/tplb.service/pids.max", "max\n");
	write_file(root, "sys/fs/cgroup/system.slice/tplb.service/pids.current", "3\n");
	write_file(root, "sys/fs/cgroup/system.slice/tplb.service/memory.max", "8000000\n");
	write_file(root, "sys/fs/cgroup/system.slice/pids.max", "500\n");
	write_file(root, "sys/fs/cgroup/system.slice/pids.current", "70\n");
	write_file(root, "sys/fs/cgroup/memory.max", "9000000\n");
	grants_read(&g, root, false);
	expect(&g, RESOURCE_THREADS, LIMIT_PIDS_CGROUP, 500, 70);
	expect(&g, RESOURCE_MEMORY, LIMIT_MEMORY_CGROUP, 8000000, 0);
	write_file(root, "sys/fs/cgroup/system.slice/memory.max", "7000000\n");
	write_file(root, "sys/fs/cgroup/system.slice/tplb.service/pids.max", "10\n");
	grants_read(&g, root, false);
	expect(&g, RESOURCE_THREADS, LIMIT_PIDS_CGROUP, 10, 3);
	expect(&g, RESOURCE_MEMORY, LIMIT_MEMORY_CGROUP, 7000000, 0);
	write_file(root, "sys/fs/cgroup/pids.max", "1\n");
	write_file(root, "proc/self/cgroup", "0::/\n"); /* a container sees itself as the root */
	grants_read(&g, root, false);
	expect(&g, RESOURCE_THREADS, LIMIT_PIDS_CGROUP, 1, 0);
	expect(&g, RESOURCE_MEMORY, LIMIT_MEMORY_CGROUP, 9000000, 0);
}
END_TEST

START_TEST(test_groups_version_1)
{
	struct grants g;
	make_system();
	write_file(root, "proc/meminfo", "MemAvailable: 9999 kB\n");
	write_file(root, "proc/self/status", "CapEff:\tffffffffffffffff\n");
	write_file(root, "proc/self/cgroup",
	        "9:name=systemd:/other\n8:cpu,pids,io:/a:b\n4:memory:/docker/x\n0::/\n");
	write_file(root, "sys/fs/cgroup/pids/a:b/pids.max", "50\n");
	write_file(root, "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "9223372036854771712\n");
	write_file(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "6000000\n");
	write_file(root, "sys/fs/cgroup/memory/memory.max", "1\n"); /* no such thing in version 1 */
	grants_read(&g, root, false);
	expect(&g, RESOURCE_THREADS, LIMIT_PIDS_CGROUP, 50, 0);
	expect(&g, RESOURCE_MEMORY, LIMIT_MEMORY_CGROUP, 6000000, 0);
}
END_TEST

/* Nothing is told: nothing limits. */
START_TEST(test_nothing)
{
	const rlim_t most = (rlim_t)1 << 60; /* the sanitizers have terabytes */
	struct grants g;
	limit(RLIMIT_AS, most, most);
	grants_read(&g, "/no/such/folder", false);
	ck_assert_int_eq(g.of[RESOURCE_MAPPINGS].by, LIMIT_NONE);
	ck_assert_uint_eq(grant_free(&g.of[RESOURCE_MAPPINGS]), UINT64_MAX);
	ck_assert_int_eq(g.of[RESOURCE_MEMORY].by, LIMIT_NONE);
	ck_assert_int_eq(g.of[RESOURCE_PORTS].by, LIMIT_NONE);
	expect(&g, RESOURCE_ADDRESSES, LIMIT_AS, most, 0);
}
END_TEST

START_TEST(test_lower)
{
	struct grant g = {0};
	grant_lower(&g, LIMIT_NPROC, 100, 20);
	ck_assert_uint_eq(grant_free(&g), 80);
	grant_lower(&g, LIMIT_PID_MAX, 90, 10); /* as much: the first stays */
	ck_assert_int_eq(g.by, LIMIT_NPROC);
	grant_lower(&g, LIMIT_PID_MAX, 90, 91);
	ck_assert_int_eq(g.by, LIMIT_PID_MAX);
	ck_assert_uint_eq(grant_free(&g), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lb/grants");
	TCase *all = tcase_create("all");
	char command[64];

	if (!mkdtemp(root))
		return EXIT_FAILURE;
	tcase_set_timeout(all, 60);
	tcase_add_test(all, test_plain);
	tcase_add_test(all, test_privileged);
	tcase_add_test(all, test_threads);
	tcase_add_test(all, test_groups);
	tcase_add_test(all, test_groups_version_1);
	tcase_add_test(all, test_lower);
	tcase_add_test(all, test_nothing);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	if (system(command) != 0)
		return EXIT_FAILURE;
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
