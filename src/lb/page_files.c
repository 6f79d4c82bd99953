#include "lb/page.h"
#include "page_files.h" /* made of src/page by embed.sh */

#define PAGE(name, file)                                                                                     \
	bool page_##name(void *arg, FILE *out)                                                               \
	{                                                                                                    \
		(void)arg;                                                                                   \
		return fwrite(file##_bytes, 1, sizeof(file##_bytes), out) == sizeof(file##_bytes);           \
	}

PAGE(html, page_html)
PAGE(css, page_css)
PAGE(icon, icon_svg)
PAGE(js, page_js)
PAGE(events_js, events_js)
PAGE(figures_js, figures_js)
PAGE(format_js, format_js)
PAGE(model_js, model_js)
PAGE(picture_js, picture_js)
PAGE(servers_js, servers_js)
PAGE(spark_js, spark_js)
PAGE(workers_js, workers_js)
