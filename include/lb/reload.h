/*
 * A reload, before anything is changed: the configuration file is read again, checked, and compared with what runs. What a row of the key table, or its section,
 * calls live can be taken in; for every other key that differs it is said that it needs a restart. A file with a mistake changes nothing.
 */
#ifndef TPLB_LB_RELOAD_H
#define TPLB_LB_RELOAD_H

#include <stdio.h>

#include "lb/balancer.h"
#include "lb/config.h"
#include "lb/supply.h"

/*
 * Reads and checks FILE, as at start, but looks no names up. Mistakes and warnings go to the log, a line each with its
 * place, and to out unless that is NULL. NULL when there is a mistake; what runs then goes on. Freed with lb_config_free.
 */
struct lb_config *reload_read(const struct supply *supply, const char *file, FILE *out);

/*
 * Looks the names up that the balancer does not know yet (blocking); what it knows stays as it is. False: one cannot be found, which was told as above, and next is
 * freed.
 */
bool reload_resolve(const struct balancer *b, struct lb_config *next, const char *file, FILE *out);

enum { RELOAD_LINES_MAX = 200, RELOAD_NAMES_BYTES = 800 };

/* What differs. */
struct reload {
	struct lb_config *next;
	bool differs;
	bool rebuilds; /* in what only another snapshot takes in */
	bool no_memory;
	/* One line a difference that can be taken in. */
	char *text;
	size_t text_len;
	FILE *lines;
	unsigned line_count;
	/* Keys that need a restart. */
	char names[RELOAD_NAMES_BYTES];
	size_t len;
	unsigned unnamed; /* found no room in `names` */
};

/*
 * Compares. In both the command line has had its say. What needs a restart is changed in `next` to what runs. False when memory is out. reload_free comes after it in
 * either case.
 */
bool reload_compare(struct reload *r, const struct lb_config *running, struct lb_config *next);
/* Logs the differences, and says them to out; reload_tell_restart likewise those that need a restart. */
void reload_tell(struct reload *r, FILE *out);
void reload_tell_restart(const struct reload *r, FILE *out);
void reload_free(struct reload *r);

#endif
