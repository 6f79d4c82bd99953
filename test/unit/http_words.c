/* The parser once more, compiled as for a machine without the vectors of http/scan.h, under names of its own. */
#define SCAN_WORDS
#define scan_few words_scan_few
#define http_head_find_end words_head_find_end
#define http_request_sniff words_request_sniff
#define http_leading_crlf words_leading_crlf
#define http_request_parse words_request_parse
#define http_request_read words_request_read
#define http_response_parse words_response_parse

#include "../../src/http/parse.c"
#include "../../src/http/scan.c"
