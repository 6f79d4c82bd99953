"""A full queue: who does not fit in gets a 503 that it can read, at once, and nobody else is held up."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import select

from support import expect
from support.case import CONTROLLED, WireCase, main
from support.raw import wait_until
from support.server import stalled

POST = b"POST /late HTTP/1.1\r\nHost: h\r\nContent-Length: 30000\r\n\r\n" + b"x" * 30000


class QueueFull(WireCase):
    def occupied(self, hold):
        """One worker, and it is with a stalled server. The queue has one place."""
        server = self.server(stalled)
        self.tplb(server, pool={"workers": 1, "hold": hold}, queue={"size": 1, "timeout": "0s"}, admin=CONTROLLED)
        first = self.client()
        first.send(b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        return server, first

    def test_503(self):
        for hold in ("request", "connection"):
            with self.subTest(hold=hold):
                server, first = self.occupied(hold)
                clients = [self.client() for _ in range(20)]
                for client in clients:
                    client.try_send(POST)
                # One of them waits in the queue, the others are refused while the worker is still busy.
                refused = 0
                waiting = list(clients)
                server_sees = len(server.requests)
                while len(waiting) > 1:
                    done = self.first_answered(waiting)
                    got = done.read_to_end()
                    self.assertFalse(done.was_reset, "the refusal may be lost to a reset")
                    expect.check_own_answer(got, (503,), b"close")
                    waiting.remove(done)
                    refused += 1
                self.assertEqual(refused, 19)
                self.assertEqual(len(server.requests), server_sees)
                server.gate.set()
                self.assertEqual(first.whole_response().status, 200)
                first.close()
                self.assertEqual(waiting[0].whole_response().status, 200)
                for client in clients:
                    client.close()
                # A client that closes takes the only place in the queue for a moment too.
                wait_until(lambda: self.client().get(b"/after").status == 200, "200 again")

    def first_answered(self, clients):
        for client in clients:
            if client.buf:
                return client
        ready, _, _ = select.select([c.sock for c in clients], [], [], clients[0].bound)
        self.assertTrue(ready, "no answer although the queue is full")
        return next(c for c in clients if c.sock in ready)

    def test_many_rounds(self):
        """The acceptor goes on: 200 are refused one after the other, each at once."""
        server, first = self.occupied("connection")
        waiting = self.client()
        waiting.send(b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n")
        refused = 0
        for _ in range(200):
            client = self.client()
            client.send(b"GET /late HTTP/1.1\r\nHost: h\r\n\r\n")
            if self.first_answered([client, waiting] if refused == 0 else [client]) is waiting:
                # they overtook each other on the way in: `client` has the place in the queue
                expect.check_own_answer(waiting.read_to_end(), (503,), b"close")
                waiting, client = client, waiting
            else:
                expect.check_own_answer(client.read_to_end(), (503,), b"close")
            refused += 1
            client.close()
        server.gate.set()
        self.assertEqual(first.whole_response().status, 200)
        first.close()
        self.assertEqual(waiting.whole_response().status, 200)

    def test_refused_client_that_goes_on_sending(self):
        """It may be in the middle of a large body: the 503 still arrives."""
        server, first = self.occupied("connection")
        waiting = self.client()
        waiting.send(b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n")
        wait_until(lambda: ["queue_depth", "1"] in [line.split() for line in self.show("queue")], "that it waits")
        for _ in range(3):
            client = self.client()
            body = b"x" * 4000000
            client.try_send(b"POST /late HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            expect.check_own_answer(client.response().raw, (503,), b"close")
            client.close()
        server.gate.set()
        self.assertEqual(first.whole_response().status, 200)

    def test_idle_clients_do_not_count(self):
        """The queue is for requests, not for connections."""
        server = self.server()
        self.tplb(server, pool={"workers": 1}, queue={"size": 1})
        clients = [self.client() for _ in range(50)]
        for client in clients:
            self.assertEqual(client.get().status, 200)
        for client in clients:
            self.assertEqual(client.get().status, 200)


class QueueFullTcp(WireCase):
    def test_closed(self):
        """In tcp mode there is no word for it. With `pool.patience` a tunnel leaves its worker, and none waits."""

        def hello(connection):
            connection.send(b"hello\n")
            connection.wait_gone()

        server = self.server(hello)
        self.tplb(server, mode="tcp", pool={"workers": 1, "patience": "0s"}, queue={"size": 1, "timeout": "0s"})
        first = self.client()
        first.read_exactly(6)
        clients = [self.client() for _ in range(20)]
        closed = []
        waiting = list(clients)
        while len(waiting) > 1:
            done = QueueFull.first_answered(self, waiting)
            self.assertEqual(done.read_to_end(), b"")
            waiting.remove(done)
            closed.append(done)
        self.assertEqual(len(closed), 19)
        first.send(b"x")  # the tunnel that is there is not disturbed
        server.wait(lambda: bytes(server.connections[0].bytes) == b"x")
        first.close()
        self.assertEqual(waiting[0].read_exactly(6), b"hello\n")


if __name__ == "__main__":
    main()
