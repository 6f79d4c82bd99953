#include "http/frame.h"

#include "http/chars.h"

/* What a head says about its body. */
struct claims {
	unsigned lengths; /* Content-Length fields */
	long long length;
	unsigned codings; /* Transfer-Encoding fields */
	struct str coding;
};

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!http_is(CHAR_TOKEN, s.at[i]))
			return false;
	return s.len > 0;
}

/*
 * Why a Transfer-Encoding other than "chunked" alone is refused (RFC 9112 sections 6.1, 6.3 and 7). When all else is
 * well formed and chunked is last or absent, the reason is a coding that we do not have. Chunked twice or not
 * last, parameters, quotes and empty elements leave the length in doubt: another parser may read them differently.
 */
static enum http_fault coding_fault(struct str list)
{
	bool chunked = false;

	for (;;) {
		const char *comma = memchr(list.at, ',', list.len);
		size_t len = comma ? (size_t)(comma - list.at) : list.len;
		struct str element = str_trim((struct str){list.at, len});

		if (chunked || !is_token(element))
			return HTTP_BAD_FRAMING;
		chunked = str_eq_nocase(element, STR("chunked"));
		if (!comma)
			return HTTP_BAD_CODING;
		list = (struct str){comma + 1, list.len - len - 1};
	}
}

/* Gathers and checks both fields, RFC 9112 section 6.3. */
static enum http_fault read_claims(const struct http_head *head, struct claims *claims)
{
	*claims = (struct claims){0};
	for (unsigned i = 0; i < head->count; i++) {
		const struct http_field *f = &head->fields[i];
		long long length;

		if (f->id == FIELD_TRANSFER_ENCODING) {
			claims->codings++;
			claims->coding = f->value;
		} else if (f->id == FIELD_CONTENT_LENGTH) {
			if (!str_to_uint63(f->value, &length))
				return HTTP_BAD_FRAMING;
			if (claims->lengths++ > 0 && length != claims->length)
				return HTTP_BAD_FRAMING;
			claims->length = length;
		}
	}
	if (claims->codings == 0)
		return HTTP_OK;
	if (claims->codings > 1 || claims->lengths > 0 || head->minor == 0)
		return HTTP_BAD_FRAMING;
	return str_eq_nocase(claims->coding, STR("chunked")) ? HTTP_OK : coding_fault(claims->coding);
}

static struct http_framing claimed(const struct claims *claims, enum http_body_kind otherwise)
{
	if (claims->codings > 0)
		return (struct http_framing){.kind = BODY_CHUNKED};
	if (claims->lengths > 0)
		return (struct http_framing){.kind = BODY_LENGTH, .length = (uint64_t)claims->length};
	return (struct http_framing){.kind = otherwise};
}

enum http_fault http_request_framing(const struct http_head *head, struct http_framing *framing)
{
	struct claims claims;
	enum http_fault fault = read_claims(head, &claims);

	if (fault == HTTP_OK)
		*framing = claimed(&claims, BODY_NONE);
	return fault;
}

enum http_fault http_response_framing(
        const struct http_head *head, struct str method, struct http_framing *framing)
{
	struct claims claims;
	enum http_fault fault = read_claims(head, &claims);

	if (fault != HTTP_OK)
		return fault;
	if (head->status == 101)
		*framing = (struct http_framing){.kind = BODY_TUNNEL};
	else if (head->status < 200 || head->status == 204 || head->status == 304 ||
	         str_eq(method, STR("HEAD")))
		*framing = (struct http_framing){.kind = BODY_NONE};
	else
		*framing = claimed(&claims, BODY_CLOSE);
	return HTTP_OK;
}
