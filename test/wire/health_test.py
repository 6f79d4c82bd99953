"""Which servers are asked: by what clients' requests tell of them, by probes, and by the operator's word."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import collections
import statistics
import time

from support.case import WireCase, main
from support.raw import wait_until
from support.server import OK, answer, by_target, silent_to_connects, stalled, unconnectable

# A server that is slow is no bad one here.
PROBES = {"type": "http", "path": "/health", "interval": "20ms", "timeout": "30s", "rise": 2, "fall": 3}
LONG = "1h"


class HealthCase(WireCase):
    def number(self, n, **answers):
        """A server that answers with its number, and probes as answers["/health"] says."""
        targets = {b"/health": answer()}
        server = self.server(by_target(targets, answer(b"%d" % n)), **answers)
        server.answers = targets
        return server

    def numbers(self, count):
        return [self.number(n) for n in range(count)]

    def bodies(self, count, client=None):
        client = client or self.client()
        return [client.get().body.decode() for _ in range(count)]

    def clients_requests(self, server):
        return [r for r in server.requests if r.target != b"/health"]

    def wait_state(self, server, state, count=1):
        return self.balancer.wait_line(r"server %s of up is %s: (.*)" % (server.address, state), count).group(1)

    def summary(self, name):
        self.finish()
        found = [line for line in self.balancer.lines if " %s " % name in line]
        return int(found[0].rsplit(" ", 1)[1]) if found else 0


class Passive(HealthCase):
    def start(self, *servers, passive=None, **options):
        upstream = dict({"passive": dict({"fail_timeout": LONG}, **(passive or {}))}, **options.pop("upstream", {}))
        self.tplb(*servers, upstream=upstream, **options)

    def test_connects_that_fail(self):
        """After three in a row it is not asked any more; no request is lost, and it is told once."""
        sock, dead = unconnectable()
        self.keep(sock)
        self.start(self.number(0), dead)
        self.assertEqual(self.bodies(20), ["0"] * 20)
        self.assertEqual(self.summary("server_connect_failed"), 3)
        down = [line for line in self.balancer.lines if "is down" in line]
        self.assertEqual(len(down), 1)
        self.assertRegex(
            down[0], r"warning: server %s of up is down: max_fails \(3\) reached, .*: connect: Connection refused" % dead
        )
        self.assertRegex(self.balancer.stderr, r"server %s of up: down, 0 requests, 3 failures, went down 1 times" % dead)

    def test_connects_that_time_out(self):
        """Likewise: a server that does not accept, whose backlog is full, goes down after three that took timeouts.connect."""
        sockets, full = silent_to_connects()
        for sock in sockets:
            self.keep(sock)
        self.start(self.number(0), full, timeouts={"connect": "50ms"})
        self.assertEqual(self.bodies(20), ["0"] * 20)
        self.balancer.wait_line(r"server %s of up is down: max_fails \(3\) reached, .*: connect: Connection timed out" % full)

    def test_off(self):
        sock, dead = unconnectable()
        self.keep(sock)
        self.start(self.number(0), dead, passive={"max_fails": 0})
        self.bodies(20)
        self.assertGreaterEqual(self.summary("server_connect_failed"), 10)
        self.assertNotIn("is down", self.balancer.stderr)

    def test_comes_back(self):
        """It is looked at again without a client's request, and gets its share again."""
        servers = self.numbers(2)
        self.start(*servers, passive={"max_fails": 1, "fail_timeout": "50ms"})
        servers[1].stop()
        self.assertEqual(self.bodies(4), ["0"] * 4)
        self.wait_state(servers[1], "down")
        back = self.number(2, address=servers[1].address)
        self.wait_state(servers[1], "up")
        self.assertEqual(back.requests, [])
        self.assertEqual(sorted(self.bodies(4)), ["0", "0", "2", "2"])
        self.assertEqual(self.summary("server_ups"), 1)

    def test_broken_answers(self):
        servers = [self.number(0), self.server(by_target({}, b"nonsense\r\n\r\n"))]
        self.start(*servers, passive={"max_fails": 2})
        client = self.client()
        statuses = collections.Counter(client.get().status for _ in range(10))
        self.assertEqual(statuses, {200: 8, 502: 2})
        self.assertIn("broken answer", self.wait_state(servers[1], "down"))

    def test_silence(self):
        servers = [self.server(stalled), self.number(1)]
        self.start(*servers, passive={"max_fails": 1}, timeouts={"server": "50ms"})
        client = self.client()
        self.assertEqual(client.get().status, 504)
        self.assertIn("no answer", self.wait_state(servers[0], "down"))
        self.taken_in('"50ms"', '"30s"')  # the other may take its time
        self.assertEqual(self.bodies(4, client), ["1"] * 4)

    def test_5xx_when_asked(self):
        for count in (False, True):
            with self.subTest(count):
                servers = [self.number(0), self.server(by_target({}, answer(status=b"500 Oops")))]
                self.start(*servers, passive={"max_fails": 2, "count_5xx": count})
                client = self.client()
                statuses = collections.Counter(client.get().status for _ in range(20))
                self.assertEqual(statuses, {200: 18, 500: 2} if count else {200: 10, 500: 10})

    def test_a_success_between(self):
        """Failures that are not in a row do not count."""
        bad = {b"/bad": b"nonsense\r\n\r\n"}
        self.start(self.server(by_target(bad)), passive={"max_fails": 2})
        client = self.client()
        for _ in range(4):
            self.assertEqual(client.get(b"/bad").status, 502)
            self.assertEqual(client.get(b"/").status, 200)
        self.assertEqual(self.summary("server_downs"), 0)

    def test_panic(self):
        """With all of them down they are asked all the same; or not."""
        for panic in (True, False):
            with self.subTest(panic):
                server = self.number(0)
                self.start(server, passive={"max_fails": 1}, upstream={"panic": panic})
                server.stop()
                client = self.client()
                self.assertEqual([client.get().status for _ in range(3)], [503] * 3)
                self.number(1, address=server.address)
                self.assertEqual(client.get().status, 200 if panic else 503)
                if panic:
                    self.assertIn("answered a request", self.wait_state(server, "up"))
                self.assertEqual(self.summary("server_connect_failed"), 3 if panic else 1)

    def test_backup_instead_of_panic(self):
        servers = self.numbers(2)
        self.start(servers[0], {"address": servers[1].address, "backup": True}, passive={"max_fails": 1})
        servers[0].stop()
        self.assertEqual(self.bodies(5), ["1"] * 5)
        self.assertEqual(self.summary("server_connect_failed"), 1)

    def test_tcp(self):
        def hello(connection):
            connection.send(b"1")
            connection.wait_gone()

        sock, dead = unconnectable()
        self.keep(sock)
        self.start(dead, self.server(hello), mode="tcp")
        for _ in range(8):
            client = self.client()
            self.assertEqual(client.read_exactly(1), b"1")
            client.close()
        self.assertEqual(self.summary("server_connect_failed"), 3)


