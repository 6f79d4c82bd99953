"""Who is served next, who is not served at all, and how long they waited: queue.discipline and queue.header."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re
import select
import time

from support import expect
from support.case import WireCase, main
from support.raw import BOUND, wait_until
from support.server import OK, answer, by_target, each

GET = b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 30000\r\n\r\n" + b"x" * 30000
FIELD = b"X-Tplb-Queue-Us"
NEVER = "1h"


class Queued(WireCase):
    def occupied(self, answers=None, **queue):
        """
        One worker or fiber, and it is with a server that does not answer before the gate opens. Where it was so slow to take that request that the
        queue's rule went first, the next one is sent; `outrun` counts those, here and in served().
        """

        def hold(connection, request):
            connection.server.gate.wait(BOUND)
            connection.send(OK)

        self.origin = self.server(by_target({b"/busy": hold, **(answers or {})}))
        self.tplb(self.origin, pool={"workers": 1, "burst": 1}, queue=queue)
        self.outrun = 0
        while True:
            self.busy = self.ask(b"/busy")
            wait_until(lambda: self.origin.requests or self.readable(self.busy), "the request or a refusal")
            if self.origin.requests:
                return
            self.assertEqual(self.busy.response().status, 503)
            self.outrun += 1

    @staticmethod
    def readable(client):
        return bool(select.select([client.sock], [], [], 0)[0])

    def served(self, client, target):
        """Whether it is served; else the queue's rule went first."""
        got = client.get(target)
        self.outrun += got.status == 503
        return got.status == 200

    def ask(self, target, template=GET):
        client = self.client()
        client.try_send(template % target)
        return client

    def let_go(self):
        self.origin.gate.set()
        self.assertEqual(self.busy.whole_response().status, 200)

    def ask_queued(self, target, template=GET):
        """One that is in the queue for sure, which has one place: the other that wanted it was refused."""
        two = [self.ask(target, template) for _ in range(2)]
        full = self.first_answered(two)
        self.refused(full, b"queue_full")
        two.remove(full)
        return two[0]

    def refused(self, client, word):
        got = client.read_to_end()
        self.assertFalse(client.was_reset, "the refusal may be lost to a reset")
        expect.check_own_answer(re.sub(FIELD + rb": \d+\r\n", b"", got), (503,), b"close")
        self.assertIn(b"(%s)\n" % word, got)
        return got

    def targets(self):
        return [r.target for r in self.origin.requests]


class Lifo(Queued):
    def fill(self, names, until=None):
        """
        Clients who ask for one after the other, each when it is known who had no place among two; those are refused. Ends once
        `until` is one of them.
        """
        self.inside = []
        outside = []
        for name in names:
            self.inside.append((name, self.ask(name, POST)))
            if len(self.inside) > 2:
                done = self.first_answered([client for _, client in self.inside])
                self.refused(done, b"queue_full")
                outside += [n for n, client in self.inside if client is done]
                self.inside = [(n, client) for n, client in self.inside if client is not done]
                if until in outside:
                    break
        return outside

    def names(self, count):
        return [b"/%d" % n for n in range(count)]

    def test_newest_first(self):
        """Once the queue stands the oldest makes room, and the newest is served first."""
        self.occupied(size=2, discipline="lifo", interval="50ms", timeout="0s")
        outside = self.fill(self.names(100000), until=b"/0")
        self.assertEqual(outside[-1], b"/0")
        self.let_go()
        for _, client in self.inside:
            self.assertEqual(client.whole_response().status, 200)
        names = [name for name, _ in self.inside]
        self.assertEqual(self.targets(), [b"/busy"] + names[::-1])
        self.assertEqual(self.counter("refused_queue_full"), len(outside))

    def test_burst_in_its_order(self):
        """As long as it may be a burst, it is served in its order, and who comes too late is refused."""
        self.occupied(size=2, discipline="lifo", interval=NEVER, timeout="0s")
        outside = self.fill(self.names(20))
        self.assertEqual(len(outside), 18)
        self.let_go()
        for _, client in self.inside:
            self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(self.targets(), [b"/busy"] + [name for name, _ in self.inside])

    def test_timeout(self):
        """Those at the bottom are told in the end."""
        self.occupied(discipline="lifo", interval="20ms", timeout="200ms")
        clients = [self.ask(name, POST) for name in self.names(10)]
        for client in clients:
            self.refused(client, b"queue_timeout")
        self.let_go()
        self.assertEqual(self.counter("refused_queue_timeout"), 10 + self.outrun)


