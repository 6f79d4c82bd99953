#include "config.h"

#include "net/fiber.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif
#if HAVE_VALGRIND_VALGRIND_H
#include <valgrind/valgrind.h>
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
enum {
	STACK_BYTES = FIBER_STACK_BYTES,
	GUARD_BYTES = FIBER_GUARD_BYTES, /* of addresses only */
	KEEP_FIBERS = 16,
	SIGNAL_STACK_BYTES = 16 * 1024
};

/* Lies at the top of its own mapping: guard page, stack, this. */
struct fiber {
	void *context; /* where it goes on */
	struct fiber_store *store;
	void (*run)(void *arg); /* NULL: it is to leave its stack for good */
	void *arg;
	bool returned;      /* from run */
	struct fiber *next; /* among the free ones */
	char *mapping;
	void *fake_stack;
	void *tsan;
	unsigned valgrind;
};

static void fiber_main(struct fiber *f);

/* The switch itself ------------------------------------------------------------------------------------------*/

#if HAVE_FCONTEXT

/* Boost.Context's C entry points (boost/context/detail/fcontext.hpp): plain assembler, no system call. */
struct transfer {
	void *from;
	void *data;
};
extern struct transfer jump_fcontext(void *to, void *data);
extern void *make_fcontext(void *stack_top, size_t size, void (*entry)(struct transfer));

static void entry(struct transfer t)
{
	struct fiber *f = t.data;

	f->store->thread_context = t.from;
	fiber_main(f);
}

static void make_context(struct fiber *f, char *top, size_t size)
{
	f->context = make_fcontext(top, size, entry);
}

static void free_context(struct fiber *f)
{
	(void)f;
}

static void jump_in(struct fiber *f)
{
	f->context = jump_fcontext(f->context, f).from;
}

static void jump_out(struct fiber *f)
{
	f->store->thread_context = jump_fcontext(f->store->thread_context, NULL).from;
}

const char *fiber_kind(void)
{
	return "boost";
}

#else

#include <ucontext.h>

/* glibc's: each switch saves and restores the signal mask, two system calls. */
struct contexts {
	ucontext_t fiber, thread;
};

static void entry(unsigned high, unsigned low)
{
	fiber_main((struct fiber *)((uintptr_t)high << 32 | low));
}

static void make_context(struct fiber *f, char *top, size_t size)
{
	struct contexts *c = f->context = malloc(sizeof(*c));

	// cppcheck-suppress getcontextCalled
	MUST(c != NULL && getcontext(&c->fiber) == 0); /* the caller has no way back; a kilobyte */
	c->fiber.uc_stack.ss_sp = top - size;
	c->fiber.uc_stack.ss_size = size;
	c->fiber.uc_link = NULL;
	makecontext(
	        &c->fiber, (void (*)(void))entry, 2, (unsigned)((uintptr_t)f >> 32), (unsigned)(uintptr_t)f);
}

static void free_context(struct fiber *f)
{
	free(f->context);
}

static void jump_in(struct fiber *f)
{
	struct contexts *c = f->context;

	// cppcheck-suppress swapcontextCalled
	MUST(swapcontext(&c->thread, &c->fiber) == 0); /* fails for want of stack only */
}

static void jump_out(struct fiber *f)
{
	struct contexts *c = f->context;

	// cppcheck-suppress swapcontextCalled
	MUST(swapcontext(&c->fiber, &c->thread) == 0);
}

const char *fiber_kind(void)
{
	return "ucontext";
}

#endif

/* What the tools are told -------------------------------------------------------------------------------------*/

static char *stack_low(const struct fiber *f)
{
	return f->mapping + GUARD_BYTES;
}

static size_t stack_size(const struct fiber *f)
{
	return (size_t)((const char *)f - stack_low(f));
}

static void switch_in(struct fiber_store *s, struct fiber *f)
{
	s->current = f;
#if defined(__SANITIZE_THREAD__)
	__tsan_switch_to_fiber(f->tsan, 0);
#endif
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_start_switch_fiber(&s->fake_stack, stack_low(f), stack_size(f));
#endif
	jump_in(f);
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(s->fake_stack, NULL, NULL);
#endif
	s->current = NULL;
}

static void arrived(struct fiber *f)
{
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(f->fake_stack, &f->store->stack_bottom, &f->store->stack_size);
#endif
	(void)f;
}

static void switch_out(struct fiber *f, bool for_good)
{
	struct fiber_store *s = f->store;

#if defined(__SANITIZE_THREAD__)
	__tsan_switch_to_fiber(s->tsan, 0);
#endif
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_start_switch_fiber(for_good ? NULL : &f->fake_stack, s->stack_bottom, s->stack_size);
#endif
	(void)s;
	(void)for_good;
	jump_out(f);
	arrived(f);
}

