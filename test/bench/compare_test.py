"""tplb-bench without running it: what wrk says, the plan, the folder, the ports, the configurations."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), *up) for up in (("..",), ("..", "..", "src", "bench"))]

from support.case import main
from support.tplb import ORIGIN, TPLB
from tplb_bench import advise, machine, parties, plan, ports, processes, stats, wrk
from tplb_bench.cli import duration_s
from tplb_bench.processes import Trouble
from tplb_bench.store import Store

WELL = """Running 10s test @ http://127.0.0.1:44444/
  10 threads and 1000 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    21.21ms    7.88ms 100.06ms   72.46%
    Req/Sec     4.74k   533.92     6.57k    70.90%
  Latency Distribution
     50%   20.59ms
     75%   25.66ms
     90%  950.00us
     99%    1.03s
  472013 requests in 10.05s, 75.63MB read
Requests/sec:  46968.10
Transfer/sec:      7.53MB
"""
TROUBLED = """Running 2s test @ http://127.0.0.1:44444/
  2 threads and 10 connections
  Latency Distribution
     50%    1.00m
     90%    1.00h
     99%    2.00ms
  120 requests in 2.00s, 900.00B read
  Socket errors: connect 1, read 22, write 3, timeout 40
  Non-2xx or 3xx responses: 17
Requests/sec:     60.00
Transfer/sec:     450.00B
"""
NOTHING = """  Latency Distribution
     50%    0.00us
     90%    0.00us
     99%    0.00us
  0 requests in 1.00s, 0.00B read
  Socket errors: connect 10, read 0, write 0, timeout 0
