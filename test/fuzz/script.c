/* A script's steps: each a byte that says what, a byte that says who, and more for what takes more. */
#include "world.h"

#include <ctype.h>

#include "base/clock.h"
#include "made_up_clock.h"

enum { RAW_MAX = 64 };

static const char *const methods[] = {"GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH", "BREW"};

/* 0 to 249 as it is, then more than a socket's buffer: few bodies are large, and none where each byte goes by itself. */
static unsigned size_of(const struct world *w, unsigned byte)
{
	return byte < 250 || w->limit == 1 ? byte : (byte - 249) * 3000;
}

/* No more than some fifty. */
static unsigned chunk_of(unsigned byte, unsigned size)
{
	return 1 + byte + size / 50;
}

static void add_body(struct bytes *out, unsigned id, size_t from, size_t to)
{
	for (; from < to; from++) {
		char c = body_byte(id, from);

		bytes_add(out, (struct str){&c, 1});
	}
}

static void add_chunks(struct bytes *out, unsigned id, unsigned size, unsigned chunk, bool trailer)
{
	for (unsigned at = 0; at < size; at += chunk) {
		unsigned n = size - at < chunk ? size - at : chunk;

		bytes_printf(out, trailer ? "%x;a=b\r\n" : "%X\r\n", n);
		add_body(out, id, at, at + n);
		bytes_printf(out, "\r\n");
	}
	bytes_printf(out, trailer ? "0\r\nX-Trailer: t\r\n\r\n" : "0\r\n\r\n");
}

/* A request that is well formed, with a tag of its own. */
static void add_request(struct world *w, unsigned who)
{
	struct client *c = &w->clients[who];
	struct bytes *out = &c->peer.outbox;
	unsigned method = input_byte(&w->script), flags = input_byte(&w->script);
	unsigned size = size_of(w, input_byte(&w->script)), chunk = chunk_of(input_byte(&w->script), size);
	bool http10 = flags & 1, chunked = (flags & 48) == 32 && !http10;

	bytes_printf(out, "%s %s/%u?q HTTP/1.%d\r\n", methods[method % 8], flags & 2 ? "http://a.b:80" : "",
	        c->requests, !http10);
	bytes_printf(out, "Host: h%u\r\nX-Tag: %u.%u\r\nAccept: */*\r\n", who, who, c->requests);
	if (flags & 4)
		bytes_printf(out, "Connection: close, X-Gone\r\nX-Gone: 1\r\n");
	else if (flags & 8)
		bytes_printf(out, "Connection: keep-alive\r\nKeep-Alive: 5\r\n");
	if (flags & 64)
		bytes_printf(out, "Expect: 100-continue\r\n");
	if (flags & 128)
		bytes_printf(out, "Upgrade: ws\r\nConnection: Upgrade\r\n");
	if (chunked) {
		bytes_printf(out, "Transfer-Encoding: chunked\r\n\r\n");
		add_chunks(out, c->requests, size, chunk, method & 128);
	} else if (flags & 16) {
		bytes_printf(out, "Content-Length: %u\r\n%s\r\n", size,
		        method & 128 ? "Content-Length: 0\r\n" : "");
		add_body(out, c->requests, 0, size);
	} else {
		bytes_printf(out, "\r\n");
	}
	w->plain &= (flags & (64 | 128)) == 0 && !(flags & 16 && method & 128 && size > 0) && size < 4096;
	c->requests++;
}

/* Anything; but nobody else gives tags. */
static void add_raw(struct world *w, unsigned who)
{
	unsigned len = input_byte(&w->script) % RAW_MAX;
	struct str raw = input_bytes(&w->script, len);

	for (size_t i = 0; i + 2 < raw.len; i++)
		if (tolower(raw.at[i]) == 'x' && raw.at[i + 1] == '-')
			return;
	bytes_add(&w->clients[who].peer.outbox, raw);
	w->plain = false;
}

static void add_plan(struct world *w)
{
	static const unsigned statuses[] = {200, 404, 500, 204, 304, 206, 301, 101, 599, 200, 200, 200};
	unsigned status = input_byte(&w->script), framing = input_byte(&w->script);
	unsigned size = size_of(w, input_byte(&w->script)), cut = input_byte(&w->script);
	struct plan p = {.status = statuses[status % 12],
	        .interims = status / 12 % 4,
	        .framing = framing % 8 < FRAMINGS ? (enum plan_framing)(framing % 8) : BY_LENGTH,
	        .http10 = framing & 8,
	        .says_close = framing & 16,
	        .early = framing & 32,
	        .stray = framing & 64,
	        .size = size};

	if (cut >= 64) {
		p.cut = cut % CUTS;
		p.cut_at = input_below(&w->script, size + 200);
	}
	p.chunk = chunk_of(input_byte(&w->script), size);
	p.segment = framing & 128 ? 1 + input_byte(&w->script) : 0;
	if (p.http10 && p.framing == BY_CHUNKS)
		p.framing = BY_END;
	p.stray &= p.framing != BY_END && p.status != 101; /* it would be a part of it */
	w->plain &= p.status != 101 && p.framing <= BY_END && !p.early && !p.stray && p.cut == CUT_NOT;
	if (w->plan_last < ANSWERS_MAX)
		w->plans[w->plan_last++] = p;
}

static void step_link(struct world *w, unsigned who, unsigned what)
{
	if (w->link_count == 0)
		return;
	struct link *l = &w->links[who % w->link_count];
	switch (what % 8) {
	case 0:
		w->plain = false;
		peer_finish(&l->peer);
		break;
	case 1:
		w->plain = false;
		peer_close(&l->peer);
		break;
	case 2:
		w->plain = false;
		link_unasked(w, l);
		break;
	case 3:
		l->peer.deaf = !l->peer.deaf;
		break;
	default:
		(void)link_step(w, l);
	}
}

static void step_client(struct world *w, struct client *c, unsigned what)
{
	switch (what % 8) {
	case 0:
		peer_finish(&c->peer);
		w->plain = false;
		break;
	case 1:
		peer_close(&c->peer);
		w->plain = false;
		break;
	case 2:
		c->peer.deaf = !c->peer.deaf;
		break;
	default:
		(void)peer_receive(&c->peer);
	}
}

static void pass_time(struct world *w, unsigned what)
{
	static const int64_t steps[] = {CLOCK_NS_PER_MS, 100 * CLOCK_NS_PER_MS, CLOCK_NS_PER_S + 1,
	        10 * CLOCK_NS_PER_S, 61 * CLOCK_NS_PER_S};

	made_up_now += steps[what % 5];
	w->plain &= what % 5 == 0;
}

void script_step(struct world *w)
{
	unsigned what = input_byte(&w->script), who = input_byte(&w->script);
	struct client *c = &w->clients[who % w->client_count];

	switch (what % 12) {
	case 0:
	case 1:
		add_request(w, who % w->client_count);
		if (what & 128)
			(void)peer_send(&c->peer, 0);
		break;
	case 2:
		add_raw(w, who % w->client_count);
		break;
	case 3:
	case 4:
		(void)peer_send(&c->peer, input_byte(&w->script));
		break;
	case 5:
	case 6:
		add_plan(w);
		break;
	case 7:
		step_client(w, c, input_byte(&w->script));
		break;
	case 8:
	case 9:
		step_link(w, who, input_byte(&w->script));
		break;
	case 10:
		pass_time(w, who);
		break;
	default:
		w->refuses[who % SERVERS] = !w->refuses[who % SERVERS];
		w->plain = false;
	}
}
