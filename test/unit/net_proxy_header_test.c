/*
 * PROXY protocol headers: what is taken and what comes of it, what is refused with which word and how early, and what is written, byte for byte. Every row is
 * read at each of its lengths, from memory that ends there, so that a sanitizer sees a look beyond.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "net/proxy_header.h"

#define BYTES(literal)                                                                                       \
	{                                                                                                    \
		(literal), sizeof(literal) - 1                                                               \
	}
#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

/* For the inner loops: libcheck writes down every assertion that it passes. */
#define HOLDS(condition) ((condition) ? (void)0 : ck_abort_msg("%s", #condition))

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb"
#define V6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xff\xff\0\0"
#define Z8 "\0\0\0\0\0\0\0\0"
#define Z96 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8
#define A8 "aaaaaaaa"
#define A96 A8 A8 A8 A8 A8 A8 A8 A8 A8 A8 A8 A8
#define LONG_V6 "1111:2222:3333:4444:5555:6666:7777:8888"

/* Reads the first n bytes from a block of exactly that size. */
static enum proxy_fault parse(struct str s, size_t n, struct proxy_header *header)
{
	char *copy = malloc(n > 0 ? n : 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, s.at, n);
	enum proxy_fault fault = proxy_header_parse(copy, n, header);
	free(copy);
	return fault;
}

static const struct {
	struct str bytes;
	unsigned version;
	const char *source, *destination; /* NULL: not relayed */
} good[] = {
        {BYTES("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"), 1, "192.168.0.1:56324",
                "192.168.0.11:443"},
        {BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), 1, "255.255.255.255:65535",
                "255.255.255.255:65535"},
        {BYTES("PROXY TCP4 0.0.0.0 1.2.3.4 0 0\r\n"), 1, "0.0.0.0:0", "1.2.3.4:0"},
        {BYTES("PROXY TCP6 2001:db8::1 2001:DB8::2 1 65535\r\n"), 1, "[2001:db8::1]:1",
                "[2001:db8::2]:65535"},
        {BYTES("PROXY TCP6 " LONG_V6 " " LONG_V6 " 65535 65535\r\n"), 1, "[" LONG_V6 "]:65535",
                "[" LONG_V6 "]:65535"},
        {BYTES("PROXY TCP6 ::ffff:1.2.3.4 ::1 5 6\r\n"), 1, "[::ffff:1.2.3.4]:5", "[::1]:6"},
        {BYTES("PROXY UNKNOWN\r\n"), 1, NULL, NULL},
        {BYTES("PROXY UNKNOWN \r\n"), 1, NULL, NULL},
        {BYTES("PROXY UNKNOWN TCP4 what  ever \xff\r\n"), 1, NULL, NULL},
        {BYTES("PROXY UNKNOWN " LONG_V6 " " LONG_V6 " 65535 65535\r\n"), 1, NULL, NULL},
        {BYTES(SIG "\x21\x11\0\x0c" V4), 2, "192.0.2.1:56324", "198.51.100.7:443"},
        {BYTES(SIG "\x21\x21\0\x24" V6), 2, "[2001:db8::1]:65535", "[2001:db8::2]:0"},
        {BYTES(SIG "\x21\x31\0\xd8/run/a" Z96 "\0\0\0\0\0\0/run/b.sock" Z96 "\0"), 2, "unix:/run/a",
                "unix:/run/b.sock"},
        /* A path that fills its field is cut to what sockaddr_un holds with its NUL. */
        {BYTES(SIG "\x21\x31\0\xd8" A96 A8 "abcd" Z96 Z8 "\0\0\0\0"), 2, "unix:" A96 A8 "abc", "unix:"},
        /* Datagrams, no transport and no family: the connection's own addresses. */
        {BYTES(SIG "\x21\x12\0\x0c" V4), 2, NULL, NULL},
        {BYTES(SIG "\x21\x22\0\x24" V6), 2, NULL, NULL},
        {BYTES(SIG "\x21\x10\0\x03xyz"), 2, NULL, NULL},
        {BYTES(SIG "\x21\x01\0\0"), 2, NULL, NULL},
        {BYTES(SIG "\x21\x00\0\0"), 2, NULL, NULL},
        {BYTES(SIG "\x21\x00\0\x05hello"), 2, NULL, NULL},
        /* LOCAL: whatever the block says. */
        {BYTES(SIG "\x20\x00\0\0"), 2, NULL, NULL},
        {BYTES(SIG "\x20\x11\0\x0c" V4), 2, NULL, NULL},
        {BYTES(SIG "\x20\xff\0\x02hi"), 2, NULL, NULL},
        /* TLVs, one of them a checksum, one empty. */
        {BYTES(SIG "\x21\x11\0\x0f" V4 "\x04\0\0"), 2, "192.0.2.1:56324", "198.51.100.7:443"},
        {BYTES(SIG "\x21\x11\0\x1c" V4 "\x02\0\x03"
                   "a.b"
                   "\x03\0\x04\x0e\x30\x3b\xb0\x04\0\0"),
                2, "192.0.2.1:56324", "198.51.100.7:443"},
};

