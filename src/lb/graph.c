/* tplb --graph: clients, listeners, engine, upstreams, servers, from left to right. */
#include "lb/graph.h"

#include <inttypes.h>
#include <string.h>

enum { DURATION_TEXT = 32 };

/* Within a quoted label. Dot reads backslashes, quotes and entities. */
static void print_text(const char *text, FILE *out)
{
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		if (*text == '&')
			fputs("&amp;", out);
		else
			fputc(*text, out);
	}
}

static void print_listener(const struct lb_config *c, size_t i, FILE *out)
{
	const struct lb_config_listener *l = lb_config_listener(c, i);

	fprintf(out, "\t\tl%zu [class=\"listener\", label=\"", i);
	if (strcmp(l->name, l->bind) != 0) {
		print_text(l->name, out);
		fputs("\\n", out);
	}
	print_text(l->bind, out);
	fprintf(out, "\\n%s\"];\n", lb_mode_names[l->mode]);
}

static void print_queue(const struct lb_config *c, FILE *out)
{
	char timeout[DURATION_TEXT];

	conf_format_duration(c->queue.timeout, timeout);
	fprintf(out,
	        "\t\tqueue [class=\"queue\", shape=cds, margin=\"0.3,0.15\", label=\"queue\\nsize %" PRId64
	        "\\n%s%s\"];\n",
	        c->queue.size, c->queue.timeout > 0 ? "timeout " : "no timeout",
	        c->queue.timeout > 0 ? timeout : "");
}

static void print_loops(const struct lb_config *c, FILE *out)
{
	fprintf(out, "\t\tloops [class=\"loops\", label=\"");
	if (c->async.loops == 0)
		fputs("a loop a core", out);
	else
		fprintf(out, "%" PRId64 " loop%s", c->async.loops, c->async.loops == 1 ? "" : "s");
	fprintf(out, "\\ndriver %s\\n%" PRId64 " fibers\"];\n",
	        loop_driver_name((enum loop_driver_kind)c->async.driver), c->async.fibers);
}

/* Whether something ever leaves a worker of the pool. */
static bool has_patience(const struct lb_config *c)
{
	return c->pool.hold != LB_HOLD_CONNECTION && c->pool.patience > 0;
}

static void print_pool(const struct lb_config *c, FILE *out)
{
	char patience[DURATION_TEXT];
	int64_t n = c->pool.workers;

	fprintf(out, "\t\tacceptor [class=\"acceptor\", label=\"acceptor\"];\n");
	print_queue(c, out);
	fprintf(out, "\t\tworkers [class=\"workers\", label=\"%" PRId64 " worker%s\\nhold %s", n,
	        n == 1 ? "" : "s", lb_hold_names[c->pool.hold]);
	if (c->pool.hold != LB_HOLD_CONNECTION)
		fprintf(out, "\\nburst %" PRId64, c->pool.burst);
	fprintf(out, "\"];\n\t\tacceptor -> queue -> workers;\n");
	if (!has_patience(c))
		return;
	conf_format_duration(c->pool.patience, patience);
	print_loops(c, out);
	fprintf(out,
	        "\t\tworkers -> loops [style=dashed, label=\"tunnels, and bodies\\nthat stall for %s\"];\n",
	        patience);
}

static void print_async(const struct lb_config *c, FILE *out)
{
	print_queue(c, out);
	print_loops(c, out);
	fprintf(out, "\t\tqueue -> loops;\n");
}

static void print_upstream(const struct lb_config_upstream *u, size_t i, FILE *out)
{
	fprintf(out, "\t\tu%zu [class=\"upstream\", label=\"", i);
	print_text(u->name, out);
	fputs("\\n", out);
	print_text(u->balance, out);
	fputs("\"];\n", out);
}

/* From the engine to upstream i, for its listeners: their names say which way is whose, where there is more than one. */
static void print_way(const struct lb_config *c, size_t i, FILE *out)
{
	bool any = false;

	for (size_t k = 0; k < c->listeners.count; k++) {
		const struct lb_config_listener *l = lb_config_listener(c, k);

		if (l->upstream_index != i)
			continue;
		if (!any)
			fprintf(out, "\t\t%s -> u%zu", c->engine == LB_ENGINE_POOL ? "workers" : "loops", i);
		if (c->upstreams.count > 1) {
			fputs(any ? "\\n" : " [label=\"", out);
			print_text(l->name, out);
		}
		any = true;
	}
	if (any)
		fprintf(out, "%s;\n", c->upstreams.count > 1 ? "\"]" : "");
}

static void print_tplb(const struct lb_config *c, FILE *out)
{
	bool pool = c->engine == LB_ENGINE_POOL;

	fprintf(out, "\tsubgraph cluster_tplb {\n\t\tlabel=\"tplb, engine %s\";\n", pool ? "pool" : "async");
	for (size_t i = 0; i < c->listeners.count; i++)
		print_listener(c, i, out);
	if (pool)
		print_pool(c, out);
	else
		print_async(c, out);
	for (size_t i = 0; i < c->listeners.count; i++)
		fprintf(out, "\t\tl%zu -> %s;\n", i, pool ? "acceptor" : "queue");
	for (size_t i = 0; i < c->upstreams.count; i++) {
		print_upstream(lb_config_upstream(c, i), i, out);
		print_way(c, i, out);
	}
	fprintf(out, "\t}\n");
}

static void print_servers(const struct lb_config_upstream *u, size_t i, FILE *out)
{
	for (size_t k = 0; k < u->servers.count; k++) {
		const struct lb_config_server *s = lb_config_server(u, k);

		fprintf(out, "\tu%zus%zu [class=\"server\", label=\"", i, k);
		print_text(s->address, out);
		if (s->slots > 1)
			fprintf(out, "\\n%" PRId64 " slots", s->slots);
		fprintf(out, "\\nweight %" PRId64 "%s\"];\n\tu%zu -> u%zus%zu%s;\n", s->weight,
		        s->backup ? "\\nbackup" : "", i, i, k, s->backup ? " [style=dashed]" : "");
	}
}

void lb_graph_print(const struct lb_config *c, FILE *out)
{
	fprintf(out, "digraph tplb {\n"
	             "\tgraph [rankdir=LR, fontname=\"sans-serif\", fontsize=12, nodesep=0.2, ranksep=0.5, "
	             "bgcolor=\"transparent\"];\n"
	             "\tnode [fontname=\"sans-serif\", fontsize=11, shape=box];\n"
	             "\tedge [fontname=\"sans-serif\", fontsize=9];\n"
	             "\n"
	             "\tclients [class=\"clients\", shape=plaintext];\n");
	for (size_t i = 0; i < c->listeners.count; i++)
		fprintf(out, "\tclients -> l%zu;\n", i);
	print_tplb(c, out);
	for (size_t i = 0; i < c->upstreams.count; i++)
		print_servers(lb_config_upstream(c, i), i, out);
	fprintf(out, "}\n");
}
