/* Servers that answer as the script has planned: each answer says which request it is for and which answer it is. */
#include "strict.h"
#include "world.h"

/* What is longer is not looked at with each byte that comes, but once nothing more does. */
enum { OFTEN_BYTES = 2048 };

static void add_number(struct bytes *out, unsigned id, const struct answer *a)
{
	bytes_printf(out, "X-Answer: %u\r\nX-Tag: %.*s\r\n", id, STR_ARG(a->tag));
}

static void add_pattern(struct bytes *out, unsigned id, size_t from, size_t n)
{
	for (size_t i = from; i < from + n; i++) {
		char c = body_byte(id, i);

		bytes_add(out, (struct str){&c, 1});
	}
}

static bool has_body(const struct answer *a)
{
	return !a->to_head && a->plan.status != 204 && a->plan.status != 304;
}

static void add_chunked(struct bytes *out, unsigned id, const struct plan *p)
{
	for (size_t at = 0; at < p->size;) {
		size_t n = p->size - at < p->chunk ? p->size - at : p->chunk;

		bytes_printf(out, "%zx\r\n", n);
		add_pattern(out, id, at, n);
		at += n;
		bytes_printf(out, p->framing == BY_BAD_CHUNK && at == p->size ? "x" : "\r\n");
	}
	bytes_printf(out, p->framing == BY_BAD_CHUNK ? "-0\r\n\r\n" : "0\r\n\r\n");
}

/* How much of the body is among the bytes before the cut. */
static size_t body_before(const struct plan *p, size_t head, size_t len)
{
	size_t at = p->cut_at < head ? 0 : p->cut_at - head;

	return p->framing == BY_CHUNKS || p->framing == BY_BAD_CHUNK ? 0 : at < len ? at : len;
}

static void add_interims(struct bytes *out, unsigned id, const struct answer *a)
{
	for (unsigned i = 0; i < a->plan.interims; i++) {
		bytes_printf(out, "HTTP/1.1 10%u x\r\n", i == 0 ? 0 : 3);
		add_number(out, id, a);
		bytes_printf(out, "\r\n");
	}
}

static void add_head(struct bytes *out, unsigned id, const struct answer *a)
{
	const struct plan *p = &a->plan;

	bytes_printf(out, "HTTP/1.%d %u r\r\n", !p->http10, p->status);
	add_number(out, id, a);
	if (p->says_close)
		bytes_printf(out, "Connection: close\r\n");
	if (p->status == 101)
		bytes_printf(out, "Connection: upgrade\r\nUpgrade: ws\r\n");
	else if (p->framing == BY_LENGTH || p->framing == BY_BOTH)
		bytes_printf(out, "Content-Length: %u\r\n", p->size);
	if (p->framing == BY_BAD_LENGTH)
		bytes_printf(out, "Content-Length: -%u\r\n", p->size);
	if (p->status != 101 &&
	        (p->framing == BY_CHUNKS || p->framing == BY_BAD_CHUNK || p->framing == BY_BOTH))
		bytes_printf(out, "Transfer-Encoding: chunked\r\n");
	bytes_printf(out, "\r\n");
}

