/*
 * What runs as numbers, in Prometheus' text format 0.0.4. Counters never go back while the program runs, whatever is reloaded; those of a listener, upstream or server that a reload takes away
 * go with it.
 */
#ifndef TPLB_LB_METRICS_H
#define TPLB_LB_METRICS_H

#include <stdbool.h>
#include <stdio.h>

#include "lb/control.h"
#include "obs/prometheus.h"

/* All of them. False: memory is out. Any thread; takes no lock that a request waits for. */
bool metrics_write(struct control *c, FILE *out);

/* The manual's part about them, in mdoc(7): a list, from the same tables. */
void metrics_print_manual(FILE *out);

/* Parts that the files of the metrics share. ------------------------------------------------------------------*/

/* What is looked at in one go, so that all families tell of the same moment, nearly. */
struct metrics_view {
	struct control *control;
	struct lb *lb; /* pinned */
	int64_t now;   /* CLOCK_MONOTONIC ns */
	int64_t wall;  /* CLOCK_REALTIME ns */
	/* of lb/tally.h's: [listener], [upstream], [server.index] */
	uint64_t (*listeners)[LISTENER_CELLS];
	uint64_t (*upstreams)[UPSTREAM_CELLS];
	uint64_t (*servers)[SERVER_CELLS];
	struct balancer_listener *connections; /* [listener] */
	struct standing *standings;            /* [server.index] */
};

/* False: memory is out, nothing is to be closed. */
bool metrics_view_open(struct metrics_view *v, struct control *c);
void metrics_view_close(struct metrics_view *v);

/* A family that is written by a function of its own. */
struct metrics_family {
	const char *name;
	enum prometheus_kind kind;
	const char *labels; /* for the manual: "upstream, server"; "": none */
	const char *help;
	void (*write)(const struct metrics_view *v, const char *name, FILE *out); /* its samples */
};

/* Ended by a row whose name is NULL: of the program, of listeners, upstreams and servers, of the process. */
extern const struct metrics_family metrics_of_program[], metrics_of_parts[], metrics_of_process[];

/* One of the counts or times of lb/tally.h. */
struct metrics_tally {
	const char *metric, *label, *help;
	unsigned cell;
	bool is_time;
};

/* One kind of them; ended by a row whose prefix is NULL. */
struct metrics_part {
	const char *prefix; /* "tplb_server_" */
	const char *labels; /* for the manual */
	const struct metrics_tally *tallies;
	unsigned count;
	/* The nth of them; false: there are no more. Its labels, NULL-ended, and its cells. */
	bool (*nth)(const struct metrics_view *v, unsigned n, struct prometheus_label labels[3],
	        const uint64_t **cells);
};
extern const struct metrics_part metrics_parts[];

/* The help of a metric of several counters (obs/counters.h); NULL: it has one only, whose help it is. */
const char *metrics_shared_help(const char *metric);

#endif
