/*
 * One direction of a message body or tunnel: from one socket to another, unframed and framed anew on the way, through
 * one buffer of constant size. A step never waits; pump.h drives one or two flows and waits for them.
 */
#ifndef TPLB_WIRE_FLOW_H
#define TPLB_WIRE_FLOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/frame.h"
#include "net/io.h"
#include "wire/pace.h"

enum flow_state {
	FLOW_OPEN,
	FLOW_DONE,          /* all was moved, the end included */
	FLOW_SOURCE_ENDED,  /* the stream ended within the body: truncated */
	FLOW_SOURCE_LOST,   /* reading failed: `error` */
	FLOW_SOURCE_SILENT, /* nothing came within source_timeout */
	FLOW_SINK_LOST,     /* writing failed: `error` */
	FLOW_SINK_STUCK,    /* nothing could be written within sink_timeout */
	FLOW_SOURCE_SLOW,   /* it came slower than source_pace */
	FLOW_SINK_SLOW,     /* it was taken slower than sink_pace */
	FLOW_BAD_FRAMING,   /* the chunked coding is broken */
	FLOW_TOO_LARGE      /* more than `limit` bytes of data */
};

struct flow {
	/* Set by flow_init, changed by the owner as told. */
	int from, to;
	struct buf *buf; /* received bytes; the owner's */
	struct buf *
	        more; /* if set: takes the place of buf once that is used up (buf may be small or precious) */
	size_t receive_max; /* bytes a receive, at most; 0: as the buffer has room */
	bool chunked;       /* the sink gets chunks */
	/* If set: bulk may go through a pipe in the kernel, without being copied (splice(2)), while so many are left; relaxed. The owner's. */
	_Atomic int *pipes;
	bool shut;              /* when done, the sink is shut down for writing (tunnels: half-close) */
	uint64_t limit;         /* of data; 0: none */
	int64_t source_timeout; /* ns; 0: none */
	int64_t sink_timeout;
	struct pace source_pace, sink_pace; /* how slow either side may be */
	bool expects; /* the source may wait for a word of ours: its pace counts from the first byte of the body on */
	struct str prefix; /* sent before the first data: the message's head */
	/* Read by the owner. */
	enum flow_state state;
	int error;
	struct http_body_reader reader;
	uint64_t sent; /* bytes that went to the sink, framing included */
	uint64_t received;
	/* The flow's own. */
	struct str data; /* of buf: decoded and not yet sent */
	struct str chunk_head;
	struct str suffix;
	char chunk_head_text[HTTP_CHUNK_HEAD_MAX];
	int pipe[2];  /* -1: none; otherwise one less in *pipes */
	size_t piped; /* bytes in it */
	bool started;
	bool drained;     /* the last receive took all there was: wait before the next */
	bool end_framed;  /* the last chunk is on its way */
	int64_t progress; /* when something last moved */
};

/*
 * Bytes already in buf are the body's first. line_limit: see http_body_reader_init. Set the options after it, before the first
 * step.
 */
void flow_init(
        struct flow *f, int from, int to, struct buf *buf, struct http_framing framing, unsigned line_limit);

/*
 * Moves what can be moved without waiting. True: more can be moved at once (it stopped to let another have a turn).
 * Otherwise *wait says what to wait for, unless the state is no longer FLOW_OPEN.
 */
bool flow_step(struct flow *f, struct io *io, struct pollfd *wait);

/* Frees what the flow holds. May be called on a flow that is all zero. */
void flow_close(struct flow *f);

/* When the flow's wait is over, given what it waits for. */
int64_t flow_deadline(const struct flow *f, const struct pollfd *wait);

/* The deadline has passed, at time now. Ends the flow for what it waited for, unless that keeps its pace: then it has a new deadline. */
void flow_expire(struct flow *f, const struct pollfd *wait, int64_t now);

#endif
