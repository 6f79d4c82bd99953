"""Made-up results of tplb-bench, plausible in shape, for the tests of its report. python3 specimen.py FOLDER writes it."""

import copy
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, os.pardir, "src", "bench"))

SIDES = (("pool", None), ("async", "epoll"), ("async", "io_uring"))
THREADS = (10, 50, 100, 150, 200)
CLIENTS = 1000
DOT = """digraph tplb { rankdir=LR; bgcolor="white"; node [shape=box, style="rounded,filled", fillcolor="#f4f6f8",
fontname="Helvetica"]; clients [shape=plaintext, style="", fillcolor=none]; listener [label="listener web\\n127.0.0.1:%d"];
who [label="%s",
fillcolor="#dcebf7"]; subgraph cluster_servers { label="origins"; color="#0072b2"; fontcolor="#0072b2"; %s }
clients -> listener; listener -> who; %s }"""


def picture(name, title, port, who, ports):
    servers = ["o%d [label=\"127.0.0.1:%d\\nweight 1\", fillcolor=\"#d9f0e6\"];" % (i, p) for i, p in enumerate(ports)]
    return {"name": name, "title": title, "dot": DOT % (port, who, " ".join(servers),
                                                        " ".join("who -> o%d;" % i for i in range(len(ports))))}


