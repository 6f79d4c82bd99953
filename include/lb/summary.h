/* What was done, as lines of the log: for the end of a run. */
#ifndef TPLB_LB_SUMMARY_H
#define TPLB_LB_SUMMARY_H

#include "lb/balancer.h"

/* Server by server, the waits in the queue, and every counter that is not 0. The balancer's threads still run. */
void summary_log(struct balancer *b);

#endif
