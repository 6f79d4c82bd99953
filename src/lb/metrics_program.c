/* The metrics of the program as a whole, and of its process. */
#include "config.h"

#include "base/clock.h"
#include "lb/metrics.h"

static bool is_async(const struct metrics_view *v)
{
	return engine_workers(v->control->engine) == 0;
}

static void put(FILE *out, const char *name, uint64_t value)
{
	prometheus_number(out, name, NULL, "", value);
}

static void write_info(const struct metrics_view *v, const char *name, FILE *out)
{
	const struct control *c = v->control;
	const struct prometheus_label labels[] = {{"version", PACKAGE_VERSION},
	        {"engine", is_async(v) ? "async" : "pool"},
	        {"driver", c->loops > 0 ? loop_driver_name(c->driver) : "none"}, {NULL, NULL}};

	prometheus_number(out, name, labels, "", 1);
}

static void write_draining(const struct metrics_view *v, const char *name, FILE *out)
{
	put(out, name, engine_is_draining(v->control->engine));
}

static void write_workers(const struct metrics_view *v, const char *name, FILE *out)
{
	put(out, name, engine_workers(v->control->engine));
}

/* Of the board: threads of the pool that have something to do, by what that is; and what all threads have in hand. */
static void look_at_board(const struct metrics_view *v, unsigned doing[DOING_COUNT], unsigned *in_hand)
{
	struct engine *e = v->control->engine;
	unsigned count;
	const struct board_row *board = engine_board(e, &count);

	*in_hand = 0;
	for (unsigned i = 0; i < DOING_COUNT; i++)
		doing[i] = 0;
	for (unsigned id = 0; id < count; id++) {
		struct board_entry entry = board_entry_of(board_get(&board[id]));
		char name[ENGINE_SEAT_BYTES];

		*in_hand += board_holds(&board[id]);
		if (engine_seat(e, id, name) == SEAT_WORKER)
			doing[entry.doing]++;
	}
}

static void write_busy(const struct metrics_view *v, const char *name, FILE *out)
{
	unsigned doing[DOING_COUNT], in_hand, busy = 0;

	look_at_board(v, doing, &in_hand);
	for (unsigned i = 0; i < DOING_COUNT; i++)
		busy += i != DOING_GONE && i != DOING_IDLE ? doing[i] : 0;
	put(out, name, busy);
}

static void write_doing(const struct metrics_view *v, const char *name, FILE *out)
{
	unsigned doing[DOING_COUNT], in_hand;

	look_at_board(v, doing, &in_hand);
	for (unsigned i = 0; i < DOING_COUNT; i++) {
		const struct prometheus_label labels[] = {{"doing", doing_word((enum doing)i)}, {NULL, NULL}};

		if (i != DOING_GONE)
			prometheus_number(out, name, labels, "", doing[i]);
	}
}

static void write_in_hand(const struct metrics_view *v, const char *name, FILE *out)
{
	unsigned doing[DOING_COUNT], in_hand;

	look_at_board(v, doing, &in_hand);
	put(out, name, in_hand);
}

static void write_loops(const struct metrics_view *v, const char *name, FILE *out)
{
	put(out, name, v->control->loops);
}

static void write_connections(const struct metrics_view *v, const char *name, FILE *out)
{
	put(out, name, engine_connections(v->control->engine));
}

static void write_connections_limit(const struct metrics_view *v, const char *name, FILE *out)
{
	put(out, name, v->control->connections);
}

static void write_queue_depth(const struct metrics_view *v, const char *name, FILE *out)
{
	put(out, name, engine_queue(v->control->engine).depth);
}

static void write_queue_limit(const struct metrics_view *v, const char *name, FILE *out)
{
	put(out, name, (uint64_t)v->lb->config->queue.size);
}

static void write_queue_oldest(const struct metrics_view *v, const char *name, FILE *out)
{
	int64_t age = engine_queue(v->control->engine).age;

	prometheus_seconds(out, name, NULL, "", age > 0 ? (uint64_t)age : 0);
}

static void write_queue_wait(const struct metrics_view *v, const char *name, FILE *out)
{
	uint64_t waits[HISTOGRAM_CELLS], service[HISTOGRAM_CELLS];
	unsigned count;
	const struct counters *sets = engine_counters(v->control->engine, &count);

	counters_times(sets, count, waits, service);
	prometheus_histogram(out, name, NULL, waits);
}

static void write_service(const struct metrics_view *v, const char *name, FILE *out)
{
	uint64_t waits[HISTOGRAM_CELLS], service[HISTOGRAM_CELLS];
	unsigned count;
	const struct counters *sets = engine_counters(v->control->engine, &count);

	counters_times(sets, count, waits, service);
	prometheus_histogram(out, name, NULL, service);
}

static void write_tunnels(const struct metrics_view *v, const char *name, FILE *out)
{
	uint64_t closed = balancer_counter(v->control->balancer, COUNTER_tunnels_closed);
	uint64_t opened = balancer_counter(v->control->balancer, COUNTER_tunnels);

	put(out, name, opened > closed ? opened - closed : 0);
}

static void write_old(const struct metrics_view *v, const char *name, FILE *out)
{
	put(out, name, balancer_old(v->control->balancer));
}

static void write_reloads(const struct metrics_view *v, const char *name, FILE *out)
{
	struct control *c = v->control;

	lock_take(&c->lock);
	uint64_t done = c->reloads_so_far.done, failed = c->reloads_so_far.failed;
	lock_drop(&c->lock);
	prometheus_number(out, name, NULL, "result=\"done\"", done);
	prometheus_number(out, name, NULL, "result=\"failed\"", failed);
}

