/* tplb-load: the load generator. Wiring only. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/signals.h"
#include "load/load.h"

enum { EXIT_USAGE = 2 };

static int fault(const char *what, const char *why, const char *remedy)
{
	fprintf(stderr, "tplb-load: %s: %s; %s\n", what, why, remedy);
	return EXIT_FAILURE;
}

/* The exit status after something was printed: a full disk must not go unnoticed. */
static int printed(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	fprintf(stderr, "tplb-load: cannot write to standard output: %m\n");
	return EXIT_FAILURE;
}

static int print(const char *text)
{
	fputs(text, stdout);
	return printed();
}

static int report(const struct load_options *o, const struct load_result *r)
{
	if (o->json)
		load_print_json(o, r, stdout);
	else
		load_print_text(o, r, stdout);
	return printed();
}

static int run(const struct load_options *o)
{
	struct addr to;
	const char *why;

	if (!addr_parse(o->url.address, false, &to, &why))
		return fault(o->url.host, why, "give an address or a name that can be resolved");
	enum loop_driver_kind driver = loop_choose(o->driver, &why);
	if (driver == LOOP_URING && why)
		return fault("io_uring is not to be had", why, "with --driver auto it is epoll then");
	struct load_result *result = calloc(1, sizeof(*result));
	if (!result)
		return fault(o->text, "out of memory", "ask for less");
	signals_block();
	enum load_verdict verdict = load_run(o, &to, driver, result, &why);
	int status;
	if (verdict == LOAD_UNREACHABLE)
		status = fault(o->url.address, why, "is the server running, and the URL right?");
	else if (verdict == LOAD_FAILED)
		status = fault("cannot start", why, "ask for fewer connections");
	else
		status = report(o, result);
	if (verdict != LOAD_ENDED)
		_exit(status);
	free(result);
	return status;
}

int main(int argc, char **argv)
{
	struct load_options options;
	char why[LOAD_WHY_MAX];

	switch (load_options_parse(argc, argv, &options, why)) {
	case LOAD_OPTIONS_HELP:
		return print(load_options_help());
	case LOAD_OPTIONS_VERSION:
		return print("tplb-load " PACKAGE_VERSION "\n");
	case LOAD_OPTIONS_WRONG:
		fprintf(stderr, "tplb-load: %s\n", why);
		return EXIT_USAGE;
	default:
		return run(&options);
	}
}
