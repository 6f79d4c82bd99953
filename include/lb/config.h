/* The load balancer's configuration: the structs, filled through the key tables of src/lb/config_keys.c. */
#ifndef TPLB_LB_CONFIG_H
#define TPLB_LB_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "conf/conf.h"
#include "lb/name.h"
#include "net/addr.h"
#include "net/loop.h"
#include "work/queue.h"

enum lb_engine { LB_ENGINE_POOL, LB_ENGINE_ASYNC };
enum lb_hold { LB_HOLD_REQUEST, LB_HOLD_CONNECTION };
enum lb_mode { LB_MODE_HTTP, LB_MODE_TCP };
enum lb_balance {
	LB_BALANCE_ROUNDROBIN,
	LB_BALANCE_LEASTCONN,
	LB_BALANCE_RANDOM,
	LB_BALANCE_SOURCE,
	LB_BALANCE_URI,
	LB_BALANCE_HEADER
};
enum {
	LB_SERVERS_MAX = 1024 /* of an upstream */,
	LB_WEIGHT_MAX = 256,
	LB_RETRIES_MAX = 10,
	LB_WORKERS_MAX = 4096
};
enum lb_health { LB_HEALTH_NONE, LB_HEALTH_TCP, LB_HEALTH_HTTP };
enum lb_server_state { LB_SERVER_READY, LB_SERVER_DRAIN, LB_SERVER_MAINT }; /* as the operator wants it */
enum lb_init_addr { LB_INIT_ADDR_RESOLVE, LB_INIT_ADDR_NONE };
enum lb_send_proxy { LB_SEND_PROXY_OFF, LB_SEND_PROXY_V1, LB_SEND_PROXY_V2 }; /* the version, too */

struct lb_config_server {
	const void *place;
	char *address;
	int64_t weight; /* 1 to 256 */
	bool backup;
	int64_t max_connections; /* requests at once; 0: no limit */
	int state;               /* enum lb_server_state: what it starts in */
	int64_t slots;           /* servers that a name may be at most */
	int init_addr;           /* enum lb_init_addr */
	int send_proxy;          /* enum lb_send_proxy */
	bool is_name;            /* the rest is made by lb_config_read and lb_config_resolve */
	struct addr addr;        /* of one that is no name */
	struct target *targets;  /* of a name's slots, as found at start; NULL: not resolved */
};

/* Probes that tplb makes itself. */
struct lb_config_health {
	const void *place;
	int type; /* enum lb_health */
	char *method;
	char *path;
	char *host;       /* the Host field; empty: the server's address */
	int64_t expect;   /* status; 0: any of 200 to 399 */
	char *body;       /* what the answer's body must contain; empty: anything */
	int64_t interval; /* ns */
	int64_t timeout;  /* ns, of a whole probe */
	int64_t rise;     /* good ones in a row until it is up */
	int64_t fall;     /* bad ones in a row until it is down */
};

/* What clients' requests tell. */
struct lb_config_passive {
	const void *place;
	int64_t max_fails;    /* in a row until it is down; 0: never */
	int64_t fail_timeout; /* ns until it is looked at again */
	bool count_5xx;
};

enum lb_same_site { LB_SAME_SITE_NONE_SAID, LB_SAME_SITE_LAX, LB_SAME_SITE_STRICT, LB_SAME_SITE_NONE };

struct lb_config_sticky {
	const void *place;
	char *cookie; /* its name; empty: no sticky sessions */
	char *path;
	char *domain;    /* empty: none */
	int64_t max_age; /* ns; 0: until the browser closes */
	bool secure;
	bool http_only;
	int same_site; /* enum lb_same_site */
};

