#include "ctl/web.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/desk.h"
#include "http/date.h"
#include "http/frame.h"
#include "http/head.h"
#include "http/reply.h"

enum { FIELDS_MAX = 100, HOST_NAME_BYTES = 256, ANSWER_HEAD_MAX = 1024, PATHS_BYTES = 256 };

#define SECURITY_FIELDS                                                                                      \
	"Cache-Control: no-store\r\n"                                                                        \
	"X-Content-Type-Options: nosniff\r\n"                                                                \
	"Referrer-Policy: no-referrer\r\n"                                                                   \
	"Cross-Origin-Resource-Policy: same-origin\r\n"                                                      \
	"Content-Security-Policy: default-src 'self'; base-uri 'none'; form-action 'none'; "                 \
	"frame-ancestors 'none'\r\n"

struct web {
	struct desk *desk;
	bool any_host;             /* it is at a Unix socket */
	char own[HOST_NAME_BYTES]; /* the machine's name; empty: none */
	char **hosts;
	size_t host_count;
	/* constant once started */
	const struct web_page *pages;
	void *arg;
	/* the thread's */
	struct http_field fields[FIELDS_MAX];
	struct http_date_cache date;
};

/* Who asks for what ------------------------------------------------------------------------------------------*/

/* Without its port and the brackets of an IPv6 address. */
static struct str without_port(struct str host)
{
	const char *colon = host.len > 0 ? memrchr(host.at, ':', host.len) : NULL;
	const char *bracket = host.len > 0 ? memrchr(host.at, ']', host.len) : NULL;

	if (bracket && host.at[0] == '[')
		return (struct str){host.at + 1, (size_t)(bracket - host.at) - 1};
	return colon ? (struct str){host.at, (size_t)(colon - host.at)} : host;
}

