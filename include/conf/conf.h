/*
 * A configuration file (libconfig syntax) read through tables of keys that the program supplies. From one row
 * come parsing, checking, the default, the printed effective configuration and the manual.
 * Every mistake is reported with its place, all of them in one run.
 */
#ifndef TPLB_CONF_CONF_H
#define TPLB_CONF_CONF_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum conf_type {
	CONF_BOOL,     /* bool */
	CONF_INT,      /* int64_t, within [min, max] */
	CONF_DURATION, /* int64_t ns; text "250ms", "5s", "2m", "1h"; "0s" allowed when min is 0; bounds in ns */
	CONF_SIZE,     /* uint64_t bytes; text "512", "64k", "1m", "2g" (powers of 1024); bounds in bytes */
	CONF_STRING,  /* char *, owned by the struct conf */
	CONF_CHOICE,  /* int: the index into `choices` */
	CONF_STRINGS, /* struct conf_strings */
	CONF_GROUP,   /* a struct in place, `section` */
	CONF_LIST     /* struct conf_list of structs of `section`; with the default NULL: at least one item */
};

struct conf_strings {
	size_t count;
	char **at;
};

struct conf_list {
	size_t count;
	void *at; /* array of count items of section->size bytes */
};

struct conf_key {
	const char *name;
	enum conf_type type;
	size_t offset; /* of the value in the section's struct */
	/* The default, written as in a file but without quotes ("16", "50ms", "" for no elements); NULL: required. */
	const char *fallback;
	int64_t min, max;                   /* CONF_INT, CONF_DURATION, CONF_SIZE: both 0 means no bounds */
	const char *const *choices;         /* CONF_CHOICE: names, NULL at the end */
	const struct conf_section *section; /* CONF_GROUP, CONF_LIST */
	const char *help;                   /* one line for the manual and for -T */
	const char *note; /* CONF_CHOICE: added to the message when a name is refused; may be NULL */
	bool live;        /* a change is taken in while the program runs; otherwise it needs a restart */
};

struct conf_section {
	size_t size;     /* of the struct */
	size_t place;    /* offset of a `const void *` that receives where the item stands, for conf_fault */
	const char *one; /* what an item is called in messages: "listener" */
	const struct conf_key *keys; /* ends with a row whose name is NULL */
	const char *
	        identity; /* of an item of a list: the CONF_STRING by which it is known again; NULL: its place */
	bool live;        /* all of its keys are, but groups and lists, whose sections say so themselves */
};

/*
 * Who opens the files: for a process that may not do so itself. Called for the file and for each that it includes, as the path is written there.
 * A descriptor for reading, the caller's; or -errno. May be called again for the same path.
 */
struct conf_opener {
	void *arg;
	int (*open)(void *arg, const char *path);
};

struct conf; /* an open file, the strings in it, and the faults found so far */

/*
 * Reads FILE into *out (zeroed, of root->size bytes, laid out by the tables), defaults filled in. Faults are
 * collected, not printed. NULL only when memory is out. Check conf_fault_count before using *out.
 */
struct conf *conf_read(const char *path, const struct conf_section *root, void *out);
/* The same through an opener, which must live until it returns. */
struct conf *conf_read_by(
        const struct conf_opener *opener, const char *path, const struct conf_section *root, void *out);
/* As conf_read itself opens a file. */
int conf_open(const char *path);

/* Like conf_read with the text itself in place of a file; `name` stands for the file in messages. For tests and -T round trips. */
struct conf *conf_read_text(const char *name, const char *text, const struct conf_section *root, void *out);

/* Frees all that conf_read made, the strings and lists inside *out as well. */
void conf_free(struct conf *conf);

/*
 * Adds a fault "FILE:LINE: KEY: TEXT". place: the item's place, NULL for the file as a whole; key: the key inside
 * the item whose line is meant, or NULL for the item itself. A key that is absent (defaulted) takes the item's line.
 * "name[2]" is the third element of a CONF_STRINGS key.
 */
