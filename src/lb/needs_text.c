/* The words: the table, and one line for each resource that is short. */
#include "lb/needs.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { NUMBER_TEXT = 32, NAME_WIDTH = 15, NUMBER_WIDTH = 14, WIDTH_MAX = 92 };

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define SHOW_MIB (16 * MIB) /* from there on in MiB */

static const struct {
	const char *name;
	const char *noun;
	bool bytes;
} resources[RESOURCE_COUNT] = {
        [RESOURCE_DESCRIPTORS] = {"descriptors", "descriptors", false},
        [RESOURCE_THREADS] = {"threads", "threads", false},
        [RESOURCE_MAPPINGS] = {"mappings", "memory mappings", false},
        [RESOURCE_ADDRESSES] = {"address space", "of address space", true},
        [RESOURCE_MEMORY] = {"memory", "of memory", true},
        [RESOURCE_LOCKED] = {"locked memory", "of locked memory", true},
        [RESOURCE_BACKLOG] = {"backlog", "places in a listener's backlog", false},
        [RESOURCE_PORTS] = {"ports", "local ports for one server", false},
};

/* How a limit is raised to N: `before` N `after`; unit: what N counts, in bytes; 0: there is no N. */
static const struct {
	const char *name, *before, *after;
	uint64_t unit;
} limits[LIMIT_COUNT] = {
        [LIMIT_NONE] = {"no limit", "", "", 0},
        [LIMIT_NOFILE] = {"RLIMIT_NOFILE (hard)", "ulimit -Hn ", " (LimitNOFILE= in the unit)", 1},
        [LIMIT_NR_OPEN] = {"fs.nr_open", "sysctl -w fs.nr_open=", "", 1},
        [LIMIT_NPROC] = {"RLIMIT_NPROC", "ulimit -u ",
                " or more, with the user's other processes (LimitNPROC= in the unit)", 1},
        [LIMIT_THREADS_MAX] = {"kernel.threads-max", "sysctl -w kernel.threads-max=", "", 1},
        [LIMIT_PID_MAX] = {"kernel.pid_max", "sysctl -w kernel.pid_max=", "", 1},
        [LIMIT_PIDS_CGROUP] = {"pids.max", "pids.max = ",
                " in the control group (TasksMax= in the unit, --pids-limit of a container)", 1},
        [LIMIT_MAP_COUNT] = {"vm.max_map_count", "sysctl -w vm.max_map_count=", "", 1},
        [LIMIT_AS] = {"RLIMIT_AS", "ulimit -v ", " (LimitAS= in the unit)", KIB},
        [LIMIT_AVAILABLE] = {"MemAvailable", "more memory", "", 0},
        [LIMIT_MEMORY_CGROUP] = {"memory.max", "memory.max = ",
                " in the control group (MemoryMax= in the unit, --memory of a container)", 1},
        [LIMIT_MEMLOCK] = {"RLIMIT_MEMLOCK", "ulimit -l ",
                " or more, with the user's other processes (LimitMEMLOCK= in the unit), or async.driver = "
                "\"epoll\"",
                KIB},
        [LIMIT_SOMAXCONN] = {"net.core.somaxconn", "sysctl -w net.core.somaxconn=", "", 1},
        [LIMIT_PORT_RANGE] = {"net.ipv4.ip_local_port_range", "a wider range (less ip_local_reserved_ports)",
                "", 0},
};

static const char *amount_text(uint64_t amount, bool bytes, char out[NUMBER_TEXT])
{
	if (bytes && amount < SHOW_MIB)
		snprintf(out, NUMBER_TEXT, "%" PRIu64 " KiB", (amount + KIB - 1) / KIB);
	else if (bytes)
		snprintf(out, NUMBER_TEXT, "%" PRIu64 " MiB", (amount + MIB - 1) / MIB);
	else
		snprintf(out, NUMBER_TEXT, "%" PRIu64, amount);
	return out;
}

/* Grants are rounded down: what is short must not look as if it were not. */
static const char *granted_text(const struct grant *g, bool bytes, char out[NUMBER_TEXT])
{
	uint64_t left = grant_free(g);
	uint64_t unit = !bytes ? 1 : left < SHOW_MIB ? KIB : MIB;

	if (g->by == LIMIT_NONE)
		snprintf(out, NUMBER_TEXT, "-");
	else
		amount_text(left / unit * unit, bytes, out);
	return out;
}

static void append(char out[NEEDS_TEXT_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));
static void append(char out[NEEDS_TEXT_MAX], const char *format, ...)
{
	size_t len = strlen(out);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(out + len, NEEDS_TEXT_MAX - len, format, args);
	va_end(args);
}

