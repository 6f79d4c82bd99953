/*
 * Numbers of descriptors, for ThreadSanitizer: io_uring closes them unseen, and the kernel gives them again after that. So what used a number before comes before what uses it then. Calls that it knows
 * (socket, accept4, open and the like) need none of this.
 */
#ifndef TPLB_NET_NUMBER_H
#define TPLB_NET_NUMBER_H

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>

enum { NUMBERS = 1 << 16 };
extern char number_marks[NUMBERS];
#define NUMBER_CLOSED(fd) __tsan_release(&number_marks[(unsigned)(fd) % NUMBERS])
#define NUMBER_TAKEN(fd) __tsan_acquire(&number_marks[(unsigned)(fd) % NUMBERS])
#else
#define NUMBER_CLOSED(fd) (void)(fd)
#define NUMBER_TAKEN(fd) (void)(fd)
#endif

#endif