struct lb_config_upstream {
	const void *place;
	char *name;
	char *balance;
	int policy;               /* enum lb_balance; made of balance by lb_config_read */
	const char *header;       /* of "header:NAME": a slice of balance; NULL: another policy */
	struct conf_list servers; /* of struct lb_config_server, at least one */
	int64_t keepalive;        /* idle connections kept to each server */
	struct lb_config_health health;
	struct lb_config_passive passive;
	struct lb_config_sticky sticky;
	int64_t retries;      /* of a request that was sent and lost; at most LB_RETRIES_MAX */
	int64_t retry_budget; /* percent of the requests */
	bool panic;           /* with all servers down, ask them all the same */
	int64_t slow_start;   /* ns; 0: a server that comes back gets its whole share at once */
	int64_t resolve;      /* ns from one lookup of a name to the next; 0: only at start */
	char *nameserver;     /* empty: the system's */
	struct addr nameserver_addr;
};

struct lb_config_rate {
	const void *place;
	char *key;          /* "address" or "header:NAME" */
	const char *header; /* of "header:NAME": a slice of key; NULL: the address */
	int64_t requests;   /* in each `per`; 0: no rate */
	int64_t per;        /* ns */
	int64_t burst;      /* at once; 0: as many as `requests` */
	int64_t entries;    /* clients that are remembered */
};

struct lb_config_listener {
	const void *place;
	char *name; /* defaults to the bind address */
	char *bind;
	int mode; /* enum lb_mode */
	char *upstream;
	bool accept_proxy; /* each connection begins with a PROXY protocol header */
	struct lb_config_rate rate;
	struct addr addr;        /* parsed `bind` */
	unsigned upstream_index; /* of `upstream` in lb_config.upstreams */
};

struct lb_config_timeouts { /* all in ns; 0: no limit, but keepalive = 0: no keep-alive with clients */
	const void *place;
	int64_t connect;
	int64_t request_header;
	int64_t client;
	int64_t server;
	int64_t keepalive;
	int64_t tunnel;
	int64_t drain;
	int64_t upgrade;
	int64_t stuck; /* 0: nobody is watched */
};

struct lb_config_limits {
	const void *place;
	int64_t connections;
	uint64_t header_size;
	int64_t headers;
	uint64_t body_size;             /* 0: no limit */
	int64_t requests_per_client;    /* 0: no limit */
	int64_t connections_per_client; /* 0: no limit */
	uint64_t min_body_rate;         /* bytes a second of a request's body; 0: any */
	uint64_t min_answer_rate;       /* likewise of an answer that is taken */
	int64_t rate_grace;             /* ns that a client may fall behind these, > 0 */
};

struct lb_config_forward {
	const void *place;
	bool x_forwarded_for;
	bool forwarded;         /* RFC 7239 */
	char *via;              /* pseudonym; empty: no Via */
	char *request_id;       /* name of the field that tells the request's id; empty: none does */
	bool request_id_answer; /* the client is told it as well */
	struct conf_strings trusted;
	struct addr_block *trusted_blocks; /* trusted.count of them; made by lb_config_read */
};

struct lb_config_log {
	const void *place;
	int level;    /* enum diag_level */
	char *output; /* "stderr", "syslog", "journald" or a path; see obs/log_target.h */
	char *access; /* "off", "stdout", "syslog", "journald" or a path */
	int facility; /* of syslog's, 0 to 23 */
	char *tag;    /* our name there */
	char *format; /* see lb/log_format.h */
};

struct lb_config_admin {
	const void *place;
	char *socket;     /* a path; empty: none */
	struct addr addr; /* made of it by lb_config_read; len 0: none */
	char *bind;       /* of the pages; empty: none */
	struct conf_strings hosts;
	struct addr web; /* made of bind by lb_config_read; len 0: none */
};

enum lb_sandbox { LB_SANDBOX_AUTO, LB_SANDBOX_ON, LB_SANDBOX_OFF };

