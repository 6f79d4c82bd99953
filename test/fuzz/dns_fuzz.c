/*
 * Answers of a name server. The first byte says of which kind and how many are wanted. Fewer wanted are the first of more; what was read,
 * written as an answer again, is read as the same.
 */
#include <arpa/nameser.h>
#include <resolv.h>

#include "fuzz.h"
#include "net/resolve.h"

enum { MOST = 64, MESSAGE_BYTES = 65536, PORT = 4711 };

/* A message, as it grows. */
struct writer {
	unsigned char bytes[MESSAGE_BYTES];
	size_t len;
};

static void put(struct writer *w, unsigned value, unsigned n)
{
	while (n-- > 0)
		w->bytes[w->len++] = (unsigned char)(value >> 8 * n);
}

/* The header, and no question; each record's name is the root. */
static void begin_answer(struct writer *w, unsigned count)
{
	w->len = 0;
	put(w, 1, 2);
	put(w, 0x8180, 2);
	put(w, 0, 2);
	put(w, count, 2);
	put(w, 0, 4);
}

static void begin_record(struct writer *w, unsigned type, unsigned len)
{
	put(w, 0, 1);
	put(w, type, 2);
	put(w, ns_c_in, 2);
	put(w, 60, 4);
	put(w, len, 2);
}

static void check_addresses(struct str message, bool ipv6, unsigned wanted)
{
	static struct addr all[MOST], few[MOST], again[MOST];
	static struct writer w;
	const unsigned char *bytes = (const unsigned char *)message.at;
	unsigned count = resolve_parse_addresses(bytes, message.len, ipv6, PORT, all, MOST);
	unsigned fewer = resolve_parse_addresses(bytes, message.len, ipv6, PORT, few, wanted);

	MUST(count <= MOST && fewer <= wanted && (count == 0 || fewer == (count < wanted ? count : wanted)));
	begin_answer(&w, count);
	for (unsigned i = 0; i < count; i++) {
		MUST(all[i].u.any.sa_family == (ipv6 ? AF_INET6 : AF_INET) && addr_port(&all[i]) == PORT);
		MUST(i >= fewer || addr_equal(&all[i], &few[i]));
		const void *at = ipv6 ? (void *)&all[i].u.in6.sin6_addr : (void *)&all[i].u.in.sin_addr;
		begin_record(&w, ipv6 ? ns_t_aaaa : ns_t_a, ipv6 ? 16 : 4);
		memcpy(w.bytes + w.len, at, ipv6 ? 16 : 4);
		w.len += ipv6 ? 16 : 4;
	}
	MUST(resolve_parse_addresses(w.bytes, w.len, ipv6, PORT, again, MOST) == count);
	for (unsigned i = 0; i < count; i++)
		MUST(addr_equal(&all[i], &again[i]));
}

static bool is_same(const struct srv_record *a, const struct srv_record *b)
{
	return a->priority == b->priority && a->weight == b->weight && a->port == b->port &&
	       strcmp(a->target, b->target) == 0;
}

static void check_srv(struct str message, unsigned wanted)
{
	static struct srv_record all[MOST], few[MOST], again[MOST];
	static struct writer w;
	const unsigned char *bytes = (const unsigned char *)message.at;
	unsigned count = resolve_parse_srv(bytes, message.len, all, MOST);
	unsigned fewer = resolve_parse_srv(bytes, message.len, few, wanted);

	MUST(count <= MOST && fewer <= wanted && (count == 0 || fewer == (count < wanted ? count : wanted)));
	begin_answer(&w, count);
	for (unsigned i = 0; i < count; i++) {
		unsigned char name[NS_MAXCDNAME];
		int len = ns_name_compress(all[i].target, name, sizeof(name), NULL, NULL);

		MUST(i >= fewer || is_same(&all[i], &few[i]));
		MUST(strlen(all[i].target) < RESOLVE_NAME_MAX);
		MUST(all[i].priority <= 65535 && all[i].weight <= 65535 && all[i].port <= 65535);
		MUST(len > 0);
		begin_record(&w, ns_t_srv, 6 + (unsigned)len);
		put(&w, all[i].priority, 2);
		put(&w, all[i].weight, 2);
		put(&w, all[i].port, 2);
		memcpy(w.bytes + w.len, name, (size_t)len);
		w.len += (size_t)len;
	}
	MUST(resolve_parse_srv(w.bytes, w.len, again, MOST) == count);
	for (unsigned i = 0; i < count; i++)
		MUST(is_same(&all[i], &again[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	unsigned how = input_byte(&in);
	struct str message = input_bytes(&in, in.left);

	if (how & 128)
		check_srv(message, how % MOST);
	else
		check_addresses(message, how & 64, how % MOST);
	return 0;
}
