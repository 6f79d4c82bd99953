/*
 * One request and its answer, from the client's head to the log line. All its state is here, in one heap object with
 * one owner, so that any worker can run the calls that are left:
 *
 *	exchange_head    the request's head is parsed: pick a server, lease a connection, send the request
 *	exchange_body    relay the answer, and what is left of the request's body meanwhile
 *	exchange_finish  log, keep or close both connections, say what becomes of the client's
 */
#ifndef TPLB_LB_EXCHANGE_H
#define TPLB_LB_EXCHANGE_H

#include "http/frame.h"
#include "http/head.h"
#include "lb/end.h"
#include "lb/lb.h"
#include "lb/request_id.h"
#include "obs/board.h"
#include "wire/flow.h"

/* What is still to be done, in order: the calls that are left may be made by another worker. */
enum exchange_stage { STAGE_HEAD /* of the answer */, STAGE_BODY, STAGE_TUNNEL, STAGE_REFUSAL };

struct exchange {
	unsigned magic;
	struct lb *lb; /* constant while it lives */
	struct conn *conn;
	const struct lb_listener *listener;
	struct worker *worker; /* who runs it now */
	struct exchange *next; /* in a worker's list of free ones */
	enum exchange_stage stage;
	bool leaves; /* the call returns because another worker is to go on: VERDICT_LEAVE */

	/* The request. */
	struct http_head request; /* slices into `in` */
	struct http_framing request_framing;
	struct buf *in;     /* the client's bytes: the head, then what came with it */
	size_t head_at;     /* where in `in` the head begins */
	struct buf *out;    /* the head as it goes out: first to the server, later to the client */
	struct buf *up_buf; /* for a request body that did not come with its head; NULL: none needed */
	struct flow up;     /* client to server */
	size_t early;       /* bytes that were in `in` when `up` began */
	bool has_body;
	bool is_head; /* HEAD */
	bool wants_upgrade;
	struct str request_id;               /* lb/request_id.h; empty: not asked for yet */
	char made_id[REQUEST_ID_MADE_BYTES]; /* one of ours */
	long long max_forwards;              /* to be written in place of the client's; -1: none */
	bool is_tunnel;                      /* opaque bytes: tcp mode, or after 101 */

	/* The client's share. */
	struct client *client; /* one request of it is this one; NULL: not counted */
	int retry_after;       /* s, for 429 */

	/* The server. */
	struct server *server; /* NULL: none picked */
	bool sticky_busy;      /* that one has what it may have */
	struct server *sticky; /* that the request's cookie names; NULL: none */
	bool counted;          /* in server->load */
	bool overdue;          /* it has waited on the shelf for too long, or there was no room: refuse it */
	int64_t shelved_at;    /* when it was shelved first; 0: never */
	int64_t shelf_wait;    /* ns from then to when it was taken off last */
	bool in_panic;         /* it was down, and was asked all the same */
	int fd;                /* its connection; -1: none */
	unsigned generation;   /* of the address that fd is to */
	bool reused;
	bool server_keeps; /* its answer says so */
	bool server_reusable;
	bool lost; /* its connection failed: END_SERVER_BROKE for want of bytes, not for what they said */
	unsigned failed_count;
	struct server *failed[LB_RETRIES_MAX]; /* that were given the request before, and lost it */
	int64_t answer_by; /* until when more of the answer's head must have come; 0: not waiting yet */

	/* The answer. */
	struct http_head response; /* slices into `from_server` */
	struct buf *from_server;
	size_t scanned;
	int interims;      /* answers 1xx so far */
	bool interim_told; /* the client got one */
	struct flow down;  /* server to client */
	bool answer_begun; /* a byte of it came from the server */
	struct str unsent; /* of `out`: an interim answer or one of ours that the client has not taken yet */
	bool client_close; /* the client's connection ends with this answer */

	/* For the log. */
	int status;          /* what the client was told; 0: nothing */
	uint64_t body_bytes; /* of the answer, to the client */
	enum exchange_end end;
	enum http_fault fault;
	bool timed;            /* the line has times in it, or somebody may look: the following are kept */
	int64_t ended_at;      /* 0: not yet */
	int64_t connect_time;  /* ns; 0: there was no connect */
	int64_t asked_at;      /* a server was found for it */
	int64_t first_byte_at; /* of the answer came; 0: not yet */

