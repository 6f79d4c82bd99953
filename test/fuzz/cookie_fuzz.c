/*
 * Sticky sessions: the input is the value of one or, split at line ends, several Cookie fields. Whom it names is who a plain reading of RFC 6265
 * finds; and the cookie that an answer sets leads back to its server, whatever cookies stand before it.
 */
#include "lb/forward.h"
#include "lb/sticky.h"
#include "made_up_lb.h"

static const char config[] =
        "listeners = ( { bind = \"127.0.0.1:8080\"; upstream = \"o\"; } );"
        "upstreams = ( { name = \"o\"; sticky = { cookie = \"S\"; };"
        "  servers = ( { address = \"127.0.0.1:9000\"; }, { address = \"127.0.0.1:9001\"; } ); } );";

/* The value of the first pair called S; false: there is none. */
static bool find(const char *pairs, char *value)
{
	char *copy = strdup(pairs), *rest = copy, *pair;
	bool found = false;

	MUST(copy != NULL);
	while (!found && (pair = strsep(&rest, ";")) != NULL) {
		pair += strspn(pair, " \t");
		if (pair[0] != 'S' || pair[1] != '=')
			continue;
		strcpy(value, pair + 2);
		while (*value && strchr(" \t", value[strlen(value) - 1]))
			value[strlen(value) - 1] = '\0';
		found = true;
	}
	free(copy);
	return found;
}

static void parse(struct exchange *x, const char *head)
{
	buf_clear(x->in);
	MUST(buf_add_str(x->in, str_of(head)));
	MUST(http_request_parse(&x->request, buf_head(x->in), buf_len(x->in)) == HTTP_OK);
}

/* The server that a plain reading finds in the fields of the request. */
static struct server *expected(const struct exchange *x, char *value)
{
	const struct upstream *u = x->listener->upstream;
	char text[32];

	for (unsigned i = 0; i < x->request.count; i++) {
		char *pairs = strndup(x->request.fields[i].value.at, x->request.fields[i].value.len);
		bool found = str_eq(x->request.fields[i].name, STR("Cookie")) && find(pairs, value);

		free(pairs);
		for (unsigned k = 0; found && k < u->count; k++) {
			snprintf(text, sizeof(text), "%016llx", (unsigned long long)u->servers[k].id);
			if (strcmp(text, value) == 0)
				return &u->servers[k];
		}
		if (found)
			return NULL;
	}
	return NULL;
}

/* A client keeps what it was told and says it behind its other cookies. */
static void check_round_trip(struct exchange *x, const char *others, char *head, size_t room)
{
	char cookie[STICKY_COOKIE_MAX], value[STICKY_COOKIE_MAX];

	for (unsigned k = 0; k < x->listener->upstream->count; k++) {
		x->sticky = NULL;
		x->server = &x->listener->upstream->servers[k];
		size_t len = sticky_cookie(x, cookie);
		MUST(len > 0);
		snprintf(value, sizeof(value), "%.*s", (int)len, cookie);
		value[strcspn(value, ";")] = '\0';
		snprintf(head, room, "GET / HTTP/1.1\r\nHost: h\r\nCookie: %s; %s\r\n\r\n", others, value);
		parse(x, head);
		MUST(sticky_server(x) == x->server);
		x->sticky = x->server;
		MUST(sticky_cookie(x, cookie) == 0); /* the client has it already */
	}
	x->server = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { MOST = 2048, HEAD = 4 * MOST, FIELDS = 64 };
	static struct made_up_lb lb;
	static char head[HEAD], others[MOST + 1], value[HEAD];
	unsigned fields = 1;
	size_t n = 0;

	if (!lb.lb)
		made_up_lb_open(&lb, config);
	if (size > MOST)
		return -1;
	n += (size_t)snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: h\r\nCookie: ");
	for (size_t i = 0; i < size; i++) {
		bool is_text = data[i] >= ' ' && data[i] != 127;

		others[i] = is_text ? (char)data[i] : '.';
		if (data[i] == '\n' && fields++ < FIELDS)
			n += (size_t)snprintf(head + n, sizeof(head) - n, "\r\nCookie: ");
		else
			head[n++] = others[i];
	}
	others[size] = '\0';
	snprintf(head + n, sizeof(head) - n, "\r\n\r\n");
	struct exchange *x = made_up_exchange(&lb, STR(""));
	parse(x, head);
	MUST(sticky_server(x) == expected(x, value));
	if (!find(others, value))
		check_round_trip(x, others, head, sizeof(head));
	exchange_free(x);
	return 0;
}
