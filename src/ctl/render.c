#include "ctl/render.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/answer.h"

enum { NAME_BYTES = 128 };

/* A line is a line, whatever somebody has written into a name. */
static void print_text(const char *text, FILE *out)
{
	for (; *text != '\0'; text++)
		putc((unsigned char)*text < ' ' || *text == 127 ? '?' : *text, out);
}

/* A value that stands alone; in_table: as one word. */
static void print_value(const json_t *value, bool in_table, FILE *out)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		if (in_table && json_string_length(value) > 0)
			answer_print_word(json_string_value(value), out);
		else
			print_text(in_table ? "-" : json_string_value(value), out);
		return;
	case JSON_INTEGER:
		fprintf(out, "%lld", (long long)json_integer_value(value));
		return;
	case JSON_REAL:
		fprintf(out, "%.6g", json_real_value(value));
		return;
	case JSON_TRUE:
	case JSON_FALSE:
		fputs(json_is_true(value) ? "true" : "false", out);
		return;
	case JSON_NULL:
	case JSON_OBJECT: /* within a table there is no room for more */
	case JSON_ARRAY:
		putc('-', out);
		return;
	}
}

static bool is_skipped(const json_t *value, const struct render_look *look)
{
	return look->skip_zeros && json_is_number(value) && json_number_value(value) == 0;
}

static void print_named(const char *name, json_t *value, const struct render_look *look, FILE *out)
{
	char inner[NAME_BYTES];
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_object(value)) {
		json_object_foreach(value, key, member)
		{
			snprintf(inner, sizeof(inner), "%s.%s", name, key);
			print_named(inner, member, look, out);
		}
	} else if (json_is_array(value)) {
		json_array_foreach(value, i, member) print_named(name, member, look, out);
	} else if (!is_skipped(value, look)) {
		fprintf(out, "%s ", name);
		print_value(value, false, out);
		putc('\n', out);
	}
}

/* Each column's name, one after the other, "a/b" as one. False: there is none left. */
static bool next_column(const char **columns, char name[NAME_BYTES])
{
	size_t len = strcspn(*columns, " ");

	if (len == 0)
		return false;
	snprintf(name, NAME_BYTES, "%.*s", (int)len, *columns);
	*columns += len;
	*columns += **columns == ' ';
	return true;
}

/* "a/b" is the members a and b. */
static void print_cell(const json_t *row, char *name, bool as_word, FILE *out)
{
	static json_t *const none = NULL;
	char *rest = name, *part = strsep(&rest, "/");

	for (; part; part = strsep(&rest, "/")) {
		const json_t *value = json_object_get(row, part);

		if (part != name)
			putc('/', out);
		if (value == none)
			putc('-', out);
		else
			print_value(value, as_word, out);
	}
}

/* but_missing: a column whose first member is not there is left out. */
static void print_row(const json_t *row, const char *columns, bool but_missing, bool open_end, FILE *out)
{
	char name[NAME_BYTES], member[NAME_BYTES];
	bool first = true;

	while (next_column(&columns, name)) {
		snprintf(member, sizeof(member), "%.*s", (int)strcspn(name, "/"), name);
		if (but_missing && !json_object_get(row, member))
			continue;
		if (!first)
			putc(' ', out);
		first = false;
		print_cell(row, name, *columns != '\0' || !open_end, out);
	}
	putc('\n', out);
}

/* Of the row's members that are one value. The caller frees it; NULL when memory is out. */
static char *columns_of(json_t *row)
{
	char *columns = NULL;
	const char *key;
	json_t *member;
	size_t len;
	FILE *out = open_memstream(&columns, &len);

	if (!out)
		return NULL;
	json_object_foreach(row, key, member) if (!json_is_object(member) && !json_is_array(member))
	        fprintf(out, "%s%s", ftell(out) > 0 ? " " : "", key);
	if (fclose(out) == 0)
		return columns;
	free(columns);
	return NULL;
}

