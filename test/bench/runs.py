"""Putting a load on the parties, in rounds."""

import os
import random
import re
import subprocess
import sys
import time

from loads import PARKED
from parties import HERE
from processes import cpu_us, memory_kib, note, reap, spawn


def measure(parties, names, load, rounds, seconds):
    """By party the runs, a dict of numbers each. The parties take turns, in a new random order every round."""
    run = run_parked if load.parked else run_wrk
    for name in names:
        run_wrk(parties.get(name, load.mode), load, 1)
    runs = {name: [] for name in names}
    for number in range(rounds):
        for name in random.sample(names, len(names)):
            note("%s, round %d of %d: %s" % (load.name, number + 1, rounds, name))
            runs[name].append(run(parties.get(name, load.mode), load, seconds))
    parties.end()  # the next load meets fresh processes: memory is what that load needs
    return runs


def run_wrk(party, load, seconds):
    command = ["wrk", "-c", str(load.clients), "-t", str(load.threads), "-d", "%ds" % seconds, "--latency"]
    for header in load.headers:
        command += ["-H", header]
    pids = party.pids()
    cpu = cpu_us(pids)
    process = spawn(command + [party.url + load.path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    started = time.monotonic()
    time.sleep(max(seconds - 0.5, 0.3))  # so that memory is seen under load
    rss, pss = memory_kib(pids)
    try:
        output, _ = process.communicate(timeout=seconds + 60)
        lasted = time.monotonic() - started
    except subprocess.TimeoutExpired:
        sys.exit("bench: wrk hangs against " + party.name)
    finally:
        reap(process)
    cpu = cpu_us(pids) - cpu
    if party.process.poll() is not None:
        sys.exit("bench: %s died under the load %s\n%s" % (party.name, load.name, party.said()))
    return dict(parse_wrk(output, lasted, cpu), rss_kib=rss, pss_kib=pss)


def run_parked(party, load, seconds):
    alone = run_wrk(party, load, seconds)
    park = spawn([sys.executable, os.path.join(HERE, "park.py"), str(party.port), str(PARKED)], stdin=subprocess.PIPE,
                 stdout=subprocess.PIPE, text=True)
    try:
        if park.stdout.readline() != "ready\n":
            sys.exit("bench: %s did not take %d parked clients\n%s" % (party.name, PARKED, party.said()))
        time.sleep(0.5)
        rss, pss = memory_kib(party.pids())
        result = run_wrk(party, load, seconds)
        result.update(rss_kib=rss, pss_kib=pss, alone_p99_ms=alone["p99_ms"], alone_rss_kib=alone["rss_kib"],
                      alone_pss_kib=alone["pss_kib"], alone_rps=alone["rps"])
        park.stdin.close()
        result["parked_lost"] = int(park.stdout.readline())
    finally:
        reap(park)
    time.sleep(0.5)  # for the party to see 10,000 ends
    return result


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m|h)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000, "h": 3600000}[unit]


def parse_wrk(output, lasted, cpu):
    """The rate is not wrk's own, whose clock starts when its last thread has been started, while what the others did until then
    counts. With 200 threads on a busy machine that takes seconds, and the rate comes out several times too high."""
    count = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if not count or not rate:
        sys.exit("bench: wrk says\n" + output)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    connect, read, write, late = map(int, sockets.groups()) if sockets else (0, 0, 0, 0)
    status = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    requests = int(count[1])
    result = {"rps": requests / lasted, "wrk_rps": float(rate[1]), "lasted_s": lasted, "requests": requests,
              "cpu_us": cpu / max(requests, 1),
              "socket_errors": connect + read + write, "timeouts": late, "non_2xx": int(status[1]) if status else 0}
    for percent in (50, 99):
        found = re.search(r"^\s+%d%%\s+(\S+)" % percent, output, re.M)
        result["p%d_ms" % percent] = milliseconds(found[1]) if found else float("nan")
    return result
