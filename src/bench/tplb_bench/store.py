"""
The folder of a run. plan.json: what was asked for. runs.jsonl: a line a run, as they come, so that nothing is lost when it stops. From
them, at any time: results.json and results.csv.
"""

import csv
import json
import os

from tplb_bench import stats
from tplb_bench.processes import Trouble

FLAT = ("round", "requests", "lasted_s", "rps", "wrk_rps", "bytes_s", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms", "opened",
        "target_rps", "late_sends", "connect_errors", "read_errors", "write_errors", "timeouts", "non_2xx", "raw", "error")
ROLES = ("balancer", "origins", "load")


class Store:
    def __init__(self, folder):
        self.folder = folder
        self.runs = {}  # by the case's name the runs, in the order they came

    def path(self, name):
        return os.path.join(self.folder, name)

    def raw_path(self, case, number):
        return self.path("raw/%s-r%d.txt" % (case.id.replace("/", "-").replace("%", ""), number))

    def save_plan(self, plan):
        write(self.path("plan.json"), json.dumps(plan, indent=1) + "\n")

    def load_plan(self):
        """None when there is none."""
        try:
            with open(self.path("plan.json")) as f:
                return json.load(f)
        except FileNotFoundError:
            return None
        except ValueError as e:
            raise Trouble("%s: not JSON: %s" % (self.path("plan.json"), e)) from None

    def load_runs(self):
        """What there is of an earlier try. Half a line at the end, from a try that was cut off, is left out."""
        try:
            with open(self.path("runs.jsonl")) as f:
                lines = f.read().split("\n")
        except FileNotFoundError:
            return
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            self.runs.setdefault(entry.pop("case"), []).append(entry)
        # Without the half line, and without failed runs, which are tried again.
        self.runs = {name: kept for name, kept in ((n, [r for r in runs if "error" not in r]) for n, runs in self.runs.items()) if kept}
        write(self.path("runs.jsonl"), "".join(json.dumps(dict(run, case=name)) + "\n" for name, runs in self.runs.items() for run in runs))

    def has(self, case, number):
        return any(run["round"] == number for run in self.runs.get(case.id, []))

    def add(self, case, run):
        self.runs.setdefault(case.id, []).append(run)
        with open(self.path("runs.jsonl"), "a") as f:
            f.write(json.dumps(dict(run, case=case.id)) + "\n")

    def results(self, facts, cases, pictures):
        """Schema 1. facts: complete, run, machine, versions, skipped. cases: all that there may be runs of, in order."""
        experiments = {}
        for case in cases:
            if case.id not in self.runs:
                continue
            runs = sorted(self.runs[case.id], key=lambda run: run["round"])
            experiments.setdefault(case.experiment, []).append({"id": case.id, "label": case.label, "params": case.params, "runs": runs})
        experiments = [{"name": name, "cases": found} for name, found in experiments.items()]
        add_service_times(experiments)
        return dict({"schema": 1}, **facts, pictures=pictures, experiments=experiments)

    def write_results(self, results):
        write(self.path("results.json"), json.dumps(results, indent=1) + "\n")
        with open(self.path("results.csv"), "w", newline="") as f:
            out = csv.writer(f)
            out.writerow(["experiment", "case", "label", *FLAT, *("cpu_s_" + r for r in ROLES), "rss_mib_balancer", "rss_mib_origins",
                          "by_origin"])
            for experiment in results["experiments"]:
                for case in experiment["cases"]:
                    for run in case["runs"]:
                        cpu, rss = run.get("cpu_s", {}), run.get("rss_mib", {})
                        out.writerow([experiment["name"], case["id"], case["label"], *(run.get(key) for key in FLAT),
                                      *(cpu.get(r) for r in ROLES), rss.get("balancer"), rss.get("origins"),
                                      " ".join("%s=%d" % item for item in run.get("by_origin", {}).items())])


def add_service_times(experiments):
    """The mean time of a request that has the service for itself, beside every size of the pool on the same path."""
    for experiment in experiments:
        if experiment["name"] != "sweep":
            continue
        alone = {}
        for case in experiment["cases"]:
            if case["params"].get("service"):
                time = stats.median([run.get("mean_ms") for run in case["runs"]])
                if time:
                    alone[case["params"]["path"]] = time / 1000
        for case in experiment["cases"]:
            if not case["params"].get("service"):
                case["service_s"] = alone.get(case["params"]["path"])


def write(path, text):
    """Whole or not at all."""
    with open(path + ".new", "w") as f:
        f.write(text)
    os.replace(path + ".new", path)
