"""Servers by name: addresses move, name servers die, SRV records come and go, and no request is lost by it."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import collections
import re
import signal
import threading

from support import expect
from support.case import WireCase, main
from support.dns import A, AAAA, CNAME, SRV, NameServer
from support.raw import BOUND
from support.server import answer, each

INTERVAL = "100ms"
HOST = "origin.example"
SERVICE = "_http._tcp.origin.example"


class Load:
    """Keep-alive clients, each asking over and over until stop(); what they got, by body."""

    def __init__(self, case, clients=4):
        self.got = collections.Counter()
        self.failures = []
        self.changed = threading.Condition()
        self.rounds = [0] * clients
        self._stop = False
        self._threads = [
            threading.Thread(target=self._run, args=(case.client(), i), daemon=True) for i in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, client, number):
        try:
            while not self._stop:
                response = client.get()
                with self.changed:
                    self.got[response.body if response.status == 200 else response.status] += 1
                    self.rounds[number] += 1
                    self.changed.notify_all()
        except Exception as e:
            with self.changed:
                self.failures.append(e)
                self.changed.notify_all()

    def wait(self, condition, what):
        with self.changed:
            if not self.changed.wait_for(lambda: self.failures or condition(), BOUND) or self.failures:
                raise AssertionError("waited in vain for %s; got %r, failures %r" % (what, self.got, self.failures))

    def wait_rounds(self, more=2):
        """Until each client has begun and finished a request."""
        wanted = [n + more for n in self.rounds]
        self.wait(lambda: all(n >= w for n, w in zip(self.rounds, wanted)), "each client's next answers")

    def since(self):
        """What was got from here to the next call of the function that it returns, after a few more requests."""
        self.wait_rounds()
        with self.changed:
            before = collections.Counter(self.got)

        def after():
            self.wait_rounds(10)
            with self.changed:
                return self.got - before

        return after

    def stop(self):
        self._stop = True
        for thread in self._threads:
            thread.join(BOUND)
        if self.failures:
            raise self.failures[0]


class ResolveCase(WireCase):
    def setUp(self):
        super().setUp()
        self.dns = self.nameserver()

    def nameserver(self, host="127.0.0.1"):
        dns = NameServer(host)
        self.addCleanup(dns.stop)
        return dns

    def twins(self, count=2, script=None):
        """Servers on one port of 127.0.0.1, 127.0.0.2, ...; each answers with its number. Their port."""
        for _ in range(100):
            first = self.server(script or each(answer(b"0")))
            port = int(first.address.rpartition(":")[2])
            try:
                self.origins = [first] + [
                    self.server(each(answer(b"%d" % n)), address="127.0.0.%d:%d" % (n + 1, port)) for n in range(1, count)
                ]
                return port
            except OSError:  # the port is taken there
                continue
        raise AssertionError("no port that is free everywhere")

    def named(self, count):
        """Servers on ports of their own; each answers with its number."""
        self.origins = [self.server(each(answer(b"%d" % n))) for n in range(count)]
        return [int(s.address.rpartition(":")[2]) for s in self.origins]

    def start(self, *servers, upstream=None, **options):
        upstream = dict({"resolve": INTERVAL, "nameserver": self.dns.address}, **(upstream or {}))
        return self.tplb(*servers, upstream=upstream, queue={"timeout": "30s"}, **options)

    def srv(self, ports, weights=None, priorities=None):
        """SRV records for targets t0.example, t1.example, ... on these ports."""
        rows = []
        for n, port in enumerate(ports):
            self.dns.set("t%d.example" % n, A, "127.0.0.1")
            rows.append(((priorities or {}).get(n, 10), (weights or {}).get(n, 0), port, "t%d.example" % n))
        self.dns.set(SERVICE, SRV, *rows)

    def settled(self):
        """Until a lookup that began from now on was acted upon: the next one begins after it."""
        self.dns.wait_queries(*self.dns.queries[-1], 3)


class Address(ResolveCase):
    def moving(self, **options):
        port = self.twins()
        self.dns.set(HOST, A, "127.0.0.1")
        self.start("%s:%d" % (HOST, port), **options)
        return port

    def test_move(self):
        """From A to B under keep-alive clients: no request fails, and then all come to B."""
        port = self.moving()
        load = Load(self)
        self.assertEqual(set(load.since()()), {b"0"})
        self.dns.set(HOST, A, "127.0.0.2")
        self.balancer.wait_line(
            r"info: server origin\.example:%d of up: address changed from 127\.0\.0\.1:%d to 127\.0\.0\.2:%d$" % (port, port, port)
        )
        self.assertEqual(set(load.since()()), {b"1"})
        load.stop()
        self.assertEqual(set(load.got), {b"0", b"1"})
        self.balancer.stop()
        self.assertRegex(self.balancer.stderr, r"info: address_changes 1\n")

    def test_idle_connections_to_the_old_address(self):
        """They are closed, and not used for another request."""
        self.moving(pool={"workers": 1})
        self.assertEqual(self.client().get().body, b"0")
        self.dns.set(HOST, A, "127.0.0.2")
        self.balancer.wait_line(r"address changed")
        self.assertEqual(self.client().get().body, b"1")
        self.origins[0].wait_finished(1)
        self.assertEqual(len(self.origins[0].requests), 1)

    def test_request_under_way(self):
        """It stays with the server that has it; that connection is not kept then."""

        def script(connection):
            while connection.read_request():
                connection.server.gate.wait(BOUND)
                connection.send(answer(b"0"))

        port = self.twins(script=script)
        self.dns.set(HOST, A, "127.0.0.1")
        self.start("%s:%d" % (HOST, port))
        waiting = self.client()
        waiting.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        self.origins[0].wait_requests(1)
        self.dns.set(HOST, A, "127.0.0.2")
        self.balancer.wait_line(r"address changed")
        self.assertEqual(self.client().get().body, b"1")
        self.origins[0].gate.set()
        self.assertEqual(waiting.whole_response().body, b"0")
        self.origins[0].wait_finished(1)
        self.assertEqual(waiting.get().body, b"1")

    def test_tcp(self):
        """A tunnel stays, the next one goes to the new address."""

        def echo(connection):
            connection.send(b"0")
            while connection.more():
                connection.send(connection.take(len(connection.buf)))

        port = self.twins(script=echo)
        self.dns.set(HOST, A, "127.0.0.1")
        self.start("%s:%d" % (HOST, port), mode="tcp")
        tunnel = self.client()
        self.assertEqual(tunnel.read_exactly(1), b"0")
        self.dns.set(HOST, A, "127.0.0.2")
        self.balancer.wait_line(r"address changed")
        self.assertEqual(self.client().get().body, b"1")
        tunnel.send(b"hello")
        self.assertEqual(tunnel.read_exactly(5), b"hello")

    def test_address_stays_while_it_is_among_the_answers(self):
        """Name servers turn their answers around: that moves nothing."""
        port = self.twins(3)
        self.dns.rotating = True
        self.dns.set(HOST, A, "127.0.0.1", "127.0.0.2", "127.0.0.3")
        self.start("%s:%d" % (HOST, port))
        first = self.client().get().body
        for _ in range(6):
            self.settled()
            self.assertEqual(self.client().get().body, first)
        self.dns.set(HOST, A, *["127.0.0.%d" % n for n in (1, 2, 3) if b"%d" % (n - 1) != first])
        self.balancer.wait_line(r"address changed")
        self.assertNotEqual(self.client().get().body, first)
        self.assertEqual(self.balancer.stderr.count("address changed"), 1)

    def test_hash_stays(self):
        """Keys stay with their server when its address changes: what counts is its name."""
        port = self.twins(3)
        for n in range(2):
            self.dns.set("t%d.example" % n, A, "127.0.0.%d" % (n + 1))
        self.start("t0.example:%d" % port, "t1.example:%d" % port, upstream={"balance": "uri"})
        before = {n: self.client().get(b"/%d" % n).body for n in range(40)}
        self.assertEqual(set(before.values()), {b"0", b"1"})
        self.dns.set("t1.example", A, "127.0.0.3")
        self.balancer.wait_line(r"address changed")
        for n, body in before.items():
            self.assertEqual(self.client().get(b"/%d" % n).body, b"2" if body == b"1" else b"0")

    def test_alias(self):
        port = self.twins(1)
        self.dns.set(HOST, CNAME, "other.example")
        self.dns.set("other.example", A, "127.0.0.1")
        self.start("%s:%d" % (HOST, port))
        self.assertEqual(self.client().get().body, b"0")

    def test_ipv6(self):
        """A host without IPv4; and a name server on IPv6."""
        try:
            server = self.server(address="[::1]:0")
            self.dns = self.nameserver("::1")
        except OSError:
            self.skipTest("no IPv6 here")
        self.dns.set(HOST, AAAA, "::1")
        self.start("%s:%s" % (HOST, server.address.rpartition(":")[2]))
        self.assertEqual(self.client().get().status, 200)
        self.assertEqual(self.dns.queries[:2], [(HOST, A), (HOST, AAAA)])

    def test_server_that_is_down_moves(self):
        """What its old address did is forgotten, and the probes go to the new one."""
        port = self.twins()
        self.dns.set(HOST, A, "127.0.0.3")
        self.start("%s:%d" % (HOST, port), upstream={"panic": False, "health": {"type": "http", "interval": "20ms", "timeout": "20s"}})
        self.balancer.wait_line(r"server origin\.example:%d of up is down: 1 bad probe" % port)
        expect.check_own_answer(self.client().get().raw, (503,))
        self.dns.set(HOST, A, "127.0.0.2")
        self.balancer.wait_line(r"of up is up: address changed from 127\.0\.0\.3:%d to 127\.0\.0\.2:%d \(down for" % (port, port))
        self.assertEqual(self.client().get().body, b"1")
        probed = b"origin.example:%d" % port
        self.origins[1].wait(lambda: any(r.get("Host") == probed for r in list(self.origins[1].requests)), "a probe")

    def test_only_at_start(self):
        port = self.twins()
        self.dns.set(HOST, A, "127.0.0.1")
        self.start("%s:%d" % (HOST, port), upstream={"resolve": "0s"})
        self.dns.stop()
        self.assertEqual(self.client().get().body, b"0")
        self.assertEqual(self.dns.queries, [(HOST, A)])
        self.balancer.stop()
        self.assertNotIn("resolve", self.balancer.stderr)

    def test_system_resolver(self):
        """Without `nameserver` the system is asked, /etc/hosts included; again and again."""
        server = self.server()
        port = server.address.rpartition(":")[2]
        self.start("localhost:" + port, upstream={"nameserver": ""}, log={"level": "debug"})
        self.balancer.wait_line(r"info: server localhost:%s of up: localhost:%s, address 127\.0\.0\.1:%s$" % (port, port, port))
        self.balancer.wait_line(r"debug: localhost:%s of up: looked up, 1 of 1 slots in use$" % port, 3)
        self.assertEqual(self.client().get().status, 200)
        self.assertEqual(self.dns.queries, [])
        self.balancer.stop()
        self.assertNotIn("address_changes", self.balancer.stderr)

    def threads(self):
        tasks = "/proc/%d/task" % self.balancer.pid
        names = set()
        for task in os.listdir(tasks):
            try:
                with open("%s/%s/comm" % (tasks, task)) as f:
                    names.add(f.read().strip())
            except (FileNotFoundError, ProcessLookupError):
                pass  # it has just ended
        return names

    def test_thread_only_where_there_is_something_to_look_up(self):
        port = self.twins(1)
        self.dns.set(HOST, A, "127.0.0.1")
        for address, resolve, wanted in (
            ("%s:%d" % (HOST, port), INTERVAL, True),
            ("%s:%d" % (HOST, port), "0s", False),
            ("127.0.0.1:%d" % port, INTERVAL, False),
        ):
            self.start(address, upstream={"resolve": resolve})
            self.assertEqual(self.client().get().status, 200)
            self.assertEqual("tplb-resolve" in self.threads(), wanted, self.threads())

    def test_several_addresses_as_servers(self):
        """With slots each address is a server."""
        port = self.twins(3)
        self.dns.rotating = True
        self.dns.set(HOST, A, "127.0.0.1", "127.0.0.3")
        self.start({"address": "%s:%d" % (HOST, port), "slots": 3})
        client = self.client()
        self.assertEqual(collections.Counter(client.get().body for _ in range(10)), {b"0": 5, b"2": 5})
        self.dns.set(HOST, A, "127.0.0.1", "127.0.0.2", "127.0.0.3")
        self.balancer.wait_line(r"server origin\.example:%d#3 of up is up: 127\.0\.0\.2:%d has come" % (port, port))
        self.assertEqual(collections.Counter(client.get().body for _ in range(9)), {b"0": 3, b"1": 3, b"2": 3})

    def test_host_for_a_client_that_said_none(self):
        port = self.twins(1)
        self.dns.set(HOST, A, "127.0.0.1")
        self.start("%s:%d" % (HOST, port))
        client = self.client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(client.whole_response().status, 200)
        self.assertIn(b"\r\nHost: origin.example:%d\r\n" % port, self.origins[0].all_bytes())


class Failing(ResolveCase):
    def start_one(self, **options):
        port = self.twins()
        self.dns.set(HOST, A, "127.0.0.1")
        self.start("%s:%d" % (HOST, port), **options)
        return port

    def test_name_server_dies(self):
        """Service goes on with the last good address; said once."""
        port = self.start_one()
        load = Load(self)
        self.dns.stop()
        self.balancer.wait_line(
            r"warning: origin\.example:%d of up cannot be resolved: no name server answers.*: its last good addresses stay$" % port
        )
        self.assertEqual(set(load.since()()), {b"0"})
        load.stop()
        self.assertEqual(set(load.got), {b"0"})

    def test_failure_is_told_once_and_so_is_its_end(self):
        self.start_one()
        for n in (1, 2):
            self.dns.failing = True
            self.dns.wait_queries(HOST, A, 8)
            self.dns.failing = False
            self.balancer.wait_line(r"info: origin\.example:\d+ of up can be resolved again$", n)
            self.assertEqual(self.balancer.stderr.count("cannot be resolved"), n)
            self.assertEqual(self.client().get().body, b"0")
        self.balancer.stop()
        failed = int(re.search(r"resolve_failed (\d+)\n", self.balancer.stderr).group(1))
        self.assertGreaterEqual(failed, 4)
        self.assertRegex(self.balancer.stderr, r"info: resolved \d+\n")

    def test_name_that_is_gone(self):
        """It does not exist any more: the last good address stays, too."""
        self.start_one()
        self.dns.set(HOST, A)
        self.balancer.wait_line(r"cannot be resolved: the name has no such record: its last")
        self.assertEqual(self.client().get().body, b"0")

    def test_it_moves_while_the_name_server_was_away(self):
        self.start_one()
        self.dns.failing = True
        self.balancer.wait_line(r"cannot be resolved")
        self.dns.set(HOST, A, "127.0.0.2")
        self.dns.failing = False
        self.balancer.wait_line(r"address changed")
        self.assertEqual(self.client().get().body, b"1")

    def test_unknown_at_start(self):
        """A mistake, with what would start without it."""
        tplb = self.start("%s:1" % HOST, wait=False)
        self.assertEqual(tplb.wait(), 2)
        self.assertRegex(
            tplb.stderr,
            r'servers\[0\]\.address: cannot resolve "origin\.example:1": the name does not exist '
            r'\(init_addr = "none" starts without it and goes on asking\)\n?\Z',
        )

    def test_unknown_at_start_and_only_there(self):
        """With resolve = "0s" there is no such way out."""
        tplb = self.start("%s:1" % HOST, wait=False, upstream={"resolve": "0s"})
        self.assertEqual(tplb.wait(), 2)
        self.assertRegex(tplb.stderr, r'cannot resolve "origin\.example:1": the name does not exist\n?\Z')

    def test_started_without(self):
        """503, and the others meanwhile, until it can be resolved; asked each second, however long resolve is."""
        port = self.twins()
        self.start({"address": "%s:%d" % (HOST, port), "init_addr": "none"}, upstream={"resolve": "1h"})
        client = self.client()
        expect.check_own_answer(client.get().raw, (503,))
        self.balancer.wait_line(r"origin\.example:%d of up cannot be resolved: the name does not exist: it has none yet$" % port)
        self.dns.set(HOST, A, "127.0.0.1")
        self.balancer.wait_line(r"has come, address 127\.0\.0\.1:%d \(absent for" % port)
        self.assertEqual(self.client().get().body, b"0")

    def test_started_without_beside_others(self):
        port = self.twins()
        rows = [{"address": "%s:%d" % (HOST, port), "init_addr": "none"}, {"address": "127.0.0.2:%d" % port}]
        self.start(*rows)
        client = self.client()
        self.assertEqual({client.get().body for _ in range(6)}, {b"1"})
        self.dns.set(HOST, A, "127.0.0.1")
        self.balancer.wait_line(r"has come")
        self.assertEqual([client.get().body for _ in range(6)].count(b"0"), 3)

    def test_end_while_a_lookup_hangs(self):
        """It is not waited for: tplb asks three times, a second each."""
        self.start_one()
        self.assertEqual(self.client().get().body, b"0")
        self.dns.silent = True
        self.dns.wait_queries(HOST, A)
        for client in self._clients:
            client.close()
        self.balancer.tell(signal.SIGTERM)
        asked = self.dns.count(HOST, A)
        self.assertEqual(self.balancer.wait(), 0)
        self.assertLessEqual(self.dns.count(HOST, A), asked + 1)
        self.assertRegex(self.balancer.stderr, r"info: stopped$")

    def test_silence_is_a_failure(self):
        self.start_one()
        self.dns.silent = True
        self.balancer.wait_line(r"cannot be resolved: no name server answers")
        self.assertEqual(self.client().get().body, b"0")


class Records(ResolveCase):
    def start_srv(self, slots=4, **options):
        return self.start({"address": "srv:" + SERVICE, "slots": slots}, **options)

    def test_two_four_one(self):
        """SRV records come and go under keep-alive clients, and no request fails."""
        ports = self.named(4)
        self.srv(ports[:2])
        self.start_srv()
        load = Load(self)
        self.assertEqual(set(load.since()()), {b"0", b"1"})
        self.srv(ports)
        self.balancer.wait_line(r"server srv:%s#[34] of up is up: t[23]\.example:\d+ has come, address 127\.0\.0\.1:\d+ \(absent for" % SERVICE, 2)
        self.assertEqual(set(load.since()()), {b"0", b"1", b"2", b"3"})
        self.dns.set(SERVICE, SRV, (10, 0, ports[3], "t3.example"))
        self.balancer.wait_line(r"server srv:%s#\d of up is absent: t[012]\.example:\d+, 127\.0\.0\.1:\d+, is gone \(up for" % SERVICE, 3)
        self.assertEqual(set(load.since()()), {b"3"})
        load.stop()
        self.assertLessEqual(set(load.got), {b"0", b"1", b"2", b"3"})
        for origin in self.origins[:3]:  # what was idle is closed
            origin.wait(lambda origin=origin: all(c.finished for c in origin.connections))
        self.balancer.stop()
        self.assertRegex(self.balancer.stderr, r"info: address_changes 5\n")

    def test_slots_are_kept(self):
        """Who stays keeps its keys when another one leaves and a third one comes."""
        ports = self.named(4)
        self.srv(ports[:3])
        self.start_srv(slots=3, upstream={"balance": "uri"})
        before = {n: self.client().get(b"/%d" % n).body for n in range(60)}
        self.assertEqual(set(before.values()), {b"0", b"1", b"2"})
        self.dns.set("t3.example", A, "127.0.0.1")
        self.dns.set(SERVICE, SRV, *[(10, 0, ports[n], "t%d.example" % n) for n in (3, 2, 0)])
        self.balancer.wait_line(r"#2 of up: t1\.example:\d+, 127\.0\.0\.1:\d+, is gone, t3\.example:\d+ has come")
        for n, body in before.items():
            self.assertEqual(self.client().get(b"/%d" % n).body, b"3" if body == b"1" else body)

    def test_every_policy(self):
        """Empty slots are never picked."""
        ports = self.named(2)
        self.srv(ports)
        for balance in ("roundrobin", "leastconn", "random", "source", "uri", "header:X"):
            with self.subTest(balance):
                self.start_srv(slots=64, upstream={"balance": balance})
                client = self.client()
                for n in range(40):
                    self.assertEqual(client.get(b"/%d" % n).status, 200)
                client.close()
                self.balancer.stop()
                self.assertNotIn("server_connect_failed", self.balancer.stderr)
        self.assertGreater(min(len(s.requests) for s in self.origins), 60)

    def test_weights(self):
        """Each gets as much as its record says, whatever the policy, and then another share."""
        ports = self.named(3)
        for balance in ("roundrobin", "leastconn", "random", "uri"):
            with self.subTest(balance):
                self.srv(ports, weights={0: 400, 1: 100, 2: 100})
                self.start_srv(upstream={"balance": balance})
                client = self.client()
                got = collections.Counter(client.get(b"/%d" % n).body for n in range(600))
                for body, count in ((b"0", 400), (b"1", 100), (b"2", 100)):
                    self.assertAlmostEqual(got[body], count, delta=60)  # five standard deviations
                client.close()
                self.balancer.stop()

    def test_weights_change(self):
        ports = self.named(3)
        self.srv(ports)
        self.start_srv()
        client = self.client()
        equal = {b"0": 20, b"1": 20, b"2": 20}
        self.assertEqual(collections.Counter(client.get().body for _ in range(60)), equal)
        self.srv(ports, weights={0: 60000, 1: 1, 2: 1})
        self.settled()
        self.assertGreater(collections.Counter(client.get().body for _ in range(60))[b"0"], 50)
        self.srv(ports)
        self.settled()
        self.assertEqual(collections.Counter(client.get().body for _ in range(60)), equal)

    def test_lowest_priority_value_only(self):
        ports = self.named(3)
        self.srv(ports, priorities={1: 5})
        self.start_srv()
        client = self.client()
        self.assertEqual({client.get().body for _ in range(6)}, {b"1"})
        self.srv(ports, priorities={0: 1, 2: 1})
        self.balancer.wait_line(r"has come", 2)
        self.assertEqual({client.get().body for _ in range(6)}, {b"0", b"2"})

    def test_more_than_slots(self):
        """The first of them by name; said at start and when it grows."""
        ports = self.named(4)
        self.srv(ports[:3])
        self.start_srv(slots=2)
        self.assertRegex(self.balancer.stderr, r'slots: warning: "srv:%s" has 1 more: a larger number would' % SERVICE)
        client = self.client()
        self.assertEqual({client.get().body for _ in range(6)}, {b"0", b"1"})
        self.srv(ports)
        self.balancer.wait_line(r"warning: srv:%s of up: 2 more than its 2 slots" % SERVICE)

    def test_answer_over_tcp(self):
        """Too large for a datagram."""
        ports = self.named(1)
        self.srv(ports * 40)
        self.start_srv(slots=40)
        self.assertEqual(self.client().get().body, b"0")
        self.assertNotIn("slots", self.balancer.stderr)
        self.assertEqual(len({n for n, k in self.dns.queries if k == A}), 40)

    def test_target_that_cannot_be_resolved(self):
        """The others serve; it does when it can be resolved."""
        ports = self.named(2)
        self.srv(ports)
        self.dns.set("t1.example", A)
        self.start_srv()
        client = self.client()
        self.assertEqual({client.get().body for _ in range(6)}, {b"0"})
        self.balancer.wait_line(r"warning: srv:%s of up: 1 of its targets cannot be resolved: the name has no such record$" % SERVICE)
        self.dns.set("t1.example", A, "127.0.0.1")
        self.balancer.wait_line(r"t1\.example:\d+ has come")
        self.assertEqual({client.get().body for _ in range(6)}, {b"0", b"1"})
        self.dns.set("t1.example", A)
        self.settled()
        self.assertEqual({client.get().body for _ in range(6)}, {b"0", b"1"})  # its last good address

    def test_target_about_which_nobody_answers(self):
        """One is waited for in vain, not each; all keep their last good addresses."""
        ports = self.named(3)
        self.srv(ports)
        self.start_srv()
        self.dns.silent_about = "t0.example"
        self.dns.wait_queries("t0.example", A)
        others = self.dns.count("t1.example", A)
        self.balancer.wait_line(r"warning: srv:%s of up: 3 of its targets cannot be resolved: no name server answers" % SERVICE)
        self.assertEqual(self.dns.count("t1.example", A), others)
        client = self.client()
        self.assertEqual({client.get().body for _ in range(6)}, {b"0", b"1", b"2"})

    def test_target_moves(self):
        port = self.twins()
        self.srv([port])
        self.start_srv()
        self.assertEqual(self.client().get().body, b"0")
        self.dns.set("t0.example", A, "127.0.0.2")
        self.balancer.wait_line(r"#1 of up: address changed from 127\.0\.0\.1:%d to 127\.0\.0\.2:%d$" % (port, port))
        self.assertEqual(self.client().get().body, b"1")

    def test_service_not_offered(self):
        """The target "." says so (RFC 2782): no server, until there is one again."""
        ports = self.named(1)
        self.srv(ports)
        self.start_srv()
        client = self.client()
        self.assertEqual(client.get().body, b"0")
        self.dns.set(SERVICE, SRV, (0, 0, 0, "."))
        self.balancer.wait_line(r"t0\.example:\d+, 127\.0\.0\.1:\d+, is gone")
        expect.check_own_answer(client.get().raw, (503,))
        self.srv(ports)
        self.balancer.wait_line(r"has come")
        self.assertEqual(self.client().get().body, b"0")

    def test_records_that_are_gone(self):
        """No record at all is no answer: the last ones stay."""
        ports = self.named(2)
        self.srv(ports)
        self.start_srv()
        self.dns.set(SERVICE, SRV)
        self.balancer.wait_line(r"srv:%s of up cannot be resolved: the name has no such record: its last" % SERVICE)
        client = self.client()
        self.assertEqual({client.get().body for _ in range(6)}, {b"0", b"1"})

    def test_backup(self):
        """Slots may be backups."""
        ports = self.named(2)
        self.srv(ports)
        main_ = self.server(each(answer(b"9")))
        self.start({"address": "srv:" + SERVICE, "slots": 4, "backup": True}, main_)
        self.assertEqual(self.client().get().body, b"9")
        main_.stop()
        self.assertIn(self.client().get().body, (b"0", b"1"))

    def test_host_for_a_client_that_said_none(self):
        self.srv(self.named(1))
        self.start_srv()
        client = self.client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(client.whole_response().status, 200)
        self.assertIn(b"\r\nHost: origin.example\r\n", self.origins[0].all_bytes())


if __name__ == "__main__":
    main(at_once=True)
