#include "lb/forward.h"
#include "lb/sticky.h"

#include "base/assert.h"
#include "base/clock.h"
#include "http/chars.h"

/* A head is copied field by field into room that was checked once for all of them. */
struct writer {
	char *at;
	char *end;
	bool full;
};

static void put(struct writer *w, struct str s)
{
	if ((size_t)(w->end - w->at) < s.len) {
		w->full = true;
		return;
	}
	memcpy(w->at, s.at, s.len);
	w->at += s.len;
}

static void put_field(struct writer *w, struct str name, struct str value)
{
	put(w, name);
	put(w, STR(": "));
	put(w, value);
	put(w, STR("\r\n"));
}

static void put_number(struct writer *w, unsigned long long n)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	put(w, (struct str){digits + at, sizeof(digits) - at});
}

static struct writer writer_of(struct buf *b)
{
	return (struct writer){.at = buf_tail(b), .end = b->data + b->cap};
}

static bool writer_done(struct writer *w, struct buf *b)
{
	b->end = (size_t)(w->at - b->data);
	return !w->full;
}

bool forward_trusts(const struct exchange *x)
{
	const struct lb_config_forward *f = &x->lb->config->forward;

	for (size_t i = 0; i < f->trusted.count; i++)
		if (addr_block_has(&f->trusted_blocks[i], &x->conn->peer))
			return true;
	return false;
}

/* X-Forwarded-For, -Proto and -Host, and Forwarded: what an untrusted client says there is left out, or replaced by what is known. */
struct forwarded {
	const struct lb_config_forward *how;
	bool on; /* something of it is told to servers */
	bool trusted;
	bool has_proto, has_host;
};

static bool is_claim(enum http_field_id id)
{
	return id == FIELD_FORWARDED || id == FIELD_X_FORWARDED_FOR || id == FIELD_X_FORWARDED_PROTO ||
	       id == FIELD_X_FORWARDED_HOST;
}

/* A list that each proxy adds to. */
static bool is_written_anew(const struct forwarded *f, enum http_field_id id)
{
	return (id == FIELD_X_FORWARDED_FOR && f->how->x_forwarded_for) ||
	       (id == FIELD_FORWARDED && f->how->forwarded);
}

/* What a trusted client says in all fields of this id, each with ", " behind it. */
static void put_earlier(
        struct writer *w, const struct exchange *x, const struct forwarded *f, enum http_field_id id)
{
	for (unsigned i = 0; f->trusted && i < x->request.count; i++) {
		const struct http_field *field = &x->request.fields[i];

		if (field->id != id || field->hop || field->value.len == 0)
			continue;
		put(w, field->value);
		put(w, STR(", "));
	}
}

/* A value of RFC 7239 section 4: a token as it is, else quoted. A Host holds neither quotes nor backslashes. */
static void put_value(struct writer *w, struct str s)
{
	size_t tokens = 0;

	while (tokens < s.len && http_is(CHAR_TOKEN, s.at[tokens]))
		tokens++;
	if (tokens < s.len)
		put(w, STR("\""));
	put(w, s);
	if (tokens < s.len)
		put(w, STR("\""));
}

/* RFC 7239: who asked, for which host. */
static void put_rfc7239(struct writer *w, const struct exchange *x, const struct forwarded *f)
{
	const struct addr_ip *peer = &x->conn->peer;
	char text[ADDR_TEXT_MAX];
	struct str client = {text, addr_ip_format(peer, text)};

	put(w, STR("Forwarded: "));
	put_earlier(w, x, f, FIELD_FORWARDED);
	put(w, peer->family == AF_INET6 ? STR("for=\"[") : STR("for="));
	put(w, peer->family == 0 ? STR("unknown") : client); /* section 6.2, of a Unix socket */
	put(w, peer->family == AF_INET6 ? STR("]\"") : STR(""));
	if (x->request.host.len > 0) {
		put(w, STR(";host="));
		put_value(w, x->request.host);
	}
	put(w, STR(";proto=http\r\n"));
}

static void put_forwarded(struct writer *w, const struct exchange *x, const struct forwarded *f)
{
	char text[ADDR_TEXT_MAX];
	size_t len = addr_ip_format(&x->conn->peer, text);

	put(w, STR("X-Forwarded-For: "));
	put_earlier(w, x, f, FIELD_X_FORWARDED_FOR);
	put(w, (struct str){text, len});
	put(w, STR("\r\n"));
	if (!f->has_proto)
		put(w, STR("X-Forwarded-Proto: http\r\n"));
	if (!f->has_host && x->request.host.len > 0)
		put_field(w, STR("X-Forwarded-Host"), x->request.host);
}

