/* Several `show` commands at once over the admin socket, as data, for a program that does other things while it waits for them. */
#ifndef TPLB_CTL_FETCH_H
#define TPLB_CTL_FETCH_H

#include <jansson.h>
#include <stdbool.h>

#include "ctl/client.h"

enum { FETCH_MAX = 8 };

struct fetch {
	int fd; /* to poll for reading; -1: it is not under way */
	unsigned count, done;
	const char *names[FETCH_MAX];
	json_t *data; /* an object, of what came so far */
	char *in;     /* bytes that came and are no whole line yet */
	size_t len, room;
	json_t *value; /* of the answer that is being read; NULL: none came */
};

/* Connects and asks "show NAME" of each; names ends with NULL and outlives it. Never waits. False: why tells, in one line. */
bool fetch_begin(struct fetch *f, const char *path, const char *const *names, char why[CLIENT_WHY_BYTES]);

enum fetch_state { FETCH_GOES_ON, FETCH_DONE, FETCH_FAILED };
/*
 * f->fd is readable. Never waits. DONE: f->data has a member for each name, and is the caller's; one that this tplb does not know is not there. FAILED: why tells.
 * Either way it is not under way any more.
 */
enum fetch_state fetch_read(struct fetch *f, char why[CLIENT_WHY_BYTES]);

/* Gives up. */
void fetch_end(struct fetch *f);

#endif
