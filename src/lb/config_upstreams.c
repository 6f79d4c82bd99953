/* The checks of upstreams that the tables cannot express. A part of src/lb/config.c. */
#include "lb/config_upstreams.h"

#include <string.h>

#include "base/clock.h"
#include "http/chars.h"
#include "lb/config_names.h"

static void check_servers(struct lb_config *c, const struct lb_config_upstream *u)
{
	for (size_t i = 0; i < u->servers.count; i++) {
		struct lb_config_server *s = lb_config_server(u, i);
		for (size_t j = 0; s->address != NULL && j < i; j++) {
			const char *other = lb_config_server(u, j)->address;
			if (other == NULL || strcmp(other, s->address) != 0)
				continue;
			conf_warning(c->conf, s->place, "address",
			        "\"%s\" is servers[%zu] of this upstream already: a larger share is said by "
			        "weight",
			        s->address, j);
			break;
		}
	}
}

static void check_balance(struct lb_config *c, struct lb_config_upstream *u)
{
	static const char *const names[] = {[LB_BALANCE_ROUNDROBIN] = "roundrobin",
	        [LB_BALANCE_LEASTCONN] = "leastconn",
	        [LB_BALANCE_RANDOM] = "random",
	        [LB_BALANCE_SOURCE] = "source",
	        [LB_BALANCE_URI] = "uri",
	        NULL};

	if (u->balance == NULL)
		return;
	for (int i = 0; names[i] != NULL; i++) {
		u->policy = i;
		if (strcmp(names[i], u->balance) == 0)
			return;
	}
	u->policy = LB_BALANCE_HEADER;
	u->header = lb_config_header_of(u->balance);
	if (u->header != NULL) {
		if (u->header[0] == '\0' || !http_is_token(u->header))
			conf_fault(c->conf, u->place, "balance",
			        "\"header:\" must be followed by the name of a header field, such as "
			        "\"header:X-User\", not \"%s\"",
			        u->balance);
		return;
	}
	const char *nearest = conf_nearest(u->balance, names);
	conf_fault(c->conf, u->place, "balance",
	        "must be \"roundrobin\", \"leastconn\", \"random\", \"source\", \"uri\" or \"header:NAME\", "
	        "not "
	        "\"%s\"%s%s%s",
	        u->balance, nearest ? ": did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

static void check_backups(struct lb_config *c, const struct lb_config_upstream *u)
{
	for (size_t i = 0; i < u->servers.count; i++)
		if (!lb_config_server(u, i)->backup)
			return;
	if (u->servers.count > 0)
		conf_fault(c->conf, u->place, "servers", "all of them are backups: at least one must not be");
}

/* Nothing that could end the field or the line that it is sent in; spaces only where they may be. */
static bool is_sendable(const char *text, bool spaces)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 127 || (*text == ' ' && !spaces))
			return false;
	return true;
}

/* What a probe that only connects makes no use of; written out, as `tplb -T` does, the default is no mistake. */
static void check_tcp_health(struct lb_config *c, const struct lb_config_health *h)
{
	const struct {
		const char *key;
		bool differs;
	} unused[] = {{"path", strcmp(h->path, "/") != 0}, {"method", strcmp(h->method, "GET") != 0},
	        {"host", h->host[0] != '\0'}, {"expect", h->expect != 200}, {"body", h->body[0] != '\0'}};

	for (size_t i = 0; i < sizeof(unused) / sizeof(unused[0]); i++)
		if (unused[i].differs)
			conf_fault(c->conf, h->place, unused[i].key,
			        "a probe of type \"tcp\" only connects: leave the key out, or take type = "
			        "\"http\"");
}

static void check_health(struct lb_config *c, const struct lb_config_upstream *u)
{
	static const char *const keys[] = {
	        "path", "method", "host", "expect", "body", "interval", "timeout", "rise", "fall", NULL};
	const struct lb_config_health *h = &u->health;
	enum { TEXT_MAX = 1024 };

	for (int i = 0; !conf_is_set(c->conf, h->place, "type") && keys[i] != NULL; i++)
		if (conf_is_set(c->conf, h->place, keys[i]))
			conf_fault(c->conf, h->place, keys[i],
			        "there are no probes without a type: add type = \"http\" or type = \"tcp\"");
	if (h->path == NULL || h->method == NULL || h->host == NULL || h->body == NULL)
		return;
	if (h->type == LB_HEALTH_TCP)
		check_tcp_health(c, h);
	if ((h->path[0] != '/' && strcmp(h->path, "*") != 0) || !is_sendable(h->path, false) ||
	        strlen(h->path) > TEXT_MAX)
		conf_fault(c->conf, h->place, "path",
		        "must begin with \"/\", have no spaces and at most %d bytes, not \"%s\"", TEXT_MAX,
		        h->path);
	if (h->method[0] == '\0' || !http_is_token(h->method) || strlen(h->method) > 32 ||
	        strcmp(h->method, "CONNECT") == 0)
		conf_fault(c->conf, h->place, "method", "must be a method such as \"GET\", not \"%s\"",
		        h->method);
	if (!is_sendable(h->host, false) || strlen(h->host) > TEXT_MAX)
		conf_fault(c->conf, h->place, "host", "must be a host name, or a name and a port, not \"%s\"",
		        h->host);
	if (h->expect != 0 && h->expect < 200)
		conf_fault(c->conf, h->place, "expect",
		        "must be a status from 200 to 599, or 0 for any from 200 to 399, not %lld",
		        (long long)h->expect);
	if (h->body[0] != '\0' && strcmp(h->method, "HEAD") == 0)
		conf_fault(c->conf, h->place, "body", "an answer to HEAD has no body: take another method");
	if (h->timeout > h->interval && conf_is_set(c->conf, h->place, "timeout"))
		conf_warning(c->conf, h->place, "timeout",
		        "longer than health.interval: a server that hangs is asked less often than that");
}

