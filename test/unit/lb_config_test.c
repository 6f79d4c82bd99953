/* The load balancer's configuration: defaults, cross checks with their lines, resolving, printing, the samples. */
#include <check.h>
#include <glob.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lb/config.h"
#include "work/queue.h"

/* What every text below needs to be right; one line. */
#define LISTENER "{ bind = \"127.0.0.1:80\"; upstream = \"o\"; }"
#define SERVER "{ address = \"127.0.0.1:9012\"; }"
#define UPSTREAM "{ name = \"o\"; servers = ( " SERVER " ); }"
/* One upstream with these keys and one server with those, on the second line. */
#define NAMED(upstream, server)                                                                              \
	"listeners = ( " LISTENER " );\nupstreams = ( { name = \"o\"; " upstream " servers = ( { " server    \
	" } ); } );"
#define BASE "listeners = ( " LISTENER " ); upstreams = ( " UPSTREAM " );\n"

/* A configuration whose upstream, in line 2, has this as well. */
#define WITH(text)                                                                                           \
	"listeners = ( " LISTENER " );\nupstreams = ( { name = \"o\"; " text " servers = ( " SERVER " ); } " \
	");"

static char *faults_of(const struct lb_config *c)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	conf_print_faults(c->conf, out);
	fclose(out);
	return text;
}

static char *printed(const struct lb_config *c)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	lb_config_print(c, out);
	fclose(out);
	return text;
}

/* Reads text, resolves when it is right, and compares all lines. The caller frees the configuration. */
static struct lb_config *read_expect(const char *text, const char *want)
{
	struct lb_config *c = lb_config_read_text("x", text);
	ck_assert_ptr_nonnull(c);
	if (conf_fault_count(c->conf) == 0)
		lb_config_resolve(c);
	char *got = faults_of(c);
	ck_assert_str_eq(got, want);
	free(got);
	return c;
}

START_TEST(test_defaults)
{
	struct lb_config *c = read_expect(BASE, "");
	ck_assert_int_eq(c->engine, LB_ENGINE_POOL);
	ck_assert_str_eq(c->user, "");
	ck_assert_int_eq(c->pool.workers, 16);
	ck_assert_int_eq(c->pool.hold, LB_HOLD_REQUEST);
	ck_assert_int_eq(c->queue.size, 1024);
	ck_assert_int_eq(c->queue.timeout, CLOCK_NS_PER_S);
	ck_assert_int_eq(c->queue.discipline, QUEUE_FIFO);
	ck_assert_int_eq(c->queue.target, 5 * CLOCK_NS_PER_MS);
	ck_assert_int_eq(c->queue.interval, 100 * CLOCK_NS_PER_MS);
	ck_assert_int_eq(c->timeouts.connect, CLOCK_NS_PER_S);
	ck_assert_int_eq(c->timeouts.request_header, 10 * CLOCK_NS_PER_S);
	ck_assert_int_eq(c->timeouts.client, 30 * CLOCK_NS_PER_S);
	ck_assert_int_eq(c->timeouts.server, 30 * CLOCK_NS_PER_S);
	ck_assert_int_eq(c->timeouts.keepalive, 60 * CLOCK_NS_PER_S);
	ck_assert_int_eq(c->timeouts.tunnel, 3600 * CLOCK_NS_PER_S);
	ck_assert_int_eq(c->timeouts.drain, 30 * CLOCK_NS_PER_S);
	ck_assert_int_eq(c->timeouts.stuck, 10 * CLOCK_NS_PER_S);
	ck_assert_int_eq(c->limits.connections, 16384);
	ck_assert_uint_eq(c->limits.header_size, 16384);
	ck_assert_int_eq(c->limits.headers, 100);
	ck_assert_uint_eq(c->limits.body_size, 0);
	ck_assert_int_eq(c->limits.requests_per_client, 0);
	ck_assert_int_eq(c->limits.connections_per_client, 0);
	ck_assert_uint_eq(c->limits.min_body_rate, 0);
	ck_assert_uint_eq(c->limits.min_answer_rate, 0);
	ck_assert_int_eq(c->limits.rate_grace, 10 * CLOCK_NS_PER_S);
	ck_assert(!c->abort_on_close);
	ck_assert_int_eq(lb_config_listener(c, 0)->rate.requests, 0);
	ck_assert(!lb_config_listener(c, 0)->accept_proxy);
	ck_assert_int_eq(lb_config_server(lb_config_upstream(c, 0), 0)->send_proxy, LB_SEND_PROXY_OFF);
	ck_assert(c->forward.x_forwarded_for);
	ck_assert(!c->forward.forwarded);
	ck_assert_str_eq(c->forward.via, "tplb");
	ck_assert_uint_eq(c->forward.trusted.count, 0);
	ck_assert_int_eq(c->log.level, DIAG_INFO);
	ck_assert_str_eq(c->log.output, "stderr");
	ck_assert_str_eq(c->log.access, "off");
	ck_assert_str_eq(c->log.format, "combined");
	lb_config_free(c);
}
END_TEST