class Probes(HealthCase):
    def start(self, *servers, health=None, **options):
        passive = {"max_fails": 0}
        upstream = dict({"passive": passive, "health": dict(PROBES, **(health or {}))}, **options.pop("upstream", {}))
        self.tplb(*servers, upstream=upstream, **options)

    def test_what_is_sent(self):
        server = self.number(0)
        self.start(server, health={"method": "HEAD", "path": "/health", "host": "x.example"})
        server.wait_finished(3)
        self.assertEqual(
            bytes(server.connections[0].bytes),
            b"HEAD /health HTTP/1.1\r\nHost: x.example\r\nUser-Agent: tplb\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        )

    def test_host_is_the_address(self):
        server = self.number(0)
        self.start(server)
        self.assertIn(b"\r\nHost: %s\r\n" % server.address.encode(), bytes(server.wait_requests(1).raw_head))

    def test_status(self):
        """Down after three bad ones, up after two good ones; no client's request meets it meanwhile."""
        servers = self.numbers(2)
        self.start(*servers)
        self.assertEqual(sorted(self.bodies(4)), ["0", "0", "1", "1"])
        servers[1].answers[b"/health"] = answer(status=b"503 Away")
        self.assertIn("3 bad probes in a row, the last: status 503, not 200", self.wait_state(servers[1], "down"))
        before = len(self.clients_requests(servers[1]))
        self.assertEqual(self.bodies(10), ["0"] * 10)
        self.assertEqual(len(self.clients_requests(servers[1])), before)
        servers[1].answers[b"/health"] = answer()
        self.assertIn("2 good probes in a row", self.wait_state(servers[1], "up"))
        self.assertEqual(sorted(self.bodies(4)), ["0", "0", "1", "1"])

    def test_any_good_status(self):
        server = self.number(0)
        server.answers[b"/health"] = answer(status=b"302 Found")
        self.start(server, health={"expect": 0})
        server.wait_requests(3)
        server.answers[b"/health"] = answer(status=b"404 Gone")
        self.assertIn("status 404, not one of 200 to 399", self.wait_state(server, "down"))

    def test_body(self):
        server = self.number(0)
        server.answers[b"/health"] = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nall i\r\n6\r\ns well\r\n0\r\n\r\n"
        )
        self.start(server, health={"body": "is well"})
        server.wait_requests(4)
        server.answers[b"/health"] = answer(b"all is lost")
        self.assertIn('the answer\'s body lacks "is well"', self.wait_state(server, "down"))
        server.answers[b"/health"] = answer(b"well, it is well")
        self.wait_state(server, "up")

    def test_bad_answers(self):
        for what, why in (
            (b"nonsense\r\n\r\n", "it is not HTTP"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n", "answer: Message too long"),
            (lambda connection, request: False, "answer: Connection reset"),
            (lambda connection, request: connection.server.gate.wait(10), "no answer within health.timeout"),
        ):
            with self.subTest(why):
                server = self.number(0)
                server.answers[b"/health"] = what
                self.start(server, health={"timeout": "60ms" if "timeout" in why else "30s"})
                self.assertIn(why, self.wait_state(server, "down"))
                server.gate.set()
                self.finish()

    def test_dead_from_the_start(self):
        """Of a server that nobody has seen alive one bad probe is enough."""
        sock, dead = unconnectable()
        self.keep(sock)
        self.start(self.number(0), dead, health={"interval": LONG})
        self.balancer.wait_line(r"server %s of up is down: 1 bad probe in a row, the last: connect: " % dead)
        self.bodies(10)
        self.assertEqual(self.summary("server_connect_failed"), 0)

    def test_tcp(self):
        server = self.number(0)
        config = {"type": "tcp", "interval": "20ms", "timeout": "30s"}
        self.tplb(server, upstream={"health": config})
        server.wait_finished(3)
        server.stop()
        self.wait_state(server, "down")
        self.number(0, address=server.address)
        self.wait_state(server, "up")
        self.assertEqual(self.bodies(2), ["0"] * 2)

    def test_jitter(self):
        """Intervals are shorter by up to a tenth, each by another part: balancers that were started together drift apart."""
        times = []

        def note(connection, request):
            times.append(time.monotonic())
            connection.send(OK)

        server = self.server(by_target({}, note))
        self.start(server, health={"interval": "300ms"})  # a tenth of it is more than a busy machine takes to wake up
        server.wait_finished(8)
        gaps = [b - a for a, b in zip(times, times[1:])]
        self.assertLess(min(gaps), 0.297)
        self.assertGreater(max(gaps) - min(gaps), 0.002)
        self.assertGreater(statistics.median(gaps), 0.15)  # one that was late for once is followed by a short one

    def test_not_behind_the_queue(self):
        """All workers wait for a server, and requests stand in the queue: the probes go on."""
        server = self.server(by_target({b"/health": answer()}, lambda c, r: c.server.gate.wait(10) and c.send(answer())))
        self.start(server, pool={"workers": 1, "burst": 1})
        for _ in range(5):
            self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait(lambda: self.clients_requests(server) or any(c.requests for c in server.connections))
        seen = len(server.requests)
        server.wait_requests(seen + 10)

    def test_probes_and_failures(self):
        """Requests bring it down at once, probes bring it up."""
        server = self.number(0)
        self.start(server, upstream={"passive": {"max_fails": 1, "fail_timeout": "1ms"}})
        server.wait_requests(2)
        server.answers[b"/x"] = b"nonsense\r\n\r\n"
        self.assertEqual(self.client().get(b"/x").status, 502)
        self.wait_state(server, "down")
        self.assertIn("2 good probes", self.wait_state(server, "up"))

    def test_end_amid_a_probe(self):
        """A probe that hangs does not hold up the end."""
        server = self.number(0)
        server.answers[b"/health"] = lambda connection, request: connection.server.gate.wait(30)
        self.start(server, health={"timeout": "60s"})
        server.wait_requests(1)
        began = time.monotonic()
        self.finish()
        self.assertLess(time.monotonic() - began, 10)

    def test_long_body(self):
        """A body in many small pieces keeps nobody from looking at the others."""
        servers = self.numbers(2)
        pieces = b"".join(b"1\r\na\r\n" for _ in range(60000))
        servers[0].answers[b"/health"] = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"1\r\nb\r\n0\r\n\r\n"
        )
        servers[1].answers[b"/health"] = answer(b"a" * 63 + b"b")
        self.start(*servers, health={"body": "a" * 63 + "b"})
        servers[0].wait_finished(3)
        servers[1].wait_finished(5)
        self.assertNotIn("is down", self.balancer.stderr)

    def test_slow_start(self):
        """A server that is back gets little at first, and its share in the end."""
        servers = self.numbers(2)

        def is_back(slow_start):
            self.start(*servers, upstream={"slow_start": slow_start})
            servers[1].answers[b"/health"] = answer(status=b"500 Oops")
            self.wait_state(servers[1], "down")
            servers[1].answers[b"/health"] = answer()
            self.wait_state(servers[1], "up")

        is_back("10m")  # in which nobody comes far
        self.assertLess(self.bodies(40).count("1"), 14)
        self.finish()
        is_back("500ms")
        wait_until(lambda: self.bodies(40).count("1") == 20, "its whole share")


