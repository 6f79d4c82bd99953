"""How a message begins, ends and fails beside others: rows of behaviours 36 and 39 to 46 of a strict proxy (RFC 9110, RFC 9112 section 9)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from support import expect
from support.case import main
from support.raw import wait_until
from support.server import DATE, OK
from support.table import TableCase

GET = b"GET /CASE HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /CASE HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
# Answered, it would be somebody's second request; never is one of these processed.
NEXT = b"GET /CASE/next HTTP/1.1\r\nHost: h\r\n\r\n"
DATE_LINE = DATE[:-2]
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
UPGRADE = b"GET /CASE HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n"


def got(connection=None, body=b"ok"):
    return expect.response(b"HTTP/1.1 200 OK", [DATE_LINE, b"Content-Length: %d" % len(body)], body, connection=connection)


def closing(*parts):
    def answer(connection, request):
        for part in parts:
            connection.send(part)
        return False

    return answer


def resetting(*parts):
    def answer(connection, request):
        for part in parts:
            connection.send(part)
        connection.reset()
        return False

    return answer


def silent(connection, request):
    connection.wait_gone()
    return False


class Conduct(TableCase):
    def test_36_bytes_that_nobody_asked_for(self):
        for name, more in (
            ("an answer", EVIL),
            ("two answers", EVIL * 2),
            ("a word of parting", b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
            ("a piece of an answer", b"HTTP/1.1 2"),
            ("an end of line", b"\r\n"),
            ("rubbish", b"\0\xff"),
        ):
            self.passed(name + " behind a length", GET, answer=OK + more, got=got())
            self.passed(
                name + " behind the last chunk", GET,
                answer=b"HTTP/1.1 200 OK\r\n" + DATE + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + more,
                check_got=lambda r: self.assertEqual((r.status, r.body, r.trailers), (200, b"ok", b"")),
            )
        self.passed("behind a 204", GET, answer=b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n" + EVIL, check_got=lambda r: self.assertEqual(r.status, 204))
        self.passed(
            "behind an answer to HEAD", GET.replace(b"GET", b"HEAD"), method=b"HEAD", answer=OK[:-2] + EVIL,
            check_got=lambda r: self.assertEqual((r.status, r.get("Content-Length")), (200, b"2")),
        )

    def test_39_expect(self):
        """The body comes at once: the server may say 100 or not."""
        head = b"POST /CASE HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        seen = expect.request(b"POST /CASE HTTP/1.1", [b"Host: h", b"Content-Length: 5", b"Expect: 100-continue"], b"hello")
        told = b"HTTP/1.1 100 Continue\r\n\r\n"
        self.passed("a server that says nothing", head + b"hello", seen=seen, got=got())
        self.passed("a server that says 100", head + b"hello", seen=seen, answer=told + OK, got=expect.response(b"HTTP/1.1 100 Continue", []) + got())
        self.passed(
            "HTTP/1.0", head.replace(b"HTTP/1.1", b"HTTP/1.0") + b"hello", answer=told + OK, got=got(b"close"), after="closed",
            seen=seen.replace(b"Expect: 100-continue\r\n", b"").replace(b"Via: 1.1", b"Via: 1.0"),
        )
        self.refused("another expectation", head.replace(b"100-continue", b"wonders") + b"hello", (417,))

    def test_40_upgrade(self):
        self.passed("switched", UPGRADE + b"\r\n", answer=closing(SWITCH + b"hello"), after="tunnel", check_got=self.switched(b"hello"))
        self.passed("bytes that no HTTP is", UPGRADE + b"\r\n", answer=closing(SWITCH + EVIL), after="tunnel", check_got=self.switched(EVIL))
        self.passed(
            "refused, it stays HTTP", UPGRADE + b"\r\n", got=got(),
            check_seen=lambda r: self.assertTrue(r.has_token("Connection", b"upgrade") and r.get("Upgrade") == b"x"),
        )
        self.passed(
            "not named by Connection", UPGRADE.replace(b"Connection: Upgrade\r\n", b"") + b"\r\n", got=got(),
            seen=expect.request(b"GET /CASE HTTP/1.1", [b"Host: h"]),
        )
        self.passed(
            "with a body, it is not asked for", UPGRADE.replace(b"GET", b"POST") + b"Content-Length: 5\r\n\r\nhello", got=got(),
            seen=expect.request(b"POST /CASE HTTP/1.1", [b"Host: h", b"Content-Length: 5"], b"hello"),
        )
        self.passed(
            "of HTTP/1.0", UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n", got=got(b"close"), after="closed",
            check_seen=lambda r: self.assertEqual((r.all("Upgrade"), r.has_token("Connection", b"upgrade")), ([], False)),
        )
        self.failed("switched unasked", GET, answer=SWITCH + b"hello")

    def switched(self, tunnel):
        def check(response):
            self.assertEqual(response.status, 101)
            self.assertTrue(response.has_token("Connection", b"upgrade"))
            self.assertEqual((response.get("Upgrade"), response.after), (b"x", tunnel))

        return check

    def test_41_nothing_after_close(self):
        for name, sent in (
            ("GET", GET[:-2] + b"Connection: close\r\n\r\n"),
            ("POST", POST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")),
            ("HTTP/1.0", GET.replace(b"HTTP/1.1", b"HTTP/1.0")),
        ):
            self.passed(name, sent + NEXT, got=got(b"close"), after="closed")
        self.refused("a refusal", GET[:-2] + b"X A: b\r\n\r\n" + NEXT)

    def test_42_http_1_0(self):
        get = b"GET /CASE HTTP/1.0\r\nHost: h\r\n"
        for name, fields, after, connection in (
            ("closes", b"", "closed", b"close"),
            ("unless keep-alive was asked for", b"Connection: keep-alive\r\n", "open", b"keep-alive"),
            ("in any case of letters", b"connection: Keep-Alive\r\n", "open", b"keep-alive"),
            ("close", b"Connection: close\r\n", "closed", b"close"),
            ("close wins", b"Connection: keep-alive, close\r\n", "closed", b"close"),
            ("close wins on two lines", b"Connection: close\r\nConnection: keep-alive\r\n", "closed", b"close"),
        ):
            self.passed(name, get + fields + b"\r\n", got=got(connection), after=after)

    def test_42_http_1_1(self):
        get = b"GET /CASE HTTP/1.1\r\nHost: h\r\n"
        for name, fields, after, connection in (
            ("stays", b"", "open", None),
            ("keep-alive changes nothing", b"Connection: keep-alive\r\n", "open", None),
            ("close", b"Connection: close\r\n", "closed", b"close"),
            ("Close", b"Connection: Close\r\n", "closed", b"close"),
            ("close in a list", b"Connection: X-A, close\r\n", "closed", b"close"),
            ("close on the second line", b"Connection: X-A\r\nConnection: close\r\n", "closed", b"close"),
            ("closed is not close", b"Connection: closed\r\n", "open", None),
        ):
            self.passed(name, get + fields + b"\r\n", got=got(connection), after=after)

    def test_43_post_is_sent_once(self):
        for name, answer in (
            ("closes", closing()),
            ("resets", resetting()),
            ("closes within the status line", closing(b"HTTP/1.1 20")),
            ("resets within the head", resetting(b"HTTP/1.1 200 OK\r\nContent-Le")),
        ):
            self.failed("the server " + name, POST, answer=answer)
            self.failed("PUT with a body, the server " + name, POST.replace(b"POST", b"PUT"), answer=answer)

    def test_43_others_may_be_sent_again(self):
        """On a kept connection the server may have closed before it came; on a fresh one there is no other server here."""
        self.failed("GET, the server closes", GET, answer=closing(), times=(1, 2))
        self.failed("once a byte of the answer came", GET, answer=closing(b"H"))

    def test_45_half_closed(self):
        for name, sent, connection in (
            ("GET", GET, None),
            ("POST", POST, None),
            ("chunked", POST.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked").replace(b"hello", b"5\r\nhello\r\n0\r\n\r\n"), None),
            ("close", GET[:-2] + b"Connection: close\r\n\r\n", b"close"),
        ):
            self.passed(name, sent, got=got(connection), after="closed", half_close=True)

    def test_46_bad_gateway(self):
        self.failed("an answer that makes no sense", GET, answer=b"rubbish\r\n\r\n")
        self.failed("to HEAD", GET.replace(b"GET", b"HEAD"), answer=b"rubbish\r\n\r\n", method=b"HEAD")


class Late(TableCase):
    """46: who does not come to the point is told so."""

    config = {"timeouts": {"request_header": "300ms", "server": "1s", "client": "300ms"}}
    slow = True  # each row takes its time

    def connect(self):
        """One that was served: the time for its next head begins with that head's first byte, and not with the connection."""

        def served():
            client = self.client()
            if client.try_send(b"GET /alive HTTP/1.1\r\nHost: h\r\n\r\n") and client.more() and client.response().status == 200:
                return client
            client.close()
            return None

        return wait_until(served, "an answer in time")

    def _check_alive(self):
        self.connect().close()

    def test_46_late(self):
        self.refused("a head that never ends", b"GET /CASE HTTP/1.1\r\nHost: h\r\n", (408,))
        self.refused("a body that never comes", POST[:-2], (408,), server="cut")
        self.failed("a server that says nothing", GET, (504,), answer=silent)


class Unreachable(TableCase):
    """46: no server."""

    reaches_server = False

    @staticmethod
    def prepare(origin):
        origin.stop_listening()

    def _check_alive(self):
        """There is nothing to get."""

    def test_46_no_server(self):
        self.failed("GET", GET, (503,), times=0)
        self.failed("HEAD", GET.replace(b"GET", b"HEAD"), (503,), times=0, method=b"HEAD")
        self.failed("POST", POST, (503,), times=0)


if __name__ == "__main__":
    main()
