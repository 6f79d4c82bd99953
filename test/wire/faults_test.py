"""What breaks off breaks off cleanly, and leaves nothing behind."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import threading

from support import expect
from support.case import WireCase, main
from support.raw import BOUND, Client, wait_until
from support.server import DATE, OK, by_target, each
from support.tplb import raise_descriptor_limit, thread_sanitized


class Clients(WireCase):
    def test_client_leaves_within_its_body(self):
        """The server never sees a whole request, and its connection ends at once rather than at a timeout."""
        for name, head, part in (
            ("length", b"Content-Length: 1000", b"x" * 500),
            ("chunked", b"Transfer-Encoding: chunked", b"3e8\r\n" + b"x" * 500),
            ("between chunks", b"Transfer-Encoding: chunked", b"1f4\r\n" + b"x" * 500 + b"\r\n"),
        ):
            for leave in ("close", "reset"):
                with self.subTest(name, leave=leave):
                    server = self.server()
                    self.tplb(server, timeouts={"client": "300s", "server": "300s"})
                    client = self.client()
                    client.send(b"POST / HTTP/1.1\r\nHost: h\r\n" + head + b"\r\n\r\n" + part)
                    server.wait(lambda: b"x" * 500 in (server.connections or [None])[0].bytes if server.connections else False)
                    getattr(client, leave)()
                    server.wait_finished(1)
                    self.assertEqual(server.requests, [])
                    self.assertEqual(self.client().get().status, 200)

    def test_client_leaves_while_its_answer_comes(self):
        """A large answer to nobody: the server's connection ends too."""

        def flood(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n")
            piece = b"x" * 1000000
            for _ in range(4000):
                connection.send(piece)

        server = self.server(flood)
        self.tplb(server, timeouts={"client": "300s", "server": "300s"})
        for n, leave in enumerate(("close", "reset"), 1):
            client = self.client()
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            client.read_until(b"xxx")
            getattr(client, leave)()
            server.wait_finished(n)

    def test_client_resets_while_the_server_thinks(self):
        """Its worker is free again once the server has answered, and that answer goes to nobody else."""

        def late(connection, request):
            connection.server.gate.wait(BOUND)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")

        server = self.server(by_target({b"/late": late}))
        self.tplb(server, pool={"workers": 2})
        for _ in range(2):
            client = self.client()
            client.send(b"GET /late HTTP/1.1\r\nHost: h\r\n\r\n")
            server.wait_request(b"/late")
            client.reset()
        server.gate.set()
        for _ in range(20):
            self.assertEqual(self.client().get().body, b"ok")

    def test_clients_that_come_and_go(self):
        """Connect and close, connect and reset, half a head and away: 300 of them harm nobody."""
        self.tplb(self.server())
        other = self.client()
        for n in range(300):
            client = Client(self.balancer.address)
            if n % 3:
                client.try_send(b"GET / HTTP/1.1\r\nHo" if n % 3 == 1 else b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            if n % 2:
                client.reset()
            else:
                client.close()
            if n % 10 == 0:
                self.assertEqual(other.get().status, 200)
        self.assertEqual(other.get().status, 200)

    def test_client_that_does_not_read(self):
        """It holds back its own answer, not those of others; when it reads, all is there."""
        big = bytes(range(256)) * 80000
        server = self.server(by_target({b"/big": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(big) + big}))
        self.tplb(server, pool={"workers": 4}, timeouts={"client": "300s", "server": "300s"})
        stuck = [self.client(receive_buffer=4096) for _ in range(2)]
        for client in stuck:
            client.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
            client.read_until(b"\r\n\r\n")
        other = self.client()
        for _ in range(50):
            self.assertEqual(other.get().status, 200)
        for client in stuck:
            self.assertTrue(client.read_exactly(len(big)) == big)


class Servers(WireCase):
    def broken(self, *parts, reset=False):
        """A server whose first answer ends after these bytes."""
        gate = threading.Event()

        def script(connection):
            if connection.read_request() and connection.index == 0:
                for part in parts:
                    connection.send(part)
                gate.wait(BOUND)
                if reset:
                    connection.reset()
                return
            connection.send(OK)
            while connection.read_request():
                connection.send(OK)

        server = self.server(script)
        server.let_go = gate
        return server

    def test_server_dies_within_its_answer(self):
        """The client sees that something is missing; the next request is well again."""
        for name, head, part in (
            ("length", b"Content-Length: 1000", b"x" * 500),
            ("chunked", b"Transfer-Encoding: chunked", b"3e8\r\n" + b"x" * 500),
            ("between chunks", b"Transfer-Encoding: chunked", b"1f4\r\n" + b"x" * 500 + b"\r\n"),
        ):
            for reset in (False, True):
                with self.subTest(name, reset=reset):
                    server = self.broken(b"HTTP/1.1 200 OK\r\n" + DATE + head + b"\r\n\r\n" + part, reset=reset)
                    self.tplb(server)
                    client = self.client()
                    client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                    start = client.read_until(b"x" * 500)
                    self.assertTrue(start.startswith(b"HTTP/1.1 200 OK\r\n"))
                    server.let_go.set()
                    self.assertNotIn(b"0\r\n\r\n", client.read_to_end())
                    self.assertEqual(self.client().get().status, 200)

    def test_server_dies_within_the_head(self):
        for reset in (False, True):
            with self.subTest(reset=reset):
                server = self.broken(b"HTTP/1.1 200 OK\r\nContent-Le", reset=reset)
                server.let_go.set()
                self.tplb(server)
                client = self.client()
                client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
                got = client.whole_response()
                expect.check_own_answer(got.raw, (502,))
                self.assertEqual(self.client().get().status, 200)

    def test_server_dies_within_the_request(self):
        """It takes part of a body and resets: 502, or the answer that it gave before."""

        def script(connection):
            head = connection.read_head()
            if head and head.method == b"POST":
                connection.read_exactly(1000)
                connection.reset()
                return
            connection.send(OK)

        server = self.server(script)
        self.tplb(server)
        for _ in range(5):
            client = self.client()
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n")
            client.try_send(b"x" * 10000000)
            expect.check_own_answer(client.response().raw, (502,))
            client.close()
        self.assertEqual(self.client().get().status, 200)


class Many(WireCase):
    COUNT = 100 if thread_sanitized() else 1000

    def test_thousand_connections_and_no_leak(self):
        """1000 clients at once are served; when they are gone, so are their descriptors."""
        if raise_descriptor_limit() < 3 * self.COUNT:
            self.skipTest("the limit of descriptors is too low for 1000 connections (ulimit -Hn)")
        server = self.server()
        tplb = self.tplb(server, queue={"size": 2000, "timeout": "0s"})
        self.client().get()
        baseline = tplb.descriptors() + 64  # kept connections to the server may stay
        for _ in range(2):
            clients = [self.client() for _ in range(self.COUNT)]
            for client in clients:
                client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            for client in clients:
                self.assertEqual(client.whole_response().status, 200)
            self.assertGreaterEqual(tplb.descriptors(), self.COUNT)
            for client in clients:
                client.close()
            wait_until(
                lambda: tplb.descriptors() <= baseline, lambda: "%d descriptors, %d before" % (tplb.descriptors(), baseline)
            )

    def test_descriptors_return_to_the_baseline(self):
        """After every kind of end: nothing is left open but kept server connections, of which there are none here."""

        def half(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            return False

        def early(connection, request):
            connection.send(OK)
            return False

        def switch(connection, request):
            connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            connection.wait_gone()
            return False

        def nothing(connection, request):
            return False

        server = self.server(by_target({b"/half": half, b"/early": early, b"/switch": switch, b"/nothing": nothing}, OK))
        tplb = self.tplb(server, upstream={"keepalive": 0}, timeouts={"client": "300ms", "request_header": "300ms", "keepalive": "300ms"})
        self.client().get()
        wait_until(lambda: server.connections[0].finished, "the end of the first connection")
        for client in self._clients:
            client.close()
        counts = []

        def settled():
            """The same count for a while: what the first request left has gone."""
            counts.append(tplb.descriptors())
            return len(counts) > 20 and len(set(counts[-20:])) == 1

        wait_until(settled, "a steady number of descriptors")
        baseline = min(counts)
        head = b" HTTP/1.1\r\nHost: h\r\n"
        for data in (
            b"", b"G", b"GET / HTTP/1.1\r\n", b"GET /" + head + b"\r\n", b"GET /half" + head + b"\r\n", b"GET /early" + head + b"\r\n",
            b"GET /nothing" + head + b"\r\n", b"GET /switch" + head + b"Connection: upgrade\r\nUpgrade: x\r\n\r\n",
            b"POST /" + head + b"Content-Length: 10\r\n\r\nhello", b"POST /" + head + b"Transfer-Encoding: chunked\r\n\r\nxyz",
            b"GET / HTTP/1.0\r\n\r\n", b"CONNECT h:80" + head + b"\r\n", b"\0\0\0", b"GET /" + head + b"\r\n" + b"GET /half" + head + b"\r\n",
        ):
            for leave in ("close", "reset", "half_close"):
                for _ in range(3):
                    client = Client(self.balancer.address)
                    client.try_send(data)
                    try:
                        getattr(client, leave)()
                    except OSError:
                        pass
                    if leave == "half_close":
                        self._clients.append(client)
        for client in self._clients:
            client.close()
        wait_until(
            lambda: tplb.descriptors() <= baseline, lambda: "%d descriptors are open, %d before" % (tplb.descriptors(), baseline)
        )

    def test_tunnels_leave_nothing(self):
        def echo(connection):
            while connection.more():
                connection.send(connection.take(len(connection.buf)))

        server = self.server(echo)
        tplb = self.tplb(server, mode="tcp", pool={"workers": 8})
        baseline = tplb.descriptors()
        for n in range(100):
            client = Client(self.balancer.address)
            client.send(b"x")
            self.assertEqual(client.read_exactly(1), b"x")
            client.reset() if n % 2 else client.close()
        wait_until(
            lambda: tplb.descriptors() <= baseline, lambda: "%d descriptors are open, %d before" % (tplb.descriptors(), baseline)
        )
        server.wait_finished(100)


class Restless(WireCase):
    def test_everything_at_once(self):
        """Clients of all kinds side by side for a while; then each kind is well served still."""
        server = self.server(each(OK))
        self.tplb(server, pool={"workers": 4}, queue={"timeout": "0s"})
        failures = []

        def keepalive():
            client = self.client()
            for _ in range(60):
                assert client.get().body == b"ok"

        def closing():
            for _ in range(30):
                client = self.client()
                assert client.get(extra=b"Connection: close\r\n").body == b"ok"
                client.expect_closed()

        def posting():
            client = self.client()
            for n in range(30):
                client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
                client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
                client.send(b"0\r\n\r\n")
                assert client.whole_response().body == b"ok"

        def rude():
            for n in range(60):
                client = Client(self.balancer.address)
                client.try_send((b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe", b"\0")[n % 3])
                client.reset()

        def run(what):
            try:
                what()
            except Exception as e:
                failures.append("%s: %r" % (what.__name__, e))

        threads = [threading.Thread(target=run, args=(w,), daemon=True) for w in (keepalive, closing, posting, rude) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(BOUND * 2)
            self.assertFalse(thread.is_alive(), "a client hangs")
        self.assertEqual(failures, [])


if __name__ == "__main__":
    main()
