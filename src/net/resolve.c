#include "net/resolve.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>

/* A name server of our own is asked three times, a second each. */
enum { TRIES = 3, TRY_SECONDS = 1 };

static const char no_record[] = "the name has no such record";

/* Steps through a message's answers of one type. */
struct answers {
	ns_msg message;
	ns_type type;
	int next;
	ns_rr record;
};

static bool answers_begin(struct answers *a, const unsigned char *message, size_t len, ns_type type)
{
	a->type = type;
	a->next = 0;
	return len <= NS_MAXMSG && ns_initparse(message, (int)len, &a->message) == 0;
}

/* False at the end, or where the message is malformed. */
static bool answers_next(struct answers *a)
{
	while (a->next < ns_msg_count(a->message, ns_s_an)) {
		if (ns_parserr(&a->message, ns_s_an, a->next++, &a->record) != 0)
			return false;
		if (ns_rr_type(a->record) == a->type && ns_rr_class(a->record) == ns_c_in)
			return true;
	}
	return false;
}

static void set_v4(struct addr *out, const unsigned char *bytes, unsigned port)
{
	*out = (struct addr){.len = sizeof(out->u.in)};
	out->u.in.sin_family = AF_INET;
	out->u.in.sin_port = htons((in_port_t)port);
	memcpy(&out->u.in.sin_addr, bytes, NS_INADDRSZ);
}

static void set_v6(struct addr *out, const unsigned char *bytes, unsigned port)
{
	*out = (struct addr){.len = sizeof(out->u.in6)};
	out->u.in6.sin6_family = AF_INET6;
	out->u.in6.sin6_port = htons((in_port_t)port);
	memcpy(&out->u.in6.sin6_addr, bytes, NS_IN6ADDRSZ);
}

unsigned resolve_parse_addresses(
        const unsigned char *message, size_t len, bool ipv6, unsigned port, struct addr *out, unsigned max)
{
	struct answers a;
	unsigned count = 0;

	if (!answers_begin(&a, message, len, ipv6 ? ns_t_aaaa : ns_t_a))
		return 0;
	while (count < max && answers_next(&a)) {
		if (ns_rr_rdlen(a.record) != (ipv6 ? NS_IN6ADDRSZ : NS_INADDRSZ))
			return 0;
		(ipv6 ? set_v6 : set_v4)(&out[count++], ns_rr_rdata(a.record), port);
	}
	return count;
}

/* RFC 2782: priority, weight, port, two bytes each, then the target. */
static bool parse_record(const struct answers *a, struct srv_record *out)
{
	enum { FIXED = 3 * NS_INT16SZ };
	const unsigned char *data = ns_rr_rdata(a->record);

	if (ns_rr_rdlen(a->record) <= FIXED)
		return false;
	out->priority = ns_get16(data);
	out->weight = ns_get16(data + NS_INT16SZ);
	out->port = ns_get16(data + 2 * NS_INT16SZ);
	int used = dn_expand(ns_msg_base(a->message), ns_msg_end(a->message), data + FIXED, out->target,
	        sizeof(out->target));
	return used == ns_rr_rdlen(a->record) - FIXED;
}

unsigned resolve_parse_srv(const unsigned char *message, size_t len, struct srv_record *out, unsigned max)
{
	struct answers a;
	unsigned count = 0;

	if (!answers_begin(&a, message, len, ns_t_srv))
		return 0;
	while (count < max && answers_next(&a)) {
		if (!parse_record(&a, &out[count]))
			return 0;
		count++;
	}
	return count;
}

/* Asks this one only. glibc keeps IPv6 ones apart: where the list has no family, `nsaddrs` has the address, from malloc. */
static bool set_nameserver(struct __res_state *state, const struct addr *nameserver)
{
	if (nameserver->u.any.sa_family == AF_INET6) {
		struct sockaddr_in6 **at = &state->_u._ext.nsaddrs[0];

		if (*at == NULL && (*at = malloc(sizeof(**at))) == NULL)
			return false;
		**at = nameserver->u.in6;
		memset(&state->nsaddr_list[0], 0, sizeof(state->nsaddr_list[0]));
	} else {
		state->nsaddr_list[0] = nameserver->u.in;
	}
	state->nscount = 1;
	state->retrans = TRY_SECONDS;
	state->retry = TRIES;
	return true;
}

