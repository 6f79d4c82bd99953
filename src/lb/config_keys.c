/*
 * Every key of the configuration: from one row come parsing, checking, the default, `tplb -T` and the manual.
 * A new key is one field in lb/config.h and one row here.
 */
#include "lb/config.h"
#include "engine/engine.h"
#include "work/pool.h"
#include "work/queue.h"

#include "base/clock.h"

#define DAY (CLOCK_NS_PER_S * 86400)
#define END                                                                                                  \
	{                                                                                                    \
		.name = NULL                                                                                 \
	}

static const char *const engines[] = {[LB_ENGINE_POOL] = "pool", [LB_ENGINE_ASYNC] = "async", NULL};
static const char *const drivers[] = {
        [LOOP_AUTO] = "auto", [LOOP_URING] = "io_uring", [LOOP_EPOLL] = "epoll", NULL};
const char *const lb_hold_names[] = {
        [LB_HOLD_REQUEST] = "request", [LB_HOLD_CONNECTION] = "connection", NULL};
const char *const lb_mode_names[] = {[LB_MODE_HTTP] = "http", [LB_MODE_TCP] = "tcp", NULL};
static const char *const health_types[] = {
        [LB_HEALTH_NONE] = "none", [LB_HEALTH_TCP] = "tcp", [LB_HEALTH_HTTP] = "http", NULL};
static const char *const same_sites[] = {[LB_SAME_SITE_NONE_SAID] = "",
        [LB_SAME_SITE_LAX] = "lax",
        [LB_SAME_SITE_STRICT] = "strict",
        [LB_SAME_SITE_NONE] = "none",
        NULL};
static const char *const server_states[] = {
        [LB_SERVER_READY] = "ready", [LB_SERVER_DRAIN] = "drain", [LB_SERVER_MAINT] = "maint", NULL};
static const char *const formats[] = {[LB_LOG_COMBINED] = "combined", NULL};
static const char *const disciplines[] = {
        [QUEUE_FIFO] = "fifo", [QUEUE_LIFO] = "lifo", [QUEUE_CODEL] = "codel", NULL};
static const char *const levels[] = {[DIAG_ERROR] = "error",
        [DIAG_WARNING] = "warning",
        [DIAG_INFO] = "info",
        [DIAG_DEBUG] = "debug",
        NULL};

/* The pool and queue of struct lb_config have no names of their own. */
#define IN(part, field) (offsetof(struct lb_config, part.field) - offsetof(struct lb_config, part))

static const struct conf_key pool_keys[] = {
        {.name = "workers",
                .type = CONF_INT,
                .offset = IN(pool, workers),
                .fallback = "16",
                .min = 1,
                .max = LB_WORKERS_MAX,
                .help = "threads that serve requests",
                .live = true},
        {.name = "burst",
                .type = CONF_INT,
                .offset = IN(pool, burst),
                .fallback = "8",
                .min = 1,
                .max = POOL_BURST_MAX,
                .help = "Requests a worker may have with servers at once; 1: the classic pool."},
        {.name = "hold",
                .type = CONF_CHOICE,
                .offset = IN(pool, hold),
                .fallback = "request",
                .choices = lb_hold_names,
                .help = "request: a worker a request; connection: a worker a connection"},
        {.name = "patience",
                .type = CONF_DURATION,
                .offset = IN(pool, patience),
                .fallback = "50ms",
                .max = DAY,
                .help = "a body that stalls longer leaves its worker for a loop; 0s: it stays, and tunnels "
                        "too"},
        END,
};
static const struct conf_section pool_section = {
        .size = sizeof(((struct lb_config *)NULL)->pool), .place = IN(pool, place), .keys = pool_keys};

static const struct conf_key async_keys[] = {
        {.name = "loops",
                .type = CONF_INT,
                .offset = IN(async, loops),
                .fallback = "0",
                .min = 0,
                .max = ENGINE_LOOPS_MAX,
                .help = "event loops, a thread each; 0: one a core"},
        {.name = "driver",
                .type = CONF_CHOICE,
                .offset = IN(async, driver),
                .fallback = "auto",
                .choices = drivers,
                .help = "auto: io_uring, or epoll where the system does not allow it"},
        {.name = "fibers",
                .type = CONF_INT,
                .offset = IN(async, fibers),
                .fallback = "4096",
                .min = 1,
                .max = FIBER_STORE_MAX < 30000 ? 30000 : FIBER_STORE_MAX,
                .help = "requests at once, all loops together; what comes beyond waits in the queue"},
        END,
};
static const struct conf_section async_section = {
        .size = sizeof(((struct lb_config *)NULL)->async), .place = IN(async, place), .keys = async_keys};

