"""
make soak: everything at once, for long. Honest clients of every kind beside hostile ones, servers that break the rules, that die and come back,
and an operator who resizes the pool, reloads, takes servers out and in and turns the log over; on each engine and driver in turn.

    soak.py [SECONDS]     for each of TPLB_TEST_ENGINES (pool epoll io_uring), or for TPLB_TEST_ENGINE alone

SOAK_SAMPLES=FILE: every sample goes to FILE.ENGINE, a line each.

Meanwhile tplb's memory, descriptors and threads are looked at; their slopes are printed, and a rise is a failure. At the end the counters must add up,
and no honest client may have seen anything but what it asked for.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, os.pardir)]

import asyncio
import itertools
import json
import random
import signal
import socket

import figures
from clients import Clients
from support.case import run_for_each_engine
from support.raw import BOUND
from support.tplb import CTL, ENGINE, Process, Tplb, config_text, raise_descriptor_limit, thread_sanitized, with_engine

LOAD = os.path.abspath(os.environ.get("TPLB_LOAD", "./tplb-load"))
SHORT = 60  # seconds; in less no slope can be told from the start
HEALTH = {"type": "tcp", "interval": "200ms", "timeout": "1s", "rise": 1, "fall": 2}

# How many of each kind at once.
KINDS = {
    "keepalive": 16,
    "single": 6,
    "pipeline": 3,
    "half_close": 2,
    "slow_head": 2,
    "slow_reader": 4,
    "big_post": 3,
    "slow_post": 2,
    "upgrade": 4,
    "tcp": 4,
    "killed": 6,
    "bad_server": 6,
    "never_ending_head": 3,
    "reset": 6,
    "leave": 3,
    "malformed": 3,
    "idle": 4,
}


def free_ports(count):
    """Of this moment: for servers that must come back where they were."""
    socks = [socket.socket() for _ in range(count)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = ["127.0.0.1:%d" % s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def start_server(kind, address="127.0.0.1:0"):
    process = Process([sys.executable, os.path.join(HERE, "origin.py"), kind, address])
    try:
        process.address = process.wait_line(r"listening on (\S+)").group(1)
    except BaseException:
        process.kill()
        raise
    return process


class Soak:
    """One run on one engine. rate: requests a second of tplb-load's, beside the clients'."""

    def __init__(self, seconds, rate, round_seconds, counts):
        self.seconds, self.rate, self.round, self.counts = seconds, rate, round_seconds, counts
        self.random = random.Random(12)
        self.servers, self.balancer = {}, None
        self.samples, self.problems = [], []
        self.rounds = 0

    def config(self, workers):
        s = {name: process.address for name, process in self.servers.items()}
        rows = lambda *names: [{"address": s[n]} for n in names]
        listen = lambda name, mode="http": {"name": name, "bind": "127.0.0.1:0", "mode": mode, "upstream": name}
        return with_engine(
            {
                "listeners": [listen("web"), listen("killed"), listen("bad"), listen("tcp", "tcp")],
                "upstreams": [
                    {"name": "web", "servers": rows("web0", "web1"), "health": HEALTH},
                    {
                        "name": "killed",
                        "servers": rows("killed0", "killed1", "killed2"),
                        "health": HEALTH,
                        "retry_budget": 100,
                    },
                    {"name": "bad", "servers": rows("bad"), "passive": {"max_fails": 0}},
                    {"name": "tcp", "servers": rows("echo")},
                ],
                "queue": {"size": 4096, "timeout": "20s"},
                # Long enough that an honest client on a busy machine does not meet them.
                "timeouts": {
                    "request_header": "5s",
                    "client": "10s",
                    "server": "8s",
                    "keepalive": "5s",
                    "tunnel": "20s",
                    "drain": "20s",
                },
                "log": {"access": "@DIR@/access.log", "format": "timed"},
                "admin": {"socket": "@DIR@/ctl.sock"},
                **({"pool": {"workers": workers}} if ENGINE == "pool" else {}),
            }
        )

    def start(self):
        for name in ("web0", "web1", "bad", "killed0", "killed1", "killed2"):
            self.servers[name] = start_server("http", free_ports(1)[0] if name.startswith("killed") else "127.0.0.1:0")
        self.servers["echo"] = start_server("echo")
        self.balancer = Tplb(self.config(8))
        self.clients = Clients(self.balancer.addresses, 0.05, self.seconds >= SHORT)

    def end(self):
        """Whatever there is still."""
        for process in [self.balancer, *self.servers.values()]:
            if process:
                process.kill()

    def problem(self, text):
        if len(self.problems) < 50:
            self.problems.append(text)

    # What happens beside the clients.

    async def ctl(self, *words):
        path = os.path.join(self.balancer.directory, "ctl.sock")
        process = await asyncio.create_subprocess_exec(
            CTL, "-s", path, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), BOUND)
        if process.returncode != 0 and not self.clients.over:
            self.problem("tplbctl %s: %s" % (" ".join(words), err.decode()))
        return out.decode()

    async def thread(self, function, *args):
        return await asyncio.get_running_loop().run_in_executor(None, function, *args)

    def reload(self, workers):
        text = config_text(self.config(workers)).replace("@DIR@", self.balancer.directory)
        with open(self.balancer.path + ".new", "w") as f:
            f.write(text)
        os.rename(self.balancer.path + ".new", self.balancer.path)
        self.balancer.tell(signal.SIGHUP)

    def turn_log(self):
        """As logrotate does: the old one goes, a new one is begun."""
        path = os.path.join(self.balancer.directory, "access.log")
        if os.path.exists(path):
            os.unlink(path)
            self.balancer.tell(signal.SIGUSR1)

    async def kill(self, name):
        """A server dies under load and comes back at its address."""
        old = self.servers[name]
        old.process.kill()
        await self.thread(old.process.wait)
        await asyncio.sleep(self.round / 12)
        self.servers[name] = await self.thread(start_server, "http", old.address)
        old.kill()

    async def operator(self):
        """A round of changes, again and again, by the clock: two rounds are alike but for who is killed."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        for n in itertools.count():
            victim = "killed%d" % (n % 3)
            out = "web/" + self.servers["web%d" % (n % 2)].address
            steps = [
                lambda: self.thread(self.reload, 4 + n % 2),
                lambda: self.ctl("set", "server", out, "drain"),
                lambda: self.kill(victim),
                lambda: self.ctl("set", "server", out, "maint"),
                lambda: self.thread(self.turn_log),
                lambda: self.ctl("set", "server", out, "ready"),
                lambda: self.ctl("show", "servers"),
            ]
            if ENGINE == "pool":
                steps.insert(3, lambda: self.ctl("set", "pool", "workers", "16"))
            for step in steps:
                due += self.round / len(steps)
                await asyncio.sleep(max(0.0, due - loop.time()))
                if self.clients.over:
                    return
                await step()
            self.rounds += 1

    @property
    def every(self):
        """Seconds from one sample to the next."""
        return min(1.0, self.round / 4)

    async def watch(self):
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self.clients.over:
            self.samples.append(await self.thread(figures.sample, self.balancer.pid))
            due += self.every
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def load(self):
        """Honest GETs at a constant rate."""
        argv = [LOAD, "-j", "-r", str(self.rate), "-c", "32", "-t", "20s", "-d", "%ds" % self.seconds]
        process = await asyncio.create_subprocess_exec(
            *argv, "http://%s/get/load" % self.balancer.addresses["web"], stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        report = json.loads(out)
        if any(report["errors"].values()) or report["answered"] != report["scheduled"]:
            self.problem("tplb-load: %s" % {k: report[k] for k in ("scheduled", "answered", "errors")})
        return report

    async def run(self):
        """Runs it all; (tplb-load's report, counters)."""
        self.start()
        self.clients.start(self.counts)
        beside = [asyncio.ensure_future(self.operator()), asyncio.ensure_future(self.watch())]
        report = await self.load()
        await self.clients.stop()
        await asyncio.gather(*beside)
        await self.thread(self.balancer.stop)  # checks that the counters add up, too
        return report, self.balancer.counters()

    # What came of it.

    def check_counters(self, counters, report):
        """What the clients know against what tplb has counted."""
        tally = self.clients.tally
        if counters.get("requests_answered", 0) < report["answered"] + tally["keepalive"] + tally["pipeline"]:
            self.problem("fewer requests answered than clients got answers: %s" % counters)
        refused = {k: v for k, v in counters.items() if k.startswith("refused_") and k != "refused_header_timeout"}
        if refused:
            self.problem("refused though there was room: %s" % refused)
        malformed = sum(v for k, v in tally.items() if k.startswith("malformed ") and not k.endswith(" 405"))
        if counters.get("requests_malformed", 0) < malformed:
            self.problem("%d malformed requests were refused, %d counted" % (malformed, counters["requests_malformed"]))

    def print_report(self, counters, report):
        print("%s: %d s, %d rounds of the operator" % (ENGINE, self.seconds, self.rounds))
        print(
            "  tplb-load: %d of %d answered, %.0f/s, p99 %.1f ms"
            % (report["answered"], report["scheduled"], report["rps"], report["latency_ms"]["p99"])
        )
        print("  clients: " + ", ".join("%s %d" % item for item in sorted(self.clients.tally.items())))
        names = ("connections_accepted", "connections_closed", "refused_header_timeout", "connections_expired")
        print("  counters: " + ", ".join("%s %d" % (n, counters.get(n, 0)) for n in names))
        names = ("requests_answered", "requests_refused", "requests_failed")
        print("  requests %d = %s" % (counters["requests"], " + ".join("%d %s" % (counters.get(n, 0), n[9:]) for n in names)))
        lines, rising = figures.report(self.samples, round(2 * self.round / self.every))
        for line in lines:
            print("  " + line)
        if self.seconds >= SHORT:
            for kind in rising:
                self.problem("%s rises" % kind)
        path = os.environ.get("SOAK_SAMPLES")
        if path:
            with open("%s.%s" % (path, ENGINE), "w") as f:
                for t, values in self.samples:
                    f.write("%.2f %s\n" % (t - self.samples[0][0], " ".join("%s=%d" % item for item in values.items())))
        for text in self.problems + self.clients.failures:
            print("  FAILED: " + text)
        sys.stdout.flush()


def run(seconds, rate=None, round_seconds=6, counts=None):
    """One soak on TPLB_TEST_ENGINE; the problems found."""
    if rate is None:
        rate = 100 if thread_sanitized() else 400
    soak = Soak(seconds, rate, round_seconds, counts or KINDS)
    try:
        report, counters = asyncio.run(soak.run())
        soak.check_counters(counters, report)
        soak.print_report(counters, report)
    finally:
        soak.end()
    return soak.problems + soak.clients.failures


def main():
    if "TPLB_TEST_ENGINE" not in os.environ:
        sys.exit(run_for_each_engine())
    raise_descriptor_limit()
    sys.exit(1 if run(int(sys.argv[1]) if len(sys.argv) > 1 else 600) else 0)


if __name__ == "__main__":
    main()
