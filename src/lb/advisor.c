#include "lb/advisor.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/diag.h"
#include "ctl/render.h"
#include "lb/config.h"

#define STRETCH_NS (10 * CLOCK_NS_PER_S)
/* What lasts for less says little, unless there is nothing else. */
#define STRETCH_LEAST_NS CLOCK_NS_PER_S

static int64_t cpu_time(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* there since Linux 2.6.12 */
	return t.tv_sec * CLOCK_NS_PER_S + t.tv_nsec;
}

static void count(const struct engine *e, struct advisor_counts *now)
{
	unsigned n;
	const struct counters *sets = engine_counters(e, &n);

	now->at = clock_now();
	now->cpu = cpu_time();
	now->dispatched = counters_sum(sets, n, COUNTER_dispatched);
	now->refused = counters_sum(sets, n, COUNTER_refused_queue_full) +
	               counters_sum(sets, n, COUNTER_refused_queue_timeout) +
	               counters_sum(sets, n, COUNTER_refused_shed);
	now->bursts = counters_sum(sets, n, COUNTER_bursts);
	now->busy = counters_sum(sets, n, COUNTER_busy_ns);
	now->waits = counters_waits(sets, n);
}

/* Those of the stretch alone; `max` is of the whole run, and no more than a bound. */
static struct waits_total waits_between(const struct waits_total *before, const struct waits_total *now)
{
	struct waits_total between = {
	        .count = now->count - before->count, .sum = now->sum - before->sum, .max = now->max};

	for (unsigned i = 0; i < WAITS_BUCKETS; i++)
		between.buckets[i] = now->buckets[i] - before->buckets[i];
	return between;
}

static struct advise_input input_of(const struct advisor *a, const struct advisor_counts *now)
{
	const struct advisor_counts *before = &a->before;
	struct waits_total waits = waits_between(&before->waits, &now->waits);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return (struct advise_input){.interval = now->at - before->at,
	        .dispatched = now->dispatched - before->dispatched,
	        .refused = now->refused - before->refused,
	        .bursts = now->bursts - before->bursts,
	        .busy = (int64_t)(now->busy - before->busy),
	        .wait_mean = waits.count > 0 ? (int64_t)(waits.sum / waits.count) * CLOCK_NS_PER_US : 0,
	        .wait_p99 = (int64_t)waits_percentile(&waits, 99) * CLOCK_NS_PER_US,
	        .cpu = now->cpu - before->cpu,
	        .target = a->target,
	        .cores = cores > 0 ? (unsigned)cores : 1,
	        .burst = a->burst,
	        .workers = engine_workers(a->engine),
	        .workers_most = LB_WORKERS_MAX};
}

void advisor_init(struct advisor *a, struct engine *engine, int64_t target, unsigned burst)
{
	*a = (struct advisor){.engine = engine, .target = target, .burst = burst};
	count(engine, &a->before);
}

int64_t advisor_next_look(const struct advisor *a)
{
	return engine_workers(a->engine) > 0 ? a->before.at + STRETCH_NS : CLOCK_NEVER;
}

/* A burst's time counts where it ends. Where that is more than the workers had, long ones began before the stretch. */
static bool began_before(const struct advise_input *in)
{
	return (double)in->busy > 1.05 * (double)in->interval * in->workers;
}

void advisor_look(struct advisor *a)
{
	struct advisor_counts now;

	if (engine_workers(a->engine) == 0)
		return;
	count(a->engine, &now);
	struct advise_input in = input_of(a, &now);
	a->before = now;
	/* From fewer nothing would follow, and their load is chance. */
	if (in.dispatched < ADVISE_REQUESTS_MIN || in.bursts == 0 || in.interval <= 0 ||
	        (a->seen && in.interval < STRETCH_LEAST_NS) || began_before(&in))
		return;
	double load = (double)(in.dispatched + in.refused) * (double)in.busy /
	              ((double)in.bursts * (double)in.interval);
	if (a->seen && load <= a->load)
		return;
	a->seen = true;
	a->load = load;
	a->busiest = in;
}

void advisor_tell(struct advisor *a)
{
	struct advice advice = {0};
	char *rest = NULL;

	if (a->seen)
		advise(&a->busiest, &advice);
	a->seen = false;
	if (advice.workers == 0)
		return;
	diag_info("advice: in the busiest %.3g s there were",
	        (double)a->busiest.interval / (double)CLOCK_NS_PER_S);
	for (char *line = strtok_r(advice.text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		diag_info("advice: %s", line);
}

/* False: there were too few requests. */
static bool advise_now(struct advisor *a, struct advice *advice)
{
	*advice = (struct advice){0};
	if (clock_now() - a->before.at >= STRETCH_LEAST_NS) /* a shorter one would be lost */
		advisor_look(a);
	if (a->seen)
		advise(&a->busiest, advice);
	return advice->workers > 0;
}

bool advisor_print(struct advisor *a, FILE *out)
{
	struct advice advice;

	if (!advise_now(a, &advice))
		return false;
	fprintf(out, "in the busiest %.3g s there were\n%s",
	        (double)a->busiest.interval / (double)CLOCK_NS_PER_S, advice.text);
	return true;
}

json_t *advisor_data(struct advisor *a, bool *enough)
{
	const struct advise_input *in = &a->busiest;
	struct advice advice;

	*enough = advise_now(a, &advice);
	json_t *into = *enough ? json_object() : NULL;
	render_set_number(into, "workers", in->workers);
	render_set_number(into, "workers_advised", advice.workers);
	render_set_number(into, "workers_least", advice.least);
	render_set_real(into, "in_hand", advice.in_hand);
	render_set_real(into, "interval_s", (double)in->interval / (double)CLOCK_NS_PER_S);
	render_set_number(into, "dispatched", in->dispatched);
	render_set_number(into, "refused", in->refused);
	render_set_number(into, "wait_mean_us", (uint64_t)(in->wait_mean / CLOCK_NS_PER_US));
	render_set_number(into, "wait_p99_us", (uint64_t)(in->wait_p99 / CLOCK_NS_PER_US));
	render_set_text(into, "text", advice.text);
	return into;
}
