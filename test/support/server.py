"""Servers that do what a script says and record every byte they get."""

import os
import socket
import threading
import traceback

from support import message, raw
from support.raw import BOUND, Late, Stream


# A kept connection may be idle for as long as a test takes; stop() ends the wait.
IDLE = 1000 * BOUND


class Connection(Stream):
    """One accepted connection, served by a script in its own thread."""

    def __init__(self, server, sock, index):
        super().__init__(sock, IDLE)
        self.server = server
        self.index = index
        self.bytes = bytearray()  # all that ever came
        self.requests = []  # complete and incomplete, in order
        self.finished = False

    def seen(self, data):
        with self.server.changed:
            self.bytes += data
            self.server.changed.notify_all()

    def more(self):
        more = super().more()
        if not more:
            with self.server.changed:
                self.server.changed.notify_all()
        return more

    def read_head(self):
        """The head of the next request, None when the peer is gone. Only read_body makes it one that counts."""
        request = message.read_request_head(self)
        if request is not None:
            with self.server.changed:
                self.requests.append(request)
                self.server.changed.notify_all()
        return request

    def read_body(self, request):
        message.read_request_body(self, request)
        with self.server.changed:
            if request.complete:
                request.connection = self
                self.server.requests.append(request)
            self.server.changed.notify_all()
        return request

    def read_request(self):
        """The next request, whole; None when the peer is gone, be it within a request."""
        request = self.read_head()
        if request is None or not self.read_body(request).complete:
            return None
        return request

    def wait_gone(self):
        """Reads until the peer is gone."""
        while self.more():
            pass


class Server:
    """
    script(connection) runs in a thread for each connection, which is closed when it returns. OSErrors within a script
    mean that the peer left, which is the peer's right; any other exception fails the test in stop().
    """

    def __init__(self, script=None, address="127.0.0.1:0", backlog=1024, directory=None):
        self.script = script or each(OK)
        self.changed = threading.Condition()
        self.connections = []
        self.requests = []  # complete ones over all connections, in order of completion
        self.failures = []
        self.gate = threading.Event()  # for scripts that stall; stop() opens it
        self._threads = []
        self._stopping = False
        if address == "unix":
            address = "unix:" + os.path.join(directory, "server%x.sock" % id(self))
        self._backlog = backlog
        self._listen(address)

    def _listen(self, address):
        family, where = raw.parse(address)
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        if family != socket.AF_UNIX:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(where)
        self._listener.listen(self._backlog)
        self.is_listening = True
        self.address = address
        if family == socket.AF_INET:
            self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        elif family == socket.AF_INET6:
            self.address = "[::1]:%d" % self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self.changed:
                if self._stopping:
                    sock.close()
                    return
                connection = Connection(self, sock, len(self.connections))
                self.connections.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                self.changed.notify_all()
            thread.start()

    def _serve(self, connection):
        try:
            self.script(connection)
        except OSError:
            pass
        except Exception as e:
            if not (self._stopping and isinstance(e, Late)):
                self.failures.append("%s\n%s" % (traceback.format_exc(), bytes(connection.bytes[:2000])))
        finally:
            connection.close()
            with self.changed:
                connection.finished = True
                self.changed.notify_all()

    def wait(self, condition, what="the server to see it"):
        """Waits until condition() holds; it is asked again after everything that happens here."""
        with self.changed:
            if not self.changed.wait_for(lambda: condition() or self.failures, BOUND):
                raise Late("waited in vain for %s; seen: %r" % (what, [bytes(c.bytes[:500]) for c in self.connections]))
            if self.failures:
                raise AssertionError("server: " + self.failures[0])

    def wait_requests(self, n):
        self.wait(lambda: len(self.requests) >= n, "%d requests" % n)
        return self.requests[n - 1]

    def wait_request(self, target):
        """The first complete request for this target."""
        found = []

        def look():
            found[:] = [r for r in self.requests if r.target == target]
            return found

        self.wait(look, "a request for %r" % target)
        return found[0]

    def wait_connections(self, n):
        self.wait(lambda: len(self.connections) >= n, "%d connections" % n)
        return self.connections[n - 1]

    def forget_threads(self):
        """Those that have ended, of a server with very many connections."""
        with self.changed:
            self._threads = [t for t in self._threads if t.is_alive() or t.ident is None]

    def wait_finished(self, n):
        self.wait(lambda: sum(c.finished for c in self.connections) >= n, "the end of %d connections" % n)

    def all_bytes(self):
        with self.changed:
            return b"\n----\n".join(bytes(c.bytes) for c in self.connections)

    def stop_listening(self):
        """From now on connects are refused; open connections live on."""
        # shutdown wakes the acceptor, and only then is the socket freed
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._acceptor.join(BOUND)
        self._listener.close()
        self.is_listening = False

    def listen_again(self):
        """After stop_listening, at the same address."""
        self._listen(self.address)

    def stop(self, check=True):
        with self.changed:
            self._stopping = True
        self.gate.set()
        self.stop_listening()
        for connection in self.connections:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(BOUND)
        if check and self.failures:
            raise AssertionError("server: " + self.failures[0])


# Scripts.

DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
OK = b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 2\r\n\r\nok"


def answer(body=b"ok", fields=b"", status=b"200 OK"):
    return b"HTTP/1.1 %s\r\n%s%sContent-Length: %d\r\n\r\n%s" % (status, DATE, fields, len(body), body)


def each(*answers):
    """Answers the n-th request of every connection with the n-th of these, the last one for ever."""

    def script(connection):
        n = 0
        while connection.read_request():
            connection.send(answers[min(n, len(answers) - 1)])
            n += 1

    return script


def once(data):
    """Answers one request, then closes."""

    def script(connection):
        if connection.read_request():
            connection.send(data)

    return script


def by_target(answers, default=OK):
    """
    answers: a dict, which may change while the server runs, from a target to bytes, or to a function that gets the connection
    and the request (whole) and returns False to close.
    """

    def script(connection):
        while True:
            request = connection.read_request()
            if request is None:
                return
            what = answers.get(request.target, default)
            if callable(what):
                if what(connection, request) is False:
                    return
            else:
                connection.send(what)

    return script


def stalled(connection):
    """Reads a request and answers it only when the gate is opened."""
    while connection.read_request():
        connection.server.gate.wait(BOUND)
        connection.send(OK)


def silent_to_connects():
    """Sockets that hold a port that neither accepts nor refuses, because its backlog is full; (sockets, address)."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(sock.getsockname())
    return [sock] + fillers, "127.0.0.1:%d" % sock.getsockname()[1]


def unconnectable():
    """A socket that holds a port on which connects are refused, until a Server listens there; (socket, address)."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock, "127.0.0.1:%d" % sock.getsockname()[1]
