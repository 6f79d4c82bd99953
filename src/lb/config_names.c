#include "lb/config_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { DNS_PORT = 53 };

/* More often would only load the name server. */
#define RESOLVE_LEAST_NS (100 * CLOCK_NS_PER_MS)

static bool parse_numeric(const char *text, struct addr *out)
{
	bool is_name;
	const char *why;

	return addr_check(text, false, &is_name, &why) && !is_name && addr_parse(text, false, out, &why) &&
	       out->u.any.sa_family != AF_UNIX;
}

/* The port may be left out. */
static void check_nameserver(struct lb_config *c, struct lb_config_upstream *u)
{
	char with_port[ADDR_TEXT_MAX];

	u->nameserver_addr = (struct addr){.len = 0};
	if (u->nameserver == NULL || u->nameserver[0] == '\0' ||
	        parse_numeric(u->nameserver, &u->nameserver_addr))
		return;
	snprintf(with_port, sizeof(with_port), "%s:%d", u->nameserver, DNS_PORT);
	if (!parse_numeric(with_port, &u->nameserver_addr))
		conf_fault(c->conf, u->place, "nameserver",
		        "must be the address of a name server, such as \"192.0.2.53\" or "
		        "\"[2001:db8::53]:5353\", "
		        "or empty for the system's, not \"%s\"",
		        u->nameserver);
}

static void check_srv(struct lb_config *c, const struct lb_config_server *s)
{
	const char *name = s->address + strlen("srv:");

	if (!addr_is_name(name))
		conf_fault(c->conf, s->place, "address",
		        "\"%s\" is not a name of SRV records: write it without a port, which comes with each "
		        "record, as in \"srv:_http._tcp.origin.example\"",
		        s->address);
	else if (!conf_is_set(c->conf, s->place, "slots"))
		conf_fault(c->conf, s->place, "slots",
		        "SRV records need it: how many servers they may be at most, such as slots = 8");
}

/* Keys that say nothing about a numeric address. */
static void check_numeric(struct lb_config *c, struct lb_config_server *s)
{
	const char *why;

	if (!addr_parse(s->address, false, &s->addr, &why))
		conf_fault(c->conf, s->place, "address", "\"%s\" is not an address: %s", s->address, why);
	if (s->slots > 1)
		conf_fault(c->conf, s->place, "slots",
		        "\"%s\" is one server: more than one slot is for a name", s->address);
	if (s->init_addr != LB_INIT_ADDR_RESOLVE)
		conf_fault(c->conf, s->place, "init_addr",
		        "\"%s\" is no name: there is nothing to be resolved", s->address);
}

static void check_address(struct lb_config *c, const struct lb_config_upstream *u, struct lb_config_server *s)
{
	const char *why;

	if (s->address == NULL)
		return;
	if (name_is_srv(s->address)) {
		s->is_name = true;
		check_srv(c, s);
	} else if (!addr_check(s->address, false, &s->is_name, &why)) {
		conf_fault(c->conf, s->place, "address", "\"%s\" is not an address: %s", s->address, why);
		return;
	} else if (!s->is_name) {
		check_numeric(c, s);
	}
	if (s->is_name && s->init_addr == LB_INIT_ADDR_NONE && u->resolve == 0)
		conf_fault(c->conf, s->place, "init_addr",
		        "\"%s\" would stay without an address for ever where resolve is \"0s\": leave "
		        "init_addr "
		        "out, or set resolve of the upstream, such as \"30s\"",
		        s->address);
}

void config_names_check(struct lb_config *c, struct lb_config_upstream *u)
{
	check_nameserver(c, u);
	if (u->resolve > 0 && u->resolve < RESOLVE_LEAST_NS)
		conf_fault(c->conf, u->place, "resolve",
		        "must be \"0s\" for once at start, or at least \"100ms\": name servers are not asked "
		        "more often");
	for (size_t i = 0; i < u->servers.count; i++)
		check_address(c, u, lb_config_server(u, i));
}

/* Whether a server came of it. */
static bool has_any(const struct lb_config_server *s)
{
	for (int64_t i = 0; i < s->slots; i++)
		if (s->targets[i].addr.len > 0)
			return true;
	return false;
}

static void look_up(struct lb_config *c, const struct lb_config_upstream *u, struct lb_config_server *s)
{
	struct name name;
	struct lookup result;

	name_init(&name, s->address, (unsigned)s->slots, &u->nameserver_addr);
	if (name_look_up(&name, s->targets, &result) && has_any(s)) {
		if (result.left_out > 0)
			conf_warning(c->conf, s->place, "slots",
			        "\"%s\" has %u more: a larger number would take them in", s->address,
			        result.left_out);
		return;
	}
	if (s->init_addr == LB_INIT_ADDR_NONE)
		return;
	conf_fault(c->conf, s->place, "address", "cannot resolve \"%s\": %s%s", s->address,
	        result.why ? result.why : "no server is offered under it",
	        u->resolve > 0 ? " (init_addr = \"none\" starts without it and goes on asking)" : "");
}

void config_names_resolve(struct lb_config *c, struct lb_config_upstream *u)
{
	for (size_t i = 0; i < u->servers.count; i++) {
		struct lb_config_server *s = lb_config_server(u, i);

		if (!s->is_name || s->targets) /* known already, at a reload */
			continue;
		s->targets = calloc((size_t)s->slots, sizeof(*s->targets));
		if (s->targets == NULL)
			conf_fault(c->conf, s->place, NULL, "out of memory");
		else
			look_up(c, u, s);
	}
}

void config_names_free(struct lb_config_upstream *u)
{
	for (size_t i = 0; i < u->servers.count; i++)
		free(lb_config_server(u, i)->targets);
}
