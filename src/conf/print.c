/* The effective configuration, in libconfig syntax: what was read, back to a file that reads the same. */
#include "conf/conf.h"

#include <inttypes.h>
#include <string.h>

/* Where the help starts after a value. */
enum { HELP_COLUMN = 40 };

static void print_section(const struct conf_section *section, const void *values, unsigned depth, FILE *out);

static void print_indent(unsigned depth, FILE *out)
{
	for (unsigned i = 0; i < depth; i++)
		fputc('\t', out);
}

static int print_string(const char *text, FILE *out)
{
	int width = fprintf(out, "\"");
	for (const char *p = text != NULL ? text : ""; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			width += fprintf(out, "\\%c", *p);
		else if ((unsigned char)*p < 0x20 || *p == 0x7f)
			width += fprintf(out, "\\x%02x", (unsigned)(unsigned char)*p);
		else
			width += fprintf(out, "%c", *p);
	}
	return width + fprintf(out, "\"");
}

static int print_strings(const struct conf_strings *strings, FILE *out)
{
	int width = fprintf(out, "( ");
	for (size_t i = 0; i < strings->count; i++) {
		width += fprintf(out, "%s", i == 0 ? "" : ", ");
		width += print_string(strings->at[i], out);
	}
	return width + fprintf(out, "%s)", strings->count == 0 ? "" : " ");
}

/* libconfig wants an L on what 32 bits do not hold. */
static int print_int(int64_t value, FILE *out)
{
	bool wide = value > INT32_MAX || value < INT32_MIN;
	return fprintf(out, "%" PRId64 "%s", value, wide ? "L" : "");
}

int conf_print_value(const struct conf_key *key, const void *value, FILE *out)
{
	char text[32];
	switch (key->type) {
	case CONF_BOOL:
		return fprintf(out, "%s", *(const bool *)value ? "true" : "false");
	case CONF_INT:
		return print_int(*(const int64_t *)value, out);
	case CONF_DURATION:
		conf_format_duration(*(const int64_t *)value, text);
		return print_string(text, out);
	case CONF_SIZE:
		conf_format_size(*(const uint64_t *)value, text);
		return print_string(text, out);
	case CONF_STRING:
		return print_string(*(char *const *)value, out);
	case CONF_CHOICE:
		return print_string(key->choices[*(const int *)value], out);
	case CONF_STRINGS:
		return print_strings(value, out);
	case CONF_GROUP:
	case CONF_LIST:
		break;
	}
	return 0;
}

static void print_help(const struct conf_key *key, unsigned depth, FILE *out)
{
	if (key->help == NULL)
		return;
	print_indent(depth, out);
	fprintf(out, "// %s\n", key->help);
}

static void print_group(const struct conf_key *key, const void *values, unsigned depth, FILE *out)
{
	print_help(key, depth, out);
	print_indent(depth, out);
	fprintf(out, "%s: {\n", key->name);
	print_section(key->section, values, depth + 1, out);
	print_indent(depth, out);
	fprintf(out, "};\n");
}

static void print_list(const struct conf_key *key, const struct conf_list *list, unsigned depth, FILE *out)
{
	print_help(key, depth, out);
	print_indent(depth, out);
	fprintf(out, "%s = (\n", key->name);
	for (size_t i = 0; i < list->count; i++) {
		print_indent(depth + 1, out);
		fprintf(out, "{\n");
		print_section(key->section, (const char *)list->at + i * key->section->size, depth + 2, out);
		print_indent(depth + 1, out);
		fprintf(out, "}%s\n", i + 1 < list->count ? "," : "");
	}
	print_indent(depth, out);
	fprintf(out, ");\n");
}

static void print_scalar(const struct conf_key *key, const void *value, unsigned depth, FILE *out)
{
	print_indent(depth, out);
	int width = (int)depth * 8 + fprintf(out, "%s = ", key->name);
	width += conf_print_value(key, value, out) + fprintf(out, ";");
	if (key->help != NULL)
		fprintf(out, "%*s // %s", width < HELP_COLUMN ? HELP_COLUMN - width : 0, "", key->help);
	fputc('\n', out);
}

static void print_section(const struct conf_section *section, const void *values, unsigned depth, FILE *out)
{
	for (const struct conf_key *key = section->keys; key->name != NULL; key++) {
		const void *value = (const char *)values + key->offset;
		bool wide = key->type == CONF_GROUP || key->type == CONF_LIST;
		if (wide && depth == 0)
			fputc('\n', out);
		if (key->type == CONF_GROUP)
			print_group(key, value, depth, out);
		else if (key->type == CONF_LIST)
			print_list(key, value, depth, out);
		else
			print_scalar(key, value, depth, out);
	}
}

void conf_print(const struct conf_section *root, const void *values, FILE *out)
{
	print_section(root, values, 0, out);
}
