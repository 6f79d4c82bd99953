"""Addresses of every kind: Unix sockets and IPv6, for listeners and for servers."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import os
import socket
import unittest

from support import expect
from support.case import WireCase, main
from support.raw import Client
from support.server import DATE


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


def tcp_echo(connection):
    while connection.more():
        connection.send(connection.take(len(connection.buf)))


class Unix(WireCase):
    def test_listener(self):
        server = self.server()
        tplb = self.tplb(server, bind="unix:web.sock")
        self.assertTrue(tplb.address.startswith("unix:/"), tplb.address)
        for _ in range(3):
            client = self.client()
            for _ in range(3):
                self.assertEqual(client.get().status, 200)
        self.assertEqual(server.requests[0].get("X-Forwarded-For"), b"unix:")
        path = tplb.address[5:]
        for client in self._clients:
            client.close()
        tplb.stop()
        self.assertFalse(os.path.exists(path), "the socket's file is left behind")

    def test_server(self):
        server = self.server(address="unix")
        self.tplb(server, pool={"workers": 1})
        client = self.client()
        got = client.get(b"/x")
        self.assertEqual(got.raw, expect.response(b"HTTP/1.1 200 OK", [DATE[:-2], b"Content-Length: 2"], b"ok"))
        self.assertEqual(server.wait_requests(1).raw, expect.request(b"GET /x HTTP/1.1", [b"Host: h"]))
        for _ in range(5):
            self.assertEqual(client.get().status, 200)
        self.assertEqual(len(server.connections), 1)

    def test_server_that_is_not_there(self):
        self.tplb("unix:" + os.path.join(self.directory(), "nobody.sock"), self.server())
        for _ in range(4):
            self.assertEqual(self.client().get().status, 200)

    def test_both(self):
        server = self.server(tcp_echo, address="unix")
        self.tplb(server, bind="unix:web.sock", mode="tcp")
        client = self.client()
        client.send(b"hello")
        self.assertEqual(client.read_exactly(5), b"hello")
        client.half_close()
        self.assertEqual(client.read_to_end(), b"")

    def test_stale_socket_file_is_replaced(self):
        """A file that nobody listens on any more is in nobody's way."""
        path = os.path.join(self.directory(), "stale.sock")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
        self.assertTrue(os.path.exists(path))
        self.tplb(self.server(), bind="unix:" + path)
        self.assertEqual(self.client().get().status, 200)


@unittest.skipUnless(has_ipv6(), "this machine has no IPv6 on its loopback")
class Ipv6(WireCase):
    def test_listener(self):
        server = self.server()
        tplb = self.tplb(server, bind="[::1]:0")
        self.assertRegex(tplb.address, r"^\[::1\]:[0-9]+$")
        self.assertEqual(self.client().get(b"/x", host=b"[::1]").status, 200)
        self.assertEqual(server.wait_requests(1).raw, expect.request(b"GET /x HTTP/1.1", [b"Host: [::1]"], host=b"[::1]", peer=b"::1"))

    def test_server(self):
        self.tplb(self.server(address="[::1]:0"))
        self.assertEqual(self.client().get().status, 200)

    def test_any_address_takes_both(self):
        """What a v4 client is called on a v6 socket is its v4 address, or it is not reachable at all."""
        server = self.server()
        tplb = self.tplb(server, bind="[::]:0")
        port = tplb.address.rpartition(":")[2]
        self.assertEqual(self.client("[::1]:" + port).get().status, 200)
        try:
            client = Client("127.0.0.1:" + port)
        except ConnectionRefusedError:
            return
        self._clients.append(client)
        self.assertEqual(client.get().status, 200)
        self.assertEqual(server.requests[1].get("X-Forwarded-For"), b"127.0.0.1")


class Several(WireCase):
    def test_listeners_of_each_kind(self):
        server = self.server()
        binds = {"a": "127.0.0.1:0", "b": "127.0.0.1:0", "c": "unix:web.sock"}
        if has_ipv6():
            binds["d"] = "[::1]:0"
        tplb = self.tplb(
            config={
                "listeners": [{"name": n, "bind": b, "upstream": "up"} for n, b in binds.items()],
                "upstreams": [{"name": "up", "servers": [{"address": server.address}]}],
            }
        )
        self.assertEqual(sorted(tplb.addresses), sorted(binds))
        for address in tplb.addresses.values():
            self.assertEqual(self.client(address).get().status, 200)

    def test_names(self):
        """"localhost" is resolved, for listeners and servers."""
        server = self.server()
        port = server.address.rpartition(":")[2]
        self.tplb("localhost:" + port, bind="localhost:0")
        self.assertEqual(self.client().get().status, 200)


if __name__ == "__main__":
    main()
