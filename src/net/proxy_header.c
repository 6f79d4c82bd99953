/* PROXY protocol, both versions, read and written. */
#include "net/proxy_header.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>

#include "base/assert.h"

enum {
	LINE_MAX = 107, /* a v1 line with its CRLF (section 2.1) */
	FIXED = 16, /* bytes of a v2 header before its addresses: signature, version and command, family, length */
	PATH_SIZE = 108,      /* of a Unix address on the wire */
	COMMAND_LOCAL = 0,    /* low half of byte 12 */
	COMMAND_PROXY = 1,    /* likewise */
	FAMILY_UNSPEC = 0,    /* high half of byte 13 */
	FAMILY_INET = 1,      /* likewise */
	FAMILY_INET6 = 2,     /* likewise */
	FAMILY_UNIX = 3,      /* likewise */
	TRANSPORT_STREAM = 1, /* low half of byte 13 */
	TRANSPORT_DGRAM = 2,  /* likewise */
	TLV_HEAD = 3,         /* type and length */
	TLV_CRC32C = 3
};

static const struct str v1_signature = {"PROXY ", 6};
static const struct str v2_signature = {"\r\n\r\n\0\r\nQUIT\n", 12};

static const char *const words[PROXY_FAULT_COUNT] = {
        [PROXY_OK] = "ok",
        [PROXY_MORE] = "incomplete",
        [PROXY_BAD_SIGNATURE] = "bad_signature",
        [PROXY_BAD_LINE] = "bad_line",
        [PROXY_BAD_VERSION] = "bad_version",
        [PROXY_BAD_COMMAND] = "bad_command",
        [PROXY_BAD_FAMILY] = "bad_family",
        [PROXY_BAD_ADDRESS] = "bad_address",
        [PROXY_BAD_PORT] = "bad_port",
        [PROXY_BAD_LENGTH] = "bad_length",
        [PROXY_BAD_TLV] = "bad_tlv",
        [PROXY_BAD_CHECKSUM] = "bad_checksum",
};

const char *proxy_fault_word(enum proxy_fault fault)
{
	MUST(fault < PROXY_FAULT_COUNT);
	return words[fault];
}

/* Whether the bytes are the signature, or the beginning of it. */
static bool begins(struct str bytes, struct str signature)
{
	size_t n = bytes.len < signature.len ? bytes.len : signature.len;

	return memcmp(bytes.at, signature.at, n) == 0;
}

/* Version 1 ---------------------------------------------------------------------------------------------------- */

/* The line without its CRLF; until both have come, PROXY_MORE. */
static enum proxy_fault find_line(struct str bytes, struct str *line)
{
	size_t most = bytes.len < LINE_MAX ? bytes.len : LINE_MAX;
	size_t n = 0;

	while (n < most && bytes.at[n] != '\r' && bytes.at[n] != '\n')
		n++;
	if (n + 2 > LINE_MAX)
		return PROXY_BAD_LINE;
	if (n == bytes.len || (n + 1 == bytes.len && bytes.at[n] == '\r'))
		return PROXY_MORE;
	if (bytes.at[n] != '\r' || bytes.at[n + 1] != '\n')
		return PROXY_BAD_LINE;
	*line = (struct str){bytes.at, n};
	return PROXY_OK;
}

/* Takes the next word and the one space behind it off the front of *line; the last word has none behind it. */
static struct str next_word(struct str *line)
{
	const char *space = memchr(line->at, ' ', line->len);
	struct str word = {line->at, space != NULL ? (size_t)(space - line->at) : line->len};
	size_t taken = word.len + (space != NULL ? 1 : 0);

	*line = (struct str){line->at + taken, line->len - taken};
	return word;
}

static bool parse_port(struct str word, in_port_t *port)
{
	long long value;

	if (word.len > 5 || !str_to_uint63(word, &value) || value > 65535 ||
	        (word.len > 1 && word.at[0] == '0'))
		return false;
	*port = htons((in_port_t)value);
	return true;
}

