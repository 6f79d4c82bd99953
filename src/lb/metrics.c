#include "lb/metrics.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"

enum { NAME_BYTES = 96 };

/* Of metrics that are several counters. */
static const struct {
	const char *metric, *help;
} shared[] = {
        {"accept_failures", "accepts that failed"},
        {"parked_closed", "idle connections that were closed"},
        {"refusals", "requests and connections that were refused; reason: the word in the answer and in the "
                     "access log"},
        {"requests_ended", "requests that are over, each counted once"},
        {"requests", "requests that are over, each counted once"},
        {"responses", "answers by the class of their status"},
        {"failures", "exchanges that were cut short; reason: the word in the access log"},
        {"connects", "connects to servers"},
        {"state_changes", "times that a server went down or came up again"},
        {"lookups", "lookups of servers' names"},
};

const char *metrics_shared_help(const char *metric)
{
	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
		if (strcmp(shared[i].metric, metric) == 0)
			return shared[i].help;
	return NULL;
}

static void write_families(const struct metrics_view *v, const struct metrics_family *f, FILE *out)
{
	for (; f->name; f++) {
		prometheus_family(out, f->name, f->kind, f->help);
		f->write(v, f->name, out);
	}
}

/* Whether a counter before this one is of the same metric: then that one's family has it. */
static bool was_written(enum counter_id id)
{
	for (unsigned i = 0; i < (unsigned)id; i++)
		if (strcmp(counter_metric((enum counter_id)i), counter_metric(id)) == 0)
			return true;
	return false;
}

static void write_counter(const struct metrics_view *v, const char *name, enum counter_id id, FILE *out)
{
	uint64_t value = balancer_counter(v->control->balancer, id);

	if (id == COUNTER_busy_ns)
		prometheus_seconds(out, name, NULL, counter_label(id), value);
	else
		prometheus_number(out, name, NULL, counter_label(id), value);
}

static void write_counters(const struct metrics_view *v, FILE *out)
{
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		enum counter_id id = (enum counter_id)i;
		const char *metric = counter_metric(id);
		char name[NAME_BYTES];

		if (was_written(id))
			continue;
		MUST((size_t)snprintf(name, sizeof(name), "tplb_%s_total", metric) < sizeof(name));
		prometheus_family(out, name, PROMETHEUS_COUNTER,
		        counter_label(id)[0] ? metrics_shared_help(metric) : counter_help(id));
		for (unsigned k = i; k < COUNTER_COUNT; k++)
			if (strcmp(counter_metric((enum counter_id)k), metric) == 0)
				write_counter(v, name, (enum counter_id)k, out);
	}
}

/* All samples of one metric of a part; first: of its tallies. Returns the number of the next metric's first. */
static unsigned write_tally(
        const struct metrics_view *v, const struct metrics_part *part, unsigned first, FILE *out)
{
	const struct metrics_tally *t = &part->tallies[first];
	struct prometheus_label labels[3];
	const uint64_t *cells;
	char name[NAME_BYTES];
	unsigned end = first + 1;

	while (end < part->count && strcmp(part->tallies[end].metric, t->metric) == 0)
		end++;
	int len = snprintf(name, sizeof(name), "%s%s%s", part->prefix, t->metric, t->is_time ? "" : "_total");
	MUST((size_t)len < sizeof(name));
	prometheus_family(out, name, t->is_time ? PROMETHEUS_HISTOGRAM : PROMETHEUS_COUNTER,
	        t->label[0] ? metrics_shared_help(t->metric) : t->help);
	for (unsigned n = 0; part->nth(v, n, labels, &cells); n++) {
		if (t->is_time)
			prometheus_histogram(out, name, labels, &cells[t->cell]);
		for (unsigned i = first; !t->is_time && i < end; i++)
			prometheus_number(
			        out, name, labels, part->tallies[i].label, cells[part->tallies[i].cell]);
	}
	return end;
}

bool metrics_write(struct control *c, FILE *out)
{
	struct metrics_view v;

	if (!metrics_view_open(&v, c))
		return false;
	write_families(&v, metrics_of_program, out);
	write_counters(&v, out);
	write_families(&v, metrics_of_parts, out);
	for (const struct metrics_part *part = metrics_parts; part->prefix; part++)
		for (unsigned i = 0; i < part->count;)
			i = write_tally(&v, part, i, out);
	if (c->process)
		write_families(&v, metrics_of_process, out);
	metrics_view_close(&v);
	return !ferror(out);
}