START_TEST(test_lists)
{
	struct lb_config *c = read_expect(
	        "listeners = ( { bind = \"*:80\"; upstream = \"b\"; },\n"
	        "  { name = \"t\"; bind = \"unix:/run/x\"; mode = \"tcp\"; upstream = \"a\"; } );\n"
	        "upstreams = ( { name = \"a\"; keepalive = 0; servers = ( { address = \"localhost:1\"; } ); "
	        "},\n"
	        "  { name = \"b\"; servers = ( { address = \"[::1]:2\"; weight = 256; }, { address = "
	        "\"unix:/y\"; } ); } );\n"
	        "forward: { trusted = ( \"10.0.0.0/8\", \"unix:\" ); via = \"\"; };\n",
	        "");
	char text[ADDR_TEXT_MAX];
	const struct lb_config_listener *web = lb_config_listener(c, 0), *tcp = lb_config_listener(c, 1);
	ck_assert_uint_eq(c->listeners.count, 2);
	ck_assert_str_eq(web->name, "*:80");
	ck_assert_uint_eq(web->upstream_index, 1);
	ck_assert_int_eq(web->mode, LB_MODE_HTTP);
	ck_assert_str_eq(addr_format(&web->addr, text), "0.0.0.0:80");
	ck_assert_str_eq(tcp->name, "t");
	ck_assert_uint_eq(tcp->upstream_index, 0);
	ck_assert_int_eq(tcp->mode, LB_MODE_TCP);
	const struct lb_config_upstream *a = lb_config_upstream(c, 0), *b = lb_config_upstream(c, 1);
	ck_assert_int_eq(a->keepalive, 0);
	ck_assert_int_eq(b->keepalive, 64);
	ck_assert_str_eq(addr_format(&lb_config_server(a, 0)->targets[0].addr, text), "127.0.0.1:1");
	ck_assert_int_eq(lb_config_server(b, 0)->weight, 256);
	ck_assert_int_eq(lb_config_server(b, 1)->weight, 1);
	ck_assert_str_eq(addr_format(&lb_config_server(b, 1)->addr, text), "unix:/y");
	ck_assert_uint_eq(c->forward.trusted.count, 2);
	ck_assert_uint_eq(c->forward.trusted_blocks[0].bits, 8);
	ck_assert_uint_eq(c->forward.trusted_blocks[1].family, 0);
	ck_assert_str_eq(c->forward.via, "");
	lb_config_free(c);
}
END_TEST

