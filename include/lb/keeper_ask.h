/* What the child asks its parent (lb/keeper.h), and how: a message each, over a socket that keeps them apart. The parent answers all but the one-way ones. */
#ifndef TPLB_LB_KEEPER_ASK_H
#define TPLB_LB_KEEPER_ASK_H

#include <stdint.h>

enum { KEEPER_TEXT_MAX = 4096 };

enum ask {
	ASK_READ,     /* read the configuration again; text: nothing */
	ASK_FILE,     /* a file of it, by its path */
	ASK_LISTEN,   /* text: a listener's `bind` */
	ASK_LOG,      /* text: a log's path */
	ASK_REMOVE,   /* the socket file of a closed listener; text: its `bind` */
	ASK_NOTIFY,   /* text: a digit, enum notice; it gets no answer */
	ASK_OFFICE,   /* this program is in office now; likewise */
	ASK_SPAWN,    /* start the program anew; with its end of the channel */
	ASK_REAP,     /* text: a digit, enum office_reap: of what was spawned */
	ASK_HAND_OVER /* what was spawned has taken over; text: "1": it is to read its file again */
};

struct question {
	uint32_t ask; /* enum ask */
	char text[KEEPER_TEXT_MAX];
};

/* With the descriptor, if there is one. */
struct answer {
	int error; /* an errno; 0: none */
	int value; /* what was asked for, if that is a number */
};

#endif
