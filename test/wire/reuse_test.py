"""Server connections are used again, and never wrongly: behaviours 36 and 43 of a strict proxy (RFC 9112 section 9)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import threading

from support import expect
from support.case import WireCase, main
from support.raw import BOUND
from support.server import DATE, OK, each

POST = b"POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"


class Reuse(WireCase):
    def one_at_a_time(self, server, count=1):
        """Until the server has this many connections that are over."""
        server.wait_finished(count)

    def test_kept(self):
        """Many requests over many client connections, one server connection. (One worker, so that it is free again before the next request.)"""
        server = self.server()
        self.tplb(server, pool={"workers": 1})
        for _ in range(5):
            client = self.client()
            for _ in range(5):
                self.assertEqual(client.get().status, 200)
            client.close()
        self.assertEqual(len(server.requests), 25)
        self.assertEqual(len(server.connections), 1)

    def test_kept_after_each_kind_of_answer(self):
        answers = [
            OK,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            OK,
        ]
        server = self.server(each(*answers))
        self.tplb(server, pool={"workers": 1})
        client = self.client()
        for _ in answers:
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            while client.whole_response().status < 200:
                pass
        self.assertEqual(len(server.connections), 1)

    def test_not_kept(self):
        """After these answers a server connection is closed."""
        for name, answer in (
            ("close", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
            ("HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            ("HTTP/1.0 close", b"HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
        ):
            with self.subTest(name):

                def script(connection, answer=answer):
                    connection.read_request()
                    connection.send(answer)
                    connection.wait_gone()
                    self.assertEqual(len(connection.requests), 1)

                server = self.server(script)
                self.tplb(server)
                client = self.client()
                for n in range(1, 4):
                    self.assertEqual(client.get().body, b"ok")
                    self.one_at_a_time(server, n)
                self.assertEqual(len(server.connections), 3)

    def test_none_kept(self):
        """keepalive = 0: a server connection a request."""
        server = self.server()
        self.tplb(server, upstream={"keepalive": 0})
        client = self.client()
        for n in range(1, 6):
            self.assertEqual(client.get().status, 200)
            self.one_at_a_time(server, n)
        self.assertEqual(len(server.connections), 5)

    def test_no_more_kept_than_said(self):
        """Ten at once, two of them kept."""
        barrier = threading.Barrier(10)

        def script(connection):
            while connection.read_request():
                if connection.requests[-1].target == b"/together":
                    barrier.wait(BOUND)
                connection.send(OK)

        server = self.server(script)
        self.tplb(server, upstream={"keepalive": 2}, pool={"workers": 16})
        clients = [self.client() for _ in range(10)]
        for client in clients:
            client.send(b"GET /together HTTP/1.1\r\nHost: h\r\n\r\n")
        for client in clients:
            self.assertEqual(client.whole_response().status, 200)
        server.wait_finished(8)
        self.assertEqual(len(server.connections), 10)
        for client in clients:
            self.assertEqual(client.get().status, 200)

    def stale(self):
        """A server that closes each connection after its first answer without having said so."""

        def script(connection):
            if connection.read_request():
                connection.send(OK)

        return self.server(script)

    def test_stale_connection_is_replaced(self):
        """The server closed it while it was idle: the next request does not notice, whatever its method."""
        server = self.stale()
        self.tplb(server)
        client = self.client()
        for n in range(1, 11):
            client.send(POST if n % 2 else b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            self.assertEqual(client.whole_response().status, 200)
            server.wait_finished(n)
        self.assertEqual(len(server.requests), 10)

    def race(self):
        """
        A server that closes the connection the moment a second request arrives on it, without a byte of an answer: what the race
        between a server's idle timeout and a request looks like.
        """

        def script(connection):
            if connection.read_request():
                connection.send(OK)
            if connection.more():
                connection.reset() if connection.index % 2 else connection.close()

        return self.server(script)

    def test_idempotent_request_is_sent_again(self):
        for method in (b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"):
            with self.subTest(method):
                server = self.race()
                self.tplb(server)
                client = self.client()
                for _ in range(6):
                    client.send(method + b" / HTTP/1.1\r\nHost: h\r\n\r\n")
                    self.assertEqual(client.whole_response(method).status, 200)
                client.close()

    def test_post_is_never_sent_twice(self):
        """Neither whole nor in part: the client gets 502, for nobody knows whether the server has acted."""
        for post in (POST, POST.replace(b"Length: 5", b"Length: 0").replace(b"hello", b""), POST.replace(b"POST", b"PATCH")):
            with self.subTest(post):
                server = self.race()
                # One worker, so that the connection is kept before the second request comes.
                self.tplb(server, pool={"workers": 1})
                client = self.client()
                self.assertEqual(client.get().status, 200)
                client.send(post)
                got = client.whole_response()
                if got.status == 502:
                    expect.check_own_answer(got.raw, (502,))
                else:  # on a connection of its own, where no race is possible
                    self.assertEqual(got.status, 200)
                self.assertEqual(server.all_bytes().count(b" /post"), 1)

    def test_post_on_a_fresh_connection_is_not_sent_again(self):
        def script(connection):
            connection.read_request()  # and close

        server = self.server(script)
        self.tplb(server, self.server(script))
        client = self.client()
        for n in range(1, 5):
            client.send(POST)
            expect.check_own_answer(client.whole_response().raw, (502,))
        self.assertEqual(sum(s.all_bytes().count(b"POST /post") for s in self._servers), 4)

    def test_request_with_a_body_is_not_sent_again_in_part(self):
        """A PUT with a body may be sent again only if all of it still can: else 502."""
        server = self.race()
        self.tplb(server)
        client = self.client()
        body = b"x" * 500000
        for n in range(4):
            client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body))
            client.try_send(body)
            got = client.whole_response()
            self.assertIn(got.status, (200, 502))
            if got.has_token("Connection", b"close"):
                client = self.client()
        for request in server.requests:
            self.assertEqual(request.body, body)

    def test_no_second_try_after_a_byte_of_the_answer(self):
        def script(connection):
            if connection.read_request():
                connection.send(OK)
            if connection.read_request():
                connection.send(b"H")

        server = self.server(script)
        self.tplb(server, pool={"workers": 1})
        client = self.client()
        self.assertEqual(client.get().status, 200)
        expect.check_own_answer(client.get().raw, (502,))
        self.assertEqual(len(server.requests), 2)

    def test_fresh_connection_without_an_answer(self):
        """GET: a server that closes every time is not asked for ever."""

        def script(connection):
            connection.read_request()

        server = self.server(script)
        self.tplb(server)
        expect.check_own_answer(self.client().get().raw, (502,))
        self.assertLessEqual(len(server.requests), 3)


class Unasked(WireCase):
    """36: bytes that nobody asked for never reach the next client."""

    EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

    def test_behind_an_answer(self):
        def script(connection):
            n = 0
            while connection.read_request():
                n += 1
                connection.send(OK + (self.EVIL if n == 1 else b""))

        server = self.server(script)
        self.tplb(server)
        for n in range(10):
            client = self.client()
            self.assertEqual(client.get().body, b"ok")
            client.close()

    def test_later_on_an_idle_connection(self):
        def script(connection):
            # On the first connection only: bytes that come when a request is just on its way look like its answer to anybody.
            if connection.index == 0 and connection.read_request():
                connection.send(OK)
                connection.server.gate.wait(BOUND)
                connection.send(self.EVIL)
                connection.said_it = True
                with connection.server.changed:
                    connection.server.changed.notify_all()
            while connection.read_request():
                connection.send(OK)

        server = self.server(script)
        self.tplb(server)
        client = self.client()
        self.assertEqual(client.get().body, b"ok")
        server.gate.set()
        server.wait(lambda: getattr(server.connections[0], "said_it", False))
        for _ in range(5):
            for stream in (client, self.client()):
                self.assertEqual(stream.get().body, b"ok")

    def test_a_408_before_closing(self):
        """What servers say when their idle timeout comes is an answer to nobody."""

        def script(connection):
            if connection.read_request():
                connection.send(OK)
                connection.send(b"HTTP/1.1 408 Request Timeout\r\n" + DATE + b"Connection: close\r\nContent-Length: 0\r\n\r\n")

        server = self.server(script)
        self.tplb(server)
        client = self.client()
        for n in range(1, 6):
            self.assertEqual(client.get().status, 200)
            server.wait_finished(n)

    def test_before_the_first_request(self):
        """A server that speaks first does not speak HTTP: nobody gets that as an answer to what was sent later."""

        def script(connection):
            connection.send(b"220 ready\r\n\r\n")
            connection.wait_gone()

        self.tplb(self.server(script))
        expect.check_own_answer(self.client().get().raw, (502,))


if __name__ == "__main__":
    main()
