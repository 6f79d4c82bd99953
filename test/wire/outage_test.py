"""
Servers die under many keep-alive clients, and come back. What became of every request is known on both sides: the clients know what they were told,
the origins have written down what they got, by the request's number.

No GET fails, but for those of whose answer a byte had reached the client. No POST runs twice.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import asyncio
import collections
import itertools
import signal
import time

from support.case import WireCase, main
from support.raw import BOUND, wait_until
from support.server import unconnectable
from support.tplb import ENGINE, Process, thread_sanitized

LONG = os.environ.get("TPLB_LONG") == "1"
CLIENTS = 200 if thread_sanitized() else 1000
SECONDS = 10 if LONG else 2.5
HERE = os.path.dirname(os.path.abspath(__file__))
HEALTH = {"type": "http", "interval": "200ms", "timeout": "200ms", "rise": 2, "fall": 2}


class Client(asyncio.Protocol):
    """One keep-alive connection: a request, its answer, the next. A connection that closes is opened again."""

    def __init__(self, load):
        self.load = load

    def connection_made(self, transport):
        self.transport, self.input, self.number = transport, b"", None
        self.ask()

    def ask(self):
        if self.load.over:
            self.transport.close()
            return
        self.number = next(self.load.numbers)
        self.is_post = self.number % 5 == 3
        self.input = b""
        if self.is_post:
            self.transport.write(b"POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi" % self.number)
        else:
            self.transport.write(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % self.number)

    def data_received(self, data):
        self.input += data
        head, end, body = self.input.partition(b"\r\n\r\n")
        if not end:
            return
        fields = head.lower().split(b"\r\n")
        length = next(int(f.split(b":")[1]) for f in fields if f.startswith(b"content-length:"))
        if len(body) < length:
            return
        self.load.record(self, int(head.split(b" ")[1]), body)
        self.number = None
        if b"connection: close" in fields:
            self.transport.close()
        else:
            self.ask()

    def connection_lost(self, error):
        if self.number is not None:
            self.load.record(self, -1 if self.input else 0, b"")
        if not self.load.over:
            self.load.connect()
        else:
            self.load.left -= 1
            if self.load.left == 0:
                self.load.ended.set()


class Load:
    """Runs the clients on the calling thread's event loop, and `script` beside them, a coroutine that gets this object."""

    def __init__(self, address, clients):
        host, _, port = address.rpartition(":")
        self.where, self.clients = (host, int(port)), clients
        self.numbers = itertools.count()
        self.over, self.left = False, clients
        self.outcomes = []  # (time, number, is_post, status, body); status 0: no byte of an answer came, -1: only a part
        self.answers = collections.Counter()  # by body
        self.tasks = set()

    def record(self, client, status, body):
        self.answers[body] += 1
        self.outcomes.append((time.monotonic(), client.number, client.is_post, status, body))

    def connect(self):
        task = asyncio.get_running_loop().create_task(self._connect())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _connect(self):
        await asyncio.get_running_loop().create_connection(lambda: Client(self), *self.where)

    def run(self, script):
        async def all_of_it():
            self.ended = asyncio.Event()
            for _ in range(self.clients):
                self.connect()
            await script(self)
            self.over = True
            await asyncio.wait_for(self.ended.wait(), BOUND * 2)

        asyncio.run(all_of_it())

    def served(self, since, until):
        """Answers by server in the time."""
        return collections.Counter(o[4] for o in self.outcomes if since <= o[0] < until and o[3] == 200)


