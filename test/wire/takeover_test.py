"""
Upgrades under load, on each driver: clients that ask all the time, over connections that they keep or over a new one each time, lose not one request,
and no POST reaches a server twice, while one process after the other takes the place of the one before. As one process, and with a parent that keeps root.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import collections
import re
import signal
import threading
import time

from support.case import WireCase, main
from support.raw import BOUND, Client, wait_until
from support.server import answer
from support.takeover import ends, has_taken_over

LONG = os.environ.get("TPLB_LONG") == "1"
UPGRADES = 10 if LONG else 2
CLIENTS = 16 if LONG else 5  # of each kind
ANSWERS = 50 if LONG else 3  # that each gets between two upgrades


def recording(seen):
    """A server that answers with what it was asked for, or the body that came, and counts it."""

    def script(connection):
        while True:
            request = connection.read_request()
            if not request:
                return
            what = request.body if request.method == b"POST" else request.target
            with seen.lock:
                seen.counts[what] += 1
            connection.send(answer(what))

    return script


class Seen:
    def __init__(self):
        self.lock = threading.Lock()
        self.counts = collections.Counter()


IDLE_S = 1  # as long a process that drains leaves a connection without a request


class Asker:
    """
    One client: requests one after the other on one connection, until that is closed with an answer, at its own wish or not; then on the next. Where it is itself too
    slow for one that drains, its connection may be closed as idle, before its request came: it asks again on the next one.
    """

    def __init__(self, address, index):
        self.address, self.index = address, index
        self.posts, self.keeps = index % 2 == 1, index % 4 < 2
        self.answered, self.connections, self.idle, self.fault = 0, 0, 0, None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def ask(self, client):
        what, before = b"/%d-%d" % (self.index, self.answered), self.since
        self.since = time.monotonic()
        fields = b"Host: h\r\n" if self.keeps else b"Host: h\r\nConnection: close\r\n"
        if self.posts:
            data = b"POST / HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s" % (fields, len(what), what)
        else:
            data = b"GET %s HTTP/1.1\r\n%s\r\n" % (what, fields)
        is_sent = client.try_send(data)
        was_idle = time.monotonic() - before > IDLE_S
        if was_idle and (not is_sent or not client.buf and not client.more()):
            self.idle += 1
            return False
        got = client.response(b"POST" if self.posts else b"GET")
        if (got.status, got.body) != (200, what):
            raise AssertionError("%r was answered with %d, %r" % (what, got.status, got.body))
        self.answered += 1
        return got.get("Connection") != b"close"

    def run(self):
        client = None
        try:
            while not self.ended.is_set():
                self.since = time.monotonic()
                client = Client(self.address)
                self.connections += 1
                while self.ask(client) and not self.ended.is_set():
                    pass
                client.close()
        except BaseException as e:
            self.fault = e
        finally:
            if client:
                client.close()

    def stop(self):
        self.ended.set()
        self.thread.join(BOUND)


class Load(WireCase):
    def answered(self):
        return sum(a.answered for a in self.askers)

    def faults(self):
        return [a.fault for a in self.askers if a.fault]

    def serve_on(self):
        """All clients get further answers."""
        before = [a.answered for a in self.askers]
        wait_until(
            lambda: self.faults() or all(a.answered >= n + ANSWERS for a, n in zip(self.askers, before)), "answers to all", 2 * BOUND
        )
        self.assertEqual(self.faults(), [])

    def upgraded_under_load(self, **more):
        seen = Seen()
        server = self.server(recording(seen))
        log = {"access": "@DIR@/access.log", "format": "%{method} %{target} %{status} end"}
        tplb = self.tplb(server, upstream={"health": {"type": "none"}}, log=log, **more)
        self.askers = [Asker(tplb.address, i) for i in range(4 * CLIENTS)]
        try:
            self.serve_on()
            for n in range(1, UPGRADES + 1):
                tplb.tell(signal.SIGUSR2)  # the process that was started, however often
                has_taken_over(tplb, n)
                self.serve_on()
            tplb.wait_line(r"info: stopped$", UPGRADES)
        finally:
            for asker in self.askers:
                asker.stop()
        self.assertEqual(self.faults(), [])
        twice = [what for what, n in seen.counts.items() if n > 1 and int(what[1:].split(b"-")[0]) % 2 == 1]
        self.assertEqual(twice, [], "POSTs that came more than once")
        self.assertEqual(len(seen.counts), self.answered())
        ends(tplb, lambda: self.check_log(os.path.join(tplb.directory, "access.log")))
        drains = self.drains(tplb)
        print("%d upgrades, %d requests, %d connections, %d of them closed as idle; drains in ms: %s"
              % (UPGRADES, self.answered(), sum(a.connections for a in self.askers), sum(a.idle for a in self.askers), sorted(drains)))
        self.assertLess(max(drains[:UPGRADES]), 10000)

    def check_log(self, path):
        """Two processes wrote to it at a time: a whole line for each request."""
        with open(path) as f:
            lines = f.read().splitlines()
        self.assertEqual([line for line in lines if not re.match(r"(GET|POST) /[0-9-]* 200 end$", line)], [])
        self.assertEqual(len(lines), self.answered())

    @staticmethod
    def drains(tplb):
        """How long each took, in ms; they do not overlap here."""
        def ms(line):
            h, m, s = line[11:23].split(":")
            return int((int(h) * 3600 + int(m) * 60 + float(s)) * 1000)

        begun = [ms(line) for line in tplb.lines if "info: draining: " in line]
        ended = [ms(line) for line in tplb.lines if line.endswith("info: stopped")]
        return [b - a for a, b in zip(begun, ended)]

    def test_one_process(self):
        self.upgraded_under_load()

    def test_with_a_parent(self):
        if os.geteuid() != 0:
            self.skipTest("only root can give it a user")
        place = self.directory()
        os.chmod(place, 0o755)
        # LeakSanitizer looks into /proc, which is out of sight there.
        env = {"ASAN_OPTIONS": "detect_leaks=0:" + os.environ.get("ASAN_OPTIONS", "")}
        self.upgraded_under_load(env=env, user="nobody", chroot=place)


if __name__ == "__main__":
    main()
