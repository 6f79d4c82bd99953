/*
 * The world around a relay: clients and servers at the other ends of socket pairs, which do what a script (a fuzzer's input) says, one step at a time
 * and only when the relay has nothing to do or waits; time passes when nobody can do anything. So a run is the same each time, and takes
 * no time. The relay's I/O contract is a driver of this world's.
 */
#ifndef TPLB_TEST_WORLD_H
#define TPLB_TEST_WORLD_H

#include "fuzz.h"
#include "net/io.h"

enum { CLIENTS_MAX = 3, SERVERS = 2, LINKS_MAX = 64, ANSWERS_MAX = 256, FIRST_PORT = 9000 };

/* Bytes that grow. */
struct bytes {
	char *at;
	size_t len, room;
};

void bytes_add(struct bytes *b, struct str s);
void bytes_printf(struct bytes *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline struct str bytes_str(const struct bytes *b)
{
	return (struct str){b->len > 0 ? b->at : "", b->len};
}

/* One of the two ends of a connection that is not the relay's. */
struct peer {
	int fd; /* -1: closed */
	struct bytes outbox;
	size_t sent; /* of the outbox */
	struct bytes got;
	bool ended;    /* the relay sends no more */
	bool finished; /* this side sends no more */
	bool first;    /* and said so before the relay did */
	bool deaf;     /* does not read for now */
};

struct client {
	struct peer peer;
	int relay_fd;      /* the relay's end; for the engine to close */
	unsigned requests; /* composed so far: the next one's tag */
	bool reset;        /* the relay ended the connection with a reset */
};

/* How a server answers. */
struct plan {
	unsigned status;
	enum plan_framing {
		BY_LENGTH,
		BY_CHUNKS,
		BY_END,
		BY_BOTH,
		BY_BAD_LENGTH,
		BY_BAD_CHUNK,
		FRAMINGS
	} framing;
	unsigned size, chunk, interims;
	bool http10, says_close, early, stray;
	enum { CUT_NOT, CUT_CLOSE, CUT_RESET, CUT_SILENT, CUTS } cut;
	unsigned cut_at;  /* bytes, from the start of its final head */
	unsigned segment; /* bytes a send; 0: all */
};

/* What a server has answered, or began to. */
struct answer {
	struct str tag; /* of the request: in the link's `got` as it was then, hence a copy */
	char tag_text[16];
	struct plan plan;
	bool to_head;
	unsigned link;
	size_t body;   /* bytes of the body that are sent, the cut regarded */
	size_t end;    /* of the link's outbox: where it is whole */
	bool is_whole; /* it is not cut */
	bool taken;    /* a client got it */
};

/* A connection to a server. */
struct link {
	struct peer peer;
	unsigned server;
	size_t parsed;    /* of peer.got: requests that are over */
	unsigned quiet;   /* steps in a row in which nothing came */
	bool answered;    /* the one that begins there */
	bool opaque;      /* after a 101 */
	size_t opaque_at; /* in peer.got */
	struct plan plan; /* of the answer that is being sent */
	size_t close_at;  /* of the outbox: what comes then is plan.cut; SIZE_MAX: nothing */
	size_t stray_at; /* of the outbox: where bytes that nobody asked for begin; SIZE_MAX: there are none */
};

struct world {
	struct io io; /* first: what the relay is given */
	struct input script;
	unsigned client_count, link_count, answer_count;
	struct client clients[CLIENTS_MAX];
	struct link links[LINKS_MAX];
	struct answer answers[ANSWERS_MAX];
	struct plan plans[ANSWERS_MAX]; /* to come */
	unsigned plan_first, plan_last;
	bool refuses[SERVERS];
	size_t limit;            /* bytes a transfer of the relay's; 0: none */
	bool busy;               /* the world takes a step before each transfer */
	bool amid;               /* such a step is being taken: the relay may be about to send */
	bool swaps;              /* an empty buffer comes back as another one */
	bool plain;              /* nothing happened that could keep an answer from a client */
	bool is_over;            /* the clients have sent all, and said so */
	unsigned opened, closed; /* connections to servers, by the relay */
	unsigned long waits;
};

/* For server k of the relay: port FIRST_PORT + k. */
void world_open(struct world *w, struct str input);
void world_close(struct world *w);

/* All that was said, to standard error. */
void world_print(const struct world *w);

/* The next step. False: nothing will happen any more but time. */
bool world_step(struct world *w);

/* script.c: what the next bytes of the script say. */
void script_step(struct world *w);

/* The byte of a body at this place, for a body with this number. */
static inline char body_byte(unsigned id, size_t at)
{
	return (char)('a' + (id * 7 + at) % 26);
}

/* Moves what can be moved at once; false: nothing. */
bool peer_send(struct peer *p, size_t most);
bool peer_receive(struct peer *p);
void peer_finish(struct peer *p);
void peer_close(struct peer *p);

/* servers.c: reads requests, sends answers; false: nothing moved. */
bool link_step(struct world *w, struct link *l);
/* A whole answer that nobody asked for, if the relay can tell: all that it sent before was answered, and it is not about to send more. */
void link_unasked(struct world *w, struct link *l);

/* verdict.c: what the servers saw and the clients got is right. */
void world_check(struct world *w);

#endif