class Maker:
    def __init__(self, seed=7, rounds=3, seconds=10):
        self.random, self.rounds, self.seconds = random.Random(seed), rounds, seconds

    def run(self, number, rps, threads=4, clients=CLIENTS, behind=True, jitter=0.01, tail=6.0, **more):
        rps *= 1 + self.random.uniform(-jitter, jitter)
        requests = int(rps * self.seconds)
        p50 = 1000 * clients / rps * 0.8
        run = {"round": number, "requests": requests, "lasted_s": self.seconds + 0.02, "rps": requests / (self.seconds + 0.02),
               "wrk_rps": requests / (self.seconds - 0.01), "bytes_s": rps * 163, "p50_ms": p50, "p90_ms": p50 * 1.8,
               "p99_ms": p50 * tail * (1 + self.random.uniform(-3 * jitter, 3 * jitter)), "connect_errors": 0, "read_errors": 0,
               "write_errors": 0, "timeouts": 0, "non_2xx": 0, "opened": clients // threads * threads,
               "cpu_s": {"origins": 6.0, "load": 5.0}, "rss_mib": {"origins": 41.3}, "by_origin": {"127.0.0.1:9012": requests},
               "commands": ["tplb-origin -l 127.0.0.1:9012", "wrk -c %d -t %d -d %ds --latency http://127.0.0.1:44444/" % (
                   clients, threads, self.seconds)], "raw": "raw/x-r%d.txt" % number}
        if behind:
            run["cpu_s"]["balancer"], run["rss_mib"]["balancer"] = 7.5, 14.25
            run["by_origin"] = {"127.0.0.1:%d" % port: requests // 4 for port in (9012, 9013, 9014, 9015)}
            run["commands"].insert(1, "tplb -f pool.conf")
        run.update(more)
        return run

    def case(self, identity, label, params, rps, service_s=None, **more):
        case = {"id": identity, "label": label, "params": params,
                "runs": [self.run(i + 1, rps, **more) for i in range(self.rounds)]}
        if service_s:
            case["service_s"] = service_s
        return case

    # The experiments ------------------------------------------------------------------------------------------------------------

    def original_case(self, side, behind, keepalive, threads, aa=None, crossed=False):
        rate = {("pool", None): 9000, ("async", "epoll"): 9800, ("async", "io_uring"): 14000}[side] * (3.2 if keepalive else 1)
        rate *= (0.62 if behind else 1) * (1 - threads / 2000)
        params = {"keepalive": keepalive, "architecture": side[0], "driver": side[1], "behind": behind, "origins": None,
                  "threads": threads,
                  "clients": CLIENTS, "aa": aa}
        if crossed:
            params.update(crossed=True, origins="pool" if side[0] == "async" else "async epoll")
        name = " on ".join(filter(None, side)) + (" behind the balancer" if behind else " alone")
        identity = "original/%s/%s/%s/t%d%s" % ("keepalive" if keepalive else "close", "-".join(filter(None, side)),
                                                "balancer" if behind else "alone", threads, "/again" if aa else "/crossed"
                                                if crossed else "")
        return self.case(identity, name + (", origins: " + params["origins"] if crossed else ""), params, rate, threads=threads,
                         behind=behind)

    def original(self, aa=True, crossed=True, threads=THREADS, loads=(False, True)):
        cases = [self.original_case(side, behind, keepalive, t) for keepalive in loads for side in SIDES
                 for behind in (False, True)
                 for t in threads]
        if aa:
            cases += [self.original_case(SIDES[0], True, keepalive, threads[0], aa="again") for keepalive in loads]
        if crossed:
            cases += [self.original_case(side, True, keepalive, t, crossed=True) for keepalive in loads for side in SIDES
                      for t in (threads[0], threads[-1])]
        return {"name": "original", "cases": cases}

    def sweep(self):
        cases = []
        for path, service_s, most in (("/", 0.00011, 16000), ("/delay/2", 0.00231, 14000)):
            for burst in (1, 8):
                for workers in (1, 2, 4, 8, 16, 32, 64, 128, 256):
                    rate = min(most, 0.9 * workers * burst / service_s) * (1 - workers / 2500)
                    cases.append(self.case("sweep%s/b%d/w%d" % (path, burst, workers), "pool of %d" % workers, {
                        "path": path, "burst": burst, "workers": workers, "clients": 200, "threads": 4}, rate, service_s,
                                           clients=200))
        return {"name": "sweep", "cases": cases}

    def hold(self):
        cases = []
        for hold, given in (("connection", {"answered": 16, "min": 0, "p10": 0, "median": 0, "p90": 0, "max": 7421}),
                            ("request", {"answered": 1000, "min": 88, "p10": 101, "median": 117, "p90": 133, "max": 162})):
            cases.append(self.case("hold/" + hold, "hold = " + hold, {"hold": hold, "workers": 16, "clients": CLIENTS}, 11800))
            for run in cases[-1]["runs"]:
                run["clients"] = dict(given, clients=CLIENTS)
        return {"name": "hold", "cases": cases}

    def peers(self):
        cases = []
        for keepalive in (False, True):
            for threads in (10, 200):
                for party, rate in (("direct", 14000), ("nginx", 8000), ("haproxy", 8900), ("apache", 4100), ("caddy", 3900),
                                    ("tplb pool", 8950), ("tplb async epoll", 9700), ("tplb async io_uring", 13500)):
                    cases.append(self.case("peers/%s/%s/t%d" % ("keepalive" if keepalive else "close", party, threads), party, {
                        "party": party, "keepalive": keepalive, "threads": threads, "clients": CLIENTS},
                                           rate * (3 if keepalive else 1),
                        threads=threads, behind=party != "direct"))
        return {"name": "peers", "cases": cases}

    def openloop(self):
        cases = []
        for party, most in (("nginx", 24000), ("haproxy", 26000), ("tplb pool", 26500), ("tplb async epoll", 29000),
                            ("tplb async io_uring", 40000)):
            for share in (0, 0.25, 0.5, 0.75, 0.9):
                rate = most * (share or 1)
                case = self.case("openloop/%s/%d" % (party, 100 * share), party, {"party": party, "share": share, "clients": 200},
                                 rate,
                                 clients=200)
                for run in case["runs"]:
                    if share:
                        wait = self.random.uniform(0.9, 1.1) * 26000 / most
                        run.update(target_rps=rate, p50_ms=0.2 * wait / (1 - share), p90_ms=0.5 * wait / (1 - share),
                                   p99_ms=1.5 * wait / (1 - share) ** 2, p999_ms=4 * wait / (1 - share) ** 2,
                                   max_ms=9 * wait / (1 - share) ** 2,
                                   late={"scheduled": 10 * int(rate), "sent": 10 * int(rate),
                                         "answered": int(rate * (9.99 if share < 0.9 else 9.7))})
                cases.append(case)
        return {"name": "openloop", "cases": cases}

    def results(self, *experiments, **more):
        results = {
            "schema": 1, "complete": True,
            "run": {"version": "0.1.0", "command": "tplb-bench --rounds %d" % self.rounds, "seed": 1, "rounds": self.rounds,
                    "seconds": self.seconds,
                    "started": "2026-11-26T11:00:00Z", "ended": "2026-11-26T12:10:00Z"},
            "machine": {"cpu": "A made-up CPU @ 2.5 GHz", "cores": 2, "memory_mib": 24000, "kernel": "Linux 6.1",
                        "syscall_ns": 132, "pinned": None},
            "versions": {"tplb": "0.1.0", "wrk": "4.1.0", "nginx": "1.22.1", "haproxy": "2.6.12"},
            "skipped": [], "pictures": [], "experiments": list(experiments)}
        results.update(more)
        return results


def full(rounds=3):
    """Everything there is, and what goes wrong: failed runs, a case that failed altogether, missing figures, errors, skips."""
    make = Maker(rounds=rounds)
    results = make.results(make.original(), make.sweep(), make.hold(), make.peers(), make.openloop())
    results["skipped"] = [{"what": "pound", "why": "not installed (package pound)"},
                          {"what": "varnish", "why": "not installed (package varnish)"}]
    results["pictures"] = [picture("pool", "Pool behind the balancer", 44444, "pool, 16 workers", (9012, 9013, 9014, 9015)),
                           picture("async", "Async behind the balancer", 55555, "async, 2 loops", (9002, 9003, 9004, 9005))]
    cases = results["experiments"][0]["cases"]
    failed = {"error": "the balancer died: signal 11\n  its last words: <fault> at *0 | `x`", "commands": ["tplb -f pool.conf"]}
    cases[3]["runs"][-1] = dict(failed, round=rounds)
    cases[6]["runs"] = [dict(failed, round=i + 1) for i in range(rounds)]
    for run in cases[8]["runs"]:
        run.update(non_2xx=5200, timeouts=31, read_errors=12)
    for run in cases[10]["runs"]:
        run.update(p90_ms=None, bytes_s=None, rss_mib={}, by_origin=None, cpu_s=None)
    return results


def aborted():
    """Ended in the second of three rounds."""
    results = full()
    results["complete"] = False
    results["run"].pop("ended")
    for experiment in results["experiments"]:
        for i, case in enumerate(experiment["cases"]):
            case["runs"] = case["runs"][:2 if i % 2 else 1]
    results["experiments"][3]["cases"][2]["runs"] = []
    return results


def without_noise():
    """One round, no A/A row, one load, one number of wrk threads."""
    make = Maker(rounds=1)
    return make.results(make.original(aa=False, crossed=False, threads=(10,), loads=(False,)))


def only(name):
    results = copy.deepcopy(full())
    results["experiments"] = [e for e in results["experiments"] if e["name"] == name]
    return results


def nothing():
    return {"schema": 1, "complete": False, "run": {}, "machine": {}, "versions": {}, "skipped": [], "pictures": [],
            "experiments": []}


if __name__ == "__main__":
    from tplb_bench import charts, report_html, report_md

    os.makedirs(sys.argv[1], exist_ok=True)
    which = sys.argv[2] if len(sys.argv) > 2 else "full"
    made = {"full": full, "aborted": aborted, "without_noise": without_noise, "nothing": nothing}[which]()
    drawn = charts.draw_all(made, sys.argv[1])
    report_md.write(made, sys.argv[1], drawn)
    report_html.write(made, sys.argv[1], drawn)
