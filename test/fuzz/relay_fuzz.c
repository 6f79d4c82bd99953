/*
 * A whole relay between clients and servers of a made-up world (world.h), which does what the input says. This is the engine: it calls the balancer's
 * service as the pool does, in one thread. With FUZZ_PRINT in the environment it prints what
 * was said.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/diag.h"
#include "engine/service.h"
#include "lb/lb.h"
#include "made_up_clock.h"
#include "lb/balancer.h"
#include "made_up_lb.h"
#include "world.h"

#define SITE(how, second)                                                                                    \
	"listeners = ( { bind = \"127.0.0.1:8080\"; upstream = \"o\"; } );"                                  \
	"upstreams = ( { name = \"o\"; passive = { max_fails = 0; }; keepalive = 4; retries = 1; " how       \
	"servers = ( { address = \"127.0.0.1:9000\"; }, { address = \"127.0.0.1:9001\"; " second             \
	" } ); } );"                                                                                         \
	"limits = { header_size = \"1k\"; headers = 12; body_size = \"8k\"; };"
#define BACKUP "backup = true;" /* all go to the first one, as long as it can be reached */

static const char *const configs[] = {
        SITE("", BACKUP),
        SITE("balance = \"leastconn\"; sticky = { cookie = \"S\"; };", "") "queue = { header = true; };",
        SITE("retry_budget = 1;",
                "") "engine = \"async\"; timeouts = { keepalive = \"0s\"; server = \"0s\"; };",
        SITE("", BACKUP) "engine = \"async\"; abort_on_close = true;",
};
enum { CONFIGS = 4, BODY_ROOM = 8192, TURNS_MAX = 100000 };
enum { LOOP, THREAD, WORKERS }; /* ids of workers: LOOP is for what leaves THREAD, too */

enum state { PARKED, WAITING, LINGERING, GONE };

struct seat {
	struct conn conn;
	struct client *client;
	enum state state;
	bool again; /* it holds a whole further request */
	void *exchange;
	int wait_fd;
	int64_t deadline;
};

static struct {
	struct world world;
	struct lb_config *configs[CONFIGS];
	struct balancer *balancer;
	struct lb *lb; /* its */
	struct service service;
	struct worker workers[WORKERS];
	struct worker *worker;
	struct counters *counters;
	struct listener listener;
	struct seat seats[CLIENTS_MAX];
	unsigned long turns;
} f;

static bool is_readable(int fd)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};

	return poll(&one, 1, 0) > 0;
}

static void leave(struct seat *s)
{
	close(s->conn.fd);
	free(s->conn.in);
	s->conn.in = NULL;
	s->state = GONE;
}

static void linger(struct seat *s)
{
	(void)shutdown(s->conn.fd, SHUT_WR);
	s->state = LINGERING;
	s->deadline = made_up_now + 10 * CLOCK_NS_PER_S;
}

static void begin(struct seat *s);

/* Does what the service said. */
static void settle(struct seat *s, struct verdict v)
{
	switch (v.kind) {
	case VERDICT_PARK:
	case VERDICT_AGAIN:
		s->state = PARKED;
		s->again = v.kind == VERDICT_AGAIN;
		s->deadline = v.kind == VERDICT_PARK ? v.deadline : CLOCK_NEVER;
		return;
	case VERDICT_WAIT:
		s->state = WAITING;
		s->wait_fd = v.fd;
		s->deadline = v.deadline;
		return;
	case VERDICT_LEAVE:
		MUST(f.worker->patience > 0);
		settle(s, f.service.end(f.balancer, &f.workers[LOOP], s->exchange));
		return;
	case VERDICT_LINGER:
		linger(s);
		return;
	case VERDICT_RESET:
		s->client->reset = true;
		leave(s);
		return;
	case VERDICT_CLOSE:
		leave(s);
		return;
	case VERDICT_SHELVED:
		break;
	}
	UNREACHABLE("no server has a limit");
}

static void end(struct seat *s)
{
	s->state = GONE;
	settle(s, f.service.end(f.balancer, f.worker, s->exchange));
}

static void begin(struct seat *s)
{
	s->exchange = NULL;
	s->state = GONE;
	struct verdict v = f.service.begin(f.balancer, f.worker, &s->conn, &s->exchange);
	settle(s, v);
	if (v.kind == VERDICT_WAIT && f.worker->is_loop)
		end(s);
}

static void discard(struct seat *s)
{
	char room[4096];
	ssize_t n = recv(s->conn.fd, room, sizeof(room), 0);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		leave(s);
}

