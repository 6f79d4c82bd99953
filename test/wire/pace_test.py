"""limits.min_body_rate and min_answer_rate: who sends a body or takes an answer too slowly is ended, and nobody else."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from support import expect
from support.case import WireCase, main
from support.raw import BOUND, SlowReader
from support.server import DATE, OK, by_target

POST = b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%s\r\n"
CHUNKED = b"POST /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
SIZE = 10 * 1024 * 1024
BIG = b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: %d\r\n\r\n" % SIZE + b"x" * SIZE
BIG_CHUNKED = b"HTTP/1.1 200 OK\r\n" + DATE + b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n%s\r\n" % (b"x" * 65536) * 160 + b"0\r\n\r\n"


def small(connection, request):
    """What the kernel would hold of an answer is to be little."""
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    connection.send(BIG_CHUNKED if request.target == b"/chunked" else BIG)


def together(*actions):
    """Each in a thread of its own; the first that fails is raised."""
    with ThreadPoolExecutor(len(actions)) as pool:
        for done in [pool.submit(action) for action in actions]:
            done.result()


class Pace(WireCase):
    def start(self, script=None, options=None, **limits):
        self.origin = self.server(script)
        self.path = os.path.join(self.directory(), "access.log")
        self.tplb(self.origin, limits=limits, log={"access": self.path, "format": "timed"}, **(options or {}))

    def ends(self):
        """How all exchanges ended, once tplb has."""
        self.finish()
        with open(self.path, encoding="utf-8") as f:
            return re.findall(r'" (\d+) \d+ "-".* end=(\w+)$', f.read(), re.M)

    def drip(self, client, piece, every):
        """Sends pieces until it is answered or cut; the seconds that it took."""
        began = time.monotonic()
        client.sock.setblocking(False)
        while time.monotonic() - began < BOUND:
            try:
                client.sock.send(piece)
            except OSError:
                break
            time.sleep(every)  # the pace of a slow client is the subject
            try:
                client.sock.recv(1, socket.MSG_PEEK)
                break
            except BlockingIOError:
                pass
            except OSError:
                break
        return time.monotonic() - began


class Bodies(Pace):
    def test_too_slow(self):
        """408 and a close; the server has only a part, and the access log and a counter have a word of their own."""
        self.start(min_body_rate="1000", rate_grace="500ms")

        def slow(head, piece, every):
            client = self.client()
            client.send(head)
            took = self.drip(client, piece, every)
            got = client.response()
            expect.check_own_answer(got.raw, (408,), b"close")
            self.assertEqual(got.body, b"Request Timeout: the body came too slowly (client_slow)\n")
            self.assertGreater(took, 0.45)
            self.assertLess(took, 10)
            client.close()

        heads = (POST % (100000, b""), CHUNKED, b"POST /up HTTP/1.0\r\nContent-Length: 100000\r\n\r\n")
        pieces = (b"x", b"1\r\nx\r\n", b"x")
        # pool.patience is 50 ms: the one that stalls for longer is on a loop by then
        together(*(lambda h=h, p=p, e=e: slow(h, p, e) for h, p in zip(heads, pieces) for e in (0.01, 0.1)))
        self.origin.wait(lambda: all(c.finished for c in self.origin.connections))
        self.assertEqual(self.origin.requests, [])
        self.assertEqual(self.ends(), [("408", "client_slow")] * 6)
        self.assertEqual(self.counter("client_slow"), 6)

    def test_silent(self):
        """Nothing at all: after the grace, long before timeouts.client."""
        self.start(min_body_rate="1", rate_grace="300ms")
        client = self.client()
        client.send(POST % (10, b"") + b"12345")
        expect.check_own_answer(client.read_to_end(), (408,), b"close")

    def test_fast_enough(self):
        """Above the rate, in bursts with pauses within the grace, though it lasts for longer than the grace."""
        self.start(min_body_rate="20", rate_grace="3s")
        client = self.client()
        client.send(POST % (200, b""))
        for _ in range(5):
            time.sleep(0.7)
            client.send(b"x" * 40)
        self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(self.ends(), [("200", "ok")])

    def test_off(self):
        """By default any rate will do."""
        self.start(rate_grace="100ms")
        client = self.client()
        client.send(POST % (3, b""))
        for _ in range(3):
            time.sleep(0.15)
            client.send(b"x")
        self.assertEqual(client.whole_response().status, 200)

    def test_slow_server(self):
        """A server that does not read is not the client's fault."""

        def lazy(connection):
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131072)
            connection.server.gate.wait(BOUND)
            if connection.read_request():
                connection.send(OK)

        self.start(lazy, min_body_rate="1m", rate_grace="2s")
        client = self.client()
        sender = threading.Thread(target=client.send, args=(POST % (SIZE, b"") + b"x" * SIZE,))
        sender.start()
        time.sleep(2.5)  # more than the grace
        self.origin.gate.set()
        self.assertEqual(client.whole_response().status, 200)
        sender.join()

    def test_expect(self):
        """Who waits for a 100 that the server takes its time with is not slow; who has it, or does not wait for it, is."""

        def late(connection):
            head = connection.read_head()
            time.sleep(3.3)
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if connection.read_body(head).complete:  # and closes: nobody is to take this connection for another POST
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

        self.start(late, min_body_rate="1000", rate_grace="3s")
        client, told, early = self.client(), self.client(), self.client()
        client.send(POST % (5, b"Expect: 100-continue\r\n"))
        told.send(POST % (5, b"Expect: 100-continue\r\n"))
        early.send(POST % (5, b"Expect: 100-continue\r\n") + b"he")
        self.assertEqual(client.response().status, 100)
        client.send(b"hello")
        self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(told.response().status, 100)
        expect.check_own_answer(early.response().raw, (408,), b"close")
        expect.check_own_answer(told.response().raw, (408,), b"close")
        self.finish()
        self.assertEqual(self.counter("client_slow"), 2)