/* Whole: taken, with bytes behind it or not. Short of it by any number of bytes: more is wanted. */
START_TEST(test_good)
{
	struct str s = good[_i].bytes;
	struct proxy_header header;
	char text[ADDR_TEXT_MAX], behind[PROXY_HEADER_MAX];

	for (size_t n = 0; n < s.len; n++)
		ck_assert_msg(parse(s, n, &header) == PROXY_MORE, "row %d, %zu bytes", _i, n);
	memcpy(behind, s.at, s.len);
	memcpy(behind + s.len, "GET /\r\n", 7);
	for (size_t more = 0; more <= 7; more += 7) {
		enum proxy_fault fault = parse((struct str){behind, s.len + more}, s.len + more, &header);

		ck_assert_msg(fault == PROXY_OK, "row %d: %s", _i, proxy_fault_word(fault));
		ck_assert_uint_eq(header.size, s.len);
		ck_assert_uint_eq(header.version, good[_i].version);
		ck_assert_int_eq(header.relayed, good[_i].source != NULL);
		if (header.relayed) {
			ck_assert_str_eq(addr_format(&header.source, text), good[_i].source);
			ck_assert_str_eq(addr_format(&header.destination, text), good[_i].destination);
		} else {
			ck_assert_uint_eq(header.source.len + header.destination.len, 0);
		}
	}
}
END_TEST

