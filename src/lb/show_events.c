#include "lb/show_events.h"

#include <stdlib.h>
#include <time.h>

#include "ctl/render.h"
#include "obs/events.h"

static json_t *event_data(const struct event *e)
{
	json_t *into = json_object();
	time_t second = (time_t)(e->at / 1000);
	char date[40], at[64];
	struct tm utc;

	gmtime_r(&second, &utc);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(at, sizeof(at), "%s.%03dZ", date, (int)(e->at % 1000));
	render_set_number(into, "id", e->id);
	render_set_text(into, "time", at);
	render_set_text(into, "level", diag_level_name(e->level));
	render_set_text(into, "text", e->text);
	return into;
}

json_t *show_events(unsigned most)
{
	struct event *events = calloc(EVENTS_KEPT, sizeof(*events));
	json_t *rows = events ? json_array() : NULL;
	unsigned n = rows ? events_read(events, most < EVENTS_KEPT ? most : EVENTS_KEPT) : 0;

	for (unsigned i = 0; i < n; i++)
		(void)json_array_append_new(rows, event_data(&events[i]));
	free(events);
	return rows;
}
