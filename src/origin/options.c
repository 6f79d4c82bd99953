#include "origin/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "engine/engine.h"
#include "net/addr.h"

enum { DEFAULT_WORKERS = 16, DEFAULT_QUEUE = 1024 };

/* The original experiment's port for the pool alone. */
static const char default_listen[] = "127.0.0.1:8000";

static const char help[] =
        "Usage: tplb-origin [-l ADDR:PORT]... [-e pool|async] [-w N] [-q N] [-r DOCROOT] [-k on|off] [-d "
        "DRIVER]\n"
        "The matching HTTP origin server of tplb, in the foreground.\n"
        "\n"
        "  -l, --listen ADDR:PORT   where to listen, also [::]:PORT and unix:/PATH; may be\n"
        "                           given several times; port 0: any (default 127.0.0.1:8000)\n"
        "  -e, --engine ENGINE      pool: a fixed pool of threads (default); async: fibers on\n"
        "                           event loops, over io_uring or else epoll\n"
        "  -w, --workers N          threads of the pool, 1 to 1024 (default 16), or loops,\n"
        "                           1 to 64 (default: one a core)\n"
        "  -q, --queue N            connections that may wait for a worker, 1 to 1048576\n"
        "                           (default 1024); further ones get 503\n"
        "  -r, --root DOCROOT       serve the files of this directory (default: none)\n"
        "  -d, --driver DRIVER      of the async engine: io_uring, epoll, or auto: io_uring\n"
        "                           where the system allows it (default auto)\n"
        "  -k, --keepalive on|off   off: close the connection after each answer (default on)\n"
        "  -h, --help               this text\n"
        "  -v, --version            the version\n"
        "\n"
        "Paths: / /santai /video, files, and for experiments /delay/MS /bytes/N /chunked/N\n"
        "/close /close/N /status/CODE /echo /count.\n"
        "TERM and INT drain: finish what is in flight and exit; a second one exits at once.\n"
        "Exit status: 0 well, 1 could not run, 2 wrong usage.\n";

const char *options_help(void)
{
	return help;
}

static const struct option long_options[] = {
        {"listen", required_argument, NULL, 'l'},
        {"engine", required_argument, NULL, 'e'},
        {"workers", required_argument, NULL, 'w'},
        {"queue", required_argument, NULL, 'q'},
        {"root", required_argument, NULL, 'r'},
        {"keepalive", required_argument, NULL, 'k'},
        {"driver", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
};

static bool wrong(char why[OPTIONS_WHY_MAX], const char *option, const char *value, const char *remedy)
{
	snprintf(why, OPTIONS_WHY_MAX, "%s: %s: %s", option, value[0] ? value : "(empty)", remedy);
	return false;
}

static bool read_listen(struct origin_options *out, const char *value, char why[OPTIONS_WHY_MAX])
{
	const char *fault;
	char remedy[OPTIONS_WHY_MAX / 2];

	if (!addr_check(value, true, NULL, &fault)) {
		snprintf(remedy, sizeof(remedy), "%s; give ADDR:PORT, [ADDR]:PORT or unix:/PATH", fault);
		return wrong(why, "--listen", value, remedy);
	}
	if (out->listen_count == OPTIONS_LISTEN_MAX)
		return wrong(why, "--listen", value, "too many; give at most 64 addresses");
	out->listen[out->listen_count++] = value;
	return true;
}

static bool read_number(
        const char *option, const char *value, unsigned max, unsigned *out, char why[OPTIONS_WHY_MAX])
{
	char remedy[64];
	long long n;

	if (str_to_uint63(str_of(value), &n) && n >= 1 && n <= max) {
		*out = (unsigned)n;
		return true;
	}
	snprintf(remedy, sizeof(remedy), "give a number from 1 to %u", max);
	return wrong(why, option, value, remedy);
}

/* The one place that knows which engines there are. */
static bool read_engine(struct origin_options *out, const char *value, char why[OPTIONS_WHY_MAX])
{
	out->engine = strcmp(value, "async") == 0 ? ORIGIN_ASYNC : ORIGIN_POOL;
	return out->engine == ORIGIN_ASYNC || strcmp(value, "pool") == 0 ||
	       wrong(why, "--engine", value, "no such engine; give pool or async");
}

static bool read_driver(struct origin_options *out, const char *value, char why[OPTIONS_WHY_MAX])
{
	static const enum loop_driver_kind kinds[] = {LOOP_AUTO, LOOP_URING, LOOP_EPOLL};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		out->driver = kinds[i];
		if (strcmp(value, loop_driver_name(kinds[i])) == 0)
			return true;
	}
	return wrong(why, "--driver", value, "no such driver; give auto, io_uring or epoll");
}

