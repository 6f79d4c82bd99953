"""A client that sends exactly what it is told and keeps exactly what it gets."""

import errno
import os
import socket
import struct
import time

from support import message

# Every wait is for an event; this is only how long a test waits before it calls the event missing.
BOUND = float(os.environ.get("TPLB_TEST_BOUND", "30"))


class Late(AssertionError):
    """What was waited for did not come within BOUND."""


def parse(address):
    """"127.0.0.1:80", "[::1]:80" or "unix:/path" -> (family, socket address)"""
    if address.startswith("unix:"):
        return socket.AF_UNIX, address[5:]
    host, _, port = address.rpartition(":")
    if host.startswith("["):
        return socket.AF_INET6, (host[1:-1], int(port))
    return socket.AF_INET, (host, int(port))


def set_reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Stream:
    """A connected socket read with a buffer. `was_reset` after a reset, `at_end` after any end."""

    def __init__(self, sock, bound=BOUND):
        self.sock = sock
        self.bound = bound
        self.buf = bytearray()
        self.at_end = False
        self.was_reset = False
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def seen(self, data):
        """For those who record."""

    def more(self):
        """Waits for more bytes; False at the end of the stream, clean or not."""
        if self.at_end:
            return False
        self.sock.settimeout(self.bound)
        try:
            data = self.sock.recv(262144)
        except socket.timeout:
            raise Late("nothing came within %g s; so far: %r" % (self.bound, bytes(self.buf[:2000]))) from None
        except OSError as e:
            if e.errno not in (errno.ECONNRESET, errno.EPIPE):
                raise
            self.was_reset = True
            data = b""
        if not data:
            self.at_end = True
            return False
        self.buf += data
        self.seen(data)
        return True

    def take(self, n):
        data = bytes(self.buf[:n])
        del self.buf[:n]
        return data

    def read_exactly(self, n):
        while len(self.buf) < n:
            if not self.more():
                raise AssertionError("the stream ended after %r, %d bytes were expected" % (bytes(self.buf[:2000]), n))
        return self.take(n)

    def read_until(self, what):
        while what not in self.buf:
            if not self.more():
                raise AssertionError("the stream ended after %r, %r was expected" % (bytes(self.buf[:2000]), what))
        return self.take(self.buf.index(what) + len(what))

    def read_to_end(self):
        """All bytes up to the end of the stream; was_reset tells how it ended."""
        while self.more():
            pass
        return self.take(len(self.buf))

    def send(self, data):
        self.sock.settimeout(self.bound)
        try:
            self.sock.sendall(data)
        except socket.timeout:
            raise Late("not all of %d bytes were taken within %g s" % (len(data), self.bound)) from None
        return self

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        set_reset(self.sock)
        self.sock.close()

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass


class Client(Stream):
    """source: the address that it comes from. segment: the largest that it takes."""

    def __init__(self, address, bound=BOUND, receive_buffer=None, source=None, segment=None):
        family, where = parse(address)
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if segment:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
            if source:
                sock.bind((source, 0))
            sock.settimeout(bound)
            sock.connect(where)
        except BaseException:
            sock.close()
            raise
        super().__init__(sock, bound)
        self.address = address

    @property
    def port(self):
        return self.sock.getsockname()[1]

    def send_bytewise(self, data):
        """One segment a byte."""
        for i in range(len(data)):
            self.send(data[i : i + 1])
        return self

    def try_send(self, data):
        """Sends what the peer still takes; False when it closed in between."""
        try:
            self.send(data)
        except OSError:
            return False
        return True

    def response(self, method=b"GET"):
        """The next response, complete or not; a failure when there is none."""
        got = message.read_response(self, method)
        if got is None:
            raise AssertionError(
                "no response: the stream %s after %r" % ("was reset" if self.was_reset else "ended", bytes(self.buf))
            )
        return got

    def whole_response(self, method=b"GET"):
        got = self.response(method)
        if not got.complete:
            raise AssertionError("the response is cut short: %r" % got.raw[:2000])
        return got

    def get(self, target=b"/", host=b"h", extra=b""):
        """A GET and its answer."""
        self.send(b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + extra + b"\r\n")
        return self.whole_response()

    def expect_closed(self):
        """The peer closes cleanly and says no more."""
        rest = self.read_to_end()
        if rest:
            raise AssertionError("a close was expected, came %r" % rest[:2000])
        if self.was_reset:
            raise AssertionError("a clean close was expected, came a reset")

    def expect_gone(self):
        """The peer closes, cleanly or not, and says no more."""
        rest = self.read_to_end()
        if rest:
            raise AssertionError("a close was expected, came %r" % rest[:2000])


class SlowReader(Client):
    """As one on a slow net: little fits on the way, so that the kernel does not take the whole of an answer from tplb."""

    def __init__(self, address):
        super().__init__(address, receive_buffer=4096, segment=1400)


def wait_until(condition, what, bound=BOUND):
    """For what can only be asked, not waited for (a process's descriptors, a file's lines)."""
    end = time.monotonic() + bound
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Late("not within %g s: %s" % (bound, what() if callable(what) else what))
        time.sleep(0.01)
