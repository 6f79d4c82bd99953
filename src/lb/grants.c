#include "lb/grants.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/ephemeral.h"

enum { PATH_BYTES = 1024, LINE_BYTES = 512 };
enum { CAP_IPC_LOCK_BIT = 14, CAP_SYS_RESOURCE_BIT = 24 }; /* capabilities(7) */

void grant_lower(struct grant *g, enum grant_limit by, uint64_t limit, uint64_t used)
{
	struct grant other = {by, limit, used};

	if (grant_free(&other) < grant_free(g))
		*g = other;
}

static FILE *open_below(const char *root, const char *path)
{
	char name[PATH_BYTES];

	return (size_t)snprintf(name, sizeof(name), "%s%s", root, path) < sizeof(name) ? fopen(name, "re")
	                                                                               : NULL;
}

/* The number that a file holds; false when there is none: no file, or "max". */
static bool read_number(const char *root, const char *path, uint64_t *value)
{
	unsigned long long number;
	FILE *f = open_below(root, path);
	bool found = f && fscanf(f, "%llu", &number) == 1;

	if (f)
		fclose(f);
	if (found)
		*value = number;
	return found;
}

/* What follows `name` in the line of the file that begins with it. base: of the number. */
static bool read_field(const char *root, const char *path, const char *name, int base, uint64_t *value)
{
	char line[LINE_BYTES];
	FILE *f = open_below(root, path);
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		found = strncmp(line, name, strlen(name)) == 0;
		if (found)
			*value = strtoull(line + strlen(name), NULL, base);
	}
	if (f)
		fclose(f);
	return found;
}

static void lower_by_file(
        struct grant *g, enum grant_limit by, const char *root, const char *path, uint64_t used)
{
	uint64_t limit;

	if (read_number(root, path, &limit))
		grant_lower(g, by, limit, used);
}

static struct rlimit limit_of(__rlimit_resource_t which)
{
	struct rlimit limit;

	MUST(getrlimit(which, &limit) == 0); /* cannot fail with these arguments */
	return limit;
}

static void lower_by_rlimit(struct grant *g, enum grant_limit by, rlim_t limit)
{
	if (limit != RLIM_INFINITY)
		grant_lower(g, by, limit, 0);
}

/* Control groups ------------------------------------------------------------------------------------------------*/

/* A controller's limit and what is used of it, as version 2 and version 1 of control groups call them. */
struct controller {
	const char *name;
	const char *limit, *limit_v1;
	const char *used; /* NULL: it does not count */
};

/* The group's own limit and those of the groups it lies in. path: of the group, below `base`; it is cut short. */
static void lower_by_group(struct grant *g, enum grant_limit by, const char *root, const char *base,
        char *path, const struct controller *c, const char *limit)
{
	char name[PATH_BYTES];
	uint64_t used = 0;

	for (;;) {
		size_t len = strlen(path);

		if (len > 0 && path[len - 1] == '/')
			path[--len] = '\0';
		if (c->used && snprintf(name, sizeof(name), "%s%s/%s", base, path, c->used) < PATH_BYTES &&
		        !read_number(root, name, &used))
			used = 0;
		if (snprintf(name, sizeof(name), "%s%s/%s", base, path, limit) < PATH_BYTES)
			lower_by_file(g, by, root, name, used);
		if (len == 0)
			return;
		*strrchr(path, '/') = '\0';
	}
}

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
			return true;
	return false;
}

/* cgroups(7): a line of /proc/self/cgroup is "NUMBER:CONTROLLERS:PATH", without controllers for version 2. */
static void lower_by_cgroups(
        struct grant *g, enum grant_limit by, const char *root, const struct controller *c)
{
	char line[PATH_BYTES], base[64], path[PATH_BYTES];
	FILE *f = open_below(root, "/proc/self/cgroup");

	snprintf(base, sizeof(base), "/sys/fs/cgroup/%s", c->name);
	while (f && fgets(line, sizeof(line), f)) {
		char *list = strchr(line, ':');
		char *at = list ? strchr(list + 1, ':') : NULL;

		if (!at || at[1] != '/')
			continue;
		*at++ = '\0';
		at[strcspn(at, "\n")] = '\0';
		if (list[1] == '\0')
			lower_by_group(g, by, root, "/sys/fs/cgroup", strcpy(path, at), c, c->limit);
		else if (has_word(list + 1, c->name))
			lower_by_group(g, by, root, base, strcpy(path, at), c, c->limit_v1);
	}
	if (f)
		fclose(f);
}

