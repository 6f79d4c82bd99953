/* The text that Prometheus reads. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "obs/histogram.h"
#include "obs/prometheus.h"

static FILE *out;
static char *text;
static size_t text_len;

static void begin(void)
{
	out = open_memstream(&text, &text_len);
	ck_assert_ptr_nonnull(out);
}

static void expect(const char *wanted)
{
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_str_eq(text, wanted);
	free(text);
}

START_TEST(test_family)
{
	begin();
	prometheus_family(out, "a_total", PROMETHEUS_COUNTER, "what \\ it is");
	prometheus_number(out, "a_total", NULL, "", 18446744073709551615u);
	prometheus_number(out, "a_total", NULL, "code=\"2xx\"", 0);
	expect("# HELP a_total what \\\\ it is\n# TYPE a_total counter\na_total 18446744073709551615\n"
	       "a_total{code=\"2xx\"} 0\n");
}
END_TEST

static const struct {
	const char *value, *written;
} values[] = {
        {"", ""},
        {"web", "web"},
        {"a\"b\\c\nd", "a\\\"b\\\\c\\nd"},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
        /* No UTF-8: a lone byte, one cut short, too long a form, a surrogate, beyond the last. */
        {"\xFFz", "\xEF\xBF\xBDz"},
        {"\xE2\x82", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xC0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE0\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
};

START_TEST(test_label)
{
	const struct prometheus_label labels[] = {{"a", values[_i].value}, {"b", "c"}, {NULL, NULL}};
	char wanted[200];

	begin();
	prometheus_number(out, "n", labels, "d=\"e\"", 1);
	snprintf(wanted, sizeof(wanted), "n{a=\"%s\",b=\"c\",d=\"e\"} 1\n", values[_i].written);
	expect(wanted);
}
END_TEST

START_TEST(test_seconds)
{
	begin();
	prometheus_seconds(out, "n", NULL, "", 0);
	prometheus_seconds(out, "n", NULL, "", 1);
	prometheus_seconds(out, "n", NULL, "", 1500 * CLOCK_NS_PER_MS);
	prometheus_seconds(out, "n", NULL, "", 30 * CLOCK_NS_PER_S);
	expect("n 0\nn 0.000000001\nn 1.5\nn 30\n");
}
END_TEST

START_TEST(test_histogram)
{
	_Atomic uint64_t cells[HISTOGRAM_CELLS] = {0};
	uint64_t sums[HISTOGRAM_CELLS] = {0};
	const struct prometheus_label labels[] = {{"a", "b"}, {NULL, NULL}};

	histogram_record(cells, -5);                       /* counts as 0 */
	histogram_record(cells, 50 * CLOCK_NS_PER_US);     /* on the bound: below */
	histogram_record(cells, 50 * CLOCK_NS_PER_US + 1); /* the next */
	histogram_record(cells, 30 * CLOCK_NS_PER_S);      /* the last one */
	histogram_record(cells, 30 * CLOCK_NS_PER_S + 1);  /* above all */
	cells_sum(sums, cells, HISTOGRAM_CELLS);
	ck_assert_uint_eq(histogram_count(sums), 5);
	begin();
	prometheus_histogram(out, "n", labels, sums);
	ck_assert_int_eq(fflush(out), 0);
	ck_assert_ptr_nonnull(
	        strstr(text, "n_bucket{a=\"b\",le=\"0.00005\"} 2\nn_bucket{a=\"b\",le=\"0.0001\"} 3\n"));
	ck_assert_ptr_nonnull(strstr(text, "n_bucket{a=\"b\",le=\"10\"} 3\nn_bucket{a=\"b\",le=\"30\"} 4\n"
	                                   "n_bucket{a=\"b\",le=\"+Inf\"} 5\nn_sum{a=\"b\"} 60.000100002\n"
	                                   "n_count{a=\"b\"} 5\n"));
	ck_assert_int_eq(fclose(out), 0);
	free(text);
}
END_TEST

/* Around each bound and each power of two the bucket is the first whose bound is not less. */
START_TEST(test_buckets)
{
	for (int i = 0; i < HISTOGRAM_BOUNDS + 63; i++) {
		int64_t edge = i < HISTOGRAM_BOUNDS ? histogram_bounds[i]
		                                    : (int64_t)1 << (i - HISTOGRAM_BOUNDS);

		for (int64_t ns = edge - 1; ns <= edge + 1; ns++) {
			_Atomic uint64_t cells[HISTOGRAM_CELLS] = {0};
			unsigned bucket = 0;

			while (bucket < HISTOGRAM_BOUNDS && ns > histogram_bounds[bucket])
				bucket++;
			histogram_record(cells, ns);
			ck_assert_uint_eq(cells[HISTOGRAM_BUCKETS + bucket], 1);
		}
	}
}
END_TEST

START_TEST(test_bounds)
{
	for (unsigned i = 1; i < HISTOGRAM_BOUNDS; i++)
		ck_assert_int_gt(histogram_bounds[i], histogram_bounds[i - 1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("obs/prometheus");
	TCase *all = tcase_create("all");

	tcase_add_test(all, test_family);
	tcase_add_loop_test(all, test_label, 0, sizeof(values) / sizeof(values[0]));
	tcase_add_test(all, test_seconds);
	tcase_add_test(all, test_histogram);
	tcase_add_test(all, test_buckets);
	tcase_add_test(all, test_bounds);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
