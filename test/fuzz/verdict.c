/*
 * What a run must have been like. What the servers saw is, to a strict reader, requests that clients sent: each once, or more often where it
 * may be sent twice, none changed, none made of parts of others. What a client got is the answers to its requests, in order, none of them
 * another's, none of them whole that was not whole.
 */
#include "http/head.h"
#include "strict.h"
#include "world.h"

enum { REQUESTS_MAX = 64 };

/* What a client sent, read strictly. */
struct request {
	struct strict m;
	enum strict_verdict verdict;
	size_t end; /* of the client's outbox */
	unsigned uses;
};

struct sent {
	unsigned count;
	struct request requests[REQUESTS_MAX];
};

/* Fields that a forwarder takes away, puts in or writes anew. */
static const char *const ours[] = {"host", "content-length", "transfer-encoding", "upgrade", "connection",
        "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "max-forwards", NULL};

static void read_sent(struct sent *s, const struct client *c)
{
	size_t at = 0;

	for (s->count = 0; s->count < REQUESTS_MAX && at < c->peer.sent;) {
		struct request *r = &s->requests[s->count++];

		r->uses = 0;
		r->verdict = strict_request(&r->m, (struct str){c->peer.outbox.at + at, c->peer.sent - at});
		at += r->m.size;
		r->end = at;
		if (r->verdict != STRICT_WHOLE)
			break;
	}
}

static bool same_body(const struct strict *sent, const struct strict *seen, bool whole)
{
	return (whole ? seen->body_len == sent->body_len : seen->body_len <= sent->body_len) &&
	       (seen->body_len == 0 || memcmp(seen->body, sent->body, seen->body_len) == 0);
}

/* What a server saw is what that client sent. */
static bool is_same(const struct request *sent, const struct strict *seen, bool whole)
{
	const struct strict_field *host = strict_find(seen, "host");
	char path[8192];

	if (sent->m.head == 0 || (whole && sent->verdict != STRICT_WHOLE) ||
	        sent->m.target.len > sizeof(path) - 2)
		return false;
	struct str wanted = strict_host(&sent->m);
	return str_eq(sent->m.method, seen->method) && str_eq(strict_path(&sent->m, path), seen->target) &&
	       sent->m.kind == seen->kind && sent->m.length == seen->length && host != NULL &&
	       (wanted.len == 0 || str_eq(wanted, host->value)) && strict_same_fields(&sent->m, seen, ours) &&
	       same_body(&sent->m, seen, whole);
}

/* RFC 9110 section 9.2.2. */
static bool may_run_twice(const struct strict *m)
{
	static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", NULL};

	for (unsigned i = 0; methods[i]; i++)
		if (str_eq(m->method, str_of(methods[i])))
			return m->kind == STRICT_NONE || (m->kind == STRICT_LENGTH && m->length == 0);
	return false;
}

/* Somebody sent it, and not all that are like it were seen already. */
static void account(struct sent *all, unsigned clients, const struct strict *seen, bool whole)
{
	struct request *again = NULL;

	for (unsigned c = 0; c < clients; c++)
		for (unsigned i = 0; i < all[c].count; i++) {
			struct request *r = &all[c].requests[i];

			if (!is_same(r, seen, whole))
				continue;
			if (r->uses == 0) {
				r->uses++;
				return;
			}
			again = r;
		}
	MUST(again != NULL);
	MUST(may_run_twice(seen));
}

static void check_link(const struct world *w, const struct link *l, struct sent *all)
{
	size_t at = 0, end = l->opaque ? l->opaque_at : l->peer.got.len;

	while (at < end) {
		struct strict seen;
		enum strict_verdict v = strict_request(&seen, (struct str){l->peer.got.at + at, end - at});

		MUST(v != STRICT_BAD && seen.start == 0 && seen.lengths <= 1);
		if (seen.head > 0)
			account(all, w->client_count, &seen, v == STRICT_WHOLE);
		at = v == STRICT_WHOLE ? at + seen.size : end;
		strict_free(&seen);
	}
}

static struct str tag_of(const struct strict *m)
{
	const struct strict_field *tag = strict_find(m, "x-tag");

	return tag ? tag->value : STR("none");
}

static const struct answer *answer_of(const struct world *w, const struct strict *got, unsigned *id)
{
	const struct strict_field *field = strict_find(got, "x-answer");
	long long value;

	if (!field)
		return NULL;
	MUST(str_to_uint63(field->value, &value) && value < w->answer_count);
	*id = (unsigned)value;
	return &w->answers[value];
}

/* What the balancer says itself. */
static bool is_own_status(int status)
{
	static const int all[] = {200, 400, 405, 408, 413, 414, 417, 431, 501, 502, 503, 504, 505};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] == status)
			return true;
	return false;
}

