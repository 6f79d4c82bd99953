"""tplb-origin: its pages, files, conditions, ranges, experiments, framing, persistence, command line and end."""

import hashlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
from email.utils import parsedate_to_datetime

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from support import message, tplb
from support.case import WireCase, main
from support.raw import BOUND
from support.tplb import ORIGIN, Origin

GREETING = b"Ini Adalah web Server percobaan"
HOST = b"Host: a\r\n"
OLD = 1672531200  # Sun, 01 Jan 2023 00:00:00 GMT
OLD_DATE = b"Sun, 01 Jan 2023 00:00:00 GMT"


def pattern(n, start=0):
    return bytes(97 + i % 26 for i in range(start, start + n))


def page(body, kind=b"text/html", connection=b"keep-alive"):
    return (
        b"HTTP/1.1 200 OK\r\nServer: tplb-origin\r\nDate: DATE\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n"
        % (kind, len(body), connection)
    ) + body


def line(status, text, *fields, connection=b"keep-alive"):
    """An answer of one text line."""
    return (
        b"HTTP/1.1 %s\r\nDate: DATE\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n" % (status, len(text) + 1)
        + b"".join(f + b"\r\n" for f in fields if f.startswith(b"Allow"))
        + b"Server: tplb-origin\r\n"
        + b"".join(f + b"\r\n" for f in fields if not f.startswith(b"Allow"))
        + b"Connection: %s\r\n\r\n%s\n" % (connection, text)
    )


class OriginCase(WireCase):
    ARGS = ()

    def setUp(self):
        super().setUp()
        self.origin = self.start(*self.ARGS)

    def start(self, *args):
        return self.started(Origin(*args))

    def open(self):
        return self.client(self.origin.address)

    def ask(self, target, *fields, method=b"GET", body=b"", version=b"1.1", client=None):
        client = client or self.open()
        head = b"%s %s HTTP/%s\r\n%s" % (method, target, version, HOST) + b"".join(f + b"\r\n" for f in fields)
        client.send(head + b"\r\n" + body)
        return client.response(method)

    def assert_raw(self, response, expected):
        self.assertEqual(message.mask_date(response.raw), expected)
        self.assertTrue(response.complete)

    def assert_closed(self, client):
        """Cleanly, with nothing more to read."""
        self.assertEqual(client.read_to_end(), b"")
        self.assertFalse(client.was_reset)

    def assert_open(self, client):
        self.assertEqual(self.ask(b"/santai", client=client).body, b"santai saja")


class Pages(OriginCase):
    def test_greeting(self):
        self.assertEqual(len(GREETING), 31)
        self.assert_raw(self.ask(b"/"), page(GREETING))
        client = self.open()
        self.assert_raw(self.ask(b"/", method=b"HEAD", client=client), page(GREETING)[:-31])
        self.assert_open(client)
        self.assert_raw(self.ask(b"/?a=b"), page(GREETING))
        self.assert_raw(self.ask(b"http://elsewhere/"), page(GREETING))

    def test_greeting_closes_when_asked(self):
        client = self.open()
        self.assert_raw(self.ask(b"/", b"Connection: close", client=client), page(GREETING, connection=b"close"))
        self.assert_closed(client)

    def test_santai_and_video(self):
        self.assert_raw(self.ask(b"/santai"), page(b"santai saja"))
        self.assert_raw(self.ask(b"/%73antai"), page(b"santai saja"))
        self.assert_raw(self.ask(b"/video"), line(b"302 Found", b"Found", b"Location: /santai"))

    def test_unknown_is_404(self):
        client = self.open()
        for target in (b"/nothing", b"/santai/", b"/Santai", b"/../santai", b"/a.txt"):
            self.assert_raw(self.ask(target, client=client), line(b"404 Not Found", b"Not Found"))

    def test_date_is_now(self):
        before = int(time.time() - 0.1)  # the clock that is asked may be a tick behind
        date = self.ask(b"/").get("Date").decode()
        self.assertTrue(before <= parsedate_to_datetime(date).timestamp() <= time.time())

    def test_methods(self):
        client = self.open()
        for target, allow in ((b"/", b"GET, HEAD, OPTIONS"), (b"/echo", b"GET, HEAD, POST, OPTIONS"), (b"/f", b"GET, HEAD, OPTIONS")):
            got = self.ask(target, method=b"DELETE", client=client)
            self.assert_raw(got, line(b"405 Method Not Allowed", b"Method Not Allowed", b"Allow: " + allow))
            got = self.ask(target, method=b"OPTIONS", client=client)
            self.assertEqual((got.status, got.get("Allow"), got.all("Content-Length")), (204, allow, []))
        self.assertEqual(self.ask(b"*", method=b"OPTIONS", client=client).status, 204)
        got = self.ask(b"/", b"Content-Length: 3", method=b"POST", body=b"abc", client=client)
        self.assertEqual(got.status, 405)
        self.assert_open(client)

    def test_count(self):
        client = self.open()
        self.assert_raw(self.ask(b"/count", client=client), line(b"200 OK", b"0"))
        for _ in range(3):
            self.ask(b"/", client=client)
        self.ask(b"/nothing")
        self.assert_raw(self.ask(b"/count", client=client), line(b"200 OK", b"4"))
        self.assertEqual(self.ask(b"/count").body, b"4\n")
        self.origin.stop()
        self.origin.wait_line(r"answered 4 requests$")


