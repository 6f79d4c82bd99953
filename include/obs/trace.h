/*
 * A trace: what happened on the rows of a board, one event after the other. While a row is traced its thread writes each step, and what the engine notes beside
 * it, into a bounded ring of the row's own; one reader takes them out. What finds no room is lost and counted, and nobody waits. Off, it is a look at the row's own
 * cache line for each step.
 *
 * Rings are kept for the next trace when one ends, without their memory: a writer that was about to write still finds a place to do so, so that nobody
 * need wait for it.
 */
#ifndef TPLB_OBS_TRACE_H
#define TPLB_OBS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_kind {
	TRACE_STEP, /* a row's word is this one from now on */
	TRACE_TAKEN, /* a connection was taken to begin a request: id; value: ns that it has waited in the queue */
	TRACE_NEXT, /* it begins a further one, which did not pass the queue: id */
	TRACE_DONE, /* it is parked, closed or back in the queue: id */
	TRACE_QUEUE /* the queue was put to: value is its depth */
};

struct trace_event {
	int64_t time; /* CLOCK_MONOTONIC ns */
	enum trace_kind kind;
	bool after_gap; /* the ones before it were lost */
	int depth;      /* of the queue, with TRACE_TAKEN; -1: there is none */
	uint64_t id;    /* of a connection */
	uint64_t value; /* the word, the wait or the depth */
};

struct board_row;

/* By the row's thread, where the row is traced. */
void trace_write(struct board_row *r, enum trace_kind kind, uint64_t id, uint64_t value, int depth);

/* From now on the row is traced, into a ring of so many events at most, and more than half as many; one that it had before is taken as it is. One thread at a time, as all below. False: memory is out. */
bool trace_begin(struct board_row *r, size_t events);
/* No more. What it has still to be read stays. */
void trace_end(struct board_row *r);
/* Reads up to n events, the oldest first. How many. */
size_t trace_read(struct board_row *r, struct trace_event *out, size_t n);
/* Events that were lost since trace_begin. */
uint64_t trace_lost(const struct board_row *r);
/* All of them were read, and it has ended: the ring's memory goes back to the system. */
void trace_trim(struct board_row *r);
/* At the end of all threads. */
void trace_free(struct board_row *r);

#endif