static const struct {
	const char *text, *want;
} wrong[] = {
        {"", "x:1: listeners: missing, there must be at least one listener\n"
             "x:1: upstreams: missing, there must be at least one upstream\n"},
        {BASE "engine = \"asinc\";",
                "x:2: engine: must be \"pool\" or \"async\", not \"asinc\": did you mean \"async\"?\n"},
        {BASE "async: { driver = \"uring\"; };",
                "x:2: async.driver: must be \"auto\", \"io_uring\" or \"epoll\", not \"uring\"\n"},
        {BASE "async: { loops = 65; };", "x:2: async.loops: must be a whole number from 0 to 64, not 65\n"},
        {BASE "async: { fibers = 0; };",
                "x:2: async.fibers: must be a whole number from 1 to 30000, not 0\n"},
        {BASE "pool: { patience = 50; };", "x:2: pool.patience: must be a duration such as \"250ms\" or "
                                           "\"5s\", from 0s to 24h, not a number: "
                                           "write \"50s\"\n"},
        {BASE "user = \"no-such-user-x\";",
                "x:2: user: there is no user \"no-such-user-x\" on this system: create it (useradd --system "
                "no-such-user-x) or leave the key out\n"},
        /* keys that later versions will have */
        {BASE "admin: { port = 1; };",
                "x:2: admin.port: unknown key, the known ones are socket, bind, hosts\n"},
        {BASE "metrics: { };", "x:2: metrics: unknown key, the known ones are engine, user, "
                               "chroot, sandbox, "
                               "abort_on_close, pool, async, queue, "
                               "listeners, upstreams, timeouts, limits, forward, log, admin\n"},
        {BASE "pool: { workers = \"16\"; };",
                "x:2: pool.workers: must be a whole number from 1 to 4096, not a string\n"},
        {BASE "pool: { workers = 0; };", "x:2: pool.workers: must be a whole number from 1 to 4096, not 0\n"},
        {BASE "queue: { discipline = \"random\"; };",
                "x:2: queue.discipline: must be \"fifo\", \"lifo\" or \"codel\", not \"random\"\n"},
        {BASE "queue: { discipline = \"codel\"; target = \"0s\"; };",
                "x:2: queue.target: must be a duration such as \"250ms\" or \"5s\", from 1us to 24h, not "
                "\"0s\"\n"},
        {BASE "queue: { discipline = \"codel\"; target = \"100ms\"; };",
                "x:2: queue.target: must be shorter than queue.interval, or every burst would be shed\n"},
        {BASE "queue: { discipline = \"codel\";\ntimeout = \"100ms\"; };",
                "x:3: queue.timeout: warning: all have timed out before queue.interval is over: nobody is "
                "ever shed\n"},
        {BASE "queue: { target = \"1ms\";\ninterval = \"1s\"; };",
                "x:2: queue.target: warning: only the discipline \"codel\" looks at it\n"
                "x:3: queue.interval: warning: only the disciplines \"lifo\" and \"codel\" look at it\n"},
        {BASE "queue: { discipline = \"lifo\"; target = \"1ms\"; interval = \"1s\"; };",
                "x:2: queue.target: warning: only the discipline \"codel\" looks at it\n"},
        {BASE "queue: { size = 1048577; };",
                "x:2: queue.size: must be a whole number from 1 to 1048576, not 1048577\n"},
        {BASE "timeouts: { stuck = \"1999ms\"; };", "x:2: timeouts.stuck: must be \"2s\" or more, or \"0s\" "
                                                    "to watch nobody: a thread may well take a "
                                                    "second\n"},
        {BASE "timeouts: { stuck = \"2s\"; };", ""},
        {BASE "timeouts: { stuck = \"0s\"; };", ""},
        {BASE "timeouts: { conect = \"1s\"; };",
                "x:2: timeouts.conect: unknown key, did you mean `connect`?\n"},
        {BASE "timeouts: { connect = 3; };", "x:2: timeouts.connect: must be a duration such as \"250ms\" or "
                                             "\"5s\", from 0s to 24h, not a number: "
                                             "write \"3s\"\n"},
        {BASE "timeouts: { tunnel = \"25h\"; };", "x:2: timeouts.tunnel: must be a duration such as "
                                                  "\"250ms\" or \"5s\", from 0s to 24h, not \"25h\"\n"},
        {BASE "limits: { headers = 7; header_size = \"2m\"; };",
                "x:2: limits.header_size: must be a size such as \"64k\" or \"1m\", from 1k to 1m, not "
                "\"2m\"\n"
                "x:2: limits.headers: must be a whole number from 8 to 10000, not 7\n"},
        /* log */
        {BASE "log: { format = \"jason\"; };", "x:2: log.format: \"jason\": did you mean \"json\"?\n"},
        {BASE "log: { format = \"\"; };", "x:2: log.format: \"\": must be combined, timed, json, or a text "
                                          "with variables in it, such as "
                                          "\"%{client} %{status}\"\n"},
        {BASE "log: { format = \"%{staus}\"; };",
                "x:2: log.format: \"%{staus}\": there is no variable %{staus}, did you mean %{status}?\n"},
        {BASE "log: { format = \"a %{status\"; };",
                "x:2: log.format: \"a %{status\": \"%{status\" has no end, \"}\"\n"},
        {BASE "log: { output = \"sterr\"; access = \"access.log\"; };",
                "x:2: log.output: must be \"stderr\", \"syslog\", \"journald\" or a path with a \"/\" in it, "
                "not "
                "\"sterr\": did you "
                "mean \"stderr\"?\n"
                "x:2: log.access: must be \"off\", \"stdout\", \"syslog\", \"journald\" or a path with a "
                "\"/\" in it, not "
                "\"access.log\"\n"},
        {BASE "log: { output = \"\"; level = \"warn\"; };",
                "x:2: log.level: must be \"error\", \"warning\", \"info\" or \"debug\", not \"warn\"\n"
                "x:2: log.output: must be \"stderr\", \"syslog\", \"journald\" or a path with a \"/\" in it, "
                "not \"\"\n"},
        {BASE "log: { facility = \"local8\"; tag = \"two words\"; };",
                "x:2: log.facility: must be \"kern\", \"user\", \"mail\", \"daemon\", \"auth\", "
                "\"syslog\", \"lpr\", \"news\", \"uucp\", \"cron\", \"authpriv\", \"ftp\", \"ntp\", "
                "\"audit\", \"alert\", \"clock\", \"local0\", \"local1\", \"local2\", \"local3\", "
                "\"local4\", \"local5\", \"local6\" or \"local7\", not \"local8\": did you mean \"local0\"?\n"
                "x:2: log.tag: must be one word of at most 32 letters, digits and \"-._\", not \"two "
                "words\"\n"},
        {BASE "log: { output = \"syslog:192.0.2.1\"; access = \"journald:192.0.2.1:514\"; };",
                "x:2: log.output: \"syslog:192.0.2.1\": behind the colon must be the path of a socket, from "
                "\"/\" on, or "
                "with \"syslog:\" the address of another machine's, such as \"192.0.2.1:514\"\n"
                "x:2: log.access: \"journald:192.0.2.1:514\": behind the colon must be the path of a socket, "
                "from "
                "\"/\" on, or with \"syslog:\" the address of another machine's, such as "
                "\"192.0.2.1:514\"\n"},
        /* forward */
        {BASE "forward: { request_id = \"two words\"; };",
                "x:2: forward.request_id: must be the name of a field, such as \"X-Request-Id\", of at most "
                "64 "
                "characters, or empty for none, not \"two words\"\n"},
        {BASE "forward: { request_id = \"host\"; };",
                "x:2: forward.request_id: must be the name of a field that has no other meaning, such as "
                "\"X-Request-Id\", not \"host\"\n"},
        {BASE "forward: { request_id_answer = true; };",
                "x:2: forward.request_id_answer: needs forward.request_id, which names the field, such as "
                "\"X-Request-Id\"\n"},
        {BASE "forward: { via = \"a b\"; };",
                "x:2: forward.via: must be one word of letters, digits and \"-._\", or "
                "empty for no Via, not \"a b\"\n"},
        {BASE "forward: { trusted = ( \"::1\",\n\"10.0.0.0/33\"\n ); };",
                "x:3: forward.trusted[1]: must be an address, a block such as \"10.0.0.0/8\", or \"unix:\", "
                "not "
                "\"10.0.0.0/33\"\n"},
        {BASE "forward: { trusted = ( \"10.1.0.0/8\" ); };",
                "x:2: forward.trusted[0]: warning: \"10.1.0.0/8\" has bits set beyond its length, they do "
                "not count\n"},
        /* listeners and upstreams */
        {"listeners = ( { mode = \"htpp\"; } );\nupstreams = ( " UPSTREAM " );",
                "x:1: listeners[0].bind: missing, every listener needs it: the address to listen on, such as "
                "\"0.0.0.0:8080\"\n"
                "x:1: listeners[0].mode: must be \"http\" or \"tcp\", not \"htpp\": did you mean \"http\"?\n"
                "x:1: listeners[0].upstream: missing, every listener needs it: the name of the upstream that "
                "answers\n"},
        {"listeners = ( { bind = \"127.0.0.1\"; upstream = \"o\"; } );\nupstreams = ( " UPSTREAM " );",
                "x:1: listeners[0].bind: \"127.0.0.1\" is not an address: a port is missing, as in "
                "\"127.0.0.1:80\"\n"},
        {"listeners = ( " LISTENER
         " );\nupstreams = ( { name = \"o\"; servers = ( { address = \"*:80\"; } ); } );",
                "x:2: upstreams[0].servers[0].address: \"*:80\" is not an address: a host is missing before "
                "the port\n"},
        {"listeners = ( " LISTENER " );\nupstreams = ( { servers = ( " SERVER " ); } );",
                "x:2: upstreams[0].name: missing, every upstream needs it: what listeners call it\n"},
        {"listeners = ( " LISTENER " );\nupstreams = ( { name = \"o\"; } );",
                "x:2: upstreams[0].servers: missing, there must be at least one server\n"},
        {"listeners = ( " LISTENER " );\nupstreams = ( { name = \"o\"; servers = ( { weight = 257; } ); } );",
                "x:2: upstreams[0].servers[0].address: missing, every server needs it: where it listens, "
                "such as "
                "\"127.0.0.1:9012\"\n"
                "x:2: upstreams[0].servers[0].weight: must be a whole number from 1 to 256, not 257\n"},
        {"listeners = ( { bind = \"*:80\"; upstream = \"orgins\"; } );\n"
         "upstreams = ( { name = \"origins\"; servers = ( " SERVER " ); } );",
                "x:1: listeners[0].upstream: there is no upstream \"orgins\", did you mean \"origins\"?\n"},
        {"listeners = ( { bind = \"*:80\"; upstream = \"web\"; } );\nupstreams = ( " UPSTREAM " );",
                "x:1: listeners[0].upstream: there is no upstream \"web\": add it to upstreams, or name one "
                "of those "
                "there, such as \"o\"\n"},
        {"listeners = ( " LISTENER " );\nupstreams = ( " UPSTREAM ",\n" UPSTREAM " );",
                "x:3: upstreams[1].name: the name \"o\" is taken by upstreams[0], choose another\n"},
        {"listeners = ( " LISTENER " );\nupstreams = ( " UPSTREAM ", { name = \"\"; servers = ( " SERVER
         " ); } );",
                "x:2: upstreams[1].name: must not be empty\n"},
        {"listeners = ( " LISTENER " );\nupstreams = ( " UPSTREAM
         ",\n { name = \"spare\"; servers = ( " SERVER " ); } );",
                "x:3: upstreams[1].name: warning: no listener uses the upstream \"spare\"\n"},
        {"listeners = ( { name = \"w\"; bind = \"*:80\"; upstream = \"o\"; },\n"
         " { name = \"w\"; bind = \"*:81\"; upstream = \"o\"; } ); upstreams = ( " UPSTREAM " );",
                "x:2: listeners[1].name: the name \"w\" is taken by listeners[0], choose another\n"},
        {"listeners = ( " LISTENER ",\n" LISTENER " ); upstreams = ( " UPSTREAM " );",
                "x:2: listeners[1].bind: listeners[0] listens on 127.0.0.1:80 already, choose another "
                "address or port\n"},
        {"listeners = ( " LISTENER ",\n{ bind = \"*:80\"; upstream = \"o\"; } ); upstreams = ( " UPSTREAM
         " );",
                "x:2: listeners[1].bind: listeners[0] listens on 127.0.0.1:80 already, choose another "
                "address or port\n"},
        {"listeners = ( " LISTENER
         ",\n{ bind = \"localhost:80\"; upstream = \"o\"; } ); upstreams = ( " UPSTREAM " );",
                "x:2: listeners[1].bind: listeners[0] listens on 127.0.0.1:80 already, choose another "
                "address or port\n"},
        {"listeners = ( " LISTENER " );\nupstreams = ( { name = \"o\"; servers = ( " SERVER ",\n" SERVER
         " ); } );",
                "x:3: upstreams[0].servers[1].address: warning: \"127.0.0.1:9012\" is servers[0] of this "
                "upstream "
                "already: a larger share is said by weight\n"},
        /* sizes that make no sense together */
        {BASE "limits: { connections = 10; };\nqueue: { size = 11; };\npool: { workers = 11; };",
                "x:3: queue.size: warning: the queue never fills: limits.connections lets only 10 in\n"
                "x:4: pool.workers: warning: some workers never work: limits.connections lets only 10 in\n"},
        {BASE "limits: { connections = 10; };", ""},
        {BASE "admin: { socket = \"/run/x.sock\"; };", ""},
        {BASE "admin: { socket = \"x.sock\"; };",
                "x:2: admin.socket: must be a path from \"/\" on of at most 107 bytes, such as "
                "\"/run/tplb/tplb.sock\", not \"x.sock\"\n"},
        {BASE "admin: { bind = \"127.0.0.1:9901\"; hosts = (\"lb.example\"); };", ""},
        {BASE "admin: { bind = \"[::1]:9901\"; };", ""},
        {BASE "admin: { bind = \"unix:/run/x.sock\"; };", ""},
        {BASE "admin: { bind = \"127.0.0.1\"; };",
                "x:2: admin.bind: \"127.0.0.1\" is not an address: a port is missing, as in "
                "\"127.0.0.1:80\"\n"},
        {BASE "admin: { bind = \"localhost:9901\"; };",
                "x:2: admin.bind: must be an address such as \"127.0.0.1:9901\", no name as in "
                "\"localhost:9901\"\n"},
        {BASE "admin: { bind = \"10.0.0.1:9901\"; };",
                "x:2: admin.bind: warning: whoever reaches 10.0.0.1:9901 sees the state of this machine's "
                "servers, without a password: take \"127.0.0.1:9901\", or let a firewall say who may\n"},
        {BASE "admin: { bind = \"[::]:9901\"; };",
                "x:2: admin.bind: warning: whoever reaches [::]:9901 sees the state of this machine's "
                "servers, without a password: take \"127.0.0.1:9901\", or let a firewall say who may\n"},
        {BASE "admin: { socket = \"/x.sock\"; bind = \"unix:/x.sock\"; };",
                "x:2: admin.bind: `socket` is there already, choose another path\n"},
        {BASE "admin: { bind = \"127.0.0.1:9901\"; hosts = (\"a.example:80\"); };",
                "x:2: admin.hosts[0]: must be a host's name without a port, such as \"lb1.example\", not "
                "\"a.example:80\"\n"},
        {BASE "admin: { hosts = (\"a.example\"); };",
                "x:2: admin.hosts: warning: nothing is asked by them: `bind` is empty\n"},
        {BASE "admin: { sockt = \"/x\"; };", "x:2: admin.sockt: unknown key, did you mean `socket`?\n"},
        {"listeners = ( { bind = \"unix:/x.sock\"; upstream = \"o\"; } );\nupstreams = ( " UPSTREAM
         " );\nadmin: { socket = \"/x.sock\"; };",
                "x:3: admin.socket: listeners[0] listens on it already, choose another path\n"},
        {"upstreams = ( { name = \"a\"; balance = \"header:\"; servers = ( { address = \"127.0.0.1:1\"; } ); "
         "} );\n"
         "listeners = ( { bind = \"127.0.0.1:81\"; upstream = \"a\"; } );\n",
                "x:1: upstreams[0].balance: \"header:\" must be followed by the name of a header field, such "
                "as \"header:X-User\", not \"header:\"\n"},
        {"upstreams = ( { name = \"a\"; balance = \"uri\"; servers = ( { address = \"127.0.0.1:1\"; } ); } "
         ");\n"
         "listeners = ( { bind = \"127.0.0.1:81\"; mode = \"tcp\"; upstream = \"a\"; } );\n",
                "x:2: listeners[0].upstream: \"a\" balances by \"uri\", which needs http mode: take "
                "another "
                "policy there, such as \"source\", or mode \"http\"\n"},
        {"upstreams = ( { name = \"a\"; servers = ( { address = \"127.0.0.1:1\"; backup = true; } ); } );\n"
         "listeners = ( { bind = \"127.0.0.1:81\"; upstream = \"a\"; } );\n",
                "x:1: upstreams[0].servers: all of them are backups: at least one must not be\n"},
        /* one key of an upstream wrong */
        {WITH("health = { path = \"/x\"; };"),
                "x:2: upstreams[0].health.path: there are no probes without a type: add type = \"http\" or "
                "type = \"tcp\"\n"},
        {WITH("health = { type = \"tcp\"; path = \"/x\"; };"),
                "x:2: upstreams[0].health.path: a probe of type \"tcp\" only connects: leave the key out, or "
                "take type = \"http\"\n"},
        {WITH("health = { type = \"http\"; path = \"x\"; method = \"GE T\"; host = \"a b\"; expect = "
              "100; };"),
                "x:2: upstreams[0].health.path: must begin with \"/\", have no spaces and at most 1024 "
                "bytes, not \"x\"\n"
                "x:2: upstreams[0].health.method: must be a method such as \"GET\", not \"GE T\"\n"
                "x:2: upstreams[0].health.host: must be a host name, or a name and a port, not \"a b\"\n"
                "x:2: upstreams[0].health.expect: must be a status from 200 to 599, or 0 for any from 200 "
                "to 399, not 100\n"},
        {WITH("health = { type = \"http\"; method = \"HEAD\"; body = \"x\"; };"),
                "x:2: upstreams[0].health.body: an answer to HEAD has no body: take another method\n"},
        {WITH("health = { type = \"http\"; timeout = \"3s\"; };"),
                "x:2: upstreams[0].health.timeout: warning: longer than health.interval: a server that hangs "
                "is asked less often than that\n"},
        {WITH("sticky = { path = \"/\"; };"),
                "x:2: upstreams[0].sticky.path: there is no cookie without a name: add cookie = \"TPLB\"\n"},
        {WITH("sticky = { cookie = \"a b\"; path = \"x\"; domain = \"a;b\"; same_site = \"none\"; };"),
                "x:2: upstreams[0].sticky.cookie: must be a cookie's name such as \"TPLB\", of at most 64 "
                "letters, digits and \"-._\", not \"a b\"\n"
                "x:2: upstreams[0].sticky.path: must begin with \"/\", not \"x\"\n"
                "x:2: upstreams[0].sticky.domain: must be a domain such as \"shop.example\", not "
                "\"a;b\"\n"
                "x:2: upstreams[0].sticky.same_site: warning: browsers drop a cookie with SameSite=None "
                "that is not secure: add secure = true\n"},
        {WITH("retries = 11;"), "x:2: upstreams[0].retries: must be a whole number from 0 to 10, not 11\n"},
        {"upstreams = ( { name = \"a\"; sticky = { cookie = \"S\"; }; servers = ( " SERVER " ); } );\n"
         "listeners = ( { bind = \"127.0.0.1:81\"; mode = \"tcp\"; upstream = \"a\"; } );\n",
                "x:2: listeners[0].upstream: \"a\" has sticky sessions by cookie, which need http mode: take "
                "balance = \"source\" there, or mode \"http\"\n"},
        {"listeners = ( " LISTENER " );\nupstreams = ( { name = \"o\"; servers = ( { address = "
         "\"127.0.0.1:1\"; state = \"drain\"; } ); } );",
                "x:2: upstreams[0].servers: warning: none of them is ready: requests get 503 until one is\n"},
        /* names */
        {NAMED("resolve = \"99ms\";", "address = \"127.0.0.1:1\";"),
                "x:2: upstreams[0].resolve: must be \"0s\" for once at start, or at least \"100ms\": name "
                "servers are not asked more often\n"},
        {NAMED("nameserver = \"dns.example\";", "address = \"127.0.0.1:1\";"),
                "x:2: upstreams[0].nameserver: must be the address of a name server, such as "
                "\"192.0.2.53\" or \"[2001:db8::53]:5353\", or empty for the system's, not "
                "\"dns.example\"\n"},
        {NAMED("nameserver = \"unix:/x\";", "address = \"127.0.0.1:1\";"),
                "x:2: upstreams[0].nameserver: must be the address of a name server, such as "
                "\"192.0.2.53\" or \"[2001:db8::53]:5353\", or empty for the system's, not \"unix:/x\"\n"},
        {NAMED("nameserver = \"192.0.2.53\";", "address = \"127.0.0.1:1\"; slots = 1;"), ""},
        {NAMED("nameserver = \"[::1]\";", "address = \"127.0.0.1:1\";"), ""},
        {NAMED("", "address = \"srv:_x._tcp.a.example:80\"; slots = 2;"),
                "x:2: upstreams[0].servers[0].address: \"srv:_x._tcp.a.example:80\" is not a name of SRV "
                "records: write it without a port, which comes with each record, as in "
                "\"srv:_http._tcp.origin.example\"\n"},
        {NAMED("", "address = \"srv:_x._tcp.a.example\";"),
                "x:2: upstreams[0].servers[0].slots: SRV records need it: how many servers they may be at "
                "most, such as slots = 8\n"},
        {NAMED("", "address = \"127.0.0.1:1\"; slots = 2; init_addr = \"none\";"),
                "x:2: upstreams[0].servers[0].slots: \"127.0.0.1:1\" is one server: more than one slot is "
                "for a name\n"
                "x:2: upstreams[0].servers[0].init_addr: \"127.0.0.1:1\" is no name: there is nothing to "
                "be resolved\n"},
        {NAMED("resolve = \"0s\";", "address = \"a.example:1\"; init_addr = \"none\";"),
                "x:2: upstreams[0].servers[0].init_addr: \"a.example:1\" would stay without an address for "
                "ever where resolve is \"0s\": leave init_addr out, or set resolve of the upstream, such as "
                "\"30s\"\n"},
        {NAMED("nameserver = \"127.0.0.1:1\";", "address = \"a.example:1\"; init_addr = \"none\";"), ""},
        {NAMED("nameserver = \"127.0.0.1:1\";", "address = \"srv:a.example\"; slots = 4;"),
                "x:2: upstreams[0].servers[0].address: cannot resolve \"srv:a.example\": no name server "
                "answers, or it says that it failed (init_addr = \"none\" starts without it and goes on "
                "asking)\n"},
        {NAMED("resolve = \"0s\"; nameserver = \"127.0.0.1:1\";", "address = \"a.example:1\";"),
                "x:2: upstreams[0].servers[0].address: cannot resolve \"a.example:1\": no name server "
                "answers, or it says that it failed\n"},
        {"listeners = ( " LISTENER " );\nupstreams = ( { name = \"o\"; servers = ( " SERVER
         ", { address = \"srv:a\"; slots = 1024; } ); } );",
                "x:2: upstreams[0].servers: 1025 servers are more than the 1024 that an upstream may have\n"},
        /* rate */
        {"upstreams = ( " UPSTREAM " );\nlisteners = ( { bind = \"*:80\"; upstream = \"o\";\n"
         "rate = { key = \"ip\"; requests = 1; }; } );",
                "x:3: listeners[0].rate.key: must be \"address\" or \"header:NAME\", not \"ip\"\n"},
        {"upstreams = ( " UPSTREAM " );\nlisteners = ( { bind = \"*:80\"; upstream = \"o\";\n"
         "rate = { key = \"header:a b\"; requests = 1; }; } );",
                "x:3: listeners[0].rate.key: \"header:\" must be followed by the name of a header field, "
                "such as \"header:X-Api-Key\", not \"header:a b\"\n"},
        {"upstreams = ( " UPSTREAM " );\nlisteners = ( { bind = \"*:80\"; mode = \"tcp\"; upstream = "
         "\"o\";\nrate = { key = \"header:X\"; requests = 1; }; } );",
                "x:3: listeners[0].rate.key: in tcp mode there is no header: take \"address\" here, or "
                "mode \"http\"\n"},
        {"upstreams = ( " UPSTREAM " );\nlisteners = ( { bind = \"*:80\"; upstream = \"o\";\n"
         "rate = { requests = 1001; per = \"1ms\"; }; } );",
                "x:3: listeners[0].rate.requests: more than a million a second: a smaller number, or a "
                "longer `per`\n"},
        {"upstreams = ( " UPSTREAM " );\nlisteners = ( { bind = \"*:80\"; upstream = \"o\";\n"
         "rate = { requests = 1; per = \"24h\"; burst = 366; }; } );",
                "x:3: listeners[0].rate.burst: after a burst of 366 it would take more than 365 days until "
                "so many are allowed again: a smaller one, or a higher rate\n"},
        {"upstreams = ( " UPSTREAM " );\nlisteners = ( { bind = \"*:80\"; upstream = \"o\";\n"
         "rate = { burst = 5; entries = 15; }; } );",
                "x:3: listeners[0].rate.entries: must be a whole number from 16 to 16777216, not 15\n"
                "x:3: listeners[0].rate.burst: warning: there is no rate without `requests`, such as "
                "requests = 100\n"},
        {"upstreams = ( " UPSTREAM " );\nlisteners = ( { bind = \"*:80\"; upstream = \"o\";\n"
         "rate = { requests = 0; burst = 5; }; } );",
                ""},
        {BASE "limits: { requests_per_client = -1; };",
                "x:2: limits.requests_per_client: must be a whole number from 0 to 1048576, not -1\n"},
        {BASE "limits: { connections_per_client = 1048577; };",
                "x:2: limits.connections_per_client: must be a whole number from 0 to 1048576, not "
                "1048577\n"},
        {BASE "limits: { min_body_rate = \"2g\"; rate_grace = \"10ms\"; };",
                "x:2: limits.min_body_rate: must be a size such as \"64k\" or \"1m\", from 0 to 1g, not "
                "\"2g\"\n"
                "x:2: limits.rate_grace: must be a duration such as \"250ms\" or \"5s\", from 100ms to "
                "1h, not \"10ms\"\n"},
        {BASE "limits: { rate_grace = \"5s\"; };",
                "x:2: limits.rate_grace: warning: there is no rate to fall behind: set min_body_rate or "
                "min_answer_rate\n"},
        {BASE "limits: { min_answer_rate = \"500\"; rate_grace = \"5s\"; };", ""},
        {BASE "x = ;",
                "x:2: syntax error here or just above: look for a missing quote, bracket, comma or \"=\"\n"},
};

