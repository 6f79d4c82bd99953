#include "lb/request_id.h"

#include <errno.h>
#include <sys/random.h>

#include "base/assert.h"
#include "lb/exchange.h"
#include "lb/forward.h"

/* One system call for some 250 requests. The kernel's generator is seeded by now: nothing waits. */
static void refill(struct request_ids *ids)
{
	size_t have = 0;

	while (have < sizeof(ids->bits)) {
		ssize_t n = getrandom(ids->bits + have, sizeof(ids->bits) - have, 0);

		MUST(n > 0 || errno == EINTR);
		have += n > 0 ? (size_t)n : 0;
	}
	ids->left = sizeof(ids->bits);
}

void request_id_make(struct request_ids *ids, char out[REQUEST_ID_MADE_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	if (ids->left == 0)
		refill(ids);
	for (size_t i = 0; i < REQUEST_ID_MADE_BYTES; i += 2) {
		unsigned char byte = ids->bits[sizeof(ids->bits) - ids->left--];

		out[i] = digits[byte >> 4];
		out[i + 1] = digits[byte & 15];
	}
}

static bool is_fit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-._~+/=:@", c));
}

bool request_id_is_fit(struct str id)
{
	size_t fit = 0;

	while (fit < id.len && is_fit(id.at[fit]))
		fit++;
	return fit == id.len && fit > 0 && fit <= REQUEST_ID_MAX;
}

/* One that may be kept; otherwise empty. Two of them are as good as none. */
static struct str sent_id(const struct exchange *x)
{
	struct str name = str_of(x->lb->config->forward.request_id), id = STR("");
	unsigned count = 0;

	if (name.len == 0 || x->request.size == 0 || !forward_trusts(x))
		return id;
	for (unsigned i = 0; i < x->request.count; i++) {
		const struct http_field *field = &x->request.fields[i];

		if (field->id != FIELD_OTHER || field->hop || !str_eq_nocase(field->name, name))
			continue;
		id = field->value;
		count++;
	}
	return count == 1 && request_id_is_fit(id) ? id : STR("");
}

struct str request_id(struct exchange *x)
{
	if (x->request_id.len == 0)
		x->request_id = sent_id(x);
	if (x->request_id.len == 0) {
		request_id_make(exchange_ids(x->worker), x->made_id);
		x->request_id = (struct str){x->made_id, sizeof(x->made_id)};
	}
	return x->request_id;
}

struct str request_id_field(struct exchange *x, char out[REQUEST_ID_FIELD_MAX])
{
	const struct lb_config_forward *how = &x->lb->config->forward;
	const struct str parts[] = {str_of(how->request_id), STR(": "),
	        how->request_id_answer ? request_id(x) : STR(""), STR("\r\n")};
	size_t len = 0;

	if (!how->request_id_answer)
		return STR("");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		MUST(len + parts[i].len <= REQUEST_ID_FIELD_MAX);
		memcpy(out + len, parts[i].at, parts[i].len);
		len += parts[i].len;
	}
	return (struct str){out, len};
}
