"""What stands on the stage during one run: origins, a balancer; and the ports of the original experiment."""

import http.client
import os
import subprocess
import time

from tplb_bench import peers, ports
from tplb_bench.processes import Trouble, cpu_us, memory_kib, reap, spawn, tree

GREETING = b"Ini Adalah web Server percobaan"
BALANCER = {"async": 55555, "pool": 44444}
ALONE = {"async": 8887, "pool": 8000}
ORIGINS = {"async": (9002, 9003, 9004, 9005), "pool": (9012, 9013, 9014, 9015)}
PEER = 8888
START_S = 15
LOG_LINES = 15


class Party:
    """A process and what it is here."""

    def __init__(self, role, port, command, cores, folder):
        self.role, self.port, self.command = role, port, command
        self.log = os.path.join(folder, "%s-%d.log" % (role, port))
        with open(self.log, "wb") as f:
            self.process = spawn(command, cores, stdin=subprocess.DEVNULL, stdout=f, stderr=f)

    def said(self):
        with open(self.log, errors="replace") as f:
            lines = f.read().splitlines()
        return "\n".join(["    " + line for line in lines[-LOG_LINES:]] or ["    (it said nothing)"])

    def wait_ready(self):
        until = time.monotonic() + START_S
        while not ports.answers(self.port):
            self.must_live("when it was started")
            if time.monotonic() > until:
                raise Trouble("%s does not listen on port %d after %d s; its last words:\n%s"
                              % (self.command[0], self.port, START_S, self.said()))
            time.sleep(0.02)
        self.must_live("when it was started")  # and not a stranger on its port

    def must_live(self, when):
        if self.process.poll() is not None:
            code = self.process.returncode
            how = "exit status %d" % code if code >= 0 else "signal %d" % -code
            raise Trouble("%s on port %d died %s (%s); its last words:\n%s" % (self.command[0], self.port, when, how, self.said()))

    def get(self, path):
        """(status, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def origin_command(tools, engine, port, keepalive):
    architecture, _, driver = engine.partition(" ")
    command = [tools.origin, "-l", "127.0.0.1:%d" % port, "-e", architecture]
    return command + (["-d", driver] if driver else []) + ([] if keepalive else ["-k", "off"])


def setting(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else '"%s"' % value


def tplb_config(engine, port, servers, keepalive, more):
    """The text of a configuration; more: further settings by section. The balancer refuses to keep connections by a keepalive of 0s."""
    architecture, _, driver = engine.partition(" ")
    sections = {name: dict(settings) for name, settings in more.items()}
    if driver:
        sections.setdefault("async", {})["driver"] = driver
    if not keepalive:
        sections.setdefault("timeouts", {})["keepalive"] = "0s"
    lines = ['engine = "%s";' % architecture]
    for name, settings in sections.items():
        lines.append("%s: { %s };" % (name, " ".join("%s = %s;" % (k, setting(v)) for k, v in settings.items())))
    return "\n".join(lines + [
        'listeners = ( { name = "%s"; bind = "127.0.0.1:%d"; upstream = "origins"; } );' % (architecture, port),
        'upstreams = ( { name = "origins"; balance = "roundrobin"; servers = (',
        ",\n".join('    { address = "%s"; }' % server for server in servers),
        ") } );", ""])


def ports_of(case):
    """All that a run of it listens on."""
    architecture = case.origins.split()[0]
    if not case.balancer:
        return [ALONE[architecture]]
    return [*ORIGINS[architecture], BALANCER.get(case.balancer.split()[0], PEER)]


class Stage:
    """Used as `with Stage(...)`: everything is started and answers; at the end all of it is ended."""

    def __init__(self, tools, case, folder, pinned=None):
        self.tools, self.case, self.folder, self.pinned = tools, case, folder, pinned or {}
        self.origins, self.balancer = [], None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for party in [self.balancer] + self.origins:
            if party:
                reap(party.process)

    def start(self):
        case, architecture = self.case, self.case.origins.split()[0]
        ports.must_be_free(ports_of(case), lambda text: None)
        for port in ORIGINS[architecture] if case.balancer else [ALONE[architecture]]:
            command = origin_command(self.tools, case.origins, port, case.keepalive)
            self.origins.append(Party("origin", port, command, self.pinned.get("origins"), self.folder))
        for origin in self.origins:
            origin.wait_ready()
        if case.balancer:
            port, command = self.balancer_command(["127.0.0.1:%d" % origin.port for origin in self.origins])
            self.balancer = Party("balancer", port, command, self.pinned.get("balancer"), self.folder)
            self.balancer.wait_ready()
        self.check()

    def balancer_command(self, servers):
        case = self.case
        for peer in peers.PEERS:
            if peer.name == case.balancer:
                cores = len(self.pinned.get("balancer") or os.sched_getaffinity(0))
                return PEER, peer.command(self.folder, PEER, servers, case.keepalive, cores)
        port = BALANCER[case.balancer.split()[0]]
        path = os.path.join(self.folder, "tplb.conf")
        with open(path, "w") as f:
            f.write(tplb_config(case.balancer, port, servers, case.keepalive, case.config))
        return port, [self.tools.tplb, "-f", path]

    def config_text(self):
        """tplb's configuration, or None."""
        try:
            with open(os.path.join(self.folder, "tplb.conf")) as f:
                return f.read()
        except FileNotFoundError:
            return None

    @property
    def front(self):
        """Who is asked."""
        return self.balancer or self.origins[0]

    @property
    def parties(self):
        return self.origins + ([self.balancer] if self.balancer else [])

    def check(self):
        status, body = self.front.get("/")
        if (status, body) != (200, GREETING):
            raise Trouble("%s answers / with status %d and %r, not with the greeting; its last words:\n%s"
                          % (self.front.command[0], status, body[:60], self.front.said()))

    def must_live(self, when):
        for party in self.parties:
            party.must_live(when)

    def cpu_s(self):
        """Used so far, by role."""
        return {role: cpu_us([pid for party in list_ for pid in tree(party.process.pid)]) / 1e6 for role, list_ in self.roles()}

    def rss_mib(self):
        return {role: memory_kib([pid for party in list_ for pid in tree(party.process.pid)])[0] / 1024 for role, list_ in self.roles()}

    def roles(self):
        return ([("balancer", [self.balancer])] if self.balancer else []) + [("origins", self.origins)]

    def counts(self):
        """Requests so far, by origin."""
        return {"127.0.0.1:%d" % origin.port: int(origin.get("/count")[1]) for origin in self.origins}
