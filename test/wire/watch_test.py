"""A thread that hangs in a system call is reported with what it was at, once, and once more when it goes on; others serve on. What waits is no report."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re
import socket
import unittest

from support.case import main
from support.ctl import CtlCase
from support.hang import Hang, tasks
from support.raw import BOUND, wait_until
from support.server import stalled
from support.tplb import ENGINE, Tplb, one_listener

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
STUCK = r'error: thread tplb-(\S+) is stuck: at "(\w+)"(?: for server (\S+))?(?: on descriptor (\d+))? for ([\d.]+) s, with (\d+) connections in hand'
GOES_ON = r'warning: thread tplb-(\S+) goes on: it was stuck at "connect"'
LONG = os.environ.get("TPLB_LONG") == "1"  # one hang is enough for `make check`; each is seconds
THREADS = "tplb-loop" if ENGINE != "pool" else "tplb-"


class Watch(CtlCase):
    def hang(self):
        """A thread that serves hangs as it connects; the Hang, and the client for which it does."""
        tids = tasks(self.balancer, THREADS)
        if ENGINE == "pool":
            tids = [tid for tid in tids if re.fullmatch(r"tplb-\d+", self.name_of(tid))]
        hang = Hang(tids)
        self.addCleanup(hang.end)
        client = self.client()
        client.send(GET)
        hang.wait()
        return hang, client

    def name_of(self, tid):
        with open("/proc/%d/task/%d/comm" % (self.balancer.pid, tid)) as f:
            return f.read().strip()

    def stuck(self):
        return [row["worker"] for row in self.json("show", "workers") if row["stuck"]]

    def test_reported_once(self):
        server = self.server()
        # Of two loops one hangs, and the kernel gives a client to either.
        self.start(server, pool={"workers": 2}, timeouts={"stuck": "2s"}, **{"async": {"loops": 2, "fibers": 64}})
        hang, client = self.hang()
        m = self.balancer.wait_line(STUCK)
        name, doing, where, fd, age, in_hand = m.groups()
        self.assertEqual((doing, where), ("connect", "up/" + server.address))
        self.assertGreaterEqual(float(age), 2)
        self.assertEqual(in_hand, "1")
        self.assertGreater(int(fd), 2)
        self.assertEqual(self.name_of(hang.stopped[0]), "tplb-" + name)
        self.assertEqual(self.stuck(), [name])
        self.assertEqual(self.json("show", "pool")["stuck"], 1)
        if ENGINE == "pool":  # the other worker goes on; of loops the kernel may give a client to the one that hangs
            self.assertEqual(self.client().get().status, 200)
        hang.end()
        self.assertEqual(client.response().status, 200)
        self.assertEqual(self.balancer.wait_line(GOES_ON).group(1), name)
        self.assertEqual(self.stuck(), [])
        self.assertEqual(self.values("show", "counters")["workers_stuck"], "1")
        events = [e["text"] for e in self.json("show", "events")]
        self.assertEqual(sum("is stuck" in text for text in events), 1)
        self.assertEqual(sum("goes on" in text for text in events), 1)

    @unittest.skipUnless(LONG, "seconds: make check-long")
    def test_what_waits(self):
        """A server that says nothing for longer, a tunnel, an idle thread: none of them is stuck."""
        server = self.server(stalled)
        self.start(server, pool={"workers": 1, "patience": "0s"}, timeouts={"stuck": "2s"})
        client = self.client()
        client.send(GET)
        # When the watchdog has looked for as long as it takes to be sure, a request has waited for longer.
        wait_until(lambda: self.waited() > 3.2e6, "it waits for long")
        self.assertEqual(self.stuck(), [])
        self.assertNotIn("is stuck", self.balancer.stderr)
        server.gate.set()
        self.assertEqual(client.response().status, 200)
        self.assertEqual(self.counter("workers_stuck"), 0)

    def waited(self):
        """us: of a worker in this step; a loop's fibers are not on the board, so of the connection."""
        if ENGINE == "pool":
            return max((row["age_us"] for row in self.json("show", "workers") if row["doing"] == "wait"), default=0)
        return max((row["age_ms"] * 1000 for row in self.json("show", "connections")), default=0)

    @unittest.skipUnless(LONG, "seconds: make check-long")
    def test_manager(self):
        """systemd's watchdog is fed while somebody serves, and not while nobody does."""
        path = os.path.join(self.directory(), "notify")
        hears = self.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        hears.bind(path)
        hears.settimeout(BOUND)
        config = one_listener([self.server()], pool={"workers": 1}, timeouts={"stuck": "2s"})
        self.balancer = self.started(Tplb(config, env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "100000"}))
        while hears.recv(100) != b"WATCHDOG=1":
            pass
        hang, client = self.hang()
        self.balancer.wait_line("is stuck")
        hears.setblocking(False)
        try:
            while True:
                hears.recv(100)
        except BlockingIOError:
            pass
        hears.settimeout(0.5)  # ten times as long as it takes
        self.assertRaises(TimeoutError, hears.recv, 100)
        hang.end()
        hears.settimeout(BOUND)
        self.assertEqual(hears.recv(100), b"WATCHDOG=1")
        self.assertEqual(client.response().status, 200)

    @unittest.skipUnless(LONG, "seconds: make check-long")
    def test_off_and_on_again(self):
        """0 watches nobody, and a reload changes that."""
        self.start(pool={"workers": 1}, timeouts={"stuck": "0s"})
        hang, client = self.hang()
        wait_until(lambda: any(row["age_us"] > 2.5e6 for row in self.json("show", "workers") if row["doing"] == "connect"), "it hangs")
        self.assertEqual(self.stuck(), [])
        self.assertNotIn("is stuck", self.balancer.stderr)
        self.rewrite('stuck = "0s"', 'stuck = "2s"')
        self.good("reload")
        self.balancer.wait_line(STUCK)
        hang.end()
        self.assertEqual(client.response().status, 200)


if __name__ == "__main__":
    main(at_once=True)
