#include "lb/summary.h"

#include "base/diag.h"
#include "lb/health.h"
#include "lb/standing.h"
#include "obs/log.h"
#include "obs/waits.h"

/* The time between dispatch and worker. */
static void log_waits(const struct counters *sets, unsigned count)
{
	struct waits_total w = counters_waits(sets, count);

	if (w.count > 0)
		diag_info(
		        "queue wait: count %llu, mean %lluus, p50 %lluus, p90 %lluus, p99 %lluus, max %lluus",
		        (unsigned long long)w.count, (unsigned long long)(w.sum / w.count),
		        (unsigned long long)waits_percentile(&w, 50),
		        (unsigned long long)waits_percentile(&w, 90),
		        (unsigned long long)waits_percentile(&w, 99), (unsigned long long)w.max);
}

static void log_server(struct lb *lb, struct upstream *u, struct server *s)
{
	unsigned long long requests = lb_server_requests(lb, s->index);
	unsigned long long failures = lb_server_failures(lb, s->index);

	if (requests > 0 || failures > 0 || server_state(s) != SERVER_ABSENT)
		diag_info("server %s of %s: %s, %llu requests, %llu failures, went down %u times", s->text,
		        u->name, server_state_name(server_state(s)), requests, failures,
		        standing_downs(u, s));
}

uint64_t summary_counter(
        const struct lb *lb, const struct engine *engine, const struct resolver *resolver, enum counter_id id)
{
	unsigned count;
	const struct counters *sets = engine_counters(engine, &count);
	uint64_t sum = counters_sum(sets, count, id) + counters_sum(health_counters(lb->health), 1, id);

	if (id == COUNTER_log_lost && lb->log)
		sum += log_lost(lb->log);
	return resolver ? sum + counters_sum(resolver_counters(resolver), 1, id) : sum;
}

void summary_log(struct lb *lb, const struct engine *engine, const struct resolver *resolver)
{
	unsigned count;
	const struct counters *sets = engine_counters(engine, &count);

	for (unsigned i = 0; i < lb->upstream_count; i++)
		for (unsigned k = 0; k < lb->upstreams[i].count; k++)
			log_server(lb, &lb->upstreams[i], &lb->upstreams[i].servers[k]);
	log_waits(sets, count);
	for (unsigned id = 0; id < COUNTER_COUNT; id++) {
		uint64_t sum = summary_counter(lb, engine, resolver, (enum counter_id)id);

		if (sum > 0)
			diag_info("%s %llu", counter_name((enum counter_id)id), (unsigned long long)sum);
	}
}