/* inet_pton takes exactly the forms of section 2.1, and an IPv4 address at the end of an IPv6 one, as inet_ntop writes it. */
static bool parse_ip(int family, struct str word, struct addr *out)
{
	char text[INET6_ADDRSTRLEN];

	if (word.len >= sizeof(text))
		return false;
	memcpy(text, word.at, word.len);
	text[word.len] = '\0';
	memset(out, 0, sizeof(*out));
	out->u.any.sa_family = (sa_family_t)family;
	if (strlen(text) != word.len)
		return false;
	if (family == AF_INET) {
		out->len = sizeof(out->u.in);
		return inet_pton(AF_INET, text, &out->u.in.sin_addr) == 1;
	}
	out->len = sizeof(out->u.in6);
	return inet_pton(AF_INET6, text, &out->u.in6.sin6_addr) == 1;
}

static void set_port(struct addr *a, in_port_t port)
{
	if (a->u.any.sa_family == AF_INET)
		a->u.in.sin_port = port;
	else
		a->u.in6.sin6_port = port;
}

/* "SOURCE DESTINATION SOURCE-PORT DESTINATION-PORT" */
static enum proxy_fault parse_endpoints(int family, struct str line, struct proxy_header *header)
{
	in_port_t from, to;

	if (!parse_ip(family, next_word(&line), &header->source) ||
	        !parse_ip(family, next_word(&line), &header->destination))
		return PROXY_BAD_ADDRESS;
	if (!parse_port(next_word(&line), &from))
		return PROXY_BAD_PORT;
	/* The last word is all that is left, so that nothing can stand behind it. */
	if (!parse_port(line, &to))
		return PROXY_BAD_PORT;
	set_port(&header->source, from);
	set_port(&header->destination, to);
	header->relayed = true;
	return PROXY_OK;
}

static enum proxy_fault parse_v1(struct str bytes, struct proxy_header *header)
{
	struct str line;
	enum proxy_fault fault = find_line(bytes, &line);

	if (fault != PROXY_OK)
		return fault;
	header->version = 1;
	header->size = line.len + 2;
	next_word(&line);
	struct str family = next_word(&line);
	if (str_eq(family, STR("TCP4")))
		return parse_endpoints(AF_INET, line, header);
	if (str_eq(family, STR("TCP6")))
		return parse_endpoints(AF_INET6, line, header);
	return str_eq(family, STR("UNKNOWN")) ? PROXY_OK : PROXY_BAD_FAMILY;
}

/* Version 2 ---------------------------------------------------------------------------------------------------- */

static unsigned byte_at(struct str s, size_t i)
{
	return (unsigned char)s.at[i];
}

static size_t pair_at(struct str s, size_t i)
{
	return byte_at(s, i) << 8 | byte_at(s, i + 1);
}

/*
 * CRC32c (Castagnoli; RFC 4960 appendix B) of the header, its checksum's four bytes at `hole` taken as 0. Half a byte at a time: a header is short, and most
 * have no checksum.
 */
