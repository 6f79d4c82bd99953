/* A line for the log, and for the operator who asked for what it tells of. */
#ifndef TPLB_LB_TELL_H
#define TPLB_LB_TELL_H

#include <stdio.h>

#include "base/diag.h"

/* Logs the line; out: gets it as well, without time, and with the level in front where that is "warning"; NULL: nobody asked. */
void tell(FILE *out, enum diag_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