START_TEST(test_wrong)
{
	lb_config_free(read_expect(wrong[_i].text, wrong[_i].want));
}
END_TEST

START_TEST(test_many_at_once)
{
	lb_config_free(read_expect(
	        "upstreams = ( { name = \"a\"; balance = \"lestconn\";\n"
	        "  servers = ( { adress = \"127.0.0.1:1\"; } ); } );\n"
	        "listeners = ( { name = \"x\"; bind = \"127.0.0.1:99999\"; upstream = \"b\"; } );\n"
	        "poool: { };\n",
	        "x:1: upstreams[0].balance: must be \"roundrobin\", \"leastconn\", \"random\", \"source\", "
	        "\"uri\" or \"header:NAME\", not \"lestconn\": did you mean \"leastconn\"?\n"
	        "x:2: upstreams[0].servers[0].adress: unknown key, did you mean `address`?\n"
	        "x:3: listeners[0].upstream: there is no upstream \"b\": add it to upstreams, or name one of "
	        "those "
	        "there, such as \"a\"\n"
	        "x:3: listeners[0].bind: \"127.0.0.1:99999\" is not an address: the port must be a number "
	        "from 0 to "
	        "65535\n"
	        "x:4: poool: unknown key, did you mean `pool`?\n"));
}
END_TEST

