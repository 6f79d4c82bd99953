"""
Why a client had no answer of a server's, and how long it took: one word a cause, the same in the answer, in the access log in timed format,
and in the counters.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re
import signal
import time

from support import expect
from support.case import CONTROLLED, WireCase, main
from support.raw import BOUND, wait_until
from support.server import OK, answer, by_target, each, stalled, unconnectable

GET = b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"

# Combined, and what timed adds.
LINE = re.compile(
    r'\S+ - - \[[^\]]+\] "(?P<request>[^"]*)" (?P<status>\d{3}|0) \d+ "-" "-"'
    r" queue=(?P<queue>\d+)us total=(?P<total>\d+)us server=(?P<server>\S+) end=(?P<end>\w+)"
)


class Reasons(WireCase):
    def start(self, *servers, **options):
        self.path = os.path.join(self.directory(), "access.log")
        return self.tplb(*servers, log={"access": self.path, "format": "timed"}, **options)

    def lines(self, count):
        def look():
            try:
                with open(self.path, encoding="utf-8") as f:
                    lines = f.read().split("\n")[:-1]
            except FileNotFoundError:
                return None
            return lines if len(lines) >= count else None

        found = wait_until(look, "%d lines in %s" % (count, self.path))
        self.assertEqual(len(found), count)
        parsed = [LINE.fullmatch(line) for line in found]
        self.assertTrue(all(parsed), found)
        return parsed

    def line(self, end, count=1):
        """The line with this end, when there are so many; times that make sense."""
        found = [m for m in self.lines(count) if m.group("end") == end]
        self.assertEqual(len(found), 1, [m.group(0) for m in self.lines(count)])
        self.assertLessEqual(int(found[0].group("queue")), int(found[0].group("total")))
        return found[0]

    def refusal(self, client, status, end, count=1, closes=True):
        """An answer with the word, and a line with it."""
        got = client.response()
        expect.check_own_answer(got.raw, (status,), b"close" if closes else None)
        self.assertRegex(got.body, b"^%s: .* \\(%s\\)\n$" % (expect.REASONS[status], end.encode()))
        line = self.line(end, count)
        self.assertEqual(line.group("status"), str(status))
        return line

    def occupied(self, **options):
        """One worker or fiber, and it is with a server that does not answer before the gate opens."""

        def hold(connection, request):
            connection.server.gate.wait(BOUND)
            connection.send(OK)

        self.origin = self.server(by_target({b"/busy": hold}))
        self.start(self.origin, pool={"workers": 1, "burst": 1}, **options)
        self.busy = self.ask(GET % b"/busy")
        self.origin.wait_requests(1)

    def ask(self, data):
        client = self.client()
        client.send(data)
        return client


class Queue(Reasons):
    def check(self, end):
        self.origin.gate.set()
        self.busy.whole_response()
        self.assertEqual(self.counter("refused_" + end), 1)

    def test_full(self):
        self.occupied(queue={"size": 1, "timeout": "0s"})
        two = [self.ask(GET % b"/1"), self.ask(GET % b"/2")]
        line = self.refusal(self.first_answered(two), 503, "queue_full")
        self.assertEqual(line.group("request", "server"), ("-", "-"))
        self.check("queue_full")

    def test_timeout(self):
        self.occupied(queue={"timeout": "30s"})
        self.taken_in('"30s"', '"100ms"')  # who is with the server has passed the queue
        line = self.refusal(self.ask(GET % b"/1"), 503, "queue_timeout")
        self.assertGreaterEqual(int(line.group("queue")), 100000)
        self.check("queue_timeout")

    def test_shed(self):
        self.occupied(queue={"timeout": "30s", "discipline": "lifo", "target": "5ms", "interval": "50ms"})
        self.taken_in('"lifo"', '"codel"')
        line = self.refusal(self.ask(GET % b"/1"), 503, "shed")
        self.assertGreaterEqual(int(line.group("queue")), 50000)
        self.check("shed")

    def test_draining(self):
        """Who is still in the queue when the drain's time is over is told so, and cut then as all others."""
        self.occupied(queue={"timeout": "0s", "size": 1}, timeouts={"drain": "200ms"})
        two = [self.ask(POST + b"0123456789") for _ in range(2)]
        full = self.first_answered(two)
        self.refusal(full, 503, "queue_full")  # so the other one has its place
        two.remove(full)
        self.balancer.tell(signal.SIGTERM)
        self.refusal(two[0], 503, "draining", count=2)
        self.assertEqual(self.balancer.wait(), 0)
        self.assertRegex(self.balancer.stderr, r"refused_draining 1\n")
        self.assertRegex(self.balancer.stderr, r"draining: \d connections open, 1 requests queued, the oldest for \d+ ms")


