"""
The pool engine: what would hold a worker for too long leaves it for a loop, and the workers go on serving. A few workers, and many
tunnels and slow clients.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import hashlib
import re
import signal
import socket

from support import expect
from support.case import CONTROLLED, WireCase, main
from support.raw import BOUND, Client, SlowReader, wait_until
from support.server import DATE, OK
from support.tplb import Origin, sanitized, thread_sanitized

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
UPGRADE = b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
GET = b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
BIG = bytes(range(251)) * (10 * 1024 * 1024 // 251)
# No waiting in the queue ends by itself: a request that no worker takes shows as one without an answer.
PATIENT = {"queue": {"timeout": "0s"}, "timeouts": {"client": "10m", "server": "10m", "keepalive": "10m"}}


def echo(connection):
    while connection.buf or connection.more():
        connection.send(connection.take(len(connection.buf)))


def serving(connection):
    """Switches to an echo, has a big answer and a small one."""
    # What the kernel would hold of an answer is to be little: 500 of them are under way.
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    while True:
        request = connection.read_request()
        if request is None:
            return
        if request.get("Upgrade"):
            connection.send(SWITCH)
            echo(connection)
            return
        if request.target == b"/big":
            connection.send(b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: %d\r\n\r\n" % len(BIG))
            connection.send(BIG)
        elif request.target == b"/slow":
            connection.server.gate.wait(BOUND)
            connection.send(OK)
        else:
            connection.send(OK)


class HandOff(WireCase):
    def start(self, workers, script=serving, **options):
        pool = dict({"workers": workers}, **options.pop("pool", {}))
        self.origin = self.server(script)
        return self.tplb(self.origin, pool=pool, **dict(PATIENT, **options))

    def slow_client(self):
        client = SlowReader(self.balancer.address)
        self._clients.append(client)
        return client

    def handed_off(self):
        """As the summary at the end says."""
        self.balancer.stop()
        counts = re.findall(r"handed_off (\d+)$", self.balancer.stderr, re.M)
        return int(counts[0]) if counts else 0

    def close_clients(self):
        for client in self._clients:
            client.close()

    def serves(self, count=50):
        """Ordinary requests are answered."""
        kept = self.client()
        for _ in range(count):
            self.assertEqual(kept.get().body, b"ok")
            fresh = Client(self.balancer.address)
            self.assertEqual(fresh.get().body, b"ok")
            fresh.close()
        kept.close()

    def open_tunnel(self):
        client = self.client()
        client.send(UPGRADE)
        self.assertEqual(client.whole_response().status, 101)
        return client

    def all_echo(self, clients, rounds=2):
        for n in range(rounds):
            for i, client in enumerate(clients):
                client.send(b"%d.%d;" % (n, i))
            for i, client in enumerate(clients):
                data = b"%d.%d;" % (n, i)
                self.assertEqual(client.read_exactly(len(data)), data)

    def now(self, name):
        """A counter while it runs."""
        return dict(line.split() for line in self.show("counters")).get(name, "0")

    def resident(self):
        with open("/proc/%d/status" % self.balancer.pid) as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))


class Tunnels(HandOff):
    COUNT = 200

    def upgraded(self, workers):
        self.start(workers)
        tunnels = [self.open_tunnel() for _ in range(self.COUNT)]
        self.serves()
        self.all_echo(tunnels)
        self.serves()
        tunnels[0].send(BIG[:1000000])  # more than any buffer, while the others are there
        self.assertEqual(hashlib.sha256(tunnels[0].read_exactly(1000000)).digest(), hashlib.sha256(BIG[:1000000]).digest())
        for client in tunnels[: self.COUNT // 2]:
            client.half_close()
            client.expect_closed()
        self.all_echo(tunnels[self.COUNT // 2 :])
        self.close_clients()
        self.assertEqual(self.handed_off(), self.COUNT)

    def test_upgraded_4(self):
        self.upgraded(4)

    def test_upgraded_16(self):
        self.upgraded(16)

    def test_tcp(self):
        """Those of tcp mode beside a listener of http mode."""
        tcp, http = self.server(echo), self.server(serving)
        self.tplb(
            config=dict(
                {
                    "listeners": [
                        {"name": "h", "bind": "127.0.0.1:0", "upstream": "http"},
                        {"name": "t", "bind": "127.0.0.1:0", "mode": "tcp", "upstream": "tcp"},
                    ],
                    "upstreams": [
                        {"name": "http", "servers": [{"address": http.address}]},
                        {"name": "tcp", "servers": [{"address": tcp.address}]},
                    ],
                    "pool": {"workers": 4},
                },
                **PATIENT,
            )
        )
        tunnels = [self.client(self.balancer.addresses["t"]) for _ in range(self.COUNT)]
        tcp.wait_connections(self.COUNT)
        self.serves_at("h")
        self.all_echo(tunnels)
        self.serves_at("h")
        for client in tunnels[: self.COUNT // 2]:
            client.half_close()
            client.expect_closed()
        self.all_echo(tunnels[self.COUNT // 2 :])
        self.close_clients()
        self.assertEqual(self.handed_off(), self.COUNT)

    def serves_at(self, name):
        client = self.client(self.balancer.addresses[name])
        for _ in range(50):
            self.assertEqual(client.get().body, b"ok")

    def test_tcp_only(self):
        """New tunnels are opened while 200 are idle."""
        self.start(4, echo, mode="tcp")
        tunnels = [self.client() for _ in range(self.COUNT)]
        self.origin.wait_connections(self.COUNT)
        self.all_echo(tunnels)
        for n in range(20):
            late = self.client()
            late.send(b"late")
            self.assertEqual(late.read_exactly(4), b"late")
            late.close()
        self.all_echo(tunnels)
        self.close_clients()
        self.assertEqual(self.handed_off(), self.COUNT + 20)


class SlowReaders(HandOff):
    COUNT = 500
    # What one of them may cost: the exchange's buffers (a head's and two of bodies) and the used part of a fiber's stack.
    EACH = 256 * 1024
    BASE = 64 * 1024 * 1024

    def slow_readers(self, count):
        clients = [self.slow_client() for _ in range(count)]
        for client in clients:
            client.send(GET % b"/big")
        self.origin.wait_requests(count)
        return clients

    def reads_all(self, client):
        got = client.whole_response()
        self.assertEqual((got.status, len(got.body)), (200, len(BIG)))
        self.assertTrue(got.body == BIG, "other bytes came than were sent")

    def test_500(self):
        """
        All at once, and none waits for long: a stalled body leaves sooner while others wait. Four workers that stayed 400 ms with each
        would take 50 seconds; they take 3, so that a machine may be slow, too.
        """
        queue = PATIENT["queue"] if thread_sanitized() else {"timeout": "20s"}
        self.start(4, pool={"patience": "400ms"}, queue=queue)
        clients = self.slow_readers(self.COUNT)
        self.serves()
        used = self.resident()
        if not thread_sanitized():
            self.assertLess(used, self.BASE + self.COUNT * self.EACH, "with %d slow readers" % self.COUNT)
        for client in clients[:: self.COUNT // 8]:
            self.reads_all(client)
            for _ in range(3):  # its connection is one of the pool's again
                self.assertEqual(client.get().body, b"ok")
        self.serves()
        for client in clients[1::2]:
            client.reset()
        self.close_clients()
        self.origin.wait_finished(self.COUNT // 2)
        self.serves()
        self.assertGreaterEqual(self.handed_off(), self.COUNT)

    def test_buffers_are_not_hoarded(self):
        """Those that came to a loop with a body are free again when it is over: the next ones' take their place."""
        if sanitized():
            self.skipTest("a sanitizer keeps what is freed")
        count, used = 60, []
        self.start(4, admin=CONTROLLED)
        for n in range(1, 7):
            clients = [self.slow_client() for _ in range(count)]
            for client in clients:
                client.send(GET % b"/big")
            wait_until(lambda: int(self.now("handed_off")) >= n * count, "all of them on loops")
            for client in clients:
                client.reset()
            self.origin.wait_finished(n * count)
            used.append(self.resident())
        # The first rounds fill the allocator's arenas. Hoarded, each round would leave 7 MB.
        self.assertLess(used[-1] - used[1], count * 3 * 96 * 1024, "resident after each round: %s" % used)

    def test_again_and_again(self):
        """One connection, one body after the other, each handed off."""
        self.start(1)
        client = self.slow_client()
        for n in range(1, 4):
            client.send(GET % b"/big")
            self.origin.wait(lambda n=n: sum(r.target == b"/big" for r in self.origin.requests) == n)
            self.serves(1)  # the only worker is free: the body has left it
            self.reads_all(client)
            self.assertEqual(client.get().body, b"ok")
        client.close()
        self.assertGreaterEqual(self.handed_off(), 3)

    def test_pipelined_behind_it(self):
        """What the client sent behind its request is served when the loop is done with the body."""
        self.start(1)
        client = self.slow_client()
        client.send(GET % b"/big" + GET % b"/x" * 20)
        self.origin.wait_requests(1)
        self.serves(5)
        self.reads_all(client)
        for _ in range(20):
            self.assertEqual(client.whole_response().body, b"ok")
        self.assertEqual(client.get().body, b"ok")
        client.close()
        self.assertGreaterEqual(self.handed_off(), 1)


