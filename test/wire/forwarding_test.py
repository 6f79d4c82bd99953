"""What goes on and what does not: behaviours 25 to 31 of a strict proxy (RFC 9110 section 7.6)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from support import expect
from support.case import main
from support.server import DATE
from support.table import TableCase

GET = b"GET /CASE HTTP/1.1"
POST = b"POST /CASE HTTP/1.1"
DATE_LINE = DATE[:-2]


def get(*fields):
    return GET + b"\r\n" + expect.lines(fields) + b"\r\n"


def reply(*fields, body=b"ok", status=b"HTTP/1.1 200 OK"):
    return status + b"\r\n" + DATE + expect.lines(fields) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def got(*fields, body=b"ok", status=b"HTTP/1.1 200 OK", **more):
    return expect.response(status, [DATE_LINE, *fields, b"Content-Length: %d" % len(body)], body, **more)


class Forwarding(TableCase):
    def test_plain(self):
        self.passed(
            "order, case and spaces of fields", get(b"X-B:  two ", b"hOST: h", b"x-a: one", b"Accept:*/*", b"User-Agent: t (x; y)"),
            check_seen=lambda r: self.assertEqual(
                r.fields[:5], [("x-b", b"two"), ("host", b"h"), ("x-a", b"one"), ("accept", b"*/*"), ("user-agent", b"t (x; y)")]
            ),
        )
        self.passed(
            "case of names", get(b"X-B: two", b"hOST: h", b"x-a: one"),
            seen=expect.request(GET, [b"X-B: two", b"hOST: h", b"x-a: one"]),
            answer=reply(b"x-c: three", b"SERVER: s"),
            got=got(b"x-c: three", b"SERVER: s"),
        )

    def test_25_connection_names_request_fields(self):
        for name, sent, kept in (
            ("one", [b"Host: h", b"Connection: X-A", b"X-A: b", b"X-C: d"], [b"Host: h", b"X-C: d"]),
            ("several", [b"Host: h", b"X-A: b", b"X-C: d", b"X-E: f", b"Connection: X-A, x-e"], [b"Host: h", b"X-C: d"]),
            ("on two lines", [b"Host: h", b"Connection: X-A", b"X-A: b", b"X-C: d", b"Connection: X-C"], [b"Host: h"]),
            ("without case", [b"Host: h", b"CONNECTION: x-a", b"X-A: b"], [b"Host: h"]),
            ("each of that name", [b"Host: h", b"Connection: X-A", b"X-A: b", b"X-A: c"], [b"Host: h"]),
            ("with keep-alive", [b"Host: h", b"Connection: keep-alive, X-A", b"X-A: b"], [b"Host: h"]),
            ("nothing that is there", [b"Host: h", b"Connection: X-A", b"X-B: b"], [b"Host: h", b"X-B: b"]),
            ("empty elements", [b"Host: h", b"Connection: , ,X-A,,", b"X-A: b"], [b"Host: h"]),
            ("empty", [b"Host: h", b"Connection:", b"X-A: b"], [b"Host: h", b"X-A: b"]),
            ("part of a name", [b"Host: h", b"Connection: X", b"X-A: b"], [b"Host: h", b"X-A: b"]),
        ):
            self.passed(name, get(*sent), seen=expect.request(GET, kept))

    def test_25_connection_names_response_fields(self):
        for name, sent, kept in (
            ("one", [b"Connection: X-A", b"X-A: b", b"X-C: d"], [b"X-C: d"]),
            ("several", [b"X-A: b", b"X-C: d", b"X-E: f", b"Connection: X-A,X-E"], [b"X-C: d"]),
            ("keep-alive", [b"Connection: keep-alive", b"Keep-Alive: timeout=5", b"X-C: d"], [b"X-C: d"]),
            ("Set-Cookie", [b"Connection: Set-Cookie", b"Set-Cookie: a=b"], []),
        ):
            self.passed(name, get(b"Host: h"), answer=reply(*sent), got=got(*kept))

    def test_26_what_connection_may_not_name(self):
        self.passed("Host", get(b"Host: h", b"Connection: Host"), seen=expect.request(GET, [b"Host: h"]))
        self.passed(
            "Content-Length", POST + b"\r\nHost: h\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello",
            seen=expect.request(POST, [b"Host: h", b"Content-Length: 5"], b"hello"),
        )
        self.passed(
            "Transfer-Encoding",
            POST + b"\r\nHost: h\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            seen=expect.request(POST, [b"Host: h"], b"5\r\nhello\r\n0\r\n\r\n", chunked=True),
        )
        self.passed(
            "X-Forwarded-For and Via", get(b"Host: h", b"Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Via"),
            seen=expect.request(GET, [b"Host: h"]),
        )
        self.passed("Content-Length of a response", get(b"Host: h"), answer=reply(b"Connection: Content-Length"), got=got())

    def test_27_hop_by_hop_request_fields(self):
        for name, line in (
            ("Keep-Alive", b"Keep-Alive: timeout=5"),
            ("Proxy-Connection", b"Proxy-Connection: keep-alive"),
            ("TE", b"TE: trailers"),
            ("TE, named", b"TE: trailers, deflate\r\nConnection: TE"),
            ("Upgrade alone", b"Upgrade: websocket"),
            ("Trailer", b"Trailer: X-T"),
            ("keep-alive", b"Connection: keep-alive"),
            ("HTTP2-Settings, named", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: HTTP2-Settings"),
        ):
            self.passed(name, get(b"Host: h", line, b"X-A: b"), seen=expect.request(GET, [b"Host: h", b"X-A: b"]))
        self.passed(
            "close", get(b"Host: h", b"Connection: close"), seen=expect.request(GET, [b"Host: h"]), got=got(connection=b"close"), after="closed"
        )

    def test_27_hop_by_hop_response_fields(self):
        for line in (b"Keep-Alive: timeout=5", b"Proxy-Connection: close", b"TE: x", b"Upgrade: h2c", b"Trailer: X-T", b"Connection: keep-alive"):
            self.passed(repr(line), get(b"Host: h"), answer=reply(line, b"X-A: b"), got=got(b"X-A: b"))

    def test_27_what_is_end_to_end(self):
        lines = [
            b"Proxy-Authorization: Basic eDp5", b"Authorization: Bearer x", b"Cookie: a=b", b"Warning: 199 - x", b"Cache-Control: no-cache",
            b"If-None-Match: \"x\"", b"Range: bytes=0-1", b"X-Request-ID: 5", b"Forwarded: for=1.2.3.4",
        ]
        self.passed("requests", get(b"Host: h", *lines), check_seen=lambda r, lines=lines: self.assertIn(expect.lines(lines[:-1]), r.raw))
        lines = [b"WWW-Authenticate: Basic realm=\"x\"", b"Proxy-Authenticate: Basic", b"ETag: \"x\"", b"Server: s", b"Age: 5", b"Vary: *", b"Allow: GET"]
        self.passed("responses", get(b"Host: h"), answer=reply(*lines), got=got(*lines))

    def test_28_own_version(self):
        self.passed(
            "to the server", b"GET /CASE HTTP/1.0\r\nHost: h\r\n\r\n", seen=expect.request(GET, [b"Host: h"], version=b"1.0"),
            got=got(connection=b"close"), after="closed",
        )
        self.passed(
            "to the client", get(b"Host: h"), answer=reply(status=b"HTTP/1.0 200 Fine"), got=got(status=b"HTTP/1.1 200 Fine", version=b"1.0")
        )

    def test_28_reason(self):
        self.passed("as it came", get(b"Host: h"), answer=reply(status=b"HTTP/1.1 299 Very  odd \xe4"), got=got(status=b"HTTP/1.1 299 Very  odd \xe4"))
        self.passed("empty", get(b"Host: h"), answer=reply(status=b"HTTP/1.1 200 "), got=got(status=b"HTTP/1.1 200 "))
        self.passed(
            "missing with its space", get(b"Host: h"), answer=reply(status=b"HTTP/1.1 200"),
            check_got=lambda r: self.assertEqual((r.status, r.body), (200, b"ok")),
        )

    def test_29_order_of_equal_names(self):
        lines = [b"X-A: 1", b"X-B: 2", b"x-a: 3", b"X-A: 1"]
        self.passed("requests", get(b"Host: h", *lines), seen=expect.request(GET, [b"Host: h", *lines]))
        lines = [b"Set-Cookie: a=b", b"X-A: 1", b"Set-Cookie: c=d, e", b"X-A: 2", b"set-cookie: a=b"]
        self.passed("responses", get(b"Host: h"), answer=reply(*lines), got=got(*lines))

    def test_30_via(self):
        """Ours comes after those of the proxies before us, in both directions, and says the version that came in."""
        self.passed("none yet", get(b"Host: h"), seen=expect.request(GET, [b"Host: h"]), got=got())
        self.passed(
            "another's", get(b"Host: h", b"Via: 1.0 fred, 1.1 p.example"), seen=expect.request(GET, [b"Host: h", b"Via: 1.0 fred, 1.1 p.example"])
        )
        self.passed("another's, back", get(b"Host: h"), answer=reply(b"Via: 1.1 fred"), got=got(b"Via: 1.1 fred"))

    def test_31_max_forwards(self):
        for value, seen in ((b"10", b"9"), (b"1", b"0"), (b"010", b"9")):
            for method in (b"OPTIONS", b"TRACE"):
                self.passed(
                    "%r %r" % (method, value), method + b" /CASE HTTP/1.1\r\nHost: h\r\nMax-Forwards: " + value + b"\r\n\r\n",
                    check_seen=lambda r, seen=seen: self.assertEqual(r.get("Max-Forwards"), seen),
                )
        self.passed("GET 0", get(b"Host: h", b"Max-Forwards: 0"), check_seen=lambda r: self.assertEqual(r.get("Max-Forwards"), b"0"))
        self.passed("none", b"OPTIONS /CASE HTTP/1.1\r\nHost: h\r\n\r\n", check_seen=lambda r: self.assertIsNone(r.get("Max-Forwards")))

    def test_31_max_forwards_0_is_answered_here(self):
        """OPTIONS as by a server; TRACE too, reflecting no credentials (RFC 9110 section 9.3.8), or with 405."""
        for method in (b"OPTIONS", b"TRACE"):
            with self.subTest(method):
                target = self.fresh()
                type(self).unwanted.append(("Max-Forwards: 0", target, "nothing"))
                client = self.connect()
                client.send(method + b" " + target + b" HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\nCookie: secret\r\nX-A: b\r\n\r\n")
                got = client.whole_response()
                self.assertNotIn(b"secret", got.raw)
                if method == b"TRACE" and got.status == 405:
                    expect.check_own_answer(got.raw, (405,))
                    self.assertNotIn(b"TRACE", got.get("Allow"))
                else:
                    self.assertEqual(got.status, 200)
                    if method == b"TRACE":
                        self.assertEqual(got.get("Content-Type"), b"message/http")
                        self.assertTrue(got.body.startswith(b"TRACE " + target + b" HTTP/1.1\r\n"), got.body)
                client.close()

    def test_http_1_0_server(self):
        """Its requests are HTTP/1.1 all the same; it closes, the client's connection goes on."""

        def old(connection, request):
            connection.send(b"HTTP/1.0 200 OK\r\n" + DATE + b"\r\nall of it")
            return False

        self.passed(
            "to the end of the stream", get(b"Host: h"), answer=old,
            check_got=lambda r: self.assertEqual((r.body, r.get("Transfer-Encoding")), (b"all of it", b"chunked")),
        )


if __name__ == "__main__":
    main()
