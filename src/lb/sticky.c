#include "lb/sticky.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"

enum { ID_LEN = 16 };

static void write_id(const struct server *s, char out[ID_LEN + 1])
{
	snprintf(out, ID_LEN + 1, "%016llx", (unsigned long long)s->id);
}

static struct server *server_of_id(const struct upstream *u, struct str id)
{
	char text[ID_LEN + 1];

	for (unsigned i = 0; id.len == ID_LEN && i < u->count; i++) {
		write_id(&u->servers[i], text);
		if (memcmp(text, id.at, ID_LEN) == 0)
			return &u->servers[i];
	}
	return NULL;
}

static struct str trim(struct str s)
{
	while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
		s = (struct str){s.at + 1, s.len - 1};
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* The value of the first cookie of that name in "a=1; b=2"; false: there is none. */
static bool find_cookie(struct str pairs, struct str name, struct str *value)
{
	while (pairs.len > 0) {
		const char *end = memchr(pairs.at, ';', pairs.len);
		size_t len = end ? (size_t)(end - pairs.at) : pairs.len;
		struct str pair = trim((struct str){pairs.at, len});

		if (pair.len > name.len && pair.at[name.len] == '=' &&
		        memcmp(pair.at, name.at, name.len) == 0) {
			*value = (struct str){pair.at + name.len + 1, pair.len - name.len - 1};
			return true;
		}
		len += end != NULL;
		pairs = (struct str){pairs.at + len, pairs.len - len};
	}
	return false;
}

struct server *sticky_server(const struct exchange *x)
{
	const struct upstream *u = x->listener->upstream;
	struct str name = str_of(u->config->sticky.cookie), value;

	for (unsigned i = 0; name.len > 0 && i < x->request.count; i++) {
		const struct http_field *f = &x->request.fields[i];

		if (str_eq_nocase(f->name, STR("Cookie")) && find_cookie(f->value, name, &value))
			return server_of_id(u, value);
	}
	return NULL;
}

size_t sticky_cookie(const struct exchange *x, char out[STICKY_COOKIE_MAX])
{
	static const char *const same_site[] = {[LB_SAME_SITE_NONE_SAID] = "",
	        [LB_SAME_SITE_LAX] = "; SameSite=Lax",
	        [LB_SAME_SITE_STRICT] = "; SameSite=Strict",
	        [LB_SAME_SITE_NONE] = "; SameSite=None"};
	const struct lb_config_sticky *c = &x->listener->upstream->config->sticky;
	char id[ID_LEN + 1], age[40] = "";

	if (c->cookie[0] == '\0' || !x->server || x->sticky == x->server ||
	        (x->sticky_busy && x->failed_count == 0))
		return 0;
	write_id(x->server, id);
	if (c->max_age > 0)
		snprintf(age, sizeof(age), "; Max-Age=%lld", (long long)(c->max_age / CLOCK_NS_PER_S));
	int len = snprintf(out, STICKY_COOKIE_MAX, "%s=%s; Path=%s%s%s%s%s%s%s", c->cookie, id, c->path,
	        c->domain[0] ? "; Domain=" : "", c->domain, age, c->secure ? "; Secure" : "",
	        c->http_only ? "; HttpOnly" : "", same_site[c->same_site]);
	MUST(len > 0 && len < STICKY_COOKIE_MAX); /* lb_config_read has seen to it */
	return (size_t)len;
}
