/* What has happened of late, as data (obs/events.h): for `show events` and the page. Any thread. The caller frees the result. */
#ifndef TPLB_LB_SHOW_EVENTS_H
#define TPLB_LB_SHOW_EVENTS_H

#include <jansson.h>

/* An array of objects, the oldest first, `most` of them at most: `id`, `time` (RFC 3339, in UTC), `level` and `text`. NULL when memory is out. */
json_t *show_events(unsigned most);

#endif
