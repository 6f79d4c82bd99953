#include "obs/prometheus.h"

#include <inttypes.h>
#include <stdbool.h>

#include "base/clock.h"
#include "obs/histogram.h"

enum { LABEL_BYTES = 48 };

const char *prometheus_kind_name(enum prometheus_kind kind)
{
	static const char *const names[] = {[PROMETHEUS_COUNTER] = "counter",
	        [PROMETHEUS_GAUGE] = "gauge",
	        [PROMETHEUS_HISTOGRAM] = "histogram"};

	return names[kind];
}

void prometheus_family(FILE *out, const char *name, enum prometheus_kind kind, const char *help)
{
	fprintf(out, "# HELP %s ", name);
	for (; *help != '\0'; help++)
		if (*help == '\\')
			fputs("\\\\", out);
		else
			putc(*help, out);
	fprintf(out, "\n# TYPE %s %s\n", name, prometheus_kind_name(kind));
}

/* Bytes of the UTF-8 character at the front (RFC 3629 section 4); 0: there is none. */
static unsigned utf8_length(const unsigned char *p)
{
	unsigned n = p[0] < 0x80   ? 1
	             : p[0] < 0xC2 ? 0
	             : p[0] < 0xE0 ? 2
	             : p[0] < 0xF0 ? 3
	             : p[0] < 0xF5 ? 4
	                           : 0;

	for (unsigned i = 1; i < n; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F)) /* too long; a surrogate */
		return 0;
	if ((p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F))
		return 0;
	return n;
}

static void put_value(FILE *out, const char *value)
{
	const unsigned char *p = (const unsigned char *)value;

	while (*p != '\0') {
		unsigned n = utf8_length(p);

		if (*p == '\\' || *p == '"')
			fprintf(out, "\\%c", *p);
		else if (*p == '\n')
			fputs("\\n", out);
		else if (n == 0)
			fputs("\xEF\xBF\xBD", out);
		else
			fwrite(p, 1, n, out);
		p += n > 0 ? n : 1;
	}
}

/* "{a="b",c="d"}", or nothing. */
static void put_labels(FILE *out, const struct prometheus_label *labels, const char *more)
{
	char before = '{';

	for (; labels && labels->name; labels++, before = ',') {
		fprintf(out, "%c%s=\"", before, labels->name);
		put_value(out, labels->value);
		putc('"', out);
	}
	if (*more != '\0') {
		fprintf(out, "%c%s", before, more);
		before = ',';
	}
	if (before == ',')
		putc('}', out);
}

/* In seconds, without zeros at the end. */
static int format_seconds(uint64_t ns, char *text, size_t size)
{
	int len = snprintf(text, size, "%" PRIu64 ".%09" PRIu64, ns / CLOCK_NS_PER_S, ns % CLOCK_NS_PER_S);

	while (text[len - 1] == '0')
		text[--len] = '\0';
	if (text[len - 1] == '.')
		text[--len] = '\0';
	return len;
}

void prometheus_number(
        FILE *out, const char *name, const struct prometheus_label *labels, const char *more, uint64_t value)
{
	fputs(name, out);
	put_labels(out, labels, more);
	fprintf(out, " %" PRIu64 "\n", value);
}

void prometheus_seconds(
        FILE *out, const char *name, const struct prometheus_label *labels, const char *more, uint64_t ns)
{
	char text[LABEL_BYTES];

	format_seconds(ns, text, sizeof(text));
	fputs(name, out);
	put_labels(out, labels, more);
	fprintf(out, " %s\n", text);
}

void prometheus_histogram(
        FILE *out, const char *name, const struct prometheus_label *labels, const uint64_t *sums)
{
	char part[2 * LABEL_BYTES], bound[LABEL_BYTES], le[LABEL_BYTES + 8];
	uint64_t below = 0;

	snprintf(part, sizeof(part), "%s_bucket", name);
	for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
		below += sums[HISTOGRAM_BUCKETS + i];
		format_seconds((uint64_t)histogram_bounds[i], bound, sizeof(bound));
		snprintf(le, sizeof(le), "le=\"%s\"", bound);
		prometheus_number(out, part, labels, le, below);
	}
	below += sums[HISTOGRAM_BUCKETS + HISTOGRAM_BOUNDS];
	prometheus_number(out, part, labels, "le=\"+Inf\"", below);
	snprintf(part, sizeof(part), "%s_sum", name);
	prometheus_seconds(out, part, labels, "", sums[HISTOGRAM_SUM]);
	snprintf(part, sizeof(part), "%s_count", name);
	prometheus_number(out, part, labels, "", below);
}
