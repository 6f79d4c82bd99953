/*
 * How fast a request's head goes from bytes to parsed: what the relay does with it, the leading empty line, the end of the head, and the parse. Beside it, in
 * the same rounds, picohttpparser (K. Oku and others, github.com/h2o/picohttpparser), where a shared library of it is named.
 *
 *     head_bench [PEER.so]         medians over interleaved rounds
 *     head_bench -n TIMES [LOAD]   that many heads and no clock, for callgrind
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http/head.h"

enum { ROUNDS = 201, FIELDS = 100, VARIANTS = 64, HEAD_MAX = 2048 };

static const int64_t round_ns = 1000000;

/* As in picohttpparser.h. */
struct phr_header {
	const char *name;
	size_t name_len;
	const char *value;
	size_t value_len;
};
typedef int peer_parse(const char *buf, size_t len, const char **method, size_t *method_len,
        const char **path, size_t *path_len, int *minor_version, struct phr_header *headers,
        size_t *num_headers, size_t last_len);

struct load {
	const char *name;
	unsigned count;
	struct {
		size_t len;
		char bytes[HEAD_MAX];
	} heads[VARIANTS];
};

static struct load loads[4];

static void die(const char *what)
{
	fprintf(stderr, "head_bench: %s\n", what);
	exit(1);
}

/* Adds the form with the path in place of "<" and the cookie in place of ">". */
static void load_add(struct load *load, const char *form, const char *path, const char *cookie)
{
	char *out = load->heads[load->count].bytes;
	size_t len = 0;

	for (; *form != '\0'; form++) {
		const char one[] = {*form, '\0'}, *part = *form == '<' ? path : *form == '>' ? cookie : one;
		size_t n = strlen(part);

		if (len + n > HEAD_MAX)
			die("a head is too long");
		memcpy(out + len, part, n);
		len += n;
	}
	load->heads[load->count++].len = len;
}

static const char curl[] = "GET /< HTTP/1.1\r\n"
                           "Host: 127.0.0.1:8080\r\n"
                           "User-Agent: curl/7.88.1\r\n"
                           "Accept: */*\r\n"
                           "\r\n";
static const char browser[] =
        "GET /< HTTP/1.1\r\n"
        "Host: shop.example.org\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
        "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
        "Accept-Encoding: gzip, deflate\r\n"
        "Referer: http://shop.example.org/shoes/running?page=2\r\n"
        "Connection: keep-alive\r\n"
        "Cookie: >\r\n"
        "Upgrade-Insecure-Requests: 1\r\n"
        "\r\n";
static const char chromium[] =
        "GET /< HTTP/1.1\r\n"
        "Host: news.example.org\r\n"
        "Connection: keep-alive\r\n"
        "Cache-Control: max-age=0\r\n"
        "sec-ch-ua: \"Chromium\";v=\"126\", \"Not)A;Brand\";v=\"24\"\r\n"
        "sec-ch-ua-mobile: ?0\r\n"
        "sec-ch-ua-platform: \"Linux\"\r\n"
        "Upgrade-Insecure-Requests: 1\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
        "Safari/537.36\r\n"
        "Accept: "
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n"
        "Sec-Fetch-Site: same-origin\r\n"
        "Sec-Fetch-Mode: navigate\r\n"
        "Sec-Fetch-User: ?1\r\n"
        "Sec-Fetch-Dest: document\r\n"
        "Referer: https://news.example.org/2024/07/\r\n"
        "Accept-Encoding: gzip, deflate, br, zstd\r\n"
        "Accept-Language: en-GB,en;q=0.9\r\n"
        "Cookie: >\r\n"
        "\r\n";

/* The last load is the browser's with paths and cookies of all lengths: one head again and again is what branch predictors learn by heart. */
static void fill_loads(void)
{
	static const char path[] =
	        "shoes/running/trail-47-grey?size=44&colour=grey&sort=price&from=listing&page=3&view=grid";
	static const char cookie[] =
	        "session=5f2c8a1e9b7d4f60; consent=1; theme=dark; cart=3fa4; seen=1042,1187,1188,2003; "
	        "visit=1720166400.4.1.1720170000; ab=b7; lang=en; currency=EUR; last=trail-47-grey";
	char some_path[sizeof(path)], some_cookie[sizeof(cookie)], long_cookie[512];

	loads[0].name = "curl, one head";
	load_add(&loads[0], curl, "index.html", "");
	loads[1].name = "browser, one head";
	snprintf(some_cookie, sizeof(some_cookie), "%.65s", cookie);
	load_add(&loads[1], browser, "shoes/running/trail-47-grey?size=44", some_cookie);
	loads[2].name = "browser with client hints and long cookies, one head";
	snprintf(long_cookie, sizeof(long_cookie), "%s; %s", cookie, cookie);
	load_add(&loads[2], chromium, "2024/07/05/a-story-of-some-length.html", long_cookie);
	loads[3].name = "browser, 64 different heads";
	for (unsigned i = 0; i < VARIANTS; i++) {
		snprintf(some_path, sizeof(some_path), "%.*s", (int)(3 + i * 37 % 60), path);
		snprintf(some_cookie, sizeof(some_cookie), "%.*s", (int)(10 + i * 53 % 110), cookie);
		load_add(&loads[3], browser, some_path, some_cookie);
	}
}

