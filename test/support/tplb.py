"""Runs tplb (and tplb-origin) for a test: a configuration of its own, ports that the kernel picks, a clean end that is checked."""

import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from support.raw import BOUND, Late

TPLB = os.path.abspath(os.environ.get("TPLB", "./tplb"))
CTL = os.path.abspath(os.environ.get("TPLBCTL", "./tplbctl"))
ORIGIN = os.path.abspath(os.environ.get("TPLB_ORIGIN", "./tplb-origin"))

COUNTER = re.compile(r"info: ([a-z0-9_]+) (\d+)$")
LISTENING = re.compile(r"listening on (\S+) \((.*)\)\s*$")
# What a sanitizer or a failed assertion leaves on standard error.
REPORT = re.compile(r"Sanitizer|runtime error:|[Aa]ssert(ion)? |MUST\(|stack smashing|double free|corrupted", re.M)

# Which engine the tests are about: "pool", "epoll" or "io_uring", the last two with engine = "async" on that driver.
ENGINE = os.environ.get("TPLB_TEST_ENGINE", "pool")

def thread_sanitized():
    """Whether tplb was built with ThreadSanitizer, which makes a fiber cost a megabyte and the creation of hundreds some seconds."""
    with open(TPLB, "rb") as f:
        return b"libtsan" in f.read()


def sanitized():
    """Whether a sanitizer is in tplb, which takes memory as it likes."""
    with open(TPLB, "rb") as f:
        data = f.read()
    return b"libasan" in data or b"libtsan" in data


running = {}  # pid -> Process, for the watchdog of support.case


def raise_descriptor_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def check_sums(counters, said):
    """
    Whatever came has ended in one of the ways that there are, and was counted once: for a tplb that has ended and whose clients have.
    said: its standard error.
    """
    if "connections were cut" in said:
        return
    count = lambda *names: sum(counters.get(name, 0) for name in names)
    begun, ended = count("requests"), count("requests_answered", "requests_refused", "requests_failed")
    if begun != ended:
        raise AssertionError("%d requests, and the ends of %d; standard error:\n%s" % (begun, ended, said))
    accepted, closed = count("connections_accepted"), count("connections_closed")
    if accepted != closed:
        raise AssertionError("%d connections were accepted, %d closed; standard error:\n%s" % (accepted, closed, said))


class Raw(str):
    """Configuration text that goes in as it is."""


def value_text(value, indent="  "):
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"')
    if isinstance(value, dict):
        inner = "".join("%s%s = %s;\n" % (indent, k, value_text(v, indent + "  ")) for k, v in value.items())
        return "{\n%s%s}" % (inner, indent[2:])
    if isinstance(value, (list, tuple)):
        return "( %s )" % ", ".join(value_text(v, indent + "  ") for v in value)
    raise TypeError(value)


def config_text(config):
    return "".join("%s = %s;\n" % (k, value_text(v)) for k, v in config.items())


def server_rows(servers):
    return [s if isinstance(s, dict) else {"address": getattr(s, "address", s)} for s in servers]


def one_listener(servers, mode="http", bind="127.0.0.1:0", upstream=None, listener=None, **groups):
    """
    A configuration with one listener "web" in front of one upstream "up". A worker that wakes up late refuses nobody, unless a test says how long its
    queue waits: the second by default is little on a busy machine.
    """
    config = {
        "listeners": [dict({"name": "web", "bind": bind, "mode": mode, "upstream": "up"}, **(listener or {}))],
        "upstreams": [dict({"name": "up", "servers": server_rows(servers)}, **(upstream or {}))],
    }
    config.update(groups)
    config["queue"] = dict({"timeout": "10m"}, **(groups.get("queue") or {}))
    return config


def environment(more=None):
    """
    Ours, and that ThreadSanitizer does not hold up every exit for a second, as it does by default; nor tells of threads that have ended and
    are not joined, as there are when the process leaves at once.
    """
    env = dict(os.environ, **(more or {}))
    env["TSAN_OPTIONS"] = "atexit_sleep_ms=50 report_thread_leaks=0 " + env.get("TSAN_OPTIONS", "")
    return env


def with_engine(config):
    """The same configuration for the engine under test. As many fibers serve as there were to be workers."""
    if ENGINE == "pool" or "engine" in config:
        return config
    config = dict(config)
    pool = dict(config.pop("pool", {}))
    if pool.get("hold") == "connection":
        raise unittest.SkipTest("only the pool engine holds a worker for a connection")
    async_ = {"driver": ENGINE}
    if "workers" in pool:
        async_.update(loops=1, fibers=pool["workers"])
    config.update({"engine": "async", "async": dict(async_, **config.get("async", {}))})
    return config