static const struct {
	struct str bytes;
	enum proxy_fault fault;
	size_t known; /* after how many bytes */
} bad[] = {
        {BYTES("GET / HTTP/1.1\r\n"), PROXY_BAD_SIGNATURE, 1},
        {BYTES("POST / HTTP/1.1\r\n"), PROXY_BAD_SIGNATURE, 2},
        {BYTES("\x16\x03\x01\x02"), PROXY_BAD_SIGNATURE, 1},
        {BYTES("proxy TCP4 "), PROXY_BAD_SIGNATURE, 1},
        {BYTES("PROXY\r\n"), PROXY_BAD_SIGNATURE, 6},
        {BYTES("PROXY\tTCP4"), PROXY_BAD_SIGNATURE, 6},
        {BYTES("\r\nGET / HTTP/1.1\r\n"), PROXY_BAD_SIGNATURE, 3},
        {BYTES("\r\n\r\n\r\n"), PROXY_BAD_SIGNATURE, 5},
        {BYTES("PROXY \r\n"), PROXY_BAD_FAMILY, 8},
        {BYTES("PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n"), PROXY_BAD_FAMILY, 33},
        {BYTES("PROXY tcp4 1.2.3.4 1.2.3.4 1 1\r\n"), PROXY_BAD_FAMILY, 32},
        {BYTES("PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n"), PROXY_BAD_FAMILY, 32},
        {BYTES("PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n"), PROXY_BAD_FAMILY, 32},
        {BYTES("PROXY UNKNOWNS\r\n"), PROXY_BAD_FAMILY, 16},
        {BYTES("PROXY TCP4\r\n"), PROXY_BAD_ADDRESS, 12},
        {BYTES("PROXY TCP4 \r\n"), PROXY_BAD_ADDRESS, 13},
        {BYTES("PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n"), PROXY_BAD_ADDRESS, 33},
        {BYTES("PROXY TCP4 1.2.3.4  1.2.3.4 1 1\r\n"), PROXY_BAD_ADDRESS, 33},
        {BYTES("PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n"), PROXY_BAD_ADDRESS, 30},
        {BYTES("PROXY TCP4 1.2.3.4.5 1.2.3.4 1 1\r\n"), PROXY_BAD_ADDRESS, 34},
        {BYTES("PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n"), PROXY_BAD_ADDRESS, 34},
        {BYTES("PROXY TCP4 1.2.3.04 1.2.3.4 1 1\r\n"), PROXY_BAD_ADDRESS, 33},
        {BYTES("PROXY TCP4 0x1.2.3.4 1.2.3.4 1 1\r\n"), PROXY_BAD_ADDRESS, 34},
        {BYTES("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 1\r\n"), PROXY_BAD_ADDRESS, 33},
        {BYTES("PROXY TCP4 ::1 ::1 1 1\r\n"), PROXY_BAD_ADDRESS, 24},
        {BYTES("PROXY TCP4 1.2.3.4 h 1 1\r\n"), PROXY_BAD_ADDRESS, 26},
        {BYTES("PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n"), PROXY_BAD_ADDRESS, 32},
        {BYTES("PROXY TCP6 ::1%lo ::1 1 1\r\n"), PROXY_BAD_ADDRESS, 27},
        {BYTES("PROXY TCP6 [::1] ::1 1 1\r\n"), PROXY_BAD_ADDRESS, 26},
        {BYTES("PROXY TCP6 1::2::3 ::1 1 1\r\n"), PROXY_BAD_ADDRESS, 28},
        {BYTES("PROXY TCP6 1:2:3:4:5:6:7 ::1 1 1\r\n"), PROXY_BAD_ADDRESS, 34},
        {BYTES("PROXY TCP6 12345::1 ::1 1 1\r\n"), PROXY_BAD_ADDRESS, 29},
        {BYTES("PROXY TCP6 " LONG_V6 LONG_V6 " 1 1\r\n"), PROXY_BAD_ADDRESS, 95},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4\r\n"), PROXY_BAD_PORT, 28},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"), PROXY_BAD_PORT, 30},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n"), PROXY_BAD_PORT, 31},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n"), PROXY_BAD_PORT, 33},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n"), PROXY_BAD_PORT, 34},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1  1\r\n"), PROXY_BAD_PORT, 33},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n"), PROXY_BAD_PORT, 33},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 00\r\n"), PROXY_BAD_PORT, 33},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n"), PROXY_BAD_PORT, 36},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 100000\r\n"), PROXY_BAD_PORT, 37},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n"), PROXY_BAD_PORT, 33},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 +1\r\n"), PROXY_BAD_PORT, 33},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n"), PROXY_BAD_LINE, 31},
        {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\r\n"), PROXY_BAD_LINE, 32},
        {BYTES("PROXY UNKNOWN\n"), PROXY_BAD_LINE, 14},
        {BYTES("PROXY UNKNOWN a\rb\r\n"), PROXY_BAD_LINE, 17},
        {BYTES("PROXY UNKNOWN " A96 "\r\n"), PROXY_BAD_LINE, 106},
        {BYTES("PROXY UNKNOWN " A8 A8 A8 A8 A8 A8 A8 A8 A8 A8 A8 "1234\r\n"), PROXY_BAD_LINE, 106},
        {BYTES(SIG "\x11\x11\0\x0c" V4), PROXY_BAD_VERSION, 13},
        {BYTES(SIG "\x31\x11\0\x0c" V4), PROXY_BAD_VERSION, 13},
        {BYTES(SIG "\x22\x11\0\x0c" V4), PROXY_BAD_COMMAND, 13},
        {BYTES(SIG "\x2f\x11\0\x0c" V4), PROXY_BAD_COMMAND, 13},
        {BYTES(SIG "\x21\x41\0\x0c" V4), PROXY_BAD_FAMILY, 14},
        {BYTES(SIG "\x21\x13\0\x0c" V4), PROXY_BAD_FAMILY, 14},
        {BYTES(SIG "\x21\xff\0\x0c" V4), PROXY_BAD_FAMILY, 14},
        {BYTES(SIG "\x21\x11\0\x0b" V4), PROXY_BAD_LENGTH, 16},
        {BYTES(SIG "\x21\x12\0\x0b" V4), PROXY_BAD_LENGTH, 16},
        {BYTES(SIG "\x21\x21\0\x23" V6), PROXY_BAD_LENGTH, 16},
        {BYTES(SIG "\x21\x31\0\xd7" Z96 Z96 Z8 Z8 Z8), PROXY_BAD_LENGTH, 16},
        {BYTES(SIG "\x21\x11\0\0"), PROXY_BAD_LENGTH, 16},
        {BYTES(SIG "\x21\x11\x0f\xf1" V4), PROXY_BAD_LENGTH, 16},
        {BYTES(SIG "\x20\x00\xff\xff"), PROXY_BAD_LENGTH, 16},
        {BYTES(SIG "\x21\x11\0\x0d" V4 "\x04"), PROXY_BAD_TLV, 29},
        {BYTES(SIG "\x21\x11\0\x0e" V4 "\x04\0"), PROXY_BAD_TLV, 30},
        {BYTES(SIG "\x21\x11\0\x0f" V4 "\x04\0\x01"), PROXY_BAD_TLV, 31},
        {BYTES(SIG "\x21\x11\0\x10" V4 "\x04\xff\xff\0"), PROXY_BAD_TLV, 32},
        {BYTES(SIG "\x21\x12\0\x0d" V4 "\x04"), PROXY_BAD_TLV, 29},
        {BYTES(SIG "\x21\x11\0\x12" V4 "\x03\0\x03\0\0\0"), PROXY_BAD_TLV, 34},
        {BYTES(SIG "\x21\x11\0\x1a" V4 "\x03\0\x04\0\0\0\0\x03\0\x04\0\0\0\0"), PROXY_BAD_TLV, 42},
        {BYTES(SIG "\x21\x11\0\x13" V4 "\x03\0\x04\0\0\0\0"), PROXY_BAD_CHECKSUM, 35},
        {BYTES(SIG "\x21\x11\0\x1c" V4 "\x02\0\x03"
                   "a.b"
                   "\x03\0\x04\x0e\x30\x3b\xb1\x04\0\0"),
                PROXY_BAD_CHECKSUM, 44},
        {BYTES(SIG "\x21\x11\0\x1c" V4 "\x02\0\x03"
                   "a.c"
                   "\x03\0\x04\x0e\x30\x3b\xb0\x04\0\0"),
                PROXY_BAD_CHECKSUM, 44},
};

