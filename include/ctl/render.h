/* Data as text for people, and as JSON for programs: what a command shows is made once, as a json_t. */
#ifndef TPLB_CTL_RENDER_H
#define TPLB_CTL_RENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* How text is made of it. All 0: every member is shown, in the order in which they were set. */
struct render_look {
	const char *
	        columns; /* members to show, with blanks between; "a/b": both, a slash between them. NULL: all */
	bool bare;       /* values alone: no names, no line of headings; of one object those that it has */
	bool open_end;   /* of tables the last column is no word but text, to the end of the line */
	bool skip_zeros; /* numbers that are 0 are left out, but not out of tables */
};

/*
 * An object: lines of a name and a value, or with look->bare one line of values. Below it members are named "outer.inner", and an array has a line for each
 * element. An array of objects: a table, with a line of headings; a member that is missing or null is "-". Words of tables are written as a command takes them
 * (answer_print_word).
 */
void render_text(json_t *data, const struct render_look *look, FILE *out);

/* One line without its newline. Bytes that are no UTF-8 become U+FFFD, in the data too. False when memory is out. */
bool render_json(json_t *data, FILE *out);

/*
 * To make data: value may be anything, NULL becomes null. What memory has no room for is missing. Text need not be UTF-8. `into` is an object, or NULL, and
 * nothing happens.
 */
void render_set(json_t *into, const char *name, json_t *value); /* takes the value over */
void render_set_text(json_t *into, const char *name, const char *value);
void render_set_number(json_t *into, const char *name, uint64_t value);
void render_set_real(json_t *into, const char *name, double value);
void render_set_bool(json_t *into, const char *name, bool value);

#endif
