"""A name server (RFC 1035) on the loopback, over UDP and TCP, whose records a test changes while it runs."""

import socket
import struct
import threading

from support.raw import BOUND, Late

A, CNAME, AAAA, SRV = 1, 5, 28, 33
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3
UDP_MAX = 512


def encode_name(name):
    labels = name.rstrip(".").split(".") if name.strip(".") else []
    return b"".join(struct.pack("B", len(label)) + label.encode() for label in labels) + b"\0"


def encode_data(kind, value):
    """value: "127.0.0.1", "::1", (priority, weight, port, target), or an alias's other name."""
    if kind == A:
        return socket.inet_aton(value)
    if kind == AAAA:
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == CNAME:
        return encode_name(value)
    return struct.pack(">HHH", *value[:3]) + encode_name(value[3])


def read_question(query):
    """(name in lower case, type, the question's bytes)"""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels).lower(), struct.unpack(">H", query[at + 1 : at + 3])[0], query[12 : at + 5]


class NameServer:
    """
    set() says what a name has, from the next query on. Names that were never set do not exist. failing: answers SERVFAIL to all;
    silent: answers nothing; silent_about: nothing about this name. rotating: the records of each answer begin with another one.
    """

    def __init__(self, host="127.0.0.1"):
        self.changed = threading.Condition()
        self.queries = []  # (name, type)
        self.failing = self.silent = self.rotating = False
        self.silent_about = None
        self._records = {}
        self._stopping = False
        self._bind(host)
        self.address = ("[%s]:%d" if ":" in host else "%s:%d") % (host, self._udp.getsockname()[1])
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    def _bind(self, host):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        while True:  # until a port is free for both
            self._udp = socket.socket(family, socket.SOCK_DGRAM)
            self._tcp = socket.socket(family, socket.SOCK_STREAM)
            self._udp.bind((host, 0))
            try:
                self._tcp.bind(self._udp.getsockname()[:2])
                break
            except OSError:
                self._udp.close()
                self._tcp.close()
        self._tcp.listen()

    def set(self, name, kind, *values):
        with self.changed:
            self._records[(name, kind)] = list(values)

    def _answer(self, query, limit):
        name, kind, question = read_question(query)
        with self.changed:
            turn = len(self.queries)
            self.queries.append((name, kind))
            self.changed.notify_all()
            if self.silent or self.silent_about == name:
                return None
            known = any(n == name for n, _ in self._records)
            found = [(kind, v) for v in self._records.get((name, kind), [])]
            if not found:
                for alias in self._records.get((name, CNAME), []):
                    found = [(CNAME, alias)] + [(kind, v) for v in self._records.get((alias, kind), [])]
            if self.rotating and found:
                turn %= len(found)
                found = found[turn:] + found[:turn]
            code = SERVER_FAILURE if self.failing else NO_ERROR if known else NO_SUCH_NAME
        rows = b""
        for what, value in found if code == NO_ERROR else []:
            data = encode_data(what, value)
            rows += b"\xc0\x0c" + struct.pack(">HHIH", what, 1, 0, len(data)) + data
        count, flags = len(found) if rows else 0, 0x8180 | code
        if 12 + len(question) + len(rows) > limit:
            count, flags, rows = 0, flags | 0x0200, b""  # truncated: ask again over TCP
        return query[:2] + struct.pack(">HHHHH", flags, 1, count, 0, 0) + question + rows

    def _serve_udp(self):
        while True:
            try:
                query, client = self._udp.recvfrom(4096)
            except OSError:
                return
            if self._stopping:
                return
            answer = self._answer(query, UDP_MAX)
            if answer:
                self._udp.sendto(answer, client)

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                size = stream.read(2)
                while len(size) == 2:
                    answer = self._answer(stream.read(struct.unpack(">H", size)[0]), 65535)
                    if answer:
                        stream.write(struct.pack(">H", len(answer)) + answer)
                        stream.flush()
                    size = stream.read(2)

    def count(self, name, kind):
        return self.queries.count((name, kind))

    def wait_queries(self, name, kind, more=1):
        """Until so many more queries have come than there were when it was called."""
        with self.changed:
            wanted = self.count(name, kind) + more
            if not self.changed.wait_for(lambda: self.count(name, kind) >= wanted, BOUND):
                raise Late("waited in vain for a query for %s; seen: %r" % (name, self.queries[-20:]))

    def stop(self):
        """From now on nobody answers on this address: queries are refused."""
        if self._stopping:
            return
        self._stopping = True
        with socket.socket(self._udp.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._udp.getsockname())
        self._tcp.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(BOUND)
        self._udp.close()
        self._tcp.close()
