#!/usr/bin/env python3
"""make bench-observed: what it costs a request that tplb is looked at.

The same program twice, in front of the same origins: once with nothing on, once with an access log in a file, /metrics scraped every second
as Prometheus does, and the page open, which asks for its figures. They take turns in pairs, whichever first by chance; of each pair the ratio of the processor
time of tplb's processes to its requests is taken, and of all ratios the geometric mean with its 95 % interval (Student's t of the logarithms). Not wall time: with a
balancer on the machine of its load that measures the machine.
"""

import argparse
import json
import math
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [os.path.join(HERE, "..", "..", "src", "bench"), os.path.join(HERE, "..", "soak")]

from figures import student
from loads import ENGINES, LOADS
from parties import Parties, needed
from runs import note, run_wrk
from tplb_bench.processes import reap_all

SCRAPED = "/metrics"
# What the page asks for while it is open, and how often; it is loaded once.
PAGE, STATUS, PAGE_SECONDS = "/", "/status.json", 1.0
SCRAPE_SECONDS = 1.0
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
    """The program with nothing on, and with what `options.on` says; in a control, with nothing again."""

    def __init__(self, parties, engine, options):
        self.bare = parties.there[engine] = parties.start_tplb(engine, "http", *ENGINES[engine])
        port, log = parties.port(), os.path.join(parties.directory, engine + ".access")
        paths, more = {}, ""
        if "log" in options.on:
            more += 'log: { access = "%s"; };\n' % log
        if "metrics" in options.on or "page" in options.on:
            more += 'admin: { bind = "127.0.0.1:%d"; };\n' % port
        if "metrics" in options.on:
            paths[SCRAPED] = SCRAPE_SECONDS
        if "page" in options.on:
            paths[STATUS] = PAGE_SECONDS
        name = engine + "-observed"
        self.observed = parties.there[name] = parties.start_tplb(name, "http", *ENGINES[engine], more=more)
        self.observer, self.log = Observer(port, paths), log
        if "page" in options.on:
            self.observer.ask(PAGE)

    def run(self, observed, load, seconds):
        if not observed:
            return run_wrk(self.bare, load, seconds)
        with self.observer:
            result = run_wrk(self.observed, load, seconds)
        if os.path.exists(self.log):
            os.truncate(self.log, 0)  # tplb appends
        return result


def measure(pair, load, options):
    """By pairs (without, with)."""
    for observed in (False, True):
        pair.run(observed, load, 1)
    runs = []
    for number in range(options.pairs):
        got = {observed: pair.run(observed, load, options.seconds) for observed in random.sample((False, True), 2)}
        runs.append((got[False], got[True]))
        note("pair %d of %d: %.2f us, observed %.2f us: %.4f" % (number + 1, options.pairs, got[False]["cpu_us"], got[True]["cpu_us"],
                                                               got[True]["cpu_us"] / got[False]["cpu_us"]))
    return runs


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
    parties = Parties(options.tplb, None, directory)
    parties.start_origins()
    load = next(load for load in LOADS if load.name == options.load)
    results, over = {}, []
    for engine in options.engines:
        if engine == "io_uring" and parties.why_no_io_uring():
            note("left out: io_uring, %s" % parties.why_no_io_uring())
            continue
        pair = Pair(parties, engine, options)
        runs = measure(pair, load, options)
        lines, is_over = told(engine, load, runs, options.limit)
        if pair.observer.paths:
            lines.append("  %d answers of %.1f KB to who looked" % (pair.observer.answers, pair.observer.bytes / max(pair.observer.answers, 1) / 1e3))
        print("\n".join(lines), flush=True)
        results[engine] = [{"bare": a, "observed": b} for a, b in runs]
        parties.end()
        over += [engine] * is_over
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "observed.json"), "w") as f:
        json.dump({"load": load.name, "seconds": options.seconds, "on": options.on, "runs": results}, f, indent=1)
    return over


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--tplb", default="./tplb", help="the program (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="seconds a run (default: %(default)s)")
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
