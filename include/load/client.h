/* One connection of a run, and what all of them share. All of it belongs to the loop's thread. */
#ifndef TPLB_LOAD_CLIENT_H
#define TPLB_LOAD_CLIENT_H

#include "base/buf.h"
#include "http/head.h"
#include "load/options.h"
#include "load/result.h"
#include "load/schedule.h"
#include "net/loop.h"

enum { LOAD_BUFFER = 16 * 1024, LOAD_FIELDS = 100 };

struct load_run {
	struct loop loop;
	const struct load_options *options;
	struct addr to;
	struct str request;                    /* its bytes */
	struct http_field fields[LOAD_FIELDS]; /* of the head that is being looked at */
	struct load_result *result;
	bool started;
	unsigned preparing;       /* clients that have not tried to connect yet */
	int64_t prepared_by;      /* start at the latest */
	struct schedule schedule; /* once started; in a closed loop its start and end alone */
	int64_t last;             /* once started: when nothing is waited for any longer */
	int64_t heard;            /* when the last request was over */
	struct load_client *clients;
	struct load_client *idle, **idle_last; /* the one that has been idle for longest first */
	unsigned live;                         /* clients that run */
	int refused;                           /* -errno: a connect failed while none had ever succeeded */
};

struct load_client {
	struct load_run *run;
	int fd; /* -1: none */
	struct buf *in;
	struct loop_wait wait; /* among the idle */
	struct load_client *next;
	bool given;        /* woken for the request that was due at `due`; else the run is over, or starts */
	bool busy;         /* with a request */
	int64_t due, sent; /* of the request; sent 0: not yet */
	int64_t give_up;   /* its deadline */
	int status;        /* of its answer */
	uint64_t answered;
};

/* A fiber: arg is a struct load_client whose run, fd and in are set. */
void load_client_run(void *arg);

static inline bool load_is_open(const struct load_run *run)
{
	return run->options->rate > 0;
}

#endif
