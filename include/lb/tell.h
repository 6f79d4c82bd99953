/* A line for the log and the recent events, and for the operator who asked for what it tells of. */
#ifndef TPLB_LB_TELL_H
#define TPLB_LB_TELL_H

#include <stdio.h>

#include "base/diag.h"

/* Logs the line and keeps it as an event; out: gets it as well, without time, and with the level in front where that is "warning"; NULL: nobody asked. */
void tell(FILE *out, enum diag_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same for one of many lines about one thing: it is no event of its own. */
void tell_detail(FILE *out, enum diag_level level, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

#endif
