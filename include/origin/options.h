/* The command line of tplb-origin. */
#ifndef TPLB_ORIGIN_OPTIONS_H
#define TPLB_ORIGIN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "net/loop.h"

enum {
	OPTIONS_LISTEN_MAX = 64,
	OPTIONS_WORKERS_MAX = 1024,
	OPTIONS_QUEUE_MAX = 1024 * 1024,
	OPTIONS_WHY_MAX = 256
};

enum origin_engine { ORIGIN_POOL, ORIGIN_ASYNC };

struct origin_options {
	enum origin_engine engine;
	enum loop_driver_kind driver;
	const char *listen[OPTIONS_LISTEN_MAX]; /* texts of argv, of right syntax */
	unsigned listen_count;
	unsigned workers; /* threads of the pool, or loops (0: one a core) */
	unsigned queue;
	const char *root; /* NULL: no files */
	bool keepalive;
};

enum options_verdict { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_WRONG };

/* OPTIONS_WRONG: `why` tells, in one line without a newline, what is wrong and what would be right. Not for two threads at once (getopt). */
enum options_verdict options_parse(
        int argc, char **argv, struct origin_options *out, char why[OPTIONS_WHY_MAX]);

/* The text of --help. */
const char *options_help(void);

#endif
