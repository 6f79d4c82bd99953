"""limits.requests_per_client: so many requests of one address at once, the others get 429 at once."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import select

from support.case import WireCase, main
from support.message import mask_date
from support.raw import BOUND, wait_until
from support.server import OK, by_target, stalled

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
REFUSED = (
    b"HTTP/1.1 429 Too Many Requests\r\nDate: DATE\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 62\r\nRetry-After: 1\r\nConnection: keep-alive\r\n\r\n"
    b"Too Many Requests: too many of them at once (client_requests)\n"
)


def held(connection, request):
    connection.server.gate.wait(BOUND)
    connection.send(OK)


class Clients(WireCase):
    def start(self, limit, script=stalled, **options):
        self.origin = self.server(script)
        self.tplb(self.origin, limits={"requests_per_client": limit}, **options)

    def ask(self, client):
        got = client.get()
        if got.status == 429:
            self.assertEqual(mask_date(got.raw), REFUSED)
        return got.status

    def test_excess(self):
        """Refused at once while the others wait; their connection stays, and once there is room they are served on it."""
        self.start(2)
        busy = []
        for n in (1, 2):
            busy.append(self.client().send(GET))
            self.origin.wait_requests(n)
        waiting = [self.client() for _ in range(3)]
        for _ in range(2):
            self.assertEqual([self.ask(client) for client in waiting], [429] * 3)
        self.assertEqual(len(self.origin.requests), 2)
        self.origin.gate.set()
        self.assertEqual([client.whole_response().status for client in busy], [200, 200])
        # An answer is there a moment before its request is over.
        wait_until(lambda: self.ask(waiting[0]) == 200, "200 again")
        self.assertGreaterEqual(self.counters()["refused_client_requests"], 6)

    def test_others(self):
        """Each address has a share of its own."""
        self.start(1)
        for n, source in enumerate(("127.0.0.1", "127.0.0.2", "127.0.0.3")):
            self.client(source=source).send(GET)
            self.origin.wait_requests(n + 1)
            self.assertEqual(self.ask(self.client(source=source)), 429)

    def test_exact(self):
        """50 at once, over all workers and loops: five reach the server."""
        self.start(5, **{"async": {"loops": 2}})
        clients = [self.client() for _ in range(50)]
        for client in clients:
            client.send(GET)
        refused = 0
        waiting = list(clients)
        while refused < 45:
            ready, _, _ = select.select([c.sock for c in waiting], [], [], BOUND)
            self.assertTrue(ready, "only %d were refused" % refused)
            for client in [c for c in waiting if c.sock in ready]:
                self.assertEqual(mask_date(client.whole_response().raw), REFUSED)
                waiting.remove(client)
                refused += 1
        self.origin.wait_requests(5)
        self.assertEqual((refused, len(waiting), len(self.origin.requests)), (45, 5, 5))
        self.origin.gate.set()
        self.assertEqual([client.whole_response().status for client in waiting], [200] * 5)
        self.assertEqual(len(self.origin.requests), 5)

    def test_one_connection_is_one_request(self):
        """Pipelined requests are never two at once."""
        self.start(1, None)
        client = self.client()
        client.send(GET * 100)
        self.assertEqual([client.whole_response().status for _ in range(100)], [200] * 100)

    def test_every_end_gives_the_place_back(self):
        """However a request ends."""

        def reset(connection, request):
            connection.reset()

        def half(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            return False

        self.start(1, by_target({b"/reset": reset, b"/half": half, b"/held": held}))

        def free(what):
            """One that was served: a further request on its connection finds the place free (on another one it may come a moment too early)."""
            client = self.client()
            wait_until(lambda: self.ask(client) == 200, "a place after " + what)
            return client

        client = self.client()
        for target in (b"/reset", b"/half"):
            client.send(b"POST " + target + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
            client.response()
            client = free(target.decode())
        client.send(b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nx")  # it never comes whole
        self.origin.wait(lambda: any(b"/body" in c.bytes for c in self.origin.connections))
        client.reset()
        client = free("an upload that was cut")
        client.send(b"GET /held HTTP/1.1\r\nHost: h\r\n\r\n")
        self.origin.wait_request(b"/held")
        client.reset()
        self.assertEqual(self.ask(self.client()), 429)
        self.origin.gate.set()
        free("a client that left")

    def test_before_the_rate(self):
        """A request that is refused here takes no token there."""
        self.start(1, listener={"rate": {"requests": 1, "per": "1h", "burst": 3}})
        busy = self.client().send(GET)
        self.origin.wait_requests(1)
        other = self.client()
        self.assertEqual([self.ask(other) for _ in range(5)], [429] * 5)
        self.origin.gate.set()
        self.assertEqual(busy.whole_response().status, 200)
        self.assertEqual([busy.get().status for _ in range(3)], [200, 200, 429])

    def test_upgraded(self):
        """A tunnel after 101 counts as long as it is there."""

        def upgrade(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            connection.wait_gone()

        self.start(1, upgrade)
        client = self.client()
        client.send(UPGRADE)
        client.read_until(b"\r\n\r\n")
        self.assertEqual(self.ask(self.client()), 429)
        client.close()

        def opened():
            again = self.client()
            again.send(UPGRADE)
            return again.read_until(b"\r\n").startswith(b"HTTP/1.1 101")

        wait_until(opened, "a place")

    def test_tcp(self):
        """Connections count in tcp mode, and the excess is closed."""

        def echo(connection):
            while connection.more():
                connection.send(connection.take(len(connection.buf)))

        self.start(2, echo, mode="tcp")
        first = [self.client() for _ in range(2)]
        for client in first:
            client.send(b"x")
            self.assertEqual(client.read_exactly(1), b"x")
        for _ in range(3):
            self.client().expect_gone()
        first[0].close()
        self.origin.wait_finished(1)

        def served():
            client = self.client()
            return client.try_send(b"y") and client.more() and client.take(1) == b"y"

        wait_until(served, "a place")
        self.assertGreaterEqual(self.counters()["refused_client_requests"], 3)


if __name__ == "__main__":
    main()
