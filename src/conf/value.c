/* Single values: from the file or from the default, with what is wrong about them. */
#define TPLB_CONF_PARTS
#include "conf/conf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"

const char *conf_type_name(const config_setting_t *setting)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "a whole number";
	case CONFIG_TYPE_FLOAT:
		return "a number with a fraction";
	case CONFIG_TYPE_STRING:
		return "a string";
	case CONFIG_TYPE_BOOL:
		return "a boolean";
	case CONFIG_TYPE_GROUP:
		return "a group";
	case CONFIG_TYPE_ARRAY:
		return "an array";
	default:
		return "a list";
	}
}

static bool is_string(const config_setting_t *setting)
{
	return config_setting_type(setting) == CONFIG_TYPE_STRING;
}

static bool is_int(const config_setting_t *setting)
{
	int type = config_setting_type(setting);
	return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

static bool is_bounded(const struct conf_key *key)
{
	return key->min != 0 || key->max != 0;
}

static bool is_within(const struct conf_key *key, int64_t value)
{
	return !is_bounded(key) || (value >= key->min && value <= key->max);
}

/* Bytes that would spoil a log line or a header. Returns the first, 0 when there is none. */
static unsigned control_of(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if (*p < 0x20 || *p == 0x7f)
			return *p;
	}
	return 0;
}

/* The string of a setting, or NULL after a fault about control characters. */
static const char *clean_string(struct conf *conf, const char *path, const config_setting_t *setting)
{
	const char *text = config_setting_get_string(setting);
	unsigned control = control_of(text);
	if (control == 0)
		return text;
	conf_fault_line(conf, config_setting_source_line(setting), path,
	        "must not contain control characters (there is a \\x%02x)", control);
	return NULL;
}

static void read_bool(struct conf *conf, const char *path, const config_setting_t *setting, bool *value)
{
	if (config_setting_type(setting) == CONFIG_TYPE_BOOL)
		*value = config_setting_get_bool(setting) != 0;
	else
		conf_fault_line(conf, config_setting_source_line(setting), path,
		        "must be true or false, not %s", conf_type_name(setting));
}

static void read_int(struct conf *conf, const char *path, const struct conf_key *key,
        const config_setting_t *setting, int64_t *value)
{
	char bounds[64] = "", given[32];
	const char *found = conf_type_name(setting);
	if (is_int(setting)) {
		int64_t number = config_setting_get_int64(setting);
		if (is_within(key, number)) {
			*value = number;
			return;
		}
		snprintf(given, sizeof(given), "%" PRId64, number);
		found = given;
	}
	if (is_bounded(key))
		snprintf(bounds, sizeof(bounds), " from %" PRId64 " to %" PRId64, key->min, key->max);
	conf_fault_line(conf, config_setting_source_line(setting), path, "must be a whole number%s, not %s",
	        bounds, found);
}

/* Says what was found in place of a duration or size: `remedy` is what the number probably means. */
static void fault_unit(struct conf *conf, const char *path, const char *should,
        const config_setting_t *setting, const char *remedy)
{
	size_t at = config_setting_source_line(setting);
	if (is_string(setting))
		conf_fault_line(conf, at, path, "%s, not \"%s\"", should, config_setting_get_string(setting));
	else if (remedy[0] != '\0')
		conf_fault_line(conf, at, path, "%s, not a number: write \"%s\"", should, remedy);
	else
		conf_fault_line(conf, at, path, "%s, not %s", should, conf_type_name(setting));
}

static void read_duration(struct conf *conf, const char *path, const struct conf_key *key,
        const config_setting_t *setting, int64_t *value)
{
	static const char *const units[] = {"s", "ms"};
	char should[160], least[32], most[32], remedy[32] = "";
	int64_t ns;
	if (is_string(setting)) {
		const char *text = clean_string(conf, path, setting);
		if (text == NULL)
			return;
		if (conf_parse_duration(text, &ns) && is_within(key, ns)) {
			*value = ns;
			return;
		}
	}
	for (size_t i = 0; is_int(setting) && i < 2 && remedy[0] == '\0'; i++) {
		snprintf(remedy, sizeof(remedy), "%lld%s", config_setting_get_int64(setting), units[i]);
		if (!conf_parse_duration(remedy, &ns) || !is_within(key, ns))
			remedy[0] = '\0';
	}
	conf_format_duration(key->min, least);
	conf_format_duration(key->max, most);
	snprintf(should, sizeof(should), "must be a duration such as \"250ms\" or \"5s\"%s%s%s%s",
	        is_bounded(key) ? ", from " : "", is_bounded(key) ? least : "", is_bounded(key) ? " to " : "",
	        is_bounded(key) ? most : "");
	fault_unit(conf, path, should, setting, remedy);
}

static void read_size(struct conf *conf, const char *path, const struct conf_key *key,
        const config_setting_t *setting, uint64_t *value)
{
	char should[160], least[32], most[32], remedy[32] = "";
	uint64_t bytes;
	if (is_string(setting)) {
		const char *text = clean_string(conf, path, setting);
		if (text == NULL)
			return;
		if (conf_parse_size(text, &bytes) &&
		        (!is_bounded(key) || (bytes <= INT64_MAX && is_within(key, (int64_t)bytes)))) {
			*value = bytes;
			return;
		}
	}
	if (is_int(setting) && config_setting_get_int64(setting) >= 0 &&
	        is_within(key, config_setting_get_int64(setting)))
		conf_format_size((uint64_t)config_setting_get_int64(setting), remedy);
	conf_format_size((uint64_t)key->min, least);
	conf_format_size((uint64_t)key->max, most);
	snprintf(should, sizeof(should), "must be a size such as \"64k\" or \"1m\"%s%s%s%s",
	        is_bounded(key) ? ", from " : "", is_bounded(key) ? least : "", is_bounded(key) ? " to " : "",
	        is_bounded(key) ? most : "");
	fault_unit(conf, path, should, setting, remedy);
}