struct lb_config {
	const void *place;
	int engine;   /* enum lb_engine */
	char *user;   /* empty: keep the user */
	char *chroot; /* a folder; empty: none */
	int sandbox;  /* enum lb_sandbox */
	bool abort_on_close;
	struct {
		const void *place;
		int64_t workers;
		int64_t burst;    /* requests a worker may have with servers at once */
		int hold;         /* enum lb_hold */
		int64_t patience; /* ns */
	} pool;
	struct {
		const void *place;
		int64_t loops;  /* 0: one a core */
		int driver;     /* enum loop_driver_kind */
		int64_t fibers; /* all loops together */
	} async;
	struct {
		const void *place;
		int64_t size;
		int64_t timeout;  /* ns */
		int discipline;   /* enum queue_discipline */
		int64_t target;   /* ns */
		int64_t interval; /* ns */
		bool header;      /* answers tell how long their requests waited */
	} queue;
	struct conf_list listeners; /* of struct lb_config_listener, at least one */
	struct conf_list upstreams; /* of struct lb_config_upstream, at least one */
	struct lb_config_timeouts timeouts;
	struct lb_config_limits limits;
	struct lb_config_forward forward;
	struct lb_config_log log;
	struct lb_config_admin admin;
	struct conf *conf; /* owns everything above */
};

/* The tables of all keys, and the names of some choices by value, NULL at the end (src/lb/config_keys.c). */
extern const struct conf_section lb_config_section;
extern const char *const lb_hold_names[], *const lb_mode_names[];

/*
 * Reads and checks FILE. Faults are in (*config)->conf: see conf_fault_count. NULL only when memory is out.
 * Checks beyond the tables: duplicate names and binds, references to an unknown upstream, addresses, that the
 * queue and limits make sense together, a warning for a listener in the ephemeral port range.
 */
struct lb_config *lb_config_read(const char *path);
/* The same through an opener (conf/conf.h), while the program runs: `user` is taken as it stands, for users may be out of sight by then. */
struct lb_config *lb_config_read_by(const struct conf_opener *opener, const char *path);
/* The same from a text; `name` stands for the file in messages. */
struct lb_config *lb_config_read_text(const char *name, const char *text);

/*
 * Resolves the names of servers and listeners (blocking); one that cannot be resolved is a fault at its line. Numeric
 * addresses are parsed by lb_config_read already. Call it only while conf_fault_count is 0.
 */
void lb_config_resolve(struct lb_config *config);

/* Whether they listen at the same place: a listener of one configuration goes on in the other. Those with port 0 are told apart by name. */
bool lb_config_same_listener(const struct lb_config_listener *a, const struct lb_config_listener *b);

/* Its queue's discipline. */
struct queue_rule lb_config_queue_rule(const struct lb_config *config);

/* A part of lb_config_read: the listener's `rate` (src/lb/config_rate.c). */
void lb_config_check_rate(struct lb_config *config, struct lb_config_listener *l);

/* What comes behind "header:" in a text that begins so, else NULL. */
const char *lb_config_header_of(const char *text);

/* The effective configuration, as `tplb -T` prints it. */
void lb_config_print(const struct lb_config *config, FILE *out);
/* The same as data: conf_json. */
json_t *lb_config_json(const struct lb_config *config);

void lb_config_free(struct lb_config *config);

static inline struct lb_config_listener *lb_config_listener(const struct lb_config *c, size_t i)
{
	return (struct lb_config_listener *)c->listeners.at + i;
}

static inline struct lb_config_upstream *lb_config_upstream(const struct lb_config *c, size_t i)
{
	return (struct lb_config_upstream *)c->upstreams.at + i;
}

static inline struct lb_config_server *lb_config_server(const struct lb_config_upstream *u, size_t i)
{
	return (struct lb_config_server *)u->servers.at + i;
}

/* Servers that the upstream may have, every slot counted. */
static inline size_t lb_config_slots(const struct lb_config_upstream *u)
{
	size_t sum = 0;

	for (size_t i = 0; i < u->servers.count; i++)
		sum += (size_t)lb_config_server(u, i)->slots;
	return sum;
}

#endif
