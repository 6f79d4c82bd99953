"""
Each allocation, descriptor, thread and registration fails once, one after the other: at the start, under requests, under commands and reloads. The program under test is tplb with
test/unit/short_supply.c between it and the system.

A start gives a reason and ends, or does without and serves. A request is answered well or refused; the next one is answered well.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import concurrent.futures
import mmap
import struct
import unittest

from support import expect
from support.case import WireCase, main
from support.raw import BOUND, Client, wait_until
from support.server import answer, by_target
from support.tplb import ENGINE, REPORT, Tplb, one_listener

SHORT = os.path.abspath(os.environ.get("TPLB_SHORT", "./test/unit/tplb_short"))
LONG = os.environ.get("TPLB_LONG") == "1"
MEMORY, DESCRIPTORS, THREADS, EVENTS, SIGNALS, ROOM, TRANSFERS = 1, 2, 4, 8, 16, 32, 64
KINDS = {"memory": MEMORY, "descriptors": DESCRIPTORS, "threads": THREADS, "events": EVENTS}
ENDLESS = 1 << 40
BIG = b"0123456789abcdef" * 40000


class Supply:
    """What a tplb_short has: shared with it."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.write(bytes(mmap.PAGESIZE))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), mmap.PAGESIZE)

    def _put(self, at, value):
        struct.pack_into("=q", self.map, 8 * at, value)

    def cut(self, kinds, after, width=1):
        """The call after so many fails, and width of them in all."""
        self._put(3, 0)
        self._put(2, width)
        self._put(1, after)
        self._put(0, kinds)

    def restore(self):
        """How many have failed."""
        self._put(0, 0)
        return struct.unpack_from("=q", self.map, 24)[0]

    def close(self):
        self.map.close()


class SupplyCase(WireCase):
    def setUp(self):
        super().setUp()
        if not os.access(SHORT, os.X_OK):
            raise AssertionError("%s is not there: make check builds it" % SHORT)
        self.files = self.directory()
        self.origin = self.server(by_target({
            b"/big": answer(BIG),
            b"/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"/switch": self.switch,
            b"/close": self.close,
        }))

    @staticmethod
    def switch(connection, request):
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        while connection.more():
            connection.send(connection.take(len(connection.buf)))
        return False

    @staticmethod
    def close(connection, request):
        connection.send(answer(fields=b"Connection: close\r\n"))
        return False

    def config(self):
        """As much as can be of what allocates, and little of what costs time."""
        servers = [{"address": self.origin.address}, {"address": "localhost:1", "backup": True}]
        name = self.log = os.path.join(self.files, "access%d.log" % next(self.numbers))
        config = one_listener(
            servers,
            upstream={"sticky": {"cookie": "S"}, "balance": "leastconn", "passive": {"max_fails": 0}},
            listener={"rate": {"requests": 1000000, "entries": 16}},
            pool={"workers": 2},
            timeouts={"drain": "5s"},
            limits={"connections": 64, "requests_per_client": 64},
            log={"access": name, "format": "timed"},
            admin={"socket": "@DIR@/ctl.sock"},
        )
        config["upstreams"].append({"name": "hash", "balance": "uri", "keepalive": 2, "servers": servers, "health": {"type": "tcp", "interval": "1h"}})
        config["listeners"].append({"name": "hash", "bind": "127.0.0.1:0", "mode": "http", "upstream": "hash"})
        return config

    numbers = iter(range(1 << 30))

    def short(self, wait=True):
        """(tplb, its supply); not yet cut."""
        supply = Supply(os.path.join(self.files, "supply%d" % next(self.numbers)))
        self.addCleanup(supply.close)
        return self.started(Tplb(self.config(), env={"TPLB_SHORT_SUPPLY": supply.path}, wait=wait, program=SHORT)), supply


