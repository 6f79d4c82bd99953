"""The configurations of the other balancers: each that is installed is run in front of four small servers, kept alive and not."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, os.pardir), os.path.join(HERE, os.pardir, os.pardir, "src", "bench")]

import http.client
import http.server
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from support.case import main
from support.raw import BOUND, wait_until
from tplb_bench.peers import PEERS

BODY = b"It is me"
REQUESTS = 300
END = 5  # seconds that a peer may take to end, with all its children


class Origin(http.server.ThreadingHTTPServer):
    """Counts its connections and requests, and those that said they are the last of their connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.lock = threading.Lock()
        self.connections = self.requests = self.last = 0
        self.open = set()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.server_port

    def stop(self):
        self.shutdown()
        self.server_close()
        with self.lock:
            for connection in self.open:
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        pass  # a peer that ended


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        with self.server.lock:
            self.server.connections += 1
            self.server.open.add(self.connection)

    def finish(self):
        with self.server.lock:
            self.server.open.discard(self.connection)
        super().finish()

    def do_GET(self):
        with self.server.lock:
            self.server.requests += 1
            self.server.last += self.close_connection
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s"
                         % (len(BODY), b"Connection: close\r\n" if self.close_connection else b"", BODY))

    def log_message(self, *args):
        pass


def free_port():
    """Below those that outgoing connections get, so that none of them takes it before the peer does."""
    for port in range(20000 + os.getpid() % 5000, 32000):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise AssertionError("no free port")


def listens(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def status(pid):
    """(state, parent, session) of a process, None when there is none."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return fields[0], int(fields[1]), int(fields[3])
    except OSError:
        return None


def alive(pids):
    return {pid for pid in pids if (status(pid) or "Z")[0] != "Z"}


def family(leader):
    """Of those alive: the process, its descendants and whoever is of its session."""
    there = {pid: status(pid) for pid in alive(int(name) for name in os.listdir("/proc") if name.isdigit())}
    there = {pid: found for pid, found in there.items() if found}
    pids = {pid for pid, found in there.items() if leader in (pid, found[2])}
    while True:
        children = {pid for pid, found in there.items() if found[1] in pids} - pids
        if not children:
            return pids
        pids |= children


class PeerCase:
    """The tests of one peer; a subclass with a `peer` is made for each."""

    peer = None

    def setUp(self):
        why = self.peer.missing()
        if why:
            self.skipTest(why)
        self.folder = tempfile.mkdtemp(prefix="tplb-test-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.origins = [Origin() for _ in range(4)]
        for origin in self.origins:
            self.addCleanup(origin.stop)
        self.port = free_port()

    def start(self, keepalive):
        servers = [origin.address for origin in self.origins]
        argv = self.peer.command(self.folder, self.port, servers, keepalive, 2)
        self.log = os.path.join(self.folder, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                            start_new_session=True)
        self.addCleanup(self.kill)
        wait_until(lambda: self.process.poll() is not None or listens(self.port), self.peer.title)
        self.assertIsNone(self.process.poll(), self.said())

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def kill(self):
        for pid in family(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def end(self):
        """Tells it to end: nothing of it is left then, neither a process nor the port."""
        pids = family(self.process.pid)
        self.assertIn(self.process.pid, pids)
        self.process.terminate()
        self.process.wait(END)
        wait_until(lambda: not alive(pids) | family(self.process.pid), "the end of the children", END)
        self.assertFalse(listens(self.port))

    def get(self, connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.read()), (200, BODY), self.said())
        return answer

    def counts(self):
        connections, requests, last = (sum(getattr(origin, name) for origin in self.origins)
                                       for name in ("connections", "requests", "last"))
        for origin in self.origins:
            self.assertGreater(origin.requests, requests / 4 / 3, [origin.requests for origin in self.origins])
        return connections, requests, last

    def test_kept_alive(self):
        self.start(True)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=BOUND)
        connection.connect()
        sock = connection.sock
        for _ in range(REQUESTS):
            self.get(connection)
            self.assertIs(connection.sock, sock, "the connection was closed")
        connection.close()
        connections, requests, last = self.counts()
        self.assertEqual((requests, last), (REQUESTS, 0))
        if self.peer.keeps_servers():
            self.assertLess(connections, REQUESTS / 10)
        self.assertTrue(self.peer.note(True))
        self.end()

    def test_not_kept_alive(self):
        self.start(False)
        for _ in range(REQUESTS):
            with socket.create_connection(("127.0.0.1", self.port), BOUND) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                got = b""
                while True:  # to the end, which only the peer can make
                    more = sock.recv(65536)
                    if not more:
                        break
                    got += more
            head, _, body = got.partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 200 "), got)
            self.assertEqual(body, BODY)
        self.assertEqual(self.counts(), (REQUESTS, REQUESTS, REQUESTS))
        self.assertTrue(self.peer.note(False))
        self.end()

    def test_version(self):
        self.assertRegex(self.peer.version(), r"^\d+\.\d+")


for peer in PEERS:
    globals()[peer.title] = type(peer.title, (PeerCase, unittest.TestCase), {"peer": peer, "__module__": __name__})


if __name__ == "__main__":
    main(engines=False)
