/* Addresses as text and back. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>

enum { HOST_MAX = 253, LABEL_MAX = 63, UNIX_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) - 1 };

enum host_kind { HOST_ANY, HOST_V4, HOST_V6, HOST_NAME };

/* An address taken apart, nothing resolved. */
struct parts {
	enum host_kind kind;
	struct str host;
	struct str port;
	in_port_t port_net;
};

static const struct str unix_prefix = {"unix:", 5};

static bool refuse(const char **why, const char *text)
{
	*why = text;
	return false;
}

static bool is_unix(const char *text)
{
	return strncmp(text, unix_prefix.at, unix_prefix.len) == 0;
}

/* Copies a slice to a C string; the caller knows that it fits. */
static void copy_str(char *out, struct str s)
{
	memcpy(out, s.at, s.len);
	out[s.len] = '\0';
}

static bool host_is_v4(struct str host, struct in_addr *out)
{
	char text[INET_ADDRSTRLEN];
	if (host.len >= sizeof(text))
		return false;
	copy_str(text, host);
	return inet_pton(AF_INET, text, out) == 1;
}

/* "fe80::1%eth0" too; an interface that does not exist is refused. */
static bool host_is_v6(struct str host, struct sockaddr_in6 *out)
{
	char text[INET6_ADDRSTRLEN], scope[IF_NAMESIZE];
	const char *percent = memchr(host.at, '%', host.len);
	struct str bare = {host.at, percent != NULL ? (size_t)(percent - host.at) : host.len};
	if (bare.len >= sizeof(text))
		return false;
	copy_str(text, bare);
	if (inet_pton(AF_INET6, text, &out->sin6_addr) != 1)
		return false;
	if (percent == NULL)
		return true;
	struct str zone = {percent + 1, host.len - bare.len - 1};
	if (zone.len == 0 || zone.len >= sizeof(scope))
		return false;
	copy_str(scope, zone);
	out->sin6_scope_id = if_nametoindex(scope);
	return out->sin6_scope_id != 0;
}

static bool looks_v4(struct str host)
{
	for (size_t i = 0; i < host.len; i++) {
		if ((host.at[i] < '0' || host.at[i] > '9') && host.at[i] != '.')
			return false;
	}
	return host.len > 0;
}