class Answers(Pace):
    def read_slowly(self, client, piece, every, seconds):
        """Until it is cut; the bytes that came, None when it was not within `seconds`."""
        end = time.monotonic() + seconds
        came = 0
        try:
            while time.monotonic() < end:
                data = client.sock.recv(piece)
                if not data:
                    return came
                came += len(data)
                time.sleep(every)
        except ConnectionError:
            return came
        return None

    def test_too_slow(self):
        """Cut with a reset, so that it looks cut; and nothing is kept to the server."""
        self.start(by_target({b"/big": small, b"/chunked": small}), min_answer_rate="1m", rate_grace="500ms")

        def slow(target):
            client = SlowReader(self.balancer.address)
            self._clients.append(client)
            client.send(GET % target)
            came = self.read_slowly(client, 1024, 0.05, BOUND)
            self.assertIsNotNone(came, "it was not cut")
            self.assertLess(came, SIZE / 2)

        together(lambda: slow(b"/big"), lambda: slow(b"/chunked"))
        self.origin.wait_finished(2)
        self.assertEqual(self.ends(), [("200", "client_slow")] * 2)
        self.assertEqual(self.counter("client_slow"), 2)

    def test_reads_nothing(self):
        """After the grace, though the kernel has taken megabytes for it at once."""
        self.start(by_target({b"/big": small}), min_answer_rate="1", rate_grace="300ms")
        client = SlowReader(self.balancer.address)
        self._clients.append(client)
        client.send(GET % b"/big")
        self.origin.wait_finished(1)
        self.assertEqual(self.ends(), [("200", "client_slow")])

    def fast_enough(self, **options):
        self.start(by_target({b"/big": small}), options, min_answer_rate="5k", rate_grace="3s")
        client = SlowReader(self.balancer.address)
        self._clients.append(client)
        client.send(GET % b"/big")
        self.assertIsNone(self.read_slowly(client, 1024, 0.05, 4.5), "it was cut")
        client.close()
        self.finish()
        self.assertEqual(self.counter("client_slow"), 0)

    def test_fast_enough(self):
        """
        Some 20 KB/s of at least 5: in what we send, which goes in large pieces when the kernel holds much, it would not show for a long time; so
        it is what the client's system has acknowledged that counts.
        """
        self.fast_enough()

    def test_fast_enough_in_the_sandbox(self):
        """Which lets the kernel be asked for that."""
        self.fast_enough(sandbox="on")

    def test_slow_server(self):
        """A server that takes its time is not the client's fault."""

        def slow(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 10\r\n\r\n")
            for _ in range(5):
                time.sleep(0.1)
                connection.send(b"xx")

        self.start(by_target({b"/slow": slow}), min_answer_rate="1m", rate_grace="200ms")
        self.assertEqual(self.client().get(b"/slow").body, b"x" * 10)
        self.assertEqual(self.ends(), [("200", "ok")])


if __name__ == "__main__":
    main(at_once=True)
