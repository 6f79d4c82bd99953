/* What a look at the metrics takes from the balancer. */
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "lb/metrics.h"
#include "lb/standing.h"

/* One at a time: the lock that their sums take is never held for long. */
static void take_sums(struct metrics_view *v)
{
	struct balancer *b = v->control->balancer;

	for (size_t i = 0; i < v->lb->config->listeners.count; i++) {
		balancer_listener_sums(b, &v->lb->listeners[i], v->listeners[i]);
		v->connections[i] = balancer_listener(b, &v->lb->listeners[i]);
	}
	for (unsigned i = 0; i < v->lb->upstream_count; i++) {
		struct upstream *u = &v->lb->upstreams[i];

		balancer_upstream_sums(b, u, v->upstreams[i]);
		for (unsigned k = 0; k < u->count; k++) {
			unsigned index = u->servers[k].index;

			balancer_server_sums(b, u, &u->servers[k], v->servers[index]);
			v->standings[index] = standing_copy(u, &u->servers[k]);
		}
	}
}

bool metrics_view_open(struct metrics_view *v, struct control *c)
{
	struct lb *lb = balancer_pin(c->balancer);
	struct timespec wall;

	clock_gettime(CLOCK_REALTIME, &wall);
	*v = (struct metrics_view){.control = c,
	        .lb = lb,
	        .now = clock_now(),
	        .wall = wall.tv_sec * CLOCK_NS_PER_S + wall.tv_nsec,
	        .listeners = calloc(lb->config->listeners.count, sizeof(*v->listeners)),
	        .upstreams = calloc(lb->upstream_count, sizeof(*v->upstreams)),
	        .servers = calloc(lb->server_count, sizeof(*v->servers)),
	        .connections = calloc(lb->config->listeners.count, sizeof(*v->connections)),
	        .standings = calloc(lb->server_count, sizeof(*v->standings))};
	if (v->listeners && v->upstreams && v->servers && v->connections && v->standings) {
		take_sums(v);
		return true;
	}
	metrics_view_close(v);
	return false;
}

void metrics_view_close(struct metrics_view *v)
{
	balancer_unpin(v->control->balancer, v->lb);
	free(v->listeners);
	free(v->upstreams);
	free(v->servers);
	free(v->connections);
	free(v->standings);
}
