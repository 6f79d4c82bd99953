#include "engine/look.h"

#include "engine/lot.h"

/* False: there is no connection in it, or not any more. */
static bool read_card(const struct conn *c, struct seen *out)
{
	const struct conn_card *card = &c->card;

	out->generation = atomic_load_explicit(&c->generation, memory_order_acquire);
	out->at = (enum conn_at)atomic_load_explicit(&c->at, memory_order_acquire);
	if (out->at == CONN_AT_NOTHING || atomic_load_explicit(&c->state, memory_order_acquire) == CONN_FREE)
		return false;
	out->peer = conn_shown_peer(c);
	out->listener = atomic_load_explicit(&card->listener, memory_order_acquire);
	out->accepted_at = atomic_load_explicit(&card->accepted_at, memory_order_acquire);
	out->requests = atomic_load_explicit(&c->requests, memory_order_acquire);
	out->doing = atomic_load_explicit(&c->doing, memory_order_relaxed);
	bool parked = out->at == CONN_AT_NEXT || out->at == CONN_AT_HEAD;
	out->since = parked ? atomic_load_explicit(&c->parked_at, memory_order_acquire)
	                    : atomic_load_explicit(&c->queued_at, memory_order_acquire);
	return atomic_load_explicit(&c->generation, memory_order_relaxed) == out->generation;
}

bool engine_look(const struct engine *e, struct look *look, struct seen *out)
{
	const struct lot *lot;

	while ((lot = engine_lot(e, look->lot)) != NULL) {
		unsigned made = conn_table_made(&lot->table);

		while (look->index < made) {
			out->lot = look->lot;
			out->index = look->index++;
			if (read_card(conn_table_at(&lot->table, out->index), out))
				return true;
		}
		look->lot++;
		look->index = 0;
	}
	return false;
}