/* "ulimit -Hn 22225 (LimitNOFILE= in the unit), or set limits.connections to 1343" */
static void append_remedy(const struct needs *n, enum resource r, char out[NEEDS_TEXT_MAX])
{
	const struct grant *g = &n->grants->of[r];
	struct needs_remedy remedy = needs_remedy(n, r);
	uint64_t unit = limits[g->by].unit;

	append(out, "%s", limits[g->by].before);
	if (unit > 0)
		append(out, "%" PRIu64, (n->of[r].amount + g->used + unit - 1) / unit);
	append(out, "%s", limits[g->by].after);
	if (remedy.path && remedy.value > 0)
		append(out, ", or set %s to %" PRId64, remedy.path, remedy.value);
	else if (remedy.path)
		append(out, ", or less of all that adds up to it, %s first", remedy.path);
}

const char *needs_text(const struct needs *n, enum resource r, char out[NEEDS_TEXT_MAX])
{
	const struct grant *g = &n->grants->of[r];
	char needed[NUMBER_TEXT], granted[NUMBER_TEXT];

	out[0] = '\0';
	append(out, "%s %s are needed at most, and %s leaves %s: it takes ",
	        amount_text(n->of[r].amount, resources[r].bytes, needed), resources[r].noun,
	        limits[g->by].name, granted_text(g, resources[r].bytes, granted));
	append_remedy(n, r, out);
	return out;
}

void needs_warn(const struct needs *n)
{
	char text[NEEDS_TEXT_MAX];

	for (enum resource r = 0; r < RESOURCE_COUNT; r++) {
		if (!needs_is_short(n, r))
			continue;
		struct needs_remedy remedy = needs_remedy(n, r);
		conf_warning(n->config->conf, remedy.path ? remedy.place : NULL,
		        remedy.path ? remedy.key : NULL, "%s", needs_text(n, r, text));
	}
}

/* "16384 clients", "512 x 2 in pipes", "256 x 16 KiB pipes" */
static void term_text(const struct needs_term *t, bool bytes, char out[NEEDS_TEXT_MAX])
{
	out[0] = '\0';
	if (t->each == 1 || !bytes || t->count > 1)
		append(out, "%" PRIu64 " ", t->count);
	if (t->each != 1 && (!bytes || t->count > 1))
		append(out, "x ");
	if (bytes && t->each % MIB == 0)
		append(out, "%" PRIu64 " MiB ", t->each / MIB);
	else if (bytes)
		append(out, "%" PRIu64 " KiB ", t->each / KIB);
	else if (t->each != 1)
		append(out, "%" PRIu64 " ", t->each);
	append(out, "%s", t->what);
}

/* The sum, broken into lines between its terms. */
static void print_terms(const struct need *need, bool bytes, FILE *out)
{
	char text[NEEDS_TEXT_MAX];
	size_t width = 0;

	for (unsigned i = 0; i < need->term_count; i++) {
		term_text(&need->terms[i], bytes, text);
		if (width > 0 && width + 3 + strlen(text) > WIDTH_MAX) {
			fputs(" +\n", out);
			width = 0;
		}
		fputs(width > 0 ? " + " : "    ", out);
		fputs(text, out);
		width += (width > 0 ? 3 : 4) + strlen(text);
	}
	fputc('\n', out);
}

static void print_resource(const struct needs *n, enum resource r, FILE *out)
{
	const struct grant *g = &n->grants->of[r];
	bool bytes = resources[r].bytes, is_short = needs_is_short(n, r);
	char needed[NUMBER_TEXT], granted[NUMBER_TEXT], remedy[NEEDS_TEXT_MAX] = "";

	fprintf(out, "%-*s%*s%*s  %-5s  %s", NAME_WIDTH, resources[r].name, NUMBER_WIDTH,
	        amount_text(n->of[r].amount, bytes, needed), NUMBER_WIDTH, granted_text(g, bytes, granted),
	        is_short ? "short" : "well", limits[g->by].name);
	if (g->used > 0)
		fprintf(out, ", of which %s are in use", amount_text(g->used, bytes, granted));
	fputc('\n', out);
	print_terms(&n->of[r], bytes, out);
	if (!is_short)
		return;
	append_remedy(n, r, remedy);
	fprintf(out, "    It takes %s.\n", remedy);
}

void needs_print(const struct needs *n, FILE *out)
{
	fprintf(out,
	        "\nWhat it needs at most, and what this system leaves it now; where it is to run, that may "
	        "be other:\n\n"
	        "%-*s%*s%*s\n",
	        NAME_WIDTH, "", NUMBER_WIDTH, "needed", NUMBER_WIDTH, "granted");
	for (enum resource r = 0; r < RESOURCE_COUNT; r++)
		if (n->of[r].amount > 0)
			print_resource(n, r, out);
}
