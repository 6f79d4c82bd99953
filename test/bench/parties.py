"""The balancers that are compared, and the origins behind them: their configurations, starting and ending them."""

import os
import re
import socket
import subprocess
import sys
import time

from loads import ENGINES
from tplb_bench.processes import output, program, raise_descriptor_limit, reap, spawn, tree

HERE = os.path.dirname(os.path.abspath(__file__))
GREETING = b"Ini Adalah web Server percobaan"
PAGE = bytes(range(256)) * 256  # 64 KiB
ORIGINS = [21001, 21002, 21003, 21004]
FIRST_PORT = 21010
TEMPLATES = {("nginx", "http"): "nginx.conf.in", ("nginx", "tcp"): "nginx-tcp.conf.in",
             ("haproxy", "http"): "haproxy.cfg.in", ("haproxy", "tcp"): "haproxy-tcp.cfg.in"}


def needed(name):
    found = program(name)
    if not found:
        sys.exit("bench: %s is missing; ./autogen.sh --deps installs it" % name)
    return found


class Party:
    """A balancer, or one origin for the party `direct`."""

    def __init__(self, name, port, process, log):
        self.name, self.port, self.process, self.log = name, port, process, log

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def pids(self):
        return tree(self.process.pid)

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()


class Parties:
    """Starts each when it is wanted for the first time. `end` ends them all but the origins."""

    def __init__(self, tplb, stream, directory):
        self.tplb, self.stream, self.directory = tplb, stream, directory
        self.files = raise_descriptor_limit()
        self.next_port = FIRST_PORT
        self.there = {}
        self.origin = None

    def start_origins(self):
        os.mkdir(os.path.join(self.directory, "docroot"))
        with open(os.path.join(self.directory, "docroot", "64k"), "wb") as f:
            f.write(PAGE)
        for port in ORIGINS:
            name = "origin-%d" % port
            party = self.launch(name, port, nginx_command(self.write("origins.conf.in", name + ".conf", port)))
            self.origin = self.origin or party

    def get(self, name, mode):
        if name not in self.there:
            self.there[name] = self.start(name, mode)
            check_bodies(self.there[name])
        return self.there[name]

    def end(self):
        for party in self.there.values():
            if party.name != "direct":
                reap(party.process)
        self.there.clear()

    def start(self, name, mode):
        if name == "direct":
            return Party(name, self.origin.port, self.origin.process, self.origin.log)
        if name not in ("nginx", "haproxy"):
            engine, *arguments = name.split()
            return self.start_tplb(name, mode, *ENGINES[engine], arguments)
        port = self.port()
        config = self.write(TEMPLATES[name, mode], "%s-%s.conf" % (name, mode), port, STREAM_MODULE=self.stream)
        command = nginx_command(config) if name == "nginx" else [needed("haproxy"), "-db", "-q", "-f", config]
        return self.launch(name, port, command)

    def start_tplb(self, name, mode, engine, driver, arguments=(), more=""):
        port = self.port()
        config = self.write("tplb.conf.in", name.replace(" ", "") + ".conf", port, ENGINE=engine, DRIVER=driver, MODE=mode, MORE=more)
        return self.launch(name, port, [self.tplb, "-f", config, "-e", engine, *arguments])

    def why_no_io_uring(self):
        """Asks tplb, which takes epoll instead and says why; empty when it took io_uring."""
        party = self.start_tplb("auto", "http", "async", "auto")
        said = party.said()
        reap(party.process)
        found = re.search(r"io_uring is not to be had: (.*)", said)
        return found[1] if found else ""

    def port(self):
        self.next_port += 1
        return self.next_port - 1

    def write(self, template, name, port, **more):
        """A configuration from its template."""
        with open(os.path.join(HERE, template)) as f:
            text = f.read()
        for key, value in {
                "USER": "user root;" if os.geteuid() == 0 else "",  # the folder is ours alone
                "FILES": self.files,
                "DIR": self.directory,
                "PORT": port,
                "SERVERS_NGINX": "\n".join("        server 127.0.0.1:%d;" % p for p in ORIGINS),
                "SERVERS_HAPROXY": "\n".join("    server s%d 127.0.0.1:%d" % (p, p) for p in ORIGINS),
                "SERVERS_TPLB": ", ".join('{ address = "127.0.0.1:%d"; }' % p for p in ORIGINS),
                **more,
        }.items():
            text = text.replace("@%s@" % key, str(value))
        path = os.path.join(self.directory, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def launch(self, name, port, command):
        log = os.path.join(self.directory, name.replace(" ", "") + ".log")
        with open(log, "wb") as f:
            party = Party(name, port, spawn(command, stdin=subprocess.DEVNULL, stdout=f, stderr=f), log)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return party
            except OSError:
                pass
            if party.process.poll() is not None or time.monotonic() > deadline:
                sys.exit("bench: %s does not listen on port %d\n%s\n%s" % (name, port, " ".join(command), party.said()))
            time.sleep(0.05)


def nginx_command(config):
    return [needed("nginx"), "-c", config, "-p", os.path.dirname(config), "-e", config + ".err"]


def nginx_stream_module(path):
    """The line that gives nginx its stream module: empty where it is built in, None where there is none."""
    flags = dict(word.lstrip("-").partition("=")[::2] for word in output([needed("nginx"), "-V"]).split())
    if flags.get("with-stream") == "":
        return ""
    places = [flags.get("modules-path"), flags.get("prefix", "") + "/modules", "/usr/lib/nginx/modules",
              "/usr/lib64/nginx/modules"]
    for module in [path] if path else [os.path.join(place, "ngx_stream_module.so") for place in places if place]:
        if os.path.exists(module):
            return "load_module %s;" % os.path.abspath(module)
    return None


def check_bodies(party):
    for path, want in (("/", GREETING), ("/64k", PAGE)):
        got = subprocess.run(["curl", "-sS", "--fail", "--max-time", "10", party.url + path], stdout=subprocess.PIPE).stdout
        if got != want:
            sys.exit("bench: %s answers %s with %d bytes %r, not with the %d it should\n%s"
                     % (party.name, path, len(got), got[:60], len(want), party.said()))