static const struct conf_key queue_keys[] = {
        {.name = "size",
                .type = CONF_INT,
                .offset = IN(queue, size),
                .fallback = "1024",
                .min = 1,
                .max = 1048576,
                .help = "requests that may wait for a worker; beyond it 503"},
        {.name = "timeout",
                .type = CONF_DURATION,
                .offset = IN(queue, timeout),
                .fallback = "1s",
                .max = DAY,
                .help = "longest wait in the queue, then 503; 0s: no limit"},
        {.name = "discipline",
                .type = CONF_CHOICE,
                .offset = IN(queue, discipline),
                .fallback = "fifo",
                .choices = disciplines,
                .help = "fifo; lifo: newest first while the queue stands; codel: so, and then nobody waits "
                        "longer than target"},
        {.name = "target",
                .type = CONF_DURATION,
                .offset = IN(queue, target),
                .fallback = "5ms",
                .min = CLOCK_NS_PER_US,
                .max = DAY,
                .help = "codel: longest wait while the queue stands, then 503"},
        {.name = "interval",
                .type = CONF_DURATION,
                .offset = IN(queue, interval),
                .fallback = "100ms",
                .min = CLOCK_NS_PER_US,
                .max = DAY,
                .help = "lifo and codel: a queue that has not been empty for so long stands"},
        END,
};
static const struct conf_section queue_section = {
        .size = sizeof(((struct lb_config *)NULL)->queue), .place = IN(queue, place), .keys = queue_keys};

static const struct conf_key listener_keys[] = {
        {.name = "name",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_listener, name),
                .fallback = "",
                .help = "its name in logs; the bind address when not given"},
        {.name = "bind",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_listener, bind),
                .help = "the address to listen on, such as \"0.0.0.0:8080\""},
        {.name = "mode",
                .type = CONF_CHOICE,
                .offset = offsetof(struct lb_config_listener, mode),
                .fallback = "http",
                .choices = lb_mode_names,
                .help = "http, or tcp for bytes as they are"},
        {.name = "upstream",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_listener, upstream),
                .help = "the name of the upstream that answers"},
        END,
};
static const struct conf_section listener_section = {.size = sizeof(struct lb_config_listener),
        .place = offsetof(struct lb_config_listener, place),
        .one = "listener",
        .keys = listener_keys};

static const struct conf_key server_keys[] = {
        {.name = "address",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_server, address),
                .help = "where it listens, such as \"127.0.0.1:9012\""},
        {.name = "weight",
                .type = CONF_INT,
                .offset = offsetof(struct lb_config_server, weight),
                .fallback = "1",
                .min = 1,
                .max = 256,
                .help = "its share, next to the other servers' weights"},
        {.name = "backup",
                .type = CONF_BOOL,
                .offset = offsetof(struct lb_config_server, backup),
                .fallback = "false",
                .help = "asked only when no server that is not a backup can be reached"},
        {.name = "max_connections",
                .type = CONF_INT,
                .offset = offsetof(struct lb_config_server, max_connections),
                .fallback = "0",
                .min = 0,
                .max = 1048576,
                .help = "requests (tcp mode: connections) that it gets at once; others wait for a server; 0: "
                        "no "
                        "limit"},
        {.name = "state",
                .type = CONF_CHOICE,
                .offset = offsetof(struct lb_config_server, state),
                .fallback = "ready",
                .choices = server_states,
                .help = "ready; drain: nothing new; maint: nothing at all, and no probes"},
        END,
};
static const struct conf_section server_section = {.size = sizeof(struct lb_config_server),
        .place = offsetof(struct lb_config_server, place),
        .one = "server",
        .keys = server_keys};

