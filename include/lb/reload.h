/*
 * A reload: the configuration file is read again while the program runs. What a row of the key table calls live is taken in, and for every
 * other key that differs it is said that it needs a restart. A file with a mistake changes nothing.
 */
#ifndef TPLB_LB_RELOAD_H
#define TPLB_LB_RELOAD_H

#include <stdio.h>

#include "engine/engine.h"
#include "lb/config.h"
#include "lb/supply.h"

/*
 * Reads and checks FILE, as at start, but looks no names up. Mistakes and warnings go to the log, a line each with its
 * place, and to out unless that is NULL. NULL when there is a mistake; what runs then goes on. Freed with lb_config_free.
 */
struct lb_config *reload_read(const struct supply *supply, const char *file, FILE *out);

/*
 * Takes in what differs between the configuration that runs and the next one, in both of which the command line has had its say, and logs what
 * was done and what was not; out: likewise. `running` afterwards tells what runs. Never waits for a request.
 */
void reload_apply(struct lb_config *running, const struct lb_config *next, struct engine *engine, FILE *out);

#endif