static uint32_t crc32c(struct str header, size_t hole)
{
	static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc,
	        0x5125dad3, 0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < header.len; i++) {
		crc ^= i >= hole && i < hole + 4 ? 0 : byte_at(header, i);
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

/* The TLVs of a whole header, which begin at `at`. */
static enum proxy_fault check_tlvs(struct str header, size_t at)
{
	size_t sum = 0; /* where the checksum's value stands; 0: none */

	while (at < header.len) {
		if (header.len - at < TLV_HEAD || header.len - at - TLV_HEAD < pair_at(header, at + 1))
			return PROXY_BAD_TLV;
		size_t value = at + TLV_HEAD, size = pair_at(header, at + 1);
		if (byte_at(header, at) == TLV_CRC32C) {
			if (size != 4 || sum != 0)
				return PROXY_BAD_TLV;
			sum = value;
		}
		at = value + size;
	}
	if (sum == 0)
		return PROXY_OK;
	/* In network order, as HAProxy writes it; the text does not say. */
	uint32_t said = (uint32_t)pair_at(header, sum) << 16 | (uint32_t)pair_at(header, sum + 2);
	return crc32c(header, sum) == said ? PROXY_OK : PROXY_BAD_CHECKSUM;
}

static size_t ip_size(unsigned family)
{
	return family == FAMILY_INET ? 4 : 16;
}

/* Bytes of both addresses and ports. */
static size_t endpoints_size(unsigned family)
{
	return family == FAMILY_UNIX ? 2 * PATH_SIZE : 2 * ip_size(family) + 4;
}

static void take_ip(unsigned family, const char *ip, const char *port, struct addr *out)
{
	memset(out, 0, sizeof(*out));
	if (family == FAMILY_INET) {
		out->len = sizeof(out->u.in);
		out->u.in.sin_family = AF_INET;
		memcpy(&out->u.in.sin_addr, ip, 4);
		memcpy(&out->u.in.sin_port, port, 2);
	} else {
		out->len = sizeof(out->u.in6);
		out->u.in6.sin6_family = AF_INET6;
		memcpy(&out->u.in6.sin6_addr, ip, 16);
		memcpy(&out->u.in6.sin6_port, port, 2);
	}
}

static void take_path(const char *path, struct addr *out)
{
	size_t len = strnlen(path, PATH_SIZE - 1);

	memset(out, 0, sizeof(*out));
	out->u.un.sun_family = AF_UNIX;
	memcpy(out->u.un.sun_path, path, len);
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

static void take_endpoints(unsigned family, const char *at, struct proxy_header *header)
{
	if (family == FAMILY_UNIX) {
		take_path(at, &header->source);
		take_path(at + PATH_SIZE, &header->destination);
	} else {
		size_t size = ip_size(family);

		take_ip(family, at, at + 2 * size, &header->source);
		take_ip(family, at + size, at + 2 * size + 2, &header->destination);
	}
	header->relayed = true;
}

/* All of a header with the command PROXY. */
static enum proxy_fault take_relayed(struct str bytes, struct proxy_header *header)
{
	unsigned family = byte_at(bytes, 13) >> 4, transport = byte_at(bytes, 13) & 15;

	if (family == FAMILY_UNSPEC || transport == 0)
		return PROXY_OK;
	if (transport == TRANSPORT_STREAM)
		take_endpoints(family, bytes.at + FIXED, header);
	return check_tlvs(bytes, FIXED + endpoints_size(family));
}

/* Bytes 12 to 15, as far as they have come; *size is the whole header's once they all have. */
static enum proxy_fault check_fixed(struct str bytes, size_t *size)
{
	bool local = false;

	if (bytes.len > 12) {
		if (byte_at(bytes, 12) >> 4 != 2)
			return PROXY_BAD_VERSION;
		if ((byte_at(bytes, 12) & 15) > COMMAND_PROXY)
			return PROXY_BAD_COMMAND;
		local = (byte_at(bytes, 12) & 15) == COMMAND_LOCAL; /* then the family is ignored */
	}
	if (bytes.len > 13 && !local &&
	        (byte_at(bytes, 13) >> 4 > FAMILY_UNIX || (byte_at(bytes, 13) & 15) > TRANSPORT_DGRAM))
		return PROXY_BAD_FAMILY;
	if (bytes.len < FIXED)
		return PROXY_MORE;
	unsigned family = byte_at(bytes, 13) >> 4, transport = byte_at(bytes, 13) & 15;
	bool addressed = !local && family != FAMILY_UNSPEC && transport != 0;
	*size = FIXED + pair_at(bytes, 14);
	if (*size > PROXY_HEADER_MAX || (addressed && *size < FIXED + endpoints_size(family)))
		return PROXY_BAD_LENGTH;
	return bytes.len < *size ? PROXY_MORE : PROXY_OK;
}

static enum proxy_fault parse_v2(struct str bytes, struct proxy_header *header)
{
	enum proxy_fault fault = check_fixed(bytes, &header->size);

	if (fault != PROXY_OK)
		return fault;
	header->version = 2;
	bytes.len = header->size;
	return (byte_at(bytes, 12) & 15) == COMMAND_LOCAL ? PROXY_OK : take_relayed(bytes, header);
}

enum proxy_fault proxy_header_parse(const char *bytes, size_t len, struct proxy_header *header)
{
	struct str s = {bytes, len};

	memset(header, 0, sizeof(*header));
	if (len == 0)
		return PROXY_MORE;
	if (begins(s, v1_signature))
		return parse_v1(s, header);
	if (begins(s, v2_signature))
		return parse_v2(s, header);
	return PROXY_BAD_SIGNATURE;
}

/* Writing ------------------------------------------------------------------------------------------------------ */

/* The family on the wire for both addresses; FAMILY_UNSPEC where there is none. */
static unsigned common_family(const struct addr *a, const struct addr *b)
{
	if (a == NULL || b == NULL || a->len == 0 || b->len == 0)
		return FAMILY_UNSPEC;
	sa_family_t x = a->u.any.sa_family, y = b->u.any.sa_family;
	if (x == AF_UNIX || y == AF_UNIX)
		return x == y ? FAMILY_UNIX : FAMILY_UNSPEC;
	return x == AF_INET && y == AF_INET ? FAMILY_INET : FAMILY_INET6;
}

static void give_ip(unsigned family, const struct addr *a, char *ip)
{
	static const char mapped[12] = {[10] = (char)0xff, [11] = (char)0xff};

	if (family == FAMILY_INET) {
		memcpy(ip, &a->u.in.sin_addr, 4);
	} else if (a->u.any.sa_family == AF_INET) {
		memcpy(ip, mapped, sizeof(mapped));
		memcpy(ip + sizeof(mapped), &a->u.in.sin_addr, 4);
	} else {
		memcpy(ip, &a->u.in6.sin6_addr, 16);
	}
}

static void give_path(const struct addr *a, char path[PATH_SIZE])
{
	size_t start = offsetof(struct sockaddr_un, sun_path);
	size_t room = a->len > start ? a->len - start : 0;

	memcpy(path, a->u.un.sun_path, strnlen(a->u.un.sun_path, room < PATH_SIZE ? room : PATH_SIZE));
}

static size_t write_v1(unsigned family, const struct addr *source, const struct addr *destination,
        char out[PROXY_HEADER_WRITE_MAX])
{
	char ip[2][16], text[2][INET6_ADDRSTRLEN];
	int af = family == FAMILY_INET ? AF_INET : AF_INET6;

	if (family == FAMILY_UNSPEC || family == FAMILY_UNIX)
		return (size_t)snprintf(out, PROXY_HEADER_WRITE_MAX, "PROXY UNKNOWN\r\n");
	give_ip(family, source, ip[0]);
	give_ip(family, destination, ip[1]);
	inet_ntop(af, ip[0], text[0], sizeof(text[0]));
	inet_ntop(af, ip[1], text[1], sizeof(text[1]));
	return (size_t)snprintf(out, PROXY_HEADER_WRITE_MAX, "PROXY TCP%d %s %s %u %u\r\n",
	        af == AF_INET ? 4 : 6, text[0], text[1], addr_port(source), addr_port(destination));
}

static size_t write_v2(unsigned family, const struct addr *source, const struct addr *destination,
        char out[PROXY_HEADER_WRITE_MAX])
{
	size_t size = family == FAMILY_UNSPEC ? 0 : endpoints_size(family);
	char *at = out + FIXED;

	memset(out, 0, PROXY_HEADER_WRITE_MAX);
	memcpy(out, v2_signature.at, v2_signature.len);
	out[12] = 0x20 | (family == FAMILY_UNSPEC ? COMMAND_LOCAL : COMMAND_PROXY);
	out[13] = (char)(family << 4 | (family == FAMILY_UNSPEC ? 0 : TRANSPORT_STREAM));
	out[15] = (char)size;
	if (family == FAMILY_UNIX) {
		give_path(source, at);
		give_path(destination, at + PATH_SIZE);
	} else if (family != FAMILY_UNSPEC) {
		size_t ip = ip_size(family);
		in_port_t from = htons((in_port_t)addr_port(source)),
		          to = htons((in_port_t)addr_port(destination));

		give_ip(family, source, at);
		give_ip(family, destination, at + ip);
		memcpy(at + 2 * ip, &from, 2);
		memcpy(at + 2 * ip + 2, &to, 2);
	}
	return FIXED + size;
}

size_t proxy_header_write(unsigned version, const struct addr *source, const struct addr *destination,
        char out[PROXY_HEADER_WRITE_MAX])
{
	unsigned family = common_family(source, destination);

	MUST(version == 1 || version == 2);
	return version == 1 ? write_v1(family, source, destination, out)
	                    : write_v2(family, source, destination, out);
}
