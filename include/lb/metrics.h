/* What runs as numbers, in Prometheus' text format 0.0.4. */
#ifndef TPLB_LB_METRICS_H
#define TPLB_LB_METRICS_H

#include <stdbool.h>
#include <stdio.h>

#include "lb/control.h"

/* All of them. False: memory is out. Any thread; takes no lock that a request takes. */
bool metrics_write(struct control *c, FILE *out);

#endif
