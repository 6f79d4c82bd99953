/* A balancer without an engine, for targets that look at one exchange: made of a configuration's text, once. */
#ifndef TPLB_TEST_MADE_UP_LB_H
#define TPLB_TEST_MADE_UP_LB_H

#include <stdio.h>

#include "engine/worker.h"
#include "fuzz.h"
#include "lb/exchange.h"

struct made_up_lb {
	struct lb_config *config;
	struct lb *lb;
	struct worker worker;
	struct counters *counters;
	struct listener listener;
	struct conn conn;
};

static inline struct lb_config *made_up_config(const char *text)
{
	struct lb_config *config = lb_config_read_text("x", text);

	MUST(config != NULL);
	conf_print_faults(config->conf, stderr);
	MUST(conf_fault_count(config->conf) == 0);
	return config;
}

static inline void made_up_lb_open(struct made_up_lb *m, const char *text)
{
	m->config = made_up_config(text);
	m->lb = lb_new(m->config, 1, 1, NULL);
	m->counters = counters_new(1);
	MUST(m->lb != NULL && m->counters != NULL);
	worker_init(&m->worker, 0, NULL, m->counters, NULL, (size_t)m->config->limits.header_size, 4);
	MUST(exchange_store_init(&m->worker));
	m->listener = (struct listener){.app = &m->lb->listeners[0]};
}

/* A new exchange that has received these bytes; exchange_free ends it. */
static inline struct exchange *made_up_exchange(struct made_up_lb *m, struct str bytes)
{
	m->conn = (struct conn){.magic = CONN_MAGIC, .fd = -1, .listener = &m->listener};
	m->conn.peer.family = AF_INET;
	m->conn.peer.bytes[0] = 127;
	m->conn.peer.bytes[3] = 1;
	lb_begin_use(m->lb, 0);
	struct exchange *x = exchange_new(&m->lb->listeners[0], &m->worker, &m->conn);

	MUST(x != NULL && buf_add_str(x->in, bytes));
	return x;
}

#endif
