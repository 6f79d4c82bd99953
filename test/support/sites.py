"""
tplb among the programs that operators run beside it, with the samples of etc/samples word for word: they run on a made-up network (see lan)
that has the addresses which the samples name. What a test must put differently (paths of files) it replaces, and there it must be.
"""

import collections
import os
import signal
import sys
import threading
import time

from support import case, lan, tools
from support.raw import Client, Late, wait_until
from support.tplb import ENGINE, Process, Tplb

# nginx's own part around a sample; %(more)s: what else is in its http part.
NGINX = tools.NGINX.replace("master_process off;", "worker_processes 2;") + """
%(user)s
http {""" + tools.NGINX_HTTP.replace("access_log off;", "access_log %(dir)s/access.log;") + """
    %(more)s
    include %(dir)s/sample.conf;
}
"""
# Where samples have their files.
CERTIFICATE, KEY, DOCUMENTS = "/etc/ssl/certs/ssl-cert-snakeoil.pem", "/etc/ssl/private/ssl-cert-snakeoil.key", "/var/www/html"

LONG = os.environ.get("TPLB_LONG") == "1"
SAMPLES = os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)), "etc", "samples")


def sample(name, replace=()):
    """The text of a sample; replace: pairs of what stands in it, and what is to stand there here."""
    with open(os.path.join(SAMPLES, name)) as f:
        text = f.read()
    for old, new in replace:
        if old not in text:
            raise AssertionError("%s no longer says %r" % (name, old))
        text = text.replace(old, new)
    return text


def descendants(pid):
    found = []
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task)) as f:
                children = [int(child) for child in f.read().split()]
            found += [p for child in children for p in [child, *descendants(child)]]
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has just ended
    return found


class Daemon(Process):
    """A program of others with children of its own, in a host of the network."""

    def __init__(self, host, argv, directory=None):
        super().__init__([tools.find(argv[0]), *argv[1:]], directory=directory, preexec=host.enter)

    def alive(self):
        return self.process.poll() is None

    def stop(self, number=signal.SIGTERM):
        if self.alive():
            self.tell(number)
        self.wait()
        self.kill()

    def kill(self):
        """As a power cut does: itself and all its children."""
        pids = descendants(self.pid) if self.alive() else []
        if self.alive():
            self.process.kill()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        super().kill()


Event = collections.namedtuple("Event", "at client kind status what")  # status 0: no answer, and `what` says why


