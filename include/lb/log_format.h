/*
 * What a line of the access log looks like: text with %{VARIABLE} in it. "combined", "timed" and "json" are names for such texts. One that begins with "{" is taken
 * for JSON: what comes from clients is then escaped as JSON's strings are, and a number that there is none of is null; otherwise as \xHH, and "-".
 */
#ifndef TPLB_LB_LOG_FORMAT_H
#define TPLB_LB_LOG_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct exchange;
struct conn;

/* The longest line, its newline included. */
enum { LOG_FORMAT_LINE_MAX = 8192, LOG_FORMAT_WHY_BYTES = 512 };

/* What a line is about. */
struct log_record {
	const struct exchange *x; /* NULL: the request was refused before it was looked at */
	const struct conn *c;
	int status; /* 0: nothing was told */
	uint64_t bytes;
	const char *end; /* one word */
};

struct log_format {
	struct log_format *next; /* in a list of its owner's */
	char *text;              /* as configured */
	bool json;
	bool timed;  /* it has times in it, for which clocks must be read */
	bool has_id; /* of the request */
	unsigned count;
	struct log_item *items;
	char *full; /* the text that the items point into */
};

/* Tells of every variable. */
void log_variables_tell(void (*tell)(void *arg, const char *name, const char *help), void *arg);

/* NULL: the text is wrong, and why tells; or memory is out, and why is empty. */
struct log_format *log_format_new(const char *text, char why[LOG_FORMAT_WHY_BYTES]);
void log_format_free(struct log_format *f);

/* Writes a line with its newline; returns its length. */
size_t log_format_write(
        const struct log_format *f, const struct log_record *r, char line[LOG_FORMAT_LINE_MAX]);

#endif