class Experiments(OriginCase):
    def test_bytes(self):
        client = self.open()
        for n in (0, 1, 26, 53248, 53249, 6 * 53248 + 5, 3000000):
            got = self.ask(b"/bytes/%d" % n, client=client)
            self.assertEqual((got.get("Content-Length"), got.complete), (b"%d" % n, True))
            self.assertEqual(hashlib.sha1(got.body).digest(), hashlib.sha1(pattern(n)).digest())
        self.assertEqual(self.ask(b"/bytes/9223372036854775807", method=b"HEAD", client=client).get("Content-Length"), b"9223372036854775807")
        self.assert_open(client)

    def test_bad_numbers(self):
        client = self.open()
        for target in (b"/bytes/x", b"/bytes/-1", b"/bytes/9223372036854775808", b"/chunked/1.5", b"/delay/60001", b"/delay/", b"/close/x"):
            expected = 404 if target.endswith(b"/") else 400
            self.assertEqual(self.ask(target, client=client).status, expected, target)
        for target in (b"/status/99", b"/status/600", b"/status/101", b"/status/abc"):
            self.assertEqual(self.ask(target, client=client).status, 400, target)

    def test_chunked(self):
        client = self.open()
        got = self.ask(b"/chunked/5", client=client)
        self.assertTrue(got.raw.endswith(b"\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"), got.raw)
        self.assertEqual(got.all("Content-Length"), [])
        self.assertTrue(self.ask(b"/chunked/0", client=client).raw.endswith(b"\r\n\r\n0\r\n\r\n"))
        for n in (13312, 13313, 500000):
            got = self.ask(b"/chunked/%d" % n, client=client)
            self.assertEqual((got.body, got.complete), (pattern(n), True))
        self.assertEqual(self.ask(b"/chunked/9", method=b"HEAD", client=client).get("Transfer-Encoding"), b"chunked")
        self.assert_open(client)

    def test_chunked_for_an_old_client_ends_with_the_stream(self):
        client = self.open()
        got = self.ask(b"/chunked/20000", b"Connection: keep-alive", version=b"1.0", client=client)
        self.assertEqual((got.body, got.get("Connection"), got.all("Transfer-Encoding")), (pattern(20000), b"close", []))
        self.assert_closed(client)

    def test_close(self):
        for target, body in ((b"/close", b"closing\n"), (b"/close/300000", pattern(300000)), (b"/close/0", b"")):
            client = self.open()
            got = self.ask(target, client=client)
            self.assertEqual((got.body, got.get("Connection"), got.all("Content-Length")), (body, b"close", []))
            self.assert_closed(client)

    def test_status(self):
        client = self.open()
        self.assert_raw(self.ask(b"/status/200", client=client), line(b"200 OK", b"OK"))
        expected = line(b"500 Internal Server Error", b"Internal Server Error")
        self.assert_raw(self.ask(b"/status/500", client=client), expected)
        self.assertEqual(self.ask(b"/status/503", client=client).get("Retry-After"), b"1")
        self.assertEqual(self.ask(b"/status/302", client=client).get("Location"), b"/")
        for status in (204, 304):
            got = self.ask(b"/status/%d" % status, client=client)
            self.assertEqual((got.status, got.all("Content-Length"), got.all("Content-Type")), (status, [], []))
        self.assertEqual(self.ask(b"/status/205", client=client).get("Content-Length"), b"0")
        self.assert_open(client)

    def test_interim_status(self):
        client = self.open()
        self.assertEqual(self.ask(b"/status/103", client=client).raw, b"HTTP/1.1 103 Early Hints\r\nLink: </santai>; rel=preload\r\n\r\n")
        self.assertEqual(client.response().status, 200)
        self.assertEqual(self.ask(b"/status/103", version=b"1.0").status, 200)

    def test_delay_holds_its_worker_only(self):
        slow, fast = self.open(), self.open()
        slow.send(b"GET /delay/5000 HTTP/1.1\r\n" + HOST + b"\r\n")
        fast.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual(select.select([slow.sock, fast.sock], [], [], BOUND)[0], [fast.sock])
        self.assert_raw(fast.response(), page(GREETING))
        self.assert_raw(slow.response(), line(b"200 OK", b"waited 5000 ms"))

    def echo(self, body, *fields, sent=None):
        head = b"POST /echo HTTP/1.1\r\n" + HOST + b"".join(f + b"\r\n" for f in fields) + b"\r\n"
        client = self.open()
        sender = threading.Thread(target=client.try_send, args=(head + (sent if sent is not None else body),))
        sender.start()
        got = client.response()
        sender.join()
        self.assertEqual((got.status, got.get("Content-Type"), got.complete), (200, b"text/plain", True))
        self.assertEqual(got.body[: len(head)], head)
        self.assertEqual(hashlib.sha1(got.body[len(head) :]).digest(), hashlib.sha1(body).digest())
        self.assert_open(client)
        return got

    def test_echo(self):
        got = self.ask(b"/echo", b"X-A:  b ")
        self.assertEqual(got.body, b"GET /echo HTTP/1.1\r\nHost: a\r\nX-A:  b \r\n\r\n")
        self.echo(b"", b"Content-Length: 0")
        got = self.echo(b"hello", b"Content-Length: 5")
        self.assertTrue(got.get("Content-Length"))
        self.echo(pattern(5000000), b"Content-Length: 5000000")
        self.assertEqual(self.ask(b"/echo", b"Content-Length: 2", method=b"HEAD", body=b"ab").all("Content-Length"), [b"53"])

    def test_echo_of_chunks(self):
        self.echo(b"", b"Transfer-Encoding: chunked", sent=b"0\r\n\r\n")
        self.echo(b"abcde", b"Transfer-Encoding: chunked", sent=b"2;x=y\r\nab\r\n3\r\ncde\r\n0\r\nTrailer: t\r\n\r\n")
        many = pattern(700000)
        chunks = b"".join(b"%x\r\n%s\r\n" % (7000, many[i : i + 7000]) for i in range(0, len(many), 7000))
        got = self.echo(many, b"Transfer-Encoding: chunked", sent=chunks + b"0\r\n\r\n")
        self.assertEqual(got.get("Transfer-Encoding"), b"chunked")

    def test_echo_begins_before_the_body_ends(self):
        client = self.open()
        head = b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\n"
        client.send(head + b"ab")
        client.read_until(head + b"ab")
        client.send(b"c")
        self.assertEqual(client.read_exactly(1), b"c")
        client.send(b"d")
        self.assertEqual(client.read_exactly(1), b"d")
        self.assert_open(client)

    def test_memory_of_echo_is_bounded(self):
        def peak():
            with open("/proc/%d/status" % self.origin.pid) as f:
                return next(int(l.split()[1]) for l in f if l.startswith("VmHWM"))

        self.echo(b"x" * 1000, b"Content-Length: 1000")
        before = peak()
        self.echo(pattern(26) * 2000000, b"Content-Length: 52000000")
        self.assertLess(peak() - before, 20000)

    def test_continue(self):
        client = self.open()
        head = b"POST /echo HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        client.send(head)
        self.assertEqual(client.response().raw, b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"ok")
        self.assertEqual(client.response().body, head + b"ok")
        client.send(head + b"ok")  # nobody waits: no 100
        self.assertEqual(client.response().body, head + b"ok")
        self.assert_open(client)

    def test_continue_is_not_told_where_no_body_is_wanted(self):
        client = self.open()
        got = self.ask(b"/", b"Expect: 100-continue", b"Content-Length: 2", method=b"POST", client=client)
        self.assertEqual((got.status, got.get("Connection")), (405, b"close"))
        self.assert_closed(client)
        got = self.ask(b"/echo", b"Expect: nothing", b"Content-Length: 2", method=b"POST")
        self.assertEqual((got.status, got.body), (417, b"bad_expectation\n"))

    def test_truncated_body_is_not_completed(self):
        client = self.open()
        client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nab").half_close()
        self.assertFalse(client.response().complete)
        self.assertTrue(client.was_reset)
        client = self.open()
        client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nab").half_close()
        self.assert_raw(client.response(), line(b"400 Bad Request", b"the body ended early", connection=b"close"))


