/* From libconfig's tree to the program's structs, by its tables. */
#define TPLB_CONF_PARTS
#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

static void read_section(
        struct conf *conf, const struct conf_place *place, const struct conf_section *section, void *base);

static const struct conf_key *key_of(const struct conf_section *section, const char *name)
{
	for (const struct conf_key *key = section->keys; key->name != NULL; key++) {
		if (strcmp(key->name, name) == 0)
			return key;
	}
	return NULL;
}

/* The section's key that `name` is a misspelling of, or NULL. */
static const char *nearest_key(const struct conf_section *section, const char *name)
{
	const char *best = NULL;
	/* One at a time, each against the best so far, needs no array of names. */
	for (const struct conf_key *key = section->keys; key->name != NULL; key++) {
		const char *pair[] = {best != NULL ? best : key->name, key->name, NULL};
		const char *nearest = conf_nearest(name, pair);
		if (nearest != NULL)
			best = nearest;
	}
	return best;
}

static void fault_unknown(struct conf *conf, const struct conf_place *place,
        const struct conf_section *section, const config_setting_t *setting)
{
	const char *name = config_setting_name(setting);
	const char *path = conf_path(conf, place, name);
	const char *nearest = nearest_key(section, name);
	const char *known = "";
	size_t at = config_setting_source_line(setting);
	if (nearest != NULL) {
		conf_fault_line(conf, at, path, "unknown key, did you mean `%s`?", nearest);
		return;
	}
	for (const struct conf_key *key = section->keys; key->name != NULL && known != NULL; key++)
		known = conf_text(conf, "%s%s%s", known, key == section->keys ? "" : ", ", key->name);
	conf_fault_line(conf, at, path, "unknown key, the known ones are %s", known != NULL ? known : "");
}

/* Whether an unknown key of this item was already taken for this one; to call it missing too would be noise. */
static bool is_misspelt(
        const struct conf_place *place, const struct conf_section *section, const struct conf_key *key)
{
	unsigned count = place->setting != NULL ? (unsigned)config_setting_length(place->setting) : 0;
	for (unsigned i = 0; i < count; i++) {
		const char *name = config_setting_name(config_setting_get_elem(place->setting, i));
		const char *nearest = key_of(section, name) == NULL ? nearest_key(section, name) : NULL;
		if (nearest != NULL && strcmp(nearest, key->name) == 0)
			return true;
	}
	return false;
}

static void fault_missing(struct conf *conf, const struct conf_place *place,
        const struct conf_section *section, const struct conf_key *key)
{
	const char *path = conf_path(conf, place, key->name);
	size_t at = conf_place_line(place);
	if (is_misspelt(place, section, key))
		return;
	if (key->type == CONF_LIST)
		conf_fault_line(conf, at, path, "missing, there must be at least one %s", key->section->one);
	else if (section->one != NULL)
		conf_fault_line(conf, at, path, "missing, every %s needs it: %s", section->one, key->help);
	else
		conf_fault_line(conf, at, path, "missing: %s", key->help);
}

static struct conf_place *place_new(
        struct conf *conf, const struct conf_place *parent, config_setting_t *setting, const char *path)
{
	struct conf_place *place = conf_alloc(conf, sizeof(*place));
	if (place != NULL)
		*place = (struct conf_place){.parent = parent, .setting = setting, .path = path};
	return path != NULL ? place : NULL;
}

/* setting is NULL when the file does not mention the group: then all of it is default. */
static void read_group(struct conf *conf, const struct conf_place *parent, const struct conf_key *key,
        config_setting_t *setting, void *base)
{
	const char *path = conf_path(conf, parent, key->name);
	if (setting != NULL && !config_setting_is_group(setting)) {
		conf_fault_line(conf, config_setting_source_line(setting), path,
		        "must be a group such as { key = value; }, not %s", conf_type_name(setting));
		setting = NULL;
	}
	const struct conf_place *place = place_new(conf, parent, setting, path);
	if (place != NULL)
		read_section(conf, place, key->section, base);
}

static void read_item(struct conf *conf, const struct conf_place *parent, const struct conf_key *key,
        config_setting_t *list, unsigned i, void *base)
{
	config_setting_t *setting = config_setting_get_elem(list, i);
	const char *prefix = conf_path(conf, parent, key->name);
	const char *path = prefix != NULL ? conf_text(conf, "%s[%u]", prefix, i) : NULL;
	const struct conf_place *place = place_new(conf, parent, setting, path);
	if (place == NULL)
		return;
	if (config_setting_is_group(setting)) {
		read_section(conf, place, key->section, base);
		return;
	}
	memcpy((char *)base + key->section->place, &place, sizeof(place));
	conf_fault_line(conf, config_setting_source_line(setting), path,
	        "must be a group such as { key = value; }, not %s", conf_type_name(setting));
}

