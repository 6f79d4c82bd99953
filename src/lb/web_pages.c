#include "config.h"

#include "lb/web_pages.h"

#include "lb/control.h"
#include "lb/metrics.h"

static bool write_metrics(void *arg, FILE *out)
{
	return metrics_write(arg, out);
}

const struct web_page lb_web_pages[] = {
        {"/metrics", "text/plain; version=0.0.4; charset=utf-8", write_metrics},
        {NULL, NULL, NULL},
};
