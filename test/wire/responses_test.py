"""Answers of servers, good and bad: behaviours 32 to 38 of a strict proxy (RFC 9112 sections 6.3, 8 and 9.2)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import threading

from support import expect
from support.case import main
from support.raw import BOUND
from support.server import DATE, OK
from support.table import TableCase

GET = b"GET /CASE HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = b"HEAD /CASE HTTP/1.1\r\nHost: h\r\n\r\n"
GET_1_0 = b"GET /CASE HTTP/1.0\r\nHost: h\r\n\r\n"
DATE_LINE = DATE[:-2]


def reply(*fields, body=b"", status=b"HTTP/1.1 200 OK"):
    return status + b"\r\n" + DATE + expect.lines(fields) + b"\r\n" + body


def closing(*parts):
    """Sends these and closes."""

    def answer(connection, request):
        for part in parts:
            connection.send(part)
        return False

    return answer


class Responses(TableCase):
    def test_32_no_body(self):
        for name, sent, method, answer, fields in (
            ("HEAD with a length", HEAD, b"HEAD", reply(b"Content-Length: 5"), [b"Content-Length: 5"]),
            ("HEAD without", HEAD, b"HEAD", reply(b"X-A: b"), [b"X-A: b"]),
            ("304 with a length", GET, b"GET", reply(b"Content-Length: 5", status=b"HTTP/1.1 304 Not Modified"), [b"Content-Length: 5"]),
            ("304 without", GET, b"GET", reply(b"ETag: x", status=b"HTTP/1.1 304 Not Modified"), [b"ETag: x"]),
            ("204", GET, b"GET", reply(b"X-A: b", status=b"HTTP/1.1 204 No Content"), [b"X-A: b"]),
        ):
            self.passed(name, sent, method=method, answer=answer, got=expect.response(answer.split(b"\r\n")[0], [DATE_LINE, *fields]))
        self.refused("a refusal of HEAD", HEAD[:-2] + b"X A: b\r\n\r\n", method=b"HEAD")
        self.refused("a refusal of HEAD and its framing", HEAD[:-2] + b"Content-Length: x\r\n\r\n", method=b"HEAD")
        self.passed(
            "HEAD, chunked", HEAD, method=b"HEAD", answer=reply(b"Transfer-Encoding: chunked"),
            check_got=lambda r: self.assertEqual((r.status, r.get("Content-Length")), (200, None)),
        )
        self.passed(
            "204 with a length", GET, answer=reply(b"Content-Length: 5", status=b"HTTP/1.1 204 No Content"),
            check_got=lambda r: self.assertEqual(r.status, 204),
        )
        self.passed(
            "HEAD with two differing lengths is 502 or has none", HEAD, method=b"HEAD", answer=reply(b"Content-Length: 5", b"Content-Length: 6"),
            check_got=lambda r: self.assertTrue(r.status == 502 or not r.all("Content-Length")),
        )

    def test_32_stray_bytes_poison(self):
        """A body where none belongs reaches nobody, and that server connection is used no more."""
        stray = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        for name, sent, method, answer in (
            ("HEAD", HEAD, b"HEAD", reply(b"Content-Length: 41", body=stray)),
            ("204", GET, b"GET", reply(status=b"HTTP/1.1 204 No Content", body=stray)),
            ("304", GET, b"GET", reply(status=b"HTTP/1.1 304 Not Modified", body=stray)),
            ("more than the length", GET, b"GET", reply(b"Content-Length: 2", body=b"ok" + stray)),
            ("after the last chunk", GET, b"GET", reply(b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n" + stray)),
        ):
            target = self.fresh()
            with self.subTest(name):
                self.answers[target] = answer
                client = self.connect()
                client.send(sent.replace(b"/CASE", target))
                got = client.whole_response(method)
                self.assertIn(got.status, (200, 204, 304))
                self.assertNotIn(b"evil", got.raw)
                poisoned = self.origin.wait_request(target).connection
                for _ in range(3):
                    again = client.get(b"/again")
                    self.assertEqual((again.status, again.body), (200, b"ok"))
                self.origin.wait(lambda: poisoned.finished, "the end of the poisoned connection")
                self.assertEqual(len(poisoned.requests), len([r for r in poisoned.requests if r.complete]))
                self.assertEqual(poisoned.requests[-1].target, target)
                client.close()

    def test_33_broken_answers(self):
        long_head = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(100))
        for name, answer in (
            ("length and coding", reply(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n")),
            ("differing lengths", reply(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!")),
            ("a list of differing lengths", reply(b"Content-Length: 5, 6", body=b"hello!")),
            ("length +5", reply(b"Content-Length: +5", body=b"hello")),
            ("length -5", reply(b"Content-Length: -5", body=b"hello")),
            ("length 0x5", reply(b"Content-Length: 0x5", body=b"hello")),
            ("length empty", reply(b"Content-Length:", body=b"hello")),
            ("length overflows", reply(b"Content-Length: 18446744073709551621", body=b"hello")),
            ("an unknown coding", reply(b"Transfer-Encoding: rot13", body=b"hello")),
            ("chunked twice", reply(b"Transfer-Encoding: chunked, chunked", body=b"5\r\nhello\r\n0\r\n\r\n")),
            ("coding in HTTP/1.0", reply(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n", status=b"HTTP/1.0 200 OK")),
            ("HTTP/2", reply(b"Content-Length: 0", status=b"HTTP/2 200 OK")),
            ("HTTP/2.0", reply(b"Content-Length: 0", status=b"HTTP/2.0 200 OK")),
            ("another protocol", reply(b"Content-Length: 0", status=b"ICY 200 OK")),
            ("two digits", reply(b"Content-Length: 0", status=b"HTTP/1.1 20 OK")),
            ("four digits", reply(b"Content-Length: 0", status=b"HTTP/1.1 2000 OK")),
            ("no digits", reply(b"Content-Length: 0", status=b"HTTP/1.1 abc OK")),
            ("a negative status", reply(b"Content-Length: 0", status=b"HTTP/1.1 -20 OK")),
            ("a status below 100", reply(b"Content-Length: 0", status=b"HTTP/1.1 099 OK")),
            ("a status of 600", reply(b"Content-Length: 0", status=b"HTTP/1.1 600 OK")),
            ("white space first", b" " + reply(b"Content-Length: 0")),
            ("rubbish", b"rubbish\r\n\r\n"),
            ("no line", b"\r\n\r\n\r\n\r\n"),
            ("too large a head", b"HTTP/1.1 200 OK\r\n" + long_head + b"Content-Length: 0\r\n\r\n"),
            ("a NUL in the status line", reply(b"Content-Length: 0", status=b"HTTP/1.1 200 O\0K")),
        ):
            self.failed(name, GET, answer=answer)

    def test_13_bare_cr(self):
        plain = reply(b"X-A: b", b"Content-Length: 0")
        for name, answer in (
            ("after the status line", plain.replace(b"OK\r\n", b"OK\r\r\n")),
            ("for the end of the status line", plain.replace(b"OK\r\n", b"OK\r")),
            ("for the end of a field", plain.replace(b"X-A: b\r\n", b"X-A: b\r")),
            ("in a name", plain.replace(b"X-A", b"X\rA")),
            ("before the empty line", plain[:-2] + b"\r\r\n\r\n"),
            ("for the empty line", plain[:-2] + b"\rHTTP/1.1 200 OK\r\n\r\n"),
        ):
            self.failed(name, GET, answer=answer)

    def test_14_bare_lf(self):
        plain = reply(b"X-A: b", b"Content-Length: 0")
        for name, answer in (
            ("after the status line", plain.replace(b"OK\r\n", b"OK\n")),
            ("after a field", plain.replace(b"X-A: b\r\n", b"X-A: b\n")),
            ("the empty line", plain[:-2] + b"\n"),
            ("all lines", plain.replace(b"\r\n", b"\n")),
        ):
            self.failed(name, GET, answer=answer)

    def test_16_white_space_first(self):
        for space in (b" ", b"\t"):
            self.failed(repr(space), GET, answer=b"HTTP/1.1 200 OK\r\n" + space + b"X-A: b\r\nContent-Length: 0\r\n\r\n")

    def test_33_lengths(self):
        for value in (b"5 5", b"5, 5", b"5,", b"5;", b"0005x", b"five", b"9" * 200, b"9223372036854775808", b"5_0", b"\xb5", b"0x5"):
            self.failed(repr(value), GET, answer=reply(b"Content-Length: " + value, body=b"hello"))
        self.failed("two fields, one of them bad", GET, answer=reply(b"Content-Length: 5", b"Content-Length: x", body=b"hello"))

    def test_33_codings(self):
        for value in (b"gzip", b"gzip, chunked", b"chunked, gzip", b"identity", b"xchunked", b"chunked;q=1", b'"chunked"', b"", b",chunked", b"\x0bchunked"):
            self.failed(repr(value), GET, answer=reply(b"Transfer-Encoding: " + value, body=b"5\r\nhello\r\n0\r\n\r\n"))
        self.failed("on two lines", GET, answer=reply(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"))

    def test_37_broken_chunks(self):
        """No chunk that is none is passed on, and no last chunk after it."""
        for body in (
            b"+5\r\nhello\r\n", b"-5\r\nhello\r\n", b"0x5\r\nhello\r\n", b"5_\r\nhello\r\n", b"\r\nhello\r\n", b" 5\r\nhello\r\n", b"5 \r\nhello\r\n",
            b"g\r\nhello\r\n", b"10000000000000005\r\nhello\r\n", b"5\nhello\r\n", b"5\rhello\r\n", b"5\r\r\nhello\r\n", b"5\r\nhello\n", b"5\r\nhello\r", b"5\r\nhello",
            b"5\r\nhello!\r\n", b"5;a\rb\r\nhello\r\n", b"5;a\nb\r\nhello\r\n", b'5;a="b\r\nhello\r\n', b"5;\r\nhello\r\n", b"5;a\0\r\nhello\r\n",
        ):
            self.truncated(repr(body), GET, reply(b"Transfer-Encoding: chunked", body=body + b"0\r\n\r\n"))
        for end in (b"0\n\r\n", b"0\r\n\n", b"0\r\nX-T: a\rb\r\n\r\n", b"0\r\nX-T: a\nX-U: b\r\n\r\n", b"0\r\nX-T\r\n\r\n", b"0\r\n: a\r\n\r\n", b"0\r\n X-T: a\r\n\r\n", b"00 \r\n\r\n"):
            self.truncated(repr(end), GET, reply(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n" + end))

    def test_33_broken_answer_to_head(self):
        """Our 502 has no body then."""
        self.failed("HEAD", HEAD, answer=b"rubbish\r\n\r\n", method=b"HEAD")

    def test_33_identical_lengths(self):
        self.passed(
            "are one", GET, answer=reply(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
            check_got=lambda r: self.assertTrue(r.status == 502 or (r.body, r.get("Content-Length")) == (b"hello", b"5")),
        )

    def test_33_no_answer(self):
        for name, answer in (
            ("nothing at all", closing()),
            ("part of a status line", closing(b"HTTP/1.1 2")),
            ("part of a head", closing(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n")),
            ("all but the last LF", closing(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r")),
        ):
            self.failed(name, b"POST /CASE HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", answer=answer)

    def test_34_to_the_end_of_the_stream(self):
        def chunked(body):
            def check(response):
                self.assertEqual(response.body, body)
                self.assertEqual(
                    response.raw_head, expect.response(b"HTTP/1.1 200 OK", [DATE_LINE, b"X-A: b"], chunked=True)
                )

            return check

        big = bytes(range(251)) * 4000
        self.passed("one piece", GET, answer=closing(reply(b"X-A: b", body=b"hello")), check_got=chunked(b"hello"))
        self.passed("two pieces", GET, answer=closing(reply(b"X-A: b"), b"hel", b"lo"), check_got=chunked(b"hello"))
        self.passed("nothing", GET, answer=closing(reply(b"X-A: b")), check_got=chunked(b""))
        self.passed("much", GET, answer=closing(reply(b"X-A: b", body=big)), check_got=chunked(big))
        self.passed("with close", GET, answer=closing(reply(b"X-A: b", b"Connection: close", body=b"hello")), check_got=chunked(b"hello"))
        self.passed(
            "to HTTP/1.0", GET_1_0, answer=closing(reply(b"X-A: b", body=big)), after="closed",
            got=expect.response(b"HTTP/1.1 200 OK", [DATE_LINE, b"X-A: b"], big, connection=b"close"),
        )
        self.passed(
            "to HTTP/1.0 that asked for keep-alive", GET_1_0[:-2] + b"Connection: keep-alive\r\n\r\n",
            answer=closing(reply(b"X-A: b", body=b"hello")), after="closed",
            got=expect.response(b"HTTP/1.1 200 OK", [DATE_LINE, b"X-A: b"], b"hello", connection=b"close"),
        )

    def test_35_interim_responses(self):
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n"
        self.passed(
            "three and a final one", GET, answer=interim + OK,
            got=b"".join(
                expect.response(b"HTTP/1.1 " + line, fields)
                for line, fields in ((b"103 Early Hints", [b"Link: </a>"]), (b"102 Processing", []), (b"103 Early Hints", [b"Link: </b>"]))
            ) + expect.response(b"HTTP/1.1 200 OK", [DATE_LINE, b"Content-Length: 2"], b"ok"),
        )
        target = self.fresh()
        self.answers[target] = interim + OK
        client = self.connect()
        client.send(GET.replace(b"/CASE", target))
        got = [client.whole_response() for _ in range(4)]
        self.assertEqual([r.status for r in got], [103, 102, 103, 200])
        self.assertEqual([r.get("Link") for r in got], [b"</a>", None, b"</b>", None])
        self.assertEqual(got[3].raw, expect.response(b"HTTP/1.1 200 OK", [DATE_LINE, b"Content-Length: 2"], b"ok"))
        self.assertEqual(client.get(b"/again").body, b"ok")
        self.passed(
            "never to HTTP/1.0", GET_1_0, answer=interim + OK, after="closed",
            got=expect.response(b"HTTP/1.1 200 OK", [DATE_LINE, b"Content-Length: 2"], b"ok", connection=b"close"),
        )

    def test_35_interim_responses_come_at_once(self):
        """They are not held back until the final one is there."""

        gate = threading.Event()

        def slow(connection, request):
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            self.assertTrue(gate.wait(BOUND))
            connection.send(OK)

        target = self.fresh()
        self.answers[target] = slow
        client = self.connect()
        client.send(GET.replace(b"/CASE", target))
        self.assertEqual(client.whole_response().status, 103)
        gate.set()
        self.assertEqual(client.whole_response().status, 200)

    def test_35_too_many_interim_responses(self):
        """A server that never comes to the point holds nobody for ever: an end by count, by size or by time. Here only: no crash."""
        self.passed("100", GET, answer=b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + OK, after=None, check_got=lambda r: None)

    def test_35_unasked_switching(self):
        """101 where no upgrade was asked for is a broken answer."""
        self.failed(
            "101", GET, answer=b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + reply(b"Content-Length: 0")
        )

    def test_37_truncated_answers(self):
        for name, sent, answer in (
            ("length", GET, closing(reply(b"Content-Length: 10", body=b"hello"))),
            ("length, nothing came", GET, closing(reply(b"Content-Length: 10"))),
            ("in a chunk", GET, closing(reply(b"Transfer-Encoding: chunked", body=b"a\r\nhello"))),
            ("between chunks", GET, closing(reply(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"))),
            ("in a size", GET, closing(reply(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n1"))),
            ("in the last chunk", GET, closing(reply(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n"))),
            ("a broken chunk", GET, reply(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n+5\r\nhello\r\n0\r\n\r\n")),
            ("no CRLF after a chunk", GET, reply(b"Transfer-Encoding: chunked", body=b"5\r\nhelloXX0\r\n\r\n")),
            ("length, large", GET, closing(reply(b"Content-Length: 2000000", body=b"x" * 1500000))),
            ("chunked to HTTP/1.0", GET_1_0, closing(reply(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"))),
            ("length to HTTP/1.0", GET_1_0, closing(reply(b"Content-Length: 10", body=b"hello"))),
        ):
            self.truncated(name, sent, answer)

    def test_37_reset_within_the_stream(self):
        """A reset is no end of the stream."""

        gate = threading.Event()

        def resetting(connection, request):
            connection.send(reply(b"X-A: b", body=b"hello"))
            gate.wait(BOUND)
            connection.reset()
            return False

        target = self.fresh()
        self.answers[target] = resetting
        client = self.connect()
        client.send(GET.replace(b"/CASE", target))
        client.read_until(b"hello")
        gate.set()
        rest = client.read_to_end()
        self.assertNotIn(b"0\r\n\r\n", rest)

    def test_38_chunked_to_http_1_0(self):
        body = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-T: t\r\n\r\n"
        self.passed(
            "unchunked", GET_1_0, answer=reply(b"Transfer-Encoding: chunked", b"X-A: b", body=body), after="closed",
            got=expect.response(b"HTTP/1.1 200 OK", [DATE_LINE, b"X-A: b"], b"hello world", connection=b"close"),
        )
        self.passed(
            "also when it wants to be kept", GET_1_0[:-2] + b"Connection: keep-alive\r\n\r\n",
            answer=reply(b"Transfer-Encoding: chunked", b"X-A: b", body=body), after="closed",
            got=expect.response(b"HTTP/1.1 200 OK", [DATE_LINE, b"X-A: b"], b"hello world", connection=b"close"),
        )

    def test_chunked_to_http_1_1(self):
        def check(response):
            self.assertEqual((response.body, response.trailers), (b"hello world", b""))
            self.assertEqual(response.raw_head, expect.response(b"HTTP/1.1 200 OK", [DATE_LINE, b"X-A: b"], chunked=True))

        body = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-T: t\r\n\r\n"
        self.passed("extensions and trailers dropped", GET, answer=reply(b"Transfer-Encoding: chunked", b"X-A: b", body=body), check_got=check)

    def test_chunks_come_at_once(self):
        """A chunk is passed on when it is there, not when the body is whole."""

        gate = threading.Event()

        def dripping(connection, request):
            connection.send(reply(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"))
            self.assertTrue(gate.wait(BOUND))
            connection.send(b"0\r\n\r\n")

        target = self.fresh()
        self.answers[target] = dripping
        client = self.connect()
        client.send(GET.replace(b"/CASE", target))
        client.read_until(b"5\r\nhello\r\n")
        gate.set()
        client.read_until(b"0\r\n\r\n")
        self.assertEqual(client.get(b"/again").body, b"ok")

    def test_date_is_added_where_it_is_missing(self):
        """RFC 9110 section 6.6.1."""
        self.passed(
            "Date", GET, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            check_got=lambda r: self.assertRegex(r.get("Date") or b"none", rb"^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$"),
        )

    def test_large_answers(self):
        big = bytes(range(256)) * 8192
        self.passed("length", GET, answer=reply(b"Content-Length: %d" % len(big), body=big), check_got=lambda r: self.assertEqual(r.body, big))
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (big[i : i + 10007] for i in range(0, len(big), 10007))) + b"0\r\n\r\n"
        self.passed("chunked", GET, answer=reply(b"Transfer-Encoding: chunked", body=chunks), check_got=lambda r: self.assertEqual(r.body, big))


if __name__ == "__main__":
    main()
