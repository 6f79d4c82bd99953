/*
 * The page that people look at (src/page), and what it asks for. Its files are part of the program; the functions are rows of lb_web_pages, called with a
 * struct control.
 */
#ifndef TPLB_LB_PAGE_H
#define TPLB_LB_PAGE_H

#include <stdbool.h>
#include <stdio.h>

bool page_html(void *arg, FILE *out);
bool page_css(void *arg, FILE *out);
bool page_icon(void *arg, FILE *out);
bool page_js(void *arg, FILE *out);
bool page_events_js(void *arg, FILE *out);
bool page_figures_js(void *arg, FILE *out);
bool page_format_js(void *arg, FILE *out);
bool page_model_js(void *arg, FILE *out);
bool page_picture_js(void *arg, FILE *out);
bool page_servers_js(void *arg, FILE *out);
bool page_spark_js(void *arg, FILE *out);
bool page_workers_js(void *arg, FILE *out);

/* JSON: all that it shows, as it is now; small and cheap, since it is asked for once a second by each that looks. */
bool page_status(void *arg, FILE *out);
/* JSON: the last events (obs/events.h), asked for when page_status tells of a new one. */
bool page_events(void *arg, FILE *out);

#endif