static void read_text(struct conf *conf, const char *path, const config_setting_t *setting, char **value)
{
	if (!is_string(setting)) {
		conf_fault_line(conf, config_setting_source_line(setting), path,
		        "must be a string in quotes, not %s", conf_type_name(setting));
		return;
	}
	const char *text = clean_string(conf, path, setting);
	if (text != NULL)
		*value = conf_text(conf, "%s", text);
}

/* "a", "b" or "c", in quotes. */
static const char *choices_text(struct conf *conf, const char *const *choices)
{
	const char *text = "";
	for (size_t i = 0; choices[i] != NULL && text != NULL; i++) {
		const char *before = i == 0 ? "" : choices[i + 1] == NULL ? " or " : ", ";
		text = conf_text(conf, "%s%s\"%s\"", text, before, choices[i]);
	}
	return text != NULL ? text : "";
}

static int choice_index(const struct conf_key *key, const char *text)
{
	for (int i = 0; key->choices[i] != NULL; i++) {
		if (strcmp(key->choices[i], text) == 0)
			return i;
	}
	return -1;
}

static void read_choice(struct conf *conf, const char *path, const struct conf_key *key,
        const config_setting_t *setting, int *value)
{
	const char *should = choices_text(conf, key->choices);
	const char *text = is_string(setting) ? clean_string(conf, path, setting) : "";
	size_t at = config_setting_source_line(setting);
	if (text == NULL)
		return;
	if (!is_string(setting)) {
		conf_fault_line(conf, at, path, "must be %s, not %s", should, conf_type_name(setting));
		return;
	}
	int index = choice_index(key, text);
	const char *nearest = conf_nearest(text, key->choices);
	if (index >= 0)
		*value = index;
	else if (nearest != NULL)
		conf_fault_line(conf, at, path, "must be %s, not \"%s\": did you mean \"%s\"?", should, text,
		        nearest);
	else
		conf_fault_line(conf, at, path, "must be %s, not \"%s\"%s%s", should, text,
		        key->note != NULL ? ": " : "", key->note != NULL ? key->note : "");
}

static void read_strings(
        struct conf *conf, const char *path, const config_setting_t *setting, struct conf_strings *value)
{
	int type = config_setting_type(setting);
	if (type != CONFIG_TYPE_LIST && type != CONFIG_TYPE_ARRAY) {
		conf_fault_line(conf, config_setting_source_line(setting), path,
		        "must be a list of strings such as ( \"a\", \"b\" ), not %s",
		        conf_type_name(setting));
		return;
	}
	size_t count = (size_t)config_setting_length(setting);
	char **at = conf_alloc(conf, count * sizeof(*at));
	for (unsigned i = 0; at != NULL && i < count; i++) {
		const char *element = conf_text(conf, "%s[%u]", path, i);
		read_text(conf, element, config_setting_get_elem(setting, i), &at[i]);
		if (at[i] == NULL) /* a fault was added; nobody needs to look for NULLs */
			at[i] = conf_text(conf, "%s", "");
	}
	if (at != NULL)
		*value = (struct conf_strings){.count = count, .at = at};
}

void conf_value_read(struct conf *conf, const char *path, const struct conf_key *key,
        const config_setting_t *setting, void *value)
{
	switch (key->type) {
	case CONF_BOOL:
		read_bool(conf, path, setting, value);
		break;
	case CONF_INT:
		read_int(conf, path, key, setting, value);
		break;
	case CONF_DURATION:
		read_duration(conf, path, key, setting, value);
		break;
	case CONF_SIZE:
		read_size(conf, path, key, setting, value);
		break;
	case CONF_STRING:
		read_text(conf, path, setting, value);
		break;
	case CONF_CHOICE:
		read_choice(conf, path, key, setting, value);
		break;
	case CONF_STRINGS:
		read_strings(conf, path, setting, value);
		break;
	case CONF_GROUP:
	case CONF_LIST:
		UNREACHABLE("groups and lists are read elsewhere");
	}
}

void conf_value_default(struct conf *conf, const struct conf_key *key, void *value)
{
	const char *text = key->fallback;
	switch (key->type) {
	case CONF_BOOL:
		MUST(strcmp(text, "true") == 0 || strcmp(text, "false") == 0);
		*(bool *)value = text[0] == 't';
		break;
	case CONF_INT:
		*(int64_t *)value = strtoll(text, NULL, 10);
		break;
	case CONF_DURATION:
		MUST(conf_parse_duration(text, value));
		break;
	case CONF_SIZE:
		MUST(conf_parse_size(text, value));
		break;
	case CONF_STRING:
		*(char **)value = conf_text(conf, "%s", text);
		break;
	case CONF_CHOICE:
		*(int *)value = choice_index(key, text);
		MUST(*(int *)value >= 0);
		break;
	case CONF_STRINGS: /* the only default so far is none at all, which is what zeroes mean */
	case CONF_GROUP:
	case CONF_LIST:
		MUST(text[0] == '\0');
	}
}