class Codel(Queued):
    def test_shed(self):
        self.occupied(discipline="codel", target="10ms", interval="50ms", timeout="0s")
        for round in range(3):
            for client in [self.ask(b"/late", POST) for _ in range(5)]:
                self.refused(client, b"shed")
        self.let_go()
        for _ in range(5):

            def served():
                client = self.client()
                return self.served(client, b"/after") and self.served(client, b"/after")

            wait_until(served, "two answers")
        self.assertNotIn(b"/late", self.targets())
        self.assertEqual(self.counter("refused_shed"), 15 + self.outrun)

    def test_burst_is_served(self):
        """However far beyond the target."""
        self.occupied(discipline="codel", target="1us", interval=NEVER, timeout="0s", header=True)
        clients = [self.ask(b"/%d" % n) for n in range(10)]
        time.sleep(0.02)  # the wait is what this is about
        self.let_go()
        for client in clients:
            self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(self.counter("refused_shed"), 0)

    def test_all_are_answered(self):
        """Waves of clients who come whether or not they are served: each has an answer, of one kind or the other."""

        def slow(connection, request):
            time.sleep(0.005)
            connection.send(OK)

        self.occupied({b"/x": slow}, discipline="codel", target="5ms", interval="20ms", timeout="0s")
        statuses = []
        for wave in range(5):
            clients = [self.ask(b"/x", POST) for _ in range(30)]
            if wave == 0:  # nobody is served before somebody was not, however slowly they come
                self.first_answered(clients)
                self.let_go()
            for client in clients:
                got = client.response()
                self.assertTrue(got.complete)
                statuses.append(got.status)
                client.close()
        self.assertEqual(set(statuses), {200, 503})
        self.assertEqual(self.counter("refused_shed"), statuses.count(503) + self.outrun)


class Header(Queued):
    def value(self, response):
        values = response.all("X-Tplb-Queue-Us")
        self.assertEqual(len(values), 1, response.raw)
        return int(values[0])

    def test_relayed(self):
        """The true wait, in place of what the server says of its own."""
        own = answer(fields=b"x-tplb-queue-US: 5\r\nX-Other: 1\r\n")
        self.occupied({b"/own": own}, size=1, header=True, timeout="0s")
        began = time.monotonic()
        client = self.ask_queued(b"/own")
        inside = time.monotonic()
        time.sleep(0.05)  # the wait is what this is about
        released = time.monotonic()
        self.let_go()
        got = client.whole_response()
        self.assertGreaterEqual(self.value(got), int((released - inside) * 1e6))
        self.assertLessEqual(self.value(got), (time.monotonic() - began) * 1e6)
        self.assertEqual(got.get("x-other"), b"1")

    def test_not_queued(self):
        """A pipelined request never is in the queue, be it that the one before it was."""
        self.occupied(size=1, header=True, timeout="0s")
        client = self.ask_queued(b"/1", GET + GET % b"/2")
        time.sleep(0.02)  # the wait is what this is about
        self.let_go()
        self.assertGreaterEqual(self.value(client.whole_response()), 20000)
        since = time.monotonic()
        self.assertEqual(self.value(client.whole_response()), 0)
        self.assertLessEqual(self.value(client.get()), (time.monotonic() - since) * 1e6)

    def test_interim(self):
        """Only the final answer has it."""
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n" + FIELD + b": 7\r\n\r\n"
        self.occupied({b"/hints": hints + OK}, header=True)
        self.let_go()
        client = self.ask(b"/hints")
        self.assertIsNotNone(client.response().get("link"))
        self.value(client.whole_response())

    def waited(self, client, word):
        """What one that is refused is told of its wait."""
        return int(re.search(FIELD + rb": (\d+)\r\n", self.refused(client, word)).group(1))

    def test_refused(self):
        self.occupied(header=True, size=2, discipline="codel", target="1ms", interval=NEVER, timeout="0s")
        since = time.monotonic()
        full = self.first_answered([self.ask(b"/late") for _ in range(3)])
        self.assertLessEqual(self.waited(full, b"queue_full"), (time.monotonic() - since) * 1e6)
        self.let_go()
        self.finish()
        self.occupied(header=True, discipline="codel", target="1ms", interval="100ms", timeout="0s")
        for client in [self.ask(b"/late") for _ in range(2)]:
            self.assertGreaterEqual(self.waited(client, b"shed"), 1000)
        self.let_go()

    def test_own_answers(self):
        self.occupied(header=True)
        self.let_go()
        client = self.ask(b"bad")
        got = client.whole_response()
        self.assertEqual(got.status, 400)
        self.value(got)

    def test_off(self):
        server = self.server(each(answer(fields=FIELD + b": 5\r\n")))
        self.tplb(server)
        self.assertEqual(self.client().get().all("X-Tplb-Queue-Us"), [b"5"])


class Waits(Queued):
    def test_all_are_counted(self):
        """The histogram holds as many waits as there were connections dispatched, and the longest of them."""
        self.occupied(timeout="0s", header=True)
        clients = [self.ask(b"/%d" % n) for n in range(20)]
        self.let_go()
        told = []
        for client in clients:
            told.append(client.whole_response())
            told += [client.get() for _ in range(10)]
        self.assertEqual({r.status for r in told}, {200})
        dispatched = self.counter("dispatched")
        m = re.search(
            r"queue wait: count (\d+), mean (\d+)us, p50 (\d+)us, p90 (\d+)us, p99 (\d+)us, max (\d+)us$",
            self.balancer.stderr,
            re.M,
        )
        count, _, p50, p90, p99, most = map(int, m.groups())
        self.assertEqual(count, dispatched)
        self.assertGreaterEqual(count, 21)  # those who come back while they are served are not queued
        self.assertTrue(p50 <= p90 <= p99 <= most)
        self.assertGreaterEqual(most, max(int(r.get("X-Tplb-Queue-Us")) for r in told))


if __name__ == "__main__":
    main()
