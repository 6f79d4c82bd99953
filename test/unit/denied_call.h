/*
 * The kernel refuses a system call from now on, with the errno that a test wants: a seccomp filter, which nothing takes away, so only within
 * a test that runs in a process of its own. It is what EMFILE, ENOMEM and an old or strict kernel look like from below the C library.
 */
#ifndef TPLB_TEST_DENIED_CALL_H
#define TPLB_TEST_DENIED_CALL_H

#include <check.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 }; /* it maps memory and makes threads of its own, and cannot live without */
#else
enum { SANITIZED = 0 };
#endif

/* Whether a test may do it: it is a child, and the kernel filters. Say so and return from the test otherwise. */
static inline bool may_deny(void)
{
	const char *fork = getenv("CK_FORK");

	if (fork && strcmp(fork, "no") == 0)
		return false;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0)
		return true;
	fprintf(stderr, "no seccomp here: not tested\n");
	return false;
}

/* The same for mappings and threads. */
static inline bool may_deny_memory(void)
{
	return !SANITIZED && may_deny();
}

/* By this thread and those that it makes. */
static inline void deny(long call, int error)
{
	struct sock_filter steps[] = {
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(steps) / sizeof(steps[0]), .filter = steps};

	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

/* Threads cannot be made: EAGAIN. */
static inline void deny_threads(void)
{
#ifdef SYS_clone3
	deny(SYS_clone3, EAGAIN);
#endif
	deny(SYS_clone, EAGAIN);
}

#endif