static const char *reason(const struct __res_state *state)
{
	switch (state->res_h_errno) {
	case HOST_NOT_FOUND:
		return "the name does not exist";
	case NO_DATA:
		return no_record;
	case NO_RECOVERY:
		return "the name server refuses to answer";
	default:
		return "no name server answers, or it says that it failed";
	}
}

/* The answer to one question; NULL on failure. The caller frees it. */
static unsigned char *ask(
        const struct addr *nameserver, const char *name, ns_type type, size_t *len, const char **why)
{
	struct __res_state state = {0};
	unsigned char *answer = malloc(NS_MAXMSG);
	int got = -1;

	*why = "out of memory";
	if (answer != NULL && res_ninit(&state) == 0) { /* each time: /etc/resolv.conf may have changed */
		if (nameserver == NULL || set_nameserver(&state, nameserver)) {
			got = res_nquery(&state, name, ns_c_in, type, answer, NS_MAXMSG);
			*why = reason(&state);
		}
		res_nclose(&state);
	}
	if (got >= 0 && got <= NS_MAXMSG) {
		*len = (size_t)got;
		return answer;
	}
	free(answer);
	return NULL;
}

static unsigned ask_addresses(const struct addr *nameserver, const char *host, bool ipv6, unsigned port,
        struct addr *out, unsigned max, const char **why)
{
	size_t len;
	unsigned char *answer = ask(nameserver, host, ipv6 ? ns_t_aaaa : ns_t_a, &len, why);
	unsigned count = 0;

	if (answer != NULL) {
		*why = no_record; /* an alias at most */
		count = resolve_parse_addresses(answer, len, ipv6, port, out, max);
	}
	free(answer);
	return count;
}

/* Those of one family. */
static unsigned copy_addresses(
        const struct addrinfo *all, int family, unsigned port, struct addr *out, unsigned max)
{
	unsigned count = 0;

	for (const struct addrinfo *a = all; a != NULL && count < max; a = a->ai_next) {
		if (a->ai_family != family)
			continue;
		struct addr *to = &out[count++];
		*to = (struct addr){.len = a->ai_addrlen};
		memcpy(&to->u, a->ai_addr, a->ai_addrlen);
		/* The port lies at the same offset in both families. */
		to->u.in.sin_port = htons((in_port_t)port);
	}
	return count;
}

static unsigned ask_system(const char *host, unsigned port, struct addr *out, unsigned max, const char **why)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *all;
	int rc = getaddrinfo(host, NULL, &hints, &all);

	if (rc != 0) {
		*why = gai_strerror(rc);
		return 0;
	}
	unsigned count = copy_addresses(all, AF_INET, port, out, max);
	if (count == 0)
		count = copy_addresses(all, AF_INET6, port, out, max);
	freeaddrinfo(all);
	*why = "the name has no IPv4 or IPv6 address";
	return count;
}

unsigned resolve_host(const struct addr *nameserver, const char *host, unsigned port, struct addr *out,
        unsigned max, const char **why)
{
	unsigned count;

	if (nameserver == NULL)
		return ask_system(host, port, out, max, why);
	count = ask_addresses(nameserver, host, false, port, out, max, why);
	if (count == 0 && *why == no_record)
		count = ask_addresses(nameserver, host, true, port, out, max, why);
	return count;
}

unsigned resolve_srv(const struct addr *nameserver, const char *name, struct srv_record *out, unsigned max,
        const char **why)
{
	size_t len;
	unsigned char *answer = ask(nameserver, name, ns_t_srv, &len, why);
	unsigned count = 0;

	if (answer != NULL) {
		*why = no_record;
		count = resolve_parse_srv(answer, len, out, max);
	}
	free(answer);
	return count;
}