static const struct conf_key health_keys[] = {
        {.name = "type",
                .type = CONF_CHOICE,
                .offset = offsetof(struct lb_config_health, type),
                .fallback = "none",
                .choices = health_types,
                .help = "http: ask and look at the answer; tcp: connect; none: no probes"},
        {.name = "path",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_health, path),
                .fallback = "/",
                .help = "what is asked for"},
        {.name = "method",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_health, method),
                .fallback = "GET",
                .help = "how it is asked for, such as HEAD or OPTIONS"},
        {.name = "host",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_health, host),
                .fallback = "",
                .help = "the Host field; the server's address when not given"},
        {.name = "expect",
                .type = CONF_INT,
                .offset = offsetof(struct lb_config_health, expect),
                .fallback = "200",
                .min = 0,
                .max = 599,
                .help = "the status of a good answer; 0: any from 200 to 399"},
        {.name = "body",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_health, body),
                .fallback = "",
                .help = "text that the answer's body must contain, within its first 64 KiB"},
        {.name = "interval",
                .type = CONF_DURATION,
                .offset = offsetof(struct lb_config_health, interval),
                .fallback = "2s",
                .min = CLOCK_NS_PER_MS,
                .max = DAY,
                .help = "from one probe to the next, less up to a tenth at random"},
        {.name = "timeout",
                .type = CONF_DURATION,
                .offset = offsetof(struct lb_config_health, timeout),
                .fallback = "1s",
                .min = CLOCK_NS_PER_MS,
                .max = 60 * CLOCK_NS_PER_S,
                .help = "longest that a whole probe may take"},
        {.name = "rise",
                .type = CONF_INT,
                .offset = offsetof(struct lb_config_health, rise),
                .fallback = "2",
                .min = 1,
                .max = 1000,
                .help = "good probes in a row until a server is up"},
        {.name = "fall",
                .type = CONF_INT,
                .offset = offsetof(struct lb_config_health, fall),
                .fallback = "3",
                .min = 1,
                .max = 1000,
                .help = "bad probes in a row until a server is down"},
        END,
};
static const struct conf_section health_section = {.size = sizeof(struct lb_config_health),
        .place = offsetof(struct lb_config_health, place),
        .keys = health_keys};

static const struct conf_key passive_keys[] = {
        {.name = "max_fails",
                .type = CONF_INT,
                .offset = offsetof(struct lb_config_passive, max_fails),
                .fallback = "3",
                .min = 0,
                .max = 1000000,
                .help = "requests in a row that a server fails until it is down; 0: never for that"},
        {.name = "fail_timeout",
                .type = CONF_DURATION,
                .offset = offsetof(struct lb_config_passive, fail_timeout),
                .fallback = "10s",
                .min = CLOCK_NS_PER_MS,
                .max = DAY,
                .help = "how long it is down then, before it is looked at again"},
        {.name = "count_5xx",
                .type = CONF_BOOL,
                .offset = offsetof(struct lb_config_passive, count_5xx),
                .fallback = "false",
                .help = "an answer with status 500 or more is a failure too"},
        END,
};
static const struct conf_section passive_section = {.size = sizeof(struct lb_config_passive),
        .place = offsetof(struct lb_config_passive, place),
        .keys = passive_keys};

static const struct conf_key sticky_keys[] = {
        {.name = "cookie",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_sticky, cookie),
                .fallback = "",
                .help = "the cookie that names a client's server; empty: no sticky sessions"},
        {.name = "path",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_sticky, path),
                .fallback = "/",
                .help = "its Path attribute"},
        {.name = "domain",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_sticky, domain),
                .fallback = "",
                .help = "its Domain attribute; empty: none"},
        {.name = "max_age",
                .type = CONF_DURATION,
                .offset = offsetof(struct lb_config_sticky, max_age),
                .fallback = "0s",
                .max = 400 * DAY,
                .help = "how long the client keeps it; 0s: until the browser closes"},
        {.name = "secure",
                .type = CONF_BOOL,
                .offset = offsetof(struct lb_config_sticky, secure),
                .fallback = "false",
                .help = "the client sends it over TLS only"},
        {.name = "http_only",
                .type = CONF_BOOL,
                .offset = offsetof(struct lb_config_sticky, http_only),
                .fallback = "true",
                .help = "scripts do not see it"},
        {.name = "same_site",
                .type = CONF_CHOICE,
                .offset = offsetof(struct lb_config_sticky, same_site),
                .fallback = "lax",
                .choices = same_sites,
                .help = "its SameSite attribute: lax, strict, none; empty: none is said"},
        END,
};
static const struct conf_section sticky_section = {.size = sizeof(struct lb_config_sticky),
        .place = offsetof(struct lb_config_sticky, place),
        .keys = sticky_keys};

