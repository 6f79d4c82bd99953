/* Reading the configuration, and the checks that the tables cannot express. */
#include "lb/config.h"
#include "lb/config_names.h"
#include "lb/config_upstreams.h"
#include "lb/log_format.h"
#include "lb/request_id.h"
#include "lb/watch.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "http/chars.h"
#include "http/head.h"
#include "net/ephemeral.h"
#include "obs/log_socket.h"
#include "work/queue.h"

/* A path or one of the words: a word that is neither would silently become a file in some folder. */
static void check_target(
        struct lb_config *c, const char *key, const char *value, const char *const *words, const char *known)
{
	if (value == NULL)
		return;
	if (log_socket_kind(value) != LOG_SOCKET_NONE) {
		if (!log_socket_is_right(value))
			conf_fault(c->conf, c->log.place, key,
			        "\"%s\": behind the colon must be the path of a socket, from \"/\" on, or "
			        "with "
			        "\"syslog:\" the address of another machine's, such as \"192.0.2.1:514\"",
			        value);
		return;
	}
	if (strchr(value, '/') != NULL)
		return;
	for (size_t i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], value) == 0)
			return;
	}
	const char *nearest = conf_nearest(value, words);
	if (nearest != NULL)
		conf_fault(c->conf, c->log.place, key,
		        "must be %s or a path with a \"/\" in it, not \"%s\": did you mean \"%s\"?", known,
		        value, nearest);
	else
		conf_fault(c->conf, c->log.place, key, "must be %s or a path with a \"/\" in it, not \"%s\"",
		        known, value);
}

/* What ends the tag for who reads syslog's lines: RFC 3164 section 4.1.3, as programs do it. */
static void check_tag(struct lb_config *c)
{
	enum { TAG_MAX = 32 };
	const char *tag = c->log.tag;

	if (tag == NULL || (http_is_token(tag) && strlen(tag) <= TAG_MAX))
		return;
	conf_fault(c->conf, c->log.place, "tag",
	        "must be one word of at most %d letters, digits and \"-._\", not \"%s\"", TAG_MAX, tag);
}

static void check_log(struct lb_config *c)
{
	static const char *const outputs[] = {"stderr", "syslog", "journald", NULL};
	static const char *const accesses[] = {"off", "stdout", "syslog", "journald", NULL};
	check_target(c, "output", c->log.output, outputs, "\"stderr\", \"syslog\", \"journald\"");
	check_target(c, "access", c->log.access, accesses, "\"off\", \"stdout\", \"syslog\", \"journald\"");
	check_tag(c);
	if (c->log.format == NULL)
		return;
	char why[LOG_FORMAT_WHY_BYTES];
	struct log_format *format = log_format_new(c->log.format, why);
	if (format == NULL)
		conf_fault(c->conf, c->log.place, "format", "\"%s\": %s", c->log.format,
		        why[0] != '\0' ? why : "out of memory");
	log_format_free(format);
}

static void check_user(struct lb_config *c)
{
	if (c->user == NULL || c->user[0] == '\0' || getpwnam(c->user) != NULL)
		return;
	conf_fault(c->conf, c->place, "user",
	        "there is no user \"%s\" on this system: create it (useradd --system %s) or leave the key "
	        "out",
	        c->user, c->user);
}

static void check_sizes(struct lb_config *c)
{
	/* Only what the file says itself: a small limit alone must not complain about defaults. */
	if (conf_is_set(c->conf, c->queue.place, "size") && c->queue.size > c->limits.connections)
		conf_warning(c->conf, c->queue.place, "size",
		        "the queue never fills: limits.connections lets only %lld in",
		        (long long)c->limits.connections);
	if (conf_is_set(c->conf, c->pool.place, "workers") && c->pool.workers > c->limits.connections)
		conf_warning(c->conf, c->pool.place, "workers",
		        "some workers never work: limits.connections lets only %lld in",
		        (long long)c->limits.connections);
}

