#!/usr/bin/env python3
"""make bench-observed: what it costs a request that tplb is looked at.

The same program twice, in front of the same origins: once with nothing on, once with an access log in a file, /metrics scraped every second
as Prometheus does, and the page open, which asks for its figures. In a pair each has a load generator of its own, and the two take turns of a tenth of a second, whichever
first by chance: one is stopped (SIGSTOP) while the other goes on. So what else the machine does meets both alike, which is worth more than what is to be measured: whole runs, one after the other,
differed by a tenth for no reason. Of each pair the ratio of the processor time of tplb's processes to its requests is taken, and of all ratios the geometric mean with its
95 % interval (Student's t of the logarithms). Not wall time: with a balancer on the machine of its load that measures the machine.

Each pair has fresh processes, for where their memory happens to lie is worth some per cent. Where there are two cores or more the balancers have one of them for themselves, lest
their work a turn, and so the price of a request, follow from where the load generators happen to run.
"""

import argparse
import json
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [os.path.join(HERE, "..", "..", "src", "bench"), os.path.join(HERE, "..", "soak")]

from figures import student
from loads import ENGINES, LOADS
from parties import FIRST_PORT, Parties, needed
from runs import note, numbers
from tplb_bench import wrk
from tplb_bench.processes import cpu_us, reap, reap_all, spawn

SCRAPED = "/metrics"
# What the page asks for while it is open, and how often; it is loaded once.
PAGE, STATUS, PAGE_SECONDS = "/", "/status.json", 1.0
SCRAPE_SECONDS = 1.0
TURN_SECONDS = 0.1
CORES = sorted(os.sched_getaffinity(0))
BALANCERS_CORES, OTHERS_CORES = (CORES[-1:], CORES[:-1]) if len(CORES) > 1 else (CORES, CORES)
ALL = ("log", "metrics", "page")