class Outage(WireCase):
    def setUp(self):
        super().setUp()
        self.logs = self.directory()

    def origin(self, name, address=None):
        """At that address, or at one of its own, whose port nobody else gets while it is dead."""
        if address is None:
            held, address = unconnectable()
            self.keep(held)
        argv = [sys.executable, os.path.join(HERE, os.pardir, "support", "logging_origin.py")]
        process = Process([*argv, address, name, os.path.join(self.logs, name)])
        self.addCleanup(process.kill)
        process.address = process.wait_line(r"listening on (\S+)").group(1)
        process.name = name
        return process

    def start(self, count, **upstream):
        self.origins = [self.origin("s%d" % n) for n in range(count)]
        self.tplb(
            *self.origins,
            upstream=dict({"health": HEALTH, "retries": 2}, **upstream),
            queue={"size": 4096, "timeout": "10s"},
            timeouts={"connect": "2s"},
            **({"pool": {"workers": 64}} if ENGINE == "pool" else {}),
        )

    def kill(self, origin):
        origin.process.send_signal(signal.SIGKILL)
        origin.process.wait()

    async def line(self, pattern, count=1):
        """Waits for it on tplb's standard error while the clients go on."""
        await asyncio.get_running_loop().run_in_executor(None, lambda: self.balancer.wait_line(pattern, count))

    def seen(self):
        """How often each number was written down by any origin."""
        found = collections.Counter()
        for name in os.listdir(self.logs):
            with open(os.path.join(self.logs, name)) as f:
                found.update(int(line[1:]) for line in f if line[1:].strip().isdigit())
        return found

    def check(self, load):
        failed = [o for o in load.outcomes if not o[2] and o[3] not in (200, -1)]
        self.assertEqual(failed[:10], [], "GETs that failed: %d of %d" % (len(failed), len(load.outcomes)))
        seen = self.seen()
        posts = {o[1]: o for o in load.outcomes if o[2]}
        twice = [n for n in posts if seen[n] > 1]
        self.assertEqual(twice, [], "POSTs that ran twice")
        for n, o in posts.items():
            if o[3] == 200:
                self.assertEqual(seen[n], 1)
        self.assertGreater(len(posts), 100)
        broken = sum(o[3] == -1 for o in load.outcomes)
        lost = sum(o[2] and o[3] != 200 for o in load.outcomes)
        print("%d requests, %d cut after a first byte, %d POSTs not answered with 200" % (len(load.outcomes), broken, lost))

    def test_one_of_four(self):
        """It is killed under load, comes back, and gets its share little by little."""
        self.start(4, slow_start="%dms" % (SECONDS * 1000))
        load = Load(self.balancer.address, CLIENTS)
        victim = self.origins[1]
        marks = {}

        async def script(load):
            while len(load.outcomes) < CLIENTS:
                await asyncio.sleep(0.01)
            self.kill(victim)
            await self.line("server %s of up is down" % victim.address)
            await asyncio.sleep(0.3)
            marks["back"] = time.monotonic()
            loop = asyncio.get_running_loop()
            self.origins[1] = await loop.run_in_executor(None, lambda: self.origin("back", victim.address))
            marks["listening"] = time.monotonic()
            await self.line("server %s of up is up" % victim.address)
            marks["up"] = time.monotonic()
            await asyncio.sleep(SECONDS / 4)
            marks["early"], marks["downs"] = time.monotonic(), self.balancer.stderr.count(" of up is down")
            await asyncio.sleep(SECONDS * 3 / 4 + 1)
            until = time.monotonic() + BOUND
            while time.monotonic() < until:  # what stops for a moment may be any of us
                marks["end"] = time.monotonic()
                if self.share(load.served(marks["end"] - 0.8, marks["end"])) > 0.2:
                    return
                await asyncio.sleep(0.2)

        load.run(script)
        self.check(load)
        self.balancer.stop()
        self.assertRegex(self.balancer.stderr, r"(retries|server_stale) \d+\n")
        # Within interval x rise, and the time that we all take, it is up, and takes load.
        self.assertLess(marks["up"] - marks["listening"], 10)
        early = load.served(marks["up"], marks["up"] + SECONDS / 4)
        late = load.served(marks["end"] - 0.8, marks["end"])
        print("share of the server that came back: %s at first, %s later" % (self.share(early), self.share(late)))
        self.assertGreater(load.answers[b"back"], 0)
        if marks["downs"] == 1:  # those who could not answer its probes in time leave it a greater share
            self.assertLess(self.share(early), 0.17)
        self.assertGreater(self.share(late), 0.2)

    @staticmethod
    def share(served):
        return round(served[b"back"] / max(1, sum(served.values())), 3)

    def test_all_and_one_comes_back(self):
        """All are killed. The first 200 comes soon after the one that comes back: by its probes, not by fail_timeout or the clients' luck."""
        self.start(4, panic=False)
        client = self.client()
        self.assertEqual(client.get().status, 200)
        for origin in self.origins:
            self.kill(origin)
        for origin in self.origins:
            self.balancer.wait_line("server %s of up is down" % origin.address)
        self.assertEqual(client.get().status, 503)
        self.origin("back", self.origins[2].address)
        began = time.monotonic()
        wait_until(lambda: self.client().get().status == 200, "a 200")
        self.assertLess(time.monotonic() - began, 10)


if __name__ == "__main__":
    main()
