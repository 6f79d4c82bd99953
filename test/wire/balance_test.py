"""Who answers: weighted round-robin, smooth and exact, whatever the connections do."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import collections
import threading

from support.case import CONTROLLED, WireCase, main
from support.raw import BOUND, wait_until
from support.server import by_target, stalled, unconnectable


def smooth(weights, count):
    """The order of nginx's smooth weighted round-robin: each raises its score by its weight, the highest goes and pays the total."""
    scores, order = [0] * len(weights), []
    for _ in range(count):
        scores = [s + w for s, w in zip(scores, weights)]
        best = scores.index(max(scores))
        scores[best] -= sum(weights)
        order.append(best)
    return order


class Balance(WireCase):
    def named(self, count):
        """Servers that answer with their number."""
        return [
            self.server(by_target({}, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % n)) for n in range(count)
        ]

    def start(self, weights, **options):
        servers = self.named(len(weights))
        self.tplb(*[{"address": s.address, "weight": w} for s, w in zip(servers, weights)], **options)
        return servers

    def order(self, count, client=None):
        client = client or self.client()
        return [int(client.get().body) for _ in range(count)]

    def test_smooth_order(self):
        for weights in ([3, 1, 1], [1, 1, 1], [5, 1, 1], [1, 2, 3], [1], [2, 2], [4, 3, 2, 1]):
            with self.subTest(weights):
                self.start(weights)
                self.assertEqual(self.order(sum(weights) * 4), smooth(weights, sum(weights) * 4))

    def test_three_one_one(self):
        """Spelt out: the heavy one is spread, not sent three in a row."""
        self.start([3, 1, 1])
        self.assertEqual(self.order(10), [0, 1, 0, 2, 0] * 2)

    def test_order_over_connections(self):
        """It is the requests that count, on whatever connection and worker they come."""
        self.start([3, 1, 1], pool={"workers": 4})
        order = []
        for _ in range(25):
            client = self.client()
            order += self.order(1, client)
            client.close()
        self.assertEqual(order, smooth([3, 1, 1], 25))

    def test_counts_are_exact_under_load(self):
        """20 clients at once: the shares are still exact."""
        servers = self.start([3, 1, 1], pool={"workers": 8})
        failures = []

        def load():
            try:
                client = self.client()
                for _ in range(25):
                    client.get()
            except Exception as e:
                failures.append(e)

        threads = [threading.Thread(target=load, daemon=True) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(BOUND * 2)
        self.assertEqual(failures, [])
        self.assertEqual([len(s.requests) for s in servers], [300, 100, 100])

    def test_large_weights(self):
        servers = self.start([256, 128])
        self.order(384 * 2)
        self.assertEqual([len(s.requests) for s in servers], [512, 256])

    def test_failed_server_is_skipped(self):
        """One of three refuses connects: every request is still answered, and both others work."""
        servers = self.named(2)
        sock, dead = unconnectable()
        self.keep(sock)
        self.tplb(servers[0], dead, servers[1])
        counts = collections.Counter(self.order(30))
        self.assertEqual(sum(counts.values()), 30)
        self.assertGreaterEqual(min(counts[0], counts[1]), 10)

    def test_server_that_goes_and_comes_back(self):
        servers = self.named(2)
        self.tplb(*servers, upstream={"passive": {"max_fails": 0}})
        client = self.client()
        self.assertEqual(set(self.order(4, client)), {0, 1})
        servers[1].stop()
        self.assertEqual(self.order(6, client), [0] * 6)
        back = self.server(by_target({}, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"), address=servers[1].address)
        self.assertEqual(set(self.order(4, client)), {0, 2})
        self.assertTrue(back.requests)

    def test_bad_requests_do_not_turn_the_wheel(self):
        """What is refused here costs no server its turn."""
        self.start([1, 1])
        order = []
        for _ in range(6):
            bad = self.client()
            bad.send(b"GET / HTTP/1.1\r\n\r\n")
            self.assertEqual(bad.whole_response().status, 400)
            order += self.order(1)
        self.assertEqual(order, [0, 1] * 3)

    def test_two_upstreams(self):
        """Each has a wheel of its own."""
        a, b = self.named(2), self.named(2)
        self.tplb(
            config={
                "listeners": [
                    {"name": "a", "bind": "127.0.0.1:0", "upstream": "a"},
                    {"name": "b", "bind": "127.0.0.1:0", "upstream": "b"},
                ],
                "upstreams": [
                    {"name": "a", "servers": [{"address": s.address} for s in a]},
                    {"name": "b", "servers": [{"address": s.address} for s in b]},
                ],
            }
        )
        ca, cb = (self.client(self.balancer.addresses[n]) for n in "ab")
        self.assertEqual([self.order(1, c)[0] for c in (ca, cb, cb, ca, ca, cb)], [0, 0, 1, 1, 0, 0])
        self.assertEqual([len(s.requests) for s in a + b], [2, 1, 2, 1])

    def by(self, balance, count=4, **options):
        servers = self.named(count)
        self.tplb(*servers, upstream={"balance": balance}, **options)
        return servers

    def test_leastconn(self):
        """A server that keeps its requests gets no more of them."""
        servers = [self.server(stalled)] + self.named(2)
        self.tplb(*servers, upstream={"balance": "leastconn"}, pool={"workers": 16})
        for n in range(1, 4):  # until it has one
            waiting = self.client()
            waiting.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            wait_until(lambda n=n: sum(len(s.requests) for s in servers) == n, "the request")
            if servers[0].requests:
                break
            waiting.whole_response()
        self.assertEqual(sorted(set(self.order(40))), [0, 1])
        self.assertEqual(len(servers[0].requests), 1)
        servers[0].gate.set()
        self.assertEqual(waiting.whole_response().status, 200)
        for _ in range(20):  # on the same connection: what it asked before is over for sure
            waiting.get()
        self.assertGreater(len(servers[0].requests), 1)  # free again

    def test_leastconn_tcp(self):
        """A tunnel counts as long as it lives."""

        def hello(connection):
            connection.send(b"%d" % connection.server.number)
            connection.wait_gone()

        servers = []
        for number in range(2):
            servers.append(self.server(hello))
            servers[-1].number = number
        self.tplb(*servers, mode="tcp", upstream={"balance": "leastconn"}, admin=CONTROLLED)
        clients = [self.client() for _ in range(6)]
        got = [client.read_exactly(1) for client in clients]
        self.assertEqual(collections.Counter(got), {b"0": 3, b"1": 3})
        for client, number in zip(clients, got):
            if number == b"0":
                client.close()
        wait_until(lambda: " up 1 0 3 " in self.show("servers")[1], "the end of three tunnels")
        new = []
        for _ in range(3):
            new.append(self.client().read_exactly(1))
        self.assertEqual(new, [b"0"] * 3)

    def test_random(self):
        servers = self.by("random", 2)
        self.order(200)
        self.assertGreater(min(len(s.requests) for s in servers), 60)

    def test_source(self):
        """All of one client's to one server, whatever its port."""
        self.by("source")
        self.assertEqual(len({self.order(1)[0] for _ in range(20)}), 1)

    def test_uri(self):
        self.by("uri")
        first = {}
        for n in range(60):
            target = b"/%d" % (n % 20)
            body = self.client().get(target + b"?n=%d" % n).body
            self.assertEqual(first.setdefault(target, body), body)
        self.assertGreater(len(set(first.values())), 2)

    def test_header(self):
        self.by("header:X-User")
        client = self.client()

        def answer(user):
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\nx-user: %s\r\n\r\n" % user)
            return client.whole_response().body

        first = {}
        for n in range(60):
            user = b"u%d" % (n % 20)
            self.assertEqual(first.setdefault(user, answer(user)), answer(user))
        self.assertGreater(len(set(first.values())), 2)
        self.assertEqual(len(set(self.order(100, client))), 4)  # without one: anywhere

    def test_hash_of_a_server_that_is_gone(self):
        """Its keys go elsewhere, those of the others stay."""
        servers = self.by("uri")
        before = {n: self.client().get(b"/%d" % n).body for n in range(40)}
        servers[2].stop()
        for n, body in before.items():
            now = self.client().get(b"/%d" % n).body
            if body == b"2":
                self.assertNotEqual(now, b"2")
            else:
                self.assertEqual(now, body)

    def test_stale_connection_to_a_server_that_is_gone(self):
        """Its kept connection closes on the request, and it refuses another: it is asked once, not twice."""

        def once(connection):
            if connection.read_request():
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0")
                connection.read_request()

        servers = [self.server(once), self.named(2)[1]]
        self.tplb(*servers, upstream={"balance": "uri"})
        client = self.client()
        target = next(b"/%d" % n for n in range(50) if client.get(b"/%d" % n).body == b"0")
        servers[0].stop_listening()
        self.assertEqual(client.get(target).body, b"1")
        client.close()
        self.balancer.stop()
        self.assertRegex(self.balancer.stderr, r"server_connect_failed 1\n")

    def test_backup(self):
        """It serves when none of the others can be reached, and no longer."""
        servers = self.named(3)
        rows = [{"address": servers[0].address, "backup": True}] + [{"address": s.address} for s in servers[1:]]
        self.tplb(*rows, upstream={"passive": {"max_fails": 0}})
        self.assertEqual(set(self.order(10)), {1, 2})
        servers[1].stop()
        self.assertEqual(set(self.order(10)), {2})
        servers[2].stop()
        self.assertEqual(set(self.order(10)), {0})
        self.server(by_target({}, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"), address=servers[2].address)
        self.assertEqual(set(self.order(10)), {2})


if __name__ == "__main__":
    main()
