/*
 * The head of a response. What is taken is, as it goes to the client, to a strict reader a response with the framing that was decided on; and the
 * same response where it was well formed to a strict reader before. The first byte of the input says to what it is an answer.
 */
#include "lb/forward.h"
#include "made_up_lb.h"
#include "strict.h"

static const char config[] = "listeners = ( { bind = \"127.0.0.1:8080\"; upstream = \"o\"; } );"
                             "upstreams = ( { name = \"o\"; servers = ( { address = \"127.0.0.1:9000\"; } );"
                             "                sticky = { cookie = \"S\"; max_age = \"1h\"; }; } );"
                             "queue = { header = true; };";

/* Fields that a forwarder takes away, puts in or writes anew. */
static const char *const ours[] = {"content-length", "transfer-encoding", "upgrade", "connection", "via",
        "date", "set-cookie", "cache-control", "x-tplb-queue-us", NULL};

/* How the client gets the body: as exchange_body has it for this version. */
static struct http_framing for_client(struct exchange *x, struct http_framing from)
{
	if (from.kind != BODY_CHUNKED && from.kind != BODY_CLOSE)
		return from;
	x->client_close |= x->request.minor == 0;
	return (struct http_framing){.kind = x->request.minor > 0 ? BODY_CHUNKED : BODY_CLOSE};
}

static void check_framing(const struct exchange *x, const struct strict *out, struct http_framing framing)
{
	static const enum strict_body kinds[] = {[BODY_NONE] = STRICT_NONE,
	        [BODY_LENGTH] = STRICT_LENGTH,
	        [BODY_CHUNKED] = STRICT_CHUNKED,
	        [BODY_CLOSE] = STRICT_TO_END,
	        [BODY_TUNNEL] = STRICT_TUNNEL};

	MUST(out->kind == kinds[framing.kind] && out->lengths <= 1);
	MUST(framing.kind != BODY_LENGTH || out->length == framing.length);
	MUST(out->status < 200 || out->status == 101 ||
	        strict_has_token(out, "connection", "close") == x->client_close);
}

static void check_taken(struct exchange *x, struct str bytes, struct http_framing framing)
{
	struct http_framing to_client = for_client(x, framing);
	struct strict in, out;
	bool fine = strict_response(&in, bytes, x->is_head, false) != STRICT_BAD;

	http_head_mark_hops(&x->response);
	if (forward_response(x, to_client)) {
		MUST(strict_response(&out, buf_str(x->out), x->is_head, false) != STRICT_BAD);
		MUST(out.head == buf_len(x->out));
		check_framing(x, &out, to_client);
		MUST(!fine || (in.status == out.status && str_eq(in.reason, out.reason)));
		MUST(!fine || strict_same_fields(&in, &out, ours));
		strict_free(&out);
	}
	strict_free(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct made_up_lb lb;
	struct input in = {data, size};
	size_t scanned = 0;

	if (!lb.lb)
		made_up_lb_open(&lb, config);
	unsigned how = input_byte(&in);
	struct str bytes = input_bytes(&in, (size_t)lb.config->limits.header_size);
	bytes.len = http_head_find_end(bytes.at, bytes.len, &scanned);
	if (bytes.len == 0)
		return 0;
	struct exchange *x = made_up_exchange(&lb, STR(""));
	struct http_framing framing;

	x->is_head = how & 1;
	x->request.minor = !(how & 2);
	x->client_close = how & 4;
	x->server = how & 8 ? &lb.lb->upstreams[0].servers[0] : NULL;
	MUST(buf_add_str(x->from_server, bytes));
	enum http_fault fault = http_response_parse(&x->response, buf_head(x->from_server), bytes.len);
	MUST(fault < HTTP_FAULT_COUNT);
	if (fault == HTTP_OK)
		fault = http_response_framing(&x->response, x->is_head ? STR("HEAD") : STR("GET"), &framing);
	if (fault == HTTP_OK)
		check_taken(x, bytes, framing);
	exchange_free(x);
	return 0;
}