/* Letters, digits, '-' and '_' in labels of 1 to 63 with dots between them (RFC 1123 section 2.1, and '_' for DNS use). */
static bool host_is_name(struct str host)
{
	size_t label = 0;
	if (host.len == 0 || host.len > HOST_MAX)
		return false;
	for (size_t i = 0; i < host.len; i++) {
		char c = host.at[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		              c == '-' || c == '_';
		if (c == '.' ? label == 0 : !letter || label == LABEL_MAX)
			return false;
		label = c == '.' ? 0 : label + 1;
	}
	return true;
}

/* Splits "host:port" and "[host]:port"; the brackets decide whether it may be IPv6. */
static bool split_port(const char *text, bool *bracketed, struct parts *p, const char **why)
{
	const char *colon;
	*bracketed = text[0] == '[';
	if (*bracketed) {
		const char *close = strchr(text, ']');
		if (close == NULL)
			return refuse(why, "the bracket is not closed, as in \"[::1]:80\"");
		p->host = (struct str){text + 1, (size_t)(close - text) - 1};
		colon = close + 1;
		if (*colon != ':')
			return refuse(why, "a port is missing, as in \"[::1]:80\"");
	} else {
		colon = strrchr(text, ':');
		if (colon == NULL)
			return refuse(why, "a port is missing, as in \"127.0.0.1:80\"");
		p->host = (struct str){text, (size_t)(colon - text)};
		if (memchr(text, ':', p->host.len) != NULL)
			return refuse(why, "an IPv6 address stands in brackets, as in \"[::1]:80\"");
	}
	p->port = str_of(colon + 1);
	return true;
}

static bool check_port(struct parts *p, bool listening, const char **why)
{
	long long port;
	if (p->port.len > 5 || !str_to_uint63(p->port, &port) || port > 65535 || (port == 0 && !listening))
		return refuse(why, listening ? "the port must be a number from 0 to 65535"
		                             : "the port must be a number from 1 to 65535");
	p->port_net = htons((in_port_t)port);
	return true;
}

static bool check_host(struct parts *p, bool bracketed, bool listening, const char **why)
{
	struct in_addr v4;
	struct sockaddr_in6 v6;
	if (bracketed) {
		p->kind = HOST_V6;
		return host_is_v6(p->host, &v6) ||
		       refuse(why, "what stands in brackets is not an IPv6 address");
	}
	if (p->host.len == 0 || str_eq(p->host, STR("*"))) {
		p->kind = HOST_ANY;
		return listening || refuse(why, "a host is missing before the port");
	}
	if (looks_v4(p->host)) {
		p->kind = HOST_V4;
		return host_is_v4(p->host, &v4) || refuse(why, "it is not an IPv4 address");
	}
	p->kind = HOST_NAME;
	return host_is_name(p->host) || refuse(why, "it is neither an address nor a host name");
}

static bool parse_parts(const char *text, bool listening, struct parts *p, const char **why)
{
	bool bracketed;
	if (strstr(text, "://") != NULL)
		return refuse(why, "it is a URL, write host and port only, as in \"example.org:80\"");
	return split_port(text, &bracketed, p, why) && check_host(p, bracketed, listening, why) &&
	       check_port(p, listening, why);
}

static bool check_unix(const char *path, const char **why)
{
	if (path[0] == '\0')
		return refuse(why, "a path is missing, as in \"unix:/run/x.sock\"");
	if (strlen(path) > UNIX_MAX)
		return refuse(why, "the path of a Unix socket has at most 107 bytes");
	return true;
}

bool addr_check(const char *text, bool listening, bool *is_name, const char **why)
{
	struct parts p;
	bool name = false, good;
	if (is_unix(text)) {
		good = check_unix(text + unix_prefix.len, why);
	} else {
		good = parse_parts(text, listening, &p, why);
		name = good && p.kind == HOST_NAME;
	}
	if (is_name != NULL)
		*is_name = name;
	return good;
}

static bool parse_unix(const char *path, struct addr *out, const char **why)
{
	if (!check_unix(path, why))
		return false;
	out->u.un.sun_family = AF_UNIX;
	size_t len = strlen(path);
	memcpy(out->u.un.sun_path, path, len + 1);
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	return true;
}

static void set_v4(struct addr *out, const struct parts *p)
{
	out->u.in.sin_family = AF_INET;
	out->u.in.sin_port = p->port_net;
	if (p->kind == HOST_V4)
		host_is_v4(p->host, &out->u.in.sin_addr);
	out->len = sizeof(out->u.in);
}

static void set_v6(struct addr *out, const struct parts *p)
{
	out->u.in6.sin6_family = AF_INET6;
	out->u.in6.sin6_port = p->port_net;
	host_is_v6(p->host, &out->u.in6);
	out->len = sizeof(out->u.in6);
}

static bool resolve(const struct parts *p, struct addr *out, const char **why)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	const struct addrinfo *found = NULL;
	struct addrinfo *all;
	char host[HOST_MAX + 1];

	copy_str(host, p->host);
	int rc = getaddrinfo(host, NULL, &hints, &all);
	if (rc != 0)
		return refuse(why, gai_strerror(rc));
	for (const struct addrinfo *a = all; a != NULL; a = a->ai_next) {
		if (a->ai_family == AF_INET || (a->ai_family == AF_INET6 && found == NULL))
			found = a;
		if (a->ai_family == AF_INET)
			break;
	}
	if (found != NULL) {
		memcpy(&out->u, found->ai_addr, found->ai_addrlen);
		out->len = found->ai_addrlen;
		/* The port lies at the same offset in both families. */
		out->u.in.sin_port = p->port_net;
	}
	freeaddrinfo(all);
	return found != NULL || refuse(why, "the name has no IPv4 or IPv6 address");
}

bool addr_parse(const char *text, bool listening, struct addr *out, const char **why)
{
	struct parts p;
	memset(out, 0, sizeof(*out));
	if (is_unix(text))
		return parse_unix(text + unix_prefix.len, out, why);
	if (!parse_parts(text, listening, &p, why))
		return false;
	if (p.kind == HOST_NAME)
		return resolve(&p, out, why);
	if (p.kind == HOST_V6)
		set_v6(out, &p);
	else
		set_v4(out, &p);
	return true;
}

static const char *format_v6(const struct sockaddr_in6 *in6, char out[ADDR_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN], name[IF_NAMESIZE], scope[IF_NAMESIZE + 12] = "";
	inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
	if (in6->sin6_scope_id != 0 && if_indextoname(in6->sin6_scope_id, name) != NULL)
		snprintf(scope, sizeof(scope), "%%%s", name);
	else if (in6->sin6_scope_id != 0)
		snprintf(scope, sizeof(scope), "%%%u", in6->sin6_scope_id);
	snprintf(out, ADDR_TEXT_MAX, "[%s%s]:%u", host, scope, (unsigned)ntohs(in6->sin6_port));
	return out;
}

