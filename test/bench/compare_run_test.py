"""tplb-bench for real, for a few seconds: what it writes, and how it ends when it is stopped or something is wrong."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.join(HERE, "..", "..", "src", "bench")
sys.path[:0] = [os.path.join(HERE, ".."), PACKAGE]

from support.case import main
from support.tplb import ORIGIN, TPLB
from tplb_bench import parties, ports

LOAD = os.path.join(os.path.dirname(ORIGIN), "tplb-load")
PORTS = sorted([p for list_ in parties.ORIGINS.values() for p in list_] + list(parties.BALANCER.values()) + list(parties.ALONE.values()))


def command(*words):
    return [sys.executable, "-m", "tplb_bench", "--tplb", TPLB, "--origin", ORIGIN, "--load", LOAD, *words]


def environment(**more):
    return dict(os.environ, PYTHONPATH=PACKAGE, PYTHONDONTWRITEBYTECODE="1", **more)


@unittest.skipUnless(shutil.which("wrk"), "wrk is not installed")
class Run(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="tplb-test-")
        self.addCleanup(temporary.cleanup)
        self.out = os.path.join(temporary.name, "out")
        busy = [port for port in PORTS if ports.inodes(port) and ports.answers(port)]
        if busy:
            self.skipTest("ports of the original experiment are in use here: %s" % busy)

    def bench(self, *words, **more):
        return subprocess.run(command("--out", self.out, *words), env=environment(**more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=300)

    def results(self):
        with open(os.path.join(self.out, "results.json")) as f:
            return json.load(f)

    def nothing_is_left(self):
        for port in PORTS:
            self.assertFalse(ports.answers(port), "something listens on port %d still" % port)

    def test_whole(self):
        done = self.bench("--rounds", "1", "--seconds", "1", "--only",
                          "original/close/pool/behind/t10,original/keepalive/async-epoll/alone/t150,hold/request,"
                          "sweep/greeting/burst1/w4,sweep/greeting/service,openloop/tplb-pool/25%")
        self.assertEqual(done.returncode, 0, done.stderr)
        results = self.results()
        self.assertTrue(results["complete"])
        cases = {case["id"]: case for e in results["experiments"] for case in e["cases"]}
        self.assertEqual(sorted(cases), sorted(["original/close/pool/behind/t10", "original/close/pool/behind/t10/again",
                                                "original/keepalive/async-epoll/alone/t150", "hold/request", "sweep/greeting/burst1/w4",
                                                "sweep/greeting/service", "openloop/tplb-pool/closed", "openloop/tplb-pool/25%"]))
        for name, case in cases.items():
            with self.subTest(case=name):
                run = case["runs"][0]
                self.assertNotIn("error", run)
                self.assertGreater(run["requests"], 0)
                self.assertGreater(run["p99_ms"], 0)
                self.assertEqual(len(run["by_origin"]), 1 if "alone" in name else 4)
                self.assertGreaterEqual(sum(run["by_origin"].values()), run["requests"])
                if "alone" not in name and "close" in name.split("/"):
                    share = sorted(run["by_origin"].values())
                    self.assertLess(share[-1], share[0] * 1.1 + 20)  # round robin
                self.assertTrue(os.path.exists(os.path.join(self.out, run["raw"])))
        self.assertEqual(cases["original/keepalive/async-epoll/alone/t150"]["runs"][0]["opened"], 900)
        self.assertEqual(cases["hold/request"]["runs"][0]["clients"]["clients"], 1000)
        quarter, whole = (cases["openloop/tplb-pool/" + s]["runs"][0] for s in ("25%", "closed"))
        self.assertAlmostEqual(quarter["target_rps"], whole["rps"] / 4, delta=whole["rps"] / 100)
        for name in ("report.html", "report.md", "results.csv"):
            self.assertGreater(os.path.getsize(os.path.join(self.out, name)), 500)
        self.nothing_is_left()
        # What is there is not run over; what is there already is not run again.
        again = self.bench("--only", "hold/request")
        self.assertEqual(again.returncode, 1)
        self.assertIn("--resume", again.stderr)
        resumed = self.bench("--resume", "--only", "hold/request,hold/connection")
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        self.assertIn("1 runs of 1 s", resumed.stderr)
        names = [case["id"] for e in self.results()["experiments"] for case in e["cases"]]
        self.assertEqual(sorted(names), sorted([*cases, "hold/connection"]))  # what was there is there still

    def test_stopped(self):
        """What it started is gone, what it has is kept, and it can go on."""
        for sign in (signal.SIGINT, signal.SIGTERM):
            shutil.rmtree(self.out, True)
            process = subprocess.Popen(command("--out", self.out, "--rounds", "2", "--seconds", "1", "--only", "hold"), env=environment(),
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            lines = []
            for line in process.stderr:
                lines.append(line)
                if line.startswith("[2/4]"):
                    break
            until = time.monotonic() + 30
            while not ports.answers(parties.BALANCER["pool"]) and time.monotonic() < until:
                time.sleep(0.01)
            process.send_signal(sign)
            lines += process.stderr.readlines()
            self.assertEqual(process.wait(60), 128 + sign, "".join(lines))
            process.stderr.close()
            self.assertIn("--resume", "".join(lines))
            self.nothing_is_left()
            self.assertFalse(self.results()["complete"])
            self.assertEqual(sum(len(case["runs"]) for e in self.results()["experiments"] for case in e["cases"]), 1)
        done = self.bench("--resume")  # with what was asked for at first
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("3 runs of 1 s", done.stderr)
        self.assertTrue(self.results()["complete"])

    def test_port_in_use(self):
        with contextlib.closing(socket.socket()) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", 9013))
            s.listen()
            done = self.bench("--quick")
        self.assertEqual(done.returncode, 1)
        self.assertIn("port 9013 is in use", done.stderr)
        self.assertIn("(process %d)" % os.getpid(), done.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.out, "results.json")))

    def test_few_descriptors(self):
        # Root could raise it again.
        weak = ["setpriv", "--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource"] if os.geteuid() == 0 else []
        done = subprocess.run(["bash", "-c", 'ulimit -n 500 && exec "$@"', "-", *weak, *command("--out", self.out, "--quick")],
                              env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("ulimit -n", done.stderr)

    def test_party_that_dies(self):
        """Its last words are told, the other runs go on, the report shows it and the status is 1."""
        fake = os.path.join(os.path.dirname(self.out), "tplb")
        with open(fake, "w") as f:
            f.write('#!/bin/sh\ncase "$*" in *graph*|*version*) exec "%s" "$@";; esac\necho "the sky is falling" >&2; exit 3\n' % TPLB)
        os.chmod(fake, 0o755)
        done = self.bench("--tplb", fake, "--rounds", "1", "--seconds", "1", "--only", "hold/request,original/close/pool/alone/t10")
        self.assertEqual(done.returncode, 1)
        self.assertIn("died when it was started (exit status 3)", done.stderr)
        self.assertIn("the sky is falling", done.stderr)
        runs = {case["id"]: case["runs"] for e in self.results()["experiments"] for case in e["cases"]}
        self.assertIn("error", runs["hold/request"][0])
        self.assertNotIn("error", runs["original/close/pool/alone/t10"][0])
        with open(os.path.join(self.out, "report.md")) as f:
            self.assertIn("the sky is falling", f.read())
        self.nothing_is_left()


class Usage(unittest.TestCase):
    def test_wrong(self):
        for words, want in ((("--only", "orignal"), "there is no orignal"), (("--rounds", "0"), "above 0"), (("--nonsense",), "--nonsense"),
                            (("advise", "--rate", "5"), "go together")):
            head = [sys.executable, "-m", "tplb_bench"]
            done = subprocess.run(head + list(words), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(want, done.stderr)

    def test_wrk_is_missing(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(command("--quick", "--out", os.path.join(folder, "out")), env=environment(PATH=folder),
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("apt install wrk", done.stderr)

    def test_list(self):
        done = subprocess.run(command("--list"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("original/close/pool/behind/t150", done.stdout)


if __name__ == "__main__":
    main(engines=False)
