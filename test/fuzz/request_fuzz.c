/*
 * The head of a request. Where its end is does not depend on how it comes; and what is taken is, as it goes to the server, to a strict reader
 * the same request: method, path, Host, framing and fields.
 */
#include "lb/forward.h"
#include "made_up_lb.h"
#include "strict.h"

#define SITE                                                                                                 \
	"listeners = ( { bind = \"127.0.0.1:8080\"; upstream = \"o\"; } );"                                  \
	"upstreams = ( { name = \"o\"; servers = ( { address = \"127.0.0.1:9000\"; } ); } );"
#define DEFAULT_HOST "127.0.0.1:9000"

static const char *const configs[] = {SITE, SITE "forward = { trusted = ( \"127.0.0.0/8\" ); };",
        SITE "forward = { x_forwarded_for = false; via = \"\"; };",
        SITE "forward = { trusted = ( \"127.0.0.0/8\" ); request_id = \"X-Request-Id\"; };"};
enum { CONFIGS = 4, TRUSTING = 1, PLAIN = 2, NAMING = 3 };

/* Fields that a forwarder takes away, puts in or writes anew. */
static const char *const ours[] = {"host", "content-length", "transfer-encoding", "upgrade", "connection",
        "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "max-forwards", NULL};
static const char *const ours_naming[] = {"host", "content-length", "transfer-encoding", "upgrade",
        "connection", "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded",
        "max-forwards", "x-request-id", NULL};
static const char *const ours_plain[] = {"host", "content-length", "transfer-encoding", NULL};

/* The end of the head is where it is, however the bytes come; a byte that begins no request is no part of one that is taken. */
static size_t find_end(struct str bytes, bool *sniffed)
{
	size_t at_once = 0, bit_by_bit = 0, end = http_head_find_end(bytes.at, bytes.len, &at_once);

	for (size_t n = 1; n <= bytes.len; n++) {
		size_t found = http_head_find_end(bytes.at, n, &bit_by_bit);

		MUST(found == 0 || found == end);
		if (found == 0)
			*sniffed |= http_request_sniff(bytes.at, n) != HTTP_OK;
		else
			return n;
		MUST(n < bytes.len || end == 0);
	}
	return end;
}

static void check_host(const struct strict *in, const struct strict *out)
{
	struct str host = strict_host(in);
	const struct strict_field *written = strict_find(out, "host");

	MUST(written != NULL);
	MUST(str_eq(written->value, host.len > 0 ? host : STR(DEFAULT_HOST)));
}

static void check_same(const struct strict *in, const struct strict *out, const char *const *names)
{
	char *room = malloc(in->target.len + 2);

	MUST(room != NULL);
	MUST(str_eq(in->method, out->method));
	MUST(str_eq(strict_path(in, room), out->target));
	MUST(out->minor == 1);
	MUST(in->kind == out->kind && in->length == out->length && out->lengths <= 1);
	check_host(in, out);
	MUST(strict_same_fields(in, out, names));
	free(room);
}

/* An untrusted client's word on where it is from goes no further. */
static void check_forwarded(const struct strict *out, bool trusting)
{
	static const char *const names[] = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"};
	unsigned count[3] = {0};

	for (unsigned i = 0; i < out->count; i++)
		for (unsigned k = 0; k < 3; k++)
			count[k] += str_eq_nocase(out->fields[i].name, str_of(names[k]));
	MUST(count[0] == 1 && (trusting || (count[1] == 1 && count[2] <= 1)));
	const struct strict_field *from = strict_find(out, names[0]);
	MUST(from->value.len >= 9 && memcmp(from->value.at + from->value.len - 9, "127.0.0.1", 9) == 0);
	MUST(trusting || (from->value.len == 9 && !strict_find(out, "forwarded")));
}

/* There is one, the request's own where it had one alone that is fit. */
static void check_id(const struct strict *in, const struct strict *out)
{
	const struct strict_field *written = NULL, *sent = NULL;
	unsigned count = 0, sent_count = 0;

	for (unsigned i = 0; i < out->count; i++)
		if (str_eq_nocase(out->fields[i].name, STR("x-request-id"))) {
			written = &out->fields[i];
			count++;
		}
	for (unsigned i = 0; i < in->count; i++)
		if (str_eq_nocase(in->fields[i].name, STR("x-request-id"))) {
			sent = &in->fields[i];
			sent_count++;
		}
	MUST(count == 1 && request_id_is_fit(written->value));
	if (sent_count != 1 || !str_eq(written->value, sent->value))
		MUST(written->value.len == REQUEST_ID_MADE_BYTES);
}

static void check_taken(struct exchange *x, struct str bytes, unsigned config)
{
	struct strict in, out;

	MUST(strict_request(&in, bytes) != STRICT_BAD);
	http_head_mark_hops(&x->request);
	if (forward_request(x, -1)) {
		MUST(strict_request(&out, buf_str(x->out)) != STRICT_BAD);
		MUST(out.start == 0 && out.head == buf_len(x->out));
		check_same(&in, &out, config == PLAIN ? ours_plain : config == NAMING ? ours_naming : ours);
		if (config != PLAIN)
			check_forwarded(&out, config == TRUSTING || config == NAMING);
		if (config == NAMING)
			check_id(&in, &out);
		strict_free(&out);
	}
	strict_free(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct made_up_lb lbs[CONFIGS];
	struct str bytes = {(const char *)data, size};
	bool sniffed = false;

	for (unsigned i = 0; i < CONFIGS; i++)
		if (!lbs[i].lb)
			made_up_lb_open(&lbs[i], configs[i]);
	if (size > lbs[0].config->limits.header_size)
		return -1;
	bytes.len = find_end(bytes, &sniffed);
	for (unsigned i = 0; i < CONFIGS && bytes.len > 0; i++) {
		struct exchange *x = made_up_exchange(&lbs[i], bytes);
		enum http_fault fault = http_request_parse(&x->request, buf_head(x->in), bytes.len);

		MUST(fault < HTTP_FAULT_COUNT);
		if (fault == HTTP_OK)
			fault = http_request_framing(&x->request, &x->request_framing);
		MUST(!sniffed || fault != HTTP_OK);
		if (fault == HTTP_OK)
			check_taken(x, bytes, i);
		exchange_free(x);
	}
	return 0;
}
