/* The configuration as a graph: both engines word for word, escaping, several upstreams. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lb/graph.h"

#define SERVERS "servers = ( { address = \"127.0.0.1:9012\"; } );"

static char *graph_of(const char *text)
{
	struct lb_config *c = lb_config_read_text("x", text);
	char *got;
	size_t len;
	FILE *out = open_memstream(&got, &len);

	ck_assert_ptr_nonnull(c);
	conf_print_faults(c->conf, stderr);
	ck_assert_uint_eq(conf_fault_count(c->conf), 0);
	lb_graph_print(c, out);
	fclose(out);
	lb_config_free(c);
	return got;
}

static void has(const char *graph, const char *want)
{
	ck_assert_msg(strstr(graph, want) != NULL, "no %s in:\n%s", want, graph);
}

static void has_not(const char *graph, const char *unwanted)
{
	ck_assert_msg(strstr(graph, unwanted) == NULL, "%s in:\n%s", unwanted, graph);
}

START_TEST(pool)
{
	char *got = graph_of("listeners = ( { name = \"web\"; bind = \"127.0.0.1:80\"; upstream = \"o\"; },\n"
	                     "  { bind = \"unix:/run/x\"; mode = \"tcp\"; upstream = \"o\"; } );\n"
	                     "upstreams = ( { name = \"o\"; servers = ( { address = \"127.0.0.1:9012\"; },\n"
	                     "  { address = \"[::1]:9013\"; weight = 3; backup = true; } ); } );\n");
	ck_assert_str_eq(got,
	        "digraph tplb {\n"
	        "\tgraph [rankdir=LR, fontname=\"sans-serif\", fontsize=12, nodesep=0.2, ranksep=0.5, "
	        "bgcolor=\"transparent\"];\n"
	        "\tnode [fontname=\"sans-serif\", fontsize=11, shape=box];\n"
	        "\tedge [fontname=\"sans-serif\", fontsize=9];\n"
	        "\n"
	        "\tclients [class=\"clients\", shape=plaintext];\n"
	        "\tclients -> l0;\n"
	        "\tclients -> l1;\n"
	        "\tsubgraph cluster_tplb {\n"
	        "\t\tlabel=\"tplb, engine pool\";\n"
	        "\t\tl0 [class=\"listener\", label=\"web\\n127.0.0.1:80\\nhttp\"];\n"
	        "\t\tl1 [class=\"listener\", label=\"unix:/run/x\\ntcp\"];\n"
	        "\t\tacceptor [class=\"acceptor\", label=\"acceptor\"];\n"
	        "\t\tqueue [class=\"queue\", shape=cds, margin=\"0.3,0.15\", label=\"queue\\nsize "
	        "1024\\ntimeout 1s\"];\n"
	        "\t\tworkers [class=\"workers\", label=\"16 workers\\nhold request\\nburst 8\"];\n"
	        "\t\tacceptor -> queue -> workers;\n"
	        "\t\tloops [class=\"loops\", label=\"a loop a core\\ndriver auto\\n4096 fibers\"];\n"
	        "\t\tworkers -> loops [style=dashed, label=\"tunnels, and bodies\\nthat stall for 50ms\"];\n"
	        "\t\tl0 -> acceptor;\n"
	        "\t\tl1 -> acceptor;\n"
	        "\t\tu0 [class=\"upstream\", label=\"o\\nroundrobin\"];\n"
	        "\t\tworkers -> u0;\n"
	        "\t}\n"
	        "\tu0s0 [class=\"server\", label=\"127.0.0.1:9012\\nweight 1\"];\n"
	        "\tu0 -> u0s0;\n"
	        "\tu0s1 [class=\"server\", label=\"[::1]:9013\\nweight 3\\nbackup\"];\n"
	        "\tu0 -> u0s1 [style=dashed];\n"
	        "}\n");
	free(got);
}
END_TEST

START_TEST(classic_pool)
{
	char *got = graph_of(
	        "listeners = ( { bind = \"127.0.0.1:80\"; upstream = \"o\"; } );\n"
	        "upstreams = ( { name = \"o\"; " SERVERS " } );\n"
	        "pool: { workers = 1; hold = \"connection\"; }; queue: { timeout = \"0s\"; };\n");
	has(got, "[class=\"workers\", label=\"1 worker\\nhold connection\"]");
	has(got, "label=\"queue\\nsize 1024\\nno timeout\"");
	has_not(got, "loops");
	free(got);
}
END_TEST

START_TEST(async)
{
	char *got = graph_of("listeners = ( { bind = \"127.0.0.1:80\"; upstream = \"o\"; } );\n"
	                     "upstreams = ( { name = \"o\"; " SERVERS " } );\n"
	                     "engine = \"async\"; async: { loops = 2; driver = \"epoll\"; fibers = 10; };\n");
	has(got, "label=\"tplb, engine async\"");
	has(got, "loops [class=\"loops\", label=\"2 loops\\ndriver epoll\\n10 fibers\"];\n");
	has(got, "\tl0 -> queue;\n");
	has(got, "\tqueue -> loops;\n");
	has(got, "\tloops -> u0;\n");
	has_not(got, "acceptor");
	has_not(got, "workers");
	free(got);
}
END_TEST

/* Which listener's requests go where; an upstream that none names has no way to it. */
START_TEST(several_upstreams)
{
	char *got = graph_of("listeners = ( { name = \"a\"; bind = \"127.0.0.1:80\"; upstream = \"y\"; },\n"
	                     "  { name = \"b\"; bind = \"127.0.0.1:81\"; upstream = \"x\"; },\n"
	                     "  { name = \"c\"; bind = \"127.0.0.1:82\"; upstream = \"y\"; } );\n"
	                     "upstreams = ( { name = \"x\"; " SERVERS " }, { name = \"y\"; " SERVERS " },\n"
	                     "  { name = \"z\"; " SERVERS " } );\n");
	has(got, "\tworkers -> u0 [label=\"b\"];\n");
	has(got, "\tworkers -> u1 [label=\"a\\nc\"];\n");
	has_not(got, "-> u2;");
	has_not(got, "-> u2 ");
	has(got, "\tu2 -> u2s0;\n");
	free(got);
}
END_TEST

START_TEST(names_are_escaped)
{
	char *got = graph_of(
	        "listeners = ( { name = \"a\\\"b\\\\N&lt;\"; bind = \"127.0.0.1:80\"; upstream = "
	        "\"\\\\\"; } );\n"
	        "upstreams = ( { name = \"\\\\\"; " SERVERS " }, { name = \"{<|\"; " SERVERS " } );\n");
	has(got, "label=\"a\\\"b\\\\N&amp;lt;\\n127.0.0.1:80\\nhttp\"];\n");
	has(got, "label=\"\\\\\\nroundrobin\"];\n");
	has(got, "label=\"{<|\\nroundrobin\"];\n");
	has(got, "workers -> u0 [label=\"a\\\"b\\\\N&amp;lt;\"];\n");
	free(got);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lb/graph");
	TCase *t = tcase_create("graph");
	SRunner *sr = srunner_create(s);

	tcase_add_test(t, pool);
	tcase_add_test(t, classic_pool);
	tcase_add_test(t, async);
	tcase_add_test(t, several_upstreams);
	tcase_add_test(t, names_are_escaped);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