class States(HealthCase):
    def test_drain_and_maint(self):
        servers = self.numbers(3)
        rows = [{"address": s.address, "state": state} for s, state in zip(servers, ("ready", "drain", "maint"))]
        self.tplb(*rows, upstream={"health": PROBES})
        self.assertEqual(self.bodies(9), ["0"] * 9)
        servers[1].wait_requests(5)  # one that drains is probed
        self.assertEqual(servers[2].connections, [])
        self.finish()
        for server, state in zip(servers, ("up", "draining", "maint")):
            self.assertRegex(self.balancer.stderr, r"server %s of up: %s, " % (server.address, state))

    def test_dead_while_draining(self):
        """It is down, and is not asked even when no other is up."""
        server = self.number(0)
        server.answers[b"/health"] = answer(status=b"500 Oops")
        self.tplb({"address": server.address, "state": "drain"}, upstream={"health": PROBES})
        self.wait_state(server, "down")
        response = self.client().get()
        self.assertEqual(response.status, 503)
        self.assertIn(b"(no_server)", response.body)
        self.assertEqual(self.clients_requests(server), [])

    def test_none_ready(self):
        server = self.number(0)
        self.tplb({"address": server.address, "state": "maint"})
        self.balancer.wait_line("none of them is ready")
        self.assertEqual(self.client().get().status, 503)
        self.assertEqual(server.connections, [])


if __name__ == "__main__":
    main()