Requests/sec:      0.00
Transfer/sec:       0.00B
"""


class Wrk(unittest.TestCase):
    def test_well(self):
        got = wrk.parse(WELL, 20.0)
        self.assertEqual(got["requests"], 472013)
        self.assertAlmostEqual(got["rps"], 472013 / 20)  # by our clock
        self.assertEqual(got["wrk_rps"], 46968.10)
        self.assertAlmostEqual(got["bytes_s"], 75.63 * (1 << 20) / 20)
        self.assertEqual([got["p50_ms"], got["p90_ms"], got["p99_ms"]], [20.59, 0.95, 1030])
        self.assertEqual([got[k] for k in ("connect_errors", "read_errors", "write_errors", "timeouts", "non_2xx")], [0] * 5)

    def test_errors(self):
        got = wrk.parse(TROUBLED, 2.0)
        self.assertEqual([got[k] for k in ("connect_errors", "read_errors", "write_errors", "timeouts", "non_2xx")], [1, 22, 3, 40, 17])
        self.assertEqual([got["p50_ms"], got["p90_ms"], got["bytes_s"]], [60000, 3600000, 450])

    def test_no_answer_has_no_latency(self):
        got = wrk.parse(NOTHING, 1.0)
        self.assertEqual((got["requests"], got["rps"], got["p99_ms"], got["connect_errors"]), (0, 0, None, 10))

    def test_no_result(self):
        self.assertIsNone(wrk.parse("unable to connect to 127.0.0.1:44444 Connection refused\n", 1.0))

    def test_opened(self):
        self.assertEqual([wrk.opened(1000, t) for t in plan.THREADS], [1000, 1000, 1000, 900, 1000])


class Plan(unittest.TestCase):
    def full(self, quick=False):
        return [case for cases in plan.phases(quick, plan.ENGINES, [], ()) for case in cases]

    def test_names_are_unique(self):
        for quick in (False, True):
            names = [case.id for case in self.full(quick)]
            self.assertEqual(len(names), len(set(names)))

    def test_original_is_whole(self):
        """{pool, async on both drivers} x {alone, behind} x five numbers of threads x {a connection a request, kept}, and both
        origins behind each balancer."""
        rows = [case.params for case in self.full() if case.experiment == "original" and not case.params["aa"]]
        for keepalive in (False, True):
            for threads in (10, 50, 100, 150, 200):
                here = [p for p in rows if p["keepalive"] is keepalive and p["threads"] == threads and p["clients"] == 1000]
                kinds = {(p["architecture"], p["driver"], p["behind"]) for p in here if not p["crossed"]}
                self.assertEqual(kinds, {(a, d, b) for a, d in (("pool", None), ("async", "epoll"), ("async", "io_uring"))
                                         for b in (False, True)})
                over = {(p["architecture"], p["origins"].split()[0]) for p in here if p["behind"]}
                self.assertEqual(over, {(a, o) for a in ("pool", "async") for o in ("pool", "async")})
        self.assertTrue(any(case.params.get("aa") for case in self.full()))

    def test_turns(self):
        """Each round has every case once, no two rounds are alike, and the seed fixes them."""
        cases = self.full(True)
        turns = list(plan.turns(cases, 3, 7))
        self.assertEqual(turns, list(plan.turns(cases, 3, 7)))
        self.assertNotEqual(turns, list(plan.turns(cases, 3, 8)))
        rounds = [[case.id for number, case in turns if number == n] for n in (1, 2, 3)]
        for names in rounds:
            self.assertEqual(sorted(names), sorted(case.id for case in cases))
        self.assertNotEqual(rounds[0], rounds[1])

    def test_only(self):
        for only, count in ((["hold"], 2), (["hold/request"], 1), (["hold/req"], 0), (["openloop/tplb-pool/90%"], 2)):
            got = [case.id for cases in plan.phases(False, plan.ENGINES, only, ()) for case in cases]
            self.assertEqual(len(got), count, got)

    def test_missing_peers_and_driver(self):
        cases = [c for cases in plan.phases(False, plan.ENGINES[:2], [], ("nginx", "caddy")) for c in cases]
        used = {c.balancer for c in cases} | {c.origins for c in cases}
        self.assertFalse(used & {"nginx", "caddy", "async io_uring"})
        self.assertIn("haproxy", used)

    def test_capacity_comes_first(self):
        first, then = plan.openloop(False, plan.ENGINES)
        self.assertTrue(all(c.load["of"] in [f.id for f in first] for c in then))

    def test_ports_are_the_originals(self):
        self.assertEqual(parties.BALANCER, {"async": 55555, "pool": 44444})
        self.assertEqual(parties.ALONE, {"async": 8887, "pool": 8000})
        self.assertEqual(parties.ORIGINS, {"async": (9002, 9003, 9004, 9005), "pool": (9012, 9013, 9014, 9015)})


class Configurations(unittest.TestCase):
    def test_tplb_takes_them_all(self):
        seen = set()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tplb.conf")
            for cases in plan.phases(False, plan.ENGINES, [], ()):
                for case in cases:
                    if case.balancer not in plan.ENGINES:
                        continue
                    text = parties.tplb_config(case.balancer, 44444, ["127.0.0.1:9002", "127.0.0.1:9003"], case.keepalive, case.config)
                    if text in seen:
                        continue
                    seen.add(text)
                    with open(path, "w") as f:
                        f.write(text)
                    done = subprocess.run([TPLB, "-t", "-f", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                    self.assertEqual(done.returncode, 0, text + done.stdout)
        self.assertGreater(len(seen), 20)

    def test_origin_command(self):
        class tools:
            origin = ORIGIN

        self.assertEqual(parties.origin_command(tools, "async epoll", 9002, False),
                         [ORIGIN, "-l", "127.0.0.1:9002", "-e", "async", "-d", "epoll", "-k", "off"])
        self.assertEqual(parties.origin_command(tools, "pool", 8000, True), [ORIGIN, "-l", "127.0.0.1:8000", "-e", "pool"])


class Folder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        self.cases = [case for cases in plan.phases(True, plan.ENGINES, ["hold", "sweep"], ()) for case in cases]

    def test_resume(self):
        """A cut-off line and a failed run are tried again, the rest is kept."""
        store = Store(self.folder)
        first, second, third = self.cases[:3]
        store.add(first, {"round": 1, "rps": 5.0})
        store.add(second, {"round": 1, "error": "died"})
        with open(os.path.join(self.folder, "runs.jsonl"), "a") as f:
            f.write(json.dumps({"round": 1, "rps": 7.0, "case": third.id})[:-9])
        again = Store(self.folder)
        again.load_runs()
        self.assertEqual([again.has(c, 1) for c in (first, second, third)], [True, False, False])
        again.add(second, {"round": 1, "rps": 6.0})
        last = Store(self.folder)
        last.load_runs()
        self.assertEqual(last.runs, {first.id: [{"round": 1, "rps": 5.0}], second.id: [{"round": 1, "rps": 6.0}]})

    def test_each_experiment_once(self):
        """Or what was run twice would not be found beside its twin."""
        store = Store(self.folder)
        for case in plan.everything().values():
            store.add(case, {"round": 1, "rps": 1.0})
        results = store.results({}, plan.everything().values(), [])
        self.assertEqual([e["name"] for e in results["experiments"]], list(plan.EXPERIMENTS))
        twins = [case for case in plan.everything().values() if case.params.get("aa")]
        self.assertEqual(len(stats.aa_pairs(results["experiments"])), len(twins))

    def test_results(self):
        store = Store(self.folder)
        for case in self.cases:
            store.add(case, {"round": 2, "rps": 2.0, "mean_ms": 4.0})
            store.add(case, {"round": 1, "rps": 1.0, "mean_ms": 2.0, "by_origin": {"127.0.0.1:9002": 3}})
        results = store.results({"complete": True}, self.cases, [])
        self.assertEqual([e["name"] for e in results["experiments"]], ["sweep", "hold"])
        sizes = [case for case in results["experiments"][0]["cases"] if not case["params"].get("service")]
        self.assertEqual({case["service_s"] for case in sizes}, {0.003})  # of the runs with one client
        self.assertEqual([run["round"] for run in sizes[0]["runs"]], [1, 2])
        store.write_results(results)
        with open(os.path.join(self.folder, "results.csv")) as f:
            rows = f.read().splitlines()
        self.assertEqual(len(rows), 1 + 2 * sum(len(e["cases"]) for e in results["experiments"]))
        self.assertIn("127.0.0.1:9002=3", rows[1])
        with open(os.path.join(self.folder, "results.json")) as f:
            self.assertEqual(json.load(f), results)


class Ports(unittest.TestCase):
    def test_holder(self):
        with socket.socket() as s:
            s.bind(("0.0.0.0", 0))
            s.listen()
            port = s.getsockname()[1]
            with self.assertRaises(Trouble) as caught:
                ports.must_be_free([port], self.fail)
            self.assertIn("port %d is in use: " % port, str(caught.exception))
            self.assertIn("(process %d) listens there" % os.getpid(), str(caught.exception))
            self.assertTrue(ports.answers(port))
        ports.must_be_free([port], self.fail)

    def test_a_connection_to_oneself_is_a_refusal(self):
        """As happens with ports that the system gives to outgoing connections."""
        real = socket.create_connection

        def to_itself(address, timeout):
            s = socket.socket()
            s.settimeout(timeout)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(address)
            s.connect(address)
            return s

        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        socket.create_connection = to_itself
        try:
            with to_itself(("127.0.0.1", port), 1) as s:
                self.assertEqual(s.getpeername()[1], port)
            self.assertFalse(ports.answers(port))
        finally:
            socket.create_connection = real


class Cores(unittest.TestCase):
    def shared_out(self, cores):
        with unittest.mock.patch("os.sched_getaffinity", lambda _: set(cores)):
            return machine.pinned()

    def test_few_are_shared_by_all(self):
        self.assertIsNone(self.shared_out(range(2)))
        self.assertIsNone(self.shared_out(range(5)))

    def test_enough_are_shared_out(self):
        for count in (6, 7, 16):
            parts = self.shared_out(range(1, count + 1))
            self.assertEqual(sorted(parts), ["balancer", "load", "origins"])
            self.assertEqual(sorted(core for part in parts.values() for core in part), list(range(1, count + 1)))
            self.assertGreaterEqual(min(map(len, parts.values())), 2)

    def test_who_is_started_runs_there_only(self):
        core = min(os.sched_getaffinity(0))
        process = processes.spawn([sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"], [core], stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.communicate()[0].strip(), "{%d}" % core)
        processes.reap(process)


class Advice(unittest.TestCase):
    def test_littles_law(self):
        text = "\n".join(advise.advice(2000, 0.005))
        self.assertIn("= 10 workers busy", text)
        self.assertIn("workers = 15;", text)

    def test_at_least_one(self):
        self.assertIn("workers = 1;", advise.advice(0.1, 0.001)[-1])

    def test_durations(self):
        self.assertEqual([duration_s(t) for t in ("5ms", "2s", "100us")], [0.005, 2, 0.0001])


if __name__ == "__main__":
    main(engines=False)