/* One turn of the engine. False: there is nothing to do. */
static bool turn(void)
{
	bool any = false;

	for (unsigned i = 0; i < f.world.client_count; i++) {
		struct seat *s = &f.seats[i];

		MUST(++f.turns < TURNS_MAX);
		if (s->state == PARKED && (s->again || s->conn.unread || is_readable(s->conn.fd)))
			begin(s);
		else if (s->state == WAITING && is_readable(s->wait_fd))
			end(s);
		else if (s->state == LINGERING && is_readable(s->conn.fd))
			discard(s);
		else
			continue;
		any = true;
	}
	return any;
}

/* Nobody can do anything: time passes until somebody is late. False: nobody will be. */
static bool expire(void)
{
	struct seat *late = NULL;

	for (unsigned i = 0; i < f.world.client_count; i++) {
		struct seat *s = &f.seats[i];

		if (s->state != GONE && s->deadline != CLOCK_NEVER && (!late || s->deadline < late->deadline))
			late = s;
	}
	if (!late)
		return false;
	if (made_up_now < late->deadline)
		made_up_now = late->deadline;
	if (late->state == WAITING)
		end(late);
	else
		leave(late);
	return true;
}

static void open_worker(unsigned id, bool is_loop, bool patient)
{
	struct worker *w = &f.workers[id];

	worker_init(w, id, &f.world.io, &f.counters[id], NULL, (size_t)f.lb->config->limits.header_size, 4);
	w->bodies.cap = BODY_ROOM;
	w->is_loop = is_loop;
	w->patience = patient ? 50 * CLOCK_NS_PER_MS : 0;
	MUST(f.service.worker_start(f.balancer, w));
}

static void open_relay(unsigned how)
{
	const struct lb_config *config = f.configs[how % CONFIGS];
	bool async = config->engine == LB_ENGINE_ASYNC;

	f.balancer = balancer_new(WORKERS, LOOP + 1);
	f.counters = counters_new(WORKERS);
	MUST(f.balancer != NULL && balancer_build(f.balancer, config) && f.counters != NULL);
	f.lb = f.balancer->now->lb;
	f.service = lb_service(f.balancer);
	f.listener = (struct listener){.app = balancer_front(f.balancer, 0), .name = "web"};
	open_worker(LOOP, true, false);
	if (!async)
		open_worker(THREAD, false, how & 128);
	f.worker = &f.workers[async ? LOOP : THREAD];
	f.turns = 0;
	for (unsigned i = 0; i < f.world.client_count; i++) {
		struct seat *s = &f.seats[i];

		*s = (struct seat){.client = &f.world.clients[i], .state = PARKED, .deadline = CLOCK_NEVER};
		s->conn = (struct conn){.magic = CONN_MAGIC,
		        .fd = s->client->relay_fd,
		        .listener = &f.listener,
		        .accepted_at = made_up_now,
		        .peer = {.family = AF_INET, .bytes = {127, 0, 0, 1}}};
		s->deadline = made_up_now + 10 * CLOCK_NS_PER_S;
	}
}

static void close_relay(void)
{
	for (unsigned i = 0; i < f.world.client_count; i++)
		MUST(f.seats[i].state == GONE);
	for (unsigned i = 0; i < f.lb->upstreams[0].count; i++)
		idle_clear(lb_idle(f.lb, f.worker, &f.lb->upstreams[0].servers[i]), &f.world.io);
	for (unsigned id = LOOP; id <= f.worker->id; id++) {
		f.service.worker_stop(f.balancer, &f.workers[id]);
		worker_free(&f.workers[id]);
	}
	MUST(atomic_load(&f.balancer->pipes) == LB_PIPES_MAX);
	balancer_free(f.balancer);
	counters_free(f.counters, WORKERS);
}

/* Once a process. */
static void prepare(void)
{
	diag_set_level(DIAG_ERROR);
	for (unsigned i = 0; i < CONFIGS; i++) {
		f.configs[i] = made_up_config(configs[i]);
		lb_config_resolve(f.configs[i]);
	}
}

static int lowest_free_fd(void)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str input = {(const char *)data, size};
	int fd = lowest_free_fd();

	if (!f.configs[0]) {
		MUST(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* as programs do: net/io.h */
		prepare();
	}
	if (size == 0 || size > 4096)
		return -1;
	world_open(&f.world, (struct str){input.at + 1, input.len - 1});
	open_relay(data[0]);
	while (turn() || world_step(&f.world) || expire())
		continue;
	close_relay();
	while (world_step(&f.world)) /* what is still on its way */
		continue;
	if (getenv("FUZZ_PRINT"))
		world_print(&f.world);
	world_check(&f.world);
	world_close(&f.world);
	MUST(lowest_free_fd() == fd);
	return 0;
}
