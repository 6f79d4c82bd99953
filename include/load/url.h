/* http://HOST[:PORT][/PATH][?QUERY], taken apart. */
#ifndef TPLB_LOAD_URL_H
#define TPLB_LOAD_URL_H

#include <stdbool.h>

enum { URL_HOST_MAX = 300, URL_TARGET_MAX = 8000 };

struct url {
	char host[URL_HOST_MAX];        /* as in the URL: what Host is to say */
	char address[URL_HOST_MAX + 4]; /* with a port, for addr_parse; of right syntax, not resolved */
	char target[URL_TARGET_MAX];
};

/* False: *why is a static text. */
bool url_parse(const char *text, struct url *out, const char **why);

#endif