static void check_rates(struct lb_config *c)
{
	if (c->limits.min_body_rate == 0 && c->limits.min_answer_rate == 0 &&
	        conf_is_set(c->conf, c->limits.place, "rate_grace") &&
	        c->limits.rate_grace != 10 * CLOCK_NS_PER_S)
		conf_warning(c->conf, c->limits.place, "rate_grace",
		        "there is no rate to fall behind: set min_body_rate or min_answer_rate");
}

/* A loop that sleeps looks up once a second; what is shorter would take that for stuck. */
static void check_stuck(struct lb_config *c)
{
	if (c->timeouts.stuck > 0 && c->timeouts.stuck < WATCH_LEAST_NS)
		conf_fault(c->conf, c->timeouts.place, "stuck",
		        "must be \"2s\" or more, or \"0s\" to watch nobody: a thread may well take a second");
}

static void check_discipline(struct lb_config *c)
{
	const void *place = c->queue.place;

	/* Written out, as `tplb -T` does, the default is nothing to warn of. */
	if (c->queue.discipline == QUEUE_FIFO && conf_is_set(c->conf, place, "interval") &&
	        c->queue.interval != 100 * CLOCK_NS_PER_MS)
		conf_warning(
		        c->conf, place, "interval", "only the disciplines \"lifo\" and \"codel\" look at it");
	if (c->queue.discipline != QUEUE_CODEL && conf_is_set(c->conf, place, "target") &&
	        c->queue.target != 5 * CLOCK_NS_PER_MS)
		conf_warning(c->conf, place, "target", "only the discipline \"codel\" looks at it");
	if (c->queue.discipline != QUEUE_CODEL)
		return;
	if (c->queue.target >= c->queue.interval)
		conf_fault(c->conf, place, "target",
		        "must be shorter than queue.interval, or every burst would be shed");
	if (c->queue.timeout > 0 && c->queue.timeout <= c->queue.interval)
		conf_warning(c->conf, place, "timeout",
		        "all have timed out before queue.interval is over: nobody is ever shed");
}

static void check_via(struct lb_config *c)
{
	if (c->forward.via != NULL && !http_is_token(c->forward.via))
		conf_fault(c->conf, c->forward.place, "via",
		        "must be one word of letters, digits and \"-._\", or empty for no Via, not \"%s\"",
		        c->forward.via);
}

static void check_request_id(struct lb_config *c)
{
	const char *name = c->forward.request_id;

	if (name == NULL)
		return;
	if (name[0] == '\0' && c->forward.request_id_answer)
		conf_fault(c->conf, c->forward.place, "request_id_answer",
		        "needs forward.request_id, which names the field, such as \"X-Request-Id\"");
	else if (name[0] != '\0' && (!http_is_token(name) || strlen(name) > REQUEST_ID_NAME_MAX))
		conf_fault(c->conf, c->forward.place, "request_id",
		        "must be the name of a field, such as \"X-Request-Id\", of at most %d characters, or "
		        "empty for none, not \"%s\"",
		        REQUEST_ID_NAME_MAX, name);
	else if (http_field_id_of(str_of(name)) != FIELD_OTHER)
		conf_fault(c->conf, c->forward.place, "request_id",
		        "must be the name of a field that has no other meaning, such as \"X-Request-Id\", "
		        "not "
		        "\"%s\"",
		        name);
}

/* "10.1.2.3/8" means 10.0.0.0/8; whoever wrote it may have meant something else. */
static void check_block_bits(struct lb_config *c, const char *key, const char *text)
{
	struct addr_block block, whole;
	char address[64];
	size_t len = strcspn(text, "/");
	if (len >= sizeof(address))
		return;
	memcpy(address, text, len);
	address[len] = '\0';
	if (addr_block_parse(text, &block) && addr_block_parse(address, &whole) &&
	        memcmp(block.bytes, whole.bytes, sizeof(block.bytes)) != 0)
		conf_warning(c->conf, c->forward.place, key,
		        "\"%s\" has bits set beyond its length, they do not count", text);
}

