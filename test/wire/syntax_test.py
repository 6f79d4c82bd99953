"""What is no HTTP is refused: behaviours 11 to 20 of a strict proxy (RFC 9112 sections 2 to 5)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re

from support import expect
from support.case import main
from support.server import DATE
from support.table import TableCase

GET = b"GET /CASE HTTP/1.1\r\n"
HOST = b"Host: h\r\n"
SEEN = expect.request(b"GET /CASE HTTP/1.1", [b"Host: h"])


def field(line):
    """A request with this field line (as it is, CRLF added) between two good ones."""
    return GET + HOST + line + b"\r\nX-Z: z\r\n\r\n"


class Syntax(TableCase):
    def answered(self, fields, status=b"HTTP/1.1 200 OK"):
        """A server's answer with these field lines."""
        return status + b"\r\n" + DATE + fields + b"Content-Length: 2\r\n\r\nok"

    def test_11_space_before_the_colon(self):
        for line in (b"X-A : b", b"X-A\t: b", b"Host : evil", b"Content-Length : 0", b"Transfer-Encoding : chunked"):
            self.refused(repr(line), field(line))
        self.refused("Host", GET + b"Host : h\r\n\r\n")

    def test_11_space_before_the_colon_of_a_response(self):
        def removed(response):
            self.assertEqual(response.get("X-A"), b"b")
            self.assertIn(b"\r\nX-A: b\r\n", response.raw)

        self.passed("space", GET + HOST + b"\r\n", answer=self.answered(b"X-A : b\r\n"), check_got=removed)
        self.passed("tab", GET + HOST + b"\r\n", answer=self.answered(b"X-A\t: b\r\n"), check_got=removed)

    def test_12_folding(self):
        self.refused("space", field(b"X-A: b\r\n c"))
        self.refused("tab", field(b"X-A: b\r\n\tc"))
        self.refused("an empty value", field(b"X-A:\r\n b"))
        self.refused("only white space", field(b"X-A: b\r\n "))
        self.refused("a hidden field", field(b"X-A: b\r\n Transfer-Encoding: chunked"))

    def test_12_folding_of_a_response(self):
        def unfolded(response):
            self.assertEqual(re.sub(rb"[ \t]+", b" ", response.get("X-A")), b"b c")
            self.assertIn(b"\r\nX-B: d\r\n", response.raw)

        self.passed("space", GET + HOST + b"\r\n", answer=self.answered(b"X-A: b\r\n c\r\nX-B: d\r\n"), check_got=unfolded)
        self.passed("tab", GET + HOST + b"\r\n", answer=self.answered(b"X-A: b\r\n\tc\r\nX-B: d\r\n"), check_got=unfolded)

    def test_13_bare_cr(self):
        self.refused("in a value", field(b"X-A: b\rc"))
        self.refused("hiding a field", field(b"X-A: b\rTransfer-Encoding: chunked"))
        self.refused("at a value's end", field(b"X-A: b\r"))
        self.refused("in a name", field(b"X-\rA: b"))
        self.refused("in the target", b"GET /CASE\r HTTP/1.1\r\n" + HOST + b"\r\n")
        self.refused("after the version", b"GET /CASE HTTP/1.1\r\r\n" + HOST + b"\r\n")
        self.refused("for an end of the line", b"GET /CASE HTTP/1.1\rHost: h\r\r" + b"\r\n\r\n")
        self.refused("before the empty line", GET + HOST + b"\r\r\n\r\n")

    def test_14_bare_lf(self):
        self.refused("all lines", b"GET /CASE HTTP/1.1\nHost: h\n\n")
        self.refused("after the request line", b"GET /CASE HTTP/1.1\n" + HOST + b"\r\n")
        self.refused("after a field", field(b"X-A: b\nX-B: c"))
        self.refused("the empty line", GET + HOST + b"\n")
        self.refused("in a value", field(b"X-A: b\n"))

    def test_15_controls_in_values(self):
        for c in (b"\0", b"\x01", b"\x07", b"\x08", b"\x0b", b"\x0c", b"\x1b", b"\x7f"):
            self.refused("in a value: %r" % c, field(b"X-A: b" + c + b"c"))
            self.refused("at the front: %r" % c, field(b"X-A:" + c + b"c"))
            self.refused("at the end: %r" % c, field(b"X-A: a long enough value" + c))
        self.refused("NUL in a name", field(b"X-\0A: b"))
        self.refused("NUL in the target", b"GET /CASE\0 HTTP/1.1\r\n" + HOST + b"\r\n")
        self.refused("NUL in the method", b"G\0T /CASE HTTP/1.1\r\n" + HOST + b"\r\n")

    def test_15_what_a_value_may_hold(self):
        value = b"b\tc \x80\xff\xc3\xa4 \"'\\,;:{}<>"
        self.passed(
            "tab, obs-text, punctuation",
            field(b"X-A:   " + value + b"  "),
            seen=expect.request(b"GET /CASE HTTP/1.1", [b"Host: h", b"X-A: " + value, b"X-Z: z"]),
        )
        self.passed("nothing", field(b"X-A:"), check_seen=lambda r: self.assertEqual(r.get("X-A"), b""))
        self.passed("no space after the colon", field(b"X-A:b"), check_seen=lambda r: self.assertEqual(r.get("X-A"), b"b"))

    def test_15_controls_in_a_response(self):
        for c in (b"\0", b"\x01", b"\x7f"):
            self.failed(repr(c), GET + HOST + b"\r\n", answer=self.answered(b"X-A: b" + c + b"c\r\n"))
        self.failed("bare CR", GET + HOST + b"\r\n", answer=self.answered(b"X-A: b\rc\r\n"))

    def test_16_white_space_first(self):
        for space in (b" ", b"\t", b" \t "):
            self.refused("before the first field: %r" % space, GET + space + HOST + b"\r\n")
            self.refused("a line of it: %r" % space, GET + space + b"\r\n" + HOST + b"\r\n")
            self.refused("before the request line: %r" % space, space + GET + HOST + b"\r\n")

    def test_17_names(self):
        for line in (
            b"X A: b", b"X(A): b", b"X,A: b", b"X/A: b", b'X"A: b', b"X[A]: b", b"X{A}: b", b"X@A: b", b"X;A: b", b"X\\A: b", b"X=A: b",
            b"X\x80A: b", b"\xc3\xa4: b", b"X<A>: b", b"X?A: b",
        ):
            self.refused("no token: %r" % line, field(line))
        self.refused("no colon", field(b"X-A"))
        self.refused("no colon but a space", field(b"X-A b"))
        self.refused("an empty name", field(b": b"))
        self.refused("only a colon", field(b":"))
        every = b"!#$%&'*+-.^_`|~09azAZ"
        self.passed(
            "every character of a token",
            field(every + b": b"),
            seen=expect.request(b"GET /CASE HTTP/1.1", [b"Host: h", every + b": b", b"X-Z: z"]),
        )

    def test_17_names_of_a_response(self):
        self.failed("no colon", GET + HOST + b"\r\n", answer=self.answered(b"X-A\r\n"))
        self.failed("an empty name", GET + HOST + b"\r\n", answer=self.answered(b": b\r\n"))
        self.failed("no token", GET + HOST + b"\r\n", answer=self.answered(b"X A: b\r\n"))

    def test_18_leading_crlf(self):
        self.passed("one", b"\r\n" + GET + HOST + b"\r\n", seen=SEEN)
        self.passed("one, alone at first", [b"\r\n", GET + HOST + b"\r\n"], seen=SEEN)
        self.passed("one, in halves", [b"\r", b"\n", GET + HOST + b"\r\n"], seen=SEEN)
        client = self.connect()
        self.passed(
            "after a body", b"POST /CASE HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx\r\n", client=client,
            check_seen=lambda r: self.assertEqual(r.body, b"x"),
        )
        self.refused("CR alone", b"\r" + GET + HOST + b"\r\n")
        self.refused("two", b"\r\n\r\n" + GET + HOST + b"\r\n")
        self.refused("two, bare", b"\n\n" + GET + HOST + b"\r\n")

    def test_19_versions(self):
        for version in (b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.0", b"HTTP/9.9"):
            self.refused(repr(version), b"GET /CASE " + version + b"\r\n" + HOST + b"\r\n", (505, 400))
        self.refused("HTTP/2.0 is 505", b"GET /CASE HTTP/2.0\r\n" + HOST + b"\r\n", (505,))
        self.refused("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (505, 400))
        for version in (
            b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/11", b"HTTP/1.10", b"HTTP/01.1", b"http/1.1", b"HTTP /1.1", b"HTTP/ 1.1", b"HTTP/1 .1",
            b"HTTP/1,1", b"HTTP/+1.1", b"HTTP/a.b", b"HTTPS/1.1", b"ICY/1.1", b"1.1", b"HTTP/1.1x", b"HTTP/1.1 ", b"HTTP/1.1 x", b"HTTP/1.1\t",
        ):
            self.refused(repr(version), b"GET /CASE " + version + b"\r\n" + HOST + b"\r\n")
        self.refused("none (HTTP/0.9)", b"GET /CASE\r\n" + HOST + b"\r\n")
        self.refused("none, with a space", b"GET /CASE \r\n" + HOST + b"\r\n")
        self.passed(
            "a higher minor version is ours", b"GET /CASE HTTP/1.2\r\n" + HOST + b"\r\n",
            check_seen=lambda r: self.assertEqual(r.version, b"HTTP/1.1"),
        )

    def test_19_request_lines(self):
        for line in (
            b"GET /CA SE HTTP/1.1", b"GET  /CASE HTTP/1.1", b"GET /CASE  HTTP/1.1", b"GET\t/CASE HTTP/1.1", b"GET /CASE\tHTTP/1.1",
            b"GET", b"GET HTTP/1.1", b"GET  HTTP/1.1", b" HTTP/1.1", b"/CASE HTTP/1.1", b"G(T /CASE HTTP/1.1", b"G\xc4T /CASE HTTP/1.1",
            b"GET\x0b/CASE HTTP/1.1", b"\"GET\" /CASE HTTP/1.1",
        ):
            self.refused(repr(line), line.replace(b"/CA SE", b"/CASE x") + b"\r\n" + HOST + b"\r\n")

    def test_19_methods(self):
        for method in (b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND", b"get", b"X-~!"):
            self.passed(
                repr(method), method + b" /CASE HTTP/1.1\r\n" + HOST + b"\r\n",
                seen=expect.request(method + b" /CASE HTTP/1.1", [b"Host: h"]),
            )

    def test_not_http(self):
        for name, data in (
            ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 200),
            ("zeros", b"\0" * 100),
            ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
            ("a response", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ):
            self.refused(name, data)

    def test_byte_by_byte(self):
        client = self.connect()
        target = self.fresh()
        client.send_bytewise(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n")
        self.assertEqual(client.whole_response().body, b"ok")
        self.assertEqual(
            self.origin.wait_request(target).raw, expect.request(b"GET " + target + b" HTTP/1.1", [b"Host: h", b"X-A: b"])
        )


class Limits(TableCase):
    """20: over the limits nothing goes on. (More in limits_test.)"""

    config = {"limits": {"header_size": "4k", "headers": 20}}

    def test_20_over_the_limits(self):
        self.refused("the target", b"GET /CASE/" + b"a" * 5000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", (414,))
        self.refused("a field", field(b"X-A: " + b"b" * 5000), (431,))
        self.refused("many bytes in few fields", field(b"X-A: " + b"b" * 1000 + (b"\r\nX-B: " + b"b" * 1000) * 4), (431,))
        self.refused("many fields", field(b"X-A: b\r\n" * 30 + b"X-B: c"), (431,))
        self.refused("an endless name", GET + HOST + b"X" * 5000, (431,))
        self.refused("an endless method", b"G" * 5000, (400, 414, 431, 501))


if __name__ == "__main__":
    main()
