/* The effective configuration as JSON: groups are objects, lists arrays, values as in the file. */
#include "conf/conf.h"

static json_t *section_json(const struct conf_section *section, const void *values);

static json_t *strings_json(const struct conf_strings *strings)
{
	json_t *array = json_array();

	for (size_t i = 0; i < strings->count; i++)
		(void)json_array_append_new(array, json_string_nocheck(strings->at[i]));
	return array;
}

static json_t *list_json(const struct conf_key *key, const struct conf_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		(void)json_array_append_new(
		        array, section_json(key->section, (const char *)list->at + i * key->section->size));
	return array;
}

static json_t *value_json(const struct conf_key *key, const void *value)
{
	const char *string;
	char text[32];

	switch (key->type) {
	case CONF_BOOL:
		return json_boolean(*(const bool *)value);
	case CONF_INT:
		return json_integer(*(const int64_t *)value);
	case CONF_DURATION:
		conf_format_duration(*(const int64_t *)value, text);
		return json_string(text);
	case CONF_SIZE:
		conf_format_size(*(const uint64_t *)value, text);
		return json_string(text);
	case CONF_STRING:
		string = *(char *const *)value;
		return json_string_nocheck(string ? string : "");
	case CONF_CHOICE:
		return json_string(key->choices[*(const int *)value]);
	case CONF_STRINGS:
		return strings_json(value);
	case CONF_GROUP:
		return section_json(key->section, value);
	case CONF_LIST:
		return list_json(key, value);
	}
	return NULL;
}

static json_t *section_json(const struct conf_section *section, const void *values)
{
	json_t *object = json_object();

	for (const struct conf_key *key = section->keys; key->name != NULL; key++)
		(void)json_object_set_new(
		        object, key->name, value_json(key, (const char *)values + key->offset));
	return object;
}

json_t *conf_json(const struct conf_section *root, const void *values)
{
	return section_json(root, values);
}