class Observer:
    """Asks for these paths, each all so many seconds, in a thread of its own for as long as it is entered."""

    def __init__(self, port, paths):
        self.url, self.paths = "http://127.0.0.1:%d" % port, paths
        self.over = threading.Event()
        self.answers = self.bytes = 0
        self.failure = None

    def ask(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            self.bytes += len(answer.read())
            self.answers += 1

    def watch(self):
        # The first soon, so that short runs are not spared.
        due = {path: time.monotonic() + 0.3 for path in self.paths}
        try:
            while due:
                path = min(due, key=due.get)
                if self.over.wait(max(due[path] - time.monotonic(), 0)):
                    return
                self.ask(path)
                due[path] += self.paths[path]
        except OSError as e:
            self.failure = "%s%s: %s" % (self.url, path, e)

    def __enter__(self):
        self.over.clear()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        if self.failure:
            sys.exit("bench-observed: " + self.failure)


class Pair:
    """The program with nothing on, and with what `options.on` says; in a control, with nothing again. Ended at the end of a `with`."""

    def __init__(self, parties, engine, options):
        self.parties = parties
        parties.next_port = FIRST_PORT
        port, self.log = parties.port(), os.path.join(parties.directory, engine + ".access")
        paths, more = {}, ""
        if "log" in options.on:
            more += 'log: { access = "%s"; };\n' % self.log
        if "metrics" in options.on or "page" in options.on:
            more += 'admin: { bind = "127.0.0.1:%d"; };\n' % port
        if "metrics" in options.on:
            paths[SCRAPED] = SCRAPE_SECONDS
        if "page" in options.on:
            paths[STATUS] = PAGE_SECONDS
        started = {}
        for name in random.sample((engine, engine + "-observed"), 2):
            started[name] = parties.start_tplb(name, "http", *ENGINES[engine], more=more if name != engine else "")
            parties.there[name] = started[name]
            bind(started[name].pids(), BALANCERS_CORES)
        self.bare, self.observed = started[engine], started[engine + "-observed"]
        self.observer = Observer(port, paths)
        if "page" in options.on:
            self.observer.ask(PAGE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.parties.end()
        if os.path.exists(self.log):
            os.unlink(self.log)

    def run(self, load, seconds):
        """So many seconds each, in turns; the results, (without, with)."""
        with self.observer:
            return take_turns([self.bare, self.observed], load, seconds)


def bind(pids, cores):
    """All their threads to these cores."""
    for pid in pids:
        for thread in os.listdir("/proc/%d/task" % pid):
            os.sched_setaffinity(int(thread), cores)


def alternate(processes, seconds):
    """Each goes on for a turn while the others are stopped."""
    order = random.sample(processes, len(processes))
    for _ in range(round(seconds / TURN_SECONDS)):
        for process in order:
            process.send_signal(signal.SIGCONT)
            time.sleep(TURN_SECONDS)
            process.send_signal(signal.SIGSTOP)


def take_turns(parties, load, seconds):
    pids = [party.pids() for party in parties]
    before = [cpu_us(group) for group in pids]
    wall, processes, outputs = seconds * len(parties), [], []
    try:
        for party in parties:
            command = wrk.command(party.url + load.path, load.clients, load.threads, wall, load.headers)
            processes.append(spawn(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
            processes[-1].send_signal(signal.SIGSTOP)
        alternate(processes, seconds)
        for process in processes:
            process.send_signal(signal.SIGCONT)
        outputs = [process.communicate(timeout=wall + 60)[0] for process in processes]
    except subprocess.TimeoutExpired:
        sys.exit("bench-observed: wrk hangs")
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
            reap(process)
    for party in parties:
        if party.process.poll() is not None:
            sys.exit("bench-observed: %s died\n%s" % (party.name, party.said()))
    return [numbers(said, seconds, cpu_us(group) - cpu) for said, group, cpu in zip(outputs, pids, before)]


def measure(parties, engine, load, options):
    """By pairs (without, with); and how many answers of how many bytes who looked had."""
    runs, answers, size = [], 0, 0
    for number in range(options.pairs):
        with Pair(parties, engine, options) as pair:
            pair.run(load, 0.5)
            runs.append(pair.run(load, options.seconds))
            answers, size = answers + pair.observer.answers, size + pair.observer.bytes
        bare, observed = (run["cpu_us"] for run in runs[-1])
        note("pair %d of %d: %.2f us, observed %.2f us: %.4f" % (number + 1, options.pairs, bare, observed, observed / bare))
    return runs, answers, size


def interval(ratios):
    """(mean, lower and upper end of its 95 % interval), of the ratios' logarithms: of ratios themselves the mean is above 1 by noise alone."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.mean(logs)
    half = student(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
    return tuple(math.exp(x) if x < 700 else math.inf for x in (mean, mean - half, mean + half))


def more(ratio):
    return "%+.2f %%" % (100 * (ratio - 1))


def told(engine, load, runs, limit):
    """(lines, whether it surely costs more than that)"""
    ratios = [b["cpu_us"] / a["cpu_us"] for a, b in runs]
    mean, low, high = interval(ratios)
    rates = interval([b["rps"] / a["rps"] for a, b in runs])[0]
    errors = sum(r["socket_errors"] + r["non_2xx"] for pair in runs for r in pair)
    bare, observed = (statistics.median(pair[i]["cpu_us"] for pair in runs) for i in (0, 1))
    verdict = "yes" if high <= 1 + limit / 100 else "no" if low > 1 + limit / 100 else "cannot be told"
    lines = [
        "%s, %s, %d pairs:" % (engine, load.title, len(runs)),
        "  CPU a request, observed to not: " + " ".join("%.3f" % r for r in ratios),
        "  mean %s, 95 %% interval %s to %s (medians %.2f and %.2f us); requests/s %s; errors %d"
        % (more(mean), more(low), more(high), bare, observed, more(rates), errors),
        "  at most %g %% more: %s" % (limit, verdict),
    ]
    return lines, verdict == "no"


def run(options, directory):
    os.sched_setaffinity(0, OTHERS_CORES)  # what is started has them as well
    parties = Parties(options.tplb, None, directory)
    parties.start_origins()
    load = next(load for load in LOADS if load.name == options.load)
    results, over = {}, []
    for engine in options.engines:
        if engine == "io_uring" and parties.why_no_io_uring():
            note("left out: io_uring, %s" % parties.why_no_io_uring())
            continue
        runs, answers, size = measure(parties, engine, load, options)
        lines, is_over = told(engine, load, runs, options.limit)
        if answers:
            lines.append("  %d answers of %.1f KB to who looked" % (answers, size / answers / 1e3))
        print("\n".join(lines), flush=True)
        results[engine] = [{"bare": a, "observed": b} for a, b in runs]
        over += [engine] * is_over
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "observed.json"), "w") as f:
        json.dump({"load": load.name, "seconds": options.seconds, "on": options.on, "runs": results}, f, indent=1)
    return over


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--tplb", default="./tplb", help="the program (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds that each of a pair has (default: %(default)s)")
    parser.add_argument("--engines", default="pool,epoll,io_uring", help="(default: %(default)s)")
    parser.add_argument("--load", default="keep50", choices=[load.name for load in LOADS if load.mode == "http" and not load.pools], help="(default: %(default)s)")
    parser.add_argument("--on", default=",".join(ALL), help="some of: %(default)s; none: a control, the same against the same")
    parser.add_argument("--limit", type=float, default=3, help="per cent that it may cost; surely more is exit status 1 (default: %(default)s)")
    parser.add_argument("--out", default="bench-results", help="folder for observed.json (default: %(default)s)")
    options = parser.parse_args()
    options.engines = options.engines.split(",")
    options.on = [word for word in options.on.split(",") if word not in ("", "none")]
    for name, known in [(e, tuple(ENGINES)) for e in options.engines] + [(o, ALL) for o in options.on]:
        if name not in known:
            parser.error("unknown: %s; known: %s" % (name, ", ".join(known)))
    if options.pairs < 1 or options.seconds < 1:
        parser.error("--pairs and --seconds are at least 1")
    options.tplb = os.path.abspath(options.tplb)
    return options


def stop(number, _):
    sys.exit(128 + number)


def main():
    options = arguments()
    for tool in ("wrk", "curl", "nginx"):
        needed(tool)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    directory = tempfile.mkdtemp(prefix="tplb-bench-")
    try:
        over = run(options, directory)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        reap_all()
        shutil.rmtree(directory, True)
    if over:
        sys.exit("bench-observed: more than %g %% on %s" % (options.limit, ", ".join(over)))


if __name__ == "__main__":
    main()
