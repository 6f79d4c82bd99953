/* tplbctl: talks to a running tplb. Arguments and wiring. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/client.h"
#include "ctl/top.h"

enum { EXIT_USAGE = 2 };

static const char default_socket[] = RUNSTATEDIR "/tplb/tplb.sock";

static void print_usage(FILE *out)
{
	fprintf(out,
	        "Usage: tplbctl [-s SOCKET] [-j] [-v] [-h] COMMAND\n"
	        "Says a command to a running tplb and prints the answer.\n"
	        "\n"
	        "  -s, --socket=SOCKET  where it listens: admin.socket in its configuration\n"
	        "                       (default %s)\n"
	        "  -j, --json           print the answer as one line of JSON\n"
	        "  -v, --version        print the version and exit\n"
	        "  -h, --help           print this and exit\n"
	        "\n"
	        "Commands, which `tplbctl help` explains, asking the tplb that runs:\n"
	        "  show status | servers | listeners | pool | workers | queue | counters | config\n"
	        "  show connections [N] [parked|queued|busy|closing] [listener=NAME] [client=ADDRESS]\n"
	        "  show events [N]\n"
	        "  set server UPSTREAM/SERVER drain | ready | maint | weight N\n"
	        "  set pool workers N\n"
	        "  reload [SECONDS]\n"
	        "  upgrade\n"
	        "  advise\n"
	        "  trace SECONDS\n"
	        "  help\n"
	        "\n"
	        "And one of its own, a view that goes on: tplbctl top\n"
	        "  -n, --iterations=N   end after so many frames\n"
	        "  -d, --delay=SECONDS  between two frames (default 1)\n",
	        default_socket);
}

/* The exit status after something was printed: a full disk must not go unnoticed. */
static int printed(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	fprintf(stderr, "tplbctl: cannot write to standard output: %m\n");
	return EXIT_FAILURE;
}

static int usage_error(const char *what)
{
	fprintf(stderr, "tplbctl: %s; try tplbctl --help\n", what);
	return EXIT_USAGE;
}

/* What would not be one line of words. */
static bool has_control(const char *word)
{
	for (; *word != '\0'; word++)
		if ((unsigned char)*word < ' ' || *word == 127)
			return true;
	return false;
}

/* "top" and what stands behind it: argv[0] is the word. */
static int run_top(const char *socket, bool as_json, int argc, char **argv)
{
	static const struct option options[] = {
	        {"iterations", required_argument, NULL, 'n'},
	        {"delay", required_argument, NULL, 'd'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	struct top_options top = {.socket = socket, .as_json = as_json, .delay = CLOCK_NS_PER_S};
	char *end = NULL;
	double seconds;
	int c;

	optind = 0; /* GNU's getopt begins anew */
	while ((c = getopt_long(argc, argv, "+n:d:h", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			errno = 0;
			top.iterations = strtoul(optarg, &end, 10);
			if (errno != 0 || *end != '\0' || optarg[0] < '0' || optarg[0] > '9' ||
			        top.iterations == 0)
				return usage_error("-n takes a whole number, 1 or more");
			break;
		case 'd':
			seconds = strtod(optarg, &end);
			if (*end != '\0' || !(seconds >= 0.1 && seconds <= 3600))
				return usage_error("-d takes seconds, 0.1 to 3600");
			top.delay = (int64_t)(seconds * (double)CLOCK_NS_PER_S);
			break;
		case 'h':
			print_usage(stdout);
			return printed();
		default:
			return usage_error("top takes -n ITERATIONS and -d SECONDS");
		}
	}
	if (optind < argc)
		return usage_error("top takes -n ITERATIONS and -d SECONDS, nothing else");
	return top_run(&top);
}

static int ask(const char *socket, bool as_json, char *const *words)
{
	char why[CLIENT_WHY_BYTES] = "";

	if (words[0] == NULL)
		return usage_error("there is no command");
	for (size_t i = 0; words[i] != NULL; i++)
		if (words[i][0] == '\0' || has_control(words[i]))
			return usage_error("no word of a command is empty or has control characters");
	bool good = (as_json ? client_ask_json : client_ask)(socket, words, stdout, why);
	int status = printed();
	if (!good)
		fprintf(stderr, "tplbctl: %s\n", why);
	return good ? status : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	        {"socket", required_argument, NULL, 's'},
	        {"json", no_argument, NULL, 'j'},
	        {"version", no_argument, NULL, 'v'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	const char *socket = default_socket;
	bool as_json = false;
	int c;

	while ((c = getopt_long(argc, argv, "+s:jvh", options, NULL)) != -1) {
		switch (c) {
		case 's':
			socket = optarg;
			break;
		case 'j':
			as_json = true;
			break;
		case 'v':
			puts("tplbctl " PACKAGE_VERSION);
			return printed();
		case 'h':
			print_usage(stdout);
			return printed();
		default: /* getopt has said what is wrong */
			fprintf(stderr, "tplbctl: try tplbctl --help\n");
			return EXIT_USAGE;
		}
	}
	if (optind < argc && strcmp(argv[optind], "top") == 0)
		return run_top(socket, as_json, argc - optind, argv + optind);
	return ask(socket, as_json, argv + optind);
}
