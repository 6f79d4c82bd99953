#include "lb/reload.h"

#include <stdlib.h>
#include <string.h>

#include "lb/tell.h"

static void tell_lines(char *text, enum diag_level level, FILE *to)
{
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		tell_detail(to, level, "reload: %s", line);
}

static void tell_faults(const struct conf *conf, FILE *to)
{
	enum diag_level level = conf_fault_count(conf) > 0 ? DIAG_ERROR : DIAG_WARNING;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out) {
		tell(to, DIAG_ERROR, "reload: out of memory");
		return;
	}
	conf_print_faults(conf, out);
	if (fclose(out) == 0)
		tell_lines(text, level, to);
	free(text);
}

/* NULL, and all freed, when there is a mistake. */
static struct lb_config *unless_wrong(struct lb_config *c, const char *file, FILE *out)
{
	tell_faults(c->conf, out);
	if (conf_fault_count(c->conf) == 0)
		return c;
	tell(out, DIAG_ERROR, "reload: %s is not taken in: the configuration that runs goes on", file);
	lb_config_free(c);
	return NULL;
}

struct lb_config *reload_read(const struct supply *supply, const char *file, FILE *out)
{
	struct lb_config *c = supply->read(supply->arg, file);

	if (!c) {
		tell(out, DIAG_ERROR, "reload: out of memory: %s is not taken in", file);
		return NULL;
	}
	return unless_wrong(c, file, out);
}

static void take_known(const struct balancer *b, struct lb_config_upstream *u)
{
	for (size_t i = 0; i < u->servers.count; i++) {
		struct lb_config_server *s = lb_config_server(u, i);
		struct target *targets = s->is_name ? calloc((size_t)s->slots, sizeof(*targets)) : NULL;

		if (targets && balancer_targets(b, u, s, targets))
			s->targets = targets;
		else
			free(targets);
	}
}

static bool has_unknown(const struct lb_config *c)
{
	for (size_t i = 0; i < c->upstreams.count; i++) {
		const struct lb_config_upstream *u = lb_config_upstream(c, i);

		for (size_t k = 0; k < u->servers.count; k++)
			if (lb_config_server(u, k)->is_name && !lb_config_server(u, k)->targets)
				return true;
	}
	for (size_t i = 0; i < c->listeners.count; i++)
		if (lb_config_listener(c, i)->addr.len == 0)
			return true;
	return false;
}

bool reload_resolve(const struct balancer *b, struct lb_config *next, const char *file, FILE *out)
{
	for (size_t i = 0; i < next->upstreams.count; i++)
		take_known(b, lb_config_upstream(next, i));
	if (!has_unknown(next))
		return true;
	lb_config_resolve(next);
	return conf_fault_count(next->conf) == 0 || unless_wrong(next, file, out) != NULL;
}

/* Comparing -----------------------------------------------------------------------------------------------------*/

static void add_name(struct reload *r, const char *path)
{
	size_t len = strlen(path);

	if (r->unnamed > 0 || r->len + len + sizeof(", ") > RELOAD_NAMES_BYTES) {
		r->unnamed++;
		return;
	}
	r->len += (size_t)snprintf(
	        r->names + r->len, RELOAD_NAMES_BYTES - r->len, "%s%s", r->len > 0 ? ", " : "", path);
}

static void add_line(struct reload *r, const struct conf_difference *d)
{
	if (r->line_count++ >= RELOAD_LINES_MAX)
		return;
	switch (d->change) {
	case CONF_ADDED:
		fprintf(r->lines, "%s is new\n", d->path);
		return;
	case CONF_REMOVED:
		fprintf(r->lines, "%s is gone\n", d->path);
		return;
	case CONF_MOVED:
		fprintf(r->lines, "%s: in another order\n", d->path);
		return;
	case CONF_CHANGED:
		fprintf(r->lines, "%s: ", d->path);
		(void)conf_print_value(d->key, d->after, r->lines);
		fputs(" in place of ", r->lines);
		(void)conf_print_value(d->key, d->before, r->lines);
		putc('\n', r->lines);
	}
}

static void differ(void *arg, const struct conf_difference *d)
{
	struct reload *r = arg;

	r->differs = true;
	if (d->live && strcmp(d->path, "pool.workers") == 0) /* control.c sees to it, and says so */
		return;
	if (d->live) {
		r->rebuilds = true;
		add_line(r, d);
		return;
	}
	add_name(r, d->path);
	/* It belongs to next; conf_diff shows it as one who does not change it. */
	if (!conf_keep(r->next->conf, d->key, (void *)(uintptr_t)d->after, d->before))
		r->no_memory = true;
}

bool reload_compare(struct reload *r, const struct lb_config *running, struct lb_config *next)
{
	*r = (struct reload){.next = next};
	r->lines = open_memstream(&r->text, &r->text_len);
	if (!r->lines)
		return false;
	conf_diff(&lb_config_section, running, next, differ, r);
	if (r->line_count > RELOAD_LINES_MAX)
		fprintf(r->lines, "and %u more differences\n", r->line_count - RELOAD_LINES_MAX);
	bool written = fclose(r->lines) == 0;
	r->lines = NULL;
	return written && !r->no_memory;
}

void reload_tell(struct reload *r, FILE *out)
{
	tell_lines(r->text, DIAG_INFO, out);
}

void reload_tell_restart(const struct reload *r, FILE *out)
{
	char more[32] = "";

	if (r->unnamed > 0)
		snprintf(more, sizeof(more), " and %u more", r->unnamed);
	if (r->len > 0)
		tell(out, DIAG_WARNING, "reload: a restart is needed to take in %s%s", r->names, more);
}

void reload_free(struct reload *r)
{
	if (r->lines)
		fclose(r->lines);
	free(r->text);
}
