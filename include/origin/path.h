/* The path of a request, on its way to a file's name. Pure functions. */
#ifndef TPLB_ORIGIN_PATH_H
#define TPLB_ORIGIN_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

enum { PATH_ROOM = 4096 };

enum path_verdict {
	PATH_OK,
	PATH_BAD,     /* 400: a broken percent-encoding, or an encoded NUL */
	PATH_REFUSED, /* 404: an encoded slash, or a backslash, which others take for one */
	PATH_LONG     /* 414 */
};

/* Decodes percent-encodings (RFC 3986 section 2.1) into out, with a NUL behind. */
enum path_verdict path_decode(struct str raw, char out[PATH_ROOM], struct str *decoded);

/*
 * A decoded path as a name relative to a root, "a/b", with a NUL: no leading slash, no empty part, no "."; "." for the root itself.
 * *directory: it ended in a slash (or in "."). False when a part is "..", or it does not fit: there is no such file.
 */
bool path_relative(struct str decoded, char out[PATH_ROOM], bool *directory);

/* Appends the name with everything but unreserved characters and slashes percent-encoded. False when there is no room. */
bool path_encode(struct str name, struct buf *out);

#endif
