/*
 * Which server gets a request. A policy is one file pick_NAME.c, one row in pick.c and one test. Picking never waits and looks at
 * each server at most once.
 */
#ifndef TPLB_LB_PICK_H
#define TPLB_LB_PICK_H

#include "lb/config.h"
#include "lb/upstream.h"

struct picker_ops {
	enum lb_balance balance;
	/* NULL when memory is out. */
	struct picker *(*create)(const struct upstream *u);
	void (*destroy)(struct picker *p);
	/* The index of a server, 0 to u->count - 1. Any thread. */
	unsigned (*pick)(struct picker *p, const struct upstream *u);
};

/* First in every policy's own struct. */
struct picker {
	const struct picker_ops *ops;
};

extern const struct picker_ops pick_roundrobin;

/* A picker for the upstream, whose servers are set already; NULL when memory is out. */
struct picker *picker_new(enum lb_balance balance, const struct upstream *u);
void picker_free(struct picker *p);

static inline unsigned pick_server(const struct upstream *u)
{
	return u->picker->ops->pick(u->picker, u);
}

#endif
