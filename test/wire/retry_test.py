"""A request that a server lost goes to another one: never twice what must not be, never after the client got a byte, and within a budget."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from support import expect
from support.case import WireCase, main
from support.server import answer, by_target
from support.tplb import ENGINE

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


class Retry(WireCase):
    def loser(self, said=b"", reset=False):
        """Closes each connection after a request, having said this much."""

        def script(connection):
            if connection.read_request():
                if said:
                    connection.send(said)
                if reset:
                    connection.reset()

        return self.server(script)

    def good(self):
        return self.server(by_target({}, answer(b"good")))

    def start(self, *servers, upstream=None, **options):
        self.tplb(*servers, upstream=dict({"passive": {"max_fails": 0}}, **(upstream or {})), **options)

    def summary(self, name):
        self.finish()
        found = [line for line in self.balancer.lines if " %s " % name in line]
        return int(found[0].rsplit(" ", 1)[1]) if found else 0

    def test_lost_at_every_stage(self):
        """Without a byte or within the head: the client sees nothing of it."""
        for said in (b"", b"HTTP/1.1 20", HEAD[:-2]):
            for reset in (False, True):
                with self.subTest(said, reset=reset):
                    loser, good = self.loser(said, reset), self.good()
                    self.start(loser, good)
                    client = self.client()
                    for _ in range(6):
                        self.assertEqual(client.get().body, b"good")
                    self.assertEqual(len(good.requests), 6)
                    self.assertGreaterEqual(len(loser.requests), 3)
                    self.assertEqual(self.summary("retries"), len(loser.requests))

    def test_same_bytes(self):
        """The other server gets what the first one got."""
        loser, good = self.loser(HEAD[:-2]), self.good()
        self.start(loser, good)
        client = self.client()
        client.send(b"GET /a?b HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nMax-Forwards: 3\r\nCookie: c\r\n\r\n")
        self.assertEqual(client.whole_response().body, b"good")
        self.assertEqual(bytes(loser.requests[0].raw_head), bytes(good.requests[0].raw_head))

    def test_pipelined(self):
        """What came behind the request stays behind it."""
        loser, good = self.loser(), self.server(by_target({b"/2": answer(b"two")}, answer(b"one")))
        self.start(loser, good)
        client = self.client()
        client.send(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertEqual(client.whole_response().body, b"one")
        self.assertEqual(client.whole_response().body, b"two")

    def test_methods(self):
        for method, again in ((b"HEAD", True), (b"PUT", True), (b"DELETE", True), (b"OPTIONS", True),
                              (b"POST", False), (b"PATCH", False), (b"BREW", False)):  # fmt: skip
            with self.subTest(method):
                loser, good = self.loser(), self.good()
                self.start(loser, good)
                client = self.client()
                client.send(b"%s / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" % method)
                response = client.whole_response(method)
                self.assertEqual(response.status, 200 if again else 502)
                self.assertEqual((len(loser.requests), len(good.requests)), (1, 1 if again else 0))

    def test_body(self):
        """A body that has gone out is gone."""
        loser, good = self.loser(), self.good()
        self.start(loser, good)
        client = self.client()
        client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
        expect.check_own_answer(client.whole_response().raw, (502,))
        self.assertEqual(len(good.requests), 0)

    def test_after_the_first_byte(self):
        """The client has got some of the answer, be it the head: it must see that it breaks off."""
        for body in (b"", b"some"):
            with self.subTest(body):
                loser, good = self.loser(HEAD + body), self.good()
                self.start(loser, good)
                client = self.client()
                client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                self.assertFalse(client.response().complete)
                self.assertEqual(len(good.requests), 0)

    def test_after_an_interim_answer(self):
        for minor, again in ((1, False), (0, True)):
            with self.subTest(minor):
                loser, good = self.loser(b"HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\n"), self.good()
                self.start(loser, good)
                client = self.client()
                client.send(b"GET / HTTP/1.%d\r\nHost: h\r\n\r\n" % minor)
                if minor:
                    self.assertEqual(client.whole_response().status, 103)
                self.assertEqual(client.whole_response().status, 200 if again else 502)

    def test_broken_is_not_lost(self):
        """An answer that makes no sense would make none a second time."""
        loser, good = self.server(by_target({}, b"nonsense\r\n\r\n")), self.good()
        self.start(loser, good)
        self.assertEqual(self.client().get().status, 502)
        self.assertEqual(len(good.requests), 0)

    def test_not_to_the_same(self):
        loser = self.loser()
        self.start(loser)
        self.assertEqual(self.client().get().status, 502)
        self.assertEqual(len(loser.requests), 1)

    def test_so_many_and_no_more(self):
        for retries, tried, status in ((0, 1, 502), (1, 2, 502), (2, 3, 502), (3, 4, 200)):
            with self.subTest(retries):
                losers, good = [self.loser() for _ in range(3)], self.good()
                self.start(*losers, good, upstream={"retries": retries})
                self.assertEqual(self.client().get().status, status)
                self.assertEqual(sum(len(s.requests) for s in losers + [good]), tried)

    def test_budget(self):
        """An outage is not multiplied: when the bucket is empty only a tenth of the requests is sent again."""
        losers = [self.loser(), self.loser()]
        self.start(*losers, upstream={"retry_budget": 10}, pool={"workers": 1})
        client = self.client()
        for _ in range(1500):
            self.assertEqual(client.get().status, 502)
        sent = sum(len(s.requests) for s in losers)
        full = 32 if ENGINE == "pool" else 1024
        # The bucket is empty after `empty` requests, each of which put a tenth in; from then on one in ten is sent again.
        empty = full * 10 // 9
        self.assertAlmostEqual(sent - 1500, empty + (1500 - empty) // 10, delta=3)
        self.assertEqual(self.summary("retries_denied"), 3000 - sent)

    def test_all_gone_under_kept_connections(self):
        """Each server's kept connection closes on the request, and each refuses another: 503, and it says so."""

        def script(connection):
            if connection.read_request():
                connection.send(answer())
                connection.read_request()

        servers = [self.server(script) for _ in range(3)]
        self.start(*servers)
        client = self.client()
        for _ in range(3):
            self.assertEqual(client.get().status, 200)
        for server in servers:
            server.stop_listening()
        for _ in range(3):
            response = client.get()
            self.assertEqual(response.status, 503)
            self.assertIn(b"(connect_failed)", response.body)
            if b"close" in response.all("connection"):
                client = self.client()

    def test_counts_as_failure(self):
        """What loses requests goes down, as what refuses connections does."""
        loser, good = self.loser(), self.good()
        self.tplb(loser, good, upstream={"passive": {"max_fails": 2}})
        client = self.client()
        for _ in range(20):
            self.assertEqual(client.get().status, 200)
        self.assertEqual(len(loser.requests), 2)
        self.balancer.wait_line("is down: .*: its connection was lost before the answer")


if __name__ == "__main__":
    main()
