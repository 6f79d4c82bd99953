#include "base/str.h"

#include <limits.h>

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.at[i]) != lower(b.at[i]))
			return false;
	return true;
}

struct str str_trim(struct str s)
{
	while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t')) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

bool str_next_element(struct str *list, struct str *element)
{
	while (list->len > 0) {
		const char *comma = memchr(list->at, ',', list->len);
		size_t len = comma ? (size_t)(comma - list->at) : list->len;
		size_t step = comma ? len + 1 : len;

		*element = str_trim((struct str){list->at, len});
		list->at += step;
		list->len -= step;
		if (element->len > 0)
			return true;
	}
	return false;
}

bool str_to_uint63(struct str s, long long *value)
{
	long long v = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		int digit = s.at[i] - '0';

		if (digit < 0 || digit > 9)
			return false;
		if (v > (LLONG_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*value = v;
	return true;
}
