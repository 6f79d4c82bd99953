/*
 * What a running tplb tells of itself, as data: for the admin socket's `show` commands, in text and in JSON, and for whoever else asks. Any thread; no request
 * waits for it. The caller frees the result; what memory had no room for is missing, and NULL means that there was none at all.
 *
 * Names of members end with the unit of a time.
 */
#ifndef TPLB_LB_SHOW_H
#define TPLB_LB_SHOW_H

#include <jansson.h>

#include "lb/control.h"

/* Objects. */
json_t *show_status(struct control *c);
json_t *show_pool(struct control *c);
json_t *show_queue(struct control *c);
json_t *show_counters(struct control *c); /* all, by name */

/* The configuration that runs: the file's as it was read last, the command line's word in its place, without what commands have set. As `tplb -T` prints it, or as data. */
void show_config_text(struct control *c, FILE *out);
json_t *show_config(struct control *c);

/*
 * Arrays of objects, one a server; `active` is null where that is not counted. `answers_timed`: answers of which the first byte was timed, from the request's having
 * its server; `answers_us`: how long all of them took together. So what came of two looks has a mean.
 */
json_t *show_servers(struct control *c);
/* One a listener: `listener`, `address`, `mode`, `upstream`, and how many `connections` it has. */
json_t *show_listeners(struct control *c);

#endif
