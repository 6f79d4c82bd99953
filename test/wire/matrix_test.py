"""
What servers do wrong, at every stage, times methods, times fresh and kept server connections, times a server alone and one with another beside it. What the
client must get, what the servers must see and what the log must say is worked out by the oracle of support.behaviour.

Whatever happens: no truncated message looks whole, nobody gets another's answer, no POST is seen twice, and the client's connection is closed or
serves the next request well. Afterwards descriptors, threads and memory are where they were.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import collections
import itertools
import re
import socket
import threading
import time

from support import expect, raw
from support.behaviour import EVIL, all_behaviours, expected, serve_badly, serve_well
from support.case import WireCase, main
from support.raw import Client, wait_until
from support.tplb import sanitized

LONG = os.environ.get("TPLB_LONG") == "1"
BEHAVIOURS = list(all_behaviours())
BODY, BIG_BODY = 1000, 16 << 20
LOG = re.compile(r'"\S+ /(\w+)/\S+ HTTP/1\.[01]" (\d{3}) \d+ .* end=(\w+)$')
PLACES = list(itertools.product(("fresh", "kept"), ("alone", "pair")))

Method = collections.namedtuple("Method", "name verb version repeatable upgrade")
METHODS = [
    Method("GET", b"GET", b"1.1", True, False),
    Method("GET 1.0", b"GET", b"1.0", True, False),
    Method("HEAD", b"HEAD", b"1.1", True, False),
    Method("POST", b"POST", b"1.1", False, False),
    Method("POST chunked", b"POST", b"1.1", False, False),
    Method("upgrade", b"GET", b"1.1", True, True),
]


class Origin:
    """The script of a server. /ID/N: the request misbehaves as BEHAVIOURS[N]; any other is answered well."""

    def __init__(self, name):
        self.name = name
        self.seen = collections.defaultdict(list)  # id -> whether its connection had served before, a try each
        self.hasty = None
        self.lock = threading.Lock()

    def __call__(self, connection):
        if self.hasty:
            connection.reset() if self.hasty == "hasty reset" else connection.close()
            return
        served = 0
        connection.wanted, connection.later = None, b""
        while True:
            target = self.peek(connection)
            if target is None:
                if connection.wanted == "reset":
                    connection.reset()
                return
            connection.send(connection.later)
            connection.later = b""
            ident, what = target.split(b"/")[1:3]
            with self.lock:
                again = len(self.seen[ident]) > 0
                self.seen[ident].append(served > 0)
            behaviour = BEHAVIOURS[int(what)] if what.isdigit() and self.name == b"server" else None
            if behaviour is None or behaviour.before or (behaviour.once and again):
                goes_on = serve_well(connection, ident, self.name)
            else:
                goes_on = serve_badly(connection, behaviour, ident)
            if not goes_on:
                return
            served += 1

    @staticmethod
    def peek(connection):
        """The target of the request that comes, which is left where it is; None at the end."""
        connection.sock.settimeout(None)
        while True:
            data = bytes(connection.buf) or connection.sock.recv(4096, socket.MSG_PEEK)
            if not data:
                return None
            if b"\r\n" in data:
                return data.split(b" ")[1]
            time.sleep(0.001)  # it is under way


class Cell:
    """One request, from its sending to the look at what came of it."""

    def __init__(self, ident, behaviour, method, place, address):
        self.ident, self.behaviour, self.method = ident, behaviour, method
        self.kept, self.pair = place[0] == "kept", place[1] == "pair"
        self.client = Client(address)
        self.rest = b""
        self.sender = None

    def __str__(self):
        return "%s, %s, %s, %s" % (self.behaviour, self.method.name, "kept" if self.kept else "fresh", "pair" if self.pair else "alone")

    def request(self):
        """Its bytes, cut in two where the server acts while the body is still to come."""
        b, m = self.behaviour, self.method
        head = b"%s /%s/%d HTTP/%s\r\nHost: h\r\n" % (m.verb, self.ident, BEHAVIOURS.index(b), m.version)
        if m.upgrade:
            head += b"Connection: upgrade\r\nUpgrade: x\r\n"
        if m.verb != b"POST":
            return head + b"\r\n", b""
        body = (self.ident + b".") * ((BIG_BODY if b.big else BODY) // 5)
        if m.name == "POST":
            head += b"Content-Length: %d\r\n\r\n" % len(body)
        else:
            head += b"Transfer-Encoding: chunked\r\n\r\n"
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        holds = b.end != "silent" and (b.reads == "half" or (b.reads == "head" and b.says))
        return (head + body[:500], body[500:]) if holds else (head + body, b"")

    def send(self):
        first, self.rest = self.request()
        if self.behaviour.big:
            self.sender = threading.Thread(target=self.client.try_send, args=(first,), daemon=True)
            self.sender.start()
        else:
            self.client.try_send(first)


class Matrix(WireCase):
    # One worker: the server's connection is kept again before the next request is looked at.
    pool = {"workers": 1}
    timeouts = {}

    def setUp(self):
        super().setUp()
        self.ids = (b"%04x" % n for n in itertools.count(0x1000))
        self.faulty, self.good = Origin(b"server"), Origin(b"other")
        self.server_, self.other = self.server(self.faulty), self.server(self.good)
        upstream = {"passive": {"max_fails": 0}, "retry_budget": 100}
        listeners, upstreams = [], []
        for kept, pair in PLACES:
            name = kept + "-" + pair
            servers = [{"address": self.server_.address}]
            if pair == "pair":
                servers.append({"address": self.other.address, "backup": True})
            listeners.append({"name": name, "bind": "127.0.0.1:0", "mode": "http", "upstream": name})
            upstreams.append(dict(upstream, name=name, servers=servers, keepalive=64 if kept == "kept" else 0))
        self.log = os.path.join(self.directory(), "access.log")
        self.told = {}  # id -> (status, word) that the log is to have
        self.tplb(
            config={
                "listeners": listeners, "upstreams": upstreams, "pool": self.pool, "timeouts": self.timeouts,
                "log": {"access": self.log, "format": "timed"},
            }
        )
        self.at = {tuple(name.split("-")): address for name, address in self.addresses().items()}

    def addresses(self):
        self.balancer.wait_listening(len(PLACES))
        return {re.split(r"[ ,]", k)[0]: v for k, v in self.balancer.addresses.items()}

    # A cell.

    def cells(self, silent):
        """Fresh and kept connections each with a server alone or with a pair in turns, or with both."""
        for n, (behaviour, method) in enumerate(itertools.product(BEHAVIOURS, METHODS)):
            if (behaviour.end == "silent") != silent or (behaviour.only and method.name not in behaviour.only):
                continue
            for k, place in enumerate(PLACES):
                if LONG or k in ((0, 3), (1, 2))[(n + n // len(METHODS)) % 2]:
                    yield behaviour, method, place

    def begin(self, behaviour, method, place):
        cell = Cell(next(self.ids), behaviour, method, place, self.at[place])
        if cell.kept:
            self.follow(cell)
        return cell

    def follow(self, cell):
        """A well-behaved request on the client's connection."""
        ident = next(self.ids)
        got = cell.client.get(b"/%s/well" % ident)
        self.assertEqual((got.status, got.body), (200, ident + b" server"), got.raw)
        self.told[ident] = (200, "ok")

    def prepare(self, behaviour):
        """What the server does before the request comes."""
        before = behaviour.before or ""
        if before == "leave":
            self.server_.stop_listening()
        elif before.startswith("hasty"):
            self.faulty.hasty = before
        elif before.startswith("quiet"):
            for connection in [c for c in self.server_.connections if not c.finished]:
                if before == "quiet words":
                    self.say(connection)
                else:
                    self.end(connection, before)

    def end(self, connection, before):
        connection.wanted = before.split(" ")[1]
        try:
            if connection.wanted == "reset":
                raw.set_reset(connection.sock)
            # Its thread, which waits for a request, is to see an end
            connection.sock.shutdown(socket.SHUT_RD if connection.wanted == "reset" else socket.SHUT_RDWR)
        except OSError:
            pass  # tplb has just given it up
        self.server_.wait(lambda: connection.finished, "its end")

    @staticmethod
    def say(connection):
        """What nobody asked for, unless tplb is just giving that connection up."""
        try:
            connection.send(EVIL)
        except OSError:
            pass

    def restore(self, behaviour):
        self.faulty.hasty = None
        if behaviour.before == "leave" or (behaviour.leaves and not self.server_.is_listening):
            self.server_.listen_again()

    def receive(self, cell):
        """The answer and how many interim ones came before it."""
        client, m = cell.client, cell.method
        interims, response = 0, client.response(m.verb)
        while response.status < 200 and response.status != 101:
            interims += 1
            self.assertEqual(response.get("X-Id"), cell.ident)
            response = client.response(m.verb)
        if cell.sender:
            cell.sender.join(raw.BOUND)
        return response, interims

    def check(self, cell, response, interims):
        """Holds what the client got against what is expected; and how does its connection go on?"""
        client, m = cell.client, cell.method
        seen = self.faulty.seen[cell.ident]
        want = expected(cell.behaviour, cell.ident, m, kept=bool(seen and seen[0]), pair=cell.pair)
        if want.instead and response.status == want.instead.status:
            want = want.instead
        self.assertEqual(interims, want.interims)
        self.told[cell.ident] = (response.status, want.word)
        if want.response and want.status == 101:
            self.check_tunnel(cell, response, want)
            return
        self.check_response(cell, response, want)
        if cell.rest:
            client.try_send(cell.rest)
        if response.has_token("Connection", b"close") or not response.complete or m.version == b"1.0":
            client.expect_gone()
        else:
            self.follow(cell)
        self.assertEqual(len(seen) + len(self.good.seen[cell.ident]), want.tries, "tries")

    def check_response(self, cell, response, want):
        verb = cell.method.verb
        if want.by:
            self.assertEqual((response.status, response.complete), (200, True))
            self.assertEqual(response.get("X-Id"), cell.ident)
            self.assertEqual(response.body, b"" if verb == b"HEAD" else cell.ident + b" " + want.by)
        elif want.response:
            self.assertEqual((response.status, response.complete), (want.status, want.whole))
            self.assertEqual(response.get("X-Id"), want.response.get("X-Id"))
            if want.whole:
                self.assertEqual(response.body, want.response.body)
            else:
                self.assertTrue(want.response.body.startswith(response.body), response.raw)
        elif want.cut_or_502 and response.status == 200:
            self.assertFalse(response.complete)
        else:
            expect.check_own_answer(response.raw, (want.status,), head=verb == b"HEAD")

    def check_tunnel(self, cell, response, want):
        client = cell.client
        self.assertEqual((response.status, response.get("Upgrade")), (101, b"x"))
        if cell.behaviour.end in ("silent", "keep"):
            got = client.read_exactly(len(want.rest))
            client.half_close()
            got += client.read_to_end()
        else:
            got = client.read_to_end()
        self.assertEqual((got, client.was_reset), (want.rest, want.was_reset))
        self.assertEqual(len(self.faulty.seen[cell.ident]), 1)

    # All of them.

    def check_log(self):
        """One line a request, with the status that the client was told and the right word."""
        self.balancer.stop()
        lines = collections.defaultdict(list)
        with open(self.log, encoding="utf-8") as f:
            for line in f:
                m = LOG.search(line)
                self.assertTrue(m, line)
                lines[m.group(1).encode()].append((int(m.group(2)), m.group(3)))
        wrong = [(k, lines[k], v) for k, v in self.told.items() if lines[k] != [v]]
        self.assertEqual([(self.names.get(w[0]), *w[1:]) for w in wrong[:10]], [])

    def check_posts(self):
        for ident, tries in self.faulty.seen.items():
            if self.methods.get(ident) == b"POST":
                self.assertLessEqual(len(tries) + len(self.good.seen[ident]), 1, self.names[ident])

    def usage(self):
        """Descriptors, threads."""
        with open("/proc/%d/status" % self.balancer.pid, encoding="ascii") as f:
            threads = int(re.search(r"Threads:\s+(\d+)", f.read()).group(1))
        return self.balancer.descriptors(), threads

    def memory(self):
        with open("/proc/%d/statm" % self.balancer.pid, encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def settle(self):
        """Clients are gone, and servers' connections end. Descriptors and threads then."""
        for connection in self.server_.connections + self.other.connections:
            if not connection.finished:
                try:
                    connection.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        return self.usage()

    def wait_settled(self, baseline):
        wait_until(
            lambda: all(a <= b for a, b in zip(self.settle(), baseline)),
            lambda: "descriptors and threads %r, %r before" % (self.usage(), baseline),
        )

    def run_cell(self, behaviour, method, place):
        cell = self.begin(behaviour, method, place)
        self.names[cell.ident], self.methods[cell.ident] = str(cell), method.verb
        with self.subTest(str(cell)):
            self.prepare(behaviour)
            try:
                cell.send()
                got = self.receive(cell)
            finally:
                self.restore(behaviour)
            self.check(cell, *got)
        cell.client.close()
        return cell


class Sequence(Matrix):
    def test_matrix(self):
        self.names, self.methods = {}, {}
        memory, baseline = 0, self.usage()
        for n in range(4 if LONG else 1):
            kept = 0
            cells = list(self.cells(silent=False))
            for k, (behaviour, method, place) in enumerate(cells):
                cell = self.run_cell(behaviour, method, place)
                kept += self.faulty.seen[cell.ident][:1] == [True]
                if k == len(cells) // 3 and memory == 0:
                    memory = self.memory()  # of every kind there was something
            self.assertGreater(kept, len(cells) * 0.4)
            print("%d cells, %d of them on a kept connection" % (len(cells), kept))
            self.wait_settled(baseline)
            grown = self.memory() - memory
            memory += grown
            if not sanitized():  # at first stores and the ring's buffers fill
                self.assertLess(grown, 8 << 20 if n == 0 else 1 << 20)
        self.check_posts()
        self.check_log()


class Silence(Matrix):
    """Side by side: they all wait for the same time limit."""

    pool = {"workers": 256}
    timeouts = {"server": "5s"}  # what answers well has as long

    def test_matrix(self):
        self.names, self.methods, cells = {}, {}, []
        baseline = self.usage()
        for behaviour, method, place in self.cells(silent=True):
            cell = self.begin(behaviour, method, place)
            self.names[cell.ident], self.methods[cell.ident] = str(cell), method.verb
            cell.send()
            cells.append(cell)
        for cell in cells:
            with self.subTest(str(cell)):
                self.check(cell, *self.receive(cell))
            cell.client.close()
        print("%d cells" % len(cells))
        self.wait_settled(baseline)
        self.check_posts()
        self.check_log()


if __name__ == "__main__":
    main()
