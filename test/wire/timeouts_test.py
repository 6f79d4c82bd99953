"""What is too slow ends, and says so: 408, 503, 504 (RFC 9110 sections 15.5.9 and 15.6) and quiet expiry."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import socket
import threading
import time

from support import expect
from support.case import WireCase, main
from support.raw import BOUND
from support.server import DATE, OK, by_target, each, silent_to_connects, stalled, unconnectable

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def timeouts(**values):
    return {"timeouts": values}


def send_slowly(stream, pieces, since):
    """
    One after the other, 0.1 s apart, the first one for whom waits since then: with 30 it is more than 2 s in all. Whether the machine let none of them be 2 s
    late, so that who waits so long for each must have got it.
    """
    in_time = gone = False
    for n, piece in enumerate(pieces):
        began = time.monotonic()
        try:
            stream.send(piece)
        except OSError:
            gone = True
        in_time = (n == 0 or in_time) and time.monotonic() - since < 2
        if gone:
            break
        since = began
        time.sleep(0.1)  # the pace is the subject
    return in_time


class HeadTimeout(WireCase):
    def begun(self, data, seconds):
        """A client that had sent this when so much time had not passed since it connected: the machine may be busy elsewhere for longer, but not always."""
        while True:
            began = time.monotonic()
            client = self.client()
            if client.try_send(data) and time.monotonic() - began < seconds:
                return client
            client.close()

    def test_408_when_the_head_stalls(self):
        self.tplb(self.server(), **timeouts(request_header="300ms"))
        for part in (b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nX-A: b\r\n"):
            with self.subTest(part):
                client = self.begun(part, 0.3)
                got = client.read_to_end()
                self.assertFalse(client.was_reset)
                expect.check_own_answer(got, (408,), b"close")

    def test_408_is_absolute(self):
        """Byte after byte does not prolong it."""
        server = self.server()
        self.tplb(server, **timeouts(request_header="500ms"))
        client = self.begun(b"GET / HTTP/1.1\r\nHost: h\r\nX-A: ", 0.5)
        stop = threading.Event()

        def drip():
            while not stop.wait(0.02):
                if not client.try_send(b"b"):
                    return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        got = client.response()  # the stream need not end cleanly for one that goes on sending, but the answer must arrive
        stop.set()
        thread.join(BOUND)
        expect.check_own_answer(got.raw, (408,), b"close")
        self.assertEqual(server.all_bytes(), b"")

    def test_408_for_a_second_request(self):
        self.tplb(self.server(), **timeouts(request_header="300ms"))
        client = self.begun(GET, 0.3)
        self.assertEqual(client.whole_response().status, 200)
        client.send(b"GET / HT")
        expect.check_own_answer(client.read_to_end(), (408,), b"close")

    def test_408_behind_a_pipelined_request(self):
        self.tplb(self.server(), **timeouts(request_header="300ms"))
        client = self.begun(GET + b"GET / HT", 0.3)
        self.assertEqual(client.whole_response().status, 200)
        expect.check_own_answer(client.read_to_end(), (408,), b"close")

    def test_slow_but_in_time(self):
        self.tplb(self.server(), **timeouts(request_header="60s"))
        client = self.client()
        client.send_bytewise(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertEqual(client.whole_response().status, 200)


class ClientTimeout(WireCase):
    def test_body_stalls(self):
        """The client gets 408 or a close; the server never a whole request."""
        server = self.server()
        self.tplb(server, **timeouts(client="300ms"))
        client = self.client()
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello")
        got = client.read_to_end()
        if got:
            expect.check_own_answer(got, (408,), b"close")
        server.wait(lambda: all(c.finished for c in server.connections))
        self.assertEqual(server.requests, [])

    def test_slow_body_in_time(self):
        """Each byte starts the time anew."""
        self.tplb(self.server(), **timeouts(client="2s"))
        in_time = False
        while not in_time:
            client = self.client()
            head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\n"
            in_time = send_slowly(client, [head] + 30 * [b"x"], time.monotonic())
            if in_time:
                self.assertEqual(client.whole_response().status, 200)
            client.close()

    def test_client_does_not_read(self):
        """A client that takes nothing of a large answer is cut off, and the server's connection with it."""
        server = self.server(each(b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 300000000\r\n\r\n" + b"x" * 100000000))
        self.tplb(server, **timeouts(client="300ms"))
        client = self.client(receive_buffer=4096)
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_finished(1)


class ServerTimeout(WireCase):
    def test_504_when_the_server_is_silent(self):
        server = self.server(stalled)
        self.tplb(server, **timeouts(server="300ms"))
        for request in (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"):
            client = self.client()
            client.send(request)
            expect.check_own_answer(client.whole_response().raw, (504,))
        server.wait_requests(2)  # its threads may be slower than the timeout
        server.gate.set()
        self.finish()
        server.wait(lambda: all(c.finished for c in server.connections), "the end of all connections")
        self.assertEqual(len(server.requests), 2, "a request that reached a silent server is not sent again")

    def test_504_within_the_head(self):
        def script(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\n")
            connection.wait_gone()

        self.tplb(self.server(script), **timeouts(server="300ms"))
        expect.check_own_answer(self.client().get().raw, (504, 502))

    def test_server_stalls_in_the_body(self):
        """Too late for a status: the answer is cut short."""

        def script(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            connection.wait_gone()

        server = self.server(script)
        self.tplb(server, upstream={"passive": {"max_fails": 0}}, **timeouts(server="300ms"))
        status = 504
        while status == 504:  # where the server's thread was too slow for even a beginning
            client = self.client()
            client.send(GET)
            got = client.response()
            status = got.status
        self.assertEqual((got.status, got.body, got.complete), (200, b"hello", False))
        server.wait_finished(1)

    def test_slow_but_steady_server(self):
        """Progress starts the time anew."""

        asked, in_time = [], []

        def script(connection):
            connection.read_request()
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n"
            in_time.append(send_slowly(connection, [head] + 30 * [b"x"], asked[-1]))

        server = self.server(script)
        self.tplb(server, upstream={"passive": {"max_fails": 0}}, **timeouts(server="2s"))
        while True not in in_time:
            asked.append(time.monotonic())
            client = self.client()
            client.send(GET)
            got = client.response()
            server.wait(lambda: len(in_time) >= len(asked), "the end of the answer")
        self.assertEqual((got.complete, got.body), (True, b"x" * 30))


class Connecting(WireCase):
    def refusing(self):
        sock, address = unconnectable()
        self.keep(sock)
        return address

    def full(self):
        sockets, address = silent_to_connects()
        for sock in sockets:
            self.keep(sock)
        return address

    def test_next_server_after_a_refused_connect(self):
        server = self.server()
        self.tplb(self.refusing(), self.refusing(), server)
        for _ in range(6):
            self.assertEqual(self.client().get().status, 200)
        self.assertEqual(len(server.requests), 6)

    def test_next_server_after_a_silent_connect(self):
        server = self.server()
        self.tplb(self.full(), server, **timeouts(connect="200ms"))
        for _ in range(4):
            self.assertEqual(self.client().get().status, 200)

    def test_next_server_for_a_post(self):
        """No byte was sent, so any method may go to the next."""
        server = self.server()
        self.tplb(self.refusing(), server)
        for n in range(1, 4):
            client = self.client()
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
            self.assertEqual(client.whole_response().status, 200)
            self.assertEqual(server.wait_requests(n).body, b"hello")

    def test_503_when_none_is_reachable(self):
        self.tplb(self.refusing(), self.refusing())
        for request in (
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200000,
        ):
            client = self.client()
            client.send(request)
            expect.check_own_answer(client.whole_response().raw, (503,))

    def test_503_when_all_are_silent(self):
        self.tplb(self.full(), **timeouts(connect="200ms"))
        got = self.client().get()
        expect.check_own_answer(got.raw, (503, 504))

    def test_503_to_head_has_no_body(self):
        self.tplb(self.refusing())
        client = self.client()
        client.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
        expect.check_own_answer(client.whole_response(b"HEAD").raw, (503,), head=True)

    def test_back_again(self):
        """A server that comes (back) is used."""
        sock, address = unconnectable()
        self.keep(sock)
        self.tplb(address)
        self.assertEqual(self.client().get().status, 503)
        sock.close()
        self.server(each(OK), address=address)
        self.assertEqual(self.client().get().status, 200)


class KeepAlive(WireCase):
    def test_idle_connection_closes_quietly(self):
        self.tplb(self.server(), **timeouts(keepalive="200ms"))
        client = self.client()
        self.assertEqual(client.get().status, 200)
        client.expect_closed()

    def test_connection_without_a_request_closes(self):
        self.tplb(self.server(), **timeouts(keepalive="200ms", request_header="200ms"))
        client = self.client()
        got = client.read_to_end()
        if got:
            expect.check_own_answer(got, (408,), b"close")

    def test_none(self):
        """keepalive = "0s": every answer says close, and does."""
        self.tplb(self.server(), **timeouts(keepalive="0s"))
        for extra in (b"", b"Connection: keep-alive\r\n"):
            client = self.client()
            got = client.get(extra=extra)
            self.assertEqual(got.get("Connection"), b"close")
            client.expect_closed()
        client = self.client()
        client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.assertEqual(client.whole_response().get("Connection"), b"close")
        client.expect_closed()


class QueueTimeout(WireCase):
    def served(self, target=b"/"):
        """A client that was answered well. The worker may be slower than queue.timeout to come for it, but not always."""
        while True:
            client = self.client()
            got = client.get(target)
            if got.status == 200:
                return client
            expect.check_own_answer(got.raw, (503,), b"close")
            client.close()

    def test_503(self):
        """The only worker is with a stalled server: who waits longer than queue.timeout gets 503 and may come again."""

        def stall(connection, request):
            connection.server.gate.wait(BOUND)
            connection.send(OK)

        server = self.server(by_target({b"/first": stall}))
        self.tplb(server, pool={"workers": 1, "hold": "connection"}, queue={"size": 100, "timeout": "300ms"})
        first = self.served()  # and holds the worker from now on
        first.send(b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_request(b"/first")
        for _ in range(3):
            client = self.client()
            client.send(b"POST /late HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
            got = client.read_to_end()
            self.assertFalse(client.was_reset)
            expect.check_own_answer(got, (503,), b"close")
        server.gate.set()
        self.assertEqual(first.whole_response().status, 200)
        first.close()
        self.served(b"/later")
        self.assertFalse([r for r in server.requests if r.target == b"/late"])


if __name__ == "__main__":
    main(at_once=True)