/* Writes the answer behind what the outbox holds, and decides what comes after it. */
static void compose(struct link *l, unsigned id, struct answer *a)
{
	struct bytes *out = &l->peer.outbox;
	const struct plan *p = &a->plan;

	add_interims(out, id, a);
	size_t start = out->len;
	add_head(out, id, a);
	size_t head = out->len - start;
	a->body = has_body(a) ? p->size : 0;
	if (!has_body(a))
		;
	else if (p->status != 101 && (p->framing == BY_CHUNKS || p->framing == BY_BAD_CHUNK))
		add_chunked(out, id, p);
	else
		add_pattern(out, id, 0, p->size);
	a->end = out->len;
	a->is_whole = true;
	l->stray_at = p->stray ? a->end : SIZE_MAX;
	if (p->stray)
		bytes_printf(out, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Tag: stray\r\n\r\n");
	if (p->cut != CUT_NOT && start + p->cut_at < out->len) {
		out->len = start + p->cut_at;
		l->close_at = out->len;
		a->is_whole = out->len >= a->end;
		if (!a->is_whole && has_body(a))
			a->body = body_before(p, head, p->size);
		if (a->end > out->len)
			a->end = out->len;
	} else if (p->framing == BY_END || p->says_close || p->http10 || p->status == 101) {
		l->close_at = out->len;
	}
	l->plan = *p;
	if (l->close_at != SIZE_MAX && p->cut == CUT_NOT)
		l->plan.cut = CUT_CLOSE;
}

/* The answer to the request, which has begun. */
static void begin_answer(struct world *w, struct link *l, const struct strict *request)
{
	static const struct plan simple = {.status = 200, .framing = BY_LENGTH, .size = 5};
	const struct strict_field *tag = strict_find(request, "x-tag");
	unsigned id = w->answer_count;

	l->answered = true;
	if (id == ANSWERS_MAX) {
		w->plain = false;
		return;
	}
	struct answer *a = &w->answers[w->answer_count++];
	*a = (struct answer){
	        .link = (unsigned)(l - w->links), .to_head = str_eq(request->method, STR("HEAD"))};
	if (tag && tag->value.len < sizeof(a->tag_text)) {
		memcpy(a->tag_text, tag->value.at, tag->value.len);
		a->tag = (struct str){a->tag_text, tag->value.len};
	} else {
		a->tag = STR("none");
	}
	a->plan = w->plan_first < w->plan_last ? w->plans[w->plan_first++] : simple;
	compose(l, id, a);
	if (a->plan.status == 101) {
		l->opaque = true;
		l->opaque_at = l->parsed + request->start + request->head;
	}
}

void link_unasked(struct world *w, struct link *l)
{
	(void)peer_receive(&l->peer);
	if (w->answer_count == ANSWERS_MAX || l->close_at != SIZE_MAX || w->amid || l->peer.deaf ||
	        l->peer.got.len == 0 || l->parsed < l->peer.got.len)
		return;
	struct answer *a = &w->answers[w->answer_count++];
	*a = (struct answer){.link = (unsigned)(l - w->links), .tag = STR("unasked")};
	a->plan = (struct plan){.status = 200, .framing = BY_LENGTH, .size = 3};
	compose(l, w->answer_count - 1, a);
	/* At once: what comes after the next request looks like its answer. */
	(void)peer_send(&l->peer, 0);
}

/* Answers what can be answered. */
static void serve(struct world *w, struct link *l)
{
	while (!l->opaque && l->close_at == SIZE_MAX && l->parsed < l->peer.got.len) {
		struct str rest = {l->peer.got.at + l->parsed, l->peer.got.len - l->parsed};
		struct strict request;
		enum strict_verdict v = strict_request(&request, rest);
		bool early = w->plan_first < w->plan_last && w->plans[w->plan_first].early;

		strict_free(&request);
		if (v == STRICT_BAD) /* world_check says so too, in the end */
			return;
		if (!l->answered && (v == STRICT_WHOLE || (early && request.head > 0)))
			begin_answer(w, l, &request);
		if (v == STRICT_MORE || l->opaque)
			return;
		l->parsed += request.size;
		l->answered = false;
	}
}

/* What nobody asked for comes with the answer or not at all: later it could not be told from the answer to the next request. */
static void drop_stray(struct link *l)
{
	if (l->peer.sent < l->stray_at)
		return;
	l->peer.outbox.len = l->peer.sent;
	l->stray_at = SIZE_MAX;
	if (l->close_at != SIZE_MAX)
		l->close_at = l->peer.sent;
}

/* After the last byte that it sends. */
static void end_link(struct link *l)
{
	switch (l->plan.cut) {
	case CUT_CLOSE:
		peer_finish(&l->peer);
		break;
	case CUT_RESET:
		peer_close(&l->peer);
		break;
	case CUT_NOT:
	case CUT_SILENT:
	case CUTS:
		break;
	}
}

bool link_step(struct world *w, struct link *l)
{
	bool moved = peer_receive(&l->peer);

	l->quiet = moved ? 0 : l->quiet + 1;
	if (l->quiet > 1 || (!moved && l->peer.got.len < OFTEN_BYTES))
		serve(w, l);
	moved |= l->quiet <= 1 && l->peer.fd >= 0; /* there will be another look */
	moved |= peer_send(&l->peer, l->plan.segment);
	drop_stray(l);
	if (l->peer.fd >= 0 && l->peer.sent == l->peer.outbox.len && l->peer.sent == l->close_at &&
	        !l->peer.finished) {
		end_link(l);
		moved |= l->plan.cut != CUT_SILENT;
	}
	if (l->peer.ended && l->peer.fd >= 0) {
		peer_close(&l->peer);
		moved = true;
	}
	return moved;
}
