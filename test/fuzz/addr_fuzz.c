/* Addresses as text. The first byte says whether to listen on it. What parses is formatted, and that parses back to the same. */
#include <arpa/inet.h>

#include "fuzz.h"
#include "net/addr.h"

/* The scope of a link-local address is a number of this machine. */
static bool has_scope(const struct addr *a)
{
	return a->u.any.sa_family == AF_INET6 && a->u.in6.sin6_scope_id != 0;
}

static void check_ip(const struct addr *a)
{
	char text[ADDR_TEXT_MAX], plain[ADDR_TEXT_MAX];
	struct addr_ip ip = addr_ip_of(a);
	size_t len = addr_ip_format(&ip, text);
	struct addr_block block;

	MUST(len == strlen(text) && len < sizeof(text));
	MUST(addr_block_parse(text, &block) && addr_block_has(&block, &ip));
	if (ip.family != 0)
		MUST(inet_ntop(ip.family, ip.bytes, plain, sizeof(plain)) && strcmp(plain, text) == 0);
	struct addr_ip site = addr_ip_site(&ip), again = addr_ip_site(&site);
	MUST(memcmp(&site, &again, sizeof(site)) == 0 && site.port == 0);
}

static void check_address(const char *text, bool listening)
{
	char formatted[ADDR_TEXT_MAX];
	const char *why = NULL;
	struct addr a, again;
	bool is_name = false;

	if (!addr_check(text, listening, &is_name, &why)) {
		MUST(why != NULL && why[0] != '\0' && !is_name);
		MUST(!addr_parse(text, listening, &a, &why)); /* nor does it ask anybody */
		return;
	}
	if (is_name) /* the system would be asked */
		return;
	MUST(addr_parse(text, listening, &a, &why) && a.len > 0);
	MUST(addr_equal(&a, &a) && (addr_collides(&a, &a) || addr_port(&a) == 0));
	MUST(listening || a.u.any.sa_family == AF_UNIX || addr_port(&a) > 0);
	check_ip(&a);
	addr_format(&a, formatted);
	MUST(addr_parse(formatted, listening, &again, &why));
	MUST(has_scope(&a) || (addr_equal(&a, &again) && a.len == again.len));
}

/* A block holds its first address, formatted or not. */
static void check_block(const char *text)
{
	struct addr_block block;
	struct addr_ip ip = {.family = 0};

	if (!addr_block_parse(text, &block))
		return;
	ip.family = block.family;
	memcpy(ip.bytes, block.bytes, sizeof(ip.bytes));
	MUST(block.bits <= (block.family == AF_INET6 ? 128u : 32u) && addr_block_has(&block, &ip));
	if (block.family == AF_INET && block.bits > 0) {
		ip.bytes[0] ^= 0x80;
		MUST(!addr_block_has(&block, &ip));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	bool listening = input_byte(&in) & 1;
	struct str s = input_bytes(&in, 512);
	char *text = malloc(s.len + 1);

	MUST(text != NULL);
	memcpy(text, s.at, s.len);
	text[s.len] = '\0';
	check_address(text, listening);
	check_block(text);
	free(text);
	return 0;
}