static const struct conf_key upstream_keys[] = {
        {.name = "name",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_upstream, name),
                .help = "what listeners call it"},
        {.name = "balance",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_upstream, balance),
                .fallback = "roundrobin",
                .help = "how a server is picked: roundrobin, leastconn, random, source, uri, header:NAME"},
        {.name = "servers",
                .type = CONF_LIST,
                .offset = offsetof(struct lb_config_upstream, servers),
                .section = &server_section,
                .help = "the servers, at least one"},
        {.name = "keepalive",
                .type = CONF_INT,
                .offset = offsetof(struct lb_config_upstream, keepalive),
                .fallback = "64",
                .min = 0,
                .max = 65536,
                .help = "idle connections kept to each server"},
        {.name = "health",
                .type = CONF_GROUP,
                .offset = offsetof(struct lb_config_upstream, health),
                .section = &health_section,
                .help = "probes that tell which servers are up"},
        {.name = "passive",
                .type = CONF_GROUP,
                .offset = offsetof(struct lb_config_upstream, passive),
                .section = &passive_section,
                .help = "what failed requests tell about a server"},
        {.name = "sticky",
                .type = CONF_GROUP,
                .offset = offsetof(struct lb_config_upstream, sticky),
                .section = &sticky_section,
                .help = "a client stays with its server, by a cookie"},
        {.name = "retries",
                .type = CONF_INT,
                .offset = offsetof(struct lb_config_upstream, retries),
                .fallback = "2",
                .min = 0,
                .max = LB_RETRIES_MAX,
                .help = "how often a request that a server lost is sent to another"},
        {.name = "retry_budget",
                .type = CONF_INT,
                .offset = offsetof(struct lb_config_upstream, retry_budget),
                .fallback = "20",
                .min = 1,
                .max = 100,
                .help = "retries at most, as a percentage of the requests"},
        {.name = "panic",
                .type = CONF_BOOL,
                .offset = offsetof(struct lb_config_upstream, panic),
                .fallback = "true",
                .help = "with all servers down ask them all the same; false: 503 at once"},
        {.name = "slow_start",
                .type = CONF_DURATION,
                .offset = offsetof(struct lb_config_upstream, slow_start),
                .fallback = "0s",
                .max = DAY,
                .help = "a server that comes up gets its share little by little, over so long"},
        END,
};
static const struct conf_section upstream_section = {.size = sizeof(struct lb_config_upstream),
        .place = offsetof(struct lb_config_upstream, place),
        .one = "upstream",
        .keys = upstream_keys};

#define TIMEOUT(field, text, what)                                                                           \
	{                                                                                                    \
		.name = #field, .type = CONF_DURATION, .offset = offsetof(struct lb_config_timeouts, field), \
		.fallback = (text), .max = DAY, .help = (what)                                               \
	}

static const struct conf_key timeouts_keys[] = {
        TIMEOUT(connect, "1s", "connecting to a server"),
        TIMEOUT(request_header, "10s", "the whole head of a request"),
        TIMEOUT(client, "30s", "no progress with the client in a body or answer"),
        TIMEOUT(server, "30s", "no progress with the server"),
        TIMEOUT(keepalive, "60s", "a client's connection idle between requests; 0s: close after each answer"),
        TIMEOUT(tunnel, "1h", "no progress in a tunnel, either way"),
        TIMEOUT(drain, "30s", "finishing what is in flight after TERM"),
        END,
};
static const struct conf_section timeouts_section = {.size = sizeof(struct lb_config_timeouts),
        .place = offsetof(struct lb_config_timeouts, place),
        .keys = timeouts_keys};

