"""
What is left of a service under too much load. An origin with 16 places and a scripted service time has a capacity of 16 / service time; an open loop
asks for a multiple of it, and latency counts from when a request was due. Goodput is what is answered well within a second.

The short form is for `make check`. TPLB_LONG=1 (`make check-long`) runs every cell for longer; TPLB_OVERLOAD_OUT=FILE then gets all figures as JSON, of
which test/bench/overload_curves.py makes the curves of doc/overload.md.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import json
import re
import subprocess
import unittest

from support.case import WireCase, main
from support.tplb import ENGINE, Origin, thread_sanitized

LOAD = os.path.abspath(os.environ.get("TPLB_LOAD", "./tplb-load"))
LONG = os.environ.get("TPLB_LONG") == "1"
PLACES = 16
SERVICE_MS = 50
CAPACITY = PLACES * 1000 / SERVICE_MS
SECONDS = 10 if LONG else 2
LOADS = (0.5, 1, 2, 4) if LONG else (2, 4)
DISCIPLINES = ("fifo", "lifo", "codel")
# Clients enough that none waits for a connection: what is in flight is at most a second of the highest load.
CONNECTIONS = 1000 if thread_sanitized() else 2000

# ThreadSanitizer changes what time it takes; then only the counts are looked at.
SLOW = thread_sanitized()


class Overload(WireCase):
    figures = []

    @classmethod
    def tearDownClass(cls):
        out = os.environ.get("TPLB_OVERLOAD_OUT")
        if out:
            with open("%s.%s" % (out, ENGINE), "w") as f:
                json.dump(cls.figures, f)

    def run_cell(self, discipline, times, **queue):
        origin = self.started(Origin("-w", str(PLACES), "-e", "pool", "-q", "4096"))
        self.tplb(
            origin.address,
            pool={"workers": PLACES, "burst": 1},
            queue=dict({"discipline": discipline}, **queue),
        )
        argv = [LOAD, "-j", "-r", str(times * CAPACITY), "-c", str(CONNECTIONS), "-d", "%ds" % SECONDS, "-g", "1s", "-t", "5s"]
        done = subprocess.run(
            [*argv, "http://%s/delay/%d" % (self.balancer.address, SERVICE_MS)],
            capture_output=True,
            timeout=SECONDS + 60,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.balancer.stop()
        origin.stop()
        report.update(
            engine=ENGINE,
            discipline=discipline,
            times=times,
            capacity=CAPACITY,
            goodput=report["good"] / SECONDS,
            queue=self.queue_of_summary(),
            counters=self.counters_of_summary(),
        )
        self.figures.append(report)
        return report

    def counters_of_summary(self):
        found = {}
        for line in self.balancer.lines:
            m = re.search(r"info: (\w+) (\d+)$", line)
            if m:
                found[m.group(1)] = int(m.group(2))
        return found

    def queue_of_summary(self):
        return re.search(r"queue wait: (.*)", self.balancer.stderr).group(1)

    def check_refusals(self, report):
        """Who was refused could read it: not one connection was reset or cut. All that was due was answered, one way or the other."""
        errors = dict(report["errors"])
        refused = errors.pop("status")
        self.assertEqual({k: v for k, v in errors.items() if v}, {}, report)
        self.assertEqual(report["answered"], report["scheduled"], report)
        told = sum(v for k, v in report["counters"].items() if k.startswith("refused_"))
        self.assertEqual(refused, told, report)
        self.assertEqual(report["queue"].split(",")[0], "count %d" % report["counters"]["dispatched"])
        self.assertEqual(report["counters"]["requests"] + told, report["scheduled"], report)

    def check(self, discipline, share, loads=LOADS):
        for times in loads:
            with self.subTest(discipline, times=times):
                report = self.run_cell(discipline, times)
                print(
                    "%-8s %-5s %3gx: goodput %6.1f/s of %.0f, p50 %7.1f ms, p99 %7.1f ms, refused %d; %s"
                    % (
                        ENGINE,
                        discipline,
                        times,
                        report["goodput"],
                        CAPACITY,
                        report["latency_ms"]["p50"],
                        report["latency_ms"]["p99"],
                        report["errors"]["status"],
                        report["queue"],
                    ),
                    flush=True,
                )
                self.check_refusals(report)
                if share and not SLOW:
                    due = min(times, 1) * CAPACITY
                    # The short form shares the machine with other tests. Its second figure is without what was still served after the
                    # load's end, which flatters a load of two seconds.
                    self.assertGreaterEqual(report["goodput"], (share if LONG else 0.8) * due, report)
                    self.assertGreaterEqual(report["good_by_end"] / SECONDS, (share if LONG else 0.6) * due, report)

    def test_lifo(self):
        self.check("lifo", 0.9)

    def test_codel(self):
        self.check("codel", 0.9)

    def test_fifo(self):
        """It is there to be seen, not to be good: everyone waits for a second, and then it is late."""
        self.check("fifo", 0, LOADS if LONG else (4,))


if __name__ == "__main__":
    if not os.access(LOAD, os.X_OK):
        raise unittest.SkipTest("tplb-load is not built")
    main()
