"""The arguments, the order of things, progress and errors."""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

from tplb_bench import advise, charts, document, machine, parties, peers, plan, reading, report_html, report_md, stats
from tplb_bench.ports import Reservation, must_be_free
from tplb_bench.processes import Trouble, program, raise_descriptor_limit, reap, reap_all, spawn
from tplb_bench.run import run_case
from tplb_bench.store import Store

HIGH_PORTS = sorted(parties.BALANCER.values())  # in the range of outgoing ports
DESCRIPTORS = 4096  # two for each of 1000 clients, and what the programs need themselves
OVERHEAD_S = 0.9  # of a run, beyond its load: starting and ending what is measured
QUICK_S = 1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Tools:
    """The programs under test, as paths."""

    def __init__(self, options):
        self.tplb, self.origin, self.load = options.tplb, options.origin, options.load


def say(text=""):
    print(text, file=sys.stderr, flush=True)


class Progress:
    """On a terminal one line that changes, with the time left; in a pipe a line a run."""

    def __init__(self, expected_s, count):
        self.expected_s, self.count, self.done, self.live = expected_s, count, 0, sys.stderr.isatty()
        self.started = time.monotonic()

    def left_s(self):
        """By what the runs so far took."""
        each = (time.monotonic() - self.started) / self.done if self.done > 2 else self.expected_s
        return (self.count - self.done) * each

    def begins(self, case, number, rounds):
        text = "[%d/%d] %s: %s%s, round %d of %d" % (self.done + 1, self.count, case.experiment, case.label, detail(case), number, rounds)
        left = "  about %s left" % minutes(self.left_s())
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r" + (text + left)[:width].ljust(width))
            sys.stderr.flush()
        else:
            say(text + left)

    def ends(self):
        self.done += 1
        if self.live and self.done == self.count:
            self.clear()

    def clear(self):
        if self.live:
            sys.stderr.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")


def detail(case):
    words = [] if case.params.get("keepalive", True) else ["a connection a request"]
    if case.load.get("threads"):
        words.append("wrk -t %d" % case.load["threads"])
    if case.load.get("share"):
        words.append("%d %% of its capacity" % (case.load["share"] * 100))
    if "path" in case.params:
        words.append(case.params["path"])
    return " (%s)" % ", ".join(words) if words else ""


def minutes(seconds):
    return "%d s" % max(seconds, 1) if seconds < 90 else "%d min" % round(seconds / 60)


def tool(name, given):
    """Where a program of ours is: as told, beside this one, or where programs are found."""
    if given:
        if not os.access(given, os.X_OK):
            raise Trouble("%s is not there, or not a program" % given)
        return os.path.abspath(given)
    beside = os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), name)
    found = beside if os.access(beside, os.X_OK) else program(name)
    if not found:
        raise Trouble("%s is not installed beside tplb-bench nor in PATH: make install, or say --%s FILE" % (name, name.replace("tplb-", "")))
    return found


