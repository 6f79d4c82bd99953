/* tplb-origin: the HTTP origin server. Wiring only. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "ctl/signals.h"
#include "engine/engine.h"
#include "net/sock.h"
#include "origin/options.h"
#include "origin/origin.h"

enum {
	CONNECTIONS = 16384,
	DESCRIPTORS_A_WORKER = 2, /* a file, and something for the engine */
	DESCRIPTORS_BESIDE = 64,
	FIBERS = 4096,
	BACKLOG = 4096
};

#define QUEUE_TIMEOUT (1 * CLOCK_NS_PER_S)

static bool open_listener(const char *text, struct listener *l)
{
	const char *why;

	*l = (struct listener){.name = text};
	if (!addr_parse(text, true, &l->addr, &why)) {
		diag_error("listen: %s: %s", text, why);
		return false;
	}
	l->fd = sock_listen(&l->addr, BACKLOG);
	if (l->fd < 0) {
		diag_error("listen: %s: %s; give another address with --listen", text, strerror(-l->fd));
		return false;
	}
	/* The kernel chooses for port 0. It knows its own socket: this cannot fail. */
	l->addr.len = sizeof(l->addr.u);
	return getsockname(l->fd, &l->addr.u.any, &l->addr.len) == 0;
}

static bool open_listeners(const struct origin_options *options, struct listener *listeners)
{
	for (unsigned i = 0; i < options->listen_count; i++)
		if (!open_listener(options->listen[i], &listeners[i]))
			return false;
	return true;
}

/* How many connections the descriptor limit allows. */
static unsigned fit_connections(const struct origin_options *options)
{
	unsigned long beside = DESCRIPTORS_BESIDE + options->listen_count +
	                       (options->engine == ORIGIN_ASYNC
	                                       ? (unsigned long)FIBERS /* a file each */
	                                       : (unsigned long)options->workers * DESCRIPTORS_A_WORKER);
	unsigned long limit = sock_raise_limit(CONNECTIONS + beside);

	if (limit >= CONNECTIONS + beside)
		return CONNECTIONS;
	unsigned fit = limit > 2 * beside ? (unsigned)(limit - beside) : (unsigned)(limit / 2);
	diag_warning(
	        "descriptors: the limit of %lu allows %u connections instead of %d; raise it with ulimit -n",
	        limit, fit, CONNECTIONS);
	return fit;
}

static unsigned loops_of(const struct origin_options *options)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (options->engine == ORIGIN_POOL)
		return 0; /* its handlers never leave their worker */
	if (options->workers > 0)
		return options->workers;
	return cores < 1 ? 1 : cores > ENGINE_LOOPS_MAX ? ENGINE_LOOPS_MAX : (unsigned)cores;
}

static struct engine *start(
        const struct origin_options *options, struct listener *listeners, struct origin *o)
{
	const char *why = "";
	const char *no_uring;
	struct engine_options e = {.name = "origin",
	        .kind = options->engine == ORIGIN_ASYNC ? ENGINE_ASYNC : ENGINE_POOL,
	        .workers = options->workers,
	        .loops = loops_of(options),
	        .driver = loop_choose(options->driver, &no_uring),
	        .fibers = FIBERS,
	        .reads_files = options->root != NULL,
	        .burst = 1, /* what is slow here, holds its worker: nobody is to wait behind it */
	        .queue_size = options->queue,
	        .queue_timeout = QUEUE_TIMEOUT,
	        .connections = fit_connections(options),
	        .header_size = ORIGIN_HEADER_SIZE,
	        .header_timeout = ORIGIN_HEADER_TIMEOUT,
	        .drain = ORIGIN_DRAIN,
	        .listeners = listeners,
	        .listener_count = options->listen_count,
	        .service = origin_service(o)};
	if (no_uring && e.kind == ENGINE_ASYNC && e.driver == LOOP_URING) {
		diag_error("driver: io_uring is not to be had: %s; with auto it is epoll then", no_uring);
		return NULL;
	}
	if (no_uring && e.kind == ENGINE_ASYNC)
		diag_info("epoll, since io_uring is not to be had: %s", no_uring);
	struct engine *engine = engine_start(&e, &why);

	if (!engine) {
		diag_error("could not start: %s", why);
		return NULL;
	}
	origin_set_engine(o, engine);
	for (unsigned i = 0; i < options->listen_count; i++) {
		char text[ADDR_TEXT_MAX];

		diag_info("listening on %s", addr_format(&listeners[i].addr, text));
	}
	return engine;
}

static void wait_for_the_end(void)
{
	int number;

	do
		number = signals_next();
	while (number != SIGTERM && number != SIGINT); /* there is nothing to reload or reopen */
}

static void stop(struct engine *engine, struct origin *o)
{
	engine_drain(engine);
	signals_exit_on_next(EXIT_FAILURE, 0, -1);
	unsigned cut = engine_wait(engine);
	if (cut > 0)
		diag_warning("cut %u connections that did not end in time", cut);
	diag_info("answered %llu requests", (unsigned long long)origin_answered(o));
	if (cut > 0)
		_exit(EXIT_SUCCESS); /* threads still run */
	engine_free(engine);
}

static int serve(const struct origin_options *options, int root)
{
	struct listener listeners[OPTIONS_LISTEN_MAX];
	unsigned workers = options->engine == ORIGIN_POOL ? options->workers + 1 /* the acceptor's id */
	                                                  : loops_of(options);
	struct origin *o = origin_new(root, options->keepalive, workers);

	if (!o) {
		diag_error("out of memory");
		return EXIT_FAILURE;
	}
	struct engine *engine = open_listeners(options, listeners) ? start(options, listeners, o) : NULL;
	if (engine)
		stop((wait_for_the_end(), engine), o);
	origin_free(o);
	return engine ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run(const struct origin_options *options)
{
	int root = -1;

	if (options->root) {
		root = open(options->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (root < 0) {
			diag_error(
			        "root: %s: %s; give a directory with --root", options->root, strerror(errno));
			return EXIT_FAILURE;
		}
	}
	signals_block();
	return serve(options, root);
}

/* Help and version are what was asked for: if they cannot be written, that is a failure. */
static int print(const char *text)
{
	return fputs(text, stdout) >= 0 && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct origin_options options;
	char why[OPTIONS_WHY_MAX];

	switch (options_parse(argc, argv, &options, why)) {
	case OPTIONS_HELP:
		return print(options_help());
	case OPTIONS_VERSION:
		return print("tplb-origin " PACKAGE_VERSION "\n");
	case OPTIONS_WRONG:
		fprintf(stderr, "tplb-origin: %s\n", why);
		return 2;
	default:
		return run(&options);
	}
}
