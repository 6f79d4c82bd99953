#include "obs/counters.h"

#include "base/sparse.h"

struct counters *counters_new(unsigned n)
{
	return sparse_new(n, sizeof(struct counters));
}

void counters_free(struct counters *sets, unsigned n)
{
	sparse_free(sets, n, sizeof(struct counters));
}

const char *counter_name(enum counter_id id)
{
	static const char *const names[] = {
#define COUNTER_NAME(name, metric, label, help) #name,
	        COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
	};

	return names[id];
}

const char *counter_help(enum counter_id id)
{
	static const char *const helps[] = {
#define COUNTER_HELP(name, metric, label, help) help,
	        COUNTERS(COUNTER_HELP)
#undef COUNTER_HELP
	};

	return helps[id];
}

const char *counter_metric(enum counter_id id)
{
	static const char *const metrics[] = {
#define COUNTER_METRIC(name, metric, label, help) metric,
	        COUNTERS(COUNTER_METRIC)
#undef COUNTER_METRIC
	};

	return metrics[id];
}

const char *counter_label(enum counter_id id)
{
	static const char *const labels[] = {
#define COUNTER_LABEL(name, metric, label, help) label,
	        COUNTERS(COUNTER_LABEL)
#undef COUNTER_LABEL
	};

	return labels[id];
}

void counters_times(const struct counters *sets, unsigned n, uint64_t *queue_wait, uint64_t *service)
{
	for (unsigned i = 0; i < HISTOGRAM_CELLS; i++)
		queue_wait[i] = service[i] = 0;
	for (unsigned i = 0; i < n; i++) {
		cells_sum(queue_wait, sets[i].queue_wait, HISTOGRAM_CELLS);
		cells_sum(service, sets[i].service, HISTOGRAM_CELLS);
	}
}

uint64_t counters_sum(const struct counters *sets, unsigned n, enum counter_id id)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += atomic_load_explicit(&sets[i].value[id], memory_order_relaxed);
	return sum;
}

struct waits_total counters_waits(const struct counters *sets, unsigned n)
{
	struct waits_total total = {0};

	for (unsigned i = 0; i < n; i++)
		waits_add(&total, &sets[i].waits);
	return total;
}
