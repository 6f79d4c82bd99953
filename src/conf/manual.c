/* The manual's part about keys, in mdoc(7): each group and list a subsection, each key a tagged paragraph. */
#include "conf/conf.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

enum { PATH_MAX_BYTES = 256, UNIT_TEXT = 32 };

void conf_print_text(const char *text, FILE *out)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\\')
			fputs("\\e", out);
		else if (*p == '-')
			fputs("\\-", out);
		else if (*p == '\'')
			fputs("\\(aq", out);
		else if (*p == '`')
			fputs("\\(ga", out);
		else if (*p == '^')
			fputs("\\(ha", out);
		else if (*p == '~')
			fputs("\\(ti", out);
		else if (*p == '.' && p == text)
			fputs("\\&.", out);
		else
			fputc(*p, out);
	}
}

/* A value as it stands in a file. Defaults and choices have neither quotes nor backslashes. */
static void put_quoted(const char *text, FILE *out)
{
	fputs("\\(dq", out);
	conf_print_text(text, out);
	fputs("\\(dq", out);
}

static bool is_word(const char *text, const char *word, size_t len)
{
	return strlen(text) == len && strncmp(text, word, len) == 0;
}

/* What may stand in a file as it is spelt. */
static bool is_value(const struct conf_key *key, const char *word, size_t len)
{
	for (const char *const *c = key->choices; c && *c; c++)
		if (is_word(*c, word, len))
			return true;
	return key->fallback && is_word(key->fallback, word, len);
}

/* The help as a sentence; a value that it begins with is not spelt otherwise. */
static void put_help(const struct conf_key *key, FILE *out)
{
	const char *help = key->help;
	size_t word = strcspn(help, " ,:;");
	char first[] = {help[0], '\0'};

	if (!is_value(key, help, word))
		first[0] = (char)toupper((unsigned char)first[0]);
	conf_print_text(first, out);
	conf_print_text(help + 1, out);
	fprintf(out, "%s\n", help[strlen(help) - 1] == '.' ? "" : ".");
}

static void put_choices(const struct conf_key *key, FILE *out)
{
	fputs(key->choices[1] ? "One of" : "Always", out);
	for (unsigned i = 0; key->choices[i]; i++) {
		fputs(i == 0 ? " " : key->choices[i + 1] ? ", " : " or ", out);
		put_quoted(key->choices[i], out);
	}
	fputs(".\n", out);
}

static void put_bounds(const struct conf_key *key, const char *least, const char *most, FILE *out)
{
	if (key->min != 0 || key->max != 0) {
		fputs(" from ", out);
		conf_print_text(least, out);
		fputs(" to ", out);
		conf_print_text(most, out);
	}
	fputs(".\n", out);
}

static void put_type(const struct conf_key *key, FILE *out)
{
	char least[UNIT_TEXT], most[UNIT_TEXT];

	switch (key->type) {
	case CONF_BOOL:
		fputs("True or false.\n", out);
		break;
	case CONF_INT:
		snprintf(least, sizeof(least), "%" PRId64, key->min);
		snprintf(most, sizeof(most), "%" PRId64, key->max);
		fputs("A whole number", out);
		put_bounds(key, least, most, out);
		break;
	case CONF_DURATION:
		conf_format_duration(key->min, least);
		conf_format_duration(key->max, most);
		fputs("A duration", out);
		put_bounds(key, least, most, out);
		break;
	case CONF_SIZE:
		conf_format_size((uint64_t)key->min, least);
		conf_format_size((uint64_t)key->max, most);
		fputs("A size", out);
		put_bounds(key, least, most, out);
		break;
	case CONF_STRING:
		fputs("A string.\n", out);
		break;
	case CONF_CHOICE:
		put_choices(key, out);
		break;
	case CONF_STRINGS:
		fputs("A list of strings.\n", out);
		break;
	case CONF_GROUP:
		fputs("A group, below.\n", out);
		break;
	case CONF_LIST:
		fputs("A list of groups, below.\n", out);
		break;
	}
}

static void put_default(const struct conf_key *key, FILE *out)
{
	if (key->type == CONF_GROUP || (key->type == CONF_LIST && key->fallback))
		return;
	if (!key->fallback) {
		fputs("Required.\n", out);
		return;
	}
	fputs("Default: ", out);
	if (key->type == CONF_BOOL || key->type == CONF_INT)
		conf_print_text(key->fallback, out);
	else if (key->type == CONF_STRINGS)
		fputs("( )", out);
	else
		put_quoted(key->fallback, out);
	fputs(".\n", out);
}

static void put_key(const struct conf_section *section, const struct conf_key *key, FILE *out)
{
	fputs(".It Ic \\&", out); /* lest a name be taken for a macro's */
	conf_print_text(key->name, out);
	fputc('\n', out);
	if (key->help)
		put_help(key, out);
	put_type(key, out);
	put_default(key, out);
	if (!key->live && !section->live && key->type != CONF_GROUP && key->type != CONF_LIST)
		fputs("A change needs a restart.\n", out);
}

/* "upstreams.servers" */
static void join(char path[PATH_MAX_BYTES], const char *parent, const char *name)
{
	snprintf(path, PATH_MAX_BYTES, "%s%s%s", parent, parent[0] ? "." : "", name);
}

static void put_section(const struct conf_section *section, const char *path, FILE *out)
{
	fputs(".Bl -tag -width Ds\n", out);
	for (const struct conf_key *key = section->keys; key->name; key++)
		put_key(section, key, out);
	fputs(".El\n", out);
	for (const struct conf_key *key = section->keys; key->name; key++) {
		char below[PATH_MAX_BYTES];

		if (!key->section)
			continue;
		join(below, path, key->name);
		fprintf(out, ".Ss %s \\&%s\n", key->type == CONF_LIST ? "Each of" : "Group", below);
		if (key->help)
			put_help(key, out);
		put_section(key->section, below, out);
	}
}

void conf_print_manual(const struct conf_section *root, FILE *out)
{
	fputs(".Ss Top level\n", out);
	put_section(root, "", out);
}

static void print_paths(const struct conf_section *section, const char *path, FILE *out)
{
	for (const struct conf_key *key = section->keys; key->name; key++) {
		char own[PATH_MAX_BYTES];

		join(own, path, key->name);
		fprintf(out, "%s\n", own);
		if (key->section)
			print_paths(key->section, own, out);
	}
}

void conf_print_paths(const struct conf_section *root, FILE *out)
{
	print_paths(root, "", out);
}

void conf_print_manual_row(const char *word, const char *help, FILE *out)
{
	fputs(".It Ic \\&", out);
	conf_print_text(word, out);
	fputc('\n', out);
	conf_print_text(help, out);
	fputs(".\n", out);
}
