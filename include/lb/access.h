/* The access log's lines. */
#ifndef TPLB_LB_ACCESS_H
#define TPLB_LB_ACCESS_H

#include "lb/exchange.h"

/* Queues the line of a finished exchange, where an access log is wanted. Never waits. */
void access_log(const struct exchange *x);

#endif
