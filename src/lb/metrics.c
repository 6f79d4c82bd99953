#include "config.h"

#include "lb/metrics.h"

static void put_head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

bool metrics_write(struct control *c, FILE *out)
{
	put_head(out, "tplb_info", "gauge", "always 1: what runs");
	fprintf(out, "tplb_info{version=\"%s\",engine=\"%s\"} 1\n", PACKAGE_VERSION,
	        engine_workers(c->engine) > 0 ? "pool" : "async");
	put_head(out, "tplb_connections", "gauge", "client connections that are open");
	fprintf(out, "tplb_connections %u\n", engine_connections(c->engine));
	return true;
}
