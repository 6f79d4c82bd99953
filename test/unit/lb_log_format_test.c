/* What a value of an access line looks like, whatever bytes are in it, compared with the rule written byte by byte. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "engine/conn.h"
#include "engine/engine.h"
#include "lb/log_format.h"

enum { ROOM = 128, ROUNDS = 20000 };

/* Of a value with so much room; returns its length. */
static size_t by_rule(const char *text, bool json, char *out)
{
	size_t n = 0;

	if (!text[0] && !json)
		text = "-";
	for (; *text && ROOM - n > 6; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= ' ' && c < 127 && c != '"' && c != '\\')
			out[n++] = (char)c;
		else
			n += (size_t)sprintf(out + n, json ? "\\u%04x" : "\\x%02X", c);
	}
	return n;
}

/* Mostly plain, with bytes now and then that lie at the borders of what is. */
static void make_text(char *text, size_t len, uint64_t *random)
{
	static const char odd[] = "\x01\x1f !\"#[\\]~\x7f\x80\xc1\xff\t\n";
	unsigned every = 1 + (unsigned)(rng_next(random) % 40);

	for (size_t i = 0; i < len; i++)
		text[i] = rng_next(random) % every == 0 ? odd[rng_next(random) % (sizeof(odd) - 1)]
		                                        : (char)('0' + rng_next(random) % 70);
	text[len] = '\0';
}

START_TEST(values)
{
	bool json = _i == 1;
	const char *around = json ? "{%{end}}" : "<%{end}>";
	char why[LOG_FORMAT_WHY_BYTES], line[LOG_FORMAT_LINE_MAX], text[2 * ROOM + 1], want[ROOM + 8];
	struct log_format *f = log_format_new(around, why);
	const struct conn c = {0};
	uint64_t random = 1;

	ck_assert_ptr_nonnull(f);
	for (int round = 0; round < ROUNDS; round++) {
		make_text(text, rng_next(&random) % sizeof(text), &random);
		size_t wanted = by_rule(text, json, want + 1);
		size_t len = log_format_write(f, &(struct log_record){.c = &c, .end = text}, line);

		want[0] = around[0];
		want[wanted + 1] = around[strlen(around) - 1];
		want[wanted + 2] = '\n';
		ck_assert_uint_eq(len, wanted + 3);
		ck_assert_mem_eq(line, want, len);
	}
	log_format_free(f);
}
END_TEST

/* Of every length, between literals of every length. */
START_TEST(numbers)
{
	const char *literal = "0123456789abcdefghijklmnopqrstuvwxyz";
	char why[LOG_FORMAT_WHY_BYTES], line[LOG_FORMAT_LINE_MAX], text[ROOM], want[ROOM];
	const struct conn c = {0};
	uint64_t n = 0;

	for (int digits = 0; digits <= 20; digits++, n = n * 10 + (unsigned)digits % 10) {
		const char *after = literal + strlen(literal) - digits;

		snprintf(text, sizeof(text), "%.*s%%{bytes}%s", digits, literal, after);
		snprintf(want, sizeof(want), "%.*s%llu%s\n", digits, literal, (unsigned long long)n, after);
		struct log_format *f = log_format_new(text, why);
		ck_assert_ptr_nonnull(f);
		size_t len = log_format_write(f, &(struct log_record){.c = &c, .bytes = n}, line);
		ck_assert_uint_eq(len, strlen(want));
		ck_assert_mem_eq(line, want, len);
		log_format_free(f);
	}
}
END_TEST

/* The longest line that a format allows, whatever piece of a literal is its last: nothing is written behind it. */
START_TEST(longest)
{
	char why[LOG_FORMAT_WHY_BYTES], line[LOG_FORMAT_LINE_MAX + ROOM],
	        text[LOG_FORMAT_LINE_MAX] = "{%{listener}";
	char name[LOG_FORMAT_LINE_MAX] = {0}, *literal = text + strlen(text);
	struct listener l = {.name = name};
	const struct conn c = {.listener = &l};
	size_t most = LOG_FORMAT_LINE_MAX - 2 * ROOM;

	memset(literal, 'x', most);
	for (size_t len = most; len > most - 16; len--) {
		literal[len] = '\0';
		struct log_format *f = log_format_new(text, why);
		ck_assert_ptr_nonnull(f);
		/* An escape, of JSON the longest, at the very end of the value's room fills it most. */
		for (size_t plain = 0; plain < 2 * ROOM; plain++) {
			memset(name, 'n', plain);
			memcpy(name + plain, "\x01", 2);
			memset(line, 0x5a, sizeof(line));
			size_t n = log_format_write(f, &(struct log_record){.c = &c, .end = "ok"}, line);
			ck_assert_uint_le(n, LOG_FORMAT_LINE_MAX);
			for (size_t i = LOG_FORMAT_LINE_MAX; i < sizeof(line); i++)
				ck_assert_int_eq(line[i], 0x5a);
		}
		log_format_free(f);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lb/log_format");
	TCase *tc = tcase_create("values");

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, values, 0, 2);
	tcase_add_test(tc, numbers);
	tcase_add_test(tc, longest);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
