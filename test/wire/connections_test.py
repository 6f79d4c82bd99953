"""limits.connections_per_client: so many connections of one address at once; the excess is told so, and costs nobody else anything."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import select

from support.case import WireCase, main
from support.message import mask_date
from support.raw import BOUND, wait_until
from support.server import by_target

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
UPGRADE = b"GET /up HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
REFUSED = (
    b"HTTP/1.1 429 Too Many Requests\r\nDate: DATE\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 69\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    b"Too Many Requests: too many connections at once (client_connections)\n"
)
LINGERING = 16  # refused connections of an address that are told so at a time


def upgrade(connection, request):
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    connection.wait_gone()


class Connections(WireCase):
    def start(self, limit, script=None, limits=None, **options):
        self.origin = self.server(script)
        options.setdefault("async", {"loops": 2})
        self.tplb(self.origin, limits=dict({"connections_per_client": limit}, **(limits or {})), **options)

    def full(self, count, **options):
        """So many connections, all of which are served."""
        clients = [self.client(**options) for _ in range(count)]
        for client in clients:
            self.assertEqual(client.get().status, 200)
        return clients

    def opened(self, **options):
        """A further one, None when it was reset so soon that connecting failed."""
        try:
            return self.client(**options)
        except ConnectionError:
            return None

    def is_refused(self, **options):
        """Whether a further one is: with a readable answer, though it asks for something before it has read that."""
        client = self.client(**options)
        if not client.try_send(GET):
            self.fail("no refusal can be read")
        got = client.response()
        client.close()
        if got.status == 200:
            return False
        self.assertEqual(mask_date(got.raw), REFUSED)
        return True

    def has_room(self, what, **options):
        wait_until(lambda: not self.is_refused(**options), "a place after " + what)

    def test_excess(self):
        """Told at once, while the others go on; a place that gets free is the next one's."""
        self.start(3)
        clients = self.full(3)
        for _ in range(3):
            self.assertTrue(self.is_refused())
        for client in clients:
            self.assertEqual(client.get().status, 200)
        clients[0].close()
        self.has_room("a close")
        self.finish()
        self.assertGreaterEqual(self.counter("refused_client_connections"), 3)

    def test_told_before_it_asks(self):
        self.start(1)
        self.full(1)
        client = self.client()
        self.assertEqual(client.response().status, 429)
        client.expect_closed()

    def test_each_address_has_its_own(self):
        self.start(2)
        for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            self.full(2, source=source)
            self.assertTrue(self.is_refused(source=source))

    def test_exact(self):
        """60 at once, over two loops or the acceptor: as many as may be are served, the others told, or reset when 16 are being told already."""
        self.start(7)
        waiting = [c for c in (self.opened() for _ in range(60)) if c]
        served, gone = [], 60 - len(waiting)
        for client in waiting:
            client.try_send(GET)
        while waiting:
            ready, _, _ = select.select([c.sock for c in waiting], [], [], BOUND)
            self.assertTrue(ready, "%d were told nothing" % len(waiting))
            for client in [c for c in waiting if c.sock in ready]:
                waiting.remove(client)
                if not client.more():
                    gone += 1
                elif client.response().status == 200:
                    served.append(client)
        self.assertEqual(len(served), 7)
        self.assertLessEqual(gone, 60 - 7 - LINGERING)
        for client in served:
            self.assertEqual(client.get().status, 200)

    def test_over_all_listeners(self):
        origin = self.server()
        self.tplb(
            config={
                "listeners": [
                    {"name": n, "bind": "127.0.0.1:0", "upstream": "up"} for n in ("a", "b")
                ],
                "upstreams": [{"name": "up", "servers": [{"address": origin.address}]}],
                "limits": {"connections_per_client": 2},
            }
        )
        for name in ("a", "b"):
            self.assertEqual(self.client(self.balancer.addresses[name]).get().status, 200)
        for name in ("a", "b"):
            client = self.client(self.balancer.addresses[name])
            self.assertEqual(client.response().status, 429)

    def test_unix_sockets_do_not_count(self):
        path = os.path.join(self.directory(), "web.sock")
        self.start(1, bind="unix:" + path)
        self.full(5)

    def test_ipv6(self):
        self.start(2, bind="[::1]:0")
        self.full(2)
        self.assertTrue(self.is_refused())

    def test_every_end_gives_the_place_back(self):
        """However a connection ends."""
        def placed():
            client = self.client()
            if client.try_send(GET) and client.more() and client.response().status == 200:
                return client
            client.close()
            return None

        def ask(data):
            """On a connection that has a place, once there is one."""
            return wait_until(placed, "a place").send(data)

        self.start(1, timeouts={"keepalive": "100ms", "request_header": "200ms"})
        wait_until(placed, "a place").expect_closed()
        self.client().expect_closed()  # silent until it is closed, and not told to leave: a client that saw the end may come back at once
        self.start(1, by_target({b"/up": upgrade}))
        client = ask(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        client.whole_response()
        client.expect_closed()
        self.assertFalse(self.is_refused(), "a client that saw the end may come back at once")
        for data in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHos", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx"):
            client = ask(data)
            client.reset()
            self.has_room(repr(data))
        client = ask(b"nonsense\r\n\r\n")  # it lingers until its client closes
        self.assertEqual(client.response().status, 400)
        client.close()
        self.has_room("a lingering one")
        client = ask(UPGRADE)
        self.assertEqual(client.whole_response().status, 101)
        self.assertTrue(self.is_refused())
        client.close()
        self.has_room("a tunnel")

    def test_lingering_ones_are_bounded(self):
        """An address that opens ever more and closes none: 16 of the excess are told, the others are reset and take no place."""
        self.start(2, limits={"connections": 40})
        honest = self.full(2, source="127.0.0.2")
        self.full(2)
        refused = [self.opened() for _ in range(100)]
        told = 0
        for client in filter(None, refused):
            if client.more():
                self.assertEqual(client.response().status, 429)
                told += 1
            else:
                self.assertTrue(client.was_reset)
        self.assertGreaterEqual(told, LINGERING)
        self.assertLess(told, 100)
        for client in honest:  # nobody had to make room for those
            self.assertEqual(client.get().status, 200)
        self.full(2, source="127.0.0.3")
        self.finish()
        counters = self.counters()
        self.assertEqual(counters["refused_client_connections"], 100)
        self.assertEqual(counters.get("connections_evicted", 0), 0)
        self.assertEqual(counters.get("refused_limit", 0), 0)

    def test_excess_evicts_nobody(self):
        """At limits.connections an idle connection makes room for a new one, but not for one that is refused."""
        self.start(4, limits={"connections": 6})
        honest = self.full(2, source="127.0.0.2")
        self.full(4)
        for _ in range(5):
            client = self.opened()
            if client:
                client.expect_gone()
        for client in honest:
            self.assertEqual(client.get().status, 200)
        self.full(1, source="127.0.0.3")  # this one does
        self.finish()
        self.assertEqual(self.counter("connections_evicted"), 1)

    def test_tcp(self):
        """In tcp mode the excess is closed."""

        def echo(connection):
            while connection.more():
                connection.send(connection.take(len(connection.buf)))

        self.start(1, echo, mode="tcp")
        first = self.client()
        first.send(b"x")
        self.assertEqual(first.read_exactly(1), b"x")
        for _ in range(3):
            self.client().expect_gone()
        first.close()

        def served():
            client = self.client()
            return client.try_send(b"y") and client.more() and client.take(1) == b"y"

        wait_until(served, "a place")


if __name__ == "__main__":
    main()
