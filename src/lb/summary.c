#include "lb/summary.h"

#include "base/diag.h"
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

static void log_server(struct balancer *b, struct upstream *u, struct server *s)
{
	uint64_t requests, failures;

	balancer_server_counts(b, u, s, &requests, &failures);
	if (requests > 0 || failures > 0 || server_state(s) != SERVER_ABSENT)
		diag_info("server %s of %s: %s, %llu requests, %llu failures, went down %u times", s->text,
		        u->name, server_state_name(server_state(s)), (unsigned long long)requests,
		        (unsigned long long)failures, standing_downs(u, s));
}

void summary_log(struct balancer *b)
{
	unsigned count;
	const struct counters *sets = engine_counters(b->engine, &count);
	struct lb *lb = balancer_pin(b);

	for (unsigned i = 0; i < lb->upstream_count; i++)
		for (unsigned k = 0; k < lb->upstreams[i].count; k++)
			log_server(b, &lb->upstreams[i], &lb->upstreams[i].servers[k]);
	balancer_unpin(b, lb);
	log_waits(sets, count);
	for (unsigned id = 0; id < COUNTER_COUNT; id++) {
		uint64_t sum = balancer_counter(b, (enum counter_id)id);

		if (sum > 0)
			diag_info("%s %llu", counter_name((enum counter_id)id), (unsigned long long)sum);
	}
}
