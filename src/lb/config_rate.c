/* The checks of a listener's `rate`. */
#include "http/chars.h"
#include "lb/config.h"
#include "lb/rate.h"

#include <string.h>

#include "base/clock.h"

#define DAY (CLOCK_NS_PER_S * 86400)
enum { FILL_DAYS_MAX = 365 };

static void check_key(struct lb_config *c, const struct lb_config_listener *l, struct lb_config_rate *r)
{
	if (r->key == NULL || strcmp(r->key, "address") == 0)
		return;
	r->header = lb_config_header_of(r->key);
	if (r->header == NULL) {
		conf_fault(c->conf, r->place, "key", "must be \"address\" or \"header:NAME\", not \"%s\"",
		        r->key);
		return;
	}
	if (r->header[0] == '\0' || !http_is_token(r->header))
		conf_fault(c->conf, r->place, "key",
		        "\"header:\" must be followed by the name of a header field, such as "
		        "\"header:X-Api-Key\", not \"%s\"",
		        r->key);
	else if (l->mode == LB_MODE_TCP)
		conf_fault(c->conf, r->place, "key",
		        "in tcp mode there is no header: take \"address\" here, or mode \"http\"");
}

/* A key that does nothing was meant to do something. */
static void warn_unused(struct lb_config *c, const struct lb_config_rate *r)
{
	static const char *const keys[] = {"key", "per", "burst", "entries"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!conf_is_set(c->conf, r->place, keys[i]))
			continue;
		conf_warning(c->conf, r->place, keys[i],
		        "there is no rate without `requests`, such as requests = 100");
		return;
	}
}

/* Whole nanoseconds must do for the time between two tokens, and a bucket be full again some day. */
static void check_bucket(struct lb_config *c, const struct lb_config_rate *r)
{
	struct rate_options options = {.requests = r->requests, .per = r->per};
	int64_t burst = r->burst > 0 ? r->burst : r->requests;

	if (r->per / r->requests < CLOCK_NS_PER_US)
		conf_fault(c->conf, r->place, "requests",
		        "more than a million a second: a smaller number, or a longer `per`");
	else if (burst > FILL_DAYS_MAX * DAY / rate_interval(&options))
		conf_fault(c->conf, r->place, "burst",
		        "after a burst of %lld it would take more than %d days until so many are allowed "
		        "again: a smaller one, or a higher rate",
		        (long long)burst, FILL_DAYS_MAX);
}

void lb_config_check_rate(struct lb_config *c, struct lb_config_listener *l)
{
	struct lb_config_rate *r = &l->rate;

	if (r->place == NULL) /* the listener itself is a mistake */
		return;
	check_key(c, l, r);
	if (r->requests > 0)
		check_bucket(c, r);
	else if (!conf_is_set(c->conf, r->place, "requests")) /* requests = 0 says that it is off */
		warn_unused(c, r);
}
