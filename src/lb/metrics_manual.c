/* The manual's list of metrics. */
#include <ctype.h>
#include <string.h>

#include "conf/conf.h"
#include "lb/metrics.h"

/* "Counter." and the help as a sentence. */
static void put_help(enum prometheus_kind kind, const char *help, FILE *out)
{
	const char *name = prometheus_kind_name(kind);

	fprintf(out, "%c%s:\n", toupper((unsigned char)name[0]), name + 1);
	conf_print_text(help, out);
	fputs(".\n", out);
}

static void put_head(const char *name, const char *labels, FILE *out)
{
	fprintf(out, ".It Ic %s", name);
	if (labels[0])
		fprintf(out, " Ns Brq %s", labels);
	putc('\n', out);
}

static void put_families(const struct metrics_family *f, FILE *out)
{
	for (; f->name; f++) {
		put_head(f->name, f->labels, out);
		put_help(f->kind, f->help, out);
	}
}

/* The name of a label that is written as name="value". */
static void name_of(const char *label, char out[32])
{
	snprintf(out, 32, "%.*s", (int)strcspn(label, "="), label);
}

/* What one value of a label means. */
static void put_label(const char *label, const char *help, FILE *out)
{
	const char *value = strchr(label, '"') + 1;

	fprintf(out, ".It Li %.*s\n", (int)strcspn(value, "\""), value);
	conf_print_text(help, out);
	putc('\n', out);
}

static void begin_labels(FILE *out)
{
	fputs(".Bl -tag -width client_connections -compact\n", out);
}

static bool is_first(enum counter_id id)
{
	for (unsigned i = 0; i < (unsigned)id; i++)
		if (strcmp(counter_metric((enum counter_id)i), counter_metric(id)) == 0)
			return false;
	return true;
}

static void put_counter(enum counter_id id, FILE *out)
{
	const char *metric = counter_metric(id), *label = counter_label(id);
	char name[96], labels[32];

	snprintf(name, sizeof(name), "tplb_%s_total", metric);
	name_of(label, labels);
	put_head(name, labels, out);
	put_help(PROMETHEUS_COUNTER, label[0] ? metrics_shared_help(metric) : counter_help(id), out);
	if (label[0] == '\0')
		return;
	begin_labels(out);
	for (unsigned i = (unsigned)id; i < COUNTER_COUNT; i++)
		if (strcmp(counter_metric((enum counter_id)i), metric) == 0)
			put_label(counter_label((enum counter_id)i), counter_help((enum counter_id)i), out);
	fputs(".El\n", out);
}

/* Returns the number of the next metric's first tally. */
static unsigned put_tally(const struct metrics_part *part, unsigned first, FILE *out)
{
	const struct metrics_tally *t = &part->tallies[first];
	char name[96], own[32], labels[96];
	unsigned end = first;

	name_of(t->label, own);
	snprintf(name, sizeof(name), "%s%s%s", part->prefix, t->metric, t->is_time ? "" : "_total");
	snprintf(labels, sizeof(labels), "%s%s%s", part->labels, own[0] ? ", " : "", own);
	put_head(name, labels, out);
	put_help(t->is_time ? PROMETHEUS_HISTOGRAM : PROMETHEUS_COUNTER,
	        own[0] ? metrics_shared_help(t->metric) : t->help, out);
	if (own[0])
		begin_labels(out);
	for (; end < part->count && strcmp(part->tallies[end].metric, t->metric) == 0; end++)
		if (own[0])
			put_label(part->tallies[end].label, part->tallies[end].help, out);
	if (own[0])
		fputs(".El\n", out);
	return end;
}

static void begin_list(const char *title, FILE *out)
{
	fprintf(out, ".Ss %s\n.Bl -tag -width Ds\n", title);
}

void metrics_print_manual(FILE *out)
{
	begin_list("The program", out);
	put_families(metrics_of_program, out);
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		if (is_first((enum counter_id)i))
			put_counter((enum counter_id)i, out);
	fputs(".El\n", out);
	begin_list("Listeners, upstreams and servers", out);
	put_families(metrics_of_parts, out);
	for (const struct metrics_part *part = metrics_parts; part->prefix; part++)
		for (unsigned i = 0; i < part->count;)
			i = put_tally(part, i, out);
	fputs(".El\n", out);
	begin_list("The process", out);
	put_families(metrics_of_process, out);
	fputs(".El\n", out);
}
