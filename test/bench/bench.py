#!/usr/bin/env python3
"""make bench: tplb against nginx and HAProxy, in front of the same four nginx origins, under wrk.

The parties take turns, in a new random order every round, so that what else happens on the machine hits all alike. A number is the
median of its rounds. A ratio compares with the better of nginx and HAProxy in that very column.
"""

import argparse
import ctypes
import json
import os
import platform
import random
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
GREETING = b"Ini Adalah web Server percobaan"
PAGE = bytes(range(256)) * 256  # 64 KiB
ORIGINS = [21001, 21002, 21003, 21004]
FIRST_PORT = 21010
PEERS = ("nginx", "haproxy")
PARKED = 10000


class Load:
    def __init__(self, name, title, clients, threads, path="/", headers=(), pools=False, parked=False):
        self.name, self.title, self.clients, self.threads = name, title, clients, threads
        self.path, self.headers, self.pools, self.parked = path, headers, pools, parked


LOADS = [
    Load("keep50", "50 keep-alive clients (wrk -c 50 -t 2)", 50, 2),
    Load("keep200", "200 keep-alive clients (wrk -c 200 -t 4)", 200, 4),
    Load("keep1000", "1000 keep-alive clients (wrk -c 1000 -t 10)", 1000, 10),
    Load("orig50", "The original's load (wrk -c 1000 -t 50)", 1000, 50),
    Load("orig100", "The original's load (wrk -c 1000 -t 100)", 1000, 100),
    Load("orig200", "The original's load (wrk -c 1000 -t 200)", 1000, 200),
    Load("close1000", "A connection a request (wrk -c 1000 -t 10 -H 'Connection: close')", 1000, 10,
         headers=("Connection: close",)),
    Load("big200", "64 KiB answers, 200 keep-alive clients (wrk -c 200 -t 4)", 200, 4, path="/64k"),
    Load("pool50", "Pool sizes, 50 keep-alive clients (wrk -c 50 -t 2)", 50, 2, pools=True),
    Load("pool1000", "Pool sizes, 1000 keep-alive clients (wrk -c 1000 -t 10)", 1000, 10, pools=True),
    Load("parked", "10 fresh clients (wrk -c 10 -t 2), without and with %d parked keep-alive clients" % PARKED, 10, 2,
         parked=True),
]


def note(text):
    print(text, file=sys.stderr, flush=True)


