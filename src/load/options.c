#include "load/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "conf/conf.h"
#include "http/chars.h"

enum { DEFAULT_CONNECTIONS = 10, DEFAULT_SECONDS = 10 };

#define DURATION_MAX (24 * 3600 * CLOCK_NS_PER_S)

static const char help[] =
        "Usage: tplb-load [-r RATE] [-c CONNECTIONS] [-d DURATION] [-t TIMEOUT] [-g DURATION] [-k on|off] "
        "[-D DRIVER] [-j] "
        "URL\n"
        "Sends GET requests to an HTTP/1.1 server and tells how it answered.\n"
        "\n"
        "  -r, --rate RATE          requests a second, also fractions, up to 1000000: an open loop. The\n"
        "                           k-th request is due k / RATE seconds after the start and its latency\n"
        "                           counts from then, so that a server that stalls shows. Default 0, a\n"
        "                           closed loop: each connection asks again as soon as it is answered\n"
        "  -c, --connections N      connections at once, 1 to 10000 (default 10)\n"
        "  -d, --duration DURATION  such as 10s or 2m (default 10s)\n"
        "  -t, --timeout DURATION   a connect or an answer that takes longer is given up; also how long\n"
        "                           after the end an open loop waits for what was due (default 10s)\n"
        "  -g, --good DURATION      an answer below 400 that comes within it of when it was due is a good\n"
        "                           one; they are counted apart (default 1s)\n"
        "  -k, --keepalive on|off   off: a connection a request (default on)\n"
        "  -D, --driver DRIVER      io_uring, epoll, or auto: io_uring where the system allows it\n"
        "                           (default auto)\n"
        "  -j, --json               print the report as JSON\n"
        "  -h, --help               this text\n"
        "  -v, --version            the version\n"
        "\n"
        "URL: http://HOST[:PORT]/PATH, HOST an IPv4 address, [an IPv6 address] or a name.\n"
        "It is one thread: enough for some 50000 requests a second.\n"
        "TERM and INT end it early, with a report of what there is.\n"
        "Exit status: 0 well, 1 could not run (no connection was ever made), 2 wrong usage.\n";

const char *load_options_help(void)
{
	return help;
}

static const struct option long_options[] = {
        {"rate", required_argument, NULL, 'r'},
        {"connections", required_argument, NULL, 'c'},
        {"duration", required_argument, NULL, 'd'},
        {"timeout", required_argument, NULL, 't'},
        {"good", required_argument, NULL, 'g'},
        {"keepalive", required_argument, NULL, 'k'},
        {"driver", required_argument, NULL, 'D'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
};

static bool wrong(char why[LOAD_WHY_MAX], const char *option, const char *value, const char *remedy)
{
	snprintf(why, LOAD_WHY_MAX, "%s: %.100s: %s", option, value[0] ? value : "(empty)", remedy);
	return false;
}

static bool read_rate(struct load_options *out, const char *value, char why[LOAD_WHY_MAX])
{
	char *end;

	out->rate = strtod(value, &end);
	/* Without a sign, "nan" or "inf". */
	if (http_is_digit(value[0]) && *end == '\0' && out->rate <= LOAD_RATE_MAX)
		return true;
	return wrong(why, "--rate", value, "give requests a second, up to 1000000, or 0 for a closed loop");
}

static bool read_connections(struct load_options *out, const char *value, char why[LOAD_WHY_MAX])
{
	char remedy[64];
	long long n;

	if (str_to_uint63(str_of(value), &n) && n >= 1 && n <= LOAD_CONNECTIONS_MAX) {
		out->connections = (unsigned)n;
		return true;
	}
	snprintf(remedy, sizeof(remedy), "give a number from 1 to %d", LOAD_CONNECTIONS_MAX);
	return wrong(why, "--connections", value, remedy);
}

static bool read_duration(const char *option, const char *value, int64_t *out, char why[LOAD_WHY_MAX])
{
	if (conf_parse_duration(value, out) && *out >= CLOCK_NS_PER_MS && *out <= DURATION_MAX)
		return true;
	return wrong(why, option, value, "give a time with its unit, 1ms to 24h, such as 10s");
}

static bool read_driver(struct load_options *out, const char *value, char why[LOAD_WHY_MAX])
{
	static const enum loop_driver_kind kinds[] = {LOOP_AUTO, LOOP_URING, LOOP_EPOLL};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		out->driver = kinds[i];
		if (strcmp(value, loop_driver_name(kinds[i])) == 0)
			return true;
	}
	return wrong(why, "--driver", value, "no such driver; give auto, io_uring or epoll");
}

static bool read_keepalive(struct load_options *out, const char *value, char why[LOAD_WHY_MAX])
{
	out->keepalive = strcmp(value, "on") == 0;
	return out->keepalive || strcmp(value, "off") == 0 ||
	       wrong(why, "--keepalive", value, "give on or off");
}

static bool read_option(int option, const char *value, struct load_options *out, char why[LOAD_WHY_MAX])
{
	switch (option) {
	case 'r':
		return read_rate(out, value, why);
	case 'c':
		return read_connections(out, value, why);
	case 'd':
		return read_duration("--duration", value, &out->duration, why);
	case 't':
		return read_duration("--timeout", value, &out->timeout, why);
	case 'g':
		return read_duration("--good", value, &out->good, why);
	case 'k':
		return read_keepalive(out, value, why);
	case 'D':
		return read_driver(out, value, why);
	default:
		out->json = true;
		return true;
	}
}

/* getopt says where: optopt for a short option, the argument before optind for a long one. */
static void name_unknown(int result, char **argv, char why[LOAD_WHY_MAX])
{
	char shorter[3] = {'-', (char)optopt, '\0'};
	const char *name = argv[optind - 1];

	if (strncmp(name, "--", 2) != 0 && optopt)
		name = shorter;
	snprintf(why, LOAD_WHY_MAX, "%.100s: %s; see tplb-load --help", name,
	        result == ':' ? "a value is missing" : "no such option");
}

static bool read_url(int argc, char **argv, struct load_options *out, char why[LOAD_WHY_MAX])
{
	const char *fault;

	if (optind == argc) {
		snprintf(why, LOAD_WHY_MAX, "the URL is missing; give one such as http://127.0.0.1:8000/");
		return false;
	}
	out->text = argv[optind];
	if (optind + 1 < argc)
		return wrong(why, "argument", argv[optind + 1], "one URL is expected, and nothing else");
	return url_parse(out->text, &out->url, &fault) || wrong(why, "URL", out->text, fault);
}

enum load_options_verdict load_options_parse(
        int argc, char **argv, struct load_options *out, char why[LOAD_WHY_MAX])
{
	int option;

	*out = (struct load_options){.connections = DEFAULT_CONNECTIONS,
	        .duration = DEFAULT_SECONDS * CLOCK_NS_PER_S,
	        .timeout = DEFAULT_SECONDS * CLOCK_NS_PER_S,
	        .good = CLOCK_NS_PER_S,
	        .keepalive = true};
	optind = 0; /* glibc: begin anew */
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":r:c:d:t:g:k:D:jhv", long_options, NULL)) != -1) {
		if (option == 'h')
			return LOAD_OPTIONS_HELP;
		if (option == 'v')
			return LOAD_OPTIONS_VERSION;
		if (option == '?' || option == ':') {
			name_unknown(option, argv, why);
			return LOAD_OPTIONS_WRONG;
		}
		if (!read_option(option, optarg, out, why))
			return LOAD_OPTIONS_WRONG;
	}
	return read_url(argc, argv, out, why) ? LOAD_OPTIONS_RUN : LOAD_OPTIONS_WRONG;
}
