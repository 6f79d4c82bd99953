/*
 * Looking at connections from outside, while their owners work on them. No lock is taken and nobody is asked: each owner keeps a card in the record (struct
 * conn_card), as atomics on lines that it writes anyhow. A record that became another connection's amid the look is left out, by its generation.
 */
#ifndef TPLB_ENGINE_LOOK_H
#define TPLB_ENGINE_LOOK_H

#include "engine/engine.h"

struct seen {
	unsigned lot, index, generation; /* together its id, as long as the program runs */
	struct addr_ip peer;
	unsigned listener; /* its slot, for engine_listener_name */
	enum conn_at at;
	unsigned requests;   /* begun on it */
	int64_t accepted_at; /* CLOCK_MONOTONIC ns */
	uint64_t doing;      /* at CONN_AT_WORK: for board_entry_of */
	int64_t since; /* parked since then, or its request was queued then; 0: it did not pass the queue */
};

/* Where one is; {0} at first. */
struct look {
	unsigned lot;
	uint32_t index;
};

/* The next connection. False: there is none left. Any thread. */
bool engine_look(const struct engine *e, struct look *look, struct seen *out);

#endif
