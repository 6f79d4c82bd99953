"""Who waits between requests, or is slow with its head, holds no worker."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import threading

from support import expect
from support.case import WireCase, main
from support.raw import BOUND
from support.server import OK, by_target, each


class Parking(WireCase):
    def test_idle_and_slow_clients(self):
        """200 idle keep-alive connections and 50 slow heads share one worker with another client, which notices nothing."""
        self.tplb(
            self.server(), pool={"workers": 1}, queue={"timeout": "0s"}, timeouts={"request_header": "300s", "keepalive": "300s"}
        )
        idle = [self.client() for _ in range(200)]
        for client in idle:
            self.assertEqual(client.get().status, 200)
        slow = [self.client() for _ in range(50)]
        for n, client in enumerate(slow):
            client.send(b"GET /slow HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n"[: n % 30 + 1])
        other = self.client()
        for n in range(100):
            self.assertEqual(other.get().status, 200)
        # Those that were parked are served as soon as they go on.
        for n, client in enumerate(slow):
            client.send(b"GET /slow HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n"[n % 30 + 1 :])
            self.assertEqual(client.whole_response().status, 200)
        for client in idle:
            self.assertEqual(client.get().status, 200)

    def test_slow_heads_byte_by_byte(self):
        """All of them go on byte by byte in turn, one worker serves them all."""
        self.tplb(self.server(), pool={"workers": 1}, timeouts={"request_header": "300s"})
        clients = [self.client() for _ in range(20)]
        for c in b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n":
            for client in clients:
                client.send(bytes([c]))
        for client in clients:
            self.assertEqual(client.whole_response().status, 200)

    def test_half_a_head_behind_a_request(self):
        """What came with a request and is not whole yet is kept while the client is parked."""
        self.tplb(self.server(), pool={"workers": 1}, timeouts={"request_header": "300s"})
        client = self.client()
        request = b"GET /x HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n"
        for cut in range(1, len(request)):
            client.send((request if cut == 1 else b"") + request[:cut])
            if cut == 1:
                self.assertEqual(client.whole_response().status, 200)
            other = self.client()
            self.assertEqual(other.get().status, 200)
            other.close()
            client.send(request[cut:])
            self.assertEqual(client.whole_response().status, 200)

    def test_connect_and_say_nothing(self):
        self.tplb(self.server(), pool={"workers": 1}, timeouts={"request_header": "300s", "keepalive": "300s"})
        silent = [self.client() for _ in range(100)]
        other = self.client()
        for _ in range(20):
            self.assertEqual(other.get().status, 200)
        for client in silent[:10]:
            self.assertEqual(client.get().status, 200)

    def busy(self, stall):
        """Two workers, both with a server that thinks. What comes now waits in the queue. Returns (server, first, second)."""
        gates = {b"/first": threading.Event(), b"/second": threading.Event()}

        def think(connection, request):
            gates[request.target].wait(BOUND)
            connection.send(OK)

        server = self.server(by_target({b"/first": think, b"/second": think, b"/stall": stall}))
        server.gates = gates
        self.tplb(
            server, pool={"workers": 2}, queue={"timeout": "0s"}, timeouts={"client": "300s", "server": "300s", "request_header": "300s"}
        )
        for n, target in enumerate(gates, 1):
            client = self.client()
            client.send(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n")
            server.wait_requests(n)
        return server

    def others(self, server, count=12):
        """Both workers become free, one after the other; the first takes who stalls, the second must serve the rest."""
        quick = [self.client() for _ in range(count)]
        for client in quick:
            client.send(b"GET /quick HTTP/1.1\r\nHost: h\r\n\r\n")
        server.gates[b"/first"].set()
        server.wait(lambda: any(r.target == b"/stall" for c in server.connections for r in c.requests), "the one who stalls")
        server.gates[b"/second"].set()
        for client in quick:
            self.assertEqual(client.whole_response().status, 200)

    def test_a_slow_body_holds_one_worker(self):
        """Whoever waits in the queue behind it is served by the other."""
        server = self.busy(OK)
        slow = self.client()
        slow.send(b"POST /stall HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello")
        self.others(server)
        slow.send(b"world")
        self.assertEqual(slow.whole_response().status, 200)

    def test_a_slow_answer_holds_one_worker(self):
        def stall(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            connection.server.gate.wait(BOUND)
            connection.send(b"world")

        server = self.busy(stall)
        slow = self.client()
        slow.send(b"GET /stall HTTP/1.1\r\nHost: h\r\n\r\n")
        self.others(server)
        server.gate.set()
        self.assertEqual(slow.whole_response().body, b"helloworld")

    def test_a_client_that_does_not_read_holds_one_worker(self):
        big = bytes(range(256)) * 80000
        server = self.busy(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(big) + big)
        slow = self.client(receive_buffer=4096)
        slow.send(b"GET /stall HTTP/1.1\r\nHost: h\r\n\r\n")
        self.others(server)
        self.assertTrue(slow.whole_response().body == big)

    def test_a_thinking_server_holds_one_worker(self):
        def stall(connection, request):
            connection.server.gate.wait(BOUND)
            connection.send(OK)

        server = self.busy(stall)
        slow = self.client()
        slow.send(b"GET /stall HTTP/1.1\r\nHost: h\r\n\r\n")
        self.others(server)
        server.gate.set()
        self.assertEqual(slow.whole_response().status, 200)

    def test_an_upgraded_tunnel_holds_one_worker(self):
        def stall(connection, request):
            connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            connection.wait_gone()
            return False

        server = self.busy(stall)
        slow = self.client()
        slow.send(b"GET /stall HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        self.others(server)
        self.assertEqual(slow.whole_response().status, 101)


class Hold(WireCase):
    def test_a_worker_a_connection(self):
        """hold = "connection" with one worker: the second client waits until the first closes."""
        server = self.server(each(OK))
        self.tplb(
            server, pool={"workers": 1, "hold": "connection"}, queue={"timeout": "0s"}, timeouts={"keepalive": "300s", "request_header": "300s"}
        )
        first = self.client()
        self.assertEqual(first.get(b"/first").status, 200)
        second = self.client()
        second.send(b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n")
        for _ in range(20):
            self.assertEqual(first.get(b"/first").status, 200)
        self.assertEqual({r.target for r in server.requests}, {b"/first"})
        first.close()
        self.assertEqual(second.whole_response().status, 200)
        self.assertEqual(server.requests[-1].target, b"/second")

    def test_as_many_as_workers(self):
        self.tplb(self.server(), pool={"workers": 4, "hold": "connection"}, queue={"timeout": "0s"}, timeouts={"keepalive": "300s"})
        clients = [self.client() for _ in range(4)]
        for _ in range(5):
            for client in clients:
                self.assertEqual(client.get().status, 200)

    def test_keepalive_and_head_timeouts_hold(self):
        self.tplb(self.server(), pool={"workers": 1, "hold": "connection"}, timeouts={"keepalive": "300ms", "request_header": "300ms"})
        client = self.unseen(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertEqual(client.whole_response().status, 200)
        client.expect_closed()
        expect.check_own_answer(self.unseen(b"GET / HT").read_to_end(), (408,), b"close")


if __name__ == "__main__":
    main()