def why_no_io_uring(tools):
    """Empty when the system allows it."""
    command = [tools.origin, "-e", "async", "-d", "io_uring", "-l", "127.0.0.1:0"]
    process = spawn(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    last = ""
    try:
        for line in process.stderr:
            if "listening on" in line:
                return ""
            last = line.strip()
    finally:
        reap(process)
        process.stderr.close()
    return last or "tplb-origin does not start with it"


def check_environment(cases):
    for line in charts.missing():
        say("tplb-bench: warning: " + line)
    if not program("wrk"):
        raise Trouble("wrk is missing, and it makes the load: apt install wrk")
    limit = raise_descriptor_limit()
    if limit < DESCRIPTORS:
        raise Trouble("%d descriptors are too few for 1000 clients: ulimit -n %d (or LimitNOFILE=, or /etc/security/limits.conf)"
                      % (limit, DESCRIPTORS))
    must_be_free({port for case in cases for port in parties.ports_of(case)}, say)
    if os.getloadavg()[0] > 0.3 * len(os.sched_getaffinity(0)):
        say("tplb-bench: warning: other programs are busy here (load average %.1f): the numbers will be worth less" % os.getloadavg()[0])


def find_out(tools):
    """(engines, missing peers, skipped)."""
    skipped = []
    engines = list(plan.ENGINES)
    why = why_no_io_uring(tools)
    if why:
        engines.remove("async io_uring")
        skipped.append({"what": "async (io_uring)", "why": why})
    missing = {peer.name: peer.missing() for peer in peers.PEERS if peer.missing()}
    skipped += [{"what": name, "why": why} for name, why in missing.items()]
    return engines, missing, skipped


def pictures(tools, folder):
    """tplb draws its own configurations."""
    drawn = []
    for engine, title in (("pool", "The pool behind the balancer"), ("async epoll", "The asynchronous architecture behind the balancer")):
        architecture = engine.split()[0]
        path = os.path.join(folder, architecture + ".conf")
        with open(path, "w") as f:
            f.write(parties.tplb_config(engine.split()[0], parties.BALANCER[architecture],
                                        ["127.0.0.1:%d" % p for p in parties.ORIGINS[architecture]], True, {}))
        done = subprocess.run([tools.tplb, "-f", path, "--graph"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Trouble("%s --graph does not draw its configuration:\n%s" % (tools.tplb, done.stderr))
        drawn.append({"name": architecture, "title": title, "dot": done.stdout})
    return drawn


class Experiment:
    """A whole run: what is to be done, and its folder."""

    def __init__(self, options):
        self.options = options
        self.tools = Tools(options)
        self.failed = []
        self.store = None

    def prepare(self):
        options = self.options
        engines, missing, skipped = find_out(self.tools)
        self.phases = plan.phases(options.quick, engines, options.only, missing)
        if not self.phases:
            raise Trouble("nothing to run: all that was asked for is missing here:\n"
                          + "\n".join("%s: %s" % (s["what"], s["why"]) for s in skipped))
        check_environment([case for cases in self.phases for case in cases])
        self.machine, self.skipped, self.versions = machine.facts(), skipped, machine.versions(self.tools)
        self.started = now()
        with tempfile.TemporaryDirectory(prefix="tplb-bench-") as folder:
            self.pictures = pictures(self.tools, folder)
        self.store = self.open_store()

    def open_store(self):
        """Last of all that may fail: what it writes says that there is a run."""
        options = self.options
        asked = {"seed": options.seed, "rounds": options.rounds, "seconds": options.seconds, "quick": options.quick, "only": options.only,
                 "versions": self.versions, "load_before": self.machine["load_before"], "started": self.started}
        store = Store(options.out)
        before = store.load_plan()
        if before and not options.resume:
            raise Trouble("%s holds a run already: --resume goes on with it, --out names another folder" % options.out)
        if options.resume and not before:
            raise Trouble("%s holds no run that could be resumed" % options.out)
        if before:
            # Of the machine as it was then, and of what was asked for then.
            asked["load_before"] = self.machine["load_before"] = before.get("load_before")
            asked["started"] = self.started = before.get("started")
            differ = [key for key in ("seed", "rounds", "seconds") if before[key] != asked[key]]
            if differ:
                raise Trouble("%s was begun with --%s %s: --resume goes on with the same" % (options.out, differ[0], before[differ[0]]))
            for name, version in before.get("versions", {}).items():
                if self.versions.get(name, version) != version:
                    say("tplb-bench: warning: %s was %s when the run was begun and is %s now" % (name, version, self.versions[name]))
        os.makedirs(store.path("raw"), exist_ok=True)
        store.load_runs()
        store.save_plan(asked)
        return store

    def remaining(self):
        return [(number, case) for cases in self.phases for number, case in plan.turns(cases, self.options.rounds, self.options.seed)
                if not self.store.has(case, number)]

    def run(self):
        expected = self.options.seconds + OVERHEAD_S
        left = self.remaining()
        say("%d runs of %d s: about %s" % (len(left), self.options.seconds, minutes(len(left) * expected)))
        progress = Progress(expected, len(left))
        for number, case in left:
            progress.begins(case, number, self.options.rounds)
            try:
                run = run_case(self.tools, case, self.options.seconds, self.store.raw_path(case, number), self.machine["pinned"],
                               self.rate(case))
            except Exception as why:  # whatever a party does, the other runs go on
                text = str(why) if isinstance(why, (Trouble, OSError)) else "%s: %s" % (type(why).__name__, why)
                run = {"error": text}
                self.failed.append(case.id)
                progress.clear()
                say("tplb-bench: %s, round %d: %s" % (case.id, number, text))
            self.store.add(case, dict(run, round=number))
            progress.ends()

    def rate(self, case):
        """For the open loop: its share of what the same party did in a closed one."""
        if "share" not in case.load:
            return None
        rates = [run["rps"] for run in self.store.runs.get(case.load["of"], []) if "error" not in run]
        if not rates:
            raise Trouble("its capacity could not be measured")
        return stats.median(rates) * case.load["share"]

    def facts(self):
        options = self.options
        return {"complete": not self.remaining(),
                "run": {"version": self.versions["tplb"], "command": command_line(), "seed": options.seed, "rounds": options.rounds,
                        "seconds": options.seconds, "quick": options.quick, "only": options.only, "started": self.started, "ended": now(),
                        "peers": {peer.name: peer.note(True) for peer in peers.PEERS if not peer.missing()}},
                "machine": self.machine, "versions": self.versions, "skipped": self.skipped}

    def write(self):
        """What there is, also when it was cut short, and also of earlier tries."""
        results = self.store.results(self.facts(), plan.everything().values(), self.pictures)
        self.store.write_results(results)
        report(results, self.store.folder)


def report(results, folder):
    drawn = charts.draw_all(results, folder)
    report_md.write(results, folder, drawn)
    report_html.write(results, folder, drawn)
    for lead, text in reading.answer(results):
        print("\n".join(textwrap.wrap(document.only_text("%s %s" % (lead, text)), 110, subsequent_indent="  ")))
    say("written: %s, and report.md, results.csv, results.json, charts and raw output next to it" % os.path.join(folder, "report.html"))


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def command_line():
    return " ".join(["tplb-bench"] + sys.argv[1:])


def run(options):
    options.tplb, options.origin = tool("tplb", options.tplb), tool("tplb-origin", options.origin)
    options.load = tool("tplb-load", options.load)
    experiment = Experiment(options)
    reservation = None
    try:
        try:
            reservation = Reservation(HIGH_PORTS)
            experiment.prepare()
            if reservation.why_not:
                say("tplb-bench: warning: " + reservation.why_not)
            experiment.run()
        finally:
            reap_all()
            if reservation:
                reservation.close()
            if experiment.store and experiment.store.runs:
                experiment.write()
    except Interrupted as signal_:
        if experiment.store and experiment.store.runs:
            say("tplb-bench: stopped; tplb-bench --resume --out %s goes on" % options.out)
        return 128 + signal_.number
    if experiment.failed:
        say("tplb-bench: %d runs failed, the report shows them" % len(experiment.failed))
        return 1
    return 0


class Interrupted(BaseException):
    """Not an Exception: it passes whatever goes on after a failed run."""

    def __init__(self, number):
        super().__init__()
        self.number = number


def interrupt(number, _):
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # a second one is not to leave anything behind
    raise Interrupted(number)


def list_cases(options):
    for cases in plan.phases(options.quick, plan.ENGINES, options.only, ()):
        for case in cases:
            print("%-50s %s%s" % (case.id, case.label, detail(case)))
    return 0


def load_results(folder):
    try:
        with open(os.path.join(folder, "results.json")) as f:
            return json.load(f)
    except OSError as e:
        raise Trouble("%s: %s: tplb-bench writes it" % (os.path.join(folder, "results.json"), e.strerror)) from None
    except ValueError as e:
        raise Trouble("%s: not JSON: %s" % (os.path.join(folder, "results.json"), e)) from None


def duration_s(text):
    found = re.fullmatch(r"([\d.]+)(us|ms|s)", text)
    if not found:
        raise argparse.ArgumentTypeError("%r is no duration such as 5ms" % text)
    return float(found[1]) / {"us": 1000000, "ms": 1000, "s": 1}[found[2]]


def positive(kind):
    def convert(text):
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError("%r is no number" % text) from None
        if value <= 0:
            raise argparse.ArgumentTypeError("must be above 0")
        return value

    return convert


def advise_main(words):
    parser = argparse.ArgumentParser(prog="tplb-bench advise", description="How many workers, by Little's law: from the results of a run, "
                                     "or from a rate and the time that one request takes.")
    parser.add_argument("folder", nargs="?", help="of a run (default: %s)" % DEFAULT_OUT)
    parser.add_argument("--rate", type=positive(float), help="requests per second that should be served")
    parser.add_argument("--service", type=duration_s, metavar="TIME", help="that a worker is busy with one request, as in 5ms")
    parser.add_argument("--busy", type=positive(float), default=advise.HEADROOM, metavar="SHARE",
                        help="how busy the workers may be on the average (default: %(default)s)")
    options = parser.parse_args(words)
    if (options.rate is None) != (options.service is None):
        parser.error("--rate and --service go together")
    if options.busy > 1:
        parser.error("--busy is at most 1")
    if options.rate:
        print("\n".join(advise.advice(options.rate, options.service, options.busy)))
        return 0
    lines = advise.from_results(load_results(options.folder or DEFAULT_OUT))
    if not lines:
        raise Trouble("%s holds no sweep of pool sizes: tplb-bench --only sweep" % (options.folder or DEFAULT_OUT))
    print("\n".join(lines).rstrip())
    return 0


def report_main(words):
    parser = argparse.ArgumentParser(prog="tplb-bench report", description="Writes the report of a run again, from its results.json.")
    parser.add_argument("folder", nargs="?", default=DEFAULT_OUT, help="(default: %(default)s)")
    folder = parser.parse_args(words).folder
    report(load_results(folder), folder)
    return 0


DEFAULT_OUT = "tplb-bench-results"
EPILOG = """
tplb-bench report [FOLDER]   writes the report of a run again
tplb-bench advise [FOLDER]   how many workers, by Little's law; also --rate R --service TIME

Exit status: 0 well, 1 something could not be measured, 2 wrong usage.
"""


def run_main(words):
    parser = argparse.ArgumentParser(
        prog="tplb-bench", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EPILOG,
        description="Which architecture serves better, alone and behind a balancer, and how large should the pool be?\n"
                    "Runs the experiment on this machine and writes a folder with report.html.")
    parser.add_argument("--out", metavar="FOLDER", default=DEFAULT_OUT, help="(default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a first impression in under two minutes")
    parser.add_argument("--list", action="store_true", help="print what would be run, and run nothing")
    parser.add_argument("--only", metavar="NAMES", help="names as --list has them, or their beginnings, with commas between: original,sweep")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was cut short")
    parser.add_argument("--rounds", type=positive(int), help="of every case (default: 3; with --quick 1)")
    parser.add_argument("--seconds", type=positive(int), help="of every run (default: 10; with --quick %d)" % QUICK_S)
    parser.add_argument("--seed", type=int, help="of the order of the runs (default: a new one)")
    parser.add_argument("--tplb", metavar="FILE", help="the programs under test (default: those beside tplb-bench, or in PATH)")
    parser.add_argument("--origin", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--load", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    options = parser.parse_args(words)
    options.only = [o for o in (options.only or "").split(",") if o]
    if options.version:
        print(machine.first_line([tool("tplb", options.tplb), "--version"]).replace("tplb", "tplb-bench", 1))
        return 0
    known = plan.everything()
    for name in options.only:
        if not any(id_ == name or id_.startswith(name.rstrip("/") + "/") for id_ in known):
            parser.error("--only: there is no %s; --list shows the names" % name)
    if options.list:
        return list_cases(options)
    before = options.resume and Store(options.out).load_plan() or {}
    options.only = options.only or before.get("only", [])
    options.quick = options.quick or before.get("quick", False)
    options.rounds = options.rounds or before.get("rounds") or (1 if options.quick else 3)
    options.seconds = options.seconds or before.get("seconds") or (QUICK_S if options.quick else 10)
    if options.seed is None:
        options.seed = before.get("seed", random.randrange(1, 1 << 31))
    return run(options)


def main():
    for number in SIGNALS:
        signal.signal(number, interrupt)
    words = sys.argv[1:]
    try:
        if words[:1] == ["advise"]:
            return advise_main(words[1:])
        if words[:1] == ["report"]:
            return report_main(words[1:])
        return run_main(words)
    except Trouble as trouble:
        say("tplb-bench: %s" % trouble)
        return 1
    except Interrupted as signal_:
        return 128 + signal_.number