/* False when memory is out. */
static bool make_trusted(struct lb_config *c)
{
	const struct conf_strings *trusted = &c->forward.trusted;
	char key[48];
	if (trusted->count == 0)
		return true;
	c->forward.trusted_blocks = calloc(trusted->count, sizeof(struct addr_block));
	if (c->forward.trusted_blocks == NULL)
		return false;
	for (size_t i = 0; i < trusted->count; i++) {
		const char *text = trusted->at[i];
		snprintf(key, sizeof(key), "trusted[%zu]", i);
		if (addr_block_parse(text, &c->forward.trusted_blocks[i]))
			check_block_bits(c, key, text);
		else
			conf_fault(c->conf, c->forward.place, key,
			        "must be an address, a block such as \"10.0.0.0/8\", or \"unix:\", not "
			        "\"%s\"",
			        text);
	}
	return true;
}

static void check_bind(struct lb_config *c, struct lb_config_listener *l)
{
	bool is_name;
	const char *why;
	if (l->bind == NULL)
		return;
	if (!addr_check(l->bind, true, &is_name, &why) ||
	        (!is_name && !addr_parse(l->bind, true, &l->addr, &why)))
		conf_fault(c->conf, l->place, "bind", "\"%s\" is not an address: %s", l->bind, why);
}

static void check_listener_name(struct lb_config *c, size_t i)
{
	const struct lb_config_listener *l = lb_config_listener(c, i);
	for (size_t j = 0; j < i; j++) {
		const struct lb_config_listener *other = lb_config_listener(c, j);
		if (l->name == NULL || other->name == NULL || strcmp(l->name, other->name) != 0)
			continue;
		/* Two that are named by one address are told about the address. */
		if (l->name == l->bind && other->name == other->bind)
			return;
		conf_fault(c->conf, l->place, "name",
		        "the name \"%s\" is taken by listeners[%zu], choose another", l->name, j);
		return;
	}
}

/* Compares listener i to those before it; with_names: only pairs of which one had to be resolved, the rest is done. */
static void check_listener_bind(struct lb_config *c, size_t i, const bool *named)
{
	const struct lb_config_listener *l = lb_config_listener(c, i);
	char text[ADDR_TEXT_MAX];
	for (size_t j = 0; j < i; j++) {
		const struct lb_config_listener *other = lb_config_listener(c, j);
		if (named != NULL && !named[i] && !named[j])
			continue;
		if (!addr_collides(&l->addr, &other->addr))
			continue;
		conf_fault(c->conf, l->place, "bind",
		        "listeners[%zu] listens on %s already, choose another address or port", j,
		        addr_format(&other->addr, text));
		return;
	}
}

/* An outgoing connection may hold a port of the ephemeral range at the moment when we want to bind it. */
static void check_ephemeral(struct lb_config *c, const struct lb_config_listener *l)
{
	struct ephemeral range;
	unsigned port = addr_port(&l->addr);
	if (port == 0 || !ephemeral_read(&range, "") || !ephemeral_has(&range, port))
		return;
	conf_warning(c->conf, l->place, "bind",
	        "port %u lies in the ephemeral range %u to %u, an outgoing connection may hold it: reserve "
	        "it with "
	        "sysctl -w net.ipv4.ip_local_reserved_ports=%s%s%u, or take a port outside",
	        port, range.first, range.last, range.reserved, range.reserved[0] != '\0' ? "," : "", port);
}

/* Finds the listener's upstream; false when the file has none of that name. */
static bool find_upstream(struct lb_config *c, struct lb_config_listener *l)
{
	for (size_t i = 0; i < c->upstreams.count; i++) {
		const char *name = lb_config_upstream(c, i)->name;
		if (name == NULL) /* a fault already; it may be the one that is meant */
			return true;
		if (strcmp(name, l->upstream) == 0) {
			l->upstream_index = (unsigned)i;
			return true;
		}
	}
	return c->upstreams.count == 0;
}