START_TEST(test_rate)
{
	struct lb_config *c = read_expect("upstreams = ( " UPSTREAM " ); listeners = (\n"
	                                  "{ bind = \"*:80\"; upstream = \"o\"; rate = { requests = 100; "
	                                  "burst = 50; entries = 4096; }; },\n"
	                                  "{ bind = \"*:81\"; upstream = \"o\"; rate = { key = "
	                                  "\"header:X-Key\"; requests = 1000000; }; "
	                                  "},\n"
	                                  "{ bind = \"*:82\"; mode = \"tcp\"; upstream = \"o\"; rate = { "
	                                  "requests = 5; per = \"1m\"; }; } );",
	        "");
	const struct lb_config_rate *a = &lb_config_listener(c, 0)->rate,
	                            *b = &lb_config_listener(c, 1)->rate;
	ck_assert_str_eq(a->key, "address");
	ck_assert_ptr_null(a->header);
	ck_assert_int_eq(a->requests, 100);
	ck_assert_int_eq(a->per, CLOCK_NS_PER_S);
	ck_assert_int_eq(a->burst, 50);
	ck_assert_int_eq(a->entries, 4096);
	ck_assert_str_eq(b->header, "X-Key");
	ck_assert_int_eq(b->burst, 0);
	ck_assert_int_eq(b->entries, 65536);
	ck_assert_int_eq(lb_config_listener(c, 2)->rate.per, 60 * CLOCK_NS_PER_S);
	char *first = printed(c);
	struct lb_config *again = lb_config_read_text("x", first);
	ck_assert_uint_eq(conf_fault_count(again->conf), 0);
	ck_assert_str_eq(lb_config_listener(again, 1)->rate.header, "X-Key");
	free(first);
	lb_config_free(again);
	lb_config_free(c);
}
END_TEST

