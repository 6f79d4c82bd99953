"""How much is too much: limits.header_size, headers, body_size and connections."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import time

from support import expect
from support.case import WireCase, main
from support.raw import Client
from support.server import each, stalled, OK

HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n"


class Heads(WireCase):
    def refused(self, data, statuses, server):
        for how in ("at once", "in pieces"):
            with self.subTest(how):
                client = self.client()
                pieces = [data] if how == "at once" else [data[i : i + 700] for i in range(0, len(data), 700)]
                for piece in pieces:
                    if not client.try_send(piece):
                        break
                got = client.read_to_end()
                self.assertFalse(client.was_reset, "the refusal may be lost to a reset")
                expect.check_own_answer(got, statuses, b"close")
                self.assertEqual(server.all_bytes(), b"")
                client.close()

    def test_414(self):
        server = self.server()
        self.tplb(server, limits={"header_size": "2k"})
        self.refused(b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", (414,), server)
        self.refused(b"GET /" + b"a" * 300000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", (414,), server)
        self.refused(b"GET /" + b"a" * 3000, (414,), server)

    def test_431(self):
        server = self.server()
        self.tplb(server, limits={"header_size": "2k"})
        self.refused(HEAD + b"X-A: " + b"a" * 3000 + b"\r\n\r\n", (431,), server)
        self.refused(HEAD + b"X-A: " + b"a" * 300000 + b"\r\n\r\n", (431,), server)
        self.refused(HEAD + b"X-A: " + b"a" * 3000, (431,), server)
        self.refused(HEAD + b"X-A: aaaaaaaaaaaaaaaaaaaaaa\r\n" * 95 + b"\r\n", (431,), server)

    def test_within(self):
        """A head of just the size is served, and grows on its way to the server."""
        server = self.server()
        self.tplb(server, limits={"header_size": "2k"})
        for size in (1500, 2000, 2040, 2048):
            with self.subTest(size):
                start = HEAD + b"X-A: "
                client = self.client()
                client.send(start + b"a" * (size - len(start) - 4) + b"\r\n\r\n")
                self.assertEqual(client.whole_response().status, 200)
                client.close()

    def test_number_of_fields(self):
        server = self.server()
        self.tplb(server, limits={"headers": 20})
        self.refused(HEAD + b"X-A: b\r\n" * 20 + b"\r\n", (431,), server)
        self.refused(HEAD + b"X-A: b\r\n" * 400 + b"\r\n", (431,), server)
        client = self.client()
        client.send(HEAD + b"X-A: b\r\n" * 19 + b"\r\n")
        self.assertEqual(client.whole_response().status, 200)

    def test_large_limit(self):
        server = self.server()
        self.tplb(server, limits={"header_size": "256k", "headers": 1000})
        client = self.client()
        client.send(HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 250) for n in range(900)) + b"\r\n")
        self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(len([f for f in server.wait_requests(1).fields if f[1] == b"a" * 250]), 900)

    def test_a_second_large_head(self):
        """The limit is each head's, not the connection's."""
        self.tplb(self.server(), limits={"header_size": "2k"})
        client = self.client()
        for _ in range(10):
            client.send(HEAD + b"X-A: " + b"a" * 1500 + b"\r\n\r\n")
            self.assertEqual(client.whole_response().status, 200)
        client.send((HEAD + b"X-A: " + b"a" * 900 + b"\r\n\r\n") * 10)
        for _ in range(10):
            self.assertEqual(client.whole_response().status, 200)


class Bodies(WireCase):
    def start(self):
        server = self.server()
        self.tplb(server, limits={"body_size": "1000"})
        return server

    def test_413_by_length(self):
        """Refused before any byte goes on."""
        server = self.start()
        for extra in (b"", b"Expect: 100-continue\r\n"):
            client = self.client()
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\n" + extra + b"Content-Length: 1001\r\n\r\n")
            got = client.read_to_end()
            self.assertFalse(client.was_reset)
            expect.check_own_answer(got, (413,), b"close")
        self.assertEqual(server.all_bytes(), b"")

    def test_no_body_in_answer_to_head(self):
        """However little of the request was understood (RFC 9110 section 9.3.2)."""
        self.start()
        for status, rest in (
            (413, b"/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n"),
            (417, b"/ HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n"),
            (400, b"/ HTTP/1.1\r\n\r\n"),
            (400, b"/ HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n"),
            (414, b"/" + b"a" * 20000),
            (431, b"/ HTTP/1.1\r\nX-A: " + b"a" * 20000),
        ):
            with self.subTest(status):
                client = self.client()
                client.try_send(b"HEAD " + rest)
                expect.check_own_answer(client.read_to_end(), (status,), b"close", head=True)
                client.close()

    def test_413_can_be_read_by_a_client_that_sends(self):
        self.start()
        client = self.client()
        body = b"x" * 2000000
        client.try_send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        expect.check_own_answer(client.response().raw, (413,), b"close")

    def test_413_by_chunks(self):
        """Counted as it comes; the server never sees a whole request."""
        server = self.start()
        for body in (b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", b"64\r\n" + b"x" * 100 + b"\r\n", b"100000\r\n"):
            client = self.client()
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            if body.startswith(b"64"):
                for _ in range(11):
                    client.try_send(body)
            else:
                client.try_send(body)
                if body.startswith(b"100000"):
                    client.try_send(b"x" * 2000)
            expect.check_own_answer(client.response().raw, (413,), b"close")
            client.close()
        server.wait(lambda: all(c.finished for c in server.connections))
        self.assertEqual(server.requests, [])

    def test_within(self):
        server = self.start()
        client = self.client()
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
        self.assertEqual(client.whole_response().status, 200)
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + b"64\r\n%s\r\n" % (b"x" * 100) * 10 + b"0\r\n\r\n")
        self.assertEqual(client.whole_response().status, 200)
        self.assertEqual([len(r.body) for r in server.requests], [1000, 1000])


class Connections(WireCase):
    def test_longest_parked_goes(self):
        """The limit reached, a new connection takes the place of the one that is idle longest."""
        self.tplb(self.server(), limits={"connections": 5}, pool={"workers": 1})
        clients = []
        for _ in range(5):
            client = self.client()
            self.assertEqual(client.get().status, 200)
            clients.append(client)
            time.sleep(0.05)  # who is idle longer is the subject, and a clock has ticks
        self.assertEqual(clients[0].get().status, 200)  # now clients[1] is the longest idle
        new = self.client()
        self.assertEqual(new.get().status, 200)
        clients[1].expect_gone()
        for client in (clients[0], clients[2], clients[3], clients[4], new):
            self.assertEqual(client.get().status, 200)

    def test_503_when_all_are_busy(self):
        """Nobody can go: the new one is told so, and can read it."""
        server = self.server(stalled)
        self.tplb(server, limits={"connections": 4}, pool={"workers": 8})
        busy = []
        for n in range(1, 5):
            client = self.client()
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            server.wait_requests(n)
            busy.append(client)
        for _ in range(3):
            client = self.client()
            client.try_send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n" + b"x" * 100)
            got = client.read_to_end()
            self.assertFalse(client.was_reset)
            expect.check_own_answer(got, (503,), b"close")
            client.close()
        server.gate.set()
        for client in busy:
            self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(self.client().get().status, 200)

    def test_many_come_and_go(self):
        self.tplb(self.server(each(OK)), limits={"connections": 8})
        for _ in range(300):
            client = Client(self.balancer.address)
            self.assertEqual(client.get().status, 200)
            client.close()


if __name__ == "__main__":
    main()