class Connections(OriginCase):
    def test_pipelined_requests_are_answered_in_order(self):
        client = self.open()
        targets = [b"/", b"/santai", b"/nothing", b"/bytes/3"] * 50
        client.send(b"".join(b"GET %s HTTP/1.1\r\n" % t + HOST + b"\r\n" for t in targets))
        expected = [(200, GREETING), (200, b"santai saja"), (404, b"Not Found\n"), (200, b"abc")] * 50
        self.assertEqual([(r.status, r.body) for r in (client.response() for _ in targets)], expected)
        self.assert_open(client)

    def test_more_than_a_buffer_is_pipelined(self):
        client = self.open()
        one = b"GET /santai HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 1000 + b"\r\n\r\n"
        sender = threading.Thread(target=client.send, args=(one * 300,))
        sender.start()
        for _ in range(300):
            self.assertEqual(client.response().body, b"santai saja")
        sender.join()
        self.assert_open(client)

    def send_unseen(self, data):
        """A new connection, all of whose bytes are there before the origin looks: readiness is told once."""
        self.origin.process.send_signal(signal.SIGSTOP)
        try:
            return self.open().send(data)
        finally:
            self.origin.process.send_signal(signal.SIGCONT)

    def test_bytes_left_in_the_kernel_are_not_forgotten(self):
        get = b"GET /santai HTTP/1.1\r\n" + HOST
        get += b"X: " + b"y" * (1024 - len(get) - 7) + b"\r\n\r\n"
        client = self.send_unseen(get * 40)  # the buffer of 16384 is used up exactly
        for _ in range(40):
            self.assertEqual(client.response().body, b"santai saja")
        post = b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n"
        size = 32768 - len(post % 32000)
        client = self.send_unseen(post % size + b"x" * size + get)
        self.assertEqual(len(client.response().body), 32768)
        self.assertEqual(client.response().body, b"santai saja")

    def test_bodies_between_pipelined_requests(self):
        client = self.open()
        post = b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
        chunked = b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        get = b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\nGET "  # dropped, not taken for a request
        client.send((post + chunked + get) * 20)
        for _ in range(20):
            self.assertTrue(client.response().body.endswith(b"\r\n\r\nabc"))
            self.assertTrue(client.response().body.endswith(b"\r\n\r\nabc"))
            self.assertEqual(client.response().body, GREETING)
        self.assert_open(client)

    def test_a_request_behind_a_late_body(self):
        client = self.open()
        client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\n")
        client.read_until(b"\r\n\r\n")
        client.send(b"abcGET / HTTP/1.1\r\n" + HOST + b"\r\nGET /san")
        client.read_until(b"\r\n\r\nabc")
        self.assertEqual(client.response().body, GREETING)
        client.send(b"tai HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual(client.response().body, b"santai saja")

    def test_bytewise(self):
        client = self.open()
        client.send_bytewise(b"\r\nPOST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        self.assertTrue(client.response().body.endswith(b"\r\n\r\nabc"))
        client.send_bytewise(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual(client.response().body, GREETING)

    def test_versions(self):
        client = self.open()
        got = self.ask(b"/", version=b"1.0", client=client)
        self.assert_raw(got, page(GREETING, connection=b"close"))
        self.assert_closed(client)
        client = self.open()
        self.assert_raw(self.ask(b"/", b"Connection: Keep-Alive", version=b"1.0", client=client), page(GREETING))
        self.assert_open(client)

    def test_nothing_after_close_is_answered(self):
        client = self.open()
        client.send((b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n") * 3)
        self.assertEqual(client.response().body, GREETING)
        self.assert_closed(client)

    def test_a_half_closed_client_gets_its_answer(self):
        client = self.open()
        client.send(b"GET /bytes/100000 HTTP/1.1\r\n" + HOST + b"\r\n").half_close()
        self.assertEqual(client.response().body, pattern(100000))

    def test_faults(self):
        big = b"x" * 20000
        for sent, status, text in (
            (b"GET / HTTP/1.1\r\n\r\n", b"400 Bad Request", b"bad_host"),
            (b"GET /\r\n\r\n", b"400 Bad Request", b"bad_request_line"),
            (b"GET / HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n", b"400 Bad Request", b"bad_field"),
            (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\n", b"400 Bad Request", b"bad_framing"),
            (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", b"400 Bad Request", b"bad_chunk"),
            (b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", b"400 Bad Request", b"bad_chunk"),
            (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n", b"501 Not Implemented", b"bad_coding"),
            (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", b"505 HTTP Version Not Supported", b"bad_version"),
            (b"GET /" + big, b"414 URI Too Long", b"target_too_long"),
            (b"GET / HTTP/1.1\r\nA: " + big, b"431 Request Header Fields Too Large", b"head_too_large"),
            (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 100 + b"\r\n", b"431 Request Header Fields Too Large", b"head_too_large"),
            (b"\x16\x03\x01\x02\x00\x01\x00", b"400 Bad Request", b"bad_request_line"),
        ):
            with self.subTest(sent=sent[:80]):
                client = self.open()
                client.try_send(sent)
                self.assert_raw(client.response(), line(status, text, connection=b"close"))
                self.assert_closed(client)

    def test_connect_and_broken_escapes(self):
        client = self.open()
        client.send(b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n")
        got = client.response()
        self.assertEqual((got.status, got.get("Allow"), got.get("Connection")), (405, b"GET, HEAD, OPTIONS", b"close"))
        for target, status in ((b"/%", 400), (b"/%zz", 400), (b"/%00", 400), (b"/%2f", 404), (b"/" + b"a" * 5000, 414)):
            self.assertEqual(self.ask(target).status, status, target)

    def test_an_unwanted_body_is_dropped_or_the_connection_closed(self):
        client = self.open()
        got = self.ask(b"/", b"Content-Length: 200000", body=b"x" * 200000, client=client)
        self.assertEqual((got.body, got.get("Connection")), (GREETING, b"keep-alive"))
        self.assert_open(client)
        for field, body in (
            (b"Content-Length: 3000000", b"x" * 3000000),
            (b"Transfer-Encoding: chunked", b"2dc6c0\r\n" + b"x" * 3000000 + b"\r\n0\r\n\r\n"),
        ):
            client = self.open()
            head = b"GET / HTTP/1.1\r\n" + HOST + field + b"\r\n\r\n"
            client.try_send(head + body)
            got = client.response()
            self.assertEqual((got.body, got.get("Connection")), (GREETING, b"close"))
            self.assert_closed(client)

    def test_many_connections_at_once(self):
        clients = [self.open() for _ in range(100)]  # more could wait for a second, with a sanitizer on a busy machine
        for client in clients:
            client.send(b"GET /bytes/70000 HTTP/1.1\r\n" + HOST + b"\r\n")
        for client in clients:
            self.assertEqual(len(client.response().body), 70000)
        for client in clients:
            self.assert_open(client)

    def test_a_client_that_leaves_harms_nobody(self):
        for _ in range(20):
            client = self.open()
            client.send(b"GET /bytes/9000000000 HTTP/1.1\r\n" + HOST + b"\r\n")
            client.read_exactly(1000)
            client.reset()
        self.assert_raw(self.ask(b"/"), page(GREETING))


class NoKeepalive(OriginCase):
    ARGS = ("-k", "off")

    def test_closes_after_each_answer(self):
        for target, body in ((b"/", GREETING), (b"/santai", b"santai saja"), (b"/nothing", b"Not Found\n"), (b"/bytes/9", pattern(9))):
            client = self.open()
            got = self.ask(target, b"Connection: keep-alive", client=client)
            self.assertEqual((got.body, got.get("Connection")), (body, b"close"))
            self.assert_closed(client)

    def test_a_pipelining_client_can_read_its_answer(self):
        client = self.open()
        client.send((b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") * 100)
        self.assert_raw(client.response(), page(GREETING, connection=b"close"))
        self.assert_closed(client)


class Files(OriginCase):
    def setUp(self):
        self.top = self.directory()
        self.root = os.path.join(self.top, "root")
        os.makedirs(os.path.join(self.root, "dir", "with index"))
        os.mkdir(os.path.join(self.root, "evil.example"))
        self.write("../secret", b"secret")
        self.write("a.txt", pattern(100))
        self.write("big.bin", pattern(26) * 100000)
        self.write("empty.html", b"")
        self.write("sp ace%.css", b"css")
        self.write("dir/with index/index.html", b"<p>index")
        os.symlink("a.txt", os.path.join(self.root, "inside.txt"))
        os.symlink("../secret", os.path.join(self.root, "up"))
        os.symlink(os.path.join(self.top, "secret"), os.path.join(self.root, "absolute"))
        os.symlink("..", os.path.join(self.root, "updir"))
        os.mkfifo(os.path.join(self.root, "fifo"))
        self.ARGS = ("-r", self.root)
        super().setUp()

    def write(self, name, data, when=OLD):
        path = os.path.join(self.root, name)
        with open(path, "wb") as f:
            f.write(data)
        os.utime(path, (when, when))

    def file(self, status, etag, kind, body, *more, length=None):
        return (
            b"HTTP/1.1 %s\r\nServer: tplb-origin\r\nDate: DATE\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: keep-alive\r\n"
            b"ETag: %s\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n" % (status, kind, len(body) if length is None else length, etag, OLD_DATE)
            + b"".join(m + b"\r\n" for m in more)
            + b"\r\n"
            + body
        )

    def etag(self, name):
        s = os.stat(os.path.join(self.root, name))
        return b'"%x.%x-%x-%x"' % (OLD, 0, s.st_size, s.st_ino)

    def test_whole_files(self):
        client = self.open()
        text = b"text/plain; charset=utf-8"
        self.assert_raw(self.ask(b"/a.txt", client=client), self.file(b"200 OK", self.etag("a.txt"), text, pattern(100)))
        self.assert_raw(self.ask(b"/a.txt?q=1", client=client), self.file(b"200 OK", self.etag("a.txt"), text, pattern(100)))
        self.assert_raw(self.ask(b"/inside.txt", client=client), self.file(b"200 OK", self.etag("a.txt"), text, pattern(100)))
        self.assert_raw(self.ask(b"/dir/..%61/../../a.txt", client=client), line(b"404 Not Found", b"Not Found"))
        self.assert_raw(
            self.ask(b"/a.txt", method=b"HEAD", client=client), self.file(b"200 OK", self.etag("a.txt"), text, b"", length=100)
        )
        big = self.ask(b"/big.bin", client=client)
        self.assertEqual((big.get("Content-Type"), big.body), (b"application/octet-stream", pattern(26) * 100000))
        self.assert_raw(self.ask(b"/empty.html", client=client), self.file(b"200 OK", self.etag("empty.html"), b"text/html", b""))
        self.assertEqual(self.ask(b"/sp%20ace%25.css", client=client).body, b"css")
        self.assert_open(client)

    def test_directories(self):
        client = self.open()
        got = self.ask(b"/dir/with%20index/", client=client)
        self.assertEqual((got.status, got.body, got.get("Content-Type")), (200, b"<p>index", b"text/html"))
        got = self.ask(b"/dir/with%20index?x=y", client=client)
        self.assertEqual((got.status, got.get("Location")), (301, b"/dir/with%20index/?x=y"))
        self.assertEqual(self.ask(b"//evil.example", client=client).get("Location"), b"/evil.example/")
        for target in (b"/dir/", b"/a.txt/", b"/a.txt/x", b"/dir/with%20index/nothing"):
            self.assert_raw(self.ask(target, client=client), line(b"404 Not Found", b"Not Found"))

    def test_nothing_leads_out(self):
        client = self.open()
        for target in (
            b"/../secret", b"/dir/../../secret", b"/%2e%2e/secret", b"/.%2E/secret", b"/..%2fsecret", b"/%2e%2e%2fsecret",
            b"/..\\secret", b"/..%5csecret", b"//etc/passwd", b"/%2fetc/passwd", b"/up", b"/absolute", b"/updir/secret",
            b"/updir", b"/fifo", b"/a.txt%2f..%2f..%2fsecret", b"http://a/../secret", b"/./../secret", b"/dir/%2e%2e/%2e%2e/secret",
        ):  # fmt: skip
            got = self.ask(target, client=client)
            self.assertEqual(got.status, 404, target)
            self.assertNotIn(b"secret", got.raw)
        for target in (b"/a.txt%00", b"/..%00/secret", b"/%c0%ae%c0%ae/secret"):
            self.assertIn(self.ask(target, client=client).status, (400, 404), target)
        self.assert_open(client)

    def test_forbidden(self):
        if os.geteuid() == 0:
            self.skipTest("root may read everything")
        os.chmod(os.path.join(self.root, "a.txt"), 0)
        self.assertEqual(self.ask(b"/a.txt").status, 403)

    def test_conditions(self):
        client = self.open()
        tag = self.etag("a.txt")
        fresh = (
            b"HTTP/1.1 304 Not Modified\r\nServer: tplb-origin\r\nDate: DATE\r\nConnection: keep-alive\r\n"
            b"ETag: %s\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n\r\n" % (tag, OLD_DATE)
        )
        self.assert_raw(self.ask(b"/a.txt", b"If-None-Match: W/" + tag, client=client), fresh)
        self.assert_raw(self.ask(b"/a.txt", b"If-Modified-Since: " + OLD_DATE, client=client), fresh)
        for fields, status in (
            ((b'If-None-Match: "x"', b"If-Modified-Since: " + OLD_DATE), 200),
            ((b"If-Match: " + tag,), 200),
            ((b'If-Match: "x"',), 412),
            ((b"If-Unmodified-Since: Sat, 31 Dec 2022 00:00:00 GMT",), 412),
        ):
            self.assertEqual(self.ask(b"/a.txt", *fields, client=client).status, status, fields)
        self.assert_open(client)

    def test_what_changed_just_now_has_a_weak_tag(self):
        path = os.path.join(self.root, "new.txt")
        with open(path, "wb") as f:
            f.write(b"new")
        os.utime(path, (4000000000, 4000000000))  # even a time to come: then Last-Modified is Date
        got = self.ask(b"/new.txt")
        self.assertTrue(got.get("ETag").startswith(b'W/"'))
        self.assertEqual(got.get("Last-Modified"), got.get("Date"))

    def test_ranges(self):
        client = self.open()
        text = b"text/plain; charset=utf-8"
        tag = self.etag("a.txt")
        for value, first, last in ((b"0-0", 0, 0), (b"10-19", 10, 19), (b"90-", 90, 99), (b"-7", 93, 99), (b"50-1000", 50, 99)):
            self.assert_raw(
                self.ask(b"/a.txt", b"Range: bytes=" + value, client=client),
                self.file(
                    b"206 Partial Content", tag, text, pattern(100)[first : last + 1], b"Content-Range: bytes %d-%d/100" % (first, last)
                ),
            )
        self.assert_raw(
            self.ask(b"/a.txt", b"Range: bytes=100-", client=client),
            line(b"416 Range Not Satisfiable", b"Range Not Satisfiable", b"Content-Range: bytes */100"),
        )
        for fields, status in (
            ((b"Range: bytes=0-1", b"If-Range: " + tag), 206),
            ((b"Range: bytes=0-1", b"If-Range: " + OLD_DATE), 206),
            ((b"Range: bytes=0-1", b'If-Range: "x"'), 200),
            ((b"Range: bytes=0-1,4-5",), 200),
            ((b"Range: bytes=x",), 200),
        ):
            self.assertEqual(self.ask(b"/a.txt", *fields, client=client).status, status, fields)
        got = self.ask(b"/big.bin", b"Range: bytes=1000001-2000000", client=client)
        self.assertEqual((got.get("Content-Length"), got.body), (b"1000000", pattern(1000000, 1000001)))
        self.assert_open(client)

    @unittest.skipUnless(shutil.which("curl"), "curl is not there")
    def test_curl(self):
        def curl(*args):
            done = subprocess.run(
                ["curl", "-sS", "--noproxy", "*", "--max-time", str(int(BOUND)), *args], capture_output=True, timeout=BOUND * 2
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        url = "http://%s" % self.origin.address
        self.assertEqual(curl(url + "/"), GREETING)
        self.assertEqual(curl("-r", "26-51", url + "/big.bin"), pattern(26))
        self.assertEqual(curl("-r", "-5", url + "/big.bin"), b"vwxyz")
        part = os.path.join(self.top, "part")
        with open(part, "wb") as f:
            f.write((pattern(26) * 100000)[:1234567])
        curl("-C", "-", "-o", part, url + "/big.bin")
        with open(part, "rb") as f:
            self.assertEqual(f.read(), pattern(26) * 100000)
        stamp = os.path.join(self.root, "a.txt")
        self.assertEqual(curl("-z", stamp, "-w", "%{http_code}", url + "/a.txt"), b"304")
        post = os.path.join(self.root, "big.bin")
        got = curl("-H", "Expect: 100-continue", "--data-binary", "@" + post, url + "/echo")
        self.assertTrue(got.endswith(b"\r\n\r\n" + pattern(26) * 100000))
        got = curl("-H", "Transfer-Encoding: chunked", "--data-binary", "@" + post, url + "/echo")
        self.assertTrue(got.endswith(b"\r\n\r\n" + pattern(26) * 100000))
        self.assertEqual(curl("-L", url + "/video"), b"santai saja")

    def test_no_descriptor_is_lost(self):
        client = self.open()
        self.ask(b"/a.txt", client=client)
        self.ask(b"/", client=client)  # only when the one before is done with
        before = self.origin.descriptors()
        for target in (b"/a.txt", b"/big.bin", b"/nothing", b"/dir", b"/dir/", b"/fifo", b"/up", b"/a.txt/"):
            self.ask(target, client=client)
            self.ask(target, b"If-None-Match: *", client=client)
            self.ask(target, b"Range: bytes=5000000-", client=client)
        self.ask(b"/", client=client)
        self.assertEqual(self.origin.descriptors(), before)


class Ends(OriginCase):
    def test_drain_finishes_what_is_in_flight(self):
        client = self.open()
        client.send(b"GET /delay/500 HTTP/1.1\r\n" + HOST + b"\r\n")
        keeper = self.open()
        self.assert_open(keeper)  # the delayed request came before: it has a worker by now, or is in the queue
        self.origin.process.send_signal(15)
        got = client.response()
        self.assertEqual((got.status, got.complete), (200, True))
        self.assertEqual(self.origin.wait(), 0)
        self.origin.wait_line(r"answered 2 requests$")

    def test_parked_clients_are_told(self):
        client = self.open()
        self.assert_open(client)
        self.origin.process.send_signal(2)
        self.wait_until_refused()
        if client.try_send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"):
            got = message.read_response(client)  # None: idle for a second, and closed before this came
            if got is not None:
                self.assertEqual((got.status, got.get("Connection")), (200, b"close"))
        client.close()
        self.assertEqual(self.origin.wait(), 0)

    def wait_until_refused(self):
        """New connections are refused from the drain on; each try waits for the kernel's answer."""
        host, port = self.origin.address.rsplit(":", 1)
        for _ in range(1000000):
            try:
                socket.create_connection((host, int(port)), BOUND).close()
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                pass  # it was in the backlog when the listener closed
        self.fail("the listener never closed")

    def test_a_second_signal_ends_at_once(self):
        client = self.open()
        client.send(b"GET /delay/60000 HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assert_open(self.open())
        self.origin.process.send_signal(15)
        self.wait_until_refused()
        self.origin.process.send_signal(15)
        self.assertEqual(self.origin.wait(), 1)
        self.origin.wait_line("second time")

    def test_hup_does_no_harm(self):
        for number in (1, 10, 12):
            self.origin.process.send_signal(number)
        self.assert_raw(self.ask(b"/"), page(GREETING))


class CommandLine(OriginCase):
    def run_origin(self, *args):
        done = subprocess.run([ORIGIN, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=BOUND * 2)
        self.assertIsNone(tplb.REPORT.search(done.stderr.decode()))
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_help_and_version(self):
        status, out, err = self.run_origin("--help")
        self.assertEqual((status, out[:19], err), (0, "Usage: tplb-origin ", ""))
        status, out, err = self.run_origin("--version")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"^tplb-origin \S+\n$")
        self.assertEqual(self.run_origin("-v"), self.run_origin("--version"))
        self.assertEqual(self.run_origin("-h"), self.run_origin("--help"))

    def test_wrong_usage(self):
        for args, said in (
            (["-e", "fast"], "tplb-origin: --engine: fast: no such engine; give pool or async\n"),
            (["-w", "0"], "tplb-origin: --workers: 0: give a number from 1 to 1024\n"),
            (["--lisen", "x"], "tplb-origin: --lisen: no such option; see tplb-origin --help\n"),
            (["x"], "tplb-origin: argument: x: none is expected; addresses are given with --listen\n"),
        ):
            self.assertEqual(self.run_origin(*args), (2, "", said))

    def test_what_cannot_run(self):
        taken = self.origin.address
        for args, said in (
            (["-l", taken], r"error: listen: %s: Address already in use; .*--listen\n$" % taken.replace(".", r"\.")),
            (["-l", "127.0.0.1:0", "-r", "/nothing"], r"error: root: /nothing: No such file or directory; .*--root\n$"),
            (["-l", "127.0.0.1:0", "-r", "/dev/null"], r"error: root: /dev/null: Not a directory; .*\n$"),
        ):
            status, out, err = self.run_origin(*args)
            self.assertEqual((status, out, err.count("\n")), (1, "", 1), err)
            self.assertRegex(err, said)

    def test_several_listeners(self):
        path = os.path.join(self.directory(), "o.sock")
        origin = self.start("--listen", "[::1]:0", "--listen=unix:" + path, "--engine", "pool", "-w", "2", "-q", "8")
        origin.wait_line(r"listening on ", 3)
        six = origin.wait_line(r"listening on (\[::1\]:\d+)$").group(1)
        origin.wait_line(r"listening on unix:" + path + "$")
        for address in (origin.address, six, "unix:" + path):
            client = self.client(address)
            client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            self.assertEqual(client.response().body, GREETING)
            client.close()
        origin.stop()
        self.assertFalse(os.path.exists(path))

    def test_a_full_queue_is_told(self):
        origin = self.start("--engine", "pool", "-w", "1", "-q", "1")
        clients = [self.client(origin.address) for _ in range(8)]
        for client in clients:
            client.send(b"GET /delay/300 HTTP/1.1\r\n" + HOST + b"\r\n")
        answers = [client.response() for client in clients]
        refused = [a for a in answers if a.status == 503]
        self.assertTrue(refused and len(refused) < len(answers))
        self.assert_raw(
            refused[0],
            b"HTTP/1.1 503 Service Unavailable\r\nDate: DATE\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 52\r\n"
            b"Retry-After: 1\r\nServer: tplb-origin\r\nConnection: close\r\n\r\nService Unavailable: the queue is full (queue_full)\n",
        )


if __name__ == "__main__":
    main()