/* More is wanted until the fault is certain, and then no byte changes it. */
START_TEST(test_bad)
{
	struct proxy_header header;

	for (size_t n = 0; n <= bad[_i].bytes.len; n++) {
		enum proxy_fault want = n < bad[_i].known ? PROXY_MORE : bad[_i].fault;
		enum proxy_fault fault = parse(bad[_i].bytes, n, &header);

		ck_assert_msg(fault == want, "row %d, %zu bytes: %s instead of %s", _i, n,
		        proxy_fault_word(fault), proxy_fault_word(want));
	}
}
END_TEST

/* The longest header that is taken; one byte more is told by its length. */
START_TEST(test_longest)
{
	char bytes[PROXY_HEADER_MAX] = SIG "\x21\x11\x0f\xf0" V4 "\xe0\x0f\xe1";
	struct proxy_header header;

	ck_assert_int_eq(parse((struct str){bytes, sizeof(bytes)}, sizeof(bytes) - 1, &header), PROXY_MORE);
	ck_assert_int_eq(parse((struct str){bytes, sizeof(bytes)}, sizeof(bytes), &header), PROXY_OK);
	ck_assert_uint_eq(header.size, sizeof(bytes));
}
END_TEST

/*
 * Headers with random changes. What is refused early is refused with more bytes as well, with the same word; what is taken is
 * the same with others behind it; and nobody is asked for more than PROXY_HEADER_MAX bytes.
 */
START_TEST(test_random)
{
	uint64_t rng = 7;
	struct proxy_header header, again;
	char bytes[512];

	for (int round = 0; round < 200000; round++) {
		struct str s = rng_next(&rng) % 2 ? good[rng_next(&rng) % COUNT(good)].bytes
		                                  : bad[rng_next(&rng) % COUNT(bad)].bytes;
		size_t len = s.len;

		memcpy(bytes, s.at, len);
		for (uint64_t changes = rng_next(&rng) % 4; changes > 0; changes--)
			bytes[rng_next(&rng) % len] =
			        (char)(rng_next(&rng) % 2 ? rng_next(&rng)
			                                  : (uint64_t) " \r\n.:01f"[rng_next(&rng) % 8]);
		size_t part = rng_next(&rng) % (len + 1);
		enum proxy_fault early = parse((struct str){bytes, len}, part, &header);
		enum proxy_fault whole = parse((struct str){bytes, len}, len, &again);

		HOLDS(early < PROXY_FAULT_COUNT && whole < PROXY_FAULT_COUNT);
		HOLDS(early == PROXY_MORE || early == whole);
		HOLDS(early != PROXY_OK || memcmp(&header, &again, sizeof(header)) == 0);
		HOLDS(whole != PROXY_OK || (again.size > 0 && again.size <= len && again.version > 0));
		HOLDS(whole != PROXY_MORE || len < PROXY_HEADER_MAX);
	}
}
END_TEST

