#include "engine/service.h"

struct http_reply refusal_reply(enum refusal why)
{
	struct http_reply reply = {.status = 503, .close = true, .retry_after = 1};

	switch (why) {
	case REFUSAL_QUEUE_FULL:
		reply.text = STR("the queue is full");
		break;
	case REFUSAL_QUEUE_TIMEOUT:
		reply.text = STR("queued too long");
		break;
	case REFUSAL_LIMIT:
		reply.text = STR("too many connections");
		break;
	case REFUSAL_HEADER_TIMEOUT:
		reply.status = 408;
		reply.retry_after = 0;
		break;
	}
	return reply;
}
