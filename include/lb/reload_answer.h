/*
 * `reload [SECONDS]`: what changed, told at once; then, for so long at most, what became of the requests that had begun before. The admin socket answers others meanwhile, but not while the file
 * is taken in.
 */
#ifndef TPLB_LB_RELOAD_ANSWER_H
#define TPLB_LB_RELOAD_ANSWER_H

#include "ctl/answer.h"
#include "lb/control.h"

enum { RELOAD_WAIT_S = 5, RELOAD_WAIT_MAX_S = 30 };

/* answer_begin, with one word, the seconds, or none: RELOAD_WAIT_S. arg: struct control. */
struct answer_feed *reload_begin(void *arg, char *const *words, bool as_json, char why[ANSWER_WHY_BYTES]);

#endif
