/* Frames of `tplbctl top` from made-up data. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/top_view.h"

/* JSON with single quotes for double ones. */
static struct top_sample sample(const char *json, int64_t at)
{
	char *text = strdup(json), *quote;

	while ((quote = strchr(text, '\'')))
		*quote = '"';
	struct top_sample s = {json_loads(text, 0, NULL), at};
	ck_assert(s.data != NULL);
	free(text);
	return s;
}

static char *frame(const struct top_sample *before, const struct top_sample *now, const struct top_look *look)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ck_assert(out != NULL);
	top_view_print(before, now, look, out);
	ck_assert_int_eq(fclose(out), 0);
	return text;
}

#define SERVER(name, state, active, requests, failures)                                                      \
	"{'upstream': 'u', 'server': '" name "', 'state': '" state "', 'weight': 1, 'active': " active       \
	", 'requests': " requests ", 'failures': " failures ", 'downs': 0, 'answers_timed': " requests       \
	", 'answers_us': 1" failures "000}"

static const char first[] =
        "{'status': {'version': '9', 'pid': 7, 'state': 'running', 'engine': 'pool', 'uptime_s': 1, "
        "'connections': 3,"
        " 'connections_most': 10}, 'pool': {'workers': 4, 'loops': 0, 'busy_us': 0},"
        " 'queue': {'queue_depth': 0, 'queue_size': 9, 'queue_oldest_us': 0, 'waits_p50_us': 5, "
        "'waits_p99_us': 50},"
        " 'counters': {'requests': 100, 'responses_2xx': 90, 'responses_5xx': 10, 'bytes_in': 0},"
        " 'servers': [" SERVER("a", "up", "1", "50", "0") ", " SERVER("b", "down", "null", "50", "5") "]}";
static const char second[] =
        "{'status': {'version': '9', 'pid': 7, 'state': 'draining', 'engine': 'pool', 'uptime_s': 93784, "
        "'connections': 4,"
        " 'connections_most': 10}, 'pool': {'workers': 4, 'loops': 0, 'busy_us': 4000000},"
        " 'queue': {'queue_depth': 2, 'queue_size': 9, 'queue_oldest_us': 1500, 'waits_p50_us': 5, "
        "'waits_p99_us': 2500000},"
        " 'counters': {'requests': 300, 'responses_2xx': 280, 'responses_5xx': 20, 'bytes_in': 2500000},"
        " 'workers': [{'kind': 'worker', 'doing': 'idle'}, {'kind': 'worker', 'doing': 'wait'}, {'kind': "
        "'acceptor', 'doing': 'turn'}],"
        " 'servers': [" SERVER("a", "up", "1", "70", "0") ", " SERVER(
                "b", "down", "null", "150", "25") ", " SERVER("c", "maint", "0", "1", "0") "]}";

START_TEST(test_rates)
{
	struct top_sample before = sample(first, 5 * CLOCK_NS_PER_S),
	                  now = sample(second, 7 * CLOCK_NS_PER_S);
	struct top_look look = {.sort = 4};
	char *got = frame(&before, &now, &look);

	ck_assert_str_eq(got,
	        "tplb 9, pid 7, pool engine, draining, for 1 d 02:03:04\n"
	        "requests    100.0/s: 2xx 95.0, 3xx -, 4xx -, 5xx 5.0; of them refused -, failed -\n"
	        "clients     4 of 10; -/s new; 1.2 MB/s in, -/s out\n"
	        "queue       2 of 9, the oldest for 1.5 ms; since the start p50 5 us, p99 2.5 s\n"
	        "workers     4; 1 of 2 busy now; 50 % of their time\n"
	        "\n"
	        "SERVER           STATE      WEIGHT  ACTIVE      REQ/S   FAIL/S       MS     REQUESTS   "
	        "FAILURES  "
	        "DOWNS\n"
	        "u/b              down            1       -       50.0     10.0     1.10          150        "
	        " 25      "
	        "0\n"
	        "u/a              up              1       1       10.0      0.0     0.00           70        "
	        "  0      "
	        "0\n"
	        "u/c              maint           1       0          -        -        -            1        "
	        "  0      "
	        "0\n");
	free(got);
	json_decref(before.data);
	json_decref(now.data);
}
END_TEST

