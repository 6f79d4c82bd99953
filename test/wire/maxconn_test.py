"""max_connections: a server gets so many requests at once and not one more; who waits holds no worker, and is told when it was for too long."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import threading
import time

from support import expect
from support.case import CONTROLLED, WireCase, main
from support.raw import BOUND, wait_until
from support.server import answer, by_target, stalled, unconnectable
from support.tplb import ENGINE

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class Gauge:
    """A script that knows how many requests it has at once, and had at most."""

    def __init__(self, hold=0.002):
        self.lock, self.now, self.most, self.all = threading.Lock(), 0, 0, 0
        self.hold = threading.Event()
        self.seconds = hold

    def __call__(self, connection):
        while connection.read_request():
            with self.lock:
                self.now += 1
                self.all += 1
                self.most = max(self.most, self.now)
            self.hold.wait(self.seconds)
            with self.lock:
                self.now -= 1
            connection.send(answer())


class MaxConnections(WireCase):
    def start(self, *rows, queue=None, upstream=None, **options):
        queue = dict({"timeout": "30s"}, **(queue or {}))
        self.tplb(*rows, queue=queue, upstream=upstream, admin=CONTROLLED, **options)

    def wait_shelved(self, count):
        """So many have come that wait, or did."""
        wait_until(lambda: self.counted("shelved") >= count, "%d to wait" % count)

    def held(self, most=1, **options):
        """A server that keeps its requests, as many as it may have already; those who hold them."""
        server = self.server(stalled)
        self.start({"address": server.address, "max_connections": most}, **options)
        holders = [self.client() for _ in range(most)]
        for client in holders:
            client.send(GET)
        server.wait_requests(most)
        return server, holders

    def summary(self, name):
        self.finish()
        found = [line for line in self.balancer.lines if " %s " % name in line]
        return int(found[0].rsplit(" ", 1)[1]) if found else 0

    def test_exact(self):
        """Forty clients over all workers and loops, two servers with room for three and two."""
        gauges = [Gauge(), Gauge()]
        servers = [self.server(g) for g in gauges]
        rows = [{"address": s.address, "max_connections": n} for s, n in zip(servers, (3, 2))]
        options = {"pool": {"workers": 8}} if ENGINE == "pool" else {"async": {"loops": 2}}
        self.start(*rows, **options)
        failures = []

        def ask():
            try:
                client = self.client()
                for _ in range(25):
                    if client.get().status != 200:
                        failures.append("status")
            except Exception as e:
                failures.append(e)

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(BOUND * 4)
        self.assertEqual(failures, [])
        self.assertEqual([g.most for g in gauges], [3, 2])
        self.assertEqual(sum(g.all for g in gauges), 1000)
        self.assertGreater(self.summary("shelved"), 100)

    def test_waiting_ones_hold_no_worker(self):
        """Two workers: one has the only request that the server may have, the other is free, whoever waits."""
        server, (holder,) = self.held(pool={"workers": 2, "burst": 1, "patience": "0s"})
        waiting = [self.client() for _ in range(20)]
        for client in waiting:
            client.send(GET)
        self.wait_shelved(20)
        for _ in range(5):
            bad = self.client()
            bad.send(b"GET / HTTP/9.9\r\n\r\n")
            self.assertEqual(bad.whole_response().status, 505)
        self.assertEqual(len(server.requests), 1)
        server.gate.set()
        for client in [holder] + waiting:
            self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(self.summary("shelved"), 20)

    def waiting_in_turn(self, count, **queue):
        """A server of one place that keeps its first request; those who ask behind that one, each known to wait; who was served."""
        order = []

        def script(connection):
            while True:
                request = connection.read_request()
                if request is None:
                    return
                order.append(request.target)
                connection.server.gate.wait(BOUND)
                connection.send(answer())

        server = self.server(script)
        self.start({"address": server.address, "max_connections": 1}, pool={"workers": 2, "burst": 1}, queue=queue)
        clients = []
        for n in range(count):
            client = self.client()
            client.send(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n)
            clients.append(client)
            if n == 0:
                server.wait_requests(1)
            else:
                self.wait_shelved(n)
        return server, clients, order

    def test_in_turn(self):
        """They are served in the order of their coming."""
        server, clients, order = self.waiting_in_turn(10)
        server.gate.set()
        for client in clients:
            self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(order, [b"/%d" % n for n in range(10)])

    def test_newest_first(self):
        """The queue's discipline holds here, too: lifo, once the list stands."""
        server, clients, order = self.waiting_in_turn(4, discipline="lifo", interval="20ms")
        time.sleep(0.05)  # the wait is what this is about
        clients.append(self.client())
        clients[-1].send(b"GET /4 HTTP/1.1\r\nHost: h\r\n\r\n")
        self.wait_shelved(4)
        server.gate.set()
        for client in clients:
            self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(order, [b"/0", b"/4", b"/3", b"/2", b"/1"])

    def test_shed(self):
        """Likewise codel: who waits is told soon, not after queue.timeout."""
        server, clients, order = self.waiting_in_turn(5, discipline="codel", target="5ms", interval="20ms")
        for client in clients[1:]:
            response = client.whole_response()
            expect.check_own_answer(response.raw, (503,))
            self.assertIn(b"(server_busy)", response.raw)
        server.gate.set()
        self.assertEqual(clients[0].whole_response().status, 200)
        self.assertEqual(order, [b"/0"])

    def test_too_long(self):
        """After queue.timeout: a readable 503, and the server has not seen it."""
        server, (holder,) = self.held(pool={"workers": 4, "burst": 1})
        self.taken_in('"30s"', '"100ms"')  # which is for workers, too: who holds the server has passed them
        client = self.client()
        client.send(GET)
        response = client.whole_response()
        expect.check_own_answer(response.raw, (503,))
        self.assertEqual(response.get("Retry-After"), b"1")
        self.assertEqual(len(server.requests), 1)
        self.taken_in('"100ms"', '"30s"')
        server.gate.set()
        self.assertEqual(holder.whole_response().status, 200)
        self.assertEqual(client.get().status, 200)  # its connection was kept
        self.assertEqual(self.summary("server_busy"), 1)

    def test_no_room_to_wait(self):
        server, (holder,) = self.held(queue={"size": 2}, pool={"workers": 2, "burst": 1})
        waiting = [self.client() for _ in range(2)]
        for n, client in enumerate(waiting, 1):
            client.send(GET)
            self.wait_shelved(n)
        more = self.client()
        more.send(GET)
        self.assertEqual(more.whole_response().status, 503)
        server.gate.set()
        for client in [holder] + waiting:
            self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(self.summary("server_busy"), 1)

    def test_server_that_comes_up(self):
        """Who waits is given to a server that was down."""
        full = self.server(stalled)
        held, address = unconnectable()
        self.keep(held)
        rows = [{"address": full.address, "max_connections": 1}, {"address": address, "max_connections": 1}]
        self.start(*rows, upstream={"passive": {"max_fails": 1, "fail_timeout": "50ms"}}, pool={"workers": 4})
        first, second = self.client(), self.client()
        first.send(GET)
        full.wait_requests(1)
        second.send(GET)  # finds the other one dead, and waits
        self.balancer.wait_line("server %s of up is down" % address)
        self.server(by_target({}, answer(b"late")), address=address)
        self.assertEqual(second.whole_response().body, b"late")
        full.gate.set()
        self.assertEqual(first.whole_response().status, 200)

    def test_dead_server_is_not_stormed(self):
        """Who waits is not run against a server that refuses, again and again, as fast as it can refuse."""
        full = self.server(stalled)
        sock, dead = unconnectable()
        self.keep(sock)
        rows = [{"address": full.address, "max_connections": 1}, {"address": dead, "max_connections": 1}]
        self.start(*rows, upstream={"passive": {"max_fails": 0}}, pool={"workers": 4})
        first = self.client()
        first.send(GET)
        full.wait_requests(1)
        self.taken_in('"30s"', '"600ms"')
        waiting = [self.client() for _ in range(3)]
        for client in waiting:
            client.send(GET)
        for client in waiting:
            self.assertEqual(client.whole_response().status, 503)
        full.gate.set()
        self.assertEqual(first.whole_response().status, 200)
        self.assertLess(self.summary("server_connect_failed"), 100)

    def test_lost_request_waits(self):
        """A server loses it, and the other one is full: it waits for a place there, as a new one would."""

        def lose(connection):
            connection.read_request()

        full, loser = self.server(stalled), self.server(lose)
        rows = [{"address": s.address, "max_connections": 1} for s in (full, loser)]
        self.start(*rows, upstream={"retries": 5, "passive": {"max_fails": 1}}, pool={"workers": 4})
        clients = [self.client() for _ in range(2)]
        clients[0].send(GET)
        full.wait_requests(1)
        clients[1].send(GET)
        self.balancer.wait_line("server %s of up is down" % loser.address)
        full.gate.set()
        for client in clients:
            self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(self.summary("retries"), 1)

    def test_backups_are_not_for_busy_ones(self):
        full, backup = self.server(stalled), self.server()
        rows = [{"address": full.address, "max_connections": 1}, {"address": backup.address, "backup": True}]
        self.start(*rows, pool={"workers": 4, "burst": 1})
        first, second = self.client(), self.client()
        first.send(GET)
        full.wait_requests(1)
        self.taken_in('"30s"', '"100ms"')
        second.send(GET)
        self.assertEqual(second.whole_response().status, 503)
        self.assertEqual(backup.requests, [])
        full.gate.set()
        self.assertEqual(first.whole_response().status, 200)

    def test_other_server_has_room(self):
        full, free = self.server(stalled), self.server(by_target({}, answer(b"free")))
        self.start({"address": full.address, "max_connections": 1}, {"address": free.address})
        first = self.client()
        first.send(GET)
        full.wait_requests(1)
        client = self.client()
        for _ in range(10):
            self.assertEqual(client.get().body, b"free")
        full.gate.set()
        self.assertEqual(first.whole_response().status, 200)

    def test_sticky_and_busy(self):
        """Its server is only busy: another one answers, and the cookie stays as it is."""
        servers = [self.server(stalled), self.server(by_target({}, answer(b"free")))]
        rows = [{"address": s.address, "max_connections": 1} for s in servers]
        self.start(*rows, upstream={"sticky": {"cookie": "S"}}, pool={"workers": 4})
        first = self.client()
        first.send(GET)
        servers[0].wait_requests(1)
        servers[0].gate.set()
        cookie = first.whole_response().get("Set-Cookie").split(b";")[0]
        servers[0].gate.clear()
        first.send(GET[:-2] + b"Cookie: " + cookie + b"\r\n\r\n")
        servers[0].wait_requests(2)
        second = self.client()
        second.send(GET[:-2] + b"Cookie: " + cookie + b"\r\n\r\n")
        response = second.whole_response()
        self.assertEqual((response.body, response.all("Set-Cookie")), (b"free", []))
        servers[0].gate.set()
        self.assertEqual(first.whole_response().status, 200)

    def test_tcp(self):
        """A tunnel counts as long as it lives."""

        def hello(connection):
            connection.send(b"%d" % connection.index)
            connection.wait_gone()

        server = self.server(hello)
        self.start({"address": server.address, "max_connections": 2}, mode="tcp")
        clients = [self.client() for _ in range(2)]
        for client in clients:
            client.read_exactly(1)
        third = self.client()
        self.assertEqual(len(server.connections), 2)
        clients[0].close()
        self.assertEqual(third.read_exactly(1), b"2")
        fourth = self.client()
        clients[1].close()
        self.assertEqual(fourth.read_exactly(1), b"3")

    def test_tcp_too_long(self):
        def hello(connection):
            connection.send(b"h")
            connection.wait_gone()

        server = self.server(hello)
        self.start({"address": server.address, "max_connections": 1}, mode="tcp")
        first = self.client()
        first.read_exactly(1)
        self.taken_in('"30s"', '"50ms"')
        second = self.client()
        self.assertEqual(second.read_to_end(), b"")
        self.assertEqual(len(server.connections), 1)


if __name__ == "__main__":
    main(at_once=True)
