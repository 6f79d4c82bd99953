#!/usr/bin/env python3
"""make bench: tplb against nginx and HAProxy, in front of the same four nginx origins, under wrk.

The parties take turns, in a new random order every round, so that what else happens on the machine hits all alike. A number is the
median of its rounds. A ratio compares with the better of nginx and HAProxy in that very column.

Here are the arguments and the order of things; loads.py says what is run, parties.py starts the balancers, runs.py measures,
report.py tells.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import sys
import tempfile

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "bench"))

import report
from loads import ENGINES, LOADS, PARTIES
from parties import Parties, needed, nginx_stream_module
from runs import measure, note
from tplb_bench.processes import first_line, reap_all


def machine(options):
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*:\s*(.*)", f.read())
    facts = {"cpu": model[1] if model else platform.machine(), "cores": len(os.sched_getaffinity(0)),
             "kernel": platform.release(), "load average before": os.getloadavg()[0],
             "wrk": first_line(["wrk", "-v"]).split(" [")[0], "nginx": first_line([needed("nginx"), "-v"])}
    if "haproxy" in options.parties:
        facts["haproxy"] = first_line([needed("haproxy"), "-v"]).split(" 20")[0]  # without its date
    if options.needs_tplb:
        facts["tplb"] = first_line([options.tplb, "--version"])
    return facts


def introduction(options, facts, left_out):
    return "\n".join([
        "# tplb against nginx and HAProxy", "",
        "%s cores (%s), Linux %s, shared by wrk, the balancer and four nginx origins of one worker each. "
        % (facts["cores"], facts["cpu"], facts["kernel"])
        + "nginx has 2 workers, HAProxy 2 threads. pool: tplb's thread pool; io_uring, epoll: its async engine on that driver; "
        + "else tplb has its defaults. "
        + "; ".join(facts[key] for key in ("tplb", "nginx", "haproxy", "wrk") if key in facts) + ".",
        "",
        "Medians of %d rounds of %d s, the parties taking turns. x: the ratio to the better of nginx and HAProxy in the column "
        "before it (requests/s: above 1 is better; p99, CPU: below 1 is better); range: that ratio in the single rounds; "
        "of direct: the share of direct's requests/s. "
        "requests/s: what wrk counts over the time it ran, its own start included. "
        "CPU: microseconds of user and system time a request. Errors: the sum over all rounds. "
        "direct: one origin without a balancer; its CPU and memory are the origin's." % (options.rounds, options.seconds), ""]
        + [line for text in left_out for line in (text, "")])


def plan(options, parties):
    """By load the parties that will run, and a sentence for each that cannot."""
    wanted, left_out = options.parties, []
    if "io_uring" in wanted:
        why = parties.why_no_io_uring()
        if why:
            wanted = [p for p in wanted if p != "io_uring"]
            left_out.append("Left out: io_uring, %s." % why)
    names = {load.name: load.parties(wanted, options.pool_sizes) for load in options.loads}
    for load in options.loads:
        if load.mode == "tcp" and "nginx" in wanted and parties.stream is None:
            names[load.name].remove("nginx")
            left_out.append("Left out: nginx under %s, for want of its stream module (Debian: libnginx-mod-stream)." % load.name)
    return names, left_out


def run(options, directory):
    parties = Parties(options.tplb, nginx_stream_module(options.nginx_stream), directory)
    parties.start_origins()
    names, left_out = plan(options, parties)
    facts = machine(options)
    head = introduction(options, facts, left_out)
    results = {"machine": facts, "rounds": options.rounds, "seconds": options.seconds, "left_out": left_out, "loads": {}}
    runs = options.rounds * sum(len(names[load.name]) * (1 + load.parked) for load in options.loads)
    if not runs:
        sys.exit("\n".join(["bench: nothing to run"] + left_out))
    print(head, flush=True)
    note("%d runs of %d s: about %.0f minutes" % (runs, options.seconds, 1 + runs * (options.seconds + 0.5) / 60))
    tables = []
    for load in options.loads:
        if not names[load.name]:
            continue
        rounds = measure(parties, names[load.name], load, options.rounds, options.seconds)
        summary = report.summarize(rounds)
        results["loads"][load.name] = {"title": load.title, "summary": summary, "rounds": rounds}
        tables.append(report.load_table(load, summary))
        print(tables[-1], flush=True)
        # After each load, so that an interrupted run leaves what it has.
        results["closing"], end = report.closing({name: of["summary"] for name, of in results["loads"].items()})
        with open(os.path.join(options.out, "report.md"), "w") as f:
            f.write("\n".join([head] + tables + [end]))
        with open(os.path.join(options.out, "results.json"), "w") as f:
            json.dump(results, f, indent=1)
    print(end)
    note("written: %s and results.json next to it" % os.path.join(options.out, "report.md"))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--tplb", default="./tplb", help="the program (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds a load (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds a run (default: %(default)s)")
    parser.add_argument("--only", metavar="LOADS", help="some of: " + ",".join(load.name for load in LOADS))
    parser.add_argument("--parties", default=",".join(PARTIES), help="(default: %(default)s)")
    parser.add_argument("--pool-sizes", default="8,16,64,256", help="for the loads pool50 and pool1000 (default: %(default)s)")
    parser.add_argument("--nginx-stream", metavar="FILE", help="ngx_stream_module.so (default: where nginx has its modules)")
    parser.add_argument("--out", default="bench-results", help="folder for report.md and results.json (default: %(default)s)")
    options = parser.parse_args()
    options.parties = options.parties.split(",")
    options.pool_sizes = [int(n) for n in options.pool_sizes.split(",")]
    known = [load.name for load in LOADS]
    only = options.only.split(",") if options.only else known
    for name, list_ in [(n, known) for n in only] + [(p, PARTIES) for p in options.parties]:
        if name not in list_:
            parser.error("unknown: %s; known: %s" % (name, ", ".join(list_)))
    if options.rounds < 1 or options.seconds < 1:
        parser.error("--rounds and --seconds are at least 1")
    options.loads = [load for load in LOADS if load.name in only]
    options.tplb = os.path.abspath(options.tplb)
    options.needs_tplb = any(p in ENGINES for p in options.parties)
    if options.needs_tplb and not os.access(options.tplb, os.X_OK):
        parser.error("%s is not there: run make first, or say --parties nginx,haproxy" % options.tplb)
    return options


def stop(number, _):
    sys.exit(128 + number)


def main():
    options = arguments()
    for tool in ("wrk", "curl"):
        needed(tool)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    directory = tempfile.mkdtemp(prefix="tplb-bench-")
    try:
        os.makedirs(options.out, exist_ok=True)
        run(options, directory)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        reap_all()
        shutil.rmtree(directory, True)


main()
