"""Greedy clients: each gets what there is for one, holds no worker, and the others are served meanwhile."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import socket
import threading
import time

from support.case import WireCase, main
from support.raw import BOUND, Client, SlowReader, wait_until
from support.server import DATE, OK, by_target

GET = b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
SIZE = 10 * 1024 * 1024
BIG = b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: %d\r\n\r\n" % SIZE + b"x" * SIZE
# No waiting in the queue ends by itself soon: a request that no worker takes shows as one without an answer.
PATIENT = {"queue": {"timeout": "60s"}, "timeouts": {"client": "10m", "server": "10m", "keepalive": "10m"}}


class Greedy(WireCase):
    def start(self, script=None, workers=2, loops=None, **options):
        self.origin = self.server(script)
        many = {"async": {"fibers": 64}}  # in the async engine a slow client has a fiber
        if loops:
            many["async"]["loops"] = loops
        self.tplb(self.origin, pool={"workers": workers}, **dict(PATIENT, **many, **options))

    def reader(self):
        client = SlowReader(self.balancer.address)
        self._clients.append(client)
        return client

    def serves(self, count=20):
        """Ordinary requests are answered, on a connection each and on one."""
        kept = self.client()
        for _ in range(count):
            self.assertEqual(kept.get(b"/ok").body, b"ok")
            fresh = Client(self.balancer.address)
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


class Chunks(Greedy):
    """Bodies that are mostly framing."""

    HEAD = b"POST /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

    def test_tiny(self):
        """A byte a chunk: it costs its bytes, once, and goes on whole."""
        count = 200000
        self.start()
        client = self.client()
        sender = threading.Thread(target=client.send, args=(self.HEAD + b"1\r\nx\r\n" * count + b"0\r\n\r\n",))
        sender.start()
        self.serves(5)
        self.assertEqual(client.whole_response().status, 200)
        sender.join()
        self.assertEqual(self.origin.wait_request(b"/up").body, b"x" * count)

    def test_extensions(self):
        """Large ones on tiny chunks: each line is within limits.header_size, all together are not."""
        self.start()
        client = self.client()
        client.try_send(self.HEAD + (b"1;" + b"a" * 8000 + b"\r\nx\r\n") * 1000)
        self.assertEqual(client.response().status, 400)
        self.origin.wait(lambda: all(c.finished for c in self.origin.connections))
        self.assertEqual(self.origin.requests, [])
        client = self.client()  # small ones, and large ones on large chunks, pass
        chunk = b"10000;" + b"a" * 8000 + b"\r\n" + b"x" * 65536 + b"\r\n"
        client.send(self.HEAD + b"1;a=b\r\nx\r\n" * 5000 + chunk * 20 + b"0;last\r\n\r\n")
        self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(len(self.origin.wait_request(b"/up").body), 5000 + 20 * 65536)

    def test_trailers(self):
        """They are bounded by limits.header_size, all together."""
        self.start()
        client = self.client()
        client.try_send(self.HEAD + b"1\r\nx\r\n0\r\n" + b"X-A: b\r\n" * 100000)
        self.assertEqual(client.response().status, 400)
        self.origin.wait(lambda: all(c.finished for c in self.origin.connections))
        self.assertEqual(self.origin.requests, [])


class Floods(Greedy):
    def test_heads(self):
        """A thousand fields, and heads without end: 431, and nothing goes on."""
        self.start()
        for fields in (b"X-A: b\r\n" * 1000, b"X-A: " + b"b" * 1000000):
            client = self.client()
            client.try_send(b"GET / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n")
            self.assertEqual(client.response().status, 431)
        client = self.client()
        client.try_send(b"GET /" + b"a" * 1000000 + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertEqual(client.response().status, 414)
        self.assertEqual(self.origin.requests, [])
        self.serves(5)

    def test_resets(self):
        """Clients that reset at once, within a head, within a body, and with their answer on the way: nothing of them stays."""
        self.start(upstream={"keepalive": 2})
        self.serves(5)
        before = self.balancer.descriptors()

        def churn():
            for data in (b"", b"GET / HT", POST % 100 + b"x", GET % b"/ok"):
                client = Client(self.balancer.address)
                client.try_send(data)
                client.reset()

        self.meanwhile(churn, lambda: self.serves(100))
        wait_until(lambda: self.balancer.descriptors() <= before + 8, "the descriptors' end")

    def test_beyond_the_limit(self):
        """
        More connections than limits.connections, again and again, none of which asks. A client that asks is served: never more than 50 have come
        since, so it is never the longest-parked of 100, which one loop has (of several each closes its own).
        """
        self.start(loops=1, limits={"connections": 100})
        held = []

        def open_more():
            for _ in range(50):
                held.append(Client(self.balancer.address))
                if len(held) > 300:
                    held.pop(0).close()

        for _ in range(20):
            opener = threading.Thread(target=open_more, daemon=True)
            opener.start()
            fresh = Client(self.balancer.address)
            self.assertEqual(fresh.get(b"/ok").body, b"ok")
            fresh.close()
            opener.join(BOUND)
        for client in held:
            client.close()
        self.finish()
        self.assertGreater(self.counter("connections_evicted"), 0)
        self.assertEqual(self.counter("refused_limit"), 0)


if __name__ == "__main__":
    main()
