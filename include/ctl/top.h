/* `tplbctl top`: a running tplb, looked at again and again. On a terminal a screen of its own that keys steer; otherwise frames of plain text, for scripts. */
#ifndef TPLB_CTL_TOP_H
#define TPLB_CTL_TOP_H

#include <stdbool.h>
#include <stdint.h>

struct top_options {
	const char *socket;
	unsigned long iterations; /* frames with rates, then it ends; 0: until it is told to */
	int64_t delay;            /* ns between two looks, > 0 */
	bool as_json;             /* a line of JSON a frame, what a look found, and no screen */
};

/* Returns the exit status. What is wrong goes to standard error in one line. A signal that ends it does so once the terminal is as it was. */
int top_run(const struct top_options *options);

#endif
