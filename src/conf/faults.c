/* What is wrong with a configuration, by place; and the memory that a struct conf owns. */
#define TPLB_CONF_PARTS
#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

struct conf_block {
	struct conf_block *next;
	max_align_t bytes[];
};

void *conf_alloc(struct conf *conf, size_t size)
{
	struct conf_block *block = calloc(1, sizeof(*block) + size);
	if (block == NULL) {
		conf->no_memory = true;
		return NULL;
	}
	block->next = conf->blocks;
	conf->blocks = block;
	return block->bytes;
}

static char *text_of(struct conf *conf, const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	char *text = len < 0 ? NULL : conf_alloc(conf, (size_t)len + 1);
	if (text != NULL)
		vsnprintf(text, (size_t)len + 1, format, args);
	return text;
}

char *conf_text(struct conf *conf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *text = text_of(conf, format, args);
	va_end(args);
	return text;
}

bool conf_grow(struct conf *conf, void *array, size_t count, size_t *cap, size_t item)
{
	void *old;
	if (count < *cap)
		return true;
	size_t more = *cap == 0 ? 64 : *cap * 2;
	memcpy(&old, array, sizeof(old));
	void *grown = reallocarray(old, more, item);
	if (grown == NULL) {
		conf->no_memory = true;
		return false;
	}
	memcpy(array, &grown, sizeof(grown));
	*cap = more;
	return true;
}

/* Keeps the messages in the order of the lines; those of one line in the order of their discovery. */
static void message_add(
        struct conf *conf, bool warning, size_t at, const char *path, const char *format, va_list args)
{
	char *text = text_of(conf, format, args);
	if (text != NULL && path != NULL && path[0] != '\0')
		text = conf_text(conf, "%s: %s%s", path, warning ? "warning: " : "", text);
	else if (text != NULL && warning)
		text = conf_text(conf, "warning: %s", text);
	/* Counted even when it cannot be kept: a wrong configuration must not pass for a right one. */
	conf->faults += warning ? 0 : 1;
	if (text == NULL || !conf_grow(conf, &conf->messages, conf->message_count, &conf->message_cap,
	                            sizeof(conf->messages[0])))
		return;
	size_t i = conf->message_count++;
	for (; i > 0 && conf->messages[i - 1].at > at; i--)
		conf->messages[i] = conf->messages[i - 1];
	conf->messages[i] = (struct conf_message){.at = at, .warning = warning, .text = text};
}

void conf_fault_line(struct conf *conf, size_t at, const char *path, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	message_add(conf, false, at, path, format, args);
	va_end(args);
}

size_t conf_place_line(const struct conf_place *place)
{
	while (place->parent != NULL && place->setting == NULL)
		place = place->parent;
	return place->parent == NULL ? 1 : config_setting_source_line(place->setting);
}

const char *conf_path(struct conf *conf, const struct conf_place *place, const char *key)
{
	if (key == NULL)
		return place->path;
	if (place->path[0] == '\0')
		return key;
	return conf_text(conf, "%s.%s", place->path, key);
}

/* The setting that key means, "name" or "name[2]"; of a missing element, the list. NULL: absent. */
static config_setting_t *setting_of(const struct conf_place *place, const char *key)
{
	char name[64];
	size_t len = strcspn(key, "[");
	if (place->setting == NULL || len >= sizeof(name))
		return NULL;
	memcpy(name, key, len);
	name[len] = '\0';
	config_setting_t *setting = config_setting_get_member(place->setting, name);
	if (setting == NULL || key[len] != '[' || !config_setting_is_aggregate(setting))
		return setting;
	config_setting_t *element = config_setting_get_elem(
	        setting, (unsigned)strtoul(key + len + 1, NULL, 10));
	return element != NULL ? element : setting;
}

static void message_at(
        struct conf *conf, bool warning, const void *where, const char *key, const char *format, va_list args)
{
	const struct conf_place *place = where != NULL ? where : conf->root;
	if (place == NULL) { /* the file was never understood, so there is no place in it */
		message_add(conf, warning, 0, key, format, args);
		return;
	}
	size_t at = place->parent == NULL && key == NULL ? 0 : conf_place_line(place);
	const config_setting_t *setting = key != NULL ? setting_of(place, key) : NULL;
	if (setting != NULL)
		at = config_setting_source_line(setting);
	message_add(conf, warning, at, conf_path(conf, place, key), format, args);
}

void conf_fault(struct conf *conf, const void *place, const char *key, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	message_at(conf, false, place, key, format, args);
	va_end(args);
}

void conf_warning(struct conf *conf, const void *place, const char *key, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	message_at(conf, true, place, key, format, args);
	va_end(args);
}

unsigned conf_fault_count(const struct conf *conf)
{
	return conf->faults + conf->no_memory;
}

bool conf_unreadable(const struct conf *conf)
{
	return conf->unreadable || conf->no_memory;
}

bool conf_is_set(const struct conf *conf, const void *where, const char *key)
{
	const struct conf_place *place = where != NULL ? where : conf->root;
	return place != NULL && setting_of(place, key) != NULL;
}

void conf_print_faults(const struct conf *conf, FILE *out)
{
	const struct conf_source *source = &conf->source;
	for (size_t i = 0; i < conf->message_count; i++) {
		const struct conf_message *m = &conf->messages[i];
		size_t at = m->at <= source->line_count ? m->at : source->line_count;
		if (at == 0) {
			fprintf(out, "%s: %s\n", conf->name, m->text);
			continue;
		}
		const struct conf_line *line = &source->lines[at - 1];
		fprintf(out, "%s:%u: %s\n", source->files[line->file], line->line, m->text);
	}
	if (conf->no_memory)
		fprintf(out, "%s: out of memory: it could not be checked to its end\n", conf->name);
}

void conf_free(struct conf *conf)
{
	if (conf == NULL)
		return;
	config_destroy(&conf->tree);
	free(conf->source.text);
	free(conf->source.lines);
	free(conf->source.files);
	free(conf->messages);
	while (conf->blocks != NULL) {
		struct conf_block *next = conf->blocks->next;
		free(conf->blocks);
		conf->blocks = next;
	}
	free(conf);
}
