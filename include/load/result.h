/* What a run found out. */
#ifndef TPLB_LOAD_RESULT_H
#define TPLB_LOAD_RESULT_H

#include <stdint.h>
#include <stdio.h>

#include "load/histogram.h"
#include "load/options.h"

/* Answers by connection, so that one sees whether some starved. */
struct load_clients {
	unsigned count, answered; /* `answered` of them got an answer at all */
	uint64_t min, p10, median, p90, max;
};

struct load_result {
	int64_t lasted;     /* ns */
	uint64_t scheduled; /* that were due, or in a closed loop begun */
	uint64_t sent, answered;
	uint64_t good;        /* answered below 400 within options.good of when they were due */
	uint64_t good_by_end; /* of these, answered before the duration was over */
	uint64_t late;        /* sent more than a millisecond after they were due */
	uint64_t cut;         /* on their way when the run ended: neither answered nor failed */
	uint64_t opened;      /* connections */
	uint64_t bytes;       /* received */
	struct {
		uint64_t connect, read, write, timeout;
		uint64_t status; /* answers of 400 and more; they are in `answered` as well */
	} errors;
	struct histogram latency; /* from when a request was due, or begun */
	struct histogram service; /* from when it was sent */
	struct load_clients clients;
	enum loop_driver_kind driver;
};

/* Sorts `answers`, a number a connection. */
struct load_clients load_clients_of(uint64_t *answers, unsigned count);

void load_print_text(const struct load_options *o, const struct load_result *r, FILE *out);
void load_print_json(const struct load_options *o, const struct load_result *r, FILE *out);

#endif
