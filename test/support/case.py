"""The base of the test cases, and how a test file is run."""

import faulthandler
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

from support import tplb as tplb_module
from support.raw import BOUND, Client
from support.server import Server
from support.tplb import CTL, ORIGIN, Tplb, one_listener, raise_descriptor_limit

CONTROLLED = {"socket": "@DIR@/ctl.sock"}  # the group `admin`, for show()
SKIPPED = 77  # automake's exit status for a test that was skipped


class WireCase(unittest.TestCase):
    """What is started through these methods is ended in the right order, clients first, and checked: tplb must exit with 0."""

    maxDiff = None

    def setUp(self):
        self._clients, self._servers, self._processes, self._files = [], [], [], []

    def tearDown(self):
        failures = []
        for client in self._clients:
            client.close()
        for server in self._servers:
            server.gate.set()
        for process in self._processes:
            self._try(failures, process.stop)
        for server in self._servers:
            self._try(failures, server.stop)
        for thing in self._files:
            thing.close()
        if failures:
            raise failures[0]

    @staticmethod
    def _try(failures, what):
        try:
            what()
        except Exception as e:
            failures.append(e)

    def client(self, address=None, **options):
        client = Client(address or self.balancer.address, **options)
        self._clients.append(client)
        return client

    def unseen(self, data, address=None):
        """A client all of whose bytes are there before tplb, which stands still meanwhile, can look: no time limit runs between connect and send."""
        self.balancer.tell(signal.SIGSTOP)
        try:
            os.waitpid(self.balancer.pid, os.WUNTRACED)  # it does stand still
            return self.client(address).send(data)
        finally:
            self.balancer.tell(signal.SIGCONT)

    def counted(self, name):
        """What `tplbctl show counters` says of one; needs `admin=CONTROLLED`."""
        return next((int(line.split()[1]) for line in self.show("counters") if line.split()[0] == name), 0)

    def rewrite(self, old, new):
        """The configuration's file, with `new` for `old`; nobody is told."""
        with open(self.balancer.path) as f:
            text = f.read()
        self.assertIn(old, text)
        with open(self.balancer.path + ".new", "w") as f:
            f.write(text.replace(old, new))
        os.replace(self.balancer.path + ".new", self.balancer.path)

    def taken_in(self, old, new):
        """The configuration with `new` for `old`, by a reload that has ended."""
        count = self.balancer.stderr.count("reload: done; ")
        self.rewrite(old, new)
        self.balancer.tell(signal.SIGHUP)
        self.balancer.wait_line("reload: done; ", count + 1)

    def server(self, script=None, **options):
        if options.get("address") == "unix":
            options["directory"] = self.directory()
        server = Server(script, **options)
        self._servers.append(server)
        return server

    def started(self, process):
        self._processes.append(process)
        return process

    def tplb(self, *servers, args=(), env=None, config=None, wait=True, preexec=None, **options):
        """Starts tplb in front of these servers (see one_listener); it is then also self.balancer."""
        self.balancer = self.started(Tplb(config or one_listener(servers, **options), args, env, wait, preexec))
        return self.balancer

    def show(self, what):
        """The lines that `tplbctl show` prints; needs `admin=CONTROLLED`."""
        path = os.path.join(self.balancer.directory, "ctl.sock")
        done = subprocess.run([CTL, "-s", path, "show", what], capture_output=True, check=True, timeout=2 * BOUND)
        return done.stdout.decode().splitlines()

    def counter(self, name):
        """One of counters()."""
        return self.counters().get(name, 0)

    def first_answered(self, clients):
        """Waits until one of them has something to read (or the end)."""
        for client in clients:
            if client.buf:
                return client
        ready, _, _ = select.select([c.sock for c in clients], [], [], BOUND)
        self.assertTrue(ready, "none was answered")
        return next(c for c in clients if c.sock in ready)

    def finish(self):
        """Ends tplb, and first the clients, for which a drain would wait a second. What it has logged is all there then."""
        for client in self._clients:
            client.close()
        self.balancer.stop()

    def directory(self):
        path = tempfile.mkdtemp(prefix="tplb-test-")
        self.addCleanup(shutil.rmtree, path, True)
        return path

    def counters(self):
        """Closes all clients and stops tplb; its counters, as it says them at its end: those that are not 0."""
        for client in self._clients:
            client.close()
        self.balancer.stop()
        return {m.group(1): int(m.group(2)) for m in re.finditer(r"(?m)(?<=\s)([a-z0-9_]+) (\d+)$", self.balancer.stderr)}

    def keep(self, thing):
        """Closes it at the end."""
        self._files.append(thing)
        return thing


def _watchdog(seconds):
    def bite():
        sys.stderr.write("the test hangs after %d s\n" % seconds)
        for process in list(tplb_module.running.values()):
            sys.stderr.write("standard error of %d:\n%s\n" % (process.pid, process.stderr[-10000:]))
        faulthandler.dump_traceback(all_threads=True)
        for process in list(tplb_module.running.values()):
            process.process.kill()
        os._exit(1)

    timer = threading.Timer(seconds, bite)
    timer.daemon = True
    timer.start()


def io_uring_works():
    """Whether the product can use it here: it was built for it, and the kernel allows it."""
    argv = [ORIGIN, "-e", "async", "-d", "io_uring", "-l", "127.0.0.1:0"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as origin:
        works = any("listening on" in line for line in origin.stderr)
        origin.terminate()
    return works


def engines_here():
    for engine in os.environ.get("TPLB_TEST_ENGINES", "pool epoll io_uring").split():
        if engine == "io_uring" and not io_uring_works():
            print("io_uring is not to be had here: skipped", flush=True)
        else:
            yield engine


def worst(statuses):
    failed = [s for s in statuses if s not in (0, SKIPPED)]
    return failed[0] if failed else min(statuses, default=SKIPPED)


def run_engine(engine, **options):
    return subprocess.Popen([sys.executable, *sys.argv], env=dict(os.environ, TPLB_TEST_ENGINE=engine), **options)


def run_for_each_engine():
    """The test file once for each engine and driver; the worst exit status."""
    statuses = []
    for engine in engines_here():
        print("=== engine: " + engine, flush=True)
        statuses.append(run_engine(engine).wait())
    return worst(statuses)


def run_for_all_engines_at_once():
    """The same for a file that mostly waits."""
    runs = [(engine, run_engine(engine, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)) for engine in engines_here()]
    statuses = []
    for engine, process in runs:
        print("=== engine: " + engine, flush=True)
        sys.stdout.buffer.write(process.communicate()[0])
        sys.stdout.flush()
        statuses.append(process.returncode)
    return worst(statuses)


def main(engines=True, at_once=False):
    """
    Runs the test file, for every engine unless it is about none of them; 77 when every test in it was skipped. at_once: it waits for most of
    its time and measures nothing, so the engines need not wait for each other.
    """
    if os.path.basename(sys.argv[0]) in os.environ.get("TPLB_TEST_SKIP", "").split():
        print("TPLB_TEST_SKIP leaves it out")
        sys.exit(77)
    if engines and "TPLB_TEST_ENGINE" not in os.environ:
        sys.exit(run_for_all_engines_at_once() if at_once else run_for_each_engine())
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's background command, whose children would ignore it as well
        signal.signal(signal.SIGINT, signal.default_int_handler)
    raise_descriptor_limit()
    _watchdog(float(os.environ.get("TPLB_TEST_HANG", "900")))
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.testsRun and len(result.skipped) >= result.testsRun else 0)