/* Each resource --------------------------------------------------------------------------------------------------*/

static bool has_privilege(const char *root, int bit)
{
	uint64_t capabilities;

	return read_field(root, "/proc/self/status", "CapEff:", 16, &capabilities) &&
	       (capabilities >> bit & 1);
}

/* setrlimit(2): a privileged process goes beyond the hard limit, up to fs.nr_open. */
static void read_descriptors(struct grant *g, const char *root)
{
	if (has_privilege(root, CAP_SYS_RESOURCE_BIT))
		lower_by_file(g, LIMIT_NR_OPEN, root, "/proc/sys/fs/nr_open", 0);
	else
		lower_by_rlimit(g, LIMIT_NOFILE, limit_of(RLIMIT_NOFILE).rlim_max);
}

/* Threads and processes of the whole system: the fourth word of "0.20 0.18 0.12 1/80 11206" (proc(5)). */
static uint64_t read_tasks(const char *root)
{
	unsigned long long tasks = 0;
	FILE *f = open_below(root, "/proc/loadavg");

	if (f && fscanf(f, "%*s %*s %*s %*u/%llu", &tasks) != 1)
		tasks = 0;
	if (f)
		fclose(f);
	return tasks;
}

static void read_threads(struct grant *g, const char *root, bool becomes_user)
{
	static const struct controller pids = {"pids", "pids.max", "pids.max", "pids.current"};
	uint64_t tasks = read_tasks(root);

	if (becomes_user || !has_privilege(root, CAP_SYS_RESOURCE_BIT))
		lower_by_rlimit(g, LIMIT_NPROC, limit_of(RLIMIT_NPROC).rlim_cur);
	lower_by_file(g, LIMIT_THREADS_MAX, root, "/proc/sys/kernel/threads-max", tasks);
	lower_by_file(g, LIMIT_PID_MAX, root, "/proc/sys/kernel/pid_max", tasks);
	lower_by_cgroups(g, LIMIT_PIDS_CGROUP, root, &pids);
}

static void read_memory(struct grant *g, const char *root)
{
	static const struct controller memory = {"memory", "memory.max", "memory.limit_in_bytes", NULL};
	uint64_t kib;

	if (read_field(root, "/proc/meminfo", "MemAvailable:", 10, &kib))
		grant_lower(g, LIMIT_AVAILABLE, kib * 1024, 0);
	lower_by_cgroups(g, LIMIT_MEMORY_CGROUP, root, &memory);
}

/* io_uring(7): kernels of late (6.18 for one) count what they pin for rings, for who may not lock memory as he likes. */
static void read_locked(struct grant *g, const char *root, bool becomes_user)
{
	if (becomes_user || !has_privilege(root, CAP_IPC_LOCK_BIT))
		lower_by_rlimit(g, LIMIT_MEMLOCK, limit_of(RLIMIT_MEMLOCK).rlim_cur);
}

static uint64_t default_stack(void)
{
	pthread_attr_t attr;
	size_t size = 0;

	PTHREAD_OK(pthread_attr_init(&attr));
	PTHREAD_OK(pthread_attr_getstacksize(&attr, &size));
	PTHREAD_OK(pthread_attr_destroy(&attr));
	return size;
}

void grants_read(struct grants *g, const char *root, bool becomes_user)
{
	struct ephemeral ports;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	*g = (struct grants){.cores = cores > 0 ? (unsigned)cores : 1, .thread_stack = default_stack()};
	read_descriptors(&g->of[RESOURCE_DESCRIPTORS], root);
	read_threads(&g->of[RESOURCE_THREADS], root, becomes_user);
	lower_by_file(&g->of[RESOURCE_MAPPINGS], LIMIT_MAP_COUNT, root, "/proc/sys/vm/max_map_count", 0);
	lower_by_rlimit(&g->of[RESOURCE_ADDRESSES], LIMIT_AS, limit_of(RLIMIT_AS).rlim_cur);
	read_memory(&g->of[RESOURCE_MEMORY], root);
	read_locked(&g->of[RESOURCE_LOCKED], root, becomes_user);
	lower_by_file(&g->of[RESOURCE_BACKLOG], LIMIT_SOMAXCONN, root, "/proc/sys/net/core/somaxconn", 0);
	if (ephemeral_read(&ports, root))
		grant_lower(&g->of[RESOURCE_PORTS], LIMIT_PORT_RANGE, ephemeral_count(&ports), 0);
}
