/*
 * A desk: one thread with one poll(2) that listens, and talks with a bounded number of peers. A peer says messages, of which each is answered whole before the next one is looked
 * at; so who does not read is not listened to. Who says many at once is answered in turn with the others. What the messages are is the owner's affair: the admin socket's lines
 * (ctl/admin.h), HTTP (ctl/web.h).
 *
 * Nobody is locked out: a further peer than there are places takes the place of the one that has been silent for longest, of those that wait for no answer if there are such.
 */
#ifndef TPLB_CTL_DESK_H
#define TPLB_CTL_DESK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"

/* One connection; the thread's alone. */
struct desk_peer {
	int fd;        /* -1: a free place */
	int64_t since; /* it came, or was given its last answer */
	char *in;      /* the desk's; as many bytes as the rules say */
	size_t in_len;
	char *out; /* of malloc: the answer that it has not taken yet; NULL: none */
	size_t out_len, out_sent;
	void *feed; /* the owner's: the answer goes on, by rules.more; NULL: what is in `out` is all of it */
	int64_t feed_at; /* with it: when more is asked for */
	bool ended;      /* it sends no more */
	bool goes_on;    /* it was answered, and may have said more than that */
	bool leave;      /* it is closed once it has its answer */
	bool lingers; /* it has it, and what it still sends is thrown away: unread, it would reset the connection and the answer with it */
};

struct desk_rules {
	unsigned places;  /* peers at once */
	size_t room;      /* bytes of a message at most */
	int64_t patience; /* ns: from one answer to the end of the next message; for taking an answer */
	const char *full; /* said to who gives up a place, unless amid an answer; NULL: nothing */
	/*
	 * Answers the message in front of p->in, if it is whole, with desk_answer. False: it is not whole yet. Called with p->out NULL; again, after the other peers, as long as it
	 * returns true, the answer is taken and p->leave is not set. When the buffer is full it must not return false.
	 */
	bool (*next)(void *arg, struct desk_peer *p);
	/*
	 * Of an answer that comes in pieces: `next` has set p->feed and p->feed_at. Gives another piece with desk_answer(p, 0, ...), once the one before was taken and it is time, and
	 * clears p->feed with the last one. gone: frees p->feed, for the peer has left. Both NULL where no answer does so.
	 */
	void (*more)(void *arg, struct desk_peer *p);
	void (*gone)(void *arg, struct desk_peer *p);
};

struct desk;

/*
 * At a socket that listens, non-blocking, the desk's from now on, also when it returns NULL: memory or descriptors are out, *error is an errno. at: its address, of which the socket
 * file is removed at the end, unless file_stays.
 */
struct desk *desk_open(
        int listener, const struct addr *at, bool file_stays, const struct desk_rules *rules, int *error);

/* Starts the thread, called "NAME-ROLE", which calls rules.next with arg. Returns 0 or an errno. */
int desk_start(struct desk *d, const char *name, const char *role, void *arg);

/* The first `used` bytes of p->in are answered by out[0, len), of malloc, the desk's from now on. NULL: there was no memory, and the peer is left. */
void desk_answer(struct desk_peer *p, size_t used, char *out, size_t len);

/* The socket, still the desk's: for who is to take it over. */
int desk_listener(const struct desk *d);
/*
 * false: another process has the socket: who is connected is answered still, nobody else is, and the file is left at the end. true: it is this one's again, or now. Any thread; also before
 * desk_start.
 */
void desk_keep(struct desk *d, bool keep);

/* For a process that has forked another one to serve: closes and frees what there is of it here, and leaves the socket file. Before desk_start. NULL is allowed. */
void desk_leave(struct desk *d);

/*
 * Removes the socket file unless another one is in its place, waits for a message that is being answered, for half a second at most, closes all connections and frees. False: it
 * is still being answered, and all is left as it is for the process's end. NULL is allowed.
 */
bool desk_stop(struct desk *d);

#endif
