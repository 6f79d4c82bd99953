/* Names of fields: the tables. */
#include "http/names.h"

const char http_names[FIELD_COUNT][24] = {
        [FIELD_ACCEPT_RANGES] = "accept-ranges",
        [FIELD_CONNECTION] = "connection",
        [FIELD_CONTENT_LENGTH] = "content-length",
        [FIELD_DATE] = "date",
        [FIELD_EXPECT] = "expect",
        [FIELD_FORWARDED] = "forwarded",
        [FIELD_HOST] = "host",
        [FIELD_IF_MATCH] = "if-match",
        [FIELD_IF_MODIFIED_SINCE] = "if-modified-since",
        [FIELD_IF_NONE_MATCH] = "if-none-match",
        [FIELD_IF_RANGE] = "if-range",
        [FIELD_IF_UNMODIFIED_SINCE] = "if-unmodified-since",
        [FIELD_KEEP_ALIVE] = "keep-alive",
        [FIELD_MAX_FORWARDS] = "max-forwards",
        [FIELD_PROXY_CONNECTION] = "proxy-connection",
        [FIELD_RANGE] = "range",
        [FIELD_REFERER] = "referer",
        [FIELD_TE] = "te",
        [FIELD_TRAILER] = "trailer",
        [FIELD_TRANSFER_ENCODING] = "transfer-encoding",
        [FIELD_UPGRADE] = "upgrade",
        [FIELD_USER_AGENT] = "user-agent",
        [FIELD_VIA] = "via",
        [FIELD_X_FORWARDED_FOR] = "x-forwarded-for",
        [FIELD_X_FORWARDED_HOST] = "x-forwarded-host",
        [FIELD_X_FORWARDED_PROTO] = "x-forwarded-proto",
};

#define ENDS(first, last) [((first) + (last)) % NAMES_ENDS]

/* The compiler refuses two of a length in one place (-Woverride-init). */
const unsigned char http_names_by_ends[NAMES_LENGTHS][NAMES_ENDS] = {
        [2] = {ENDS('t', 'e') = FIELD_TE},
        [3] = {ENDS('v', 'a') = FIELD_VIA},
        [4] = {ENDS('d', 'e') = FIELD_DATE, ENDS('h', 't') = FIELD_HOST},
        [5] = {ENDS('r', 'e') = FIELD_RANGE},
        [6] = {ENDS('e', 't') = FIELD_EXPECT},
        [7] = {ENDS('r', 'r') = FIELD_REFERER, ENDS('t', 'r') = FIELD_TRAILER,
                ENDS('u', 'e') = FIELD_UPGRADE},
        [8] = {ENDS('i', 'h') = FIELD_IF_MATCH, ENDS('i', 'e') = FIELD_IF_RANGE},
        [9] = {ENDS('f', 'd') = FIELD_FORWARDED},
        [10] = {ENDS('c', 'n') = FIELD_CONNECTION, ENDS('k', 'e') = FIELD_KEEP_ALIVE,
                ENDS('u', 't') = FIELD_USER_AGENT},
        [12] = {ENDS('m', 's') = FIELD_MAX_FORWARDS},
        [13] = {ENDS('a', 's') = FIELD_ACCEPT_RANGES, ENDS('i', 'h') = FIELD_IF_NONE_MATCH},
        [14] = {ENDS('c', 'h') = FIELD_CONTENT_LENGTH},
        [15] = {ENDS('x', 'r') = FIELD_X_FORWARDED_FOR},
        [16] = {ENDS('p', 'n') = FIELD_PROXY_CONNECTION, ENDS('x', 't') = FIELD_X_FORWARDED_HOST},
        [17] = {ENDS('i', 'e') = FIELD_IF_MODIFIED_SINCE, ENDS('t', 'g') = FIELD_TRANSFER_ENCODING,
                ENDS('x', 'o') = FIELD_X_FORWARDED_PROTO},
        [19] = {ENDS('i', 'e') = FIELD_IF_UNMODIFIED_SINCE},
};

enum http_field_id http_field_id_of(struct str name)
{
	return name.len > 0 ? http_name_id(name) : FIELD_OTHER;
}
