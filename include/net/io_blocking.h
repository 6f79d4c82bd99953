/* The driver for threads: waiting is poll(2). */
#ifndef TPLB_NET_IO_BLOCKING_H
#define TPLB_NET_IO_BLOCKING_H

#include "net/io.h"

struct io_blocking {
	struct io io; /* first, so that the one is the other */
	/* Told right before (true) and right after (false) the thread may sleep; NULL: nobody is told. */
	void (*sleeping)(void *arg, int asleep);
	void (*goes_on)(
	        void *arg); /* told where it might have slept, and only looked; NULL: nobody is told */
	void *arg;
};

void io_blocking_init(struct io_blocking *b);

#endif