static struct fiber *fiber_new(struct fiber_store *s)
{
	size_t size = GUARD_BYTES + STACK_BYTES;
	char *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE,
	        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (mapping == MAP_FAILED)
		return NULL;
	if (mprotect(mapping, GUARD_BYTES, PROT_NONE) != 0) {
		munmap(mapping, size);
		return NULL;
	}
	struct fiber *f =
	        (struct fiber *)(uintptr_t)(((uintptr_t)mapping + size - sizeof(*f)) & ~(uintptr_t)63);
	f->store = s;
	f->mapping = mapping;
	make_context(f, (char *)f, stack_size(f));
#if defined(__SANITIZE_THREAD__)
	f->tsan = __tsan_create_fiber(0);
#endif
#if HAVE_VALGRIND_VALGRIND_H
	f->valgrind = VALGRIND_STACK_REGISTER(stack_low(f), (char *)f);
#endif
	s->made++;
	return f;
}

static void fiber_free(struct fiber_store *s, struct fiber *f)
{
	if (SANITIZED) { /* it may hold what a sanitizer gave it: let it give that back */
		f->run = NULL;
		switch_in(s, f);
	}
#if defined(__SANITIZE_THREAD__)
	__tsan_destroy_fiber(f->tsan);
#endif
#if HAVE_VALGRIND_VALGRIND_H
	VALGRIND_STACK_DEREGISTER(f->valgrind);
#endif
	free_context(f);
	s->made--;
	MUST(munmap(f->mapping, GUARD_BYTES + STACK_BYTES) == 0); /* fails for a wrong address only */
}

/* Each fiber's life: one function after another, until it is to leave. */
static void fiber_main(struct fiber *f)
{
	arrived(f);
	while (f->run) {
		f->run(f->arg);
		f->returned = true;
		switch_out(f, false);
	}
	switch_out(f, true);
	UNREACHABLE("a fiber that has left its stack is not resumed");
}

static void run(struct fiber_store *s, struct fiber *f)
{
	MUST(s->current == NULL);
	switch_in(s, f);
	if (!f->returned)
		return;
	s->busy--;
	f->next = s->free;
	s->free = f;
}

void fiber_store_init(struct fiber_store *s, unsigned limit)
{
	*s = (struct fiber_store){.limit = limit < FIBER_STORE_MAX ? limit : FIBER_STORE_MAX};
#if defined(__SANITIZE_THREAD__)
	s->tsan = __tsan_get_current_fiber();
#endif
}

void fiber_store_free(struct fiber_store *s)
{
	MUST(s->busy == 0);
	while (s->free) {
		struct fiber *f = s->free;

		s->free = f->next;
		fiber_free(s, f);
	}
}

bool fiber_start(struct fiber_store *s, void (*function)(void *arg), void *arg)
{
	struct fiber *f = s->free;

	if (s->busy >= s->limit)
		return false;
	if (f)
		s->free = f->next;
	else if (!(f = fiber_new(s)))
		return false;
	f->run = function;
	f->arg = arg;
	f->returned = false;
	if (++s->busy > s->peak)
		s->peak = s->busy;
	run(s, f);
	return true;
}

void fiber_suspend(struct fiber_store *s)
{
	MUST(s->current != NULL);
	switch_out(s->current, false);
}

void fiber_resume(struct fiber_store *s, struct fiber *f)
{
	run(s, f);
}

void fiber_store_trim(struct fiber_store *s)
{
	unsigned keep = s->peak > KEEP_FIBERS ? s->peak : KEEP_FIBERS;

	while (s->made > keep && s->free) {
		struct fiber *f = s->free;

		s->free = f->next;
		fiber_free(s, f);
	}
	s->peak = s->busy;
}

/* Overflow ----------------------------------------------------------------------------------------------------*/

/* The store of the thread whose fibers are looked at: for the handler, which has no argument of its own. */
static _Thread_local struct fiber_store *handled_store;

/* The fault is real and will come again when this returns, with the default action: a core, and the signal in the exit status. */
static void on_fault(int number, siginfo_t *info, void *context)
{
	static const char text[] =
	        "tplb: a fiber's stack overflowed into its guard page: this is a bug, please report it\n";
	const struct fiber_store *s = handled_store;
	const char *at = info->si_addr;

	(void)number;
	(void)context;
	if (s && s->current && at >= s->current->mapping && at < stack_low(s->current))
		(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
}

void fiber_report_overflow(struct fiber_store *s)
{
	static _Thread_local char signal_stack[SIGNAL_STACK_BYTES];
	stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
	struct sigaction action = {
	        .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};

	if (SANITIZED)
		return;
	handled_store = s;
	MUST(sigaltstack(&stack, NULL) == 0 &&
	        sigaction(SIGSEGV, &action, NULL) == 0); /* right arguments: cannot fail */
}
