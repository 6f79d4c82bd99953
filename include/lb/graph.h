/* The configuration as a picture. */
#ifndef TPLB_LB_GRAPH_H
#define TPLB_LB_GRAPH_H

#include <stdio.h>

#include "lb/config.h"

/*
 * Prints the road of a request through the configuration, which is without faults, in the language of Graphviz's dot. There are no colours in it; each
 * node has a class (clients, listener, acceptor, queue, workers, loops, upstream, server) for a stylesheet.
 */
void lb_graph_print(const struct lb_config *config, FILE *out);

#endif
