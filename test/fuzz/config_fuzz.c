/*
 * A configuration file, read and checked. A mistake is told with a line that has a place; what has none, printed as `tplb -T` prints it, reads
 * back without a fault to the same values, and prints the same again.
 */
#include <stdio.h>

#include "fuzz.h"
#include "lb/config.h"
#include "lb/needs.h"

static char *print(const struct lb_config *config)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	MUST(out != NULL);
	lb_config_print(config, out);
	MUST(fclose(out) == 0);
	return text;
}

static void differs(void *arg, const struct conf_difference *d)
{
	(void)arg;
	fprintf(stderr, "%s reads back as another value\n", d->path);
	abort();
}

static void check_round_trip(const struct lb_config *config)
{
	char *text = print(config);
	struct lb_config *again = lb_config_read_text("printed", text);

	MUST(again != NULL);
	if (conf_fault_count(again->conf) > 0) {
		conf_print_faults(again->conf, stderr);
		fputs(text, stderr);
		abort();
	}
	conf_diff(&lb_config_section, config, again, differs, NULL);
	char *second = print(again);
	MUST(strcmp(text, second) == 0);
	free(second);
	free(text);
	lb_config_free(again);
}

/* "FILE:LINE: ...", each a line. */
static void check_faults(const struct conf *conf)
{
	char *text = NULL;
	size_t len;
	unsigned lines = 0;
	FILE *out = open_memstream(&text, &len);

	MUST(out != NULL);
	conf_print_faults(conf, out);
	MUST(fclose(out) == 0);
	for (const char *line = text, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		MUST(end != NULL && strncmp(line, "/nowhere/x.conf:", 16) == 0);
		lines++;
	}
	MUST(lines >= conf_fault_count(conf));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	MUST(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	/* What lies around on this machine is not to be read: there is no folder "/nowhere". */
	if (strstr(text, "@include") && (strstr(text, "\"/") || strstr(text, "..") || strchr(text, '\\'))) {
		free(text);
		return -1;
	}
	struct lb_config *config = lb_config_read_text("/nowhere/x.conf", text);
	MUST(config != NULL);
	check_faults(config->conf);
	if (conf_fault_count(config->conf) == 0)
		check_round_trip(config);
	lb_config_free(config);
	free(text);
	return 0;
}