const char *addr_format(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	char host[INET_ADDRSTRLEN];
	out[0] = '\0';
	if (a->len == 0)
		return out;
	switch (a->u.any.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &a->u.in.sin_addr, host, sizeof(host));
		snprintf(out, ADDR_TEXT_MAX, "%s:%u", host, (unsigned)ntohs(a->u.in.sin_port));
		break;
	case AF_INET6:
		return format_v6(&a->u.in6, out);
	case AF_UNIX: {
		/* A peer that bound no path gives a length without any, and a full path has no NUL. */
		size_t start = offsetof(struct sockaddr_un, sun_path);
		size_t room = a->len > start ? a->len - start : 0;
		size_t len = strnlen(a->u.un.sun_path, room <= UNIX_MAX + 1 ? room : UNIX_MAX + 1);
		snprintf(out, ADDR_TEXT_MAX, "unix:%.*s", (int)len, a->u.un.sun_path);
		break;
	}
	default:
		break;
	}
	return out;
}

unsigned addr_port(const struct addr *a)
{
	if (a->len == 0)
		return 0;
	if (a->u.any.sa_family == AF_INET)
		return ntohs(a->u.in.sin_port);
	if (a->u.any.sa_family == AF_INET6)
		return ntohs(a->u.in6.sin6_port);
	return 0;
}

static bool is_any(const struct addr *a)
{
	if (a->u.any.sa_family == AF_INET)
		return a->u.in.sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&a->u.in6.sin6_addr);
}

bool addr_collides(const struct addr *a, const struct addr *b)
{
	if (a->len == 0 || b->len == 0 || a->u.any.sa_family != b->u.any.sa_family)
		return false;
	if (a->u.any.sa_family == AF_UNIX)
		return strcmp(a->u.un.sun_path, b->u.un.sun_path) == 0;
	if (addr_port(a) == 0 || addr_port(a) != addr_port(b))
		return false;
	return is_any(a) || is_any(b) || addr_equal(a, b);
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	if (a->len == 0 || b->len == 0)
		return a->len == b->len;
	if (a->u.any.sa_family != b->u.any.sa_family)
		return false;
	if (a->u.any.sa_family == AF_UNIX)
		return strcmp(a->u.un.sun_path, b->u.un.sun_path) == 0;
	if (addr_port(a) != addr_port(b))
		return false;
	if (a->u.any.sa_family == AF_INET)
		return a->u.in.sin_addr.s_addr == b->u.in.sin_addr.s_addr;
	return a->u.in6.sin6_scope_id == b->u.in6.sin6_scope_id &&
	       memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, sizeof(struct in6_addr)) == 0;
}

bool addr_is_name(const char *text)
{
	struct str host = str_of(text);
	return !looks_v4(host) && host_is_name(host);
}

static bool is_mapped(const unsigned char bytes[16])
{
	static const unsigned char prefix[12] = {[10] = 0xff, [11] = 0xff};
	return memcmp(bytes, prefix, sizeof(prefix)) == 0;
}

/* ::ffff:1.2.3.4 to 1.2.3.4, in place. */
static void unmap(unsigned char bytes[16])
{
	memmove(bytes, bytes + 12, 4);
	memset(bytes + 4, 0, 12);
}

struct addr_ip addr_ip_of(const struct addr *a)
{
	struct addr_ip ip = {.family = 0};
	if (a->len == 0)
		return ip;
	if (a->u.any.sa_family == AF_INET) {
		ip.family = AF_INET;
		ip.port = a->u.in.sin_port;
		memcpy(ip.bytes, &a->u.in.sin_addr, 4);
	} else if (a->u.any.sa_family == AF_INET6) {
		ip.family = AF_INET6;
		ip.port = a->u.in6.sin6_port;
		memcpy(ip.bytes, &a->u.in6.sin6_addr, 16);
		if (is_mapped(ip.bytes)) {
			unmap(ip.bytes);
			ip.family = AF_INET;
		}
	}
	return ip;
}

struct addr addr_of_ip(const struct addr_ip *ip)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	if (ip->family == AF_INET) {
		a.len = sizeof(a.u.in);
		a.u.in.sin_family = AF_INET;
		a.u.in.sin_port = ip->port;
		memcpy(&a.u.in.sin_addr, ip->bytes, 4);
	} else if (ip->family == AF_INET6) {
		a.len = sizeof(a.u.in6);
		a.u.in6.sin6_family = AF_INET6;
		a.u.in6.sin6_port = ip->port;
		memcpy(&a.u.in6.sin6_addr, ip->bytes, 16);
	} else {
		a.len = sizeof(sa_family_t);
		a.u.any.sa_family = AF_UNIX;
	}
	return a;
}