START_TEST(test_user)
{
	struct lb_config *c = read_expect(BASE "user = \"root\";", "");
	ck_assert_str_eq(c->user, "root");
	lb_config_free(c);
	lb_config_free(read_expect(BASE "user = \"\";", ""));
}
END_TEST

START_TEST(test_unresolved)
{
	struct lb_config *c = lb_config_read_text("x",
	        "listeners = ( " LISTENER " );\nupstreams = ( { name = \"o\"; servers = ( "
	        "{ address = \"no-such-host.invalid:80\"; } ); } );");
	ck_assert_uint_eq(conf_fault_count(c->conf), 0);
	lb_config_resolve(c);
	ck_assert_uint_eq(conf_fault_count(c->conf), 1);
	char *got = faults_of(c);
	static const char start[] =
	        "x:2: upstreams[0].servers[0].address: cannot resolve \"no-such-host.invalid:80\": ";
	ck_assert_int_eq(strncmp(got, start, sizeof(start) - 1), 0);
	free(got);
	lb_config_free(c);
}
END_TEST

START_TEST(test_named_servers)
{
	struct lb_config *c = read_expect(
	        NAMED("nameserver = \"192.0.2.53\"; resolve = \"1m\";", "address = \"127.0.0.1:1\";"), "");
	char text[ADDR_TEXT_MAX];
	struct lb_config_upstream *u = lb_config_upstream(c, 0);
	ck_assert_str_eq(addr_format(&u->nameserver_addr, text), "192.0.2.53:53");
	ck_assert_int_eq(u->resolve, 60 * CLOCK_NS_PER_S);
	ck_assert(!lb_config_server(u, 0)->is_name);
	ck_assert_ptr_null(lb_config_server(u, 0)->targets);
	lb_config_free(c);
	c = read_expect(NAMED("", "address = \"localhost:1\"; slots = 3;"), "");
	u = lb_config_upstream(c, 0);
	ck_assert_int_eq(u->resolve, 30 * CLOCK_NS_PER_S);
	ck_assert_uint_eq(u->nameserver_addr.len, 0);
	ck_assert_uint_eq(lb_config_slots(u), 3);
	ck_assert(lb_config_server(u, 0)->is_name);
	ck_assert_str_eq(lb_config_server(u, 0)->targets[0].key, "127.0.0.1:1");
	lb_config_free(c);
}
END_TEST

