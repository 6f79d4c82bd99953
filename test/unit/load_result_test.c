/* The report: every figure of the JSON in its place, nulls where there is nothing, and how answers are spread over clients. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "load/result.h"

static struct load_options options;
static struct load_result result;

static void setup(void)
{
	options = (struct load_options){.rate = 0.5,
	        .connections = 3,
	        .duration = 2 * CLOCK_NS_PER_S,
	        .good = 1500 * CLOCK_NS_PER_MS,
	        .keepalive = true,
	        .text = "http://h/"};
	result = (struct load_result){.lasted = 2500 * CLOCK_NS_PER_MS,
	        .scheduled = 11,
	        .sent = 10,
	        .answered = 5,
	        .good = 4,
	        .good_by_end = 3,
	        .late = 2,
	        .cut = 1,
	        .opened = 4,
	        .bytes = 1000,
	        .errors = {.connect = 1, .read = 2, .write = 3, .timeout = 4, .status = 5},
	        .clients = {.count = 3, .answered = 2, .p10 = 1, .median = 2, .p90 = 3, .max = 4},
	        .driver = LOOP_EPOLL};
}

static char *printed(void (*print)(const struct load_options *, const struct load_result *, FILE *))
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	print(&options, &result, out);
	fclose(out);
	return text;
}

START_TEST(json)
{
	histogram_record(&result.latency, 2 * CLOCK_NS_PER_MS);
	histogram_record(&result.service, CLOCK_NS_PER_MS / 2);
	char *text = printed(load_print_json);
	ck_assert_str_eq(text,
	        "{\"rate\":0.5,\"connections\":3,\"duration_s\":2,\"lasted_s\":2.500000,\"driver\":\"epoll\","
	        "\"keepalive\":true,\"scheduled\":11,\"sent\":10,\"answered\":5,\"good\":4,\"good_by_end\":3,"
	        "\"good_within_"
	        "ms\":1500,\"cut\":1,\"opened\":4,"
	        "\"rps\":2.000,\"bytes\":1000,"
	        "\"latency_ms\":{\"mean\":2.0000,\"p50\":2.0000,\"p90\":2.0000,\"p99\":2.0000,\"p999\":2."
	        "0000,"
	        "\"max\":2.0000},"
	        "\"service_ms\":{\"mean\":0.5000,\"p50\":0.5000,\"p90\":0.5000,\"p99\":0.5000,\"p999\":0."
	        "5000,"
	        "\"max\":0.5000},"
	        "\"late_sends\":2,"
	        "\"errors\":{\"connect\":1,\"read\":2,\"write\":3,\"timeout\":4,\"status\":5},"
	        "\"clients\":{\"clients\":3,\"answered\":2,\"min\":0,\"p10\":1,\"median\":2,\"p90\":3,"
	        "\"max\":4}}"
	        "\n");
	free(text);
}
END_TEST

START_TEST(json_of_nothing)
{
	result.lasted = 0;
	char *text = printed(load_print_json);
	ck_assert_ptr_nonnull(strstr(text, "\"latency_ms\":null,\"service_ms\":null,"));
	ck_assert_ptr_nonnull(strstr(text, "\"rps\":0.000,"));
	free(text);
}
END_TEST

START_TEST(text)
{
	histogram_record(&result.latency, 2 * CLOCK_NS_PER_MS);
	char *got = printed(load_print_text);
	ck_assert_str_eq(got,
	        "http://h/: 3 connections, open loop, 0.5 requests/s, epoll, keep-alive on, lasted 2.50 s\n"
	        "\n"
	        "scheduled  11\n"
	        "sent       10, 2 more than 1 ms late\n"
	        "answered   5, 2.00 requests/s, 1000 bytes; 1 cut by the end\n"
	        "good       4, 2.00 a second, within 1500 ms\n"
	        "\n"
	        "ms              mean       p50       p90       p99     p99.9       max\n"
	        "latency        2.000     2.000     2.000     2.000     2.000     2.000\n"
	        "service        0.000     0.000     0.000     0.000     0.000     0.000\n"
	        "\n"
	        "errors     connect 1, read 2, write 3, timeout 4, status 400 or more 5\n"
	        "clients    2 of 3 answered; answers each: min 0, p10 1, median 2, p90 3, max 4; 4 "
	        "connections "
	        "opened\n");
	free(got);
}
END_TEST

START_TEST(spread_over_clients)
{
	uint64_t answers[] = {7, 0, 3, 9, 1, 0, 8, 2, 5, 4, 6};
	struct load_clients c = load_clients_of(answers, 11);

	ck_assert_uint_eq(c.count, 11);
	ck_assert_uint_eq(c.answered, 9);
	ck_assert_uint_eq(c.min, 0);
	ck_assert_uint_eq(c.p10, 0);
	ck_assert_uint_eq(c.median, 4);
	ck_assert_uint_eq(c.p90, 8);
	ck_assert_uint_eq(c.max, 9);
	c = load_clients_of(answers, 1);
	ck_assert_uint_eq(c.max, 0);
	ck_assert_uint_eq(c.median, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("load/result");
	TCase *t = tcase_create("result");
	SRunner *sr = srunner_create(s);

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, json);
	tcase_add_test(t, json_of_nothing);
	tcase_add_test(t, text);
	tcase_add_test(t, spread_over_clients);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