/* The field that holds the request's id: ours is written in its place. */
static bool is_id(const struct exchange *x, const struct http_field *field)
{
	const char *name = x->lb->config->forward.request_id;

	return name[0] && field->id == FIELD_OTHER && str_eq_nocase(field->name, str_of(name));
}

/* Writes one field of the client's, or leaves it out. */
static void put_request_field(struct writer *w, const struct exchange *x, const struct http_field *field,
        struct forwarded *f, long long max_forwards)
{
	if (field->id == FIELD_EXPECT && x->request.minor == 0)
		return; /* ignored there (RFC 9110 section 10.1.1): to a server, which sees HTTP/1.1, it would count */
	if (is_id(x, field))
		return;
	if (f->on && is_claim(field->id)) {
		if (!f->trusted || is_written_anew(f, field->id))
			return;
		f->has_proto |= field->id == FIELD_X_FORWARDED_PROTO;
		f->has_host |= field->id == FIELD_X_FORWARDED_HOST;
	}
	put(w, field->name);
	put(w, STR(": "));
	if (field->id == FIELD_HOST)
		put(w, x->request.host); /* an absolute target overrides it, RFC 9112 section 3.2.2 */
	else if (field->id == FIELD_CONTENT_LENGTH)
		put_number(
		        w, x->request_framing.length); /* the number that was understood, not its spelling */
	else if (field->id == FIELD_MAX_FORWARDS && max_forwards >= 0)
		put_number(w, (unsigned long long)max_forwards);
	else
		put(w, field->value);
	put(w, STR("\r\n"));
}

static void put_via(struct writer *w, const struct exchange *x, int minor)
{
	const char *via = x->lb->config->forward.via;

	if (!via[0])
		return;
	put(w, minor ? STR("Via: 1.1 ") : STR("Via: 1.0 "));
	put(w, str_of(via));
	put(w, STR("\r\n"));
}

/* What an HTTP/1.0 client did not say and HTTP/1.1 demands. */
static struct str default_host(const struct exchange *x)
{
	return str_of(x->listener->upstream->servers[0].host);
}

bool forward_request(struct exchange *x, long long max_forwards)
{
	const struct http_head *head = &x->request;
	const struct lb_config_forward *how = &x->lb->config->forward;
	struct forwarded f = {.how = how, .on = how->x_forwarded_for || how->forwarded};
	bool has_length = false;
	bool has_host = false;

	f.trusted = f.on && forward_trusts(x);
	buf_clear(x->out);
	struct writer w = writer_of(x->out);
	put(&w, head->method);
	put(&w, head->path.at[0] == '?' ? STR(" /") : STR(" "));
	put(&w, head->path);
	put(&w, STR(" HTTP/1.1\r\n"));
	for (unsigned i = 0; i < head->count; i++) {
		const struct http_field *field = &head->fields[i];

		if (field->hop || (field->id == FIELD_CONTENT_LENGTH && has_length))
			continue; /* identical lengths are one */
		has_length |= field->id == FIELD_CONTENT_LENGTH;
		has_host |= field->id == FIELD_HOST;
		put_request_field(&w, x, field, &f, max_forwards);
	}
	if (!has_host)
		put_field(&w, STR("Host"), head->host.len > 0 ? head->host : default_host(x));
	if (how->x_forwarded_for)
		put_forwarded(&w, x, &f);
	if (how->forwarded)
		put_rfc7239(&w, x, &f);
	if (how->request_id[0])
		put_field(&w, str_of(how->request_id), request_id(x));
	put_via(&w, x, head->minor);
	if (x->request_framing.kind == BODY_CHUNKED)
		put(&w, STR("Transfer-Encoding: chunked\r\n"));
	if (x->wants_upgrade) {
		put_field(&w, STR("Upgrade"), http_head_find(head, FIELD_UPGRADE)->value);
		put(&w, STR("Connection: upgrade\r\n"));
	}
	put(&w, STR("\r\n"));
	return writer_done(&w, x->out);
}

#define QUEUE_FIELD STR("X-Tplb-Queue-Us")

