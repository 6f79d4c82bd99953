/*
 * Fibers: functions with a small stack of their own that one thread runs in turns. The thread starts and resumes a fiber; the
 * fiber runs until it suspends itself or its function returns. A fiber never changes its thread.
 *
 * Stacks are mapped with a guard page below, so that an overflow is a crash with a message and never corruption, and
 * kept for the next fiber. AddressSanitizer, ThreadSanitizer and Valgrind are told of every switch.
 */
#ifndef TPLB_NET_FIBER_H
#define TPLB_NET_FIBER_H

#include <stdbool.h>
#include <stddef.h>

struct fiber;

/* ThreadSanitizer knows some 8,000 fibers in all and needs a megabyte for each: few in a store. */
#ifdef __SANITIZE_THREAD__
enum { FIBER_STORE_MAX = 1024 };
#else
enum { FIBER_STORE_MAX = 30000 }; /* two mappings each, of the kernel's 65,530 a process (vm.max_map_count) */
#endif

/*
 * Of each fiber: its stack and the guard below, a page of the largest kind. The relay needs some 20 KiB at its deepest (the access log's
 * line), the origin's handlers 30; the sanitizers' frames are larger.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { FIBER_STACK_BYTES = 512 * 1024, FIBER_GUARD_BYTES = 64 * 1024 };
#else
enum { FIBER_STACK_BYTES = 64 * 1024, FIBER_GUARD_BYTES = 64 * 1024 };
#endif

/* The fibers of one thread. */
struct fiber_store {
	unsigned limit; /* fibers that may exist */
	unsigned made;  /* that exist */
	unsigned busy;  /* that run or are suspended */
	unsigned peak;  /* of busy, since fiber_store_trim was called last */
	struct fiber *free;
	struct fiber *current; /* NULL: the thread itself */
	void *thread_context;  /* where a fiber that suspends goes */
	/* for the sanitizers: the thread's own stack */
	const void *stack_bottom;
	size_t stack_size;
	void *fake_stack;
	void *tsan;
};

/* By the thread that is to run them. limit: at most FIBER_STORE_MAX are had. */
void fiber_store_init(struct fiber_store *s, unsigned limit);
/* No fiber is busy any more. */
void fiber_store_free(struct fiber_store *s);

/* Runs run(arg) on a fiber until it first suspends or returns. False when there are `limit` busy ones, or no memory for another. By the thread, not within a fiber. */
bool fiber_start(struct fiber_store *s, void (*run)(void *arg), void *arg);

/* Whether fiber_start would find one, memory aside. */
static inline bool fiber_is_free(const struct fiber_store *s)
{
	return s->busy < s->limit;
}

/* Within a fiber: back to the thread, until somebody resumes this fiber. */
void fiber_suspend(struct fiber_store *s);

/* By the thread: goes on with a suspended fiber until it suspends again or returns. */
void fiber_resume(struct fiber_store *s, struct fiber *f);

/* Unmaps stacks that were not needed since the last call. Once in a while. */
void fiber_store_trim(struct fiber_store *s);

/* "boost" or "ucontext": how a switch is made. */
const char *fiber_kind(void);

/*
 * From now on a stack overflow of a fiber in this thread is told on standard error before the process dies of SIGSEGV. Sets the
 * process's SIGSEGV handler, and this thread's alternate stack, which lives as long as the store. Not with sanitizers, who tell it themselves.
 */
void fiber_report_overflow(struct fiber_store *s);

#endif