static void write_last_reload(const struct metrics_view *v, const char *name, FILE *out)
{
	lock_take(&v->control->lock);
	bool done = v->control->reloads_so_far.last_done;
	lock_drop(&v->control->lock);
	put(out, name, done);
}

static void write_last_reload_time(const struct metrics_view *v, const char *name, FILE *out)
{
	lock_take(&v->control->lock);
	int64_t at = v->control->reloads_so_far.done_at;
	lock_drop(&v->control->lock);
	prometheus_seconds(out, name, NULL, "", (uint64_t)at);
}

const struct metrics_family metrics_of_program[] = {
        {"tplb_info", PROMETHEUS_GAUGE, "version, engine, driver", "always 1: what runs", write_info},
        {"tplb_draining", PROMETHEUS_GAUGE, "", "1: it is about to end, and accepts nothing more",
                write_draining},
        {"tplb_workers", PROMETHEUS_GAUGE, "",
                "threads of the pool that there are to be; 0 in the async engine", write_workers},
        {"tplb_workers_busy", PROMETHEUS_GAUGE, "", "of these, threads that have something to do",
                write_busy},
        {"tplb_workers_doing", PROMETHEUS_GAUGE, "doing",
                "threads of the pool by what they do; doing: as show workers of tplbctl(1) has it",
                write_doing},
        {"tplb_connections_in_hand", PROMETHEUS_GAUGE, "",
                "connections whose request a worker or fiber has in hand", write_in_hand},
        {"tplb_loops", PROMETHEUS_GAUGE, "", "loops: threads with fibers", write_loops},
        {"tplb_connections", PROMETHEUS_GAUGE, "", "client connections that are open", write_connections},
        {"tplb_connections_limit", PROMETHEUS_GAUGE, "",
                "at most so many at once: limits.connections, or fewer where descriptors are short",
                write_connections_limit},
        {"tplb_tunnels", PROMETHEUS_GAUGE, "", "tunnels that are open", write_tunnels},
        {"tplb_queue_depth", PROMETHEUS_GAUGE, "", "connections that wait for a worker or fiber",
                write_queue_depth},
        {"tplb_queue_limit", PROMETHEUS_GAUGE, "", "queue.size", write_queue_limit},
        {"tplb_queue_oldest_seconds", PROMETHEUS_GAUGE, "",
                "how long the one has waited that waits for longest; 0: none waits", write_queue_oldest},
        {"tplb_queue_wait_seconds", PROMETHEUS_HISTOGRAM, "",
                "how long those waited that were given to a worker or fiber", write_queue_wait},
        {"tplb_service_seconds", PROMETHEUS_HISTOGRAM, "",
                "how long a worker or fiber had a request in hand, less what it waited for a server below "
                "its "
                "max_connections; tunnels are left out",
                write_service},
        {"tplb_old_configurations", PROMETHEUS_GAUGE, "",
                "configurations that a reload has replaced and that have requests under way", write_old},
        {"tplb_reloads_total", PROMETHEUS_COUNTER, "result",
                "reloads; result: done, failed (nothing was taken in)", write_reloads},
        {"tplb_last_reload_successful", PROMETHEUS_GAUGE, "",
                "1: the last reload was done, or there was none", write_last_reload},
        {"tplb_last_reload_success_timestamp_seconds", PROMETHEUS_GAUGE, "",
                "when a configuration was taken in last: by a reload, or the start", write_last_reload_time},
        {NULL, PROMETHEUS_GAUGE, NULL, NULL, NULL},
};

/* The process, by the names that all programs have for it. A figure that is not to be had is left out. */

static void write_cpu(const struct metrics_view *v, const char *name, FILE *out)
{
	int64_t cpu = process_look(v->control->process).cpu;

	if (cpu >= 0)
		prometheus_seconds(out, name, NULL, "", (uint64_t)cpu);
}

static void write_started(const struct metrics_view *v, const char *name, FILE *out)
{
	prometheus_seconds(out, name, NULL, "", (uint64_t)process_look(v->control->process).started);
}

#define OF_PROCESS(function, figure)                                                                         \
	static void function(const struct metrics_view *v, const char *name, FILE *out)                      \
	{                                                                                                    \
		int64_t value = process_look(v->control->process).figure;                                    \
                                                                                                             \
		if (value >= 0)                                                                              \
			put(out, name, (uint64_t)value);                                                     \
	}

OF_PROCESS(write_resident, resident)
OF_PROCESS(write_virtual, virtual)
OF_PROCESS(write_descriptors, descriptors)
OF_PROCESS(write_descriptors_most, descriptors_most)

const struct metrics_family metrics_of_process[] = {
        {"process_cpu_seconds_total", PROMETHEUS_COUNTER, "", "processor time of all threads", write_cpu},
        {"process_resident_memory_bytes", PROMETHEUS_GAUGE, "", "memory in use", write_resident},
        {"process_virtual_memory_bytes", PROMETHEUS_GAUGE, "", "address space in use", write_virtual},
        {"process_open_fds", PROMETHEUS_GAUGE, "", "descriptors that are open", write_descriptors},
        {"process_max_fds", PROMETHEUS_GAUGE, "", "descriptors that it may have", write_descriptors_most},
        {"process_start_time_seconds", PROMETHEUS_GAUGE, "", "when it started", write_started},
        {NULL, PROMETHEUS_GAUGE, NULL, NULL, NULL},
};
