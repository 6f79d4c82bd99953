/* Media types by file name. */
#ifndef TPLB_ORIGIN_TYPES_H
#define TPLB_ORIGIN_TYPES_H

#include "base/str.h"

/* The Content-Type for a file of this name; "application/octet-stream" for an unknown one. */
struct str types_of(struct str name);

#endif
