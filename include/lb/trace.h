/*
 * `trace SECONDS`: what the workers, the loops and the acceptor do for a while, as a timeline in the Trace Event Format (Google, "Trace Event Format", 2016), which Perfetto
 * (ui.perfetto.dev) and chrome://tracing open. It is told as it comes, in pieces, so no more of it is in memory than the rings of obs/trace.h hold and one piece.
 *
 *	a thread each     its name; a slice ("X") for each step of obs/board.h, with server, descriptor and whether it slept. They follow each other: none overlaps another. "lost": the steps
 *	                  there found no room in the ring
 *	"request"         an async slice ("b", "e") from when a connection was put on the queue until it was parked, closed or requeued; in it "queued", until it was taken
 *	"queue"           a counter ("C"): how many waited in the queue, whenever something was put or taken; a loop with a queue of its own has "queue of loop N"
 *	"otherData"       `taken` counts the requests that are in it, `lost` the events that found no room in a ring and are not
 */
#ifndef TPLB_LB_TRACE_H
#define TPLB_LB_TRACE_H

#include "ctl/answer.h"
#include "lb/control.h"

enum { TRACE_SECONDS_MAX = 60 };

/* answer_begin, with one word, the seconds. arg: struct control. One trace at a time. */
struct answer_feed *trace_start(void *arg, char *const *words, bool as_json, char why[ANSWER_WHY_BYTES]);

#endif
