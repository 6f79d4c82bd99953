/*
 * The framing of a body. The first byte says how the rest is split and how long a line may be. What comes out does not depend on the splits,
 * and is what a strict reader finds there; the bytes behind the body stay where they are.
 */
#include "fuzz.h"
#include "http/frame.h"
#include "strict.h"

enum { LINE_MAX_BYTES = 64, LENGTH = 100 };

struct result {
	enum http_fault fault;
	bool done;
	size_t used, data_len;
	char *data; /* as large as the input */
};

/* In pieces of up to `piece` bytes, each in memory of its own. */
static struct result read_in(struct http_framing framing, struct str bytes, size_t piece, unsigned line_limit)
{
	struct result r = {.data = malloc(bytes.len + 1)};
	struct http_body_reader reader;

	MUST(r.data != NULL);
	http_body_reader_init(&reader, framing, line_limit);
	while (r.used < bytes.len && !reader.done) {
		size_t n = bytes.len - r.used < piece ? bytes.len - r.used : piece, used;
		char *copy = copy_of((struct str){bytes.at + r.used, n});
		struct str data;

		r.fault = http_body_read(&reader, copy, n, &used, &data);
		MUST(used <= n && (data.len == 0 || (data.at >= copy && data.at + data.len <= copy + used)));
		MUST(r.fault == HTTP_OK ? used > 0 : used == 0 && data.len == 0);
		if (data.len > 0)
			memcpy(r.data + r.data_len, data.at, data.len);
		r.data_len += data.len;
		r.used += used;
		free(copy);
		if (r.fault != HTTP_OK)
			break;
	}
	MUST(reader.taken == r.data_len);
	r.done = reader.done;
	return r;
}

static void check_same(const struct result *a, const struct result *b)
{
	size_t common = a->data_len < b->data_len ? a->data_len : b->data_len;

	MUST(a->fault == b->fault && a->done == b->done);
	MUST(memcmp(a->data, b->data, common) == 0);
	/* How much of a broken body was passed on before the fault is chance. */
	MUST(a->fault != HTTP_OK || (a->used == b->used && a->data_len == b->data_len));
}

static void check_chunked(const struct result *r, struct str bytes, bool lines_are_long)
{
	struct strict m = {0};
	size_t used = 0;
	enum strict_verdict v = strict_chunks(&m, bytes, &used);

	if (r->fault == HTTP_OK) {
		MUST(v == (r->done ? STRICT_WHOLE : STRICT_MORE));
		MUST(!r->done || (r->used == used && r->data_len == m.body_len));
		MUST(r->done || r->data_len == m.body_len);
	} else { /* there may be good reasons in extensions and trailers alone */
		MUST(v != STRICT_WHOLE || m.extras || lines_are_long);
	}
	if (v != STRICT_BAD && m.body_len > 0)
		MUST(memcmp(r->data, m.body, r->data_len < m.body_len ? r->data_len : m.body_len) == 0);
	strict_free(&m);
}

/* What the product writes for so many bytes is read as so many. */
static void check_chunk_head(uint64_t n)
{
	char head[HTTP_CHUNK_HEAD_MAX];
	struct strict m = {0};
	size_t used, len = http_chunk_head(head, n);

	MUST(len <= sizeof(head));
	enum strict_verdict v = strict_chunks(&m, (struct str){head, len}, &used);
	MUST(v == STRICT_MORE || n >> 63 != 0);
	strict_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	unsigned how = input_byte(&in);
	struct str bytes = input_bytes(&in, in.left);
	unsigned line_limit = how & 128 ? LINE_MAX_BYTES : 1 << 20;
	struct http_framing framing = {.kind = how & 64 ? BODY_LENGTH : BODY_CHUNKED, .length = LENGTH};
	struct result whole = read_in(framing, bytes, SIZE_MAX, line_limit);
	struct result pieces = read_in(framing, bytes, 1 + how % 64, line_limit);

	check_same(&whole, &pieces);
	if (framing.kind == BODY_CHUNKED)
		check_chunked(&whole, bytes, line_limit == LINE_MAX_BYTES);
	else
		MUST(whole.done == (bytes.len >= LENGTH) && whole.data_len == whole.used);
	if (size >= 9) {
		uint64_t n;

		memcpy(&n, data + 1, sizeof(n));
		check_chunk_head((n >> 1) | 1);
	}
	free(whole.data);
	free(pieces.data);
	return 0;
}