class Start(SupplyCase):
    def begin(self, kind, after, width):
        """A start with that call failing. Hits, and what it came to."""
        supply = Supply(os.path.join(self.files, "supply%d" % next(self.numbers)))
        supply.cut(KINDS[kind], after, width)
        tplb = Tplb(self.config(), env={"TPLB_SHORT_SUPPLY": supply.path}, wait=False, program=SHORT)
        try:
            with tplb.changed:
                done = tplb.changed.wait_for(lambda: tplb._stderr_ended or any(" is ready: " in line for line in tplb.lines), BOUND)
            self.assertTrue(done, tplb.stderr)
            is_ready = any(" is ready: " in line for line in tplb.lines)
            hits = supply.restore()
            if is_ready:
                tplb.wait_listening(2)
                for address in tplb.addresses.values():
                    client = Client(address)
                    self.assertEqual(client.get(extra=b"Connection: close\r\n").body, b"ok")
                    client.close()
                tplb.stop()
            else:
                status = tplb.wait()
                self.assertIn(status, (1, 2), tplb.stderr)
                self.assertRegex(tplb.stderr, r"memory|descriptors|temporarily|No space|Too many open files|thread", "no reason is given")
                self.assertLess(len(tplb.lines), 8, tplb.stderr)
            self.assertIsNone(REPORT.search(tplb.stderr), tplb.stderr)
            return hits
        except AssertionError as e:
            raise AssertionError("%s, call %d (%d): %s" % (kind, after, width, e)) from None
        finally:
            tplb.kill()
            supply.close()

    def all_of(self, kind, width, step):
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            first = 0
            while True:
                runs = range(first, first + 24 * step, step)
                hits = list(pool.map(lambda n: self.begin(kind, n, width), runs))
                if 0 in hits:
                    return first + step * hits.index(0)
                first += 24 * step

    def check(self, kind):
        step = 1 if LONG or kind != "memory" else 7
        count = self.all_of(kind, 1, step)
        print("%s: %d calls of a start" % (kind, count))
        self.assertGreater(count, 2)
        if LONG:
            self.all_of(kind, ENDLESS, step)
        else:
            for n in range(0, count, max(1, count // 6)):
                self.begin(kind, n, ENDLESS)

    def test_memory(self):
        self.check("memory")

    def test_descriptors(self):
        self.check("descriptors")

    def test_threads(self):
        self.check("threads")

    def test_events(self):
        self.check("events")


@unittest.skipIf(os.geteuid() != 0, "only root can become somebody else")
class StartAsUser(Start):
    """Likewise with a parent that keeps root's rights, and a child that serves."""

    def config(self):
        return dict(super().config(), user="nobody")

    @unittest.skipUnless(LONG, "as without a user: in make check-long")
    def test_memory(self):
        super().test_memory()

    @unittest.skipUnless(LONG, "as without a user: in make check-long")
    def test_events(self):
        super().test_events()


class Requests(SupplyCase):
    def exchange(self, data, target):
        """Status of the answer, 0: closed without one, after a reset or not."""
        client = Client(self.balancer.address)
        try:
            client.try_send(data % target)
            try:
                response = client.response()
            except (AssertionError, OSError):
                self.assertEqual(bytes(client.buf), b"")
                return 0
            if response.status == 200:
                self.assertEqual((response.complete, len(response.body)), (True, {b"/big": len(BIG), b"/chunked": 5}.get(target, 2)))
            elif response.status == 101:
                if not client.try_send(b"hello") or not self.end(client):
                    return 101  # reset meanwhile, which a call tells only once
                got = client.read_to_end()
                self.assertTrue(b"hello".startswith(got), got)
                if not client.was_reset:
                    self.assertEqual(got, b"hello")
            else:
                expect.check_own_answer(response.raw, (502, 503))
            return response.status
        finally:
            client.close()

    @staticmethod
    def end(client):
        try:
            client.half_close()
        except OSError:
            return False
        return True

    GET = b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
    POST = b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300000
    SWITCH = b"GET %s HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    ROUND = ((GET, b"/"), (GET, b"/big"), (POST, b"/"), (GET, b"/chunked"), (SWITCH, b"/switch"), (GET, b"/close"))

    def round(self):
        """All at once, so that what is kept for later does not do."""
        with concurrent.futures.ThreadPoolExecutor(len(self.ROUND)) as pool:
            return list(pool.map(lambda r: self.exchange(*r), self.ROUND))

    def test_one_after_the_other(self):
        self.balancer, supply = self.short()
        self.assertEqual(sorted(self.round()), [101, 200, 200, 200, 200, 200])
        outcomes = {}
        for kind, width in (("memory", 1), ("memory", ENDLESS), ("descriptors", 1), ("descriptors", 5), ("events", 1), ("threads", 1)):
            for n in range(100 if LONG else 25):
                supply.cut(KINDS[kind], n, width)
                got = self.round()
                hits = supply.restore()
                for status in got:
                    outcomes[status] = outcomes.get(status, 0) + 1
                if hits == 0:
                    break
                self.assertEqual(self.exchange(self.GET, b"/"), 200, (kind, n))
        self.assertEqual(sorted(self.round()), [101, 200, 200, 200, 200, 200])
        print(outcomes)

    def test_nothing_is_left(self):
        """After rounds with failures as many descriptors are open as after rounds without."""
        self.balancer, supply = self.short()
        for _ in range(3):
            self.round()
        counts = []

        def settled():
            counts.append(self.balancer.descriptors())
            return len(counts) > 20 and len(set(counts[-20:])) == 1

        wait_until(settled, "a steady number of descriptors")
        before = counts[-1]
        for n in range(40):
            supply.cut(MEMORY | DESCRIPTORS | EVENTS, n, 3)
            self.round()
            supply.restore()
        for _ in range(3):
            self.round()
        wait_until(lambda: self.balancer.descriptors() <= before + 6, lambda: "%d descriptors, %d before" % (self.balancer.descriptors(), before))


class Interruptions(Requests):
    """Calls end with EINTR, and transfers move a byte or some: nobody notices."""

    def test_one_after_the_other(self):
        self.balancer, supply = self.short()
        hits = rounds = 0
        room = ROOM | TRANSFERS if ENGINE == "pool" else ROOM  # a loop waits for edges: see short_supply.c
        for n, kinds in enumerate((SIGNALS, room, SIGNALS | room) * (10 if LONG else 3)):
            for one_in in (2, 3, 10):
                supply.cut(kinds, 1000003 * n, one_in)
                self.assertEqual(sorted(self.round()), [101, 200, 200, 200, 200, 200])
                hits += supply.restore()
                rounds += 1
        print("%d calls interrupted or cut short" % hits)
        self.assertGreater(hits, 500 if ENGINE == "pool" else 50)
        with open(self.log, encoding="utf-8") as f:
            wait_until(lambda: f.seek(0) == 0 and f.read().count("\n") >= 6 * rounds, "the lines of the log")
            f.seek(0)
            for line in f:
                self.assertRegex(line, r'\A127\.0\.0\.1 .*"(GET|POST) /\w* HTTP/1\.1" \d+ \d+ "-" "-" queue=.*end=ok\n\Z')

    def test_nothing_is_left(self):
        pass


class Commands(SupplyCase):
    COMMANDS = (
        "show status", "show servers", "show pool", "show queue", "show counters", "reload", "advise", "help",
        "set server up/localhost:1 drain", "set server up/localhost:1 ready", "set server up/locahost:1 maint",
    ) + (("set pool workers 3", "set pool workers 2") if ENGINE == "pool" else ())

    def ask(self, command):
        """The answer, "" for none."""
        client = Client("unix:" + os.path.join(self.balancer.directory, "ctl.sock"))
        try:
            client.try_send(command.encode() + b"\n")
            client.half_close()
            return client.read_to_end().decode()
        finally:
            client.close()

    def test_one_after_the_other(self):
        """A command is carried out, or says why not, or is not answered; and the next one is."""
        self.balancer, supply = self.short()
        want = {c: bool(self.ask(c)) for c in self.COMMANDS}
        self.assertTrue(all(want.values()), want)
        calls = 0
        for command in self.COMMANDS:
            for n in range(400):
                if not LONG and n > 20 and n % 9:
                    continue
                supply.cut(MEMORY | THREADS, n)
                self.ask(command)
                hits = supply.restore()
                if hits == 0:
                    break
                self.assertTrue(self.ask("show status"), (command, n))
                calls += 1
        print("%d calls of commands" % calls)
        self.assertGreater(calls, 30)
        client = Client(self.balancer.address)
        self.assertEqual(client.get().body, b"ok")
        client.close()
        self.assertIn("nothing has changed", self.ask("reload"))


if __name__ == "__main__":
    main()