static void print_table(const json_t *data, const struct render_look *look, FILE *out)
{
	char *all = look->columns ? NULL : columns_of(json_array_get(data, 0));
	const char *columns = look->columns ? look->columns : all;
	const json_t *row;
	size_t i;

	if (columns && !look->bare)
		fprintf(out, "%s\n", columns);
	json_array_foreach(data, i, row) if (columns) print_row(row, columns, false, look->open_end, out);
	free(all);
}

static void print_members(json_t *data, const struct render_look *look, FILE *out)
{
	const char *key, *columns = look->columns;
	char name[NAME_BYTES];
	json_t *member;

	if (!columns)
		json_object_foreach(data, key, member) print_named(key, member, look, out);
	while (columns && next_column(&columns, name)) {
		member = json_object_get(data, name);
		if (member)
			print_named(name, member, look, out);
	}
}

void render_text(json_t *data, const struct render_look *look, FILE *out)
{
	json_t *element;
	size_t i;

	if (json_is_object(data) && look->bare && look->columns) {
		print_row(data, look->columns, true, false, out);
	} else if (json_is_object(data)) {
		print_members(data, look, out);
	} else if (json_is_array(data) && (look->columns || json_is_object(json_array_get(data, 0)))) {
		print_table(data, look, out);
	} else if (json_is_array(data)) {
		json_array_foreach(data, i, element)
		{
			print_value(element, false, out);
			putc('\n', out);
		}
	} else {
		print_value(data, false, out);
		putc('\n', out);
	}
}

/* How many bytes the UTF-8 sequence there has (RFC 3629 section 4); 0: there is none. */
static size_t utf8_length(const unsigned char *s)
{
	size_t len = s[0] < 0x80   ? 1
	             : s[0] < 0xc2 ? 0
	             : s[0] < 0xe0 ? 2
	             : s[0] < 0xf0 ? 3
	             : s[0] < 0xf5 ? 4
	                           : 0;

	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
	        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
		return 0;
	return len;
}

/* The caller frees it; NULL when memory is out. */
static char *cleaned(const char *text)
{
	static const char instead[] = "\xef\xbf\xbd";
	const unsigned char *from = (const unsigned char *)text;
	char *clean = malloc(3 * strlen(text) + 1), *to = clean;

	while (to && *from != '\0') {
		size_t len = utf8_length(from);

		memcpy(to, len > 0 ? (const char *)from : instead, len > 0 ? len : sizeof(instead) - 1);
		to += len > 0 ? len : sizeof(instead) - 1;
		from += len > 0 ? len : 1;
	}
	if (to)
		*to = '\0';
	return clean;
}

static void clean_strings(json_t *data)
{
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_string(data)) {
		char *clean = cleaned(json_string_value(data));

		if (clean)
			json_string_set(data, clean);
		free(clean);
	}
	json_object_foreach(data, key, member) clean_strings(member);
	json_array_foreach(data, i, member) clean_strings(member);
}

bool render_json(json_t *data, FILE *out)
{
	const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
	char *text = json_dumps(data, flags);

	if (!text) { /* as a rule it is clean */
		clean_strings(data);
		text = json_dumps(data, flags);
	}
	if (!text)
		return false;
	fputs(text, out);
	free(text);
	return true;
}

void render_set(json_t *into, const char *name, json_t *value)
{
	(void)json_object_set_new(into, name, value ? value : json_null());
}

void render_set_text(json_t *into, const char *name, const char *value)
{
	render_set(into, name, value ? json_string_nocheck(value) : NULL);
}

void render_set_number(json_t *into, const char *name, uint64_t value)
{
	render_set(into, name, json_integer((json_int_t)value));
}

void render_set_real(json_t *into, const char *name, double value)
{
	render_set(into, name, json_real(value));
}

void render_set_bool(json_t *into, const char *name, bool value)
{
	render_set(into, name, json_boolean(value));
}