def raise_descriptor_limit():
    """As high as we may, and what that is: what is started here inherits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (65536, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            return limit
        except (ValueError, OSError):
            pass
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


# Processes ----------------------------------------------------------------------------------------------------------------------

running = []  # all that was started and has not been awaited
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def spawn(command, **options):
    """A session of its own, so that Ctrl-C reaches only us; told to end should we be killed."""
    process = subprocess.Popen(command, start_new_session=True, preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
                               **options)
    running.append(process)
    return process


def reap(process):
    """Ends a process with its children: asks, asks again, then kills."""
    for sign, seconds in ((signal.SIGTERM, 5), (signal.SIGTERM, 2), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            break
        try:
            process.send_signal(sign)
            process.wait(seconds)
        except (subprocess.TimeoutExpired, ProcessLookupError):
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)  # what a killed parent left behind
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()
    if process in running:
        running.remove(process)


def tree(pid):
    pids = [pid]
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task)) as f:
                for child in f.read().split():
                    pids += tree(int(child))
    except OSError:
        pass
    return pids


def cpu_us(pids):
    """User and system time of these processes, all their threads included."""
    ticks = 0
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid) as f:
                fields = f.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return ticks * 1000000 / os.sysconf("SC_CLK_TCK")


def memory_kib(pids):
    """(RSS, PSS): RSS counts a page shared by two workers twice, PSS once."""
    rss = pss = 0
    for pid in pids:
        try:
            with open("/proc/%d/smaps_rollup" % pid) as f:
                text = f.read()
            rss += int(re.search(r"^Rss:\s+(\d+)", text, re.M)[1])
            pss += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])
        except OSError:
            pass
    return rss, pss


# Parties ------------------------------------------------------------------------------------------------------------------------


class Party:
    """A balancer, or one origin for the party `direct`."""

    def __init__(self, name, port, process):
        self.name, self.port, self.process = name, port, process

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def pids(self):
        return tree(self.process.pid)


class Bench:
    def __init__(self, options, directory):
        self.options, self.directory = options, directory
        self.files = raise_descriptor_limit()
        self.parties = {}
        self.next_port = FIRST_PORT
        self.origin = None

    def write(self, template, name, port):
        user = "user root;" if os.geteuid() == 0 else ""  # the folder is ours alone
        with open(os.path.join(HERE, template)) as f:
            text = f.read()
        for key, value in {
                "USER": user,
                "FILES": self.files,
                "DIR": self.directory,
                "PORT": port,
                "SERVERS_NGINX": "\n".join("        server 127.0.0.1:%d;" % p for p in ORIGINS),
                "SERVERS_HAPROXY": "\n".join("    server s%d 127.0.0.1:%d" % (p, p) for p in ORIGINS),
                "SERVERS_TPLB": ", ".join('{ address = "127.0.0.1:%d"; }' % p for p in ORIGINS),
        }.items():
            text = text.replace("@%s@" % key, str(value))
        path = os.path.join(self.directory, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def launch(self, name, port, command):
        log = os.path.join(self.directory, name.replace(" ", "") + ".log")
        with open(log, "wb") as f:
            process = spawn(command, stdin=subprocess.DEVNULL, stdout=f, stderr=f)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return Party(name, port, process)
            except OSError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                with open(log, errors="replace") as f:
                    sys.exit("bench: %s does not listen on port %d\n%s\n%s" % (name, port, " ".join(command), f.read()))
            time.sleep(0.05)

    def start_origins(self):
        os.mkdir(os.path.join(self.directory, "docroot"))
        with open(os.path.join(self.directory, "docroot", "64k"), "wb") as f:
            f.write(PAGE)
        for port in ORIGINS:
            config = self.write("origins.conf.in", "origin-%d.conf" % port, port)
            party = self.launch("origin-%d" % port, port, nginx_command(config))
            self.origin = self.origin or party

    def party(self, name):
        """Starts it when it is wanted for the first time."""
        if name not in self.parties:
            port = self.next_port
            self.next_port += 1
            if name == "direct":
                party = Party(name, self.origin.port, self.origin.process)
            elif name == "nginx":
                party = self.launch(name, port, nginx_command(self.write("nginx.conf.in", "nginx.conf", port)))
            elif name == "haproxy":
                config = self.write("haproxy.cfg.in", "haproxy.cfg", port)
                party = self.launch(name, port, [program("haproxy"), "-db", "-q", "-f", config])
            else:
                config = self.write("tplb.conf.in", name.replace(" ", "") + ".conf", port)
                party = self.launch(name, port, [self.options.tplb, "-f", config] + name.split()[1:])
            check_bodies(party)
            self.parties[name] = party
        return self.parties[name]

    # Measuring

    def wrk(self, party, load, seconds):
        """One run: a dict of numbers."""
        command = ["wrk", "-c", str(load.clients), "-t", str(load.threads), "-d", "%ds" % seconds, "--latency"]
        for header in load.headers:
            command += ["-H", header]
        pids = party.pids()
        cpu = cpu_us(pids)
        process = spawn(command + [party.url + load.path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        time.sleep(max(seconds - 0.5, 0.3))  # so that memory is seen under load
        rss, pss = memory_kib(pids)
        try:
            output, _ = process.communicate(timeout=seconds + 60)
        except subprocess.TimeoutExpired:
            sys.exit("bench: wrk hangs against " + party.name)
        finally:
            reap(process)
        cpu = cpu_us(pids) - cpu
        if party.process.poll() is not None:
            sys.exit("bench: %s died under the load %s" % (party.name, load.name))
        return dict(parse_wrk(output, cpu), rss_kib=rss, pss_kib=pss)

    def parked(self, party, load, seconds):
        alone = self.wrk(party, load, seconds)
        park = spawn([sys.executable, os.path.join(HERE, "park.py"), str(party.port), str(PARKED)], stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE, text=True)
        try:
            if park.stdout.readline() != "ready\n":
                sys.exit("bench: %s did not take %d parked clients" % (party.name, PARKED))
            time.sleep(0.5)
            rss, pss = memory_kib(party.pids())
            result = self.wrk(party, load, seconds)
            result.update(rss_kib=rss, pss_kib=pss, alone_p99_ms=alone["p99_ms"], alone_rss_kib=alone["rss_kib"],
                          alone_rps=alone["rps"])
            park.stdin.close()
            result["parked_lost"] = int(park.stdout.readline())
        finally:
            reap(park)
        time.sleep(0.5)  # for the party to see 10,000 ends
        return result

    def measure(self, load):
        names = self.party_names(load)
        run = self.parked if load.parked else self.wrk
        for name in names:
            self.wrk(self.party(name), load, 1)
        rounds = {name: [] for name in names}
        for number in range(self.options.rounds):
            for name in random.sample(names, len(names)):
                note("%s, round %d of %d: %s" % (load.name, number + 1, self.options.rounds, name))
                rounds[name].append(run(self.party(name), load, self.options.seconds))
        # The next load meets fresh processes: memory is what that load needs.
        for party in self.parties.values():
            if party.name != "direct":
                reap(party.process)
        self.parties.clear()
        return rounds

    def party_names(self, load):
        names = [p for p in self.options.parties if p != "tplb" or not load.pools]
        if load.pools and "tplb" in self.options.parties:
            names += ["tplb -w %d" % n for n in self.options.pool_sizes]
        if load.parked:
            names = [p for p in names if p != "direct"]
        return names


def program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        sys.exit("bench: %s is missing; ./autogen.sh --deps installs it" % name)
    return found


def nginx_command(config):
    return [program("nginx"), "-c", config, "-p", os.path.dirname(config), "-e", config + ".err"]


def check_bodies(party):
    for path, want in (("/", GREETING), ("/64k", PAGE)):
        got = subprocess.run(["curl", "-sS", "--fail", "--max-time", "10", party.url + path], stdout=subprocess.PIPE).stdout
        if got != want:
            sys.exit("bench: %s answers %s with %d bytes %r, not with the %d it should" % (party.name, path, len(got), got[:60],
                                                                                      len(want)))


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m|h)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000, "h": 3600000}[unit]


def parse_wrk(output, cpu):
    count = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if not count or not rate:
        sys.exit("bench: wrk says\n" + output)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    connect, read, write, late = map(int, sockets.groups()) if sockets else (0, 0, 0, 0)
    status = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    requests = int(count[1])
    result = {"rps": float(rate[1]), "requests": requests, "cpu_us": cpu / max(requests, 1),
              "socket_errors": connect + read + write, "timeouts": late, "non_2xx": int(status[1]) if status else 0}
    for percent in (50, 99):
        found = re.search(r"^\s+%d%%\s+(\S+)" % percent, output, re.M)
        result["p%d_ms" % percent] = milliseconds(found[1]) if found else float("nan")
    return result


# Telling ------------------------------------------------------------------------------------------------------------------------

LESS_IS_BETTER = ("p50_ms", "p99_ms", "cpu_us", "alone_p99_ms")


def summarize(rounds):
    """Medians, sums of errors, and the ratios to the better peer with their range over the rounds."""
    summary = {}
    for name, runs in rounds.items():
        row = {key: statistics.median(r[key] for r in runs) for key in runs[0]}
        for key in ("socket_errors", "timeouts", "non_2xx", "parked_lost"):
            if key in row:
                row[key] = sum(r[key] for r in runs)
        summary[name] = row
    peers = [p for p in PEERS if p in summary]
    for name, row in summary.items():
        row["ratio"] = {}
        for key in ("rps",) + LESS_IS_BETTER:
            if not peers or key not in row:
                continue
            better = min if key in LESS_IS_BETTER else max
            row["ratio"][key] = divide(row[key], better(summary[p][key] for p in peers))
            if key == "rps":
                each = [divide(r[key], better(rounds[p][i][key] for p in peers)) for i, r in enumerate(rounds[name])]
                row["ratio"]["rps_range"] = [min(each), max(each)]
    return summary


def divide(a, b):
    return a / b if b else float("nan")


def ratio(row, key):
    return "%.2f" % row["ratio"][key] if key in row["ratio"] else "-"


def table(load, summary):
    """Markdown, padded so that it reads well as plain text too."""
    head = ["", "requests/s", "x", "range", "p50 ms", "p99 ms", "x", "CPU us", "x", "RSS MiB", "PSS MiB", "errors"]
    if load.parked:
        head += ["p99 alone", "RSS alone", "lost"]
    rows = [head]
    for name, row in summary.items():
        spread = "%.2f-%.2f" % tuple(row["ratio"]["rps_range"]) if "rps_range" in row["ratio"] else "-"
        errors = ["%d %s" % (row[key], word) for key, word in
                  (("socket_errors", "socket"), ("timeouts", "late"), ("non_2xx", "not 2xx")) if row[key]]
        line = [name, "%.0f" % row["rps"], ratio(row, "rps"), spread, "%.2f" % row["p50_ms"], "%.2f" % row["p99_ms"],
                ratio(row, "p99_ms"), "%.1f" % row["cpu_us"], ratio(row, "cpu_us"), "%.1f" % (row["rss_kib"] / 1024),
                "%.1f" % (row["pss_kib"] / 1024), ", ".join(errors) or "0"]
        if load.parked:
            line += ["%.2f" % row["alone_p99_ms"], "%.1f" % (row["alone_rss_kib"] / 1024), "%d" % row["parked_lost"]]
        rows.append(line)
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]

    def fit(row):
        return "| " + " | ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                                 for i, (cell, w) in enumerate(zip(row, widths))) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join(["## " + load.title, "", fit(rows[0]), rule] + [fit(r) for r in rows[1:]] + [""])


def first_line(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout.splitlines()[0].strip()
    except (OSError, IndexError):
        return "?"


def machine(options):
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*:\s*(.*)", f.read())
    facts = {"cpu": model[1] if model else platform.machine(), "cores": len(os.sched_getaffinity(0)),
             "kernel": platform.release(), "load average before": os.getloadavg()[0],
             "wrk": first_line(["wrk", "-v"]).split(" [")[0], "nginx": first_line([program("nginx"), "-v"]),
             "haproxy": first_line([program("haproxy"), "-v"])}
    if "tplb" in options.parties:
        facts["tplb"] = first_line([options.tplb, "--version"])
    return facts


def introduction(options, facts):
    return "\n".join([
        "# tplb against nginx and HAProxy", "",
        "%s cores (%s), Linux %s, shared by wrk, the balancer and four nginx origins of one worker each. "
        % (facts["cores"], facts["cpu"], facts["kernel"])
        + "nginx has 2 workers, HAProxy 2 threads, tplb its defaults. "
        + "; ".join(facts[key] for key in ("tplb", "nginx", "haproxy", "wrk") if key in facts) + ".",
        "",
        "Medians of %d rounds of %d s, the parties taking turns. x: the ratio to the better of nginx and HAProxy in the column "
        "before it (requests/s: above 1 is better; p99, CPU: below 1 is better); range: that ratio in the single rounds. "
        "CPU: microseconds of user and system time a request. Errors: the sum over all rounds. "
        "direct: one origin without a balancer; its CPU and memory are the origin's." % (options.rounds, options.seconds), ""])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--tplb", default="./tplb", help="the program (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds a load (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds a run (default: %(default)s)")
    parser.add_argument("--only", metavar="LOADS", help="some of: " + ",".join(load.name for load in LOADS))
    parser.add_argument("--parties", default="nginx,haproxy,tplb,direct", help="(default: %(default)s)")
    parser.add_argument("--pool-sizes", default="8,16,64,256", help="for the loads pool50 and pool1000 (default: %(default)s)")
    parser.add_argument("--out", default="bench-results", help="folder for report.md and results.json (default: %(default)s)")
    options = parser.parse_args()
    options.parties = options.parties.split(",")
    options.pool_sizes = [int(n) for n in options.pool_sizes.split(",")]
    known = [load.name for load in LOADS]
    only = options.only.split(",") if options.only else known
    for name, list_ in [(n, known) for n in only] + [(p, ["nginx", "haproxy", "tplb", "direct"]) for p in options.parties]:
        if name not in list_:
            parser.error("unknown: %s; known: %s" % (name, ", ".join(list_)))
    if options.rounds < 1 or options.seconds < 1:
        parser.error("--rounds and --seconds are at least 1")
    options.loads = [load for load in LOADS if load.name in only]
    options.tplb = os.path.abspath(options.tplb)
    if "tplb" in options.parties and not os.access(options.tplb, os.X_OK):
        parser.error("%s is not there: run make first, or say --parties nginx,haproxy" % options.tplb)
    return options


def stop(number, _):
    sys.exit(128 + number)


def main():
    options = arguments()
    for tool in ("wrk", "curl"):
        program(tool)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    directory = tempfile.mkdtemp(prefix="tplb-bench-")
    try:
        os.makedirs(options.out, exist_ok=True)
        facts = machine(options)
        results = {"machine": facts, "rounds": options.rounds, "seconds": options.seconds, "loads": {}}
        report = introduction(options, facts)
        print(report, flush=True)
        bench = Bench(options, directory)
        bench.start_origins()
        runs = sum(len(bench.party_names(load)) * (1 + load.parked) for load in options.loads)
        note("%d runs of %d s: about %.0f minutes" % (runs * options.rounds, options.seconds,
                                                     1 + runs * options.rounds * (options.seconds + 0.5) / 60))
        for load in options.loads:
            rounds = bench.measure(load)
            summary = summarize(rounds)
            results["loads"][load.name] = {"title": load.title, "summary": summary, "rounds": rounds}
            text = table(load, summary)
            print(text, flush=True)
            report += "\n" + text
            # After each load, so that an interrupted run leaves what it has.
            with open(os.path.join(options.out, "report.md"), "w") as f:
                f.write(report)
            with open(os.path.join(options.out, "results.json"), "w") as f:
                json.dump(results, f, indent=1)
        note("written: %s and results.json next to it" % os.path.join(options.out, "report.md"))
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for process in reversed(running[:]):
            reap(process)
        shutil.rmtree(directory, True)


main()
