#include "lb/reload_answer.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/str.h"

#define LOOK_NS (20 * CLOCK_NS_PER_MS)

struct reload_answer {
	struct answer_feed feed; /* first */
	struct control *control;
	int64_t wait; /* ns */
	bool taken_in;
	uint64_t replaced; /* then: the number of the snapshot whose end is waited for */
	int64_t until;
};

/* False: nothing is to be waited for. */
static bool take_in(struct reload_answer *r, FILE *out, char why[ANSWER_WHY_BYTES])
{
	r->taken_in = control_reload(r->control, out, &r->replaced);
	if (!r->taken_in)
		snprintf(why, ANSWER_WHY_BYTES,
		        "nothing was taken in; the lines above say why, `tplb -t` checks a file");
	r->until = clock_now() + r->wait;
	return r->taken_in && r->replaced > 0;
}

static void tell_end(const struct balancer_end *end, FILE *out)
{
	char text[BALANCER_END_BYTES];

	if (end->number == 0) {
		fputs("reload: the configuration before is over; `show events` tells what was lost\n", out);
		return;
	}
	balancer_end_text(end, text);
	fprintf(out, "%s\n", text);
}

/* What is not over. */
static void tell_rest(uint64_t under_way, bool ends, FILE *out)
{
	if (under_way > 0)
		fprintf(out, "reload: %" PRIu64 " requests of before go on still; ", under_way);
	else
		fputs("reload: no request of before goes on, but a probe or a connection does; ", out);
	fputs(ends ? "tplb is about to end\n" : "`show events` tells once they have ended\n", out);
}

/* False: it is over, or was waited for long enough, or tplb is to end first; what is to be said about it is. */
static bool wait_for_end(struct reload_answer *r, FILE *out)
{
	struct balancer_end end;
	uint64_t under_way = 0;

	if (balancer_is_over(r->control->balancer, r->replaced, &end, &under_way)) {
		tell_end(&end, out);
		return false;
	}
	bool ends = engine_is_draining(r->control->engine);
	if (!ends && clock_now() < r->until)
		return true;
	if (r->wait > 0)
		tell_rest(under_way, ends, out);
	return false;
}

static bool next(struct answer_feed *f, FILE *out, int64_t *at, char why[ANSWER_WHY_BYTES])
{
	struct reload_answer *r = (struct reload_answer *)f;

	if (!r->taken_in && !take_in(r, out, why))
		return false;
	if (!wait_for_end(r, out))
		return false;
	*at = clock_now() + LOOK_NS;
	return true;
}

static void end(struct answer_feed *f)
{
	free(f);
}

struct answer_feed *reload_begin(void *arg, char *const *words, bool as_json, char why[ANSWER_WHY_BYTES])
{
	long long seconds = RELOAD_WAIT_S;

	(void)as_json;
	if (words[0] && (!str_to_uint63(str_of(words[0]), &seconds) || seconds > RELOAD_WAIT_MAX_S)) {
		snprintf(why, ANSWER_WHY_BYTES,
		        "a reload waits a whole number of seconds from 0 to %d for what began before, not "
		        "\"%.100s\"",
		        RELOAD_WAIT_MAX_S, words[0]);
		return NULL;
	}
	struct reload_answer *r = calloc(1, sizeof(*r));
	if (!r) {
		snprintf(why, ANSWER_WHY_BYTES, "out of memory; ask again later");
		return NULL;
	}
	r->feed = (struct answer_feed){.next = next, .end = end, .has_lines = true};
	r->control = arg;
	r->wait = seconds * CLOCK_NS_PER_S;
	return &r->feed;
}
