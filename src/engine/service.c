#include "engine/service.h"

struct http_reply refusal_reply(enum refusal why)
{
	struct http_reply reply = {.status = 503, .close = true, .retry_after = 1};

	switch (why) {
	case REFUSAL_QUEUE_FULL:
		reply.text = STR("Service Unavailable: the queue is full (queue_full)");
		break;
	case REFUSAL_QUEUE_TIMEOUT:
		reply.text = STR("Service Unavailable: no worker was free in time (queue_timeout)");
		break;
	case REFUSAL_LIMIT:
		reply.text = STR("Service Unavailable: too many connections (limit)");
		break;
	case REFUSAL_HEADER_TIMEOUT:
		reply.status = 408;
		reply.retry_after = 0;
		reply.text = STR(
		        "Request Timeout: the head of the request was not sent in time (header_timeout)");
		break;
	case REFUSAL_SHED:
		reply.text = STR("Service Unavailable: more requests come than can be served (shed)");
		break;
	case REFUSAL_DRAINING:
		reply.text = STR("Service Unavailable: the server is about to stop (draining)");
		break;
	case REFUSAL_CLIENT: /* its own doing, and no fault of the service */
		reply.status = 429;
		reply.text = STR("Too Many Requests: too many connections at once (client_connections)");
		break;
	case REFUSAL_NO_MEMORY:
		reply.text = STR("Service Unavailable: out of memory (no_memory)");
		break;
	}
	return reply;
}

static const struct {
	const char *word, *help;
} refusals[REFUSAL_COUNT] = {
        [REFUSAL_QUEUE_FULL] = {"queue_full", "more than queue.size waited"},
        [REFUSAL_QUEUE_TIMEOUT] = {"queue_timeout", "waited for queue.timeout"},
        [REFUSAL_LIMIT] = {"limit", "limits.connections are open, and none of them is idle"},
        [REFUSAL_HEADER_TIMEOUT] = {"header_timeout",
                "the head did not come within timeouts.request_header; for a missing PROXY protocol header "
                "there is no answer"},
        [REFUSAL_SHED] = {"shed", "waited for queue.target while the queue stood, with discipline codel"},
        [REFUSAL_DRAINING] = {"draining", "was in the queue still when timeouts.drain was over"},
        [REFUSAL_CLIENT] = {"client_connections",
                "the client has limits.connections_per_client open already"},
        [REFUSAL_NO_MEMORY] = {"no_memory", "memory was out"},
};

const char *refusal_word(enum refusal why)
{
	return refusals[why].word;
}

const char *refusal_help(enum refusal why)
{
	return refusals[why].help;
}
