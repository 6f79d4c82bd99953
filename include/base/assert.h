/*
 * Three words for three things. MUST: a bug of ours, the process ends with its place. PTHREAD_OK: a
 * pthread call whose failure is a misuse, hence also a bug. Whatever the world can cause (a full
 * disk, a closed socket) is neither: it is a return value and is handled.
 */
#ifndef TPLB_BASE_ASSERT_H
#define TPLB_BASE_ASSERT_H

#include <stdnoreturn.h>

/* Prints "FILE:LINE: FUNCTION: assertion failed: WHAT" to standard error and aborts. */
noreturn void assert_failed(const char *file, int line, const char *function, const char *what);

#define MUST(condition) ((condition) ? (void)0 : assert_failed(__FILE__, __LINE__, __func__, #condition))

/* A place that is not reached; `why` says why not. */
#define UNREACHABLE(why) assert_failed(__FILE__, __LINE__, __func__, why)

#define PTHREAD_OK(call) ((call) == 0 ? (void)0 : assert_failed(__FILE__, __LINE__, __func__, #call))

/* A structure that is reached through a void pointer starts with a magic number and is checked. */
#define CHECK_MAGIC(object, number) MUST((object) != NULL && (object)->magic == (number))

#endif
