/* tplbctl: talks to a running tplb. Arguments and wiring. */
#include "config.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"

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
	        "  show status | servers | pool | workers | queue | counters\n"
	        "  set server UPSTREAM/SERVER drain | ready | maint\n"
	        "  set pool workers N\n"
	        "  reload\n"
	        "  upgrade\n"
	        "  advise\n"
	        "  help\n",
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
	return ask(socket, as_json, argv + optind);
}
