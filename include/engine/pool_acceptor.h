/* The acceptor's own thread, in the pool engine: what is readable goes onto the queue, many connections under one lock. */
#ifndef TPLB_ENGINE_POOL_ACCEPTOR_H
#define TPLB_ENGINE_POOL_ACCEPTOR_H

#include <pthread.h>

#include "engine/acceptor.h"

struct pool_acceptor {
	struct acceptor acceptor; /* its constant fields but ops and arg are set before the start */
	pthread_t thread;
};

/* Registers the listeners and starts the thread. 0 or an errno. It ends once the acceptor is finished. */
int pool_acceptor_start(struct pool_acceptor *p);

#endif
