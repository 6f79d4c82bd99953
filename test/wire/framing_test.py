"""Where a request's body ends: behaviours 1 to 10 of a strict proxy (RFC 9112 sections 6 to 8)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from support import expect
from support.case import main
from support.server import DATE
from support.table import TableCase

POST = b"POST /CASE HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
PLAIN_OK = expect.response(b"HTTP/1.1 200 OK", [DATE[:-2], b"Content-Length: 2"], b"ok")
# What would be a second request to a server that reads the first one's framing otherwise.
SMUGGLED = b"GET /CASE/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


class Framing(TableCase):
    def test_plain_length(self):
        self.passed(
            "as it comes",
            POST + b"Content-Length: 5\r\nX-A: b\r\n\r\nhello",
            seen=expect.request(b"POST /CASE HTTP/1.1", [b"Host: h", b"Content-Length: 5", b"X-A: b"], b"hello"),
            got=PLAIN_OK,
        )
        self.passed(
            "of nothing",
            POST + b"Content-Length: 0\r\n\r\n",
            seen=expect.request(b"POST /CASE HTTP/1.1", [b"Host: h", b"Content-Length: 0"]),
            got=PLAIN_OK,
        )
        self.passed(
            "no length, no body",
            POST + b"\r\n",
            seen=expect.request(b"POST /CASE HTTP/1.1", [b"Host: h"]),
            got=PLAIN_OK,
        )
        self.passed(
            "head and body in pieces",
            [POST + b"Content-Len", b"gth: 10\r\n", b"\r", b"\n", b"01234", b"56789"],
            seen=expect.request(b"POST /CASE HTTP/1.1", [b"Host: h", b"Content-Length: 10"], b"0123456789"),
            got=PLAIN_OK,
        )
        big = bytes(range(256)) * 4096
        self.passed(
            "1 MiB",
            POST + b"Content-Length: %d\r\n\r\n" % len(big) + big,
            seen=expect.request(b"POST /CASE HTTP/1.1", [b"Host: h", b"Content-Length: %d" % len(big)], big),
            got=PLAIN_OK,
        )

    def test_plain_chunked(self):
        one = expect.request(b"POST /CASE HTTP/1.1", [b"Host: h"], b"5\r\nhello\r\n0\r\n\r\n", chunked=True)
        self.passed("one chunk", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", seen=one, got=PLAIN_OK)
        self.passed("the coding's name has no case", CHUNKED.replace(b"chunked", b"Chunked") + b"5\r\nhello\r\n0\r\n\r\n", seen=one)
        self.passed("leading zeros in a size", CHUNKED + b"0005\r\nhello\r\n000\r\n\r\n", check_seen=self.body_is(b"hello"))
        self.passed("hexadecimal", CHUNKED + b"a\r\n0123456789\r\nB\r\nabcdefghijk\r\n0\r\n\r\n", check_seen=self.body_is(b"0123456789abcdefghijk"))
        self.passed(
            "no chunk at all",
            CHUNKED + b"0\r\n\r\n",
            seen=expect.request(b"POST /CASE HTTP/1.1", [b"Host: h"], b"0\r\n\r\n", chunked=True),
        )
        self.passed(
            "byte by byte",
            [CHUNKED] + [bytes([c]) for c in b"5\r\nhello\r\n0\r\n\r\n"],
            check_seen=self.body_is(b"hello"),
        )
        body = b"".join(b"%x\r\n" % n + b"x" * n + b"\r\n" for n in range(1, 700)) + b"0\r\n\r\n"
        self.passed("many chunks", CHUNKED + body, check_seen=self.body_is(b"x" * (699 * 700 // 2)))
        self.passed("a large chunk", CHUNKED + b"100000\r\n" + b"y" * 0x100000 + b"\r\n0\r\n\r\n", check_seen=self.body_is(b"y" * 0x100000))

    def body_is(self, body):
        def check(request):
            self.assertEqual(request.body, body)
            self.assertEqual(request.trailers, b"")

        return check

    def test_01_length_with_coding(self):
        for name, fields in (
            ("length first", b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
            ("coding first", b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
            ("length 0", b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
            ("coding identity", b"Content-Length: 4\r\nTransfer-Encoding: identity\r\n"),
            ("other cases", b"CONTENT-LENGTH: 4\r\ntransfer-encoding: CHUNKED\r\n"),
        ):
            statuses = (400, 501) if b"identity" in fields else (400,)
            self.refused(name, POST + fields + b"\r\n0\r\n\r\n" + SMUGGLED, statuses)

    def test_02_differing_lengths(self):
        for name, fields in (
            ("two fields", b"Content-Length: 5\r\nContent-Length: 6\r\n"),
            ("apart", b"Content-Length: 5\r\nX-A: b\r\nContent-Length: 0\r\n"),
            ("a list", b"Content-Length: 5, 6\r\n"),
            ("a list and a field", b"Content-Length: 5, 5\r\nContent-Length: 6\r\n"),
        ):
            self.refused(name, POST + fields + b"\r\nhello" + SMUGGLED)

    def test_02_identical_lengths(self):
        """They are taken as one; a list in one field, which nobody needs to send, is refused. Never do they go on as they came."""

        def one_length(request):
            self.assertEqual([int(v) for v in request.all("Content-Length")], [5])
            self.assertEqual(request.body, b"hello")

        self.passed("two fields", POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", check_seen=one_length)
        self.refused("a list", POST + b"Content-Length: 5, 5\r\n\r\nhello")

    def test_03_bad_lengths(self):
        for value in (
            b"+5", b"-1", b"0x5", b"5_0", b"", b"18446744073709551621", b"9223372036854775808000", b"9" * 200, b"5 5", b"5.0", b"5e0",
            b"5;", b"five", b"\xb2", b"5\x0b", b",5x", b"0 ", b"1e3",
        ):
            if value == b"0 ":  # white space after a value is no part of it
                self.passed("trailing space", POST + b"Content-Length: 0 \r\n\r\n", check_seen=self.body_is(b""))
                continue
            self.refused(repr(value), POST + b"Content-Length: " + value + b"\r\n\r\nhello" + SMUGGLED)

    def test_04_codings(self):
        for name, fields in (
            ("identity", b"Transfer-Encoding: identity\r\n"),
            ("unknown", b"Transfer-Encoding: rot13\r\n"),
            ("gzip", b"Transfer-Encoding: gzip\r\n"),
            ("gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n"),
            ("chunked twice", b"Transfer-Encoding: chunked, chunked\r\n"),
            ("chunked not last", b"Transfer-Encoding: chunked, gzip\r\n"),
            ("chunked, identity", b"Transfer-Encoding: chunked, identity\r\n"),
            ("on two lines", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            ("on two lines, two codings", b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
            ("nearly chunked", b"Transfer-Encoding: xchunked\r\n"),
            ("nearly chunked", b"Transfer-Encoding: chunkedx\r\n"),
            ("quoted", b'Transfer-Encoding: "chunked"\r\n'),
            ("with a parameter", b"Transfer-Encoding: chunked;q=1\r\n"),
            ("a vertical tab before it", b"Transfer-Encoding: \x0bchunked\r\n"),
            ("a no-break space after it", b"Transfer-Encoding: chunked\xa0\r\n"),
            ("empty", b"Transfer-Encoding:\r\n"),
            ("separated by a space", b"Transfer-Encoding: chunked chunked\r\n"),
        ):
            self.refused(name, POST + fields + b"\r\n0\r\n\r\n" + SMUGGLED, (400, 501))
        self.refused("what it does not know is 501", POST + b"Transfer-Encoding: rot13\r\n\r\n", (501,))

    def test_05_coding_in_http_1_0(self):
        self.refused("HTTP/1.0", b"POST /CASE HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + SMUGGLED)
        self.refused(
            "HTTP/1.0 keep-alive",
            b"POST /CASE HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        )

    def test_06_chunk_sizes(self):
        for size in (
            b"+5", b"-5", b"0x5", b"", b" 5", b"5 5", b"5_0", b"g", b"5g", b"10000000000000005", b"fffffffffffffffff", b"f" * 100, b"\t5",
            b"5\x00", b"\xb5", b"5,", b"5.", b"'5'",
        ):
            self.refused(repr(size), CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n" + SMUGGLED, server="cut")
            self.refused("after a good one: " + repr(size), CHUNKED + b"3\r\nabc\r\n" + size + b"\r\nhello\r\n0\r\n\r\n" + SMUGGLED, server="cut")

    def test_07_chunk_ends(self):
        for name, body in (
            ("nothing after the data", b"5\r\nhello0\r\n\r\n"),
            ("other bytes", b"5\r\nhelloXX0\r\n\r\n"),
            ("CR and another", b"5\r\nhello\rX0\r\n\r\n"),
            ("LF after the data", b"5\r\nhello\n0\r\n\r\n"),
            ("CR after the data", b"5\r\nhello\r0\r\n\r\n"),
            ("LF LF", b"5\r\nhello\n\n0\r\n\r\n"),
            ("more data than told", b"5\r\nhello!\r\n0\r\n\r\n"),
            ("LF after the size", b"5\nhello\r\n0\r\n\r\n"),
            ("CR after the size", b"5\rhello\r\n0\r\n\r\n"),
            ("LF after the last size", b"5\r\nhello\r\n0\n\r\n"),
            ("LF at the end", b"5\r\nhello\r\n0\r\n\n"),
        ):
            self.refused(name, CHUNKED + body + SMUGGLED, server="cut")

    def test_08_extensions_are_dropped(self):
        def no_extension(request):
            self.assertEqual(request.body, b"hello")
            self.assertNotIn(b";", request.raw[len(request.raw_head) :])

        for name, body in (
            ("name and value", b"5;a=b\r\nhello\r\n0\r\n\r\n"),
            ("name only", b"5;a\r\nhello\r\n0\r\n\r\n"),
            ("quoted", b'5;a="b c"\r\nhello\r\n0\r\n\r\n'),
            ("quoted, a quote in it", b'5;a="b\\"c;";d="\\\\"\r\nhello\r\n0\r\n\r\n'),
            ("several", b"5;a=b;c=d\r\nhello\r\n0\r\n\r\n"),
            ("on the last chunk", b"5\r\nhello\r\n0;last=1\r\n\r\n"),
        ):
            self.passed(name, CHUNKED + body, check_seen=no_extension)

    def test_08_bad_extensions(self):
        for name, body in (
            ("a CR inside", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
            ("a CR within quotes", b'5;a="\r"\r\nhello\r\n0\r\n\r\n'),
            ("a name that is no token", b"5;bad[=x\r\nhello\r\n0\r\n\r\n"),
            ("no name", b"5;\r\nhello\r\n0\r\n\r\n"),
            ("no value", b"5;a=\r\nhello\r\n0\r\n\r\n"),
            ("space at its end", b"5;a=b \r\nhello\r\n0\r\n\r\n"),
            ("quotes that do not end", b'5;a="b\r\nhello\r\n0\r\n\r\n'),
            ("quotes that do not end but for an escaped one", b'5;a="b\\"\r\nhello\r\n0\r\n\r\n'),
            ("a LF inside", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
            ("a LF at the end", b"5;a=b\nhello\r\n0\r\n\r\n"),
            ("NUL", b"5;a\0b\r\nhello\r\n0\r\n\r\n"),
        ):
            self.refused(name, CHUNKED + body + SMUGGLED, server="cut")
        self.refused("endless", CHUNKED + b"5;" + b"a" * 300000, (400, 413, 431), server="cut")
        self.refused("endless in small steps", CHUNKED + b"1;aaaa\r\nx\r\n" * 3 + b"5;" + b"a" * 300000, (400, 413, 431), server="cut")

    def test_09_trailers_are_dropped(self):
        def clean(request):
            self.body_is(b"hello")(request)
            self.assertNotIn(b"evil", request.raw)
            self.assertEqual(request.get("Host"), b"h")

        for name, trailers in (
            ("Host", b"Host: evil\r\n"),
            ("framing", b"Content-Length: 6\r\nX-evil: 1\r\n"),
            ("coding", b"Transfer-Encoding: evil\r\n"),
            ("authorization", b"Authorization: evil\r\n"),
            ("any", b"X-T: evil\r\nX-U: evil\r\n"),
        ):
            self.passed(name, CHUNKED + b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n", check_seen=clean)
        self.passed(
            "announced",
            POST + b"Trailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: evil\r\n\r\n",
            check_seen=clean,
        )
        self.refused("endless", CHUNKED + b"5\r\nhello\r\n0\r\n" + b"X-T: evil\r\n" * 30000, (400, 413, 431), server="cut")
        self.refused("a CR inside", CHUNKED + b"5\r\nhello\r\n0\r\nX-T: a\rb\r\n\r\n" + SMUGGLED, server="cut")
        self.refused("a LF", CHUNKED + b"5\r\nhello\r\n0\r\nX-T: a\nX-U: b\r\n\r\n" + SMUGGLED, server="cut")

    def test_10_truncated(self):
        """A request that ends too soon is never completed towards the server."""
        for name, sent, server in (
            ("in the length", POST + b"Content-Length: 10\r\n\r\nhello", "cut"),
            ("before the body", POST + b"Content-Length: 10\r\n\r\n", "cut"),
            ("in a size", CHUNKED + b"5\r\nhello\r\n1", "cut"),
            ("in a chunk", CHUNKED + b"5\r\nhel", "cut"),
            ("between chunks", CHUNKED + b"5\r\nhello\r\n", "cut"),
            ("in the last chunk", CHUNKED + b"5\r\nhello\r\n0\r\n", "cut"),
            ("in a trailer", CHUNKED + b"5\r\nhello\r\n0\r\nX-T: a", "cut"),
            ("in the head", POST + b"X-A: b\r\n", "nothing"),
            ("in a field", POST + b"X-A: b", "nothing"),
        ):
            self.refused(name, sent, (400, 408), server, half_close=True, silent=True)
            for leave in ("closed", "reset"):
                with self.subTest(name, leave=leave):
                    target = self.fresh()
                    type(self).unwanted.append((name, target, server))
                    client = self.connect()
                    client.send(sent.replace(b"/CASE", target))
                    if leave == "closed":
                        client.close()
                    else:
                        client.reset()
                    self._check_alive()

    def test_body_is_no_request(self):
        """What a body holds is data, whatever it looks like; what follows it is the next request."""
        inner = b"GET /evil HTTP/1.1\r\nHost: h\r\n\r\n"
        client = self.connect()
        self.passed("length", POST + b"Content-Length: %d\r\n\r\n" % len(inner) + inner, check_seen=self.body_is(inner), client=client)
        self.passed("chunked", CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner), check_seen=self.body_is(inner), client=client)
        self.passed("GET with a body", b"GET /CASE HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", check_seen=self.body_is(b"hello"), client=client)
        self.assertFalse([r for r in self.origin.requests if r.target == b"/evil"])


if __name__ == "__main__":
    main()
