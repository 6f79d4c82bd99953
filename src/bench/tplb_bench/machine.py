"""What machine this is, which versions are here, and how its cores are shared out."""

import os
import platform
import re
import sys
import time

from tplb_bench import peers
from tplb_bench.processes import first_line, output, program

ENOUGH_CORES = 6  # two each for the load, the balancer and the origins


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def syscall_ns():
    """About: a system call with what Python adds, less what Python alone takes."""
    def lasts(function, count=200000):
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter_ns()
            for _ in range(count):
                function()
            best = min(best, time.perf_counter_ns() - started)
        return best / count

    return max(0, round(lasts(os.getppid) - lasts(sys.getrecursionlimit)))


def pinned():
    """By role the cores it gets, or None: with few of them all share all."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < ENOUGH_CORES:
        return None
    third = len(cores) // 3
    return {"load": cores[:third], "balancer": cores[third:2 * third], "origins": cores[2 * third:]}


def facts():
    model = re.search(r"model name\s*:\s*(.*)", read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s+(\d+)", read("/proc/meminfo"))
    return {"cpu": model[1] if model else platform.machine(), "cores": len(os.sched_getaffinity(0)),
            "memory_mib": int(memory[1]) // 1024 if memory else None, "kernel": "%s %s" % (platform.system(), platform.release()),
            "syscall_ns": syscall_ns(), "load_before": os.getloadavg()[0], "pinned": pinned()}


def versions(tools):
    found = {"tplb": (first_line([tools.tplb, "--version"]).split() or ["?"])[-1],
             "wrk": re.sub(r"^wrk (\S+).*", r"\1", first_line(["wrk", "-v"])),
             "python": platform.python_version()}
    for peer in peers.PEERS:
        if peer.find():
            found[peer.name] = peer.version() or "?"
    for name, argument in (("gnuplot", "--version"), ("dot", "-V")):
        if program(name):
            found[name] = (re.findall(r"\d+\.\d+[\w.]*", output([name, argument])) or ["?"])[0]
    return found
