/*
 * The pages of `admin.bind`, from the bytes that a client sends to the bytes that it gets. The first byte says in which pieces they go. The answers do not depend on that. Each is a whole
 * response by a second reading of RFC 9112 (strict.h), says what keeps browsers from lending it out, and is the last one where it says that it is. Only what is a GET or HEAD
 * of a page, without a body and under one of our names, gets the page; a connection that goes on has lost no byte.
 */
#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/web.h"
#include "fuzz.h"
#include "net/sock.h"
#include "strict.h"

enum { MOST = 3 * WEB_HEAD_MAX, PAGE_BYTES = 3000 };

static bool write_small(void *arg, FILE *out)
{
	(void)arg;
	fputs("small\n", out);
	return true;
}

static bool write_large(void *arg, FILE *out)
{
	(void)arg;
	for (unsigned i = 0; i < PAGE_BYTES; i++)
		putc('x', out);
	return true;
}

static bool write_none(void *arg, FILE *out)
{
	(void)arg;
	fputs("half of it", out);
	return false;
}

static const struct web_page pages[] = {
        {"/", "text/html; charset=utf-8", write_small},
        {"/large", "text/plain; charset=utf-8", write_large},
        {"/none", "text/plain; charset=utf-8", write_none},
        {NULL, NULL, NULL},
};

static char folder[] = "/tmp/tplb-fuzz-XXXXXX";
static struct addr at;

static void clean(void)
{
	unlink(at.u.un.sun_path);
	rmdir(folder);
}

/* At a Unix socket, which takes no port a run; it is told that it is another one, for there any Host will do. */
static void start(void)
{
	static const char *const hosts[] = {"lb.example"};
	char text[ADDR_TEXT_MAX];
	struct addr said;
	const char *why;
	int error;

	MUST(mkdtemp(folder) != NULL);
	snprintf(text, sizeof(text), "unix:%s/s", folder);
	MUST(addr_parse(text, true, &at, &why) && addr_parse("127.0.0.1:1", true, &said, &why));
	int listener = sock_listen(&at, WEB_BACKLOG);
	MUST(listener >= 0 && atexit(clean) == 0);
	struct web *w = web_open(listener, &said, false, hosts, 1, &error);
	MUST(w != NULL && web_start(w, "fuzz", pages, NULL) == 0);
}

