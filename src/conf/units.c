/* Durations and sizes as text. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "conf/conf.h"

struct unit {
	const char *name;
	uint64_t worth;
};

/* Smallest first: formatting takes the last one that divides. */
static const struct unit durations[] = {
        {"ns", 1},
        {"us", (uint64_t)CLOCK_NS_PER_US},
        {"ms", (uint64_t)CLOCK_NS_PER_MS},
        {"s", (uint64_t)CLOCK_NS_PER_S},
        {"m", (uint64_t)CLOCK_NS_PER_S * 60},
        {"h", (uint64_t)CLOCK_NS_PER_S * 3600},
        {"d", (uint64_t)CLOCK_NS_PER_S * 86400},
        {NULL, 0},
};

static const struct unit sizes[] = {
        {"", 1},
        {"k", UINT64_C(1) << 10},
        {"m", UINT64_C(1) << 20},
        {"g", UINT64_C(1) << 30},
        {"t", UINT64_C(1) << 40},
        {NULL, 0},
};

static bool parse(const char *text, const struct unit *units, bool any_case, uint64_t most, uint64_t *value)
{
	size_t digits = strspn(text, "0123456789");
	struct str name = str_of(text + digits);
	long long number;
	if (!str_to_uint63((struct str){text, digits}, &number))
		return false;
	for (const struct unit *u = units; u->name != NULL; u++) {
		struct str want = str_of(u->name);
		if (any_case ? !str_eq_nocase(name, want) : !str_eq(name, want))
			continue;
		if ((uint64_t)number > most / u->worth)
			return false;
		*value = (uint64_t)number * u->worth;
		return true;
	}
	return false;
}

bool conf_parse_duration(const char *text, int64_t *ns)
{
	uint64_t value;
	if (!parse(text, durations, false, INT64_MAX, &value))
		return false;
	*ns = (int64_t)value;
	return true;
}

bool conf_parse_size(const char *text, uint64_t *bytes)
{
	return parse(text, sizes, true, UINT64_MAX, bytes);
}

void conf_format_duration(int64_t ns, char *out)
{
	uint64_t value = ns < 0 ? UINT64_C(0) - (uint64_t)ns : (uint64_t)ns;
	const struct unit *best = durations;
	if (value == 0) {
		snprintf(out, 32, "0s");
		return;
	}
	/* Up to hours: "24h" says more plainly what a bound is than "1d". */
	for (const struct unit *u = durations; u->name[0] != 'd'; u++) {
		if (value % u->worth == 0)
			best = u;
	}
	snprintf(out, 32, "%s%" PRIu64 "%s", ns < 0 ? "-" : "", value / best->worth, best->name);
}

void conf_format_size(uint64_t bytes, char *out)
{
	const struct unit *best = sizes;
	for (const struct unit *u = sizes; bytes != 0 && u->name != NULL; u++) {
		if (bytes % u->worth == 0)
			best = u;
	}
	snprintf(out, 32, "%" PRIu64 "%s", bytes / best->worth, best->name);
}