/* names: of all upstreams, NULL at the end. */
static void check_reference(struct lb_config *c, struct lb_config_listener *l, const char *const *names)
{
	if (l->upstream == NULL || find_upstream(c, l))
		return;
	const char *nearest = conf_nearest(l->upstream, names);
	if (nearest != NULL)
		conf_fault(c->conf, l->place, "upstream", "there is no upstream \"%s\", did you mean \"%s\"?",
		        l->upstream, nearest);
	else
		conf_fault(c->conf, l->place, "upstream",
		        "there is no upstream \"%s\": add it to upstreams, or name one of those there, such "
		        "as \"%s\"",
		        l->upstream, names[0]);
}

/* False when memory is out. */
static bool check_references(struct lb_config *c)
{
	const char **names = calloc(c->upstreams.count + 1, sizeof(*names));
	size_t count = 0;
	if (names == NULL)
		return false;
	for (size_t i = 0; i < c->upstreams.count; i++) {
		if (lb_config_upstream(c, i)->name != NULL)
			names[count++] = lb_config_upstream(c, i)->name;
	}
	for (size_t i = 0; i < c->listeners.count; i++)
		check_reference(c, lb_config_listener(c, i), names);
	free(names);
	return true;
}

/* In tcp mode there is no head to look at. */
static void check_tcp_balance(struct lb_config *c, const struct lb_config_listener *l)
{
	const struct lb_config_upstream *u;

	if (l->mode != LB_MODE_TCP || l->upstream == NULL || c->upstreams.count == 0)
		return;
	u = lb_config_upstream(c, l->upstream_index);
	if (u->name == NULL || strcmp(u->name, l->upstream) != 0)
		return; /* a fault already */
	if (u->sticky.cookie != NULL && u->sticky.cookie[0] != '\0')
		conf_fault(c->conf, l->place, "upstream",
		        "\"%s\" has sticky sessions by cookie, which need http mode: take balance = "
		        "\"source\" there, or mode \"http\"",
		        u->name);
	if (u->policy == LB_BALANCE_URI || u->header != NULL)
		conf_fault(c->conf, l->place, "upstream",
		        "\"%s\" balances by \"%s\", which needs http mode: take another policy there, "
		        "such as "
		        "\"source\", or mode \"http\"",
		        u->name, u->balance);
}

static void check_listeners(struct lb_config *c)
{
	for (size_t i = 0; i < c->listeners.count; i++) {
		struct lb_config_listener *l = lb_config_listener(c, i);
		if (l->name == NULL || l->name[0] == '\0')
			l->name = l->bind;
		check_bind(c, l);
		check_listener_name(c, i);
		check_listener_bind(c, i, NULL);
		check_ephemeral(c, l);
		check_tcp_balance(c, l);
		lb_config_check_rate(c, l);
	}
}

static void warn_unused(struct lb_config *c)
{
	for (size_t i = 0; i < c->upstreams.count; i++) {
		const struct lb_config_upstream *u = lb_config_upstream(c, i);
		bool used = u->name == NULL;
		for (size_t j = 0; j < c->listeners.count && !used; j++) {
			const char *wanted = lb_config_listener(c, j)->upstream;
			used = wanted != NULL && strcmp(wanted, u->name) == 0;
		}
		if (!used)
			conf_warning(
			        c->conf, u->place, "name", "no listener uses the upstream \"%s\"", u->name);
	}
}

