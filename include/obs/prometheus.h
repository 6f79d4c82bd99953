/*
 * Prometheus' text format 0.0.4 (prometheus.io, "Exposition formats"): a family is its HELP and TYPE, then its samples, one a set of labels. Base units: seconds, bytes.
 */
#ifndef TPLB_OBS_PROMETHEUS_H
#define TPLB_OBS_PROMETHEUS_H

#include <stdint.h>
#include <stdio.h>

enum prometheus_kind { PROMETHEUS_COUNTER, PROMETHEUS_GAUGE, PROMETHEUS_HISTOGRAM };

/* "counter", "gauge", "histogram". */
const char *prometheus_kind_name(enum prometheus_kind kind);

/* What each sample of a family says; ended by a row whose name is NULL. Values are any bytes: what is no UTF-8 becomes U+FFFD. */
struct prometheus_label {
	const char *name, *value;
};

/* A family begins. The help is one line. */
void prometheus_family(FILE *out, const char *name, enum prometheus_kind kind, const char *help);

/* A sample of it. labels: NULL is allowed. more: a further label, written as it stands, such as "code=\"2xx\""; "": none. */
void prometheus_number(
        FILE *out, const char *name, const struct prometheus_label *labels, const char *more, uint64_t value);
/* The same for a time in ns, in seconds. */
void prometheus_seconds(
        FILE *out, const char *name, const struct prometheus_label *labels, const char *more, uint64_t ns);

/* All samples of one histogram: HISTOGRAM_CELLS sums (obs/histogram.h). */
void prometheus_histogram(
        FILE *out, const char *name, const struct prometheus_label *labels, const uint64_t *sums);

#endif
