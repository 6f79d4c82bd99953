#include "config.h"

#include "lb/web_pages.h"

#include "lb/control.h"
#include "lb/metrics.h"
#include "lb/page.h"

#define SCRIPT "text/javascript; charset=utf-8"
#define JSON "application/json"

static bool write_metrics(void *arg, FILE *out)
{
	return metrics_write(arg, out);
}

const struct web_page lb_web_pages[] = {
        {"/metrics", "text/plain; version=0.0.4; charset=utf-8", write_metrics},
        {"/", "text/html; charset=utf-8", page_html},
        {"/page/page.css", "text/css; charset=utf-8", page_css},
        {"/page/icon.svg", "image/svg+xml", page_icon},
        {"/page/page.js", SCRIPT, page_js},
        {"/page/events.js", SCRIPT, page_events_js},
        {"/page/figures.js", SCRIPT, page_figures_js},
        {"/page/format.js", SCRIPT, page_format_js},
        {"/page/model.js", SCRIPT, page_model_js},
        {"/page/picture.js", SCRIPT, page_picture_js},
        {"/page/servers.js", SCRIPT, page_servers_js},
        {"/page/spark.js", SCRIPT, page_spark_js},
        {"/page/workers.js", SCRIPT, page_workers_js},
        {"/status.json", JSON, page_status},
        {"/events.json", JSON, page_events},
        {NULL, NULL, NULL},
};