class Limits(Reasons):
    def test_connections(self):
        self.occupied(limits={"connections": 1})
        line = self.refusal(self.ask(GET % b"/1"), 503, "limit")
        self.assertEqual(line.group("queue"), "0")
        self.origin.gate.set()
        self.busy.whole_response()
        self.assertEqual(self.counter("refused_limit"), 1)

    def test_header_timeout(self):
        self.start(self.server(), timeouts={"request_header": "100ms"})
        self.refusal(self.unseen(b"GET / HTTP/1.1\r\nHo"), 408, "header_timeout")
        self.assertEqual(self.counter("refused_header_timeout"), 1)

    def test_client_timeout(self):
        self.start(self.server(), timeouts={"client": "100ms"})
        line = self.refusal(self.ask(POST + b"half"), 408, "client_timeout")
        self.assertGreaterEqual(int(line.group("total")), 100000 - 10000)  # by the coarse clock
        self.assertEqual(self.counter("client_timeout"), 1)

    def test_malformed(self):
        """Each fault has its word."""
        self.start(self.server(), limits={"header_size": "1k", "headers": 10, "body_size": "8"})
        head = b" HTTP/1.1\r\nHost: h\r\n"
        rows = (
            (b"bad\r\n\r\n", "bad_request_line", 400),
            (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "bad_version", 505),
            (b"GET x" + head + b"\r\n", "bad_target", 400),
            (b"GET /" + head + b"a b: c\r\n\r\n", "bad_field", 400),
            (b"GET / HTTP/1.1\r\n\r\n", "bad_host", 400),
            (b"POST /" + head + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "bad_framing", 400),
            (b"POST /" + head + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", "bad_chunk", 400),
            (b"POST /" + head + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "bad_coding", 501),
            (b"GET /" + head + b"Expect: more\r\n\r\n", "bad_expectation", 417),
            (b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", "no_connect", 405),
            (b"GET /" + b"x" * 1100, "target_too_long", 414),
            (b"GET /" + head + b"a: b\r\n" * 11 + b"\r\n", "head_too_large", 431),
            (b"POST /" + head + b"Content-Length: 9\r\n\r\n", "body_too_large", 413),
        )
        for n, (sent, word, status) in enumerate(rows):
            with self.subTest(word):
                self.assertEqual(self.ask(sent).response().status, status)
                line = self.line(word, n + 1)
                self.assertEqual(line.group("status"), str(status))
                self.assertEqual(line.group("server") == "-", word != "bad_chunk")
        self.assertEqual(self.counter("requests_malformed"), len(rows))

    def test_max_forwards(self):
        """Of TRACE and OPTIONS, which tplb answers itself then."""
        self.start(self.server())
        for n, (method, status) in enumerate(((b"TRACE", 405), (b"OPTIONS", 200))):
            client = self.ask(method + b" / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n")
            self.assertEqual(client.response().status, status)
            line = self.lines(n + 1)[n]
            self.assertEqual(line.group("end", "status", "server"), ("max_forwards", str(status), "-"))
        self.assertEqual(self.counter("requests_answered"), 2)

    def test_client_left_amid_its_head(self):
        """What came of it is logged; nothing that came is not."""
        self.start(self.server())
        self.client().close()
        client = self.ask(b"GET /half HTTP/1.1\r\nHo")
        client.close()
        line = self.line("client_left")
        self.assertEqual(line.group("request", "status", "server"), ("GET /half HTTP/1.1", "0", "-"))
        self.assertEqual(self.counter("client_left"), 1)


class Clients(Reasons):
    """Whom one client's share, or its connection's end, concerns."""

    def test_rate(self):
        self.start(self.server(), listener={"rate": {"requests": 1, "per": "1h"}})
        self.client().get()
        line = self.refusal(self.ask(GET % b"/1"), 429, "rate", count=2, closes=False)
        self.assertEqual(line.group("server"), "-")
        self.assertEqual(self.counter("refused_rate"), 1)

    def test_requests(self):
        server = self.server(stalled)
        self.start(server, limits={"requests_per_client": 1})
        busy = self.ask(GET % b"/busy")
        server.wait_requests(1)
        self.refusal(self.ask(GET % b"/1"), 429, "client_requests", closes=False)
        server.gate.set()
        busy.whole_response()
        self.assertEqual(self.counter("refused_client_requests"), 1)

    def test_connections(self):
        self.start(self.server(), limits={"connections_per_client": 1})
        first = self.client()
        first.get()
        self.refusal(self.client(), 429, "client_connections", count=2)
        self.assertEqual(self.counter("refused_client_connections"), 1)

    def test_left_queued(self):
        """Before its turn came: no server was asked."""
        self.occupied(queue={"size": 2, "timeout": "0s"}, admin=CONTROLLED)
        client = self.ask(GET % b"/1")
        wait_until(lambda: any(line.split() == ["queue_depth", "1"] for line in self.show("queue")), "that it is queued")
        time.sleep(0.02)  # who has not waited for a while is not looked at
        client.reset()
        self.origin.gate.set()
        self.busy.whole_response()
        line = self.line("client_left_queued", 2)
        self.assertEqual(line.group("status", "server"), ("0", "-"))
        self.assertEqual(self.counter("client_left_queued"), 1)

    def test_tunnel_timeout(self):
        """Of an upgrade, with the status that was told; and of a connection in tcp mode."""

        def echo(connection):
            if connection.more():
                connection.send(connection.take(len(connection.buf)))
            connection.wait_gone()

        switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
        for mode, script, sent, status in (
            ("http", lambda connection: connection.read_request() and (connection.send(switch), connection.wait_gone()), b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "101"),
            ("tcp", echo, b"x", "0"),
        ):
            with self.subTest(mode):
                self.start(self.server(script), mode=mode, timeouts={"tunnel": "100ms"})
                client = self.ask(sent)
                client.read_to_end()
                line = self.line("tunnel_timeout")
                self.assertEqual(line.group("status"), status)
                self.assertGreaterEqual(int(line.group("total")), 100000 - 10000)  # by the coarse clock
                self.assertEqual(self.counter("tunnel_timeout"), 1)


class Servers(Reasons):
    def test_ok(self):
        """Of a kept connection, and of pipelined requests too, each its own times."""

        sent = []

        def slow(connection, request):
            time.sleep(0.5)
            sent.append(time.monotonic())
            connection.send(OK)

        server = self.server(by_target({b"/slow": slow, b"/teapot": answer(status=b"418 No")}))
        self.start(server)
        client = self.client()
        client.get()
        client.send(GET % b"/slow" + GET % b"/teapot")
        client.whole_response()
        client.whole_response()
        # One worker's lines may overtake another's.
        lines = {m.group("request").split()[1]: m for m in self.lines(3)}
        since = (time.monotonic() - sent[0]) * 1e6
        first, second, third = (lines[target] for target in ("/", "/slow", "/teapot"))
        self.assertEqual({m.group("end", "server") for m in (first, second, third)}, {("ok", server.address)})
        self.assertEqual([m.group("status") for m in (first, second, third)], ["200", "200", "418"])
        self.assertGreaterEqual(int(second.group("total")), 500000)
        self.assertLess(int(third.group("total")), since + 10000)  # by the coarse clock
        self.assertEqual(third.group("queue"), "0")

    def test_connect_failed(self):
        """However many could not be reached, and counted once."""
        dead = [self.keep(sock) and address for sock, address in (unconnectable() for _ in range(3))]
        self.start(*dead)
        line = self.refusal(self.ask(GET % b"/1"), 503, "connect_failed", closes=False)
        self.assertEqual(line.group("request", "server"), ("GET /1 HTTP/1.1", "-"))
        self.assertEqual(self.counter("connect_failed"), 1)
        self.assertRegex(self.balancer.stderr, r"server_connect_failed 3\n")
        self.assertNotRegex(self.balancer.stderr, r" no_server ")

    def test_no_server(self):
        """There is one, but it is not to be asked."""
        self.start({"address": self.server().address, "state": "maint"})
        line = self.refusal(self.ask(GET % b"/1"), 503, "no_server", closes=False)
        self.assertEqual(line.group("server"), "-")
        self.assertEqual(self.counter("no_server"), 1)
        self.assertNotRegex(self.balancer.stderr, r" connect_failed ")

    def test_server_busy(self):
        server = self.server(stalled)
        self.start({"address": server.address, "max_connections": 1}, queue={"timeout": "30s"})
        busy = self.ask(GET % b"/busy")
        server.wait_requests(1)
        self.taken_in('"30s"', '"100ms"')  # who is with the server has passed the queue
        line = self.refusal(self.ask(GET % b"/1"), 503, "server_busy", closes=False)
        self.assertGreaterEqual(int(line.group("total")), 100000)
        server.gate.set()
        self.assertEqual(busy.whole_response().status, 200)
        self.assertEqual(self.counter("server_busy"), 1)

    def test_connect_failed_tcp(self):
        sock, dead = unconnectable()
        self.keep(sock)
        self.start(dead, mode="tcp")
        self.assertEqual(self.client().read_to_end(), b"")
        self.assertEqual(self.counter("connect_failed"), 1)

    def test_one_of_two_is_enough(self):
        sock, dead = unconnectable()
        self.keep(sock)
        server = self.server()
        self.start(dead, server)
        for n in range(4):
            self.assertEqual(self.client().get().status, 200)
        self.assertEqual({m.group("end", "server") for m in self.lines(4)}, {("ok", server.address)})
        self.assertEqual(self.counter("connect_failed"), 0)

    def test_server_broke_or_was_lost(self):
        for data, word in ((b"nonsense\r\n\r\n", "server_broke"), (b"", "server_lost"), (b"HTTP/1.1 200 OK\r\nConte", "server_lost")):
            with self.subTest(data):
                server = self.server(lambda connection, data=data: connection.read_request() and connection.send(data))
                self.start(server)
                line = self.refusal(self.ask(GET % b"/1"), 502, word, closes=False)
                self.assertEqual(line.group("server"), server.address)
                self.assertEqual(self.counter(word), 1)

    def test_server_lost_later(self):
        """What was told stands: a 200, but it did not end well."""
        server = self.server(lambda connection: connection.read_request() and connection.send(OK.replace(b": 2", b": 20")))
        self.start(server)
        self.ask(GET % b"/1").read_to_end()
        self.assertEqual(self.line("server_lost").group("status"), "200")

    def test_server_timeout(self):
        self.occupied(timeouts={"server": "100ms"})
        line = self.refusal(self.busy, 504, "server_timeout", closes=False)
        self.assertEqual(line.group("server"), self.origin.address)
        self.assertGreaterEqual(int(line.group("total")), 100000 - 10000)  # by the coarse clock
        self.assertEqual(self.counter("server_timeout"), 1)

    def test_client_left(self):
        server = self.server(lambda connection: connection.wait_gone())
        self.start(server)
        client = self.ask(POST + b"half")
        server.wait(lambda: server.connections and b"half" in server.connections[0].bytes)
        client.reset()
        self.assertEqual(self.line("client_left").group("server"), server.address)
        self.assertEqual(self.counter("client_left"), 1)


class Combined(WireCase):
    def test_unchanged(self):
        """The format that was there ends where it ended."""
        path = os.path.join(self.directory(), "access.log")
        self.tplb(self.server(each(OK)), log={"access": path})
        self.client().get()
        self.balancer.stop()
        with open(path) as f:
            self.assertRegex(f.read(), r'^\S+ - - \[[^\]]+\] "GET / HTTP/1.1" 200 2 "-" "-"\n$')


if __name__ == "__main__":
    main()