class Load:
    """
    Clients that ask and ask, each on a connection of its own that it keeps, and opens anew after a failure. kinds: by its method a request, a
    function of a number that comes once. patience: seconds that a client waits for a connection or an answer before it fails;
    it may be changed, for what is begun afterwards. pause: seconds between an answer and the next request, not to keep the machine busy.
    """

    def __init__(self, address, clients, kinds, patience, pause=0):
        self.address, self.kinds, self.patience, self.pause = address, kinds, patience, pause
        self.over = threading.Event()
        self.changed = threading.Condition()
        self.events = []
        self.number = 0
        self.threads = [threading.Thread(target=self._run, args=(i, list(kinds)[i % len(kinds)]), daemon=True) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def _next(self):
        with self.changed:
            self.number += 1
            return self.number

    def _tell(self, *what):
        with self.changed:
            self.events.append(Event(time.monotonic(), *what))
            self.changed.notify_all()

    def _run(self, i, kind):
        client = None
        while not self.over.is_set():
            number = self._next()
            try:
                client = client or Client(self.address, bound=self.patience)
                client.bound = self.patience
                client.send(self.kinds[kind](number))
                got = client.whole_response(kind.encode())
                self._tell(i, kind, got.status, number if got.status < 400 else got.body)
                if self.pause:
                    self.over.wait(self.pause)
                if not got.has_token("Connection", b"close"):
                    continue
            except (OSError, AssertionError, Late) as e:
                self._tell(i, kind, 0, "request %d: %r" % (number, e))
                self.over.wait(0.01)
            if client:
                client.close()
            client = None
        if client:
            client.close()

    def count(self):
        with self.changed:
            return len(self.events)

    def wait_more(self, count):
        """Until so many more answers have come."""
        with self.changed:
            good = lambda: sum(200 <= e.status < 400 for e in self.events)
            wanted = good() + count
            if not self.changed.wait_for(lambda: good() >= wanted, case.BOUND):
                raise Late("%d answers of %d; last: %r" % (good(), wanted, self.events[-3:]))

    def wait_everyone(self):
        """Until each client has had an answer from now on: what it may have begun before is over."""
        with self.changed:
            begun = len(self.events)
            answered = lambda: {e.client for e in self.events[begun:] if 200 <= e.status < 400}
            if not self.changed.wait_for(lambda: len(answered()) == len(self.threads), case.BOUND):
                raise Late("answers for %r of %d clients; last: %r" % (answered(), len(self.threads), self.events[-3:]))

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def failures(self, kind=None):
        with self.changed:
            return [e for e in self.events if not 200 <= e.status < 400 and kind in (None, e.kind)]

    def longest_gap(self, since, until=None):
        """The longest time in which nobody had an answer."""
        with self.changed:
            good = [e.at for e in self.events if 200 <= e.status < 400]
        times = [since] + [t for t in good if t >= since and (until is None or t <= until)]
        return max((b - a for a, b in zip(times, times[1:])), default=float("inf"))


class SiteCase(case.WireCase):
    """hosts are made once for all tests of a class; see lan."""

    HOSTS = {}  # by name its addresses; "client" is the test itself
    hosts = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hosts = {name: lan.Host(*addresses) for name, addresses in cls.HOSTS.items() if name != "client"}
        lan.join(*cls.HOSTS["client"])

    @classmethod
    def tearDownClass(cls):
        for host in cls.hosts.values():
            host.close()
        super().tearDownClass()

    def daemon(self, host, argv, **options):
        """Starts it; it is ended last, as a server of tplb's."""
        daemon = Daemon(self.hosts[host], argv, **options)
        self.addCleanup(daemon.kill)
        return daemon

    def tplb_at(self, host, text, admin=None):
        """tplb on a host, on the engine under test where the text leaves that open; `admin`: the path of its socket."""
        if ENGINE != "pool" and "engine" not in text:
            text += '\nengine = "async";\nasync: { driver = "%s"; };\n' % ENGINE
        if admin:
            text += '\nadmin: { socket = "%s"; };\n' % admin
        self.balancer = self.started(Tplb(text, preexec=self.hosts[host].enter))
        return self.balancer

    def nginx_at(self, host, directory, text, more=""):
        """nginx on a host, with this sample; its access log is DIRECTORY/access.log."""
        self.write(directory, "sample.conf", text)
        user = "user root;" if os.geteuid() == 0 else ""  # the directory is ours alone
        path = self.write(directory, "nginx.conf", NGINX % {"dir": directory, "user": user, "more": more})
        return self.daemon(host, ["nginx", "-p", directory, "-c", path])

    def write(self, directory, name, text):
        path = os.path.join(directory, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def certificate(self, directory, *names):
        """A key, and a certificate for these names that is its own authority: their paths."""
        key, cert = os.path.join(directory, "key.pem"), os.path.join(directory, "cert.pem")
        alternatives = ",".join("DNS:" + name for name in names)
        tools.run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=" + names[0], "-addext", "subjectAltName=" + alternatives, "-keyout", key, "-out", cert,
        )
        return key, cert

    def wait_port(self, address, daemon):
        def listens():
            if not daemon.alive():
                raise AssertionError("it ended: " + daemon.stderr)
            try:
                Client(address, bound=1).close()
                return True
            except OSError:
                return False

        wait_until(listens, lambda: "%s listens\n%s" % (address, daemon.stderr))


def main():
    """As case.main: on one engine, in the long form on all. Without a network of its own the file is skipped."""
    if not LONG or "TPLB_TEST_ENGINE" in os.environ:
        why = lan.why_none()
        if why:
            print("skipped: " + why)
            sys.exit(case.SKIPPED)
    case.main(engines=LONG)