class Process:
    """A program under test. Its standard error is kept line by line; its standard output goes to the file `stdout_path`."""

    def __init__(self, argv, env=None, directory=None, preexec=None):
        self.directory = directory or tempfile.mkdtemp(prefix="tplb-test-")
        self._own_directory = directory is None
        self.lines = []
        self.changed = threading.Condition()
        self._stderr_ended = False
        self.stdout_path = os.path.join(self.directory, "stdout")
        if not os.access(argv[0], os.X_OK):
            raise AssertionError("%s is not there: set TPLB (TPLB_ORIGIN) or run where it was built" % argv[0])
        with open(self.stdout_path, "wb") as stdout:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                env=environment(env),
                cwd=self.directory,
                preexec_fn=preexec,
            )
        self.pid = self.process.pid
        running[self.pid] = self
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()

    def _read_stderr(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self._stderr_ended = True
            self.changed.notify_all()

    @property
    def stderr(self):
        with self.changed:
            return "\n".join(self.lines)

    def wait_line(self, pattern, count=1):
        """Waits for `count` lines on standard error that match; the last of them is returned as a match."""
        pattern = re.compile(pattern)
        found = []

        def look():
            found[:] = [m for m in map(pattern.search, self.lines) if m]
            return len(found) >= count or self._stderr_ended

        with self.changed:
            done = self.changed.wait_for(look, BOUND)
        if len(found) < count:
            raise Late(
                "%s: %r; standard error:\n%s"
                % ("it ended without" if done else "waited in vain for", pattern.pattern, self.stderr)
            )
        return found[count - 1]

    def tell(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Waits for the process's own end; its exit status."""
        try:
            status = self.process.wait(BOUND * 2)
        except subprocess.TimeoutExpired:
            raise Late("it did not end; standard error:\n" + self.stderr) from None
        self._reader.join(BOUND)
        running.pop(self.pid, None)
        return status

    def check_reports(self):
        if REPORT.search(self.stderr):
            raise AssertionError("a report on standard error:\n" + self.stderr)

    def stop(self, number=signal.SIGTERM):
        """Tells it to end and checks that it does so well. Does nothing after the end was already waited for."""
        try:
            if self.pid in running:
                if self.process.poll() is None:
                    self.tell(number)
                status = self.wait()
                if status != 0:
                    raise AssertionError("exit status %d; standard error:\n%s" % (status, self.stderr))
            self.check_reports()
        finally:
            self.kill()

    def kill(self):
        """Whatever is left of it goes."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(BOUND)
        self.process.stderr.close()
        running.pop(self.pid, None)
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))


class Tplb(Process):
    """
    config: a dict (see one_listener) or text. addresses: what its listeners are bound to, by name. In a bind, "unix:web.sock" without
    a directory is put into the test's own. preexec: called in the child before it becomes the program.
    """

    def __init__(self, config, args=(), env=None, wait=True, preexec=None, program=TPLB):
        if not isinstance(config, str):
            config = with_engine(config)
        directory = tempfile.mkdtemp(prefix="tplb-test-")
        text = config if isinstance(config, str) else config_text(config)
        text = text.replace('"unix:web.sock"', '"unix:%s/web.sock"' % directory).replace("@DIR@", directory)
        self.path = os.path.join(directory, "tplb.conf")
        with open(self.path, "w") as f:
            f.write(text)
        super().__init__([program, "-f", self.path, *args], env, directory, preexec)
        self._own_directory = True
        self.addresses = {}
        if wait:
            try:
                self.wait_listening(len(config["listeners"]) if not isinstance(config, str) else 1)
            except BaseException:
                self.kill()
                raise

    def wait_listening(self, count):
        self.wait_line(LISTENING, count)
        with self.changed:
            for line in self.lines:
                m = LISTENING.search(line)
                if m:
                    self.addresses[m.group(2)] = m.group(1)

    def counters(self):
        """As it said them at its end: those that are not 0."""
        return {m.group(1): int(m.group(2)) for m in map(COUNTER.search, self.lines) if m}

    def stop(self, number=signal.SIGTERM):
        ends_now = self.pid in running
        super().stop(number)
        if ends_now:
            check_sums(self.counters(), self.stderr)

    @property
    def address(self):
        """The only (or first) listener's."""
        return next(iter(self.addresses.values()))


class Origin(Process):
    def __init__(self, *args):
        if ENGINE != "pool" and "-e" not in args and "--engine" not in args:
            args = ("-e", "async", "-d", ENGINE, *args)
        super().__init__([ORIGIN, "-l", "127.0.0.1:0", *args])
        try:
            self.address = self.wait_line(r"listening on (\S+)").group(1)
        except BaseException:
            self.kill()
            raise


def run(args, env=None, preexec=None):
    """Runs tplb to its own end: (status, standard output, standard error). preexec: as for Tplb."""
    if not os.access(TPLB, os.X_OK):
        raise AssertionError("%s is not there: set TPLB or run where it was built" % TPLB)
    try:
        done = subprocess.run(
            [TPLB, *args],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=BOUND * 2,
            env=environment(env),
            preexec_fn=preexec,
        )
    except subprocess.TimeoutExpired as e:
        raise Late("tplb %s did not end: %s" % (" ".join(args), e.stderr)) from None
    stderr = done.stderr.decode("utf-8", "replace")
    if REPORT.search(stderr):
        raise AssertionError("a report on standard error:\n" + stderr)
    return done.returncode, done.stdout.decode("utf-8", "replace"), stderr
