#include "load/options.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { ARGS_MAX = 12 };

#define URL "http://127.0.0.1:8000/"

static struct load_options options;
static char why[LOAD_WHY_MAX];

static enum load_options_verdict parse(const char *const *args)
{
	static char program[] = "tplb-load";
	static char copies[ARGS_MAX + 2][64]; /* getopt wants to move them, the options point into them */
	char *argv[ARGS_MAX + 2] = {program};
	int argc = 1;

	why[0] = '\0';
	for (; args[argc - 1]; argc++) {
		snprintf(copies[argc], sizeof(copies[argc]), "%s", args[argc - 1]);
		argv[argc] = copies[argc];
	}
	return load_options_parse(argc, argv, &options, why);
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

START_TEST(defaults)
{
	ck_assert_int_eq(PARSE(URL), LOAD_OPTIONS_RUN);
	ck_assert_double_eq(options.rate, 0);
	ck_assert_uint_eq(options.connections, 10);
	ck_assert_int_eq(options.duration, 10 * CLOCK_NS_PER_S);
	ck_assert_int_eq(options.timeout, 10 * CLOCK_NS_PER_S);
	ck_assert(options.keepalive);
	ck_assert(!options.json);
	ck_assert_int_eq(options.driver, LOOP_AUTO);
	ck_assert_str_eq(options.url.address, "127.0.0.1:8000");
	ck_assert_str_eq(options.text, URL);
}
END_TEST

START_TEST(short_and_long_forms)
{
	ck_assert_int_eq(PARSE("-r", "0.5", "-c100", "-d", "2m", "-t1s", "-koff", "-Depoll", "-j", URL),
	        LOAD_OPTIONS_RUN);
	ck_assert_double_eq(options.rate, 0.5);
	ck_assert_uint_eq(options.connections, 100);
	ck_assert_int_eq(options.duration, 120 * CLOCK_NS_PER_S);
	ck_assert_int_eq(options.timeout, CLOCK_NS_PER_S);
	ck_assert(!options.keepalive);
	ck_assert(options.json);
	ck_assert_int_eq(options.driver, LOOP_EPOLL);
	/* The URL may come first. */
	ck_assert_int_eq(PARSE(URL, "--rate=1e3", "--connections", "1", "--duration=250ms", "--timeout", "9s",
	                         "--keepalive=on", "--driver=io_uring", "--json"),
	        LOAD_OPTIONS_RUN);
	ck_assert_double_eq(options.rate, 1000);
	ck_assert_uint_eq(options.connections, 1);
	ck_assert_int_eq(options.duration, 250 * CLOCK_NS_PER_MS);
	ck_assert(options.keepalive);
	ck_assert_int_eq(options.driver, LOOP_URING);
	ck_assert(options.json);
}
END_TEST

START_TEST(help_and_version)
{
	ck_assert_int_eq(PARSE("-h"), LOAD_OPTIONS_HELP);
	ck_assert_int_eq(PARSE("--help"), LOAD_OPTIONS_HELP);
	ck_assert_int_eq(PARSE("-v"), LOAD_OPTIONS_VERSION);
	ck_assert_int_eq(PARSE("--version"), LOAD_OPTIONS_VERSION);
	ck_assert_ptr_nonnull(strstr(load_options_help(), "one thread"));
}
END_TEST

static const struct {
	const char *args[4];
	const char *says;
} wrongs[] = {
        {{"-j"}, "the URL is missing; give one such as http://127.0.0.1:8000/"},
        {{"http://h/", "http://i/"}, "argument: http://i/: one URL is expected"},
        {{"127.0.0.1:8000"}, "URL: 127.0.0.1:8000: not a URL"},
        {{"-r", "-1", URL}, "--rate: -1: give requests a second"},
        {{"-r", "nan", URL}, "--rate: nan: give"},
        {{"-r", "5x", URL}, "--rate: 5x: give"},
        {{"-r", "", URL}, "--rate: (empty): give"},
        {{"-r", "1000001", URL}, "--rate: 1000001: give"},
        {{"-r", "1e999", URL}, "--rate: 1e999: give"},
        {{"-c", "0", URL}, "--connections: 0: give a number from 1 to "},
        {{"-c", "10001", URL}, "--connections: 10001: give"},
        {{"-c", "x", URL}, "--connections: x: give"},
        {{"-d", "10", URL}, "--duration: 10: give a time with its unit"},
        {{"-d", "0s", URL}, "--duration: 0s: give"},
        {{"-d", "25h", URL}, "--duration: 25h: give"},
        {{"-t", "soon", URL}, "--timeout: soon: give"},
        {{"-k", "yes", URL}, "--keepalive: yes: give on or off"},
        {{"-D", "uring", URL}, "--driver: uring: no such driver; give auto, io_uring or epoll"},
        {{URL, "-c"}, "-c: a value is missing; see tplb-load --help"},
        {{"--rate"}, "--rate: a value is missing; see tplb-load --help"},
        {{"-x", URL}, "-x: no such option; see tplb-load --help"},
        {{"--raet", "5", URL}, "--raet: no such option; see tplb-load --help"},
};

START_TEST(wrong_usage_is_told_with_its_remedy)
{
	ck_assert_int_eq(parse(wrongs[_i].args), LOAD_OPTIONS_WRONG);
	ck_assert_msg(strncmp(why, wrongs[_i].says, strlen(wrongs[_i].says)) == 0, "%s", why);
	ck_assert_ptr_null(strchr(why, '\n'));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("load/options");
	TCase *t = tcase_create("options");
	SRunner *sr = srunner_create(s);

	tcase_add_test(t, defaults);
	tcase_add_test(t, short_and_long_forms);
	tcase_add_test(t, help_and_version);
	tcase_add_loop_test(
	        t, wrong_usage_is_told_with_its_remedy, 0, (int)(sizeof(wrongs) / sizeof(wrongs[0])));
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
