#include "origin/path.h"

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that raw.at[i], a "%", begins; negative when it begins none. */
static int decode_at(struct str raw, size_t i)
{
	if (raw.len - i < 3)
		return -1;
	int high = hex_value(raw.at[i + 1]);
	int low = hex_value(raw.at[i + 2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

enum path_verdict path_decode(struct str raw, char out[PATH_ROOM], struct str *decoded)
{
	size_t n = 0;

	for (size_t i = 0; i < raw.len; i++) {
		int c = (unsigned char)raw.at[i];
		bool encoded = c == '%';

		if (n + 1 == PATH_ROOM)
			return PATH_LONG;
		if (encoded) {
			c = decode_at(raw, i);
			if (c <= 0)
				return PATH_BAD;
			i += 2;
		}
		if (c == '\\' || (encoded && c == '/'))
			return PATH_REFUSED;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	*decoded = (struct str){out, n};
	return PATH_OK;
}

/* The next part between slashes; takes it off *rest. */
static struct str next_part(struct str *rest)
{
	const char *slash = memchr(rest->at, '/', rest->len);
	struct str part = {rest->at, slash ? (size_t)(slash - rest->at) : rest->len};
	size_t step = slash ? part.len + 1 : part.len;

	rest->at += step;
	rest->len -= step;
	return part;
}

bool path_relative(struct str decoded, char out[PATH_ROOM], bool *directory)
{
	struct str rest = decoded;
	size_t n = 0;

	*directory = true;
	while (rest.len > 0) {
		bool last = memchr(rest.at, '/', rest.len) == NULL;
		struct str part = next_part(&rest);

		if (part.len == 0 || str_eq(part, STR(".")))
			continue;
		if (str_eq(part, STR("..")) || n + part.len + 2 > PATH_ROOM)
			return false;
		if (n > 0)
			out[n++] = '/';
		memcpy(out + n, part.at, part.len);
		n += part.len;
		*directory = !last;
	}
	if (n == 0)
		out[n++] = '.';
	out[n] = '\0';
	/* "a/." is a directory, too. */
	if (decoded.len >= 2 && str_eq((struct str){decoded.at + decoded.len - 2, 2}, STR("/.")))
		*directory = true;
	return true;
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '.' || c == '_' || c == '~' || c == '/';
}

bool path_encode(struct str name, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.at[i];
		char encoded[3] = {'%', digits[c >> 4], digits[c & 15]};
		bool fits = is_unreserved(name.at[i]) ? buf_add(out, name.at + i, 1)
		                                      : buf_add(out, encoded, sizeof(encoded));

		if (!fits)
			return false;
	}
	return true;
}
