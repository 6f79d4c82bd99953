#include "obs/process.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static int64_t time_of(clockid_t clock)
{
	struct timespec t;

	return clock_gettime(clock, &t) == 0 ? t.tv_sec * CLOCK_NS_PER_S + t.tv_nsec : -1;
}

void process_open(struct process *p)
{
	*p = (struct process){.started = time_of(CLOCK_REALTIME)};
	lock_init(&p->lock);
	p->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	p->descriptors = opendir("/proc/self/fd");
}

void process_close(struct process *p)
{
	if (p->statm >= 0)
		close(p->statm);
	if (p->descriptors)
		closedir(p->descriptors);
	lock_destroy(&p->lock);
}

static void read_memory(const struct process *p, struct process_figures *f)
{
	int64_t page = sysconf(_SC_PAGESIZE), whole, resident;
	char text[128];
	ssize_t n = p->statm >= 0 ? pread(p->statm, text, sizeof(text) - 1, 0) : -1;

	if (n <= 0)
		return;
	text[n] = '\0';
	if (sscanf(text, "%" SCNd64 " %" SCNd64, &whole, &resident) != 2)
		return;
	f->virtual = whole * page;
	f->resident = resident * page;
}

/* The folder's own descriptor is among them. */
static int64_t count_descriptors(struct process *p)
{
	const struct dirent *entry;
	int64_t n = 0;

	if (!p->descriptors)
		return -1;
	lock_take(&p->lock);
	rewinddir(p->descriptors);
	while ((entry = readdir(p->descriptors)) != NULL)
		n += entry->d_name[0] != '.';
	lock_drop(&p->lock);
	return n;
}

struct process_figures process_look(struct process *p)
{
	struct process_figures f = {.cpu = time_of(CLOCK_PROCESS_CPUTIME_ID),
	        .resident = -1,
	        .virtual = -1,
	        .descriptors = count_descriptors(p),
	        .descriptors_most = -1,
	        .started = p->started};
	struct rlimit limit;

	read_memory(p, &f);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		f.descriptors_most = (int64_t)limit.rlim_cur;
	return f;
}
