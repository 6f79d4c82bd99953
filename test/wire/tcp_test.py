"""mode = "tcp": bytes as they are, both ways, each way ending on its own."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import hashlib
import threading
import time

from support.case import WireCase, main
from support.raw import BOUND
from support.server import OK, each, unconnectable


def echo(connection):
    while connection.more():
        connection.send(connection.take(len(connection.buf)))


class Tcp(WireCase):
    def test_both_ways(self):
        self.tplb(self.server(echo), mode="tcp")
        client = self.client()
        for data in (b"hello", b"\0\r\n\r\n\xff", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 100):
            client.send(data)
            self.assertEqual(client.read_exactly(len(data)), data)

    def test_byte_by_byte(self):
        self.tplb(self.server(echo), mode="tcp")
        client = self.client()
        for n in range(200):
            client.send(bytes([n]))
            self.assertEqual(client.read_exactly(1), bytes([n]))

    def test_server_speaks_first(self):
        def greet(connection):
            connection.send(b"220 ready\r\n")
            connection.send(connection.read_until(b"\n"))

        self.tplb(self.server(greet), mode="tcp")
        client = self.client()
        self.assertEqual(client.read_until(b"\n"), b"220 ready\r\n")
        client.send(b"bye\n")
        self.assertEqual(client.read_until(b"\n"), b"bye\n")
        client.expect_closed()

    def test_client_half_closes(self):
        """The server learns it, and may still answer."""

        def after(connection):
            connection.wait_gone()
            self.assertFalse(connection.was_reset)
            connection.send(b"got %d" % len(connection.buf))

        self.tplb(self.server(after), mode="tcp")
        client = self.client()
        client.send(b"x" * 1000).half_close()
        self.assertEqual(client.read_to_end(), b"got 1000")
        self.assertFalse(client.was_reset)

    def test_server_half_closes(self):
        """The client learns it, and may still send."""

        def before(connection):
            connection.send(b"that is all").half_close()
            connection.wait_gone()

        server = self.server(before)
        self.tplb(server, mode="tcp")
        client = self.client()
        self.assertEqual(client.read_to_end(), b"that is all")
        self.assertFalse(client.was_reset)
        for n in range(10):
            client.send(b"still here")
            server.wait(lambda n=n: bytes(server.connections[0].bytes) == b"still here" * (n + 1))
        client.half_close()
        server.wait_finished(1)
        self.assertEqual(bytes(server.connections[0].bytes), b"still here" * 10)
        self.assertFalse(server.connections[0].was_reset)

    def test_client_resets(self):
        server = self.server(echo)
        self.tplb(server, mode="tcp")
        client = self.client()
        client.send(b"x")
        client.read_exactly(1)
        client.reset()
        server.wait_finished(1)

    def test_server_resets(self):
        def reset(connection):
            connection.read_exactly(1)
            connection.reset()

        self.tplb(self.server(reset), mode="tcp")
        client = self.client()
        client.send(b"x")
        client.expect_gone()

    def test_big_transfers(self):
        """50 MB each way at the same time."""
        piece = bytes(range(256)) * 1024
        count = 50 * 1024 * 1024 // len(piece)
        want = hashlib.sha256(piece * count).hexdigest()
        sums = {}

        def both(connection):
            def send():
                for _ in range(count):
                    connection.sock.sendall(piece)
                connection.half_close()

            thread = threading.Thread(target=send, daemon=True)
            connection.sock.settimeout(BOUND)
            thread.start()
            sums["server"] = drain(connection)
            thread.join(BOUND * 2)

        def drain(stream):
            total = hashlib.sha256()
            while stream.more():
                total.update(stream.take(len(stream.buf)))
            self.assertFalse(stream.was_reset)
            return total.hexdigest()

        server = self.server(both)
        self.tplb(server, mode="tcp")
        client = self.client()

        def upload():
            for _ in range(count):
                client.sock.sendall(piece)
            client.half_close()

        thread = threading.Thread(target=upload, daemon=True)
        thread.start()
        self.assertEqual(drain(client), want)
        thread.join(BOUND * 2)
        server.wait_finished(1)
        self.assertEqual(sums["server"], want)

    def test_next_server(self):
        sock, dead = unconnectable()
        self.keep(sock)
        self.tplb(dead, self.server(echo), mode="tcp")
        for _ in range(6):
            client = self.client()
            client.send(b"x")
            self.assertEqual(client.read_exactly(1), b"x")
            client.close()

    def test_all_dead(self):
        """The client is closed, without a word."""
        sock, dead = unconnectable()
        self.keep(sock)
        self.tplb(dead, mode="tcp")
        for _ in range(5):
            self.client().expect_gone()

    def test_round_robin(self):
        servers = [self.server(echo) for _ in range(3)]
        self.tplb(*servers, mode="tcp")
        clients = []
        for n in range(9):
            client = self.client()
            client.send(b"x")
            client.read_exactly(1)
            clients.append(client)
        self.assertEqual([len(s.connections) for s in servers], [3, 3, 3])

    def test_tunnel_timeout(self):
        """Nothing either way for so long ends it; anything either way goes on."""
        server = self.server(echo)
        self.tplb(server, mode="tcp", timeouts={"tunnel": "300ms"})
        got, tries = b"", 0
        while got != b"x":  # on a slow machine it may end before anything came
            began = time.monotonic()
            client = self.client()
            client.try_send(b"x")
            got = client.read_to_end()
            self.assertIn(got, (b"x", b""))
            self.assertGreater(time.monotonic() - began, 0.28)  # the clock of deadlines has ticks
            tries += 1
        server.wait_finished(tries)

    def test_http_beside(self):
        """Two listeners of one tplb, one of each mode."""
        tcp, http = self.server(echo), self.server(each(OK))
        self.tplb(
            config={
                "listeners": [
                    {"name": "t", "bind": "127.0.0.1:0", "mode": "tcp", "upstream": "tcp"},
                    {"name": "h", "bind": "127.0.0.1:0", "mode": "http", "upstream": "http"},
                ],
                "upstreams": [
                    {"name": "http", "servers": [{"address": http.address}]},
                    {"name": "tcp", "servers": [{"address": tcp.address}]},
                ],
            }
        )
        client = self.client(self.balancer.addresses["t"])
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(client.read_exactly(18), b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(self.client(self.balancer.addresses["h"]).get().status, 200)


if __name__ == "__main__":
    main()
