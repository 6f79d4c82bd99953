/* What this process takes of the system: its share of the processors, memory, descriptors. */
#ifndef TPLB_OBS_PROCESS_H
#define TPLB_OBS_PROCESS_H

#include <dirent.h>
#include <stdint.h>

#include "base/lock.h"

struct process {
	struct lock lock; /* the folder is read by one at a time */
	int64_t started;  /* constant: CLOCK_REALTIME ns */
	int statm;        /* constant: -1 where there is no /proc */
	DIR *descriptors; /* NULL likewise; lock */
};

/* In the process that it is about, before that is locked into a folder: what /proc has is opened. */
void process_open(struct process *p);
void process_close(struct process *p);

/* A figure that is not to be had is -1. */
struct process_figures {
	int64_t cpu;               /* ns, of all threads */
	int64_t resident, virtual; /* bytes */
	int64_t descriptors, descriptors_most;
	int64_t started; /* CLOCK_REALTIME ns */
};
struct process_figures process_look(struct process *p);

#endif
