"""Putting a load on the parties, in rounds."""

import os
import random
import subprocess
import sys
import time

from loads import PARKED
from parties import HERE
from tplb_bench import wrk
from tplb_bench.processes import cpu_us, memory_kib, reap, spawn


def note(text):
    print(text, file=sys.stderr, flush=True)


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
    command = wrk.command(party.url + load.path, load.clients, load.threads, seconds, load.headers)
    pids = party.pids()
    cpu = cpu_us(pids)
    process = spawn(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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
    return dict(numbers(output, lasted, cpu), rss_kib=rss, pss_kib=pss)


def numbers(output, lasted, cpu):
    got = wrk.parse(output, lasted)
    if not got:
        sys.exit("bench: wrk says\n" + output)
    latency = {key: float("nan") if got[key] is None else got[key] for key in ("p50_ms", "p99_ms")}
    return dict(got, cpu_us=cpu / max(got["requests"], 1), **latency,
                socket_errors=got["connect_errors"] + got["read_errors"] + got["write_errors"])


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