/* Bytes of the answer's body that its server has sent to its end. */
static size_t body_sent(const struct world *w, const struct answer *a)
{
	size_t missing = a->end > w->links[a->link].peer.sent ? a->end - w->links[a->link].peer.sent : 0;

	MUST(missing == 0 || a->plan.framing == BY_END); /* what is not whole is not told as whole */
	return missing < a->body ? a->body - missing : 0;
}

static void check_final(
        const struct world *w, const struct answer *a, unsigned id, const struct strict *got, bool whole)
{
	const struct plan *p = &a->plan;

	MUST(got->status == (int)p->status);
	MUST(p->status == 101 || (p->framing != BY_BOTH && p->framing != BY_BAD_LENGTH));
	MUST(got->body_len <= a->plan.size);
	for (size_t i = 0; i < got->body_len; i++)
		MUST(got->body[i] == body_byte(id, i));
	if (!whole || p->status == 101)
		return;
	/* The end of the stream tells the end of the body, wherever it is. */
	MUST(a->is_whole || (p->framing == BY_END && w->links[a->link].peer.first));
	MUST(p->framing != BY_BAD_CHUNK || a->body == 0 || got->kind == STRICT_NONE);
	MUST(got->kind == STRICT_NONE || got->body_len == body_sent(w, a));
}

/* After 101 the server gets what the client sends, byte for byte. */
static void check_tunnel(
        const struct world *w, const struct answer *a, const struct client *c, const struct request *r)
{
	const struct link *l = &w->links[a->link];
	size_t len = l->peer.got.len - l->opaque_at;

	MUST(l->opaque && strict_find(&r->m, "upgrade") != NULL);
	MUST(len <= c->peer.sent - r->end);
	MUST(len == 0 || memcmp(l->peer.got.at + l->opaque_at, c->peer.outbox.at + r->end, len) == 0);
}

/* One answer that a client got. */
static void check_answer(struct world *w, const struct client *c, const struct request *r,
        const struct strict *got, bool whole)
{
	bool interim = got->status < 200 && got->status != 101;
	unsigned id;
	const struct answer *a = answer_of(w, got, &id);

	MUST(r->m.minor == 1 || r->m.head == 0 || (!interim && got->kind != STRICT_CHUNKED));
	if (!a) {
		MUST(is_own_status(got->status) && !w->plain);
		return;
	}
	MUST(r->m.head > 0 && str_eq(a->tag, tag_of(&r->m)));
	if (interim) {
		MUST(got->status == 100 || got->status == 103);
		return;
	}
	MUST(!a->taken);
	w->answers[id].taken = true;
	check_final(w, a, id, got, whole);
	if (got->status == 101)
		check_tunnel(w, a, c, r);
}

static bool says_close(const struct strict *m)
{
	return strict_has_token(m, "connection", "close") || m->status == 101;
}

/* Where nothing went wrong every request has its answer, up to one that ends the connection. */
static void check_complete(const struct sent *sent, unsigned answers, bool closes)
{
	unsigned whole = 0;

	while (whole < sent->count && sent->requests[whole].verdict == STRICT_WHOLE)
		whole++;
	MUST(answers == whole || closes || whole == REQUESTS_MAX);
}

static void check_client(struct world *w, const struct client *c, const struct sent *sent)
{
	struct str got = bytes_str(&c->peer.got);
	bool at_end = c->peer.ended && !c->reset, closes = false;
	unsigned answers = 0;

	while (got.len > 0 && answers < REQUESTS_MAX) {
		struct strict m;
		bool known = answers < sent->count;
		const struct request *r = &sent->requests[known ? answers : 0];
		/* More empty lines than one are refused before what follows them is known. */
		bool to_head = known && r->m.empty_lines <= 1 && str_eq(r->m.method, STR("HEAD"));
		enum strict_verdict v = strict_response(&m, got, to_head, at_end);

		MUST(v != STRICT_BAD && !closes && m.lengths <= 1);
		if (m.head == 0)
			break; /* cut short in its head */
		MUST(known);
		check_answer(w, c, r, &m, v == STRICT_WHOLE);
		strict_free(&m);
		closes = m.status >= 101 && says_close(&m);
		if (v != STRICT_WHOLE)
			break;
		answers += m.status >= 200 || m.status == 101;
		got = (struct str){got.at + m.size, got.len - m.size};
	}
	if (w->plain)
		check_complete(sent, answers, closes);
}

void world_check(struct world *w)
{
	static struct sent all[CLIENTS_MAX];

	for (unsigned i = 0; i < w->client_count; i++)
		read_sent(&all[i], &w->clients[i]);
	for (unsigned i = 0; i < w->link_count; i++)
		check_link(w, &w->links[i], all);
	for (unsigned i = 0; i < w->client_count; i++)
		check_client(w, &w->clients[i], &all[i]);
	for (unsigned i = 0; i < w->client_count; i++)
		for (unsigned k = 0; k < all[i].count; k++)
			strict_free(&all[i].requests[k].m);
}
