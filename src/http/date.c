/* Names are English and the zone is GMT whatever the locale, so strftime and strptime are of no use. */
#include "http/date.h"

#include <stdint.h>

#include "base/assert.h"
#include "http/chars.h"

enum {
	FIXDATE_LEN = HTTP_DATE_LEN, /* Sun, 06 Nov 1994 08:49:37 GMT */
	RFC850_TAIL_LEN = 24,        /* , 06-Nov-94 08:49:37 GMT */
	ASCTIME_LEN = 24,            /* Sun Nov  6 08:49:37 1994 */
	NAME_LEN = 3
};

/* Years 0 to 9999 have four digits; no clock is outside. */
#define DATE_MIN INT64_C(-62167219200)
#define DATE_MAX INT64_C(253402300799)

static const char *const days[] = {
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static void put2(char *at, int n)
{
	at[0] = (char)('0' + n / 10);
	at[1] = (char)('0' + n % 10);
}

void http_date_format(time_t when, char out[HTTP_DATE_LEN + 1])
{
	struct tm t;

	if (when < DATE_MIN)
		when = DATE_MIN;
	if (when > DATE_MAX)
		when = DATE_MAX;
	MUST(gmtime_r(&when, &t) != NULL);
	memcpy(out, "Day, 00 Mon 0000 00:00:00 GMT", HTTP_DATE_LEN + 1);
	memcpy(out, days[t.tm_wday], NAME_LEN);
	put2(out + 5, t.tm_mday);
	memcpy(out + 8, months + t.tm_mon * NAME_LEN, NAME_LEN);
	put2(out + 12, (t.tm_year + 1900) / 100);
	put2(out + 14, (t.tm_year + 1900) % 100);
	put2(out + 17, t.tm_hour);
	put2(out + 20, t.tm_min);
	put2(out + 23, t.tm_sec);
}

/* n decimal digits, -1 when there is another byte. */
static int get_number(const char *at, int n)
{
	int value = 0;

	for (int i = 0; i < n; i++) {
		if (!http_is_digit(at[i]))
			return -1;
		value = value * 10 + (at[i] - '0');
	}
	return value;
}

static int get_month(const char *at)
{
	for (int i = 0; i < 12; i++)
		if (memcmp(at, months + i * NAME_LEN, NAME_LEN) == 0)
			return i;
	return -1;
}

/* "08:49:37" */
static bool get_time(const char *at, struct tm *t)
{
	t->tm_hour = get_number(at, 2);
	t->tm_min = get_number(at + 3, 2);
	t->tm_sec = get_number(at + 6, 2);
	return at[2] == ':' && at[5] == ':';
}

/* The length of the name of a day at the front, in full or its first three letters; 0 when it is none. */
static size_t day_len(struct str text, bool full)
{
	for (int i = 0; i < 7; i++) {
		size_t len = full ? strlen(days[i]) : NAME_LEN;

		if (text.len >= len && memcmp(text.at, days[i], len) == 0)
			return len;
	}
	return 0;
}

static bool get_fixdate(struct str s, struct tm *t)
{
	if (s.len != FIXDATE_LEN || day_len(s, false) == 0 || memcmp(s.at + 3, ", ", 2) != 0)
		return false;
	t->tm_mday = get_number(s.at + 5, 2);
	t->tm_mon = get_month(s.at + 8);
	t->tm_year = get_number(s.at + 12, 4);
	return get_time(s.at + 17, t) && s.at[7] == ' ' && s.at[11] == ' ' && s.at[16] == ' ' &&
	       memcmp(s.at + 25, " GMT", 4) == 0;
}

/* More than 50 years ahead means the last year in the past with these digits (RFC 9110 section 5.6.7). */
static int full_year(int two_digits)
{
	time_t now = time(NULL);
	struct tm t;

	if (two_digits < 0 || !gmtime_r(&now, &t))
		return -1;
	int this_year = t.tm_year + 1900;
	int year = this_year - this_year % 100 + two_digits;
	if (year > this_year + 50)
		return year - 100;
	return year + 100 <= this_year + 50 ? year + 100 : year;
}

static bool get_rfc850(struct str s, struct tm *t)
{
	size_t day = day_len(s, true);

	if (day == 0 || s.len - day != RFC850_TAIL_LEN)
		return false;
	const char *at = s.at + day;
	t->tm_mday = get_number(at + 2, 2);
	t->tm_mon = get_month(at + 5);
	t->tm_year = full_year(get_number(at + 9, 2));
	return get_time(at + 12, t) && memcmp(at, ", ", 2) == 0 && at[4] == '-' && at[8] == '-' &&
	       at[11] == ' ' && memcmp(at + 20, " GMT", 4) == 0;
}

static bool get_asctime(struct str s, struct tm *t)
{
	if (s.len != ASCTIME_LEN || day_len(s, false) == 0)
		return false;
	t->tm_mon = get_month(s.at + 4);
	t->tm_mday = s.at[8] == ' ' ? get_number(s.at + 9, 1) : get_number(s.at + 8, 2);
	t->tm_year = get_number(s.at + 20, 4);
	return get_time(s.at + 11, t) && s.at[3] == ' ' && s.at[7] == ' ' && s.at[10] == ' ' &&
	       s.at[19] == ' ';
}

static int month_days(int month, int year)
{
	static const signed char lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return lengths[month] + (month == 1 && leap);
}

/* tm_year is the whole year here. A second of 60 is a leap second. */
static bool is_possible(const struct tm *t)
{
	return t->tm_year >= 0 && t->tm_mon >= 0 && t->tm_mday >= 1 &&
	       t->tm_mday <= month_days(t->tm_mon, t->tm_year) && t->tm_hour >= 0 && t->tm_hour <= 23 &&
	       t->tm_min >= 0 && t->tm_min <= 59 && t->tm_sec >= 0 && t->tm_sec <= 60;
}

bool http_date_parse(struct str text, time_t *when)
{
	struct tm t = {0};

	if (!get_fixdate(text, &t) && !get_rfc850(text, &t) && !get_asctime(text, &t))
		return false;
	if (!is_possible(&t))
		return false;
	t.tm_year -= 1900;
	*when = timegm(&t);
	return true;
}

struct str http_date_now(struct http_date_cache *cache)
{
	time_t now = time(NULL);

	if (now != cache->when || cache->text[0] == '\0') {
		cache->when = now;
		http_date_format(now, cache->text);
	}
	return (struct str){cache->text, HTTP_DATE_LEN};
}