START_TEST(test_ephemeral)
{
	/* What the kernel's settings are is not ours to choose; the sample's port shows the warning on a usual system. */
	unsigned first, last;
	char text[512], reserved[4096] = "", want[5120];
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
	if (f == NULL)
		return;
	ck_assert_int_eq(fscanf(f, "%u %u", &first, &last), 2);
	fclose(f);
	f = fopen("/proc/sys/net/ipv4/ip_local_reserved_ports", "r");
	if (f != NULL) {
		if (fscanf(f, "%4095s", reserved) != 1)
			reserved[0] = '\0';
		fclose(f);
	}
	if (reserved[0] != '\0') /* the list's meaning is not this test's matter */
		return;
	snprintf(text, sizeof(text),
	        "listeners = ( { bind = \"*:%u\"; upstream = \"o\"; },\n{ bind = \"*:%u\"; upstream = \"o\"; "
	        "} );"
	        "upstreams = ( " UPSTREAM " );",
	        first - 1, last);
	snprintf(want, sizeof(want),
	        "x:2: listeners[1].bind: warning: port %u lies in the ephemeral range %u to %u, an outgoing "
	        "connection may hold it: reserve it with sysctl -w net.ipv4.ip_local_reserved_ports=%u, or "
	        "take a port outside\n",
	        last, first, last, last);
	struct lb_config *c = read_expect(text, want);
	ck_assert_uint_eq(conf_fault_count(c->conf), 0);
	lb_config_free(c);
}
END_TEST