/* All that it says to the bytes, in pieces of `piece`. libFuzzer looks for what hangs by SIGALRM, which interrupts whoever waits. */
static char *talk(struct str bytes, size_t piece, size_t *len)
{
	size_t room = 65536;
	char *text = malloc(room);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ssize_t n;

	*len = 0;
	MUST(text != NULL && fd >= 0);
	while (connect(fd, &at.u.any, at.len) != 0)
		MUST(errno == EINTR);
	while (bytes.len > 0) {
		size_t part = bytes.len < piece ? bytes.len : piece;

		n = send(fd, bytes.at, part, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			break; /* it has left */
		part = n < 0 ? 0 : (size_t)n;
		bytes = (struct str){bytes.at + part, bytes.len - part};
	}
	(void)shutdown(fd, SHUT_WR);
	while ((n = recv(fd, text + *len, room - *len, 0)) > 0 || (n < 0 && errno == EINTR)) {
		*len += n < 0 ? 0 : (size_t)n;
		if (room - *len < 65536)
			text = realloc(text, room *= 2);
		MUST(text != NULL);
	}
	MUST(n == 0);
	close(fd);
	return text;
}

static bool is_ours(struct str host)
{
	char text[WEB_HEAD_MAX], own[256], *end;

	snprintf(text, sizeof(text), "%.*s", STR_ARG(host));
	MUST(gethostname(own, sizeof(own)) == 0);
	if (text[strspn(text, "0123456789abcdefABCDEF.:[]")] == '\0')
		return true;
	if ((end = strrchr(text, ':')) != NULL)
		*end = '\0';
	if (text[0] && text[strlen(text) - 1] == '.')
		text[strlen(text) - 1] = '\0';
	for (end = text; end; end = strchr(end + 1, '.'))
		if (strcasecmp(end, ".localhost") == 0)
			return true;
	return strcasecmp(text, "localhost") == 0 || strcasecmp(text, "lb.example") == 0 ||
	       strcasecmp(text, own) == 0 || strncasecmp(text, own, strcspn(own, ".") + 1) == 0;
}

/* The request may have the page that it has got. */
static void check_page(const struct strict *asked, const struct strict *got)
{
	char room[WEB_HEAD_MAX + 2];
	struct str path = strict_path(asked, room);
	bool head = str_eq(asked->method, STR("HEAD"));

	path.len = strcspn(path.at, "? \r") < path.len ? strcspn(path.at, "? \r") : path.len;
	MUST(asked->head > 0 && (head || str_eq(asked->method, STR("GET"))));
	MUST(is_ours(strict_host(asked)));
	if (str_eq(path, STR("/")))
		MUST(got->length == 6 && (head || memcmp(got->body, "small\n", 6) == 0));
	else
		MUST(str_eq(path, STR("/large")) && got->length == PAGE_BYTES);
}

static void check_fields(const struct strict *got)
{
	static const char *const names[] = {
	        "Date", "Cache-Control", "X-Content-Type-Options", "Content-Security-Policy", "Content-Type"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		MUST(strict_find(got, names[i]) != NULL);
	MUST(got->kind == STRICT_LENGTH || got->kind == STRICT_NONE);
}

/* One request at the front of `bytes`, and its answer at the front of `said`. False: the connection ends there. */
static bool check_one(struct str *bytes, struct str *said)
{
	struct strict asked, got;
	enum strict_verdict verdict = strict_request(&asked, *bytes);
	bool to_head = str_eq(asked.method, STR("HEAD"));

	if (said->len == 0) {
		MUST(verdict == STRICT_MORE && bytes->len <= 2); /* nothing but an empty line */
		strict_free(&asked);
		return false;
	}
	enum strict_verdict read = strict_response(&got, *said, to_head, true);
	bool is_read = verdict == STRICT_WHOLE && asked.empty_lines <= 1;
	if (!is_read && (read != STRICT_WHOLE || got.size != said->len)) {
		strict_free(
		        &got); /* whether what is malformed, not whole, or behind two empty lines is a HEAD is a matter of opinion */
		read = strict_response(&got, *said, !to_head, true);
	}
	MUST(read == STRICT_WHOLE);
	check_fields(&got);
	if (got.status == 200)
		check_page(&asked, &got);
	else
		MUST(got.status >= 400 && got.status <= 505);
	bool goes_on = !strict_has_token(&got, "Connection", "close");
	MUST(!goes_on || (verdict == STRICT_WHOLE && asked.body_len == 0));
	*said = str_from(*said, got.size);
	*bytes = str_from(*bytes, goes_on ? asked.size : bytes->len);
	strict_free(&asked);
	strict_free(&got);
	return goes_on;
}

static void check(struct str bytes, struct str said)
{
	while (bytes.len > 0 && check_one(&bytes, &said))
		continue;
	MUST(said.len == 0);
}

/* Dates differ. */
static void mask_dates(char *text, size_t len)
{
	char *end = text + len;

	for (char *p = text; (p = memmem(p, (size_t)(end - p), "\r\nDate: ", 8)) != NULL;)
		for (p += 8; p < end && *p != '\r'; p++)
			*p = '-';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	size_t piece = input_byte(&in), len, whole_len;
	struct str bytes = input_bytes(&in, MOST);

	if (at.len == 0)
		start();
	char *copy = copy_of(bytes);
	char *said = talk(bytes, piece > 0 ? piece + bytes.len / 32 : MOST, &len);
	char *whole = piece > 0 ? talk(bytes, MOST, &whole_len) : NULL;
	check((struct str){copy, bytes.len}, (struct str){said, len});
	if (whole) {
		mask_dates(said, len);
		mask_dates(whole, whole_len);
		MUST(len == whole_len && memcmp(said, whole, len) == 0);
	}
	free(copy);
	free(said);
	free(whole);
	return 0;
}
