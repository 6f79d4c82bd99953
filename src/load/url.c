#include "load/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http/chars.h"
#include "net/addr.h"

static const char scheme[] = "http://";

static bool refuse(const char **why, const char *text)
{
	*why = text;
	return false;
}

/* The port of the scheme is added where there is none: behind the bracket of an IPv6 address, or the name. */
static bool parse_host(const char *text, size_t len, struct url *out, const char **why)
{
	if (len == 0)
		return refuse(why, "the host is missing, as in http://127.0.0.1:8000/");
	if (len >= sizeof(out->host))
		return refuse(why, "the host is too long");
	memcpy(out->host, text, len);
	out->host[len] = '\0';
	if (strchr(out->host, '@'))
		return refuse(why, "a user name is not sent; leave it out");
	const char *bracket = strrchr(out->host, ']');
	bool has_port = strchr(bracket ? bracket : out->host, ':') != NULL;
	snprintf(out->address, sizeof(out->address), "%s%s", out->host, has_port ? "" : ":80");
	return addr_check(out->address, false, NULL, why);
}

static bool parse_target(const char *text, struct url *out, const char **why)
{
	size_t len = strcspn(text, "#"); /* the fragment is for the client */
	const char *slash = text[0] == '/' ? "" : "/";

	if (len + 2 > sizeof(out->target))
		return refuse(why, "the path is too long");
	for (size_t i = 0; i < len; i++)
		if (!http_is(CHAR_TARGET, text[i]))
			return refuse(
			        why, "a character in the path is to be percent-encoded, as %20 for a space");
	snprintf(out->target, sizeof(out->target), "%s%.*s", slash, (int)len, text);
	return true;
}

bool url_parse(const char *text, struct url *out, const char **why)
{
	if (strncasecmp(text, "https://", 8) == 0)
		return refuse(why, "https is not spoken; give a URL with http://");
	if (strncasecmp(text, scheme, sizeof(scheme) - 1) != 0)
		return refuse(why, "not a URL; give one such as http://127.0.0.1:8000/");
	text += sizeof(scheme) - 1;
	size_t host = strcspn(text, "/?#");
	return parse_host(text, host, out, why) && parse_target(text + host, out, why);
}