static bool is_address(struct str host)
{
	unsigned char bytes[16];
	char text[INET6_ADDRSTRLEN];

	if (host.len >= sizeof(text))
		return false;
	memcpy(text, host.at, host.len);
	text[host.len] = '\0';
	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool is_localhost(struct str host)
{
	struct str name = STR("localhost");

	if (host.len < name.len || !str_eq_nocase(str_from(host, host.len - name.len), name))
		return false;
	return host.len == name.len || host.at[host.len - name.len - 1] == '.'; /* RFC 6761 section 6.3 */
}

bool web_host_is_ours(struct str host, const char *own, const char *const *hosts, size_t count)
{
	struct str name = without_port(host);

	if (name.len > 1 && name.at[name.len - 1] == '.') /* the root of the DNS, written out */
		name.len--;
	if (name.len == 0)
		return false;
	if (is_address(name) || is_localhost(name) || str_eq_nocase(name, str_of(own)))
		return true;
	if (str_eq_nocase(name, (struct str){own, strcspn(own, ".")}))
		return true;
	for (size_t i = 0; i < count; i++)
		if (str_eq_nocase(name, str_of(hosts[i])))
			return true;
	return false;
}

static const struct web_page *find_page(const struct web *w, struct str path)
{
	const char *query = path.len > 0 ? memchr(path.at, '?', path.len) : NULL;

	if (query)
		path.len = (size_t)(query - path.at);
	for (const struct web_page *page = w->pages; page->path; page++)
		if (str_eq(path, str_of(page->path)))
			return page;
	return NULL;
}

/* Answers ----------------------------------------------------------------------------------------------------*/

static struct str date_now(struct web *w)
{
	return http_date_now(&w->date);
}

/* One that is no page. `used` bytes of the peer's are answered. */
static void refuse(struct web *w, struct desk_peer *p, size_t used, struct http_reply reply)
{
	char text[ANSWER_HEAD_MAX + PATHS_BYTES];

	reply.date = date_now(w);
	reply.extra = STR(SECURITY_FIELDS);
	p->leave |= reply.close;
	size_t len = http_reply_write(&reply, text, sizeof(text));
	char *out = malloc(len);
	if (out)
		memcpy(out, text, len);
	desk_answer(p, used, out, len);
}

static void refuse_unknown(struct web *w, struct desk_peer *p, size_t used, struct http_reply reply)
{
	char text[PATHS_BYTES];
	size_t len = (size_t)snprintf(text, sizeof(text), "there is no such page; there are:");

	for (const struct web_page *page = w->pages; page->path && len < sizeof(text); page++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %s", page->path);
	reply.status = 404;
	reply.text = str_of(text);
	refuse(w, p, used, reply);
}

/* The page's bytes, of malloc. NULL: it could not be made. */
static char *make_page(const struct web *w, const struct web_page *page, size_t *len)
{
	char *body = NULL;
	FILE *out = open_memstream(&body, len);

	if (!out)
		return NULL;
	bool made = page->write(w->arg, out);
	if (fclose(out) == 0 && made)
		return body;
	free(body);
	return NULL;
}

/* Its head and, but for HEAD, the body behind it, of malloc. NULL when memory is out. */
static char *make_answer(struct web *w, const struct web_page *page, struct str body,
        const struct http_reply *like, size_t *len)
{
	char head[ANSWER_HEAD_MAX];
	struct str date = date_now(w);
	size_t head_len = (size_t)snprintf(head, sizeof(head),
	        "HTTP/1.1 200 OK\r\nDate: %.*s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n" SECURITY_FIELDS
	        "Connection: %s\r\n\r\n",
	        STR_ARG(date), page->type, body.len, like->close ? "close" : "keep-alive");

	*len = head_len + (like->head ? 0 : body.len);
	char *out = malloc(*len);
	if (!out)
		return NULL;
	memcpy(out, head, head_len);
	if (*len > head_len)
		memcpy(out + head_len, body.at, body.len);
	return out;
}

static void answer_page(
        struct web *w, struct desk_peer *p, size_t used, const struct web_page *page, struct http_reply reply)
{
	size_t body_len = 0, len = 0;
	char *body = make_page(w, page, &body_len);

	if (!body) {
		reply.status = 500;
		reply.text = STR("the page could not be made, memory is out");
		refuse(w, p, used, reply);
		return;
	}
	char *out = make_answer(w, page, (struct str){body, body_len}, &reply, &len);
	free(body);
	p->leave |= reply.close;
	desk_answer(p, used, out, len);
}

/* Requests ---------------------------------------------------------------------------------------------------*/

/* `used` bytes of the peer's are its head. */
static void answer_request(struct web *w, struct desk_peer *p, const struct http_head *head, size_t used)
{
	struct http_framing framing;
	enum http_fault fault = http_request_framing(head, &framing);
	struct http_reply reply = {.head = str_eq(head->method, STR("HEAD")),
	        .close = !http_head_keeps_alive(head) || framing.kind != BODY_NONE};
	const struct web_page *page = find_page(w, head->path);

	if (fault != HTTP_OK) {
		reply.status = http_fault_status(fault);
		reply.close = true;
		refuse(w, p, used, reply);
	} else if (head->host.len == 0) {
		reply.status = 400;
		reply.text = STR("Host is missing");
		refuse(w, p, used, reply);
	} else if (!w->any_host &&
	           !web_host_is_ours(head->host, w->own, (const char *const *)w->hosts, w->host_count)) {
		reply.status = 421;
		reply.text = STR("this is no name of ours; ask by address, or add it to admin.hosts");
		refuse(w, p, used, reply);
	} else if (!page) {
		refuse_unknown(w, p, used, reply);
	} else if (!reply.head && !str_eq(head->method, STR("GET"))) {
		reply.status = 405;
		reply.allow = STR("GET, HEAD");
		refuse(w, p, used, reply);
	} else {
		answer_page(w, p, used, page, reply);
	}
}

/* The end of a connection whose bytes are no request. The head is what was read of it. */
static void refuse_fault(
        struct web *w, struct desk_peer *p, const struct http_head *head, enum http_fault fault)
{
	refuse(w, p, p->in_len,
	        (struct http_reply){.status = http_fault_status(fault),
	                .close = true,
	                .head = str_eq(head->method, STR("HEAD"))});
}

/* Answers the next whole request. False: there is none. */
static bool next_request(void *arg, struct desk_peer *p)
{
	struct web *w = arg;
	struct http_head head = {.room = FIELDS_MAX, .fields = w->fields};
	size_t empty = http_leading_crlf(p->in, p->in_len), scanned = 0;
	struct str bytes = {p->in + empty, p->in_len - empty};
	enum http_fault fault = HTTP_OK;

	if (bytes.len == 0)
		return false;
	size_t size = http_request_read(&head, bytes.at, bytes.len, &scanned, &fault);
	if (size == 0)
		fault = http_request_sniff(bytes.at, bytes.len);
	if (size == 0 && fault == HTTP_OK && p->in_len == WEB_HEAD_MAX)
		fault = HTTP_HEAD_TOO_LARGE;
	if (size == 0 && fault == HTTP_OK && p->ended)
		fault = HTTP_BAD_REQUEST_LINE;
	if (fault != HTTP_OK)
		refuse_fault(w, p, &head, fault);
	else if (size > 0)
		answer_request(w, p, &head, empty + size);
	return size > 0 || fault != HTTP_OK;
}

/* The whole of it ----------------------------------------------------------------------------------------------*/

static const struct desk_rules rules = {.places = WEB_CONNECTIONS,
        .room = WEB_HEAD_MAX,
        .patience = 30 * CLOCK_NS_PER_S,
        .next = next_request};

static void web_free(struct web *w)
{
	for (size_t i = 0; i < w->host_count; i++)
		free(w->hosts[i]);
	free(w->hosts);
	free(w);
}

/* False when memory is out. */
static bool copy_hosts(struct web *w, const char *const *hosts, size_t count)
{
	w->hosts = calloc(count + 1, sizeof(*w->hosts));
	for (size_t i = 0; w->hosts && i < count; i++) {
		w->hosts[i] = strdup(hosts[i]);
		if (!w->hosts[i])
			return false;
		w->host_count = i + 1;
	}
	return w->hosts != NULL;
}

struct web *web_open(int listener, const struct addr *at, bool file_stays, const char *const *hosts,
        size_t count, int *error)
{
	struct web *w = calloc(1, sizeof(*w));

	*error = ENOMEM;
	if (!w || !copy_hosts(w, hosts, count)) {
		close(listener);
		if (w)
			web_free(w);
		return NULL;
	}
	w->any_host = at->u.any.sa_family == AF_UNIX;
	if (gethostname(w->own, sizeof(w->own) - 1) != 0)
		w->own[0] = '\0';
	w->desk = desk_open(listener, at, file_stays, &rules, error);
	if (w->desk)
		return w;
	web_free(w);
	return NULL;
}

int web_start(struct web *w, const char *name, const struct web_page *pages, void *arg)
{
	w->pages = pages;
	w->arg = arg;
	return desk_start(w->desk, name, "web", w);
}

struct desk *web_desk(const struct web *w)
{
	return w ? w->desk : NULL;
}

void web_leave(struct web *w)
{
	if (!w)
		return;
	desk_leave(w->desk);
	web_free(w);
}

bool web_stop(struct web *w)
{
	if (!w)
		return true;
	if (!desk_stop(w->desk))
		return false;
	web_free(w);
	return true;
}
