"""One run of one case: the stage is set, the load is put on it, the numbers are read."""

import json
import os
import resource
import subprocess
import tempfile
import time

from tplb_bench import wrk
from tplb_bench.parties import Stage
from tplb_bench.processes import Trouble, reap, spawn

SPARE_S = 90  # beyond the time it should take, before a load generator counts as hung
TIMEOUT_S = 10  # of a request of tplb-load


def load_command(tools, case, url, seconds, rate):
    load = case.load
    if load["tool"] == "wrk":
        return wrk.command(url, load["clients"], load["threads"], seconds)
    command = [tools.load, "-c", str(load["clients"]), "-d", "%ds" % seconds, "-t", "%ds" % TIMEOUT_S, "-j"]
    return command + (["-r", "%.6g" % rate] if rate else []) + ([] if case.keepalive else ["-k", "off"]) + [url]


def children_cpu_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def from_tplb_load(text):
    """The same names as wrk.parse has, and what it lacks."""
    got = json.loads(text)
    nothing = dict.fromkeys(("mean", "p50", "p90", "p99", "p999", "max"))
    latency, service, errors = got["latency_ms"] or nothing, got["service_ms"] or nothing, got["errors"]
    return {"requests": got["answered"], "lasted_s": got["lasted_s"], "wrk_rps": None,
            "rps": (got["answered"] - errors["status"]) / got["lasted_s"] if got["lasted_s"] else 0,
            "bytes_s": got["bytes"] / got["lasted_s"] if got["lasted_s"] else None, "mean_ms": latency["mean"],
            "p50_ms": latency["p50"], "p90_ms": latency["p90"], "p99_ms": latency["p99"], "p999_ms": latency["p999"],
            "max_ms": latency["max"], "connect_errors": errors["connect"], "read_errors": errors["read"],
            "write_errors": errors["write"], "timeouts": errors["timeout"], "non_2xx": errors["status"],
            "clients": got["clients"], "late": {key: got[key] for key in ("scheduled", "sent", "answered")},
            "late_sends": got["late_sends"], "service_p99_ms": service["p99"], "opened": got["connections"]}


def generate(stage, command, seconds, pinned, raw_path):
    """(output, how long it took, CPU by role, memory by role). The output goes to raw_path, too."""
    cpu, load_cpu = stage.cpu_s(), children_cpu_s()
    started = time.monotonic()
    process = spawn(command, (pinned or {}).get("load"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                    errors="replace")
    try:
        time.sleep(max(seconds - 0.4, 0.3))  # so that memory is seen under load
        rss = stage.rss_mib()
        text, _ = process.communicate(timeout=SPARE_S)
        lasted = time.monotonic() - started
    except subprocess.TimeoutExpired:
        raise Trouble("%s hangs: %s" % (command[0], " ".join(command))) from None
    finally:
        reap(process)
    with open(raw_path, "w") as f:
        f.write("$ %s\n%s" % (" ".join(command), text))
    load_cpu = children_cpu_s() - load_cpu
    used = {role: after - cpu[role] for role, after in stage.cpu_s().items()}
    if process.returncode != 0:
        stage.must_live("under the load")
        raise Trouble("%s failed with status %d:\n%s" % (command[0], process.returncode, text[-2000:]))
    return text, lasted, dict(used, load=load_cpu), rss


def run_case(tools, case, seconds, raw_path, pinned=None, rate=None):
    """The numbers of one run. Trouble when a party did not do."""
    with tempfile.TemporaryDirectory(prefix="tplb-bench-") as folder:
        os.chmod(folder, 0o755)  # a peer may give up root
        with Stage(tools, case, folder, pinned) as stage:
            command = load_command(tools, case, "http://127.0.0.1:%d%s" % (stage.front.port, case.path), seconds, rate)
            before = stage.counts()
            text, lasted, cpu, rss = generate(stage, command, seconds, pinned, raw_path)
            stage.must_live("under the load")
            commands = [" ".join(party.command) for party in stage.parties] + [" ".join(command)]
            numbers = from_tplb_load(text) if case.load["tool"] == "tplb-load" else wrk.parse(text, lasted)
            if not numbers:
                raise Trouble("wrk printed no result:\n" + text[-2000:])
            if case.load["tool"] == "wrk":
                numbers["opened"] = wrk.opened(case.load["clients"], case.load["threads"])
            by_origin = {name: count - before[name] for name, count in stage.counts().items()}
            config = stage.config_text()
    return dict(numbers, cpu_s=cpu, rss_mib=rss, by_origin=by_origin, target_rps=rate,
                commands=[c.replace(folder + "/", "") for c in commands], config=config, raw="raw/" + os.path.basename(raw_path))
