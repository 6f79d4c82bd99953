"""Greedy clients: each gets what there is for one, holds no worker, and the others are served meanwhile."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import socket
import threading
import time

from support.case import WireCase, main
from support.raw import BOUND, Client, parse
from support.server import DATE, OK, by_target

GET = b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
SIZE = 10 * 1024 * 1024
BIG = b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: %d\r\n\r\n" % SIZE + b"x" * SIZE
# No waiting in the queue ends by itself soon: a request that no worker takes shows as one without an answer.
PATIENT = {"queue": {"timeout": "60s"}, "timeouts": {"client": "10m", "server": "10m", "keepalive": "10m"}}


class SmallReader(Client):
    """As one on a slow net: little fits on the way."""

    def __init__(self, address):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        sock.settimeout(BOUND)
        sock.connect(parse(address)[1])
        super(Client, self).__init__(sock)
        self.address = address


class Greedy(WireCase):
    def start(self, script=None, workers=2, **options):
        self.origin = self.server(script)
        many = {"async": {"fibers": 64}}  # in the async engine a slow client has a fiber
        self.tplb(self.origin, pool={"workers": workers}, **dict(PATIENT, **many, **options))

    def reader(self):
        client = SmallReader(self.balancer.address)
        self._clients.append(client)
        return client

    def serves(self, count=20):
        """Ordinary requests are answered, on a connection each and on one."""
        kept = self.client(bound=10)
        for _ in range(count):
            self.assertEqual(kept.get(b"/ok").body, b"ok")
            fresh = Client(self.balancer.address, bound=10)
            self.assertEqual(fresh.get(b"/ok").body, b"ok")
            fresh.close()
        kept.close()

    def meanwhile(self, action, what):
        """Calls action() again and again in a thread while what() runs."""
        stop = threading.Event()

        def run():
            while not stop.is_set():
                action()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            what()
        finally:
            stop.set()
            thread.join(BOUND)


class Drips(Greedy):
    """A few bytes every millisecond: never a stall that lasts, and never fast."""

    def test_bodies(self):
        self.start()
        clients = [self.client() for _ in range(6)]
        for client in clients:
            client.send(POST % 1000000)
        self.origin.wait(lambda: sum(len(c.requests) for c in self.origin.connections) >= len(clients), "the uploads")

        def drip():
            for client in clients:
                client.send(b"x")
            time.sleep(0.001)  # the pace of the clients is the subject

        self.meanwhile(drip, self.serves)

    def test_readers(self):
        def big(connection, request):
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            connection.send(BIG)

        self.start(by_target({b"/big": big}))
        clients = [self.reader() for _ in range(6)]
        for client in clients:
            client.send(GET % b"/big")
            client.read_until(b"\r\n\r\n")

        def sip():
            for client in clients:
                client.sock.recv(1400)
            time.sleep(0.001)  # the pace of the clients is the subject

        self.meanwhile(sip, self.serves)


class Pipelines(Greedy):
    def greedy(self, request, most=400000):
        """Three that send ever more and read nothing, until nothing more is taken of them."""
        clients = {self.reader(): 0 for _ in range(3)}  # and the bytes that each has sent
        last = time.monotonic()
        for client in clients:
            client.sock.setblocking(False)
        while min(clients.values()) < most * len(request) and time.monotonic() - last < 0.3:
            for client in clients:
                try:
                    at = clients[client] % len(request)
                    clients[client] += client.sock.send((request * 100)[at:])
                    last = time.monotonic()
                except BlockingIOError:
                    pass
            time.sleep(0.001)

    def test_answers_of_a_server(self):
        self.start()
        self.greedy(GET % b"/ok")
        self.serves()

    def test_answers_of_ours(self):
        """They are written by a worker, too."""
        self.start()
        self.greedy(b"OPTIONS * HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n")
        self.serves()

    def test_interim_answers(self):
        def expecting(connection):
            while True:
                head = connection.read_head()
                if head is None:
                    return
                if head.get("Expect"):
                    connection.send((b"HTTP/1.1 103 Early Hints\r\nX-A: %s\r\n\r\n" % (b"x" * 10000)) * 20)
                if not connection.read_body(head).complete:
                    return
                connection.send(OK)

        self.start(expecting)
        self.greedy(b"POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", 2000)
        self.serves()


if __name__ == "__main__":
    main()
