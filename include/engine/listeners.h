/*
 * The listening sockets, which come and go while the engine runs. A slot's record stays where it is as long as the engine lives: connections point to it.
 *
 *	FREE ──add──> OPEN ──leave──> LEAVING ──the last acceptor lets go──> CLOSED ──its last connection has ended, forget──> FREE
 *
 * Each acceptor watches each of them, and looks for changes at the end of a turn when `version` has moved. The last one to let go closes the socket; in a
 * drain all let go of all.
 */
#ifndef TPLB_ENGINE_LISTENERS_H
#define TPLB_ENGINE_LISTENERS_H

#include "base/lock.h"
#include "engine/engine.h"

enum { LISTENERS_MAX = LOOP_LISTENERS_MAX };

struct listeners {
	unsigned acceptors;       /* constant: who watches each of them */
	_Atomic unsigned used;    /* slots that were ever used are below it; release, acquire */
	_Atomic unsigned version; /* goes up with each change; seq_cst */
	struct lock lock;         /* held to add, leave, close and forget, and to look what has changed */
	pthread_cond_t closed;    /* with lock: one became CLOSED */
	struct listener slots[LISTENERS_MAX];
};

void listeners_init(struct listeners *ls, unsigned acceptors);
/* close: also the sockets that are still open. No acceptor runs. */
void listeners_free(struct listeners *ls, bool close);

/* Takes fd over; name is copied. NULL when all slots are used or memory is out: then fd is the caller's still. */
struct listener *listeners_add(struct listeners *ls, const struct listener *from);
void listeners_leave(struct listeners *ls, struct listener *l);
/* The files of those that are open stay when they are closed. */
void listeners_leave_files(struct listeners *ls);
/* Waits for the close of one that leaves, for at most so long (ns). */
void listeners_await_closed(struct listeners *ls, const struct listener *l, int64_t patience);
/* It is CLOSED, and its last connection has ended. */
bool listeners_is_gone(const struct listener *l);
/* One that is gone. */
void listeners_forget(struct listeners *ls, struct listener *l);

/* Its state, and of which life of its slot that is: the two belong together. */
enum listener_state listeners_state(struct listeners *ls, const struct listener *l, unsigned *life);

/* The name of the one in this slot, cut short to fit; "": there is none. */
void listeners_name(struct listeners *ls, unsigned slot, char *out, size_t size);

/* By an acceptor, once a life of the listener: it neither watches it nor will. True: it was the last one, and is to close it. */
bool listener_let_go(struct listener *l);
/* By the last one. */
void listeners_close(struct listeners *ls, struct listener *l);

#endif
