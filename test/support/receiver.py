"""A datagram socket in a folder of its own, as syslog and the journal have one; it takes lines, or not."""

import os
import socket
import threading
import time

from support.raw import wait_until


class Receiver:
    """What came is in `got`, one datagram an entry. `hold`: nothing is taken before release()."""

    def __init__(self, path, hold=False):
        self.path = path
        self.got = []
        self._open = threading.Event()
        self._over = threading.Event()
        self._sock = None
        if not hold:
            self._open.set()
        self.start()

    def start(self):
        """Also after stop(): as a new program with a new socket."""
        if os.path.exists(self.path):
            os.unlink(self.path)
        self._over.clear()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(self.path)
        os.chmod(self.path, 0o666)
        self._sock.settimeout(0.05)
        self._thread = threading.Thread(target=self._take, args=(self._sock,), daemon=True)
        self._thread.start()

    def _take(self, sock):
        self._open.wait()
        while True:
            try:
                self.got.append(sock.recv(262144).decode())
            except socket.timeout:
                if self._over.is_set():
                    return

    def release(self):
        self._open.set()

    def stop(self):
        """What waits is taken first: it was sent, and nobody could tell otherwise."""
        self._over.set()
        self._open.set()
        self._thread.join()
        self._sock.close()

    def close(self):
        self.stop()

    def wait(self, predicate, what):
        """The first entry that does."""
        return wait_until(lambda: next((line for line in list(self.got) if predicate(line)), None), what)

    def wait_count(self, count, predicate=lambda line: True):
        return wait_until(
            lambda: (lambda found: found if len(found) >= count else None)([x for x in list(self.got) if predicate(x)]),
            "%d datagrams at %s" % (count, self.path),
        )


class Stopwatch:
    """The longest of what was timed."""

    def __init__(self):
        self.worst = 0.0

    def __enter__(self):
        self._began = time.monotonic()

    def __exit__(self, *_):
        self.worst = max(self.worst, time.monotonic() - self._began)