class SlowUploads(HandOff):
    def trickle(self, chunked):
        self.start(1)
        client = self.client()
        body = BIG[:3000]
        client.send(b"POST /up HTTP/1.1\r\nHost: h\r\n")
        client.send(b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % len(body))
        for i in range(0, len(body), 300):
            part = body[i : i + 300]
            client.send(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
            self.serves(1)
        if chunked:
            client.send(b"0\r\n\r\n")
        self.assertEqual(client.whole_response().body, b"ok")
        self.assertEqual(self.origin.wait_request(b"/up").body, body)
        self.assertEqual(client.get().body, b"ok")
        client.close()
        self.assertEqual(self.handed_off(), 1)

    def test_length(self):
        self.trickle(False)

    def test_chunked(self):
        self.trickle(True)

    def test_server_that_does_not_read(self):
        """The other end may be the slow one."""

        def script(connection):
            while True:
                request = connection.read_head()
                if request is None:
                    return
                if request.method == b"POST":
                    connection.server.gate.wait(BOUND)
                if not connection.read_body(request).complete:
                    return
                connection.send(OK)

        self.start(1, script)
        client = self.client()
        client.send(b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(BIG))
        self.origin.wait(lambda: self.origin.connections and self.origin.connections[0].requests)
        sent = 0
        client.sock.setblocking(False)
        try:
            while sent < len(BIG):
                sent += client.sock.send(BIG[sent : sent + 65536])
        except BlockingIOError:
            pass
        self.serves(10)
        self.origin.gate.set()
        client.send(BIG[sent:])
        self.assertEqual(client.whole_response().body, b"ok")
        self.assertTrue(self.origin.wait_request(b"/up").body == BIG)
        client.close()
        self.assertGreaterEqual(self.handed_off(), 1)


class NoPatience(HandOff):
    def finds_no_worker(self):
        """A request that is told so after queue.timeout, which is short for this one only."""
        self.taken_in('timeout = "0s"', 'timeout = "300ms"')
        late = self.client()
        late.send(GET % b"/x")
        expect.check_own_answer(late.read_to_end(), (503,), b"close")
        self.taken_in('timeout = "300ms"', 'timeout = "0s"')

    def test_0s(self):
        """pool.patience = "0s": a tunnel has its worker until it ends, and who finds none is told after queue.timeout."""
        self.start(2, pool={"patience": "0s"})
        tunnels = [self.open_tunnel() for _ in range(2)]
        self.finds_no_worker()
        self.all_echo(tunnels)
        for tunnel in tunnels:
            tunnel.half_close()
            tunnel.expect_closed()
        self.serves(5)
        self.assertEqual(self.handed_off(), 0)

    def test_0s_slow_readers(self):
        self.start(2, pool={"patience": "0s"})
        clients = []
        for n in range(1, 3):
            client = self.slow_client()
            client.send(GET % b"/big")
            self.origin.wait_requests(n)
            client.read_until(b"\r\n\r\n")
            clients.append(client)
        self.finds_no_worker()
        for client in clients:
            self.assertTrue(client.read_exactly(len(BIG)) == BIG)
        self.serves(5)
        self.assertEqual(self.handed_off(), 0)


class Drain(HandOff):
    def refuses(self):
        def look():
            try:
                Client(self.balancer.address).close()
                return False
            except OSError:
                return True

        wait_until(look, "the listener's end")

    def test_in_flight(self):
        """What was handed off is finished."""
        tplb = self.start(2, timeouts={"client": "10m", "server": "10m", "drain": "10m"})
        tunnels = [self.open_tunnel() for _ in range(10)]
        readers = []
        for n in range(1, 11):
            client = self.slow_client()
            client.send(GET % b"/big")
            readers.append(client)
        uploader = self.client()
        uploader.send(b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello")
        self.origin.wait(lambda: sum(len(c.requests) for c in self.origin.connections) >= 21, "all requests")
        self.serves(5)
        tplb.tell(signal.SIGTERM)
        self.refuses()
        self.all_echo(tunnels)
        for client in readers:
            got = client.whole_response()
            self.assertTrue(got.body == BIG)
        uploader.send(b"world")
        got = uploader.whole_response()
        self.assertEqual((got.status, got.get("Connection")), (200, b"close"))
        self.all_echo(tunnels)
        for client in tunnels:
            client.close()
        for client in readers:  # their heads were out before the drain: they are kept, and closed when idle
            client.expect_closed()
        self.assertEqual(tplb.wait(), 0)

    def test_cut(self):
        """What takes longer than timeouts.drain is cut."""
        tplb = self.start(2, timeouts={"client": "10m", "server": "10m", "drain": "500ms"})
        tunnels = [self.open_tunnel() for _ in range(5)]
        reader = self.slow_client()
        reader.send(GET % b"/big")
        reader.read_until(b"\r\n\r\n")
        self.serves(5)
        tplb.tell(signal.SIGTERM)
        self.assertEqual(tplb.wait(), 0)
        tplb.wait_line(r"timeouts.drain is over: [6-9] connections were cut$")
        for client in tunnels:
            client.expect_gone()
        reader.read_to_end()


class Killed(HandOff):
    def test_under_bodies(self):
        """The server dies; what is missing is seen, nothing is left, and the other server goes on."""
        victim = self.started(Origin("-w", "128"))
        self.tplb(victim, pool={"workers": 4}, **PATIENT)
        baseline = self.balancer.descriptors()
        readers = []
        for _ in range(50):
            client = self.slow_client()
            client.send(GET % b"/bytes/100000000")
            client.read_until(b"\r\n\r\n")
            readers.append(client)
        uploaders = []
        for _ in range(20):
            client = self.client()
            client.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
            client.read_until(b"x" * 1000)
            uploaders.append(client)
        expected = self.client()
        expected.send(GET % b"/santai")
        self.assertEqual(expected.whole_response().body, b"santai saja")
        victim.process.kill()
        victim.wait()
        for client in uploaders + readers[::5]:
            self.assertLess(len(client.read_to_end()), 100000000, "all of an answer that was never sent")
        self.close_clients()
        wait_until(lambda: self.balancer.descriptors() <= baseline + 8, lambda: "%d descriptors, %d before" % (self.balancer.descriptors(), baseline))
        expect.check_own_answer(self.client().get().raw, (503,))
        self.server(serving, address=victim.address)
        self.serves(5)
        self.assertGreaterEqual(self.handed_off(), 50)

    def test_under_tunnels(self):
        self.start(2)
        baseline = self.balancer.descriptors()
        tunnels = [self.open_tunnel() for _ in range(50)]
        self.all_echo(tunnels, 1)
        self.origin.stop(check=False)
        for client in tunnels:
            client.expect_gone()
        self.close_clients()
        wait_until(lambda: self.balancer.descriptors() <= baseline + 8, "the descriptors' end")
        self.server(serving, address=self.origin.address)
        self.serves(5)
        self.assertEqual(self.handed_off(), 50)


if __name__ == "__main__":
    main(engines=False)
