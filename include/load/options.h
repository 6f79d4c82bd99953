/* The command line of tplb-load. */
#ifndef TPLB_LOAD_OPTIONS_H
#define TPLB_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "load/url.h"
#include "net/loop.h"

/* A fiber each, and one beside them. */
enum {
	LOAD_CONNECTIONS_MAX = FIBER_STORE_MAX <= 10000 ? FIBER_STORE_MAX - 1 : 10000,
	LOAD_RATE_MAX = 1000000,
	LOAD_WHY_MAX = 256
};

struct load_options {
	double rate; /* requests a second; 0: a closed loop */
	unsigned connections;
	int64_t duration, timeout; /* ns */
	int64_t good;              /* ns: an answer that comes within it counts as good */
	bool keepalive, json;
	enum loop_driver_kind driver;
	const char *text; /* the URL, of argv */
	struct url url;
};

enum load_options_verdict { LOAD_OPTIONS_RUN, LOAD_OPTIONS_HELP, LOAD_OPTIONS_VERSION, LOAD_OPTIONS_WRONG };

/* LOAD_OPTIONS_WRONG: `why` tells, in one line without a newline, what is wrong and what would be right. Not for two threads at once (getopt). */
enum load_options_verdict load_options_parse(
        int argc, char **argv, struct load_options *out, char why[LOAD_WHY_MAX]);

/* The text of --help. */
const char *load_options_help(void);

#endif