/* Without a look before, and after a restart, what would be a rate is unknown. */
START_TEST(test_no_rates)
{
	struct top_sample none = {.data = NULL}, before = sample(second, 0),
	                  now = sample(first, CLOCK_NS_PER_S);
	struct top_look look = {.sort = 0};

	for (int i = 0; i < 2; i++) {
		char *got = frame(i ? &before : &none, &now, &look);

		ck_assert_ptr_nonnull(strstr(got, "\nrequests    -/s: 2xx -, "));
		ck_assert_ptr_nonnull(strstr(got, "u/a              up              1       1          -  "));
		free(got);
	}
	json_decref(before.data);
	json_decref(now.data);
}
END_TEST

/* The names of the first two servers. */
static void check_order(const struct top_look *look, const char *order)
{
	struct top_sample before = sample(first, 0), now = sample(second, CLOCK_NS_PER_S);
	char *got = frame(&before, &now, look), found[4] = "";
	const char *at = got;

	for (size_t i = 0; i < 3; i++) {
		at = strstr(at, "u/");
		ck_assert_ptr_nonnull(at);
		found[i] = at[2];
		at++;
	}
	ck_assert_str_eq(found, order);
	free(got);
	json_decref(before.data);
	json_decref(now.data);
}

START_TEST(test_order)
{
	static const struct {
		const char *column, *order, *reversed;
	} rows[] = {{"SERVER", "abc", "cba"}, {"STATE", "bca", "acb"}, {"ACTIVE", "acb", "bca"},
	        {"REQ/S", "bac", "cab"}, {"REQUESTS", "bac", "cab"}, {"WEIGHT", "abc", "cba"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (unsigned column = 0; column < TOP_COLUMNS; column++) {
			if (strcmp(top_column_name(column), rows[i].column) != 0)
				continue;
			check_order(&(struct top_look){.sort = column}, rows[i].order);
			check_order(&(struct top_look){.sort = column, .reverse = true}, rows[i].reversed);
		}
}
END_TEST

/* A name moves no cursor, and is cut between characters; lines and their number are as many as fit. */
START_TEST(test_size)
{
	struct top_sample none = {.data = NULL};
	struct top_sample now = sample("{'servers': [" SERVER("gr\xc3\xbc\xc3\x9f\\u001b[2Jx\\u007f\\u009b",
	                                       "up", "1", "1", "1") "]}",
	        0);
	struct top_look look = {.width = 6, .height = 8, .colours = true};
	char *got = frame(&none, &now, &look), *last = strrchr(got, 'u');

	ck_assert_str_eq(last, "u/gr\xc3\xbc\xc3\x9f\033[K\n");
	free(got);
	look = (struct top_look){.width = 16};
	got = frame(&none, &now, &look);
	ck_assert_str_eq(strrchr(got, 'u'), "u/gr\xc3\xbc\xc3\x9f?[2Jx??   \n");
	free(got);
	look = (struct top_look){.height = 3};
	got = frame(&none, &now, &look);
	ck_assert_ptr_eq(strstr(got, "\nqueue"), NULL);
	ck_assert_ptr_nonnull(strstr(got, "\nclients "));
	free(got);
	json_decref(now.data);
}
END_TEST

/* Whatever answers. */
START_TEST(test_nonsense)
{
	static const char *const data[] = {"{}", "{'servers': 7}",
	        "{'servers': [7, {}, {'upstream': 1, 'server': []}]}",
	        "{'status': [], 'pool': 'x', 'queue': null, 'counters': {'requests': 'many'}, 'workers': "
	        "[{}, 1]}"};
	struct top_look look = {.width = 80, .height = 24};

	for (size_t i = 0; i < 4; i++)
		for (size_t k = 0; k < 4; k++) {
			struct top_sample before = sample(data[i], 0), now = sample(data[k], 1);
			char *got = frame(&before, &now, &look);

			ck_assert_ptr_nonnull(strstr(got, "SERVER"));
			free(got);
			json_decref(before.data);
			json_decref(now.data);
		}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("top");
	TCase *cases = tcase_create("view");

	tcase_add_test(cases, test_rates);
	tcase_add_test(cases, test_no_rates);
	tcase_add_test(cases, test_order);
	tcase_add_test(cases, test_size);
	tcase_add_test(cases, test_nonsense);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