START_TEST(test_print_again)
{
	struct lb_config *c = read_expect(
	        "user = \"root\"; pool: { workers = 3; hold = \"connection\"; }; queue: { timeout = "
	        "\"1500ms\"; discipline = \"codel\"; target = \"8ms\"; interval = \"80ms\"; };\n"
	        "listeners = ( { bind = \"*:80\"; upstream = \"o\"; }, { name = \"q\\\"\\\\\"; bind = "
	        "\"*:81\"; mode = "
	        "\"tcp\"; upstream = \"o\"; accept_proxy = true; } );\n"
	        "upstreams = ( { name = \"o\"; servers = ( { address = \"127.0.0.1:1\"; send_proxy = \"v2\"; "
	        "}, { address = "
	        "\"[::1]:2\"; "
	        "weight = 7; } ); } );\n"
	        "timeouts: { keepalive = \"0s\"; }; limits: { body_size = \"1025\"; };\n"
	        "forward: { x_forwarded_for = false; forwarded = true; via = \"\"; trusted = ( "
	        "\"10.0.0.0/8\", \"::1\" ); };\n"
	        "log: { level = \"debug\"; output = \"/x y\"; access = \"stdout\"; };\n"
	        "admin: { socket = \"/a b\"; };",
	        "");
	char *first = printed(c);
	struct lb_config *again = read_expect(first, "");
	char *second = printed(again);
	ck_assert_str_eq(first, second);
	ck_assert_int_eq(again->pool.hold, LB_HOLD_CONNECTION);
	ck_assert_int_eq(again->timeouts.keepalive, 0);
	ck_assert_str_eq(again->admin.socket, "/a b");
	ck_assert_int_eq(again->queue.discipline, QUEUE_CODEL);
	ck_assert_int_eq(again->queue.target, 8 * CLOCK_NS_PER_MS);
	ck_assert_str_eq(lb_config_listener(again, 1)->name, "q\"\\");
	ck_assert(again->forward.forwarded);
	ck_assert(lb_config_listener(again, 1)->accept_proxy && !lb_config_listener(again, 0)->accept_proxy);
	ck_assert_int_eq(lb_config_server(lb_config_upstream(again, 0), 0)->send_proxy, LB_SEND_PROXY_V2);
	ck_assert_uint_eq(again->forward.trusted.count, 2);
	ck_assert_ptr_nonnull(strstr(first, "\t\tname = \"*:80\";"));
	free(first);
	free(second);
	lb_config_free(c);
	lb_config_free(again);
}
END_TEST

START_TEST(test_unreadable)
{
	struct lb_config *c = lb_config_read("/no/such/file");
	ck_assert(conf_unreadable(c->conf));
	char *got = faults_of(c);
	ck_assert_str_eq(got, "/no/such/file: cannot be read: No such file or directory\n");
	free(got);
	lb_config_free(c);
	lb_config_free(NULL);
}
END_TEST

static void check_sample(const char *path)
{
	struct lb_config *c = lb_config_read(path);
	char *got = faults_of(c);
	ck_assert_msg(conf_fault_count(c->conf) == 0, "%s", got);
	free(got);
	char *first = printed(c);
	struct lb_config *again = lb_config_read_text("x", first);
	ck_assert_uint_eq(conf_fault_count(again->conf), 0);
	char *second = printed(again);
	ck_assert_str_eq(first, second);
	free(first);
	free(second);
	lb_config_free(again);
	lb_config_free(c);
}

/* What is installed is right, and what -T prints of it as well. */
START_TEST(test_samples)
{
	const char *top = getenv("srcdir");
	char pattern[512];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/etc/tplb.conf", top != NULL ? top : ".");
	check_sample(pattern);
	snprintf(pattern, sizeof(pattern), "%s/etc/samples/*.conf", top != NULL ? top : ".");
	ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		check_sample(found.gl_pathv[i]);
	ck_assert_uint_ge(found.gl_pathc, 7);
	globfree(&found);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("lb_config");
	TCase *all = tcase_create("all");
	tcase_set_timeout(all, 30);
	tcase_add_test(all, test_defaults);
	tcase_add_test(all, test_lists);
	tcase_add_loop_test(all, test_wrong, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(all, test_many_at_once);
	tcase_add_test(all, test_rate);
	tcase_add_test(all, test_user);
	tcase_add_test(all, test_unresolved);
	tcase_add_test(all, test_named_servers);
	tcase_add_test(all, test_ephemeral);
	tcase_add_test(all, test_print_again);
	tcase_add_test(all, test_unreadable);
	tcase_add_test(all, test_samples);
	suite_add_tcase(s, all);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
