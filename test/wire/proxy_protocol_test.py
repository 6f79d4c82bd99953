"""PROXY protocol, both versions: `accept_proxy` of a listener, `send_proxy` of a server, and what probes send."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import socket
import struct

from support import expect
from support.case import WireCase, main
from support.raw import wait_until
from support.server import OK, each

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"


def v2(command, family, block):
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack(">H", len(block)) + block


def inet(source, source_port, target, target_port, family=socket.AF_INET):
    return socket.inet_pton(family, source) + socket.inet_pton(family, target) + struct.pack(">HH", source_port, target_port)


V2 = v2(1, 0x11, inet("192.0.2.1", 56324, "198.51.100.7", 443))
V2_V6 = v2(1, 0x21, inet("2001:db8::1", 1, "2001:db8::2", 2, socket.AF_INET6))
V2_UNIX = v2(1, 0x31, b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0"))

# What came, and whose request it is then.
HEADERS = [
    (V1, b"192.0.2.1"),
    (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", b"0.0.0.0"),
    (b"PROXY TCP6 2001:DB8::1 ::1 65535 1\r\n", b"2001:db8::1"),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 65535 1\r\n", b"192.0.2.1"),
    (b"PROXY UNKNOWN\r\n", b"127.0.0.1"),
    (b"PROXY UNKNOWN 1.2.3.4 5.6.7.8 9 10\r\n", b"127.0.0.1"),
    (V2, b"192.0.2.1"),
    (V2_V6, b"2001:db8::1"),
    (V2_UNIX, b"unix:"),
    (v2(1, 0x11, inet("192.0.2.1", 1, "1.1.1.1", 2) + b"\x04\0\x05hello\x02\0\0"), b"192.0.2.1"),
    (v2(1, 0x12, inet("192.0.2.1", 1, "1.1.1.1", 2)), b"127.0.0.1"),
    (v2(1, 0x00, b""), b"127.0.0.1"),
    (v2(0, 0x00, b""), b"127.0.0.1"),
    (v2(0, 0x11, inet("192.0.2.1", 1, "1.1.1.1", 2)), b"127.0.0.1"),
]

# What is no header, and the word for it.
BAD = [
    (GET, "bad_signature"),
    (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "bad_signature"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\n" + GET, "bad_line"),
    (b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n" + GET, "bad_line"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n" + GET, "bad_port"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n" + GET, "bad_port"),
    (b"PROXY TCP4 192.0.2.01 198.51.100.7 56324 443\r\n" + GET, "bad_address"),
    (b"PROXY TCP5 192.0.2.1 198.51.100.7 56324 443\r\n" + GET, "bad_family"),
    (V2.replace(b"\x21\x11", b"\x31\x11") + GET, "bad_version"),
    (V2.replace(b"\x21\x11", b"\x22\x11") + GET, "bad_command"),
    (v2(1, 0x41, b"") + GET, "bad_family"),
    (v2(1, 0x11, b"12345678") + GET, "bad_length"),
    (v2(1, 0x11, b"\0" * 5000) + GET, "bad_length"),
    (v2(1, 0x11, inet("192.0.2.1", 1, "1.1.1.1", 2) + b"\x04\0\x06hello") + GET, "bad_tlv"),
    (v2(1, 0x11, inet("192.0.2.1", 1, "1.1.1.1", 2) + b"\x03\0\x04\0\0\0\0") + GET, "bad_checksum"),
]


def seen_of(peer, line=b"GET /x HTTP/1.1"):
    return expect.request(line, [b"Host: h"], peer=peer)


def echo(connection):
    while connection.more():
        connection.send(connection.take(len(connection.buf)))


class Accept(WireCase):
    def start(self, script=None, listener=None, **options):
        self.origin = self.server(script)
        self.tplb(self.origin, listener=dict({"accept_proxy": True}, **(listener or {})), **options)

    def test_whose_request_it_is(self):
        self.start()
        for n, (header, peer) in enumerate(HEADERS, 1):
            with self.subTest(header):
                client = self.client().send(header + GET)
                self.assertEqual(client.whole_response().status, 200)
                self.assertEqual(self.origin.wait_requests(n).raw, seen_of(peer))
        counters = self.counters()
        self.assertEqual(counters["proxy_headers"], len(HEADERS))
        self.assertNotIn("proxy_header_bad", counters)

    def test_further_requests_are_the_same_clients(self):
        self.start()
        client = self.client().send(V1 + GET + GET)
        for n in (1, 2):
            self.assertEqual(client.whole_response().status, 200)
        client.send(GET)
        self.assertEqual(client.whole_response().status, 200)
        for n in (1, 2, 3):
            self.assertEqual(self.origin.wait_requests(n).raw, seen_of(b"192.0.2.1"))
        self.assertEqual(self.counter("proxy_headers"), 1)

    def test_a_header_is_no_request(self):
        """Once it was read, a second one is a malformed request."""
        self.start()
        client = self.client().send(V1 + V1 + GET)
        expect.check_own_answer(client.response().raw, [400], b"close")
        client = self.client().send(V1 + V2)
        expect.check_own_answer(client.response().raw, [400], b"close")
        self.assertEqual(self.origin.requests, [])

    def test_byte_by_byte(self):
        self.start()
        for header, peer in ((V1, b"192.0.2.1"), (V2_V6, b"2001:db8::1")):
            client = self.client()
            for byte in header + GET:
                client.send(bytes([byte]))
            self.assertEqual(client.whole_response().status, 200)
        self.assertEqual([r.raw for r in self.origin.requests], [seen_of(b"192.0.2.1"), seen_of(b"2001:db8::1")])

    def test_in_two_pieces(self):
        """Cut at every place: the second piece comes when the first was looked at, which a connection beside it tells."""
        self.start()
        beside = self.client().send(V1 + GET)
        beside.whole_response()
        for whole, peer in ((V1 + GET, b"192.0.2.1"), (V2 + GET, b"192.0.2.1")):
            for cut in range(1, len(whole)):
                client = self.client().send(whole[:cut])
                beside.send(GET)
                beside.whole_response()
                client.send(whole[cut:])
                self.assertEqual(client.whole_response().status, 200)
                self.assertEqual(self.origin.requests[-1].raw, seen_of(peer))
                client.close()

    def test_with_a_body(self):
        self.start()
        body = b"x" * 300000
        head = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
        client = self.client().send(V2 + head + body)
        self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(self.origin.wait_requests(1).body, body)

    def test_malformed(self):
        """Closed, with nothing said and nothing forwarded."""
        self.start(log={"access": "@DIR@/access", "format": "timed"})
        for bytes_, word in BAD:
            with self.subTest(bytes_[:60]):
                self.client().send(bytes_).expect_gone()
        self.balancer.wait_line(r"web: 127\.0\.0\.1: its PROXY protocol header is malformed or missing \(bad_signature\): closed")
        self.assertEqual(self.origin.connections, [])
        access = os.path.join(self.balancer.directory, "access")
        self.assertEqual(self.served_lines(access, len(BAD)), len(BAD))
        counters = self.counters()
        self.assertEqual(counters["proxy_header_bad"], len(BAD))
        self.assertNotIn("requests", counters)
        self.assertEqual(counters["connections_accepted"], counters["connections_closed"])

    def served_lines(self, path, count):
        def ended():
            with open(path, "rb") as f:
                return [line for line in f if b" end=proxy_header" in line]

        wait_until(lambda: len(ended()) >= count, "the access log")
        return len(ended())

    def test_early_refusal(self):
        """As early as the bytes tell."""
        self.start()
        self.client().send(b"G").expect_gone()
        self.client().send(b"PROXY TCP4\n").expect_gone()
        self.client().send(SIGNATURE + b"\x23").expect_gone()
        self.assertEqual(self.counter("proxy_header_bad"), 3)

    def test_too_slow(self):
        """The header has as long as a request's head, from the connection's beginning on; then it is closed without an answer."""
        self.start(timeouts={"request_header": "300ms"})
        nothing = self.client()
        part = self.unseen(V1[:20])
        nothing.expect_closed()
        part.expect_gone()
        self.trickle(self.client(), v2(1, 0x11, inet("192.0.2.1", 1, "1.1.1.1", 2) + b"\x04\x0f\xa0" + b"\0" * 4000))
        counters = self.counters()
        self.assertGreaterEqual(counters["refused_header_timeout"], 1)
        self.assertNotIn("requests", counters)

    def trickle(self, client, header):
        """A byte now and then, until the peer has closed; it must not wait for the last one, which is more than a minute away."""
        client.sock.settimeout(0.02)
        for byte in header:
            try:
                client.sock.sendall(bytes([byte]))
                if not client.sock.recv(1):
                    return
            except socket.timeout:
                continue
            except OSError:
                return
        self.fail("the header was waited for")

    def test_slow_ones_hold_no_worker(self):
        self.start(pool={"workers": 1})
        slow = [self.client().send(V1[:n]) for n in range(1, 21)]
        for n in range(3):
            client = self.client().send(V2 + GET)
            self.assertEqual(client.whole_response().status, 200)
        for n, client in enumerate(slow, 1):
            client.send(V1[n:] + GET)
            self.assertEqual(client.whole_response().status, 200)
        self.assertEqual([r.raw for r in self.origin.requests[3:]], [seen_of(b"192.0.2.1")] * 20)

    def test_refused_before_the_header_was_read(self):
        """A proxy in front can still hand the answer on to its client."""

        def stall(connection):
            connection.read_request()
            connection.server.gate.wait()

        self.start(stall, limits={"connections": 1})
        self.client().send(V1 + GET)
        self.origin.wait_connections(1)
        expect.check_own_answer(self.client().send(V1 + GET).response().raw, [503], b"close")

    def test_client_leaves(self):
        self.start()
        for part in (b"", V1[:9], V1, V2[:14], V2):
            self.client().send(part).half_close().expect_gone()
        self.assertEqual(self.origin.connections, [])

    def test_log_and_rate_take_the_headers_address(self):
        access = os.path.join(self.directory(), "access")
        self.start(listener={"rate": {"requests": 1, "per": "1h"}}, log={"access": access})
        ones = [self.client().send(b"PROXY TCP4 192.0.2.%d 1.1.1.1 5 80\r\n" % n + GET).whole_response().status for n in (1, 2, 1, 2)]
        self.assertEqual(ones, [200, 200, 429, 429])
        self.finish()
        with open(access) as f:
            self.assertEqual(sorted(line.split()[0] for line in f), ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"])

    def test_balance_by_source(self):
        servers = [self.server() for _ in range(2)]
        self.tplb(*servers, listener={"accept_proxy": True}, upstream={"balance": "source"})
        for n in range(40):
            self.client().send(b"PROXY TCP4 192.0.2.%d 1.1.1.1 5 80\r\n" % n + GET).whole_response()
        self.assertTrue(all(len(s.requests) > 0 for s in servers))

    def test_trusted_is_the_headers_address(self):
        self.start(forward={"trusted": ["192.0.2.0/24"]})
        claim = b"GET /x HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n"
        self.client().send(V1 + claim).whole_response()
        self.client().send(v2(0, 0, b"") + claim).whole_response()
        self.assertEqual(self.origin.wait_requests(1).get("X-Forwarded-For"), b"9.9.9.9, 192.0.2.1")
        self.assertEqual(self.origin.wait_requests(2).get("X-Forwarded-For"), b"127.0.0.1")

    def test_tcp(self):
        self.start(echo, mode="tcp")
        for header, _ in HEADERS:
            client = self.client().send(header + b"hello")
            self.assertEqual(client.read_exactly(5), b"hello")
            client.send(b"\0world")
            self.assertEqual(client.read_exactly(6), b"\0world")
        for header, _ in HEADERS[:1] + HEADERS[6:7]:
            client = self.client()
            for byte in header + b"hello":
                client.send(bytes([byte]))
            self.assertEqual(client.read_exactly(5), b"hello")

    def test_tcp_server_speaks_first(self):
        def greet(connection):
            connection.send(b"220 ready\r\n")
            connection.send(connection.read_until(b"\n"))

        self.start(greet, mode="tcp")
        client = self.client().send(V1)
        self.assertEqual(client.read_until(b"\n"), b"220 ready\r\n")
        client.send(b"bye\n")
        self.assertEqual(client.read_until(b"\n"), b"bye\n")

    def test_tcp_malformed(self):
        self.start(echo, mode="tcp")
        for bytes_, _ in BAD:
            self.client().send(bytes_).expect_gone()
        self.assertEqual(self.origin.connections, [])
        self.assertEqual(self.counter("proxy_header_bad"), len(BAD))

    def test_tcp_too_slow(self):
        self.start(echo, mode="tcp", timeouts={"request_header": "300ms"})
        self.unseen(V1[:10]).expect_gone()
        self.client().expect_gone()
        self.assertEqual(self.origin.connections, [])
        self.assertEqual(self.counter("proxy_header_bad"), 0)

    def test_held_connection(self):
        """pool.hold = "connection": the worker itself waits for the rest of the header."""
        self.start(pool={"hold": "connection", "workers": 4})
        client = self.client().send(V1[:10])
        self.client().send(V1 + GET).whole_response()
        client.send(V1[10:] + GET)
        self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(self.origin.wait_requests(2).raw, seen_of(b"192.0.2.1"))

    def test_unix(self):
        self.start(bind="unix:web.sock")
        self.client().send(V1 + GET).whole_response()
        self.assertEqual(self.origin.wait_requests(1).raw, seen_of(b"192.0.2.1"))


class ProxiedConnection:
    """A script that takes a PROXY header off each connection and then answers requests; the headers are kept in order."""

    def __init__(self, answers=(OK,)):
        self.headers = []
        self.answers = answers

    def __call__(self, connection):
        while connection.more() and len(connection.buf) < 16:
            pass
        if connection.buf.startswith(SIGNATURE):
            size = 16 + struct.unpack(">H", connection.buf[14:16])[0]
            header = connection.read_exactly(size)
        elif connection.buf.startswith(b"PROXY "):
            header = connection.read_until(b"\r\n")
        else:
            header = b""
        self.headers.append(header)
        each(*self.answers)(connection)


class Send(WireCase):
    def start(self, version, answers=(OK,), server=None, **options):
        self.script = ProxiedConnection(answers)
        self.origin = self.server(self.script)
        self.tplb(dict({"address": self.origin.address, "send_proxy": version}, **(server or {})), **options)

    def names(self, client):
        """Of the client's connection: host, port, and tplb's host, port."""
        return client.sock.getsockname()[:2] + client.sock.getpeername()[:2]

    def v1_of(self, client):
        source, source_port, target, target_port = self.names(client)
        return ("PROXY TCP4 %s %s %d %d\r\n" % (source, target, source_port, target_port)).encode()

    def v2_of(self, client):
        source, source_port, target, target_port = self.names(client)
        return v2(1, 0x11, inet(source, source_port, target, target_port))

    def test_versions(self):
        for version, header_of in (("v1", self.v1_of), ("v2", self.v2_of)):
            with self.subTest(version):
                self.start(version)
                client = self.client()
                client.send(GET)
                self.assertEqual(client.whole_response().status, 200)
                self.assertEqual(self.script.headers, [header_of(client)])
                self.assertEqual(self.origin.wait_requests(1).raw, seen_of(b"127.0.0.1"))

    def test_a_connection_is_for_one_request(self):
        """Each request has a connection of its own, that of its client."""
        self.start("v1")
        clients = [self.client() for _ in range(3)]
        want = []
        for _ in range(3):
            for client in clients:
                self.assertEqual(client.get().status, 200)
                want.append(self.v1_of(client))
        self.assertEqual(self.script.headers, want)
        counters = self.counters()
        self.assertEqual(counters["server_connects"], 9)
        self.assertNotIn("server_reuses", counters)

    def test_with_a_body(self):
        self.start("v2")
        body = b"x" * 3000000
        client = self.client()
        client.send(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(self.origin.wait_requests(1).body, body)
        self.assertEqual(self.script.headers, [self.v2_of(client)])

    def test_the_header_that_came_goes_on(self):
        for version, header, want in (
            ("v1", V1, V1),
            ("v2", V1, V2),
            ("v1", V2, V1),
            ("v2", V2_V6, V2_V6),
            ("v1", b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.7 56324 443\r\n", V1),
            ("v1", b"PROXY TCP6 2001:db8::1 ::ffff:198.51.100.7 56324 443\r\n", b"PROXY TCP6 2001:db8::1 ::ffff:198.51.100.7 56324 443\r\n"),
        ):
            with self.subTest((version, header)):
                self.start(version, listener={"accept_proxy": True})
                self.client().send(header + GET).whole_response()
                self.assertEqual(self.script.headers, [want])

    def test_the_clients_of_local_connections_are_their_own(self):
        self.start("v1", listener={"accept_proxy": True})
        client = self.client().send(v2(0, 0, b"") + GET)
        client.whole_response()
        self.assertEqual(self.script.headers, [self.v1_of(client)])

    def test_unix_client(self):
        for version, want in (("v1", b"PROXY UNKNOWN\r\n"), ("v2", None)):
            self.start(version, bind="unix:web.sock")
            client = self.client()
            client.send(GET)
            client.whole_response()
            path = os.path.join(self.balancer.directory, "web.sock").encode()
            self.assertEqual(self.script.headers, [want or v2(1, 0x31, b"\0" * 108 + path.ljust(108, b"\0"))])

    def test_ipv6(self):
        try:
            self.start("v1", bind="[::1]:0")
        except AssertionError:
            self.skipTest("there is no IPv6 here")
        client = self.client()
        client.send(GET)
        client.whole_response()
        source, source_port, target, target_port = self.names(client)
        self.assertEqual(self.script.headers, [b"PROXY TCP6 ::1 ::1 %d %d\r\n" % (source_port, target_port)])

    def test_another_server_gets_it_too(self):
        """A request that a server has lost goes to another one, with a header of its own."""
        self.script = ProxiedConnection()
        lost = self.server(lambda connection: connection.read_until(b"\r\n\r\n"))
        good = self.server(self.script)
        self.tplb(*({"address": s.address, "send_proxy": "v1"} for s in (lost, good)))
        client = self.client()
        for _ in range(2):
            self.assertEqual(client.get().status, 200)
        self.assertEqual(self.script.headers, [self.v1_of(client)] * 2)

    def test_only_who_asks_for_it(self):
        self.script = ProxiedConnection()
        proxied, plain = self.server(self.script), self.server()
        self.tplb({"address": proxied.address, "send_proxy": "v2"}, plain)
        client = self.client()
        for _ in range(6):
            self.assertEqual(client.get().status, 200)
        self.assertEqual(self.script.headers, [self.v2_of(client)] * 3)
        self.assertEqual([len(proxied.requests), len(plain.requests), len(plain.connections)], [3, 3, 1])

    def test_tcp(self):
        for version, header_of in (("v1", self.v1_of), ("v2", self.v2_of)):
            with self.subTest(version):
                origin = self.server(echo)
                self.tplb({"address": origin.address, "send_proxy": version}, mode="tcp")
                client = self.client()
                header = header_of(client)
                self.assertEqual(client.read_exactly(len(header)), header)
                client.send(b"hello")
                self.assertEqual(client.read_exactly(5), b"hello")

    def test_upgrade(self):
        def upgrade(connection):
            header = connection.read_until(b"\r\n")
            connection.read_until(b"\r\n\r\n")
            connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + header)
            echo(connection)

        origin = self.server(upgrade)
        self.tplb({"address": origin.address, "send_proxy": "v1"})
        client = self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        client.read_until(b"\r\n\r\n")
        self.assertEqual(client.read_until(b"\r\n"), self.v1_of(client))
        client.send(b"hello")
        self.assertEqual(client.read_exactly(5), b"hello")


class Probes(WireCase):
    """They say that the connection is the prober's own."""

    def first_header(self, version, kind):
        script = ProxiedConnection([OK])
        origin = self.server(script)
        self.tplb({"address": origin.address, "send_proxy": version}, upstream={"health": {"type": kind, "interval": "50ms"}})
        origin.wait(lambda: script.headers, "a probe")
        self.balancer.stop()
        return script.headers[0], origin

    def test_v2(self):
        for kind in ("http", "tcp"):
            header, _ = self.first_header("v2", kind)
            self.assertEqual(header, v2(0, 0, b""))

    def test_v1(self):
        for kind in ("http", "tcp"):
            header, origin = self.first_header("v1", kind)
            self.assertRegex(header, rb"^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ %s\r\n$" % origin.address.rpartition(":")[2].encode())

    def test_up(self):
        """A server that refuses connections without a header is up by its probes."""
        self.script = ProxiedConnection()
        origin = self.server(self.script)
        self.tplb({"address": origin.address, "send_proxy": "v2"}, upstream={"health": {"type": "http", "interval": "20ms", "timeout": "20s", "rise": 1}})
        origin.wait(lambda: len(origin.requests) >= 3, "three probes")
        self.assertEqual(self.client().get().status, 200)
        self.assertNotIn("probes_failed", self.counters())


if __name__ == "__main__":
    main()
