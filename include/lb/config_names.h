/* What the configuration says about names of servers: its checks, and looking them up at start. Parts of src/lb/config.c. */
#ifndef TPLB_LB_CONFIG_NAMES_H
#define TPLB_LB_CONFIG_NAMES_H

#include "lb/config.h"

/* The upstream's `resolve` and `nameserver`, and its servers' addresses with what belongs to names. Faults are added to c->conf. */
void config_names_check(struct lb_config *c, struct lb_config_upstream *u);

/* Looks up all that are names (blocking). One that cannot be found is a fault, unless its init_addr is "none". */
void config_names_resolve(struct lb_config *c, struct lb_config_upstream *u);

void config_names_free(struct lb_config_upstream *u);

#endif