/* RFC 6265 section 4.1.1: an attribute's value has no controls and no semicolon. */
static bool is_attribute(const char *text)
{
	return is_sendable(text, true) && strchr(text, ';') == NULL;
}

static void check_sticky(struct lb_config *c, const struct lb_config_upstream *u)
{
	static const char *const others[] = {
	        "path", "domain", "max_age", "secure", "http_only", "same_site", NULL};
	const struct lb_config_sticky *s = &u->sticky;
	enum { NAME_MAX_BYTES = 64, VALUE_MAX_BYTES = 120 };

	for (int i = 0; !conf_is_set(c->conf, s->place, "cookie") && others[i] != NULL; i++)
		if (conf_is_set(c->conf, s->place, others[i]))
			conf_fault(c->conf, s->place, others[i],
			        "there is no cookie without a name: add cookie = \"TPLB\"");
	if (s->cookie == NULL || s->path == NULL || s->domain == NULL)
		return;
	if (!http_is_token(s->cookie) || strlen(s->cookie) > NAME_MAX_BYTES)
		conf_fault(c->conf, s->place, "cookie",
		        "must be a cookie's name such as \"TPLB\", of at most %d letters, digits and "
		        "\"-._\", not \"%s\"",
		        NAME_MAX_BYTES, s->cookie);
	if (s->path[0] != '/' || !is_attribute(s->path) || strlen(s->path) > VALUE_MAX_BYTES)
		conf_fault(c->conf, s->place, "path", "must begin with \"/\", not \"%s\"", s->path);
	if (!is_attribute(s->domain) || strlen(s->domain) > VALUE_MAX_BYTES)
		conf_fault(c->conf, s->place, "domain",
		        "must be a domain such as \"shop.example\", not \"%s\"", s->domain);
	if (s->max_age > 0 && s->max_age < CLOCK_NS_PER_S)
		conf_fault(c->conf, s->place, "max_age",
		        "must be a second at least, or \"0s\" for as long as the browser is open");
	if (s->same_site == LB_SAME_SITE_NONE && !s->secure)
		conf_warning(c->conf, s->place, "same_site",
		        "browsers drop a cookie with SameSite=None that is not secure: add secure = true");
}

static void check_states(struct lb_config *c, const struct lb_config_upstream *u)
{
	for (size_t i = 0; i < u->servers.count; i++)
		if (lb_config_server(u, i)->state == LB_SERVER_READY)
			return;
	if (u->servers.count > 0)
		conf_warning(
		        c->conf, u->place, "servers", "none of them is ready: requests get 503 until one is");
}

void config_upstreams_check(struct lb_config *c)
{
	for (size_t i = 0; i < c->upstreams.count; i++) {
		struct lb_config_upstream *u = lb_config_upstream(c, i);
		config_names_check(c, u);
		check_servers(c, u);
		check_balance(c, u);
		check_backups(c, u);
		check_states(c, u);
		check_health(c, u);
		check_sticky(c, u);
		if (lb_config_slots(u) > LB_SERVERS_MAX)
			conf_fault(c->conf, u->place, "servers",
			        "%zu servers are more than the %d that an upstream may have",
			        lb_config_slots(u), LB_SERVERS_MAX);
		if (u->name != NULL && u->name[0] == '\0')
			conf_fault(c->conf, u->place, "name", "must not be empty");
		for (size_t j = 0; u->name != NULL && u->name[0] != '\0' && j < i; j++) {
			const char *other = lb_config_upstream(c, j)->name;
			if (other == NULL || strcmp(other, u->name) != 0)
				continue;
			conf_fault(c->conf, u->place, "name",
			        "the name \"%s\" is taken by upstreams[%zu], choose another", u->name, j);
			break;
		}
	}
}
