"""`trace SECONDS`: the timeline is valid JSON, its slices never overlap, and no request is missing that is not counted as lost."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import collections
import json
import signal
import subprocess
import time
import unittest

from support.case import main
from support.ctl import CtlCase
from support.load import Load
from support.raw import wait_until
from support.server import stalled
from support.tplb import CTL, ENGINE, environment

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class Trace(CtlCase):
    def taken(self):
        return int(self.values("show", "counters").get("dispatched", 0))

    def begin(self, seconds, *options):
        """A trace that has begun: its head was told."""
        argv = [CTL, "-s", self.path, *options, "trace", str(seconds)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def read(self, process):
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (0, b""))
        return json.loads(out)

    def rest(self, process, first):
        """The same, where the first line was read already."""
        out, err = process.stdout.read(), process.stderr.read()
        self.assertEqual((process.wait(30), err), (0, b""))
        return json.loads(first + out)

    def slices(self, data):
        """Those of each thread, checked: in order, and each behind the one before."""
        rows = collections.defaultdict(list)
        for e in data["traceEvents"]:
            if e["ph"] == "X":
                rows[e["tid"]].append(e)
        for tid, row in rows.items():
            end = 0
            for e in row:
                # Thousandths of a microsecond, as whole numbers: a float would lose some.
                ts, dur = round(e["ts"] * 1000), round(e["dur"] * 1000)
                self.assertGreaterEqual(ts, end, (tid, e))
                self.assertGreater(dur, 0, e)
                end = ts + dur
            self.assertLessEqual(end, data["otherData"]["seconds"] * 10**9)
        return rows

    def names(self, data):
        return {e["args"]["name"]: e["tid"] for e in data["traceEvents"] if e["name"] == "thread_name"}

    def test_under_load(self):
        """Slices of what runs, requests from queue to end; every one that was taken is there or counted."""
        server = self.server()
        self.start(server, pool={"workers": 3}, **{"async": {"loops": 2, "fibers": 64}})
        for seconds in (1, 4, 16):
            began = time.monotonic()
            trace = self.begin(seconds)
            first = trace.stdout.readline()  # from here on it runs
            before = self.taken()
            clients = [self.client() for _ in range(8)]
            for n in range(20):  # no more than rings have room for, and than is read meanwhile
                for client in clients:
                    client.send(GET)
                for client in clients:
                    self.assertEqual(client.whole_response().body, b"ok")
            for client in clients:
                client.close()
            taken = self.taken() - before
            within = time.monotonic() - began < seconds
            data = self.rest(trace, first)
            if within:  # else the machine is slow: all of it once more, for longer
                break
        self.assertGreaterEqual(taken, 8)
        rows, names, other = self.slices(data), self.names(data), data["otherData"]
        self.assertEqual((other["engine"], other["seconds"]), ("pool" if ENGINE == "pool" else "async", seconds))
        begun = sum(e["ph"] == "e" and e["name"] == "queued" for e in data["traceEvents"])
        self.assertEqual(begun, other["taken"])
        self.assertGreaterEqual(begun + other["lost"], taken)
        self.assertEqual(other["lost"], 0)  # that is little load
        self.assertEqual(begun, taken)
        board = {row["worker"] for row in self.json("show", "workers")}
        self.assertEqual(set(names), {"tplb-" + name for name in board})
        did = {e["name"] for tid in rows for e in rows[tid]}
        self.assertLessEqual({"idle", "head", "pick", "send", "answer", "body", "finish", "settle"}, did)
        named = {e["args"]["server"] for tid in rows for e in rows[tid] if e["name"] == "send"}
        self.assertEqual(named, {"up/" + server.address})
        self.assertTrue(any(e["ph"] == "C" and e["name"].startswith("queue") for e in data["traceEvents"]))
        # Every thread is accounted for, from the first to the last moment.
        for tid in rows:
            whole = sum(e["dur"] for e in rows[tid])
            self.assertAlmostEqual(whole, seconds * 1e6, delta=2e5)
        # Requests: what begins ends, in this order; a connection has one after the other.
        open_ = collections.Counter()
        for e in sorted((e for e in data["traceEvents"] if e["ph"] in "be" and e["name"] == "request"), key=lambda e: e["ts"]):
            open_[e["id"]] += 1 if e["ph"] == "b" else -1
        self.assertEqual(set(open_.values()), {0})

    def test_long_waits(self):
        """A request that begins and does not end in it, and a worker that sleeps all along."""
        server = self.server(stalled)
        self.start(server, pool={"workers": 1})
        client = self.client()
        client.send(GET)
        asleep = {"doing": "wait", "asleep": True} if ENGINE == "pool" else {"doing": "idle"}

        def waits():
            return any(row["in_hand"] == 1 and asleep.items() <= row.items() for row in self.json("show", "workers"))

        wait_until(waits, "it waits")
        data = self.read(self.begin(1))
        rows, names = self.slices(data), self.names(data)
        if ENGINE == "pool":
            (wait,) = rows[names["tplb-0"]]
            self.assertEqual((wait["name"], wait["args"]["asleep"]), ("wait", True))
            self.assertEqual(wait["args"]["server"], "up/" + server.address)
            self.assertGreater(wait["dur"], 9e5)
        else:
            idle = sum(e["dur"] for e in rows[names["tplb-loop0"]] if e["name"] == "idle")
            self.assertGreater(idle, 5e5)
        server.gate.set()
        self.assertEqual(client.response().status, 200)

    @unittest.skipIf(ENGINE != "pool", "the driver makes no difference")
    def test_others_meanwhile(self):
        """Other commands and requests are answered; a second trace is not; one that is broken off leaves no trace of itself."""
        self.start()
        trace = self.begin(60)
        trace.stdout.readline()
        self.assertEqual(self.bad("trace", "1"), "somebody else is taking a trace; ask again when that is over")
        self.assertEqual(self.bad_json("trace", "1")["error"], "somebody else is taking a trace; ask again when that is over")
        self.assertEqual(self.values("show", "status")["state"], "running")
        self.assertEqual(self.client().get().status, 200)
        trace.send_signal(signal.SIGINT)
        self.assertEqual(trace.wait(30), -signal.SIGINT)

        def again():
            status, out, _ = self.ctl("trace", "1")
            return status == 0 and json.loads(out)

        wait_until(again, "the next one")

    @unittest.skipUnless(os.environ.get("TPLB_LONG") == "1", "seconds: make check-long")
    def test_one_that_does_not_read(self):
        """Its rings fill and what does not fit is lost; nobody waits for it."""
        self.start()
        reader = self.raw()
        reader.send(b"trace 2\n")
        load = Load(self.balancer.address, 4)
        wait_until(lambda: min(load.answers) >= 50 or load.failures, "answers")
        load.stop()
        self.assertEqual(load.failures, [])
        text = reader.read_until(b"\nok\n")
        self.slices(json.loads(text[: -len(b"ok\n")]))

    @unittest.skipIf(ENGINE != "pool", "the driver makes no difference")
    def test_end(self):
        """tplb ends amid a trace: the answer ends early, and nothing else happens."""
        self.start()
        trace = self.begin(60)
        trace.stdout.readline()
        self.balancer.stop()
        trace.stdout.read()
        self.assertIn(b"the answer ended early", trace.stderr.read())
        self.assertEqual(trace.wait(30), 1)

    @unittest.skipIf(ENGINE != "pool", "the driver makes no difference")
    @unittest.skipUnless(os.environ.get("TPLB_LONG") == "1", "seconds: make check-long")
    def test_json(self):
        """In one line, as other answers are."""
        self.start()
        data = self.json("trace", "1")
        self.slices(data)
        self.assertEqual(data["otherData"]["lost"], 0)

    @unittest.skipIf(ENGINE != "pool", "the driver makes no difference")
    def test_mistakes(self):
        self.start()
        for word in ("0", "61", "-1", "1.5", "x", "1s", "99999999999999999999"):
            self.assertEqual(self.bad("trace", word), 'a trace takes a whole number of seconds from 1 to 60, not "%s"' % word)
        self.assertEqual(self.bad("trace"), "usage: trace SECONDS")
        self.assertEqual(self.bad("trace", "1", "2"), "usage: trace SECONDS")

    @unittest.skipIf(ENGINE != "pool", "the number of loops is fixed")
    def test_workers_come_and_go(self):
        self.start(pool={"workers": 2})
        trace = self.begin(1)
        first = trace.stdout.readline()
        self.good("set", "pool", "workers", "6")
        self.assertEqual(self.client().get().status, 200)
        self.good("set", "pool", "workers", "1")
        wait_until(lambda: sum(row["kind"] == "worker" for row in self.json("show", "workers")) == 1, "one left")
        data = self.rest(trace, first)
        self.slices(data)
        self.assertLessEqual({"tplb-0", "tplb-1", "tplb-accept"}, set(self.names(data)))


if __name__ == "__main__":
    main(at_once=True)