/* Bytes parsed so far: keeps the compiler from leaving out what nobody looks at, and adds up what the rate is made of. */
static uint64_t bytes_parsed;

static void run_ours(const struct load *load, long times)
{
	static struct http_field fields[FIELDS];
	struct http_head head = {.room = FIELDS, .fields = fields};

	for (long i = 0; i < times; i++) {
		const char *at = load->heads[i % load->count].bytes;
		size_t len = load->heads[i % load->count].len, scanned = 0;

		if (http_leading_crlf(at, len) != 0)
			die("a head begins with an empty line");
		enum http_fault fault;
		if (http_request_read(&head, at, len, &scanned, &fault) != len || fault != HTTP_OK)
			die("a head is refused");
		bytes_parsed += head.size;
	}
}

static peer_parse *peer;

static void run_peer(const struct load *load, long times)
{
	static struct phr_header headers[FIELDS];

	for (long i = 0; i < times; i++) {
		const char *at = load->heads[i % load->count].bytes, *method, *path;
		size_t len = load->heads[i % load->count].len, method_len, path_len, count = FIELDS;
		int minor;

		if (peer(at, len, &method, &method_len, &path, &path_len, &minor, headers, &count, 0) !=
		        (int)len)
			die("the peer refuses a head");
		bytes_parsed += len;
	}
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Processor time in ns a byte. */
static double measure(void (*run)(const struct load *load, long times), const struct load *load, long times)
{
	uint64_t before = bytes_parsed;
	int64_t start = now();

	run(load, times);
	return (double)(now() - start) / (double)(bytes_parsed - before);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double values[ROUNDS])
{
	qsort(values, ROUNDS, sizeof(values[0]), compare);
	return values[ROUNDS / 2];
}

static double mean_len(const struct load *load)
{
	size_t sum = 0;

	for (unsigned i = 0; i < load->count; i++)
		sum += load->heads[i].len;
	return (double)sum / load->count;
}

static void compare_on(const struct load *load)
{
	double ours[ROUNDS], theirs[ROUNDS], ratio[ROUNDS];
	double len = mean_len(load);
	/* As many heads as take about round_ns; the first run warms everything up. */
	measure(run_ours, load, 1000);
	long times = (long)((double)round_ns / (measure(run_ours, load, 1000) * len)) + 1;

	for (int i = 0; i < ROUNDS; i++) {
		ours[i] = measure(run_ours, load, times);
		if (peer) {
			theirs[i] = measure(run_peer, load, times);
			ratio[i] = theirs[i] / ours[i];
		}
	}
	double mine = median(ours);
	printf("%s, %.0f bytes: %.0f ns a head (best %.0f), %.2f GB/s", load->name, len, mine * len,
	        ours[0] * len, 1 / mine);
	if (peer) {
		double other = median(theirs), middle = median(ratio);

		printf("; peer %.0f ns (best %.0f), %.2f GB/s; %.2f times the peer's rate (%.2f to %.2f)",
		        other * len, theirs[0] * len, 1 / other, middle, ratio[ROUNDS / 10],
		        ratio[ROUNDS - 1 - ROUNDS / 10]);
	}
	printf("\n");
}

static void load_peer(const char *path)
{
	void *library = dlopen(path, RTLD_NOW);

	if (!library)
		die(dlerror());
	*(void **)&peer = dlsym(library, "phr_parse_request");
	if (!peer)
		die("the library has no phr_parse_request");
}

int main(int argc, char **argv)
{
	fill_loads();
	if (argc >= 3 && strcmp(argv[1], "-n") == 0) {
		unsigned which = argc > 3 ? (unsigned)atoi(argv[3]) : 1;

		if (which >= sizeof(loads) / sizeof(loads[0]))
			die("there is no such load");
		run_ours(&loads[which], atol(argv[2]));
		return 0;
	}
	if (argc > 1 && argv[1][0] != '\0')
		load_peer(argv[1]);
	for (unsigned i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
		compare_on(&loads[i]);
	return 0;
}
