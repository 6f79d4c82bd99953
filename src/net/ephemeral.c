#include "net/ephemeral.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first line of a file; empty when it is not there. */
static void read_line(const char *root, const char *path, char *out, size_t size)
{
	char name[512];
	FILE *f = NULL;

	if ((size_t)snprintf(name, sizeof(name), "%s%s", root, path) < sizeof(name))
		f = fopen(name, "re");
	size_t len = f ? fread(out, 1, size - 1, f) : 0;
	if (f)
		fclose(f);
	out[len] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

bool ephemeral_read(struct ephemeral *e, const char *root)
{
	char range[64];

	read_line(root, "/proc/sys/net/ipv4/ip_local_port_range", range, sizeof(range));
	read_line(root, "/proc/sys/net/ipv4/ip_local_reserved_ports", e->reserved, sizeof(e->reserved));
	return sscanf(range, "%u %u", &e->first, &e->last) == 2 && e->first <= e->last && e->last <= 65535;
}

/* Takes the next "9000-9005" or "8080" off the list. False at its end. */
static bool next_range(const char **list, unsigned *first, unsigned *last)
{
	char *end;

	if (**list < '0' || **list > '9')
		return false;
	*first = *last = (unsigned)strtoul(*list, &end, 10);
	if (*end == '-')
		*last = (unsigned)strtoul(end + 1, &end, 10);
	*list = *end == ',' ? end + 1 : end;
	return true;
}

bool ephemeral_has(const struct ephemeral *e, unsigned port)
{
	const char *list = e->reserved;
	unsigned first, last;

	if (port < e->first || port > e->last)
		return false;
	while (next_range(&list, &first, &last))
		if (port >= first && port <= last)
			return false;
	return true;
}

/* The kernel's list is sorted and without overlaps. */
unsigned ephemeral_count(const struct ephemeral *e)
{
	const char *list = e->reserved;
	unsigned first, last;
	unsigned count = e->last - e->first + 1;

	while (next_range(&list, &first, &last)) {
		if (first < e->first)
			first = e->first;
		if (last > e->last)
			last = e->last;
		if (first <= last)
			count -= last - first + 1;
	}
	return count;
}
