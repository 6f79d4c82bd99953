#include "lb/access.h"

#include "lb/log_format.h"

/*
 * Where a line is made for which the ring has no room in one piece, a thread's own: on a fiber's stack it would be two pages more of each, and cold. Nothing waits while it is
 * in use.
 */
static _Thread_local char line[LOG_FORMAT_LINE_MAX];

static void write_line(struct log_ring *log, const struct log_format *format, const struct log_record *r)
{
	char *room = log_access_room(log, LOG_FORMAT_LINE_MAX);
	size_t len = log_format_write(format, r, room ? room : line);

	if (room)
		log_access_made(log, len);
	else
		(void)log_access(log, (struct str){line, len}); /* the log counts what it loses */
}

void access_log(struct exchange *x)
{
	if (!x->worker->log)
		return;
	if (x->lb->format->has_id)
		(void)request_id(x);
	const struct log_record r = {.x = x,
	        .c = x->conn,
	        .status = x->status,
	        .bytes = x->body_bytes,
	        .end = x->end == END_REFUSED ? http_fault_word(x->fault) : end_kinds[x->end].word};
	write_line(x->worker->log, x->lb->format, &r);
}

void access_log_refusal(const struct log_format *format, struct log_ring *log, const struct conn *c,
        const struct http_reply *reply, const char *why)
{
	if (!log)
		return;
	const struct log_record r = {.c = c,
	        .status = reply ? reply->status : 0,
	        .bytes = reply ? http_reply_body_len(reply) : 0,
	        .end = why};
	write_line(log, format, &r);
}
