/* tplb: arguments and wiring. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "ctl/admin.h"
#include "ctl/desk.h"
#include "ctl/office.h"
#include "ctl/signals.h"
#include "ctl/takeover.h"
#include "ctl/web.h"
#include "lb/balancer.h"
#include "lb/commands.h"
#include "lb/control.h"
#include "lb/graph.h"
#include "lb/keeper.h"
#include "lb/needs.h"
#include "lb/reloader.h"
#include "lb/rights.h"
#include "lb/summary.h"
#include "lb/supply.h"
#include "lb/web_pages.h"
#include "net/sock.h"
#include "obs/events.h"

enum { EXIT_FAULT = 1, EXIT_USAGE = 2 };

/* The program's one root. */
struct program {
	struct command_line said;
	struct activation given;  /* sockets that listen already */
	struct takeover takeover; /* of the process whose place this one takes */
	struct office office;
	struct supply_source source;
	struct supply direct;
	const struct supply *supply; /* that one, or the parent's */
	int64_t alive_every;         /* ns: how often the watchdog is told that we live; 0: there is none */
	unsigned loops;              /* that will run */
	unsigned connections;        /* at most at once: limits.connections, or what the descriptors allow */
	enum loop_driver_kind driver;
	bool check, print, graph;
	bool told_ready;    /* by the process whose place it has taken */
	bool reopened_late; /* log files, when another process may have opened the same ones already */
	struct lb_config *config;
	struct grants grants; /* what the system grants, read once */
	struct listener *listeners;
	struct log *log;
	struct balancer *balancer;
	struct engine *running;
	struct control control;    /* set up while `running` is there */
	struct reloader *reloader; /* likewise */
	struct admin *admin;       /* NULL: no admin.socket */
	struct web *web;           /* NULL: no admin.bind */
	struct addr web_at;        /* where it listens */
	bool web_managed;          /* a service manager has opened that */
	struct process process;    /* what it takes of the system */
	struct rights rights;
	pid_t parent;            /* 0: not split */
	struct keeper_link link; /* to the parent, in the child of two processes */
	pthread_t main_thread;
};

static void print_usage(FILE *out)
{
	fprintf(out,
	        "Usage: tplb [-f FILE] [-t] [-T] [-g] [-e ENGINE] [-w N] [-v] [-h]\n"
	        "The thread-pool load balancer, in the foreground.\n"
	        "\n"
	        "  -f, --file=FILE      configuration (default " SYSCONFDIR "/tplb.conf)\n"
	        "  -t, --test           check the configuration, print what it needs of the system and exit\n"
	        "  -T, --print          check the configuration, print the effective one and exit\n"
	        "  -g, --graph          check the configuration, print it as a graph for dot and exit\n"
	        "  -e, --engine=ENGINE  engine, in place of the configured one: pool or async\n"
	        "  -w, --workers=N      number of workers (loops, in async), in place of the configured one\n"
	        "  -v, --version        print the version and exit\n"
	        "  -h, --help           print this and exit\n"
	        "\n"
	        "Signals: TERM and INT drain and stop (twice: at once), USR1 reopens log files,\n"
	        "HUP reads the configuration again, and says what it has taken in and what needs a "
	        "restart,\n"
	        "USR2 starts the program anew, which takes over the sockets, and drains.\n");
}

static int usage_error(const char *what, const char *value)
{
	fprintf(stderr, "tplb: %s%s%s%s; try tplb --help\n", what, value ? " '" : "", value ? value : "",
	        value ? "'" : "");
	return EXIT_USAGE;
}

/* The exit status after something was printed: a full disk must not go unnoticed. */
static int printed(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	fprintf(stderr, "tplb: cannot write to standard output: %m\n");
	return EXIT_FAULT;
}

