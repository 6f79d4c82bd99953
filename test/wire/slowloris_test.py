"""
Many slow clients at once: those that send a head or a body byte by byte (slowloris, R.U.D.Y.), and those that read a large answer so. They hold no
worker, each costs bounded memory, each ends on time, and the others are served. TPLB_LONG=1 (`make check-long`): 2000 of them, and what they cost the
others of their throughput.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re
import socket
import statistics
import threading
import time
import unittest

from support import tools
from support.case import WireCase, main
from support.raw import BOUND, Client, parse, wait_until
from support.tplb import ENGINE, Origin, raise_descriptor_limit, sanitized, thread_sanitized

LONG = os.environ.get("TPLB_LONG") == "1"
COUNT = 50 if thread_sanitized() else 2000 if LONG else 500
FEWER = COUNT if LONG else min(COUNT, 200)
SIZE = 10 * 1024 * 1024
HEAD = b"GET / HTTP/1.1\r\nHost: h\r\nX-A: "
UPLOAD = b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"
GREETING = b"Ini Adalah web Server percobaan"
KIB = 1024


def resident(process):
    """Bytes of memory that are in use."""
    with open("/proc/%d/statm" % process.pid) as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def pipe_ends(process):
    folder = "/proc/%d/fd" % process.pid
    found = 0
    for name in os.listdir(folder):
        try:
            found += os.readlink(os.path.join(folder, name)).startswith("pipe:")
        except FileNotFoundError:
            pass  # closed meanwhile
    return found


class Crowd:
    """
    Slow clients in one thread. Each sends its head, then `drip` (may be empty) every `every` seconds, and reads at most `sip` bytes then; with `again`, one that is
    ended comes back at once.
    """

    def __init__(self, address, count, head, drip=b"", sip=65536, every=1.0, again=False):
        self.where = parse(address)
        self.head, self.drip, self.sip, self.every, self.again = head, drip, sip, every, again
        self.over = threading.Event()
        self.ended = []  # (seconds that it lived, what came before the end)
        self.read = 0
        self.failures = []
        self.live = [self.open() for _ in range(count)]
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def open(self):
        sock = socket.socket(self.where[0])
        # As on a slow net: little fits on the way.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        if self.where[0] == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        sock.settimeout(BOUND)
        sock.connect(self.where[1])
        began = time.monotonic()
        sock.sendall(self.head)
        sock.setblocking(False)
        return [sock, began, b""]

    def step(self, client):
        """False when it was ended."""
        sock = client[0]
        if not self.drip and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return False  # a reset; what came before might still be read, slowly
        try:
            data = sock.recv(self.sip)
            self.read += len(data)
            client[2] = (client[2] + data)[:200]
            if not data:
                return False
        except BlockingIOError:
            pass
        except OSError:
            return False
        try:
            if self.drip:
                sock.send(self.drip)
        except BlockingIOError:
            pass
        except OSError:  # what came before is still there to be read
            pass
        return True

    def run(self):
        """Spread over the time, so that no moment has them all."""
        try:
            slices = 20
            at = 0
            while not self.over.wait(self.every / slices):
                at = (at + 1) % slices
                for client in [c for i, c in enumerate(self.live) if i % slices == at]:
                    if self.step(client):
                        continue
                    client[0].close()
                    self.ended.append((time.monotonic() - client[1], client[2]))
                    self.live.remove(client)
                    if self.again:
                        self.live.append(self.open())
        except Exception as e:
            self.failures.append(repr(e))

    def stop(self):
        self.over.set()
        self.thread.join()
        for sock, _, _ in self.live:
            sock.close()
        if self.failures:
            raise AssertionError(self.failures[0])


class Slow(WireCase):
    def big_origin(self):
        root = self.directory()
        with open(os.path.join(root, "big"), "wb") as f:
            f.truncate(SIZE)
        return self.started(Origin("-r", root, "-e", "async", "-q", "4096"))

    def start(self, server=None, **options):
        if raise_descriptor_limit() < 4 * COUNT:
            self.skipTest("the limit of descriptors is too low (ulimit -Hn)")
        origin = server or self.big_origin()
        self.greeting = b"ok" if server else GREETING
        # In the async engine a request has a fiber; a slow head has none.
        options.setdefault("async", {"fibers": 64 if thread_sanitized() else 2 * COUNT, "loops": 2})
        self.tplb(origin, pool={"workers": 4}, queue={"size": 4096}, log={"access": "off"}, **options)
        self._processes.reverse()  # the origin last
        self.serves(5)

    def crowd(self, *args, **options):
        crowd = Crowd(self.balancer.address, *args, **options)
        self.addCleanup(crowd.stop)
        return crowd

    def serves(self, count=50):
        """Ordinary requests are answered, on one connection and on a connection each; the seconds that the slowest took."""
        slowest = 0
        kept = Client(self.balancer.address, bound=10)
        for _ in range(count):
            for fresh in (False, True):
                client = Client(self.balancer.address, bound=10) if fresh else kept
                began = time.monotonic()
                self.assertEqual(client.get().body, self.greeting)
                slowest = max(slowest, time.monotonic() - began)
                if fresh:
                    client.close()
        kept.close()
        return slowest

    def bounded(self, before, each, count):
        """What they cost of memory, in the process."""
        grown = resident(self.balancer) - before
        if not sanitized():
            self.assertLess(grown, count * each + 4 * KIB * KIB)
        return grown

    def no_worker_held(self):
        """As tplb tells: nothing waits, though there are four workers or two loops."""
        self.assertLess(self.serves(), 5)


class Heads(Slow):
    def test_slowloris(self):
        """Each gets its 408 when the time for its head is over, whatever it sends meanwhile."""
        self.start(timeouts={"request_header": "5s"})  # the others have as long for their heads
        before = resident(self.balancer)
        crowd = self.crowd(COUNT, HEAD, b"b", every=0.25)
        slowest = self.serves()
        grown = self.bounded(before, 24 * KIB, COUNT)  # a record and a buffer of limits.header_size
        wait_until(lambda: not crowd.live or crowd.failures, "the end of all")
        crowd.stop()
        self.assertEqual(len(crowd.ended), COUNT)
        for lived, came in crowd.ended:
            self.assertTrue(came.startswith(b"HTTP/1.1 408 "), came)
            self.assertGreater(lived, 4.9)
            self.assertLess(lived, BOUND / 2)
        print("%s: %d slow heads: %d KiB each, the slowest of the others took %d ms" % (ENGINE, COUNT, grown // COUNT // KIB, 1000 * slowest))
        self.serves(5)
        self.assertEqual(self.counter("refused_header_timeout"), COUNT)

    def test_silent(self):
        """Clients that open and send nothing cost a record, and those that come with a FIN or a reset at once not even that for long."""
        self.start(timeouts={"request_header": "5s"})
        before = resident(self.balancer)
        crowd = self.crowd(FEWER, b"", every=0.25)
        for n in range(FEWER):
            client = Client(self.balancer.address)
            client.reset() if n % 2 else client.close()
        self.serves()
        self.bounded(before, 2 * KIB, FEWER)
        wait_until(lambda: not crowd.live or crowd.failures, "the end of all")
        crowd.stop()
        self.assertEqual([came for _, came in crowd.ended if came], [])
        self.serves(5)


class Bodies(Slow):
    def test_uploads(self):
        """A body byte by byte: each ends at min_body_rate, and no worker waits for it."""
        count = min(FEWER, 500)
        self.start(self.server(), limits={"min_body_rate": "500", "rate_grace": "1s"})
        before = resident(self.balancer)
        crowd = self.crowd(count, UPLOAD, b"b", every=0.25)
        self.no_worker_held()
        grown = self.bounded(before, 256 * KIB, count)
        wait_until(lambda: not crowd.live or crowd.failures, "the end of all")
        crowd.stop()
        self.assertEqual(len(crowd.ended), count)
        for _, came in crowd.ended:
            self.assertTrue(came.startswith(b"HTTP/1.1 408 "), came)
        print("%s: %d slow bodies: %d KiB each" % (ENGINE, count, grown // count // KIB))
        self.assertEqual(self.counter("client_slow"), count)


class Readers(Slow):
    def test_readers(self):
        """A kilobyte a second of ten megabytes."""
        count = min(COUNT, 500)
        self.start(limits={"min_answer_rate": "16k", "rate_grace": "1500ms"})
        before = resident(self.balancer)
        crowd = self.crowd(count, b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n", sip=256, every=0.25)
        # Those that came so late to their reading that they were cut before have begun as well.
        wait_until(lambda: crowd.read + 256 * len(crowd.ended) > count * 200 or crowd.failures, "the answers' beginning")
        self.no_worker_held()
        grown = self.bounded(before, 256 * KIB, count)
        self.assertLessEqual(pipe_ends(self.balancer), 2 * 512 + 16)
        wait_until(lambda: not crowd.live or crowd.failures, "the end of all")
        crowd.stop()
        self.assertLess(crowd.read, count * SIZE / 10)
        self.assertGreater(min(lived for lived, _ in crowd.ended), 1.45)  # the grace, by a clock that has ticks
        print("%s: %d slow readers: %d KiB each" % (ENGINE, count, grown // count // KIB))
        self.serves(5)
        self.assertEqual(self.counter("client_slow"), count)


@unittest.skipUnless(LONG and tools.find("wrk"), "a measurement: make check-long")
class Cost(Slow):
    def rate(self, seconds=2):
        out = tools.run("wrk", "-t", "2", "-c", "50", "-d", "%ds" % seconds, "http://%s/" % self.balancer.address).decode()
        self.assertNotIn("Non-2xx", out)
        return float(re.search(r"Requests/sec:\s*([\d.]+)", out).group(1))

    def cpu(self):
        """Seconds that tplb has used."""
        with open("/proc/%d/stat" % self.balancer.pid) as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_slowloris(self):
        """
        2000 that send a byte a second and come back when they are ended: what tplb spends on them alone, which other programs do not disturb; and what the
        others lose by them, interleaved, medians.
        """
        self.start()
        crowd = self.crowd(COUNT, HEAD, b"b", every=1.0, again=True)
        before, began = self.cpu(), time.monotonic()
        time.sleep(12)  # as long as a head may take, and then some: they come back as well
        spent = (self.cpu() - before) / (time.monotonic() - began) / os.cpu_count()
        crowd.stop()
        without, beside = [], []
        self.rate(1)
        for _ in range(9):
            without.append(self.rate())
            crowd = Crowd(self.balancer.address, COUNT, HEAD, b"b", every=1.0, again=True)
            beside.append(self.rate())
            crowd.stop()
        ratios = [b / w for b, w in zip(beside, without)]
        kept = statistics.median(ratios)
        print(
            "%s: %d slow heads take %.1f %% of the machine; %.1f %% of the throughput is left (medians: %.0f of %.0f requests a second; ratios %s)"
            % (
                ENGINE, COUNT, 100 * spent, 100 * kept, statistics.median(beside), statistics.median(without),
                " ".join("%.2f" % r for r in ratios),
            )
        )
        self.assertLess(spent, 0.05)
        if max(without) < 1.3 * min(without):  # else the machine has other things to do, and the ratios tell of those
            self.assertGreater(kept, 0.9)  # the crowd's own thread takes its share


if __name__ == "__main__":
    main()
