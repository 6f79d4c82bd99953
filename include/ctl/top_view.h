/* A frame of `tplbctl top`: two looks at a running tplb, and what happened between them, as text. Data in, text out. */
#ifndef TPLB_CTL_TOP_VIEW_H
#define TPLB_CTL_TOP_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What one look found: the data of the `show` commands by their last word ("status", "pool", "queue", "counters", "servers"), and when. */
struct top_sample {
	json_t *data; /* an object; NULL: none */
	int64_t at;   /* CLOCK_MONOTONIC ns */
};

/* A column of servers is one of these. */
enum { TOP_COLUMNS = 10 };

struct top_look {
	unsigned width, height; /* columns and lines at most; 0: as many as there are */
	unsigned sort;          /* a column, below TOP_COLUMNS */
	bool reverse;           /* the other way round than that column's own: numbers fall, names rise */
	bool colours; /* ANSI, each line wiped to its end; and the column that is sorted by stands out */
};

/*
 * Lines, the last one with its newline too. Rates need both; with `before` empty they are "-". Nothing that a name may hold leaves its line.
 */
void top_view_print(const struct top_sample *before, const struct top_sample *now,
        const struct top_look *look, FILE *out);

/* A column's heading. */
const char *top_column_name(unsigned column);

#endif
