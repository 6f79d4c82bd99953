/*
 * The PROXY protocol's header. The verdict does not depend on how the bytes come, and once it is given more of them do not change it; a second reading
 * of both versions agrees; and the two addresses, written as a header of either version, are read as the same.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "fuzz.h"
#include "net/proxy_header.h"

static const char signature[12] = {'\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

/* The same address and port. */
static bool is_same(const struct addr *a, const struct addr *b)
{
	return addr_equal(a, b) && a->u.any.sa_family == b->u.any.sa_family;
}

static bool is_mapped(const struct addr *a)
{
	return a->u.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr);
}

/* Byte by byte: no verdict before the one that all bytes give, and none after it is another. */
static void check_pieces(struct str bytes, enum proxy_fault fault, const struct proxy_header *header)
{
	for (size_t n = 1; n <= bytes.len; n++) {
		char *copy = copy_of((struct str){bytes.at, n});
		struct proxy_header part;
		enum proxy_fault verdict = proxy_header_parse(copy, n, &part);

		free(copy);
		if (verdict == PROXY_MORE)
			continue;
		MUST(verdict == fault);
		MUST(verdict != PROXY_OK || (part.size == header->size && part.relayed == header->relayed));
	}
}

/* "PROXY TCP4 1.2.3.4 5.6.7.8 80 81\r\n", read by the C library. */
static void check_line(struct str bytes, const struct proxy_header *h)
{
	char line[108], family[8], source[64], destination[64], text[ADDR_TEXT_MAX];
	unsigned from, to;
	int used = 0;

	MUST(h->size <= 107 && memcmp(bytes.at + h->size - 2, "\r\n", 2) == 0);
	snprintf(line, sizeof(line), "%.*s", (int)h->size - 2, bytes.at);
	MUST(strlen(line) == h->size - 2 || strncmp(line, "PROXY UNKNOWN", 13) == 0);
	if (!h->relayed) {
		MUST(strncmp(line, "PROXY UNKNOWN", 13) == 0);
		return;
	}
	MUST(sscanf(line, "PROXY %7s %63s %63s %u %u%n", family, source, destination, &from, &to, &used) ==
	        5);
	MUST((size_t)used == h->size - 2);
	int kind = strcmp(family, "TCP6") == 0 ? AF_INET6 : AF_INET;
	MUST(kind == AF_INET6 || strcmp(family, "TCP4") == 0);
	MUST(h->source.u.any.sa_family == kind && h->destination.u.any.sa_family == kind);
	MUST(addr_port(&h->source) == from && addr_port(&h->destination) == to);
	const void *at = kind == AF_INET6 ? (const void *)&h->source.u.in6.sin6_addr
	                                  : (const void *)&h->source.u.in.sin_addr;
	struct in6_addr read;
	MUST(inet_pton(kind, source, &read) == 1 && memcmp(&read, at, kind == AF_INET6 ? 16 : 4) == 0);
	MUST(addr_format(&h->source, text)[0] != '\0');
}

/* The fixed part of version 2. */
static void check_binary(struct str bytes, const struct proxy_header *h)
{
	const unsigned char *b = (const unsigned char *)bytes.at;
	static const sa_family_t families[] = {AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX};

	MUST(memcmp(bytes.at, signature, sizeof(signature)) == 0 && b[12] >> 4 == 2);
	MUST(h->size == 16u + (unsigned)(b[14] << 8 | b[15]) && h->size <= PROXY_HEADER_MAX);
	if (!h->relayed)
		return;
	MUST((b[12] & 15) == 1 && b[13] >> 4 >= 1 && b[13] >> 4 <= 3);
	MUST(h->source.u.any.sa_family == families[b[13] >> 4]);
	MUST(h->destination.u.any.sa_family == families[b[13] >> 4]);
	if (b[13] >> 4 == 1) {
		MUST(memcmp(b + 16, &h->source.u.in.sin_addr, 4) == 0);
		MUST(memcmp(b + 20, &h->destination.u.in.sin_addr, 4) == 0);
		MUST(memcmp(b + 24, &h->source.u.in.sin_port, 2) == 0);
		MUST(memcmp(b + 26, &h->destination.u.in.sin_port, 2) == 0);
	}
}

static void check_written(const struct proxy_header *h, unsigned version)
{
	char out[PROXY_HEADER_WRITE_MAX];
	struct proxy_header again;
	size_t len = proxy_header_write(version, &h->source, &h->destination, out);
	char *copy = copy_of((struct str){out, len});

	MUST(len > 0 && len <= sizeof(out));
	MUST(proxy_header_parse(copy, len, &again) == PROXY_OK && again.size == len);
	MUST(again.version == version);
	free(copy);
	if (h->source.u.any.sa_family == AF_UNIX) {
		MUST(version == 1 ? !again.relayed : again.relayed);
		if (version == 1)
			return;
	}
	MUST(again.relayed);
	/* What was mapped may come back as what it maps. */
	MUST(is_same(&h->source, &again.source) || is_mapped(&h->source));
	MUST(is_same(&h->destination, &again.destination) || is_mapped(&h->destination));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = {(const char *)data, size};
	struct proxy_header h;
	enum proxy_fault fault = proxy_header_parse(bytes.at, bytes.len, &h);

	MUST(fault < PROXY_FAULT_COUNT && proxy_fault_word(fault)[0] != '\0');
	MUST(fault != PROXY_MORE || bytes.len < PROXY_HEADER_MAX + 16);
	if (bytes.len <= 600)
		check_pieces(bytes, fault, &h);
	if (fault != PROXY_OK)
		return 0;
	MUST(h.size <= bytes.len && (h.version == 1 || h.version == 2));
	if (h.version == 1)
		check_line(bytes, &h);
	else
		check_binary(bytes, &h);
	if (h.relayed) {
		check_written(&h, 1);
		check_written(&h, 2);
	}
	return 0;
}
