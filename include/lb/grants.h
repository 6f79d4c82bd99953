/* What the system grants this process: limits of the process, of its control group and of the machine. */
#ifndef TPLB_LB_GRANTS_H
#define TPLB_LB_GRANTS_H

#include <stdbool.h>
#include <stdint.h>

enum resource {
	RESOURCE_DESCRIPTORS,
	RESOURCE_THREADS,
	RESOURCE_MAPPINGS,  /* pieces of address space */
	RESOURCE_ADDRESSES, /* bytes of address space */
	RESOURCE_MEMORY,    /* bytes */
	RESOURCE_LOCKED,    /* bytes that the kernel pins for io_uring */
	RESOURCE_BACKLOG,   /* connections that wait to be accepted, of one listener */
	RESOURCE_PORTS,     /* local ports for connections to one server */
	RESOURCE_COUNT
};

enum grant_limit {
	LIMIT_NONE, /* nothing limits it, or the system does not tell */
	LIMIT_NOFILE,
	LIMIT_NR_OPEN,
	LIMIT_NPROC,
	LIMIT_THREADS_MAX,
	LIMIT_PID_MAX,
	LIMIT_PIDS_CGROUP,
	LIMIT_MAP_COUNT,
	LIMIT_AS,
	LIMIT_AVAILABLE, /* memory that is free, or could be at once */
	LIMIT_MEMORY_CGROUP,
	LIMIT_MEMLOCK,
	LIMIT_SOMAXCONN,
	LIMIT_PORT_RANGE,
	LIMIT_COUNT
};

/* One resource: the limit that leaves the least. */
struct grant {
	enum grant_limit by;
	uint64_t limit;
	uint64_t used; /* by others, of the limit */
};

struct grants {
	struct grant of[RESOURCE_COUNT];
	unsigned cores;
	uint64_t thread_stack; /* bytes of address space of a thread that does not ask for a size */
};

/*
 * Fills *g. root: stands before /proc and /sys; "" but in tests. becomes_user: the process will drop root's privileges, and be under
 * the limit of processes then. What is used by others is not known for RLIMIT_NPROC, RLIMIT_MEMLOCK and memory.max: 0.
 */
void grants_read(struct grants *g, const char *root, bool becomes_user);

/* Takes a further limit in, if it leaves less. */
void grant_lower(struct grant *g, enum grant_limit by, uint64_t limit, uint64_t used);

/* What is left; UINT64_MAX: no limit. */
static inline uint64_t grant_free(const struct grant *g)
{
	return g->by == LIMIT_NONE ? UINT64_MAX : g->limit > g->used ? g->limit - g->used : 0;
}

#endif