/* What keeps it from serving: for the log of the process whose place it takes, too. */
static void complain(const struct program *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void complain(const struct program *p, const char *format, ...)
{
	char text[DIAG_TEXT_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "tplb: %s\n", text);
	if (p->takeover.errors < 0) /* it is not there that this goes */
		takeover_say(&p->takeover, text);
}

/* -1: go on; otherwise the exit status. */
static int parse_arguments(struct program *p, int argc, char **argv)
{
	static const struct option options[] = {
	        {"file", required_argument, NULL, 'f'},
	        {"test", no_argument, NULL, 't'},
	        {"print", no_argument, NULL, 'T'},
	        {"graph", no_argument, NULL, 'g'},
	        {"engine", required_argument, NULL, 'e'},
	        {"workers", required_argument, NULL, 'w'},
	        {"version", no_argument, NULL, 'v'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "f:tTge:w:vh", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			p->said.file = optarg;
			break;
		case 't':
			p->check = true;
			break;
		case 'T':
			p->print = true;
			break;
		case 'g':
			p->graph = true;
			break;
		case 'e':
			p->said.engine = strcmp(optarg, "async") == 0 ? LB_ENGINE_ASYNC : LB_ENGINE_POOL;
			if (p->said.engine == LB_ENGINE_POOL && strcmp(optarg, "pool") != 0)
				return usage_error("--engine must be pool or async, not", optarg);
			break;
		case 'w':
			errno = 0;
			p->said.workers = strtol(optarg, &end, 10);
			if (errno != 0 || *end || end == optarg || p->said.workers < 1 ||
			        p->said.workers > LB_WORKERS_MAX)
				return usage_error(
				        "--workers must be a whole number from 1 to 4096, not", optarg);
			break;
		case 'v':
			puts("tplb " PACKAGE_VERSION);
			return printed();
		case 'h':
			print_usage(stdout);
			return printed();
		default: /* getopt has said what is wrong */
			fprintf(stderr, "tplb: try tplb --help\n");
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return usage_error("unexpected argument", argv[optind]);
	return -1;
}

/* Faults and warnings on standard error. -1: go on; otherwise the exit status. */
static int report_config(const struct program *p)
{
	const struct conf *conf = p->config->conf;

	conf_print_faults(conf, stderr);
	if (conf_unreadable(conf))
		return EXIT_FAULT;
	return conf_fault_count(conf) > 0 ? EXIT_USAGE : -1;
}

/* What will drive the loops; *why as in loop_choose. */
static bool uses_uring(const struct program *p, const char **why)
{
	*why = NULL;
	return needs_loops(p->config, p->grants.cores) > 0 &&
	       loop_choose((enum loop_driver_kind)p->config->async.driver, why) == LOOP_URING;
}

/* What the configuration needs of the system: what is short becomes a warning, for another machine may have it. */
static void weigh(struct program *p, struct needs *needs)
{
	const struct lb_config *c = p->config;
	const char *why;

	grants_read(&p->grants, "", c->user[0] != '\0');
	bool uring = uses_uring(p, &why);
	if (why && uring)
		conf_warning(c->conf, c->async.place, "driver", "io_uring is not to be had here: %s", why);
	needs_sum(needs, c, uring, &p->grants);
	needs_warn(needs);
}

static int read_config(struct program *p)
{
	bool weighs = p->check && !p->print && !p->graph;
	struct needs needs;
	char why[CONTROL_WHY_BYTES];

	p->config = p->supply->read(p->supply->arg, p->said.file);
	if (!p->config) {
		fprintf(stderr, "tplb: out of memory\n");
		return EXIT_FAULT;
	}
	if (conf_fault_count(p->config->conf) == 0) {
		if (!command_line_apply(&p->said, p->config, why)) {
			fprintf(stderr, "tplb: %s\n", why);
			return EXIT_USAGE;
		}
		lb_config_resolve(p->config);
	}
	if (weighs && conf_fault_count(p->config->conf) == 0)
		weigh(p, &needs);
	int status = report_config(p);
	if (status >= 0)
		return status;
	if (p->graph)
		lb_graph_print(p->config, stdout);
	else if (p->print)
		lb_config_print(p->config, stdout);
	else if (weighs) {
		printf("%s: configuration is valid\n", p->said.file);
		needs_print(&needs, stdout);
	}
	return p->graph || p->print || p->check ? printed() : -1;
}

static const char *why_not_listening(int error)
{
	return error == EADDRINUSE ? " (another program uses it: ss -ltnp shows which)"
	       : error == EACCES   ? " (ports below 1024 and protected folders need root)"
	                           : "";
}

static bool open_listener(struct program *p, struct listener *l, const struct lb_config_listener *from)
{
	char text[ADDR_TEXT_MAX];

	l->addr = from->addr;
	l->name = from->name;
	atomic_init(&l->eager, from->mode == LB_MODE_TCP && !from->accept_proxy); /* its header comes first */
	l->fd = activation_inherit(&p->given, ACTIVATION_LISTENER, from->name, &from->addr, &l->file_stays);
	if (l->fd < 0) {
		l->fd = activation_find(&p->given, &from->addr);
		l->file_stays = l->fd >= 0;
	}
	if (l->fd < 0)
		l->fd = p->supply->listen(p->supply->arg, from);
	if (l->fd >= 0) {
		l->addr.len = sizeof(l->addr.u); /* port 0: which one it became */
		(void)getsockname(l->fd, &l->addr.u.any, &l->addr.len);
		return true;
	}
	fprintf(stderr, "tplb: listener %s: cannot listen on %s: %s%s\n", from->name,
	        addr_format(&from->addr, text), strerror(-l->fd), why_not_listening(-l->fd));
	return false;
}

/* Before the engine has them. */
static void close_listeners(struct program *p)
{
	for (size_t i = 0; p->listeners && i < p->config->listeners.count; i++) {
		const struct addr *at = &p->listeners[i].addr;

		if (p->listeners[i].fd < 0)
			continue;
		close(p->listeners[i].fd);
		if (at->u.any.sa_family == AF_UNIX && !p->listeners[i].file_stays &&
		        !activation_is_inherited(&p->given, ACTIVATION_LISTENER, at))
			unlink(p->listeners[i].addr.u.un.sun_path);
	}
}

/* Where the pages are served. */
static bool open_web(struct program *p)
{
	const struct lb_config_admin *c = &p->config->admin;
	struct addr at = c->web;
	int fd, error;

	if (at.len == 0)
		return true;
	int inherited = fd = activation_inherit(&p->given, ACTIVATION_WEB, "", &at, &p->web_managed);
	if (fd < 0) {
		fd = activation_find(&p->given, &at);
		p->web_managed = fd >= 0;
	}
	if (fd < 0)
		fd = sock_listen(&at, WEB_BACKLOG);
	error = -fd;
	if (fd >= 0) {
		at.len = sizeof(at.u); /* port 0: which one it became */
		(void)getsockname(fd, &at.u.any, &at.len);
		p->web_at = at;
		p->web = web_open(
		        fd, &at, p->web_managed, (const char *const *)c->hosts.at, c->hosts.count, &error);
	}
	if (p->web && inherited >= 0)
		desk_keep(web_desk(p->web), false); /* until this process is in office */
	if (p->web)
		return true;
	fprintf(stderr, "tplb: admin.bind: cannot listen on %s: %s%s\n", c->bind, strerror(error),
	        why_not_listening(error));
	return false;
}

static bool open_listeners(struct program *p)
{
	size_t n = p->config->listeners.count;

	p->listeners = calloc(n, sizeof(*p->listeners));
	if (!p->listeners) {
		fprintf(stderr, "tplb: out of memory\n");
		return false;
	}
	for (size_t i = 0; i < n; i++)
		p->listeners[i].fd = -1;
	activation_take(&p->given);
	for (size_t i = 0; i < n; i++)
		if (!open_listener(p, &p->listeners[i], lb_config_listener(p->config, i)))
			return false;
	if (!open_web(p))
		return false;
	activation_end(&p->given);
	return true;
}

/* As the user's who will run, if that is to be another one. */
static bool open_admin(struct program *p)
{
	const struct addr *at = &p->config->admin.addr;
	const struct passwd *entry = p->config->user[0] ? getpwnam(p->config->user) : NULL;
	int error;

	if (at->len == 0)
		return true;
	uid_t user = entry ? entry->pw_uid : geteuid();
	gid_t group = entry ? entry->pw_gid : getegid();
	bool managed;
	int fd = activation_inherit(&p->given, ACTIVATION_ADMIN, "", at, &managed);
	p->admin = fd >= 0 ? admin_adopt(fd, at, user, group, &error) : admin_open(at, user, group, &error);
	if (p->admin)
		return true;
	fprintf(stderr, "tplb: admin.socket: cannot listen on %s: %s%s\n", p->config->admin.socket,
	        strerror(error),
	        error == EADDRINUSE ? " (another tplb answers there, or it is a file of another kind)"
	        : error == ENOENT   ? " (make its folder, or RuntimeDirectory= in the unit)"
	        : error == EACCES || error == EROFS ? " (its folder must be writable for who starts tplb)"
	                                            : "");
	return false;
}

/* False: a command still runs, or a page is being made. */
static bool close_admin(struct program *p)
{
	bool ended = !p->admin || admin_stop(p->admin);

	ended = web_stop(p->web) && ended;
	p->admin = NULL;
	p->web = NULL;
	return ended;
}

/* Splits into a parent, whose whole life is in here, and a child. False: this process is to end, *status says how. */
static bool split(struct program *p, int *status)
{
	struct keeper *keeper;
	char why[RIGHTS_WHY_BYTES];
	pid_t parent = getpid();
	pid_t child = keeper_fork(p->said.file, p->config, &p->given, &p->office, &keeper, &p->link);

	if (child == 0) {
		if (p->office.above >= 0)
			close(p->office.above); /* the parent's */
		p->supply = &p->link.supply;
		p->parent = parent;
		process_open(&p->process);
		if (rights_give_up(&p->rights, p->config, parent, why))
			return true;
		fprintf(stderr, "tplb: %s\n", why);
		return false;
	}
	if (child < 0) {
		fprintf(stderr, "tplb: cannot start the process that serves: %s\n", strerror(-child));
		return false;
	}
	for (size_t i = 0; i < p->config->listeners.count; i++) {
		close(p->listeners[i].fd);
		p->listeners[i].fd = -1;
	}
	if (p->admin)
		admin_leave(p->admin);
	p->admin = NULL;
	web_leave(p->web);
	p->web = NULL;
	takeover_end(&p->takeover);
	*status = keeper_serve(keeper, child);
	return false;
}

/* Raises the limits to what the configuration needs; where the system refuses, fewer connections are allowed than it says. */
static void fit(struct program *p)
{
	struct lb_config *c = p->config;
	int64_t wanted = c->limits.connections;
	const char *why;

	needs_fit(c, uses_uring(p, &why), &p->grants);
	p->connections = (unsigned)c->limits.connections;
	c->limits.connections = wanted; /* what the file says, for a reload to compare */
}

/* Their driver: as the user who will run them, for whom it may be forbidden. False: the one asked for is not to be had. */
static bool choose_driver(struct program *p)
{
	const char *why;

	p->driver = LOOP_EPOLL;
	if (p->loops == 0)
		return true;
	p->driver = loop_choose((enum loop_driver_kind)p->config->async.driver, &why);
	if (why && p->driver == LOOP_URING) {
		complain(p, "async.driver: io_uring is not to be had: %s; \"auto\" takes epoll then", why);
		return false;
	}
	if (why)
		diag_info("async.driver: epoll, since io_uring is not to be had: %s", why);
	return true;
}

static struct engine_options engine_options(struct program *p);

static bool start_log(struct program *p)
{
	const struct lb_config_log *c = &p->config->log;
	struct log_targets targets = {
	        .output = c->output, .access = c->access, .tag = c->tag, .facility = c->facility};
	if (p->config->engine == LB_ENGINE_ASYNC)
		targets.ring_bytes = LOG_RING_BYTES_OF_FEW;
	if (p->rights.is_split) {
		targets.open = keeper_open_log;
		targets.arg = &p->link;
	}
	const char *where, *why;

	diag_set_level((enum diag_level)c->level);
	struct engine_options options = engine_options(p);
	takeover_errors(&p->takeover);
	p->log = log_start(&targets, engine_sets(&options), &where, &why);
	if (!p->log)
		complain(p, "log: cannot open %s: %s", where, why);
	return p->log != NULL;
}

static struct engine_options engine_options(struct program *p)
{
	const struct lb_config *c = p->config;

	return (struct engine_options){
	        .name = "tplb",
	        .kind = c->engine == LB_ENGINE_ASYNC ? ENGINE_ASYNC : ENGINE_POOL,
	        .workers = (unsigned)c->pool.workers,
	        .workers_most = LB_WORKERS_MAX,
	        .hold_connection = c->pool.hold == LB_HOLD_CONNECTION,
	        .burst = (unsigned)c->pool.burst,
	        .patience = c->pool.patience,
	        .loops = p->loops,
	        .driver = p->driver,
	        .fibers = (unsigned)c->async.fibers,
	        .queue_size = (unsigned)c->queue.size,
	        .queue_timeout = c->queue.timeout,
	        .queue_rule = lb_config_queue_rule(c),
	        .connections = p->connections,
	        .header_size = c->limits.header_size,
	        .header_timeout = c->timeouts.request_header,
	        .drain = c->timeouts.drain,
	        .listeners = p->listeners,
	        .listener_count = (unsigned)c->listeners.count,
	        .log = p->log,
	};
}

/* Another process has taken over: to have it drain. In any thread. */
static void wake_main(void *arg)
{
	const struct program *p = arg;

	PTHREAD_OK(pthread_kill(p->main_thread, SIGUSR2));
}

static void keep_desk(void *arg, bool keep)
{
	desk_keep(arg, keep);
}

/* It runs, and is this process's: the next one gets its socket. */
static void pass_on_desk(
        struct program *p, const char *role, const struct addr *at, bool managed, struct desk *desk)
{
	desk_keep(desk, true);
	upgrade_add(&p->control.upgrade,
	        &(struct upgrade_socket){role, at, managed, desk_listener(desk), desk, keep_desk});
}

static bool start_control(struct program *p)
{
	int error;

	p->control = (struct control){.said = p->said,
	        .supply = p->supply,
	        .grants = &p->grants,
	        .balancer = p->balancer,
	        .engine = p->running,
	        .driver = p->driver,
	        .loops = p->loops,
	        .connections = p->connections,
	        .config = p->config,
	        .process = &p->process};
	control_init(&p->control);
	if (!upgrade_init(&p->control.upgrade, wake_main, p)) {
		complain(p, "cannot start: %m");
		return false;
	}
	p->reloader = reloader_start(&p->control, &error);
	if (!p->reloader)
		complain(p, "cannot start the thread for reloads: %s", strerror(error));
	return p->reloader != NULL;
}

/* Last: whoever is answered finds all of it running. */
static void start_admin(struct program *p)
{
	int error = p->admin ? admin_start(p->admin, "tplb", lb_commands, &p->control) : 0;

	if (error != 0) {
		event_error("admin.socket: there is no thread to serve it, so tplbctl finds nobody: %s",
		        strerror(error));
		(void)close_admin(p);
	} else if (p->admin) {
		pass_on_desk(p, ACTIVATION_ADMIN, &p->config->admin.addr, false, admin_desk(p->admin));
		diag_info("tplbctl is heard at %s", p->config->admin.socket);
	}
}

static void start_web(struct program *p)
{
	char text[ADDR_TEXT_MAX];
	int error = p->web ? web_start(p->web, "tplb", lb_web_pages, &p->control) : 0;

	if (error != 0) {
		diag_error("admin.bind: there is no thread to serve it, so nobody is answered: %s",
		        strerror(error));
		(void)web_stop(p->web);
		p->web = NULL;
	} else if (p->web) {
		pass_on_desk(p, ACTIVATION_WEB, &p->config->admin.web, p->web_managed, web_desk(p->web));
		diag_info("pages are served at %s", addr_format(&p->web_at, text));
	}
}

/* Where this process takes another one's place: that one drains from here on. */
static bool take_office(struct program *p)
{
	if (p->takeover.channel < 0)
		return true;
	if (p->rights.is_split && getppid() != p->parent) {
		complain(p, "the parent process has ended");
		return false;
	}
	p->told_ready = takeover_ready(&p->takeover);
	if (p->rights.is_split)
		keeper_in_office(&p->link);
	event_info("upgrade: this process has taken over%s", p->told_ready ? "" : "; the one before is gone");
	return true;
}

static bool start(struct program *p)
{
	char text[ADDR_TEXT_MAX];
	const char *why = "out of memory";

	struct engine_options options = engine_options(p);
	p->balancer = balancer_new(engine_sets(&options), p->loops);
	if (p->balancer)
		p->balancer->log = p->log;
	if (p->balancer && balancer_start(p->balancer, p->config, &why)) {
		for (unsigned i = 0; i < p->config->listeners.count; i++)
			p->listeners[i].app = balancer_front(p->balancer, i);
		options.service = lb_service(p->balancer);
		options.shelved = lb_shelved(p->balancer->now->lb, 0);
		p->running = engine_start(&options, &why);
	}
	if (!p->running) {
		complain(p, "cannot start: %s", why);
		return false;
	}
	balancer_attach(p->balancer, p->running);
	if (!start_control(p))
		return false;
	for (size_t i = 0; i < p->config->listeners.count; i++)
		event_info("listening on %s (%s)", addr_format(&p->listeners[i].addr, text),
		        p->listeners[i].name);
	if (!take_office(p))
		return false;
	start_admin(p);
	start_web(p);
	if (options.kind == ENGINE_ASYNC)
		event_info("tplb " PACKAGE_VERSION " is ready: engine async on %s, %u loops, %u fibers",
		        loop_driver_name(options.driver), options.loops, options.fibers);
	else
		event_info("tplb " PACKAGE_VERSION " is ready: engine pool, %u workers", options.workers);
	return true;
}

/* A signal for the process that has taken over. Where there is a parent, it is that one's to hand on. */
static void to_heir(struct program *p, int number)
{
	if (!p->rights.is_split)
		(void)kill(office_heir(&p->office), number); /* it may have ended */
}

/* Signals once another process has taken over. In a thread of its own. */
static void hand_on(void *arg, int number, bool again)
{
	struct program *p = arg;
	bool stays = !p->rights.is_split && p->office.will_stay;

	/* Who does not know yet that it is another one says the last two here. */
	if (stays || number == SIGHUP || number == SIGUSR1)
		to_heir(p, number);
	if (!again)
		return;
	if (stays)
		office_stay(&p->office);
	_exit(EXIT_FAULT);
}

/* signal: of whom to end; 0: another process has taken over. */
static void drain(struct program *p, int signal, pid_t from)
{
	bool ends = signal != 0 && upgrade_cancel(&p->control);

	if (ends)
		p->supply->notify(p->supply->arg, NOTICE_STOPPING);
	control_look(&p->control, true);
	struct engine_queue queue = engine_queue(p->running);
	event_info("draining: %u connections open, %zu requests queued, the oldest for %lld ms",
	        engine_connections(p->running), queue.depth, (long long)(queue.age / CLOCK_NS_PER_MS));
	if (ends) {
		signals_exit_on_next(EXIT_FAULT, p->parent, from);
	} else {
		/* What came when it was too late for this process, and nobody could know. */
		if (signal != 0)
			to_heir(p, signal);
		if (atomic_exchange(&p->control.upgrade.reload, false))
			to_heir(p, SIGHUP);
		if (p->reopened_late)
			to_heir(p, SIGUSR1);
		signals_hand_over(hand_on, p, p->parent);
	}
	engine_drain(p->running);
}

static void serve(struct program *p)
{
	int64_t alive_at = p->alive_every > 0 ? clock_now() : CLOCK_NEVER;
	struct upgrade *upgrade = &p->control.upgrade;
	char why[UPGRADE_WHY_BYTES];
	bool done;
	int signal;
	pid_t from;

	if (!p->told_ready)
		p->supply->notify(p->supply->arg, NOTICE_READY);
	do { /* once it is done, what is pending: it was meant for who is in office */
		int64_t look = control_next_look(&p->control);
		done = upgrade_is(upgrade, UPGRADE_DONE);
		signal = signals_next_by(done ? 0 : look < alive_at ? look : alive_at, &from);

		if (clock_now() >= alive_at) {
			if (control_is_alive(&p->control)) /* else whoever watches us may start us anew */
				p->supply->notify(p->supply->arg, NOTICE_ALIVE);
			alive_at = clock_now() + p->alive_every;
		}
		if (signal == SIGTERM || signal == SIGINT) {
			drain(p, signal, from);
			return;
		}
		if (signal == 0)
			control_look(&p->control, false);
		else if (signal == SIGHUP && !upgrade_takes_reload(upgrade))
			reloader_reload(p->reloader);
		else if (signal == SIGUSR1) {
			p->reopened_late = !upgrade_is(upgrade, UPGRADE_NONE);
			log_reopen(p->log);
		} else if (signal == SIGUSR2 && from != getpid() && !upgrade_refuses(upgrade, why))
			reloader_upgrade(p->reloader);
	} while (!done || signal != 0);
	drain(p, 0, 0);
}

static void log_end(struct program *p)
{
	summary_log(p->balancer);
	control_advise_at_end(&p->control);
}

/* False: there is nothing to serve, *status says why. */
static bool prepare_and_start(struct program *p, int *status)
{
	const char *why;

	*status = EXIT_FAULT;
	grants_read(&p->grants, "", p->config->user[0] != '\0');
	p->loops = needs_loops(p->config, p->grants.cores);
	p->rights.is_split = rights_are_split(p->config);
	if (!open_listeners(p) || !open_admin(p))
		return false;
	takeover_leave_rest(&p->takeover, &p->given);
	needs_raise(p->config, uses_uring(p, &why), &p->grants); /* while we may */
	if (p->rights.is_split && !split(p, status))
		return false;
	if (!p->rights.is_split)
		process_open(&p->process);
	if (!start_log(p))
		return false;
	rights_tell(&p->rights, p->config);
	fit(p);
	return choose_driver(p) && start(p);
}

/* The process that others know stays, after all. */
static void stay(struct program *p)
{
	if (p->rights.is_split || !p->office.will_stay || !upgrade_is(&p->control.upgrade, UPGRADE_DONE))
		return;
	signals_leave_pending();
	office_stay(&p->office);
}

static int run(struct program *p)
{
	int status;

	if (!prepare_and_start(p, &status)) {
		if (p->running)
			_exit(status); /* its threads run */
		close_listeners(p);
		(void)close_admin(p);
		balancer_free(p->balancer);
		if (p->log)
			log_stop(p->log);
		return status;
	}
	serve(p);
	unsigned cut = engine_wait(p->running);
	bool commands_ended = close_admin(p);
	control_look(&p->control, true);
	log_end(p);
	if (cut > 0) {
		event_warning("timeouts.drain is over: %u connections were cut", cut);
		log_flush(p->log); /* workers may still hold connections: they end with the process */
		stay(p);
		_exit(EXIT_SUCCESS);
	}
	if (!commands_ended || !reloader_stop(p->reloader)) {
		diag_info("stopped; a reload was cut");
		log_flush(p->log);
		stay(p);
		_exit(EXIT_SUCCESS);
	}
	if (!balancer_stop(p->balancer)) {
		diag_info("stopped; a health probe was cut");
		log_flush(p->log);
		stay(p);
		_exit(EXIT_SUCCESS);
	}
	control_free(&p->control);
	engine_free(p->running);
	balancer_free(p->balancer);
	diag_info("stopped");
	log_stop(p->log);
	stay(p);
	return EXIT_SUCCESS;
}

/* Who starts a program with these closed has its first connections take their numbers, and what is written to them. */
static void open_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct program p = {.said = {.file = SYSCONFDIR "/tplb.conf", .engine = -1}};

	open_standard_descriptors();
	int status = office_take_care();

	if (status >= 0)
		return status;
	if (!takeover_begin(&p.takeover, &p.given)) {
		fprintf(stderr, "tplb: the process whose place to take has ended, or passes nothing on\n");
		return EXIT_FAULT;
	}
	office_init(&p.office, argv, p.takeover.caretaker);
	p.parent = p.office.boss;
	p.main_thread = pthread_self();
	status = parse_arguments(&p, argc, argv);
	p.source = (struct supply_source){&p.given, &p.office};
	p.direct = supply_direct(&p.source);
	p.supply = &p.direct;
	p.alive_every = notify_interval();

	if (status < 0)
		status = read_config(&p);
	if (status < 0) {
		signals_block();
		status = run(&p);
	}
	if (p.process.started != 0)
		process_close(&p.process);
	free(p.listeners);
	if (p.config)
		lb_config_free(p.config);
	office_free(&p.office);
	return status;
}
