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

const char *refusal_word(enum refusal why)
{
	static const char *const words[] = {
	        [REFUSAL_QUEUE_FULL] = "queue_full",
	        [REFUSAL_QUEUE_TIMEOUT] = "queue_timeout",
	        [REFUSAL_LIMIT] = "limit",
	        [REFUSAL_HEADER_TIMEOUT] = "header_timeout",
	        [REFUSAL_SHED] = "shed",
	        [REFUSAL_DRAINING] = "draining",
	        [REFUSAL_CLIENT] = "client_connections",
	        [REFUSAL_NO_MEMORY] = "no_memory",
	};

	return words[why];
}
