#include "origin/pages.h"

#include <stdio.h>

#include "base/assert.h"
#include "origin/answer.h"
#include "origin/experiments.h"
#include "origin/files.h"
#include "origin/path.h"

/* The original experiment's greeting: 31 bytes. */
#define GREETING "Ini Adalah web Server percobaan"

static const struct str html = {"text/html", sizeof("text/html") - 1};

/* The same fields in the same order as answer_start gives, but written once. */
static void prepare(struct origin_page *page, bool close)
{
	static const char before[] = "HTTP/1.1 200 OK\r\n" ANSWER_SERVER "Date: ";
	int n = snprintf(page->bytes, sizeof(page->bytes),
	        "%s%*s\r\nContent-Type: text/html\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n%s", before,
	        HTTP_DATE_LEN, "", sizeof(GREETING) - 1, close ? "close" : "keep-alive", GREETING);

	MUST(n > 0 && (size_t)n < sizeof(page->bytes));
	page->len = (size_t)n;
	page->date = sizeof(before) - 1;
}

void pages_prepare(struct origin_worker *own)
{
	own->greeting_at = -1;
	prepare(&own->greeting[0], false);
	prepare(&own->greeting[1], true);
}

static void page_greeting(struct request *r, struct str rest)
{
	struct origin_worker *own = r->worker->local;
	struct origin_page *page = &own->greeting[r->close];
	struct str date = http_date_now(&r->worker->date);

	(void)rest;
	if (own->greeting_at != r->worker->date.when) {
		for (int i = 0; i < 2; i++)
			memcpy(own->greeting[i].bytes + own->greeting[i].date, date.at, date.len);
		own->greeting_at = r->worker->date.when;
	}
	size_t body = r->is_head ? sizeof(GREETING) - 1 : 0;
	answer_ready(r, 200, (struct str){page->bytes, page->len - body});
}

static void page_santai(struct request *r, struct str rest)
{
	(void)rest;
	answer_bytes(r, 200, html, STR("santai saja"), STR(""));
}

static void page_video(struct request *r, struct str rest)
{
	(void)rest;
	answer_text(r, 302, STR(""), STR("Location: /santai\r\n"));
}

static const struct route {
	struct str path;
	bool prefix; /* something follows it */
	bool post;   /* POST is allowed, and the handler reads the body; otherwise it is gone before */
	void (*answer)(struct request *r, struct str rest);
} routes[] = {
        {STR("/"), false, false, page_greeting},
        {STR("/santai"), false, false, page_santai},
        {STR("/video"), false, false, page_video},
        {STR("/count"), false, false, experiments_count},
        {STR("/echo"), false, true, experiments_echo},
        {STR("/close"), false, false, experiments_close},
        {STR("/close/"), true, false, experiments_close},
        {STR("/bytes/"), true, false, experiments_bytes},
        {STR("/chunked/"), true, false, experiments_chunked},
        {STR("/delay/"), true, false, experiments_delay},
        {STR("/status/"), true, false, experiments_status},
};

static const struct route files = {.post = false, .answer = files_answer};

/* The route for a path, and what follows the route's own; everything else may be a file. */
static const struct route *find_route(struct str path, struct str *rest)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct route *route = &routes[i];
		size_t len = route->path.len;

		*rest = (struct str){path.at + len, path.len - len};
		if (route->prefix && path.len > len && memcmp(path.at, route->path.at, len) == 0)
			return route;
		if (!route->prefix && str_eq(path, route->path))
			return route;
	}
	*rest = path;
	return &files;
}

static struct str allowed_by(const struct route *route)
{
	return route->post ? STR("GET, HEAD, POST, OPTIONS") : STR("GET, HEAD, OPTIONS");
}

static void answer_options(struct request *r, struct str allow)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "Allow: %.*s\r\n", STR_ARG(allow));
	struct answer a = {.status = 204, .framing = ANSWER_NONE, .extra = {line, (size_t)n}};

	answer_start(r, &a, NULL, 0);
}

static void answer_route(struct request *r, const struct route *route, struct str rest)
{
	struct str method = r->head.method;
	bool get = r->is_head || str_eq(method, STR("GET"));
	bool post = route->post && str_eq(method, STR("POST"));

	if (!((get || post) && route->post) && !request_discard(r))
		return;
	if (get || post)
		route->answer(r, rest);
	else if (str_eq(method, STR("OPTIONS")))
		answer_options(r, allowed_by(route));
	else
		answer_not_allowed(r, allowed_by(route));
}

static void answer_bad_path(struct request *r, enum path_verdict verdict)
{
	if (!request_discard(r))
		return;
	if (verdict == PATH_REFUSED)
		answer_text(r, 404, STR(""), STR(""));
	else if (verdict == PATH_LONG)
		answer_text(r, 414, STR(""), STR(""));
	else
		answer_text(r, 400, STR("bad percent-encoding"), STR(""));
}

void pages_answer(struct request *r)
{
	char room[PATH_ROOM];
	struct str path = r->path;
	struct str rest;

	if (path.len > 1) { /* "/" and "*" are as they are */
		enum path_verdict verdict = path_decode(r->path, room, &path);

		if (verdict != PATH_OK) {
			answer_bad_path(r, verdict);
			return;
		}
	}
	if (r->head.form == TARGET_ASTERISK || str_eq(path, STR("*"))) {
		if (request_discard(r))
			answer_options(r, STR("GET, HEAD, POST, OPTIONS"));
		return;
	}
	const struct route *route = find_route(path, &rest);
	answer_route(r, route, rest);
}
