#include "lb/reload.h"

#include <stdlib.h>
#include <string.h>

#include "lb/tell.h"

enum { NAMES_BYTES = 800 /* of keys in one line of the log */ };

struct reload {
	struct lb_config *running;
	const struct lb_config *next;
	struct engine *engine;
	FILE *out; /* who asked; may be NULL */
	bool differs;
	/* Keys that need a restart. */
	char names[NAMES_BYTES];
	size_t len;
	unsigned unnamed; /* found no room in `names` */
};

static void tell_faults(const struct conf *conf, FILE *to)
{
	enum diag_level level = conf_fault_count(conf) > 0 ? DIAG_ERROR : DIAG_WARNING;
	char *text = NULL, *rest = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out) {
		tell(to, DIAG_ERROR, "reload: out of memory");
		return;
	}
	conf_print_faults(conf, out);
	if (fclose(out) == 0)
		for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
			tell(to, level, "reload: %s", line);
	free(text);
}

struct lb_config *reload_read(const struct supply *supply, const char *file, FILE *out)
{
	struct lb_config *c = supply->read(supply->arg, file);

	if (!c) {
		tell(out, DIAG_ERROR, "reload: out of memory: %s is not taken in", file);
		return NULL;
	}
	/* Names are not looked up: no address is live, and whoever reads signals must not wait for a name server. */
	tell_faults(c->conf, out);
	if (conf_fault_count(c->conf) == 0)
		return c;
	tell(out, DIAG_ERROR, "reload: %s is not taken in: the configuration that runs goes on", file);
	lb_config_free(c);
	return NULL;
}

static void apply_workers(struct reload *r)
{
	unsigned before = engine_workers(r->engine), wanted = (unsigned)r->next->pool.workers;
	int error;

	r->running->pool.workers = wanted;
	if (r->running->engine == LB_ENGINE_ASYNC) {
		tell(r->out, DIAG_INFO, "reload: pool.workers: the async engine has no use for it");
		return;
	}
	unsigned now = engine_resize(r->engine, wanted, &error);
	r->running->pool.workers = now; /* the next reload tries again */
	if (now == wanted)
		tell(r->out, DIAG_INFO, "reload: pool.workers: %u in place of %u", now, before);
	else
		tell(r->out, DIAG_ERROR,
		        "reload: pool.workers: no more than %u of %u threads can be started: %s (raise "
		        "ulimit -u, TasksMax= in the unit, or kernel.threads-max; or ask for fewer)",
		        now, wanted, strerror(error));
}

/* The live keys. Each copies what it took in to `running`. */
static const struct {
	const char *path;
	void (*apply)(struct reload *r);
} live[] = {
        {"pool.workers", apply_workers},
};

static bool apply(struct reload *r, const char *path)
{
	for (size_t i = 0; i < sizeof(live) / sizeof(live[0]); i++) {
		if (strcmp(live[i].path, path) != 0)
			continue;
		live[i].apply(r);
		return true;
	}
	return false;
}

static void name(struct reload *r, const char *path)
{
	size_t len = strlen(path);

	if (r->unnamed > 0 || r->len + len + sizeof(", ") > NAMES_BYTES) {
		r->unnamed++;
		return;
	}
	r->len += (size_t)snprintf(
	        r->names + r->len, NAMES_BYTES - r->len, "%s%s", r->len > 0 ? ", " : "", path);
}

static void take_in(void *arg, const char *path, const struct conf_key *key)
{
	struct reload *r = arg;

	r->differs = true;
	if (!key->live || !apply(r, path))
		name(r, path);
}

void reload_apply(struct lb_config *running, const struct lb_config *next, struct engine *engine, FILE *out)
{
	struct reload r = {.running = running, .next = next, .engine = engine, .out = out};
	char more[32] = "";

	conf_diff(&lb_config_section, running, next, take_in, &r);
	if (r.unnamed > 0)
		snprintf(more, sizeof(more), " and %u more", r.unnamed);
	if (r.len > 0)
		tell(out, DIAG_WARNING, "reload: a restart is needed to take in %s%s", r.names, more);
	if (!r.differs)
		tell(out, DIAG_INFO, "reload: nothing has changed");
}