/* A byte in decimal, with a dot behind it. */
struct octet {
	char text[4];
	unsigned char len; /* with the dot */
};

#define DIGIT(n) ((char)('0' + (n) % 10))
#define OCTET(n)                                                                                             \
	{                                                                                                    \
		{(n) < 10           ? DIGIT(n)                                                               \
		        : (n) < 100 ? DIGIT((n) / 10)                                                        \
		                    : DIGIT((n) / 100),                                                      \
		        (n) < 10    ? '.'                                                                    \
		        : (n) < 100 ? DIGIT(n)                                                               \
		                    : DIGIT((n) / 10),                                                       \
		        (n) < 100 ? '.' : DIGIT(n), '.'},                                                    \
		        (n) < 10    ? 2                                                                      \
		        : (n) < 100 ? 3                                                                      \
		                    : 4                                                                      \
	}
#define OCTETS_4(n) OCTET(n), OCTET((n) + 1), OCTET((n) + 2), OCTET((n) + 3)
#define OCTETS_16(n) OCTETS_4(n), OCTETS_4((n) + 4), OCTETS_4((n) + 8), OCTETS_4((n) + 12)
#define OCTETS_64(n) OCTETS_16(n), OCTETS_16((n) + 16), OCTETS_16((n) + 32), OCTETS_16((n) + 48)

/* As inet_ntop does it, at a thirtieth of its price: each request's X-Forwarded-For and access line need it. */
static size_t ipv4_format(const unsigned char bytes[4], char out[ADDR_TEXT_MAX])
{
	static const struct octet octets[256] = {OCTETS_64(0), OCTETS_64(64), OCTETS_64(128), OCTETS_64(192)};
	char *at = out;

	for (int i = 0; i < 4; i++) {
		const struct octet *octet = &octets[bytes[i]];

		memcpy(at, octet->text, sizeof(octet->text));
		at += octet->len;
	}
	at[-1] = '\0';
	return (size_t)(at - 1 - out);
}

struct addr_ip addr_ip_site(const struct addr_ip *ip)
{
	struct addr_ip site = {.family = ip->family};

	memcpy(site.bytes, ip->bytes, ip->family == AF_INET6 ? 8 : 4);
	return site;
}

size_t addr_ip_format(const struct addr_ip *ip, char out[ADDR_TEXT_MAX])
{
	if (ip->family == 0) {
		copy_str(out, unix_prefix);
		return unix_prefix.len;
	}
	if (ip->family == AF_INET)
		return ipv4_format(ip->bytes, out);
	inet_ntop(ip->family, ip->bytes, out, ADDR_TEXT_MAX);
	return strlen(out);
}

/* Clears the bits of bytes from `bits` on. */
static void mask(unsigned char bytes[16], unsigned bits)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = bits >= 8 * (i + 1) ? 8 : bits <= 8 * i ? 0 : bits - 8 * i;
		bytes[i] &= (unsigned char)(0xff00u >> keep);
	}
}

static bool block_parse_bits(const char *slash, unsigned most, unsigned *bits)
{
	long long value = most;
	if (slash != NULL && (strlen(slash + 1) > 3 || !str_to_uint63(str_of(slash + 1), &value)))
		return false;
	*bits = (unsigned)value;
	return value <= (long long)most;
}

bool addr_block_parse(const char *text, struct addr_block *out)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);

	memset(out, 0, sizeof(*out));
	if (strcmp(text, unix_prefix.at) == 0)
		return true;
	if (len >= sizeof(host))
		return false;
	copy_str(host, (struct str){text, len});
	out->family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
	if (inet_pton(out->family, host, out->bytes) != 1 ||
	        !block_parse_bits(slash, out->family == AF_INET ? 32 : 128, &out->bits))
		return false;
	if (out->family == AF_INET6 && out->bits >= 96 && is_mapped(out->bytes)) {
		unmap(out->bytes);
		out->family = AF_INET;
		out->bits -= 96;
	}
	mask(out->bytes, out->bits);
	return true;
}

bool addr_block_has(const struct addr_block *block, const struct addr_ip *ip)
{
	struct addr_ip plain = *ip;
	if (plain.family == AF_INET6 && is_mapped(plain.bytes)) {
		unmap(plain.bytes);
		plain.family = AF_INET;
	}
	if (plain.family != block->family)
		return false;
	mask(plain.bytes, block->bits);
	return memcmp(plain.bytes, block->bytes, sizeof(plain.bytes)) == 0;
}
