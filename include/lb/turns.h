/* Whose turn it is, each as often as its weight says. */
#ifndef TPLB_LB_TURNS_H
#define TPLB_LB_TURNS_H

#include "lb/pick.h"

struct turns;

/* For the upstream's servers that are no backups; free() it. NULL when memory is out. */
struct turns *turns_new(const struct upstream *u);

/* The servers' weights are others: works the order out anew, while others pick. False when memory is out: it stays as it was. One caller at a time. */
bool turns_weigh(struct turns *t, const struct upstream *u);

/* The index of the next that was not tried; there must be one. Any thread. */
unsigned turns_next(struct turns *t, const struct upstream *u, const struct server_set *tried);

#endif
