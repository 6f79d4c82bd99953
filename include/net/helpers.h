/*
 * A few threads that do what may block in the kernel (a disk) for fibers, whose loops must not. One set for all loops.
 */
#ifndef TPLB_NET_HELPERS_H
#define TPLB_NET_HELPERS_H

struct helpers;

/* A job; lives until done(job) was called, in a helper's thread, after run(arg). */
struct helper_job {
	void (*run)(void *arg);
	void *arg;
	void (*done)(struct helper_job *job);
	struct helper_job *next;
};

/* Starts `threads` threads named "NAME-help". NULL: *error is an errno. */
struct helpers *helpers_start(const char *name, unsigned threads, int *error);

/* Finishes what was given, joins, frees. */
void helpers_stop(struct helpers *h);

/* Any thread; never waits. */
void helpers_give(struct helpers *h, struct helper_job *job);

#endif