static void read_list(struct conf *conf, const struct conf_place *parent, const struct conf_key *key,
        config_setting_t *setting, struct conf_list *list)
{
	size_t count = (size_t)config_setting_length(setting), size = key->section->size;
	const char *path = conf_path(conf, parent, key->name);
	size_t at = config_setting_source_line(setting);
	if (!config_setting_is_list(setting)) {
		conf_fault_line(conf, at, path,
		        "must be a list of groups such as ( { ... }, { ... } ), not %s%s",
		        conf_type_name(setting),
		        config_setting_is_group(setting) ? ": put it in parentheses" : "");
		return;
	}
	if (count == 0 && key->fallback == NULL) {
		conf_fault_line(conf, at, path, "empty, there must be at least one %s", key->section->one);
		return;
	}
	char *items = conf_alloc(conf, count * size);
	if (items == NULL)
		return;
	*list = (struct conf_list){.count = count, .at = items};
	for (unsigned i = 0; i < count; i++)
		read_item(conf, parent, key, setting, i, items + i * size);
}

static void read_key(struct conf *conf, const struct conf_place *place, const struct conf_section *section,
        const struct conf_key *key, void *value)
{
	config_setting_t *setting =
	        place->setting != NULL ? config_setting_get_member(place->setting, key->name) : NULL;
	if (key->type == CONF_GROUP) {
		read_group(conf, place, key, setting, value);
		return;
	}
	if (setting == NULL && key->fallback == NULL) {
		fault_missing(conf, place, section, key);
		return;
	}
	if (key->fallback != NULL)
		conf_value_default(conf, key, value);
	if (setting == NULL)
		return;
	const char *path = conf_path(conf, place, key->name);
	if (key->type == CONF_LIST)
		read_list(conf, place, key, setting, value);
	else if (path != NULL)
		conf_value_read(conf, path, key, setting, value);
}

static void read_section(
        struct conf *conf, const struct conf_place *place, const struct conf_section *section, void *base)
{
	unsigned count = place->setting != NULL ? (unsigned)config_setting_length(place->setting) : 0;
	memcpy((char *)base + section->place, &place, sizeof(place));
	for (unsigned i = 0; i < count; i++) {
		const config_setting_t *member = config_setting_get_elem(place->setting, i);
		if (key_of(section, config_setting_name(member)) == NULL)
			fault_unknown(conf, place, section, member);
	}
	for (const struct conf_key *key = section->keys; key->name != NULL && !conf->no_memory; key++)
		read_key(conf, place, section, key, (char *)base + key->offset);
}

/* libconfig stops at its first syntax error and calls everything "syntax error". */
static void fault_syntax(struct conf *conf)
{
	const char *text = config_error_text(&conf->tree);
	size_t at = (size_t)config_error_line(&conf->tree);
	if (strcmp(text, "syntax error") == 0)
		conf_fault_line(conf, at, NULL,
		        "syntax error here or just above: look for a missing quote, bracket, comma or \"=\"");
	else if (strcmp(text, "duplicate setting name") == 0)
		conf_fault_line(conf, at, NULL, "syntax error: this key is given twice, keep one of them");
	else
		conf_fault_line(conf, at, NULL, "syntax error: %s", text);
}

static void conf_parse(struct conf *conf, const struct conf_section *root, void *out)
{
	if (conf->faults > 0 || conf->no_memory)
		return;
	const char *text = conf->source.text != NULL ? conf->source.text : "";
	if (!config_read_string(&conf->tree, text)) {
		fault_syntax(conf);
		return;
	}
	conf->root = place_new(conf, NULL, config_root_setting(&conf->tree), "");
	if (conf->root != NULL)
		read_section(conf, conf->root, root, out);
}

static struct conf *conf_new(const char *name)
{
	struct conf *conf = calloc(1, sizeof(*conf));
	if (conf == NULL)
		return NULL;
	config_init(&conf->tree);
	conf->name = conf_text(conf, "%s", name);
	return conf;
}

static struct conf *conf_finish(struct conf *conf, const struct conf_section *root, void *out)
{
	memset(out, 0, root->size);
	conf_parse(conf, root, out);
	if (!conf->no_memory)
		return conf;
	conf_free(conf);
	memset(out, 0, root->size);
	return NULL;
}

struct conf *conf_read_by(
        const struct conf_opener *opener, const char *path, const struct conf_section *root, void *out)
{
	struct conf *conf = conf_new(path);
	if (conf == NULL)
		return NULL;
	conf->opener = opener;
	conf_source_file(conf, path);
	conf->opener = NULL;
	return conf_finish(conf, root, out);
}

struct conf *conf_read(const char *path, const struct conf_section *root, void *out)
{
	return conf_read_by(NULL, path, root, out);
}

struct conf *conf_read_text(const char *name, const char *text, const struct conf_section *root, void *out)
{
	struct conf *conf = conf_new(name);
	if (conf == NULL)
		return NULL;
	conf_source_text(conf, name, text);
	return conf_finish(conf, root, out);
}