/* After the listeners: it is none of them. */
static void check_admin(struct lb_config *c)
{
	const char *path = c->admin.socket;
	struct addr *at = &c->admin.addr;

	if (path == NULL || path[0] == '\0')
		return;
	if (path[0] != '/' || strlen(path) >= sizeof(at->u.un.sun_path)) {
		conf_fault(c->conf, c->admin.place, "socket",
		        "must be a path from \"/\" on of at most %zu bytes, such as \"/run/tplb/tplb.sock\", "
		        "not "
		        "\"%s\"",
		        sizeof(at->u.un.sun_path) - 1, path);
		return;
	}
	at->u.un.sun_family = AF_UNIX;
	memcpy(at->u.un.sun_path, path, strlen(path) + 1);
	at->len = sizeof(at->u.un);
	for (size_t i = 0; i < c->listeners.count; i++)
		if (addr_collides(at, &lb_config_listener(c, i)->addr))
			conf_fault(c->conf, c->admin.place, "socket",
			        "listeners[%zu] listens on it already, choose another path", i);
}

static bool is_loopback(const struct addr *at)
{
	static const struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;

	if (at->u.any.sa_family == AF_INET)
		return (ntohl(at->u.in.sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
	if (at->u.any.sa_family == AF_INET6)
		return memcmp(&at->u.in6.sin6_addr, &loopback, sizeof(loopback)) == 0;
	return true;
}

static void check_web_hosts(struct lb_config *c)
{
	char key[32];

	for (size_t i = 0; i < c->admin.hosts.count; i++) {
		snprintf(key, sizeof(key), "hosts[%zu]", i);
		if (!addr_is_name(c->admin.hosts.at[i]))
			conf_fault(c->conf, c->admin.place, key,
			        "must be a host's name without a port, such as \"lb1.example\", not \"%s\"",
			        c->admin.hosts.at[i]);
	}
	if (c->admin.hosts.count > 0 && c->admin.bind != NULL && c->admin.bind[0] == '\0')
		conf_warning(c->conf, c->admin.place, "hosts", "nothing is asked by them: `bind` is empty");
}

/* After the listeners and the admin socket: it is none of them. */
static void check_web(struct lb_config *c)
{
	const char *bind = c->admin.bind, *why;
	struct addr *at = &c->admin.web;
	bool is_name;

	check_web_hosts(c);
	if (bind == NULL || bind[0] == '\0')
		return;
	if (!addr_check(bind, true, &is_name, &why) || (!is_name && !addr_parse(bind, true, at, &why))) {
		conf_fault(c->conf, c->admin.place, "bind", "\"%s\" is not an address: %s", bind, why);
		return;
	}
	if (is_name) {
		conf_fault(c->conf, c->admin.place, "bind",
		        "must be an address such as \"127.0.0.1:9901\", no name as in \"%s\"", bind);
		return;
	}
	for (size_t i = 0; i < c->listeners.count; i++)
		if (addr_collides(at, &lb_config_listener(c, i)->addr))
			conf_fault(c->conf, c->admin.place, "bind",
			        "listeners[%zu] listens on it already, choose another address or port", i);
	if (addr_collides(at, &c->admin.addr))
		conf_fault(c->conf, c->admin.place, "bind", "`socket` is there already, choose another path");
	if (!is_loopback(at))
		conf_warning(c->conf, c->admin.place, "bind",
		        "whoever reaches %s sees the state of this machine's servers, without a password: "
		        "take "
		        "\"127.0.0.1:%u\", or let a firewall say who may",
		        bind, addr_port(at));
}

/* Root is not held by a folder (chroot(2) again leads out of it). */
static void check_chroot(struct lb_config *c)
{
	struct stat st;

	if (c->chroot == NULL || c->chroot[0] == '\0')
		return;
	if (c->chroot[0] != '/')
		conf_fault(
		        c->conf, c->place, "chroot", "must be a path from \"/\" on, not \"%s\"", c->chroot);
	else if (stat(c->chroot, &st) != 0)
		conf_fault(c->conf, c->place, "chroot", "cannot use %s: %s", c->chroot, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		conf_fault(c->conf, c->place, "chroot", "%s is not a folder", c->chroot);
	if (c->user == NULL || c->user[0] == '\0')
		conf_fault(c->conf, c->place, "chroot", "needs `user`: root could leave the folder again");
}

/* The checks after reading; conf is what conf_read returned. Only who is starting can look up users: later on they may be out of sight. */
static struct lb_config *config_check(struct lb_config *c, struct conf *conf, bool starting)
{
	c->conf = conf;
	if (conf == NULL || !make_trusted(c) || !check_references(c)) {
		lb_config_free(c);
		return NULL;
	}
	if (starting) {
		check_user(c);
		check_chroot(c);
	}
	check_sizes(c);
	check_rates(c);
	check_stuck(c);
	check_discipline(c);
	check_via(c);
	check_request_id(c);
	check_log(c);
	config_upstreams_check(c);
	check_listeners(c);
	check_admin(c);
	check_web(c);
	/* While something is wrong, what looks unused may only be misspelt. */
	if (conf_fault_count(conf) == 0)
		warn_unused(c);
	return c;
}

struct lb_config *lb_config_read(const char *path)
{
	return lb_config_read_by(NULL, path);
}

struct lb_config *lb_config_read_by(const struct conf_opener *opener, const char *path)
{
	struct lb_config *c = calloc(1, sizeof(*c));
	return c == NULL ? NULL
	                 : config_check(c, conf_read_by(opener, path, &lb_config_section, c), opener == NULL);
}

struct lb_config *lb_config_read_text(const char *name, const char *text)
{
	struct lb_config *c = calloc(1, sizeof(*c));
	return c == NULL ? NULL : config_check(c, conf_read_text(name, text, &lb_config_section, c), true);
}

/* Whether the address was a name; resolves it then. */
static bool resolve_bind(struct lb_config *c, struct lb_config_listener *l)
{
	bool is_name;
	const char *why;
	if (l->bind == NULL || !addr_check(l->bind, true, &is_name, &why) || !is_name)
		return false;
	if (!addr_parse(l->bind, true, &l->addr, &why))
		conf_fault(c->conf, l->place, "bind", "cannot resolve \"%s\": %s", l->bind, why);
	return true;
}

void lb_config_resolve(struct lb_config *c)
{
	bool *named = calloc(c->listeners.count + 1, sizeof(*named));
	if (named == NULL) {
		conf_fault(c->conf, NULL, NULL, "out of memory");
		return;
	}
	for (size_t i = 0; i < c->listeners.count; i++) {
		struct lb_config_listener *l = lb_config_listener(c, i);
		named[i] = resolve_bind(c, l);
		check_listener_bind(c, i, named);
		if (named[i])
			check_ephemeral(c, l);
	}
	for (size_t i = 0; i < c->upstreams.count; i++)
		config_names_resolve(c, lb_config_upstream(c, i));
	free(named);
}

bool lb_config_same_listener(const struct lb_config_listener *a, const struct lb_config_listener *b)
{
	bool any_port = a->addr.u.any.sa_family != AF_UNIX && addr_port(&a->addr) == 0;

	return addr_equal(&a->addr, &b->addr) && (!any_port || strcmp(a->name, b->name) == 0);
}

struct queue_rule lb_config_queue_rule(const struct lb_config *c)
{
	return (struct queue_rule){
	        (enum queue_discipline)c->queue.discipline, c->queue.target, c->queue.interval};
}

const char *lb_config_header_of(const char *text)
{
	static const char header[] = "header:";

	return strncmp(text, header, sizeof(header) - 1) == 0 ? text + sizeof(header) - 1 : NULL;
}

void lb_config_print(const struct lb_config *c, FILE *out)
{
	conf_print(&lb_config_section, c, out);
}

json_t *lb_config_json(const struct lb_config *c)
{
	return conf_json(&lb_config_section, c);
}

void lb_config_free(struct lb_config *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->upstreams.count; i++)
		config_names_free(lb_config_upstream(c, i));
	free(c->forward.trusted_blocks);
	conf_free(c->conf);
	free(c);
}