static const struct conf_key limits_keys[] = {
        {.name = "connections",
                .type = CONF_INT,
                .offset = offsetof(struct lb_config_limits, connections),
                .fallback = "16384",
                .min = 1,
                .max = 1048576,
                .help = "clients' connections at once"},
        {.name = "header_size",
                .type = CONF_SIZE,
                .offset = offsetof(struct lb_config_limits, header_size),
                .fallback = "16k",
                .min = 1024,
                .max = 1048576,
                .help = "the head of a request or an answer"},
        {.name = "headers",
                .type = CONF_INT,
                .offset = offsetof(struct lb_config_limits, headers),
                .fallback = "100",
                .min = 8,
                .max = 10000,
                .help = "header lines in a head"},
        {.name = "body_size",
                .type = CONF_SIZE,
                .offset = offsetof(struct lb_config_limits, body_size),
                .fallback = "0",
                .help = "the body of a request; 0: no limit"},
        END,
};
static const struct conf_section limits_section = {.size = sizeof(struct lb_config_limits),
        .place = offsetof(struct lb_config_limits, place),
        .keys = limits_keys};

static const struct conf_key forward_keys[] = {
        {.name = "x_forwarded_for",
                .type = CONF_BOOL,
                .offset = offsetof(struct lb_config_forward, x_forwarded_for),
                .fallback = "true",
                .help = "tell servers the client's address"},
        {.name = "via",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_forward, via),
                .fallback = "tplb",
                .help = "our name in the Via header; empty: no Via"},
        {.name = "trusted",
                .type = CONF_STRINGS,
                .offset = offsetof(struct lb_config_forward, trusted),
                .fallback = "",
                .help = "proxies whose word about the client is believed, such as \"10.0.0.0/8\""},
        END,
};
static const struct conf_section forward_section = {.size = sizeof(struct lb_config_forward),
        .place = offsetof(struct lb_config_forward, place),
        .keys = forward_keys};

static const struct conf_key log_keys[] = {
        {.name = "level",
                .type = CONF_CHOICE,
                .offset = offsetof(struct lb_config_log, level),
                .fallback = "info",
                .choices = levels,
                .help = "the least important that is logged: error, warning, info, debug"},
        {.name = "output",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_log, output),
                .fallback = "stderr",
                .help = "stderr, syslog or a path"},
        {.name = "access",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config_log, access),
                .fallback = "off",
                .help = "the access log: off, stdout, syslog or a path"},
        {.name = "format",
                .type = CONF_CHOICE,
                .offset = offsetof(struct lb_config_log, format),
                .fallback = "combined",
                .choices = formats,
                .help = "of the access log's lines"},
        END,
};
static const struct conf_section log_section = {.size = sizeof(struct lb_config_log),
        .place = offsetof(struct lb_config_log, place),
        .keys = log_keys};

#define PART(field, kind, what)                                                                              \
	{                                                                                                    \
		.name = #field, .type = (kind), .offset = offsetof(struct lb_config, field),                 \
		.section = &field##_section, .help = (what)                                                  \
	}
#define listeners_section listener_section
#define upstreams_section upstream_section

static const struct conf_key root_keys[] = {
        {.name = "engine",
                .type = CONF_CHOICE,
                .offset = offsetof(struct lb_config, engine),
                .fallback = "pool",
                .choices = engines,
                .help = "who runs requests: a pool of threads, or fibers on event loops"},
        {.name = "user",
                .type = CONF_STRING,
                .offset = offsetof(struct lb_config, user),
                .fallback = "",
                .help = "the user to become after binding; empty: stay"},
        {.name = "abort_on_close",
                .type = CONF_BOOL,
                .offset = offsetof(struct lb_config, abort_on_close),
                .fallback = "false",
                .help = "a request in the queue whose client has closed its sending side is dropped"},
        PART(pool, CONF_GROUP, "The threads."),
        PART(async, CONF_GROUP, "The loops: of the async engine, and for what leaves a thread of the pool."),
        PART(queue, CONF_GROUP, "Between the acceptor and the threads or fibers."),
        PART(listeners, CONF_LIST, "Where clients connect, at least one."),
        PART(upstreams, CONF_LIST, "Who answers, at least one."),
        PART(timeouts, CONF_GROUP, "How long is too long; 0s: no limit, except where said."),
        PART(limits, CONF_GROUP, "How much is too much."),
        PART(forward, CONF_GROUP, "What servers are told, and whom we believe."),
        PART(log, CONF_GROUP, "What is written, and where."),
        END,
};
const struct conf_section lb_config_section = {
        .size = sizeof(struct lb_config), .place = offsetof(struct lb_config, place), .keys = root_keys};