void conf_fault(struct conf *conf, const void *place, const char *key, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* The same for a warning: it is printed, but does not make the configuration wrong. */
void conf_warning(struct conf *conf, const void *place, const char *key, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* Memory that was out, so that it could not be checked to its end, is a fault as well. */
unsigned conf_fault_count(const struct conf *conf);
/* One line a fault or warning, in the order of the file's lines. A file that could not be opened is one fault: see conf_unreadable. */
void conf_print_faults(const struct conf *conf, FILE *out);
/* The file was missing or unreadable, or memory was out (exit status 1, not 2). */
bool conf_unreadable(const struct conf *conf);

/* Whether the file itself says this key of this item (false: the value is a default). */
bool conf_is_set(const struct conf *conf, const void *place, const char *key);

/* Prints the effective configuration in libconfig syntax, readable again by conf_read, each key with its help as a comment. */
void conf_print(const struct conf_section *root, const void *values, FILE *out);

/*
 * The same as data: groups are objects, lists arrays of objects, durations and sizes text, as in a file. The caller frees it; what memory had no room for is
 * missing.
 */
json_t *conf_json(const struct conf_section *root, const void *values);

/* The manual's part about keys, in mdoc(7): subsections, the first of which is "Top level". Each key with its help, type, bounds and default. */
void conf_print_manual(const struct conf_section *root, FILE *out);
/* One row of such a list, for other tables: a word, and what it means, without a full stop. */
void conf_print_manual_row(const char *word, const char *help, FILE *out);

/* A text in mdoc(7) that stands for itself, wherever in a line. */
void conf_print_text(const char *text, FILE *out);

/* The path of every key, one a line: "pool", "pool.workers", "upstreams.servers.address". */
void conf_print_paths(const struct conf_section *root, FILE *out);

/* ADDED, REMOVED: an item of a list whose items have an identity. MOVED: such a list has the same items in another order. */
enum conf_change { CONF_CHANGED, CONF_ADDED, CONF_REMOVED, CONF_MOVED };

struct conf_difference {
	enum conf_change change;
	const char *
	        path; /* such as "upstreams[origins].servers[127.0.0.1:80].weight"; good until the call returns */
	const struct conf_key *key; /* the item's list, where it is one */
	const void *before, *after; /* the values, or items; NULL where there is none */
	bool live;
};
typedef void conf_differs(void *arg, const struct conf_difference *d);

/*
 * Compares two structs that were filled through the same tables, defaults included, key by key in the tables' order. Of a list whose items have no identity,
 * one with more or fewer items differs as a whole; otherwise its items are compared place by place, "items[0].name".
 */
void conf_diff(const struct conf_section *root, const void *before, const void *after, conf_differs *told,
        void *arg);

/* Writes one value, neither a group nor a list, as conf_print does. Returns its width. */
int conf_print_value(const struct conf_key *key, const void *value, FILE *out);

/* Copies one value, neither a group nor a list, into a struct that belongs to conf. False when memory is out. */
bool conf_keep(struct conf *conf, const struct conf_key *key, void *to, const void *from);

/* The name of `names` nearest to `word`, when near enough to be a misspelling; else NULL. */
const char *conf_nearest(const char *word, const char *const *names);

/*
 * Text with a unit to a value and back; used by command lines too. False on bad syntax or overflow.
 * Durations: whole numbers with ns, us, ms, s, m, h or d. Sizes: whole numbers alone or with k, m, g or t, in either case.
 */
bool conf_parse_duration(const char *text, int64_t *ns);
bool conf_parse_size(const char *text, uint64_t *bytes);
/* out holds at least 32 bytes. */
void conf_format_duration(int64_t ns, char *out);
void conf_format_size(uint64_t bytes, char *out);

/* What the files of src/conf share; nobody else defines this word. */
#ifdef TPLB_CONF_PARTS
#include <libconfig.h>
#include <stdarg.h>

/* Where an item stands; what the `place` of a section's struct points to. */
struct conf_place {
	const struct conf_place *parent; /* NULL: the root */
	config_setting_t *setting;       /* NULL: the file does not mention the group */
	const char *path;                /* "upstreams[0].servers[1]"; "" for the root */
};

/* Where a line of the merged text comes from. */
struct conf_line {
	unsigned file; /* index into files */
	unsigned line; /* from 1 */
};

enum { CONF_BRACKETS_MAX = 32 };

/* The file and all that it includes, merged into one text: what libconfig gets to see. */
struct conf_source {
	char *text;
	size_t len, cap;
	struct conf_line *lines; /* lines[n] is the origin of line n + 1 of the text */
	size_t line_count, line_cap;
	char **files; /* names for messages */
	size_t file_count, file_cap;
	struct {
		char what;
		size_t line;           /* of the text */
	} brackets[CONF_BRACKETS_MAX]; /* open ones */
	unsigned bracket_count;
};

struct conf_message {
	size_t at; /* line of the merged text; 0: the file as a whole */
	bool warning;
	char *text; /* "KEY: TEXT" or "TEXT" */
};

struct conf {
	const char *name;                 /* of the main file, for messages */
	const struct conf_opener *opener; /* NULL: conf_open; while it is read */
	struct conf_source source;
	config_t tree;
	struct conf_place *root;
	struct conf_block *blocks;     /* memory that lives as long as the struct conf */
	struct conf_message *messages; /* sorted by `at` */
	size_t message_count, message_cap;
	unsigned faults;
	bool unreadable;
	bool no_memory; /* once set, conf_read gives up */
};

/* Zeroed memory that conf_free frees; NULL sets no_memory. */
void *conf_alloc(struct conf *conf, size_t size);
char *conf_text(struct conf *conf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for one more item in an array that grows. False sets no_memory. */
bool conf_grow(struct conf *conf, void *array, size_t count, size_t *cap, size_t item);

/* Faults by line of the merged text; path may be NULL. */
void conf_fault_line(struct conf *conf, size_t at, const char *path, const char *format, ...)
        __attribute__((format(printf, 4, 5)));
size_t conf_place_line(const struct conf_place *place);
const char *conf_path(struct conf *conf, const struct conf_place *place, const char *key);

/* Fills conf->source; faults say what went wrong. */
void conf_source_file(struct conf *conf, const char *path);
void conf_source_text(struct conf *conf, const char *name, const char *text);

/* One value that is neither a group nor a list. A bad one leaves *value, the default, and adds a fault. */
void conf_value_read(struct conf *conf, const char *path, const struct conf_key *key,
        const config_setting_t *setting, void *value);
void conf_value_default(struct conf *conf, const struct conf_key *key, void *value);
/* "a string", "a group", ... */
const char *conf_type_name(const config_setting_t *setting);
#endif

#endif
