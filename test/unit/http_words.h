/* The parser as it is where there are no vectors: see http_words.c. */
#ifndef TPLB_TEST_HTTP_WORDS_H
#define TPLB_TEST_HTTP_WORDS_H

#include "http/head.h"

size_t words_head_find_end(const char *bytes, size_t len, size_t *scanned);
enum http_fault words_request_parse(struct http_head *head, const char *bytes, size_t len);
size_t words_request_read(
        struct http_head *head, const char *bytes, size_t len, size_t *scanned, enum http_fault *fault);
enum http_fault words_response_parse(struct http_head *head, char *bytes, size_t len);

#endif
