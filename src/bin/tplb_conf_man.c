/*
 * A tool of the build, which is not installed: makes the manual pages of the configuration and of the metrics from their templates and the tables.
 *
 *	tplb-conf-man TEMPLATE     the page; the template's line "@KEYS@" becomes what is known of the
 *	                           configuration's keys, "@VARIABLES@" of the variables of log.format, "@ENDS@" of the words for how requests end
 *	tplb-conf-man --keys       the path of every key
 *	tplb-conf-man --variables  the name of every variable
 *	tplb-conf-man --ends       every word
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lb/config.h"
#include "lb/end.h"
#include "lb/log_format.h"
#include "lb/metrics.h"

enum { LINE_BYTES = 4096 };

static void print_row(void *arg, const char *word, const char *help)
{
	(void)arg;
	conf_print_manual_row(word, help, stdout);
}

static void print_word(void *arg, const char *word, const char *help)
{
	(void)arg;
	(void)help;
	puts(word);
}

static void print_line(const char *line)
{
	static const char version[] = "@VERSION@";
	const char *at = strstr(line, version);

	if (strcmp(line, "@KEYS@\n") == 0)
		conf_print_manual(&lb_config_section, stdout);
	else if (strcmp(line, "@VARIABLES@\n") == 0)
		log_variables_tell(print_row, NULL);
	else if (strcmp(line, "@ENDS@\n") == 0)
		ends_tell(print_row, NULL);
	else if (strcmp(line, "@METRICS@\n") == 0)
		metrics_print_manual(stdout);
	else if (at)
		printf("%.*s" PACKAGE_VERSION "%s", (int)(at - line), line, at + sizeof(version) - 1);
	else
		fputs(line, stdout);
}

static bool print_page(const char *path)
{
	char line[LINE_BYTES];
	FILE *template = fopen(path, "re");

	if (!template)
		return false;
	while (fgets(line, sizeof(line), template))
		print_line(line);
	bool whole = !ferror(template);
	fclose(template);
	return whole;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: tplb-conf-man TEMPLATE | --keys | --variables | --ends\n");
		return 2;
	}
	if (strcmp(argv[1], "--keys") == 0) {
		conf_print_paths(&lb_config_section, stdout);
	} else if (strcmp(argv[1], "--variables") == 0) {
		log_variables_tell(print_word, NULL);
	} else if (strcmp(argv[1], "--ends") == 0) {
		ends_tell(print_word, NULL);
	} else if (!print_page(argv[1])) {
		fprintf(stderr, "tplb-conf-man: %s: %m\n", argv[1]);
		return EXIT_FAILURE;
	}
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	fprintf(stderr, "tplb-conf-man: cannot write to standard output: %m\n");
	return EXIT_FAILURE;
}
