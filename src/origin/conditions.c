#include "origin/conditions.h"

#include "http/date.h"

/* The single field with this id; NULL when there is none, or when it is repeated though it is no list. */
static const struct http_field *find_single(const struct http_head *head, enum http_field_id id)
{
	const struct http_field *found = NULL;

	for (unsigned i = 0; i < head->count; i++) {
		if (head->fields[i].id != id)
			continue;
		if (found)
			return NULL;
		found = &head->fields[i];
	}
	return found;
}

static bool find_date(const struct http_head *head, enum http_field_id id, time_t *when)
{
	const struct http_field *f = find_single(head, id);

	return f && http_date_parse(f->value, when);
}

static struct str skip(struct str s, size_t n)
{
	return (struct str){s.at + n, s.len - n};
}

/* An entity-tag (RFC 9110 section 8.8.3) off the front of *list; its commas are within quotes. False when there is none. */
static bool next_tag(struct str *list, struct str *tag, bool *weak)
{
	while (list->len > 0 && (list->at[0] == ',' || list->at[0] == ' ' || list->at[0] == '\t'))
		*list = skip(*list, 1);
	*weak = list->len >= 2 && list->at[0] == 'W' && list->at[1] == '/';
	if (*weak)
		*list = skip(*list, 2);
	if (list->len < 2 || list->at[0] != '"')
		return false;
	const char *end = memchr(list->at + 1, '"', list->len - 1);
	if (!end)
		return false;
	*tag = (struct str){list->at, (size_t)(end + 1 - list->at)};
	*list = skip(*list, tag->len);
	return true;
}

/* Whether an If-Match (strong comparison) or If-None-Match (weak, section 8.8.3.2) names what there is. */
static bool names_tag(
        const struct http_head *head, enum http_field_id id, const struct representation *now, bool strong)
{
	for (unsigned i = 0; i < head->count; i++) {
		struct str list = head->fields[i].value;
		struct str tag;
		bool weak;

		if (head->fields[i].id != id)
			continue;
		if (str_eq(list, STR("*")))
			return true;
		while (next_tag(&list, &tag, &weak))
			if (str_eq(tag, now->etag) && !(strong && (weak || !now->settled)))
				return true;
	}
	return false;
}

/* Section 13.1.5: strong comparison, or exactly the date; false is "send it whole". */
static bool if_range_holds(const struct http_head *head, const struct representation *now)
{
	const struct http_field *f = find_single(head, FIELD_IF_RANGE);
	struct str list, tag;
	time_t when;
	bool weak;

	if (!f)
		return http_head_find(head, FIELD_IF_RANGE) == NULL;
	if (!now->settled)
		return false;
	if (http_date_parse(f->value, &when))
		return when == now->modified;
	list = f->value;
	return next_tag(&list, &tag, &weak) && list.len == 0 && !weak && str_eq(tag, now->etag);
}

/* Digits off the front of *s, of any number: what is beyond 2^63 is as good as 2^63 - 1. False when there are none. */
static bool take_number(struct str *s, uint64_t *value)
{
	size_t i = 0;

	*value = 0;
	for (; i < s->len && s->at[i] >= '0' && s->at[i] <= '9'; i++) {
		uint64_t digit = (uint64_t)(s->at[i] - '0');

		*value = *value > (INT64_MAX - digit) / 10 ? INT64_MAX : *value * 10 + digit;
	}
	*s = skip(*s, i);
	return i > 0;
}

static const struct outcome whole = {.kind = OUTCOME_WHOLE};
static const struct outcome unsatisfiable = {.kind = OUTCOME_UNSATISFIABLE};

static struct outcome part(uint64_t first, uint64_t last)
{
	return (struct outcome){.kind = OUTCOME_PART, .first = first, .last = last};
}

/* "-N": the last N bytes. */
static struct outcome suffix_range(struct str spec, uint64_t size)
{
	uint64_t n;

	if (!take_number(&spec, &n) || spec.len > 0)
		return whole;
	if (n == 0)
		return unsatisfiable;
	if (size == 0)
		return whole; /* satisfiable (14.1.2), but no Content-Range can say it */
	return part(n >= size ? 0 : size - n, size - 1);
}

static struct outcome byte_range(struct str spec, uint64_t size)
{
	uint64_t first;
	uint64_t last = INT64_MAX;

	if (spec.at[0] == '-')
		return suffix_range(skip(spec, 1), size);
	if (!take_number(&spec, &first) || spec.len == 0 || spec.at[0] != '-')
		return whole;
	spec = skip(spec, 1);
	if (spec.len > 0 && (!take_number(&spec, &last) || spec.len > 0 || last < first))
		return whole;
	if (first >= size)
		return unsatisfiable;
	return part(first, last >= size ? size - 1 : last);
}

static struct outcome decide_range(const struct http_head *head, const struct representation *now)
{
	const struct http_field *f = find_single(head, FIELD_RANGE);
	struct str unit = STR("bytes=");
	struct str list, spec, other;

	if (!f || !str_eq(head->method, STR("GET")) || !if_range_holds(head, now))
		return whole;
	if (f->value.len < unit.len || !str_eq_nocase((struct str){f->value.at, unit.len}, unit))
		return whole;
	list = skip(f->value, unit.len);
	if (!str_next_element(&list, &spec) || str_next_element(&list, &other))
		return whole;
	return byte_range(spec, now->size);
}

static bool is_get_or_head(const struct http_head *head)
{
	return str_eq(head->method, STR("GET")) || str_eq(head->method, STR("HEAD"));
}

/* Steps 1 and 2: false is 412. */
static bool may_proceed(const struct http_head *head, const struct representation *now)
{
	time_t when;

	if (http_head_find(head, FIELD_IF_MATCH))
		return names_tag(head, FIELD_IF_MATCH, now, true);
	if (find_date(head, FIELD_IF_UNMODIFIED_SINCE, &when))
		return now->modified <= when;
	return true;
}

/* Steps 3 and 4: true is 304, or 412 for other methods. */
static bool is_fresh(const struct http_head *head, const struct representation *now)
{
	time_t when;

	if (http_head_find(head, FIELD_IF_NONE_MATCH))
		return names_tag(head, FIELD_IF_NONE_MATCH, now, false);
	if (is_get_or_head(head) && find_date(head, FIELD_IF_MODIFIED_SINCE, &when))
		return now->modified <= when;
	return false;
}

struct outcome conditions_decide(const struct http_head *head, const struct representation *now)
{
	if (!may_proceed(head, now))
		return (struct outcome){.kind = OUTCOME_FAILED};
	if (is_fresh(head, now))
		return (struct outcome){.kind = is_get_or_head(head) ? OUTCOME_NOT_MODIFIED : OUTCOME_FAILED};
	return decide_range(head, now);
}