	unsigned fields_room;              /* of each of these */
	struct http_field *request_fields; /* limits.headers at least, behind this struct */
	struct http_field *response_fields;
};

enum { EXCHANGE_MAGIC = 0x45584348 };

/*
 * NULL when memory is out. The connection's `in` moves to the exchange. The caller has begun a use of listener->lb (lb_begin_use), which exchange_free ends,
 * as does a failure.
 */
struct exchange *exchange_new(const struct lb_listener *listener, struct worker *w, struct conn *c);
void exchange_free(struct exchange *x);
/* The worker's list of free ones: worker.local. False when memory is out. */
bool exchange_store_init(struct worker *w);
void exchange_store_free(struct worker *w);
/* The worker's. */
struct request_ids *exchange_ids(const struct worker *w);

/* See above; head: its length at the front of x->in; it is parsed in x->request, as far as `fault` says. VERDICT_WAIT: call exchange_end once the server answers. VERDICT_LEAVE: on a loop. */
struct verdict exchange_head(struct exchange *x, size_t head, enum http_fault fault);
/* It was shelved, and goes on. */
struct verdict exchange_resume(struct exchange *x);
/* exchange_body and exchange_finish. */
struct verdict exchange_end(struct exchange *x);

/* Answers in the server's place and finishes. */
struct verdict exchange_refuse(struct exchange *x, int status, enum exchange_end end);
/* ... for a fault in the request's head, which is still in x->in. */
struct verdict exchange_refuse_fault(struct exchange *x, enum http_fault fault);

/*
 * Sends x->unsent to the client. A worker that has no time for one who does not read what he asked for leaves it to a loop: x->leaves, and the
 * rest is still in x->unsent. Otherwise 0 or -errno.
 */
int exchange_tell(struct exchange *x);
/* STAGE_REFUSAL: exchange_refuse goes on. */
struct verdict exchange_refuse_rest(struct exchange *x);

/* Sends the head of a request without a body. A kept connection that was closed under it is replaced where that is safe. False: x->end and x->status say how it ends. */
bool exchange_send(struct exchange *x);

/* Bytes of the request that came: its head, and its body or the client's share of a tunnel, with their framing. */
uint64_t exchange_bytes_in(const struct exchange *x);

/* Its answer is the connection's last: the program or the listener goes. */
bool exchange_is_last(const struct exchange *x);

/* The worker's retry budget for the exchange's upstream. */
struct retry_budget *exchange_budget(const struct exchange *x);

/*
 * For the board, and for who looks at the connection: its worker does this for it from now on. Since when was said where the worker began, woke up or took its turn: from there to
 * here is no wait, hence hardly any time, and a look at the clock is most of what a step costs.
 */
static inline void exchange_doing(const struct exchange *x, enum doing doing)
{
	conn_does(x->conn, board_word(doing, x->server ? x->server->label : LABEL_NONE, -1));
	board_next(x->worker->row, doing, x->server ? x->server->label : LABEL_NONE,
	        x->fd >= 0 ? x->fd : x->conn->fd);
}

static inline const struct lb_config_timeouts *exchange_timeouts(const struct exchange *x)
{
	return &x->lb->config->timeouts;
}

/* The client's request was read to its end: it is known where its next one begins. */
static inline bool exchange_request_is_over(const struct exchange *x)
{
	return x->request.size > 0 && (!x->has_body || x->up.state == FLOW_DONE);
}

/* Logs, gives the server's connection back, frees x, and says what becomes of the client's. */
struct verdict exchange_finish(struct exchange *x);

/* For tcp mode: a server was dialled with this end (enum dial_end); runs the tunnel to its end, or until it leaves. */
struct verdict exchange_tunnel_tcp(struct exchange *x, int dialled);
/* STAGE_TUNNEL begins: opaque bytes from now on (what each buffer still holds first). */
void exchange_tunnel_begin(struct exchange *x);
/* Moves them both ways until both are done. Leaves at once where the worker has no time for it. */
void exchange_tunnel(struct exchange *x);

#endif
