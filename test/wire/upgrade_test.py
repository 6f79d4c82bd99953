"""101 and after: behaviours 27 and 40 of a strict proxy (RFC 9110 section 7.8)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from support import expect
from support.case import WireCase, main
from support.server import DATE, OK

UPGRADE = b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: %s\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n"


def switching(connection):
    """Switches when asked to, then echoes."""
    while True:
        request = connection.read_request()
        if request is None:
            return
        if not (request.has_token("Connection", b"upgrade") and request.get("Upgrade")):
            connection.send(OK)
            continue
        connection.send(SWITCH)
        while connection.buf or connection.more():
            connection.send(connection.take(len(connection.buf)))
        return


class Upgrade(WireCase):
    def open(self, connection=b"Upgrade", rest=b""):
        client = self.client()
        client.send(UPGRADE % connection + rest)
        got = client.whole_response()
        self.assertEqual(got.status, 101)
        self.assertTrue(got.has_token("Connection", b"upgrade"))
        self.assertEqual(got.get("Upgrade"), b"websocket")
        self.assertEqual(got.get("Sec-WebSocket-Accept"), b"y")
        return client

    def test_tunnel(self):
        server = self.server(switching)
        self.tplb(server)
        for connection in (b"Upgrade", b"upgrade", b"keep-alive, Upgrade", b"UPGRADE,keep-alive"):
            with self.subTest(connection):
                client = self.open(connection)
                request = server.requests[-1]
                self.assertTrue(request.has_token("Connection", b"upgrade"))
                self.assertFalse(request.has_token("Connection", b"keep-alive"))
                self.assertEqual((request.get("Upgrade"), request.get("Sec-WebSocket-Key")), (b"websocket", b"x"))
                # From here on nothing is HTTP, whatever it looks like.
                for data in (b"\x81\x05hello", b"GET / HTTP/1.1\r\n\r\n", b"0\r\n\r\n", bytes(range(256)) * 1000):
                    client.send(data)
                    self.assertEqual(client.read_exactly(len(data)), data)
                client.half_close()
                self.assertEqual(client.read_to_end(), b"")
                client.close()

    def test_bytes_right_behind_the_request(self):
        self.tplb(self.server(switching))
        client = self.open(rest=b"early bytes")
        self.assertEqual(client.read_exactly(11), b"early bytes")

    def test_bytes_right_behind_101(self):
        def script(connection):
            connection.read_request()
            connection.send(SWITCH + b"welcome")
            connection.wait_gone()

        server = self.server(script)
        self.tplb(server)
        client = self.open()
        self.assertEqual(client.read_exactly(7), b"welcome")
        client.send(b"thanks")
        server.wait(lambda: server.connections[0].bytes.endswith(b"thanks"))

    def test_server_ends_it(self):
        def script(connection):
            connection.read_request()
            connection.send(SWITCH + b"bye")

        self.tplb(self.server(script))
        client = self.open()
        self.assertEqual(client.read_to_end(), b"bye")
        self.assertFalse(client.was_reset)

    def test_no_reuse_of_either_connection(self):
        server = self.server(switching)
        self.tplb(server)
        client = self.open()
        client.close()
        server.wait_finished(1)
        self.assertEqual(self.client().get().status, 200)
        self.assertEqual(len(server.connections), 2)

    def test_refusal_stays_http(self):
        """An answer other than 101: the connection goes on as before."""

        def script(connection):
            while True:
                request = connection.read_request()
                if request is None:
                    return
                status = b"426 Upgrade Required" if request.get("Upgrade") else b"200 OK"
                connection.send(b"HTTP/1.1 " + status + b"\r\n" + DATE + b"Content-Length: 2\r\n\r\nno")

        server = self.server(script)
        self.tplb(server)
        client = self.client()
        client.send(UPGRADE % b"Upgrade")
        got = client.whole_response()
        self.assertEqual((got.status, got.body), (426, b"no"))
        self.assertEqual(client.get(b"/next").status, 200)

    def test_refusal_with_a_pipelined_request(self):
        """What the client sent behind the request was HTTP then, and is answered as such."""
        server = self.server(lambda c: [c.send(OK) for _ in iter(c.read_request, None)])
        self.tplb(server)
        client = self.client()
        client.send(UPGRADE % b"Upgrade" + b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(server.requests[1].target, b"/next")

    def test_upgrade_that_connection_does_not_name(self):
        """It is dropped; a server that sees none cannot switch."""
        server = self.server(switching)
        self.tplb(server)
        for head in (
            b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nUpgrade: websocket\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgraded\r\nUpgrade: websocket\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n\r\n",
        ):
            with self.subTest(head):
                client = self.client()
                client.send(head)
                self.assertEqual(client.whole_response().status, 200)
                request = server.requests[-1]
                self.assertEqual((request.get("Upgrade"), request.has_token("Connection", b"upgrade")), (None, False))
                client.close()

    def test_upgrade_in_http_1_0(self):
        """It is ignored there (RFC 9110 section 7.8)."""
        server = self.server(switching)
        self.tplb(server)
        client = self.client()
        client.send((UPGRADE % b"Upgrade").replace(b"HTTP/1.1", b"HTTP/1.0"))
        self.assertEqual(client.whole_response().status, 200)

    def test_unasked_101(self):
        def script(connection):
            while connection.read_request():
                connection.send(SWITCH)

        self.tplb(self.server(script))
        expect.check_own_answer(self.client().get().raw, (502,))

    def test_upgrade_with_a_body(self):
        """The body is the request's, be it that the upgrade is dropped or that the tunnel begins behind it."""
        server = self.server(switching)
        self.tplb(server)
        client = self.client()
        client.send((UPGRADE % b"Upgrade").replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello").replace(b"GET", b"POST"))
        got = client.whole_response()
        self.assertEqual(server.requests[0].body, b"hello")
        if got.status == 101:
            client.send(b"tunnel")
            self.assertEqual(client.read_exactly(6), b"tunnel")
        else:
            self.assertEqual(got.status, 200)
            self.assertIsNone(server.requests[0].get("Upgrade"))
            self.assertEqual(client.get().status, 200)

    def test_100_then_101(self):
        def script(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + SWITCH)
            connection.wait_gone()

        self.tplb(self.server(script))
        client = self.client()
        client.send(UPGRADE % b"Upgrade")
        self.assertEqual([client.whole_response().status, client.whole_response().status], [103, 101])


if __name__ == "__main__":
    main()
