/* A part of src/lb/config.c: what the upstreams say. */
#ifndef TPLB_LB_CONFIG_UPSTREAMS_H
#define TPLB_LB_CONFIG_UPSTREAMS_H

#include "lb/config.h"

/* Servers, names, policy, health, sticky sessions. Faults are added to c->conf; sets each upstream's policy and header. */
void config_upstreams_check(struct lb_config *c);

#endif