struct str forward_queue_field(bool wanted, const struct conn *c, char out[FORWARD_QUEUE_BYTES])
{
	struct writer w = {.at = out, .end = out + FORWARD_QUEUE_BYTES};

	if (!wanted)
		return STR("");
	put(&w, QUEUE_FIELD);
	put(&w, STR(": "));
	put_number(&w, (unsigned long long)(c->queue_wait / CLOCK_NS_PER_US));
	put(&w, STR("\r\n"));
	MUST(!w.full);
	return (struct str){out, (size_t)(w.at - out)};
}

static void put_status_line(struct writer *w, const struct http_head *head)
{
	char digits[3] = {(char)('0' + head->status / 100), (char)('0' + head->status / 10 % 10),
	        (char)('0' + head->status % 10)};

	put(w, STR("HTTP/1.1 "));
	put(w, (struct str){digits, sizeof(digits)});
	put(w, STR(" "));
	put(w, head->reason);
	put(w, STR("\r\n"));
}

static void put_connection(struct writer *w, const struct exchange *x)
{
	if (x->response.status == 101) {
		const struct http_field *upgrade = http_head_find(&x->response, FIELD_UPGRADE);

		if (upgrade)
			put_field(w, STR("Upgrade"), upgrade->value);
		put(w, STR("Connection: upgrade\r\n"));
	} else if (x->response.status < 200) {
		return; /* an interim answer says nothing of the connection */
	} else if (x->client_close) {
		put(w, STR("Connection: close\r\n"));
	} else if (x->request.minor == 0) {
		put(w, STR("Connection: keep-alive\r\n"));
	}
}

/* A cache before us must not give one client's cookie to others: Cache-Control lines add up (RFC 9111 section 5.2). */
static void put_session(struct writer *w, const struct exchange *x)
{
	char cookie[STICKY_COOKIE_MAX];
	size_t len = sticky_cookie(x, cookie);

	if (len == 0)
		return;
	put_field(w, STR("Set-Cookie"), (struct str){cookie, len});
	put_field(w, STR("Cache-Control"), STR("private"));
}

bool forward_response(struct exchange *x, struct http_framing framing)
{
	const struct http_head *head = &x->response;
	bool has_length = false;
	bool has_date = false;
	bool tells_wait = x->lb->config->queue.header && (head->status >= 200 || head->status == 101);
	bool tells_id = x->lb->config->forward.request_id_answer &&
	                (head->status >= 200 || head->status == 101);
	char wait[FORWARD_QUEUE_BYTES], id[REQUEST_ID_FIELD_MAX];
	struct writer w = writer_of(x->out);

	put_status_line(&w, head);
	for (unsigned i = 0; i < head->count; i++) {
		const struct http_field *field = &head->fields[i];

		if (field->hop || (field->id == FIELD_CONTENT_LENGTH && has_length))
			continue;
		if (tells_wait && field->id == FIELD_OTHER && str_eq_nocase(field->name, QUEUE_FIELD))
			continue; /* ours is true */
		if (tells_id && is_id(x, field))
			continue; /* likewise */
		if (field->id == FIELD_CONTENT_LENGTH) {
			if (framing.kind == BODY_CHUNKED || head->status < 200 || head->status == 204)
				continue; /* RFC 9110 section 8.6: not in these */
			has_length = true;
			if (framing.kind == BODY_LENGTH) {
				put(&w, STR("Content-Length: "));
				put_number(&w, framing.length);
				put(&w, STR("\r\n"));
				continue;
			}
		}
		has_date |= field->id == FIELD_DATE;
		put_field(&w, field->name, field->value);
	}
	if (!has_date && head->status >= 200) /* RFC 9110 section 6.6.1 */
		put_field(&w, STR("Date"), http_date_now(&x->worker->date));
	if (head->status >= 200 || head->status == 101)
		put_session(&w, x);
	put_via(&w, x, head->minor);
	if (tells_wait)
		put(&w, forward_queue_field(x->lb->config->queue.header, x->conn, wait));
	if (tells_id)
		put(&w, request_id_field(x, id));
	if (framing.kind == BODY_CHUNKED)
		put(&w, STR("Transfer-Encoding: chunked\r\n"));
	put_connection(&w, x);
	put(&w, STR("\r\n"));
	return writer_done(&w, x->out);
}
