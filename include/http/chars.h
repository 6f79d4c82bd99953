/* Classes of characters, one table look-up each (RFC 9110 section 5, RFC 3986 section 3). */
#ifndef TPLB_HTTP_CHARS_H
#define TPLB_HTTP_CHARS_H

#include <stdbool.h>

enum {
	CHAR_TOKEN = 1,  /* tchar, RFC 9110 section 5.6.2 */
	CHAR_VALUE = 2,  /* of a field value: HTAB, SP, VCHAR, obs-text (RFC 9110 section 5.5) */
	CHAR_TARGET = 4, /* of a request target: VCHAR but "#" */
	CHAR_HOST = 8,   /* of a reg-name but for "%": unreserved, sub-delims (RFC 3986 section 3.2.2) */
	CHAR_HEX = 16    /* HEXDIG, both cases */
};

/* CR and LF belong to no class, so that every scan ends with its line. */
extern const unsigned char http_chars[256];

static inline bool http_is(unsigned classes, char c)
{
	return (http_chars[(unsigned char)c] & classes) != 0;
}

/* Whether all of the text, which may be empty, is of a token's characters. */
static inline bool http_is_token(const char *text)
{
	while (http_is(CHAR_TOKEN, *text))
		text++;
	return *text == '\0';
}

static inline bool http_is_space(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool http_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

#endif