static struct addr addr_of(const char *text)
{
	struct addr a;
	const char *why = "";

	ck_assert_msg(addr_parse(text, true, &a, &why), "%s: %s", text, why);
	return a;
}

static const struct {
	unsigned version;
	const char *source, *destination; /* NULL: none */
	struct str want;
} written[] = {
        {1, "192.0.2.1:56324", "198.51.100.7:443", BYTES("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n")},
        {1, "[2001:db8::1]:65535", "[2001:db8::2]:0",
                BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n")},
        {1, "1.2.3.4:5", "[::1]:6", BYTES("PROXY TCP6 ::ffff:1.2.3.4 ::1 5 6\r\n")},
        {1, "[::1]:6", "1.2.3.4:5", BYTES("PROXY TCP6 ::1 ::ffff:1.2.3.4 6 5\r\n")},
        {1, "unix:/a", "unix:/b", BYTES("PROXY UNKNOWN\r\n")},
        {1, NULL, NULL, BYTES("PROXY UNKNOWN\r\n")},
        {2, "192.0.2.1:56324", "198.51.100.7:443", BYTES(SIG "\x21\x11\0\x0c" V4)},
        {2, "[2001:db8::1]:65535", "[2001:db8::2]:0", BYTES(SIG "\x21\x21\0\x24" V6)},
        {2, "1.2.3.4:5", "[::1]:6",
                BYTES(SIG "\x21\x21\0\x24\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0"
                          "\0\0\0\x01"
                          "\0\x05\0\x06")},
        {2, "unix:/run/a", "unix:/run/b.sock",
                BYTES(SIG "\x21\x31\0\xd8/run/a" Z96 "\0\0\0\0\0\0/run/b.sock" Z96 "\0")},
        {2, "unix:/a", "1.2.3.4:5", BYTES(SIG "\x20\x00\0\0")},
        {2, NULL, NULL, BYTES(SIG "\x20\x00\0\0")},
};

START_TEST(test_written)
{
	struct addr source, destination;
	struct proxy_header header;
	char out[PROXY_HEADER_WRITE_MAX];
	bool none = written[_i].source == NULL;

	if (!none) {
		source = addr_of(written[_i].source);
		destination = addr_of(written[_i].destination);
	}
	size_t len = proxy_header_write(
	        written[_i].version, none ? NULL : &source, none ? NULL : &destination, out);
	ck_assert_uint_eq(len, written[_i].want.len);
	ck_assert_mem_eq(out, written[_i].want.at, len);
	ck_assert_int_eq(proxy_header_parse(out, len, &header), PROXY_OK);
	ck_assert_uint_eq(header.size, len);
}
END_TEST

/* A client of a Unix socket has no path as a rule: accept(2) gives its family alone. */
START_TEST(test_written_unnamed)
{
	struct addr source = {.len = sizeof(sa_family_t)}, destination = addr_of("unix:/b"),
	            none = {.len = 0};
	char out[PROXY_HEADER_WRITE_MAX];

	source.u.any.sa_family = AF_UNIX;
	ck_assert_uint_eq(proxy_header_write(2, &source, &destination, out), PROXY_HEADER_WRITE_MAX);
	ck_assert_mem_eq(out, SIG "\x21\x31\0\xd8" Z96 Z8 "\0\0\0\0/b" Z96, 16 + 108 + 2 + 96);
	ck_assert_uint_eq(proxy_header_write(2, &none, &destination, out), 16);
}
END_TEST

START_TEST(test_words)
{
	for (int i = 0; i < PROXY_FAULT_COUNT; i++) {
		const char *word = proxy_fault_word((enum proxy_fault)i);

		ck_assert_uint_eq(strspn(word, "abcdefghijklmnopqrstuvwxyz_"), strlen(word));
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(word, proxy_fault_word((enum proxy_fault)j));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/proxy_header");
	TCase *tc = tcase_create("proxy_header");

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_good, 0, COUNT(good));
	tcase_add_loop_test(tc, test_bad, 0, COUNT(bad));
	tcase_add_test(tc, test_longest);
	tcase_add_test(tc, test_random);
	tcase_add_loop_test(tc, test_written, 0, COUNT(written));
	tcase_add_test(tc, test_written_unnamed);
	tcase_add_test(tc, test_words);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
