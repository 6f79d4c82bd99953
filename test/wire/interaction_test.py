"""Two peers at a time: behaviours 39, 42, 44 and 45 of a strict proxy (RFC 9110 section 10.1.1, RFC 9112 section 9)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import threading

from support import expect
from support.case import main
from support.raw import BOUND, wait_until
from support.server import DATE, OK, Server
from support.table import TableCase
from support.tplb import Tplb, one_listener

DATE_LINE = DATE[:-2]
EXPECT = b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def got(connection=None, body=b"ok"):
    return expect.response(b"HTTP/1.1 200 OK", [DATE_LINE, b"Content-Length: %d" % len(body)], body, connection=connection)


class Interaction(TableCase):
    """The server's script reads only heads: what a row does with a body it says itself."""

    @classmethod
    def setUpClass(cls):
        cls.answers, cls.unwanted = {}, []

        def script(connection):
            while True:
                request = connection.read_head()
                if request is None:
                    return
                what = cls.answers.get(request.target)
                if what is None:
                    if not connection.read_body(request).complete:
                        return
                    connection.send(OK)
                elif what(connection, request) is False:
                    return

        cls.origin = Server(script)
        cls.shared = Tplb(one_listener([cls.origin]))

    def row(self, handler):
        target = self.fresh()
        self.answers[target] = handler
        return target

    def test_39_head_goes_ahead(self):
        """The server's 100 lets the client send; without it no byte of the body is waited for."""
        for chunked in (False, True):
            with self.subTest(chunked=chunked):
                seen = []

                def handler(connection, request):
                    seen.append((request.raw, bytes(connection.buf)))
                    connection.send(CONTINUE)
                    if connection.read_body(request).complete:
                        connection.send(OK)

                target = self.row(handler)
                head = EXPECT % target
                if chunked:
                    head = head.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked")
                client = self.connect()
                client.send(head)
                self.assertEqual(client.whole_response().status, 100)
                client.send(b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello")
                self.assertEqual(client.whole_response().raw, got())
                self.assertEqual(seen[0][1], b"")
                self.assertIn(b"\r\nExpect: 100-continue\r\n", seen[0][0])
                self.assertEqual(self.origin.wait_request(target).body, b"hello")
                self.assertEqual(client.get(b"/again").body, b"ok")
                client.close()

    def test_39_client_that_does_not_wait(self):
        """It may send its body at once; the server may or may not say 100."""
        for says_100 in (False, True):
            with self.subTest(says_100=says_100):

                def handler(connection, request, says_100=says_100):
                    if says_100:
                        connection.send(CONTINUE)
                    if connection.read_body(request).complete:
                        connection.send(OK)

                target = self.row(handler)
                client = self.connect()
                client.send(EXPECT % target + b"hello")
                response = client.whole_response()
                if response.status == 100:
                    response = client.whole_response()
                self.assertEqual(response.raw, got())
                self.assertEqual(self.origin.wait_request(target).body, b"hello")
                self.assertEqual(client.get(b"/again").body, b"ok")
                client.close()

    def test_39_refused(self):
        """The final answer comes in place of 100; a body that was never sent leaves no connection out of step."""

        def handler(connection, request):
            connection.send(b"HTTP/1.1 417 Expectation Failed\r\n" + DATE + b"Content-Length: 2\r\n\r\nno")
            connection.wait_gone()
            return False

        target = self.row(handler)
        client = self.connect()
        client.send(EXPECT % target)
        response = client.whole_response()
        self.assertEqual((response.status, response.body), (417, b"no"))
        if response.has_token("Connection", b"close"):
            # tplb may still read for a while before it closes
            client.half_close()
            client.expect_closed()
        else:
            client.send(b"hello")
            self.assertEqual(client.get(b"/again").body, b"ok")

    def test_39_expect_in_http_1_0(self):
        """It is ignored there, and no 100 is sent to an HTTP/1.0 client."""

        def handler(connection, request):
            if request.has_token("Expect", b"100-continue"):
                connection.send(CONTINUE)
            if connection.read_body(request).complete:
                connection.send(OK)

        target = self.row(handler)
        client = self.connect()
        client.send((EXPECT % target).replace(b"HTTP/1.1", b"HTTP/1.0") + b"hello")
        self.assertEqual(client.read_to_end(), got(b"close"))

    def test_39_unknown_expectation(self):
        self.refused("417", b"POST /CASE HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: wonders\r\n\r\nhello", (417,))

    def test_42_a_server_that_closes(self):
        """Its close is between it and tplb."""

        def handler(connection, request):
            connection.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            return False

        target = self.row(handler)
        client = self.connect()
        for _ in range(5):
            self.assertEqual(client.get(target).raw, got())

    def test_44_early_answer(self):
        """
        The server answers before it has read the body, and closes. The client, still sending, gets the whole answer: it is not lost to a
        reset, whatever the client sends meanwhile.
        """
        answer = b"HTTP/1.1 413 Content Too Large\r\n" + DATE + b"Connection: close\r\nContent-Length: 8\r\n\r\ntoo much"
        body = b"b" * 65536
        for name, length, closes in (
            ("length, closing", 64 << 20, True),
            ("length, not closing", 64 << 20, False),
            ("chunked, closing", None, True),
        ):
            with self.subTest(name):

                def handler(connection, request, closes=closes):
                    connection.send(answer)
                    if closes:
                        connection.half_close()
                    connection.wait_gone()
                    return False

                target = self.row(handler)
                client = self.connect()
                head = b"POST " + target + b" HTTP/1.1\r\nHost: h\r\n"
                if length is None:
                    client.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
                else:
                    client.send(head + b"Content-Length: %d\r\n\r\n" % length)
                stop = threading.Event()

                def upload(client=client, length=length, stop=stop):
                    sent = 0
                    while not stop.is_set() and (length is None or sent < length):
                        piece = body if length else b"10000\r\n" + body + b"\r\n"
                        if not client.try_send(piece):
                            return
                        sent += len(body)

                thread = threading.Thread(target=upload, daemon=True)
                thread.start()
                response = client.whole_response()
                stop.set()
                self.assertEqual((response.status, response.body), (413, b"too much"))
                thread.join(BOUND)
                self.ends_cleanly(client)
                client.close()

    def ends_cleanly(self, client):
        """tplb reads on until the client is done: a reset would take away from slower clients what they have not read yet."""
        client.half_close()
        client.expect_closed()

    def test_44_early_answer_while_client_reads_late(self):
        """The client sends all it has and only then reads."""

        def handler(connection, request):
            connection.send(b"HTTP/1.1 403 Forbidden\r\n" + DATE + b"Connection: close\r\nContent-Length: 2\r\n\r\nno")
            connection.half_close()
            connection.wait_gone()
            return False

        target = self.row(handler)
        client = self.connect()
        client.send(b"POST " + target + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + b"b" * 100000)
        response = client.whole_response()
        self.assertEqual((response.status, response.body), (403, b"no"))
        self.ends_cleanly(client)

    def test_44_early_answer_of_a_server_that_reads_on(self):
        """It accepts, and keeps its connection: it gets the whole body, and the client the end of the answer without waiting for that."""
        for last in ("whole", "a client that leaves"):
            with self.subTest(last):
                bodies = []

                def handler(connection, request, bodies=bodies):
                    connection.send(b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 8\r\n\r\naccepted")
                    bodies.append(connection.read_body(request))
                    return True

                target = self.row(handler)
                client = self.connect()
                client.send(b"POST " + target + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n" + b"b" * 1000)
                response = client.whole_response()
                self.assertEqual((response.status, response.body), (200, b"accepted"))
                client.expect_closed()  # this way; the other is open still
                if last == "whole":
                    client.send(b"c" * 1999000)
                    wait_until(lambda: bodies and bodies[0].complete, "the whole body")
                    self.assertEqual(bodies[0].body, b"b" * 1000 + b"c" * 1999000)
                client.close()
                if last != "whole":
                    wait_until(lambda: bodies, "the end of the body")
                    self.assertFalse(bodies[0].complete)

    def test_44_both_ways_at_once(self):
        """A server that echoes while it reads: more than all buffers hold goes both ways, so neither may wait for the other."""
        total = 24 << 20

        def handler(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: %d\r\n\r\n" % total)
            left = total
            while left and (connection.buf or connection.more()):
                data = connection.take(min(left, len(connection.buf)))
                left -= len(data)
                connection.send(data)

        target = self.row(handler)
        client = self.connect()
        piece = bytes(range(256)) * 256
        client.send(b"POST " + target + b" HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % total)

        def upload():
            for _ in range(total // len(piece)):
                client.sock.sendall(piece)

        thread = threading.Thread(target=upload, daemon=True)
        thread.start()
        response = client.whole_response()
        thread.join(BOUND)
        self.assertTrue(response.body == piece * (total // len(piece)))
        # It was an early answer, after which tplb may close, if it says so.
        if response.has_token("Connection", b"close"):
            client.expect_closed()
        else:
            self.assertEqual(client.get(b"/again").body, b"ok")

    def test_45_half_closed_client(self):
        """It gets its answer, be it that the request was whole before, or the server is slow."""
        gate = threading.Event()

        def slow(connection, request):
            if connection.read_body(request).complete:
                gate.wait(BOUND)
                connection.send(OK)

        for name, head, body in (
            ("GET", b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n", b""),
            ("POST", b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", b"hello"),
            ("chunked", b"POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        ):
            for stalls in (False, True):
                with self.subTest(name, stalls=stalls):
                    gate.clear()
                    target = self.row(slow)
                    client = self.connect()
                    if not stalls:
                        gate.set()
                    client.send(head % target + body).half_close()
                    self.origin.wait_request(target)
                    gate.set()
                    response = client.whole_response()
                    self.assertEqual((response.status, response.body), (200, b"ok"))
                    client.expect_closed()
                    client.close()

    def test_45_half_closed_with_pipelined_requests(self):
        targets = [self.fresh() for _ in range(3)]
        client = self.connect()
        client.send(b"".join(b"GET " + t + b" HTTP/1.1\r\nHost: h\r\n\r\n" for t in targets)).half_close()
        for _ in targets:
            self.assertEqual(client.whole_response().body, b"ok")
        client.expect_closed()


if __name__ == "__main__":
    main()
