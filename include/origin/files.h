/* Files from the docroot. */
#ifndef TPLB_ORIGIN_FILES_H
#define TPLB_ORIGIN_FILES_H

#include "origin/request.h"

/* Answers GET or HEAD for the decoded path. */
void files_answer(struct request *r, struct str decoded);

/* Whether this kernel lets us use openat2(2) with RESOLVE_BENEATH on the root. */
bool files_have_openat2(int root);

/*
 * Opens a relative name for reading, never anything outside of the root, whatever links there are or come to be.
 * openat2: symbolic links that stay beneath the root are followed; otherwise none is. Returns a descriptor or -errno.
 */
int files_open(int root, const char *name, bool openat2);

#endif
