#include "http/head.h"

#include "base/assert.h"
#include "http/chars.h"

// clang-format off
const unsigned char http_chars[256] = { /* a row is 16 characters, the first is NUL */
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x02, 0x0f, 0x06, 0x03, 0x0f, 0x07, 0x0f, 0x0f, 0x0e, 0x0e, 0x0f, 0x0f, 0x0e, 0x0f, 0x0f, 0x06,
	0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x06, 0x0e, 0x06, 0x0e, 0x06, 0x06,
	0x06, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f,
	0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x06, 0x06, 0x06, 0x07, 0x0f,
	0x07, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f,
	0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x06, 0x07, 0x06, 0x0f, 0x00,
	0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
	0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
	0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
	0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
	0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
	0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
	0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
	0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
};
// clang-format on

static const struct {
	const char *word;
	int status;
	const char *help; /* empty: no request has it */
} faults[HTTP_FAULT_COUNT] = {
        [HTTP_OK] = {"ok", 200, ""},
        [HTTP_BAD_REQUEST_LINE] = {"bad_request_line", 400,
                "no request line as HTTP/1 has it, or no HTTP at all"},
        [HTTP_BAD_STATUS_LINE] = {"bad_status_line", 502, ""},
        [HTTP_BAD_VERSION] = {"bad_version", 505, "a version of HTTP other than 1.0 and 1.1"},
        [HTTP_BAD_TARGET] = {"bad_target", 400,
                "a target that is neither a path, nor a URL, nor an asterisk"},
        [HTTP_BAD_FIELD] = {"bad_field", 400,
                "a header field with a bad name, bad bytes, a fold, or white space before its colon"},
        [HTTP_BAD_HOST] = {"bad_host", 400, "no Host, two, or one that names no host"},
        [HTTP_BAD_FRAMING] = {"bad_framing", 400,
                "a Content-Length or Transfer-Encoding that two programs could read differently"},
        [HTTP_BAD_CHUNK] = {"bad_chunk", 400,
                "a body in chunks that break their form, or have too much beside the body"},
        [HTTP_BAD_CODING] = {"bad_coding", 501, "a transfer coding other than chunked"},
        [HTTP_BAD_EXPECTATION] = {"bad_expectation", 417, "an expectation other than 100-continue"},
        [HTTP_NO_CONNECT] = {"no_connect", 405, "CONNECT, which only forward proxies serve"},
        [HTTP_TARGET_TOO_LONG] = {"target_too_long", 414, "a request line longer than limits.header_size"},
        [HTTP_HEAD_TOO_LARGE] = {"head_too_large", 431,
                "a head larger than limits.header_size, or with more fields than limits.headers"},
        [HTTP_BODY_TOO_LARGE] = {"body_too_large", 413, "a body larger than limits.body_size"},
};

const char *http_fault_word(enum http_fault fault)
{
	MUST(fault < HTTP_FAULT_COUNT);
	return faults[fault].word;
}

const char *http_fault_help(enum http_fault fault)
{
	MUST(fault < HTTP_FAULT_COUNT);
	return faults[fault].help;
}

bool http_fault_is_clients(enum http_fault fault)
{
	return http_fault_help(fault)[0] != '\0';
}

int http_fault_status(enum http_fault fault)
{
	MUST(fault < HTTP_FAULT_COUNT);
	return faults[fault].status;
}

const struct http_field *http_head_find(const struct http_head *head, enum http_field_id id)
{
	for (unsigned i = 0; i < head->count; i++)
		if (head->fields[i].id == id)
			return &head->fields[i];
	return NULL;
}

static bool list_has(struct str list, struct str token)
{
	struct str element;

	while (str_next_element(&list, &element))
		if (str_eq_nocase(element, token))
			return true;
	return false;
}

bool http_head_has_token(const struct http_head *head, enum http_field_id id, struct str token)
{
	for (unsigned i = 0; i < head->count; i++)
		if (head->fields[i].id == id && list_has(head->fields[i].value, token))
			return true;
	return false;
}

/* Never for the next hop, named in Connection or not (RFC 9110 section 7.6.1). */
static bool is_hop(enum http_field_id id)
{
	switch (id) {
	case FIELD_CONNECTION:
	case FIELD_KEEP_ALIVE:
	case FIELD_PROXY_CONNECTION:
	case FIELD_TE:
	case FIELD_TRAILER:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_UPGRADE:
		return true;
	default:
		return false;
	}
}

/* What a peer must not be able to have taken out: it would change the message for the next hop. */
static bool is_kept(enum http_field_id id)
{
	return id == FIELD_HOST || id == FIELD_CONTENT_LENGTH || id == FIELD_VIA;
}

static void mark_named(struct http_head *head, struct str name)
{
	enum http_field_id id = http_field_id_of(name);

	if (is_kept(id))
		return;
	for (unsigned i = 0; i < head->count; i++) {
		struct http_field *f = &head->fields[i];

		if (f->id == id && (id != FIELD_OTHER || str_eq_nocase(f->name, name)))
			f->hop = true;
	}
}

void http_head_mark_hops(struct http_head *head)
{
	struct str element;

	for (unsigned i = 0; i < head->count; i++)
		head->fields[i].hop = is_hop(head->fields[i].id);
	for (unsigned i = 0; i < head->count; i++) {
		struct str list = head->fields[i].value;

		if (head->fields[i].id != FIELD_CONNECTION)
			continue;
		while (str_next_element(&list, &element))
			mark_named(head, element);
	}
}

bool http_head_keeps_alive(const struct http_head *head)
{
	if (http_head_has_token(head, FIELD_CONNECTION, STR("close")))
		return false;
	return head->minor >= 1 || http_head_has_token(head, FIELD_CONNECTION, STR("keep-alive"));
}

bool http_method_is_safe(struct str method)
{
	return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) || str_eq(method, STR("OPTIONS")) ||
	       str_eq(method, STR("TRACE"));
}

bool http_method_is_idempotent(struct str method)
{
	return http_method_is_safe(method) || str_eq(method, STR("PUT")) || str_eq(method, STR("DELETE"));
}
