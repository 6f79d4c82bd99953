"""Pipelined requests: behaviour 41 of a strict proxy (RFC 9112 sections 9.3.2 and 9.6)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from support.case import CONTROLLED, WireCase, main
from support.raw import BOUND, wait_until
from support.server import DATE, by_target


def echo_target(connection, request):
    body = request.target + b" " + request.body
    connection.send(b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def get(target, extra=b""):
    return b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n" + extra + b"\r\n"


class Pipeline(WireCase):
    def setUp(self):
        super().setUp()
        self.origin = self.server(by_target({}, echo_target))

    def bodies(self, client, count):
        return [client.whole_response().body for _ in range(count)]

    def test_hundred(self):
        for workers, hold in ((4, "request"), (1, "request"), (2, "connection")):
            with self.subTest(workers=workers, hold=hold):
                self.tplb(self.origin, pool={"workers": workers, "hold": hold})
                client = self.client()
                client.send(b"".join(get(b"/%d" % n) for n in range(100)))
                self.assertEqual(self.bodies(client, 100), [b"/%d " % n for n in range(100)])
                self.assertEqual(client.get(b"/after").body, b"/after ")
                client.close()

    def test_servers_get_them_one_by_one(self):
        """Over three servers the answers still come in the order of the requests."""
        others = [self.server(by_target({}, echo_target)) for _ in range(2)]
        self.tplb(self.origin, *others)
        client = self.client()
        client.send(b"".join(get(b"/%d" % n) for n in range(60)))
        self.assertEqual(self.bodies(client, 60), [b"/%d " % n for n in range(60)])

    def test_more_than_a_buffer(self):
        self.tplb(self.origin, limits={"header_size": "2k"})
        client = self.client()
        client.send(b"".join(get(b"/%d" % n, b"X-A: " + b"a" * 700 + b"\r\n") for n in range(50)))
        self.assertEqual(self.bodies(client, 50), [b"/%d " % n for n in range(50)])

    def test_with_bodies(self):
        self.tplb(self.origin)
        client = self.client()
        data = b""
        for n in range(30):
            data += b"POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (n, n) + b"x" * n
            data += b"POST /c%d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" % n
            data += get(b"/g%d" % n)
        client.send(data)
        for n in range(30):
            self.assertEqual(self.bodies(client, 3), [b"/%d " % n + b"x" * n, b"/c%d abc" % n, b"/g%d " % n])

    def test_with_bodies_larger_than_buffers(self):
        self.tplb(self.origin)
        client = self.client()
        big = bytes(range(256)) * 400
        client.send((b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(big) + big + get(b"/g")) * 5)
        for _ in range(5):
            self.assertEqual(self.bodies(client, 2), [b"/p " + big, b"/g "])

    def test_cut_anywhere(self):
        """Two requests in two pieces, cut at every place."""
        self.tplb(self.origin)
        client = self.client()
        data = b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" + get(b"/2")
        for cut in range(1, len(data)):
            client.send(data[:cut])
            client.send(data[cut:])
            self.assertEqual(self.bodies(client, 2), [b"/1 abc", b"/2 "])

    def test_nothing_after_close(self):
        self.tplb(self.origin)
        for name, first in (
            ("GET", get(b"/last", b"Connection: close\r\n")),
            ("POST", b"POST /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
            ("HTTP/1.0", b"GET /last HTTP/1.0\r\nHost: h\r\n\r\n"),
        ):
            with self.subTest(name):
                client = self.client()
                client.send(get(b"/first") + first + get(b"/never") * 20)
                self.assertEqual(self.bodies(client, 2), [b"/first ", b"/last "])
                client.expect_closed()
        self.assertFalse([r for r in self.origin.requests if r.target == b"/never"])

    def test_nothing_after_a_refusal(self):
        self.tplb(self.origin)
        client = self.client()
        client.send(get(b"/first") + b"GET /bad HTTP/1.1\r\n\r\n" + get(b"/never"))
        self.assertEqual(self.bodies(client, 1), [b"/first "])
        self.assertEqual(client.whole_response().status, 400)
        client.expect_closed()
        self.assertFalse([r for r in self.origin.requests if r.target in (b"/never", b"/bad")])

    def test_methods_mixed(self):
        """Answers to HEAD have no body, and that does not shift the others."""
        self.tplb(self.origin)
        client = self.client()
        client.send((b"HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n" + get(b"/g")) * 10)
        # the origin's script sends a body even to HEAD, which tplb must cut off together with that server connection
        for _ in range(10):
            self.assertEqual(client.whole_response(b"HEAD").body, b"")
            self.assertEqual(client.whole_response().body, b"/g ")

    def test_fair_to_others(self):
        """A client that pipelines without end does not keep the only worker for itself."""
        self.tplb(self.origin, pool={"workers": 1}, queue={"timeout": "0s"})
        greedy = self.client()
        greedy.send(b"".join(get(b"/%d" % n) for n in range(300)))
        other = self.client()
        self.assertEqual(other.get(b"/other").body, b"/other ")
        self.assertEqual(self.bodies(greedy, 300), [b"/%d " % n for n in range(300)])

    def test_honest_client_beside_a_thousand(self):
        """It waits for some sixteen requests of the other, not for all that are there."""
        for burst in (1, 8):
            with self.subTest(burst=burst):
                origin = self.server(by_target({b"/0": self.held}, echo_target))
                self.tplb(origin, pool={"workers": 1, "burst": burst}, queue={"timeout": "0s"}, admin=CONTROLLED)
                greedy, honest = self.client(), self.client()
                greedy.send(b"".join(get(b"/%d" % n) for n in range(1000)))
                origin.wait_request(b"/0")
                honest.send(get(b"/honest"))
                wait_until(lambda: ["queue_depth", "1"] in [line.split() for line in self.show("queue")], "that it waits")
                origin.gate.set()
                self.assertEqual(honest.whole_response().body, b"/honest ")
                self.assertEqual(self.bodies(greedy, 1000), [b"/%d " % n for n in range(1000)])
                # On its way to the queue others may pass it for a moment.
                before = [r.target for r in origin.requests].index(b"/honest")
                self.assertLess(before, 300)

    def held(self, connection, request):
        connection.server.gate.wait(BOUND)
        echo_target(connection, request)


if __name__ == "__main__":
    main()
