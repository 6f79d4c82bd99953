"""SIGTERM and SIGINT: what is in flight is finished, nothing new begins, the exit status is 0."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import signal
import time

from support import expect
from support.case import CONTROLLED, WireCase, main
from support.raw import Client, wait_until
from support.server import stalled


class Drain(WireCase):
    def refused(self):
        """New connections are refused, once the listener is closed."""
        def look():
            try:
                Client(self.balancer.address).close()
                return False
            except OSError:
                return True

        wait_until(look, "the listener's end")

    def test_in_flight_is_finished(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                server = self.server(stalled)
                tplb = self.tplb(server)
                client = self.client()
                client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                server.wait_requests(1)
                tplb.tell(number)
                self.refused()
                server.gate.set()
                got = client.whole_response()
                self.assertEqual((got.status, got.body, got.get("Connection")), (200, b"ok", b"close"))
                client.expect_closed()
                self.assertEqual(tplb.wait(), 0)

    def test_body_in_flight_is_finished(self):
        server = self.server()
        tplb = self.tplb(server)
        client = self.client()
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello")
        server.wait(lambda: server.connections and b"hello" in server.connections[0].bytes)
        tplb.tell(signal.SIGTERM)
        self.refused()
        client.send(b"world")
        got = client.whole_response()
        self.assertEqual((got.status, got.get("Connection")), (200, b"close"))
        client.expect_closed()
        self.assertEqual(tplb.wait(), 0)
        self.assertEqual(server.requests[0].body, b"helloworld")

    def test_idle_clients_are_closed(self):
        """Those who are idle for long go without a word, and nothing waits for their keepalive timeout."""
        server = self.server()
        tplb = self.tplb(server, timeouts={"keepalive": "1h", "request_header": "1h", "drain": "1h"})
        silent = [self.client() for _ in range(5)]
        clients = [self.client() for _ in range(20)]
        for client in clients:  # once these are answered, those who came first have been accepted
            self.assertEqual(client.get().status, 200)
        tplb.tell(signal.SIGTERM)
        for client in clients + silent:
            client.expect_closed()
        self.assertEqual(tplb.wait(), 0)

    def test_idle_client_of_a_held_worker(self):
        tplb = self.tplb(self.server(), pool={"workers": 2, "hold": "connection"}, timeouts={"keepalive": "1h", "drain": "1h"})
        client = self.client()
        self.assertEqual(client.get().status, 200)
        tplb.tell(signal.SIGTERM)
        client.expect_closed()
        self.assertEqual(tplb.wait(), 0)

    def test_a_last_request_of_a_parked_client(self):
        """A client that asks just then is answered, with Connection: close, or finds its connection closed, as it always may."""
        tplb = self.tplb(self.server(), timeouts={"keepalive": "1h", "drain": "1h"})
        client = self.client()
        self.assertEqual(client.get().status, 200)
        tplb.tell(signal.SIGTERM)
        self.refused()
        if client.try_send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"):
            raw = client.read_to_end()
            if raw:
                self.assertEqual(raw[:15], b"HTTP/1.1 200 OK")
                self.assertIn(b"\r\nConnection: close\r\n", raw)
        self.assertEqual(tplb.wait(), 0)

    def test_half_a_head(self):
        """A request that is not there yet does not hold up the end for longer than its own deadline."""
        tplb = self.tplb(self.server(), timeouts={"request_header": "500ms", "drain": "1h"})
        client = self.client()
        client.send(b"GET / HT")
        tplb.tell(signal.SIGTERM)
        got = client.read_to_end()
        if got:
            expect.check_own_answer(got, (408, 503), b"close")
        self.assertEqual(tplb.wait(), 0)

    def test_the_other_half_comes_later(self):
        """A client that takes its time for a head is not idle: it is answered."""
        tplb = self.tplb(self.server(), timeouts={"drain": "1h", "request_header": "10m"}, admin=CONTROLLED)
        client = self.client()
        self.assertEqual(client.get().status, 200)
        client.send(b"GET / HT")
        wait_until(lambda: any("rest-of-head" in line for line in self.show("connections")), "the half to be read")
        tplb.tell(signal.SIGTERM)
        tplb.wait_line("draining")
        time.sleep(1.3)  # longer than an idle one is left
        client.send(b"TP/1.1\r\nHost: h\r\n\r\n")
        response = client.response()
        self.assertEqual((response.status, response.get("Connection")), (200, b"close"))
        self.assertEqual(tplb.wait(), 0)

    def test_drain_timeout(self):
        """What takes longer than timeouts.drain is cut."""
        server = self.server(stalled)
        tplb = self.tplb(server, timeouts={"drain": "500ms", "server": "1h"})
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        tplb.tell(signal.SIGTERM)
        self.assertEqual(tplb.wait(), 0)
        client.expect_gone()

    def test_second_signal_ends_at_once(self):
        server = self.server(stalled)
        tplb = self.tplb(server, timeouts={"drain": "1h", "server": "1h"})
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        tplb.tell(signal.SIGTERM)
        self.refused()
        tplb.tell(signal.SIGTERM)
        tplb.wait()
        client.expect_gone()
        self.assertFalse(server.gate.is_set())

    def test_tunnel(self):
        """A tunnel is in flight until it ends, or the drain's time is over."""

        def echo(connection):
            while connection.more():
                connection.send(connection.take(len(connection.buf)))

        tplb = self.tplb(self.server(echo), mode="tcp", timeouts={"drain": "1h"})
        client = self.client()
        client.send(b"x")
        self.assertEqual(client.read_exactly(1), b"x")
        tplb.tell(signal.SIGTERM)
        self.refused()
        client.send(b"y")
        self.assertEqual(client.read_exactly(1), b"y")
        client.close()
        self.assertEqual(tplb.wait(), 0)

    def test_queued_requests(self):
        """Those in the queue are answered: served, or told 503."""
        server = self.server(stalled)
        tplb = self.tplb(server, pool={"workers": 1, "hold": "connection"}, queue={"timeout": "0s"}, timeouts={"drain": "1h"})
        clients = [self.client() for _ in range(5)]
        clients[0].send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        for client in clients[1:]:
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        tplb.tell(signal.SIGTERM)
        self.refused()
        server.gate.set()
        self.assertEqual(clients[0].whole_response().status, 200)
        for client in clients[1:]:
            raw = client.read_to_end()
            self.assertTrue(raw == b"" or raw[:12] in (b"HTTP/1.1 200", b"HTTP/1.1 503"), raw)
        self.assertEqual(tplb.wait(), 0)

    def test_nothing_going_on(self):
        tplb = self.tplb(self.server())
        tplb.tell(signal.SIGTERM)
        self.assertEqual(tplb.wait(), 0)

    def test_right_after_the_start(self):
        for _ in range(5):
            tplb = self.tplb(self.server())
            tplb.tell(signal.SIGTERM)
            self.assertEqual(tplb.wait(), 0)

    def test_stopped_under_load(self):
        """Every answer that comes is whole, whenever the end comes."""
        server = self.server()
        tplb = self.tplb(server)
        clients = [self.client() for _ in range(50)]
        for n, client in enumerate(clients):
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 5)
            if n == 25:
                tplb.tell(signal.SIGTERM)
        for client in clients:
            raw = client.read_to_end()
            answers = raw.count(b"HTTP/1.1 200 OK")
            self.assertEqual(raw.count(b"\r\n\r\nok"), answers)
            self.assertEqual(len(raw) > 0, answers > 0, raw)
        self.assertEqual(tplb.wait(), 0)


if __name__ == "__main__":
    main(at_once=True)