/* Once the engine is known. */
static bool check_workers(struct origin_options *out, char why[OPTIONS_WHY_MAX])
{
	char value[16];

	if (out->workers == 0 && out->engine == ORIGIN_POOL)
		out->workers = DEFAULT_WORKERS;
	if (out->engine == ORIGIN_POOL || out->workers <= ENGINE_LOOPS_MAX)
		return true;
	snprintf(value, sizeof(value), "%u", out->workers);
	return wrong(why, "--workers", value, "the async engine has at most 64 loops");
}

static bool read_switch(struct origin_options *out, const char *value, char why[OPTIONS_WHY_MAX])
{
	out->keepalive = strcmp(value, "on") == 0;
	if (out->keepalive || strcmp(value, "off") == 0)
		return true;
	return wrong(why, "--keepalive", value, "give on or off");
}

static bool read_option(int option, const char *value, struct origin_options *out, char why[OPTIONS_WHY_MAX])
{
	switch (option) {
	case 'l':
		return read_listen(out, value, why);
	case 'e':
		return read_engine(out, value, why);
	case 'd':
		return read_driver(out, value, why);
	case 'w':
		return read_number("--workers", value, OPTIONS_WORKERS_MAX, &out->workers, why);
	case 'q':
		return read_number("--queue", value, OPTIONS_QUEUE_MAX, &out->queue, why);
	case 'k':
		return read_switch(out, value, why);
	default:
		out->root = value;
		return value[0] != '\0' || wrong(why, "--root", value, "give a directory");
	}
}

/* getopt says where: optopt for a short option, the argument before optind for a long one. */
static void name_unknown(int result, char **argv, char why[OPTIONS_WHY_MAX])
{
	char shorter[3] = {'-', (char)optopt, '\0'};
	const char *name = argv[optind - 1];

	if (strncmp(name, "--", 2) != 0 && optopt)
		name = shorter;
	if (result == ':')
		snprintf(why, OPTIONS_WHY_MAX, "%s: a value is missing; see tplb-origin --help", name);
	else
		snprintf(why, OPTIONS_WHY_MAX, "%s: no such option; see tplb-origin --help", name);
}

enum options_verdict options_parse(
        int argc, char **argv, struct origin_options *out, char why[OPTIONS_WHY_MAX])
{
	int option;

	*out = (struct origin_options){.queue = DEFAULT_QUEUE, .keepalive = true};
	optind = 0; /* glibc: begin anew */
	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:l:e:w:q:r:k:d:hv", long_options, NULL)) != -1) {
		if (option == 'h')
			return OPTIONS_HELP;
		if (option == 'v')
			return OPTIONS_VERSION;
		if (option == '?' || option == ':') {
			name_unknown(option, argv, why);
			return OPTIONS_WRONG;
		}
		if (!read_option(option, optarg, out, why))
			return OPTIONS_WRONG;
	}
	if (optind < argc) {
		wrong(why, "argument", argv[optind], "none is expected; addresses are given with --listen");
		return OPTIONS_WRONG;
	}
	if (!check_workers(out, why))
		return OPTIONS_WRONG;
	if (out->listen_count == 0)
		out->listen[out->listen_count++] = default_listen;
	return OPTIONS_RUN;
}
