/* Which path is answered by what: the one table of routes, and the original experiment's pages. */
#ifndef TPLB_ORIGIN_PAGES_H
#define TPLB_ORIGIN_PAGES_H

#include "origin/request.h"

/* Answers a parsed request. */
void pages_answer(struct request *r);

/* Makes a worker's ready answers. */
void pages_prepare(struct origin_worker *own);

#endif
