"""The HTTP server of `admin.bind`: who is answered what, and what garbage, floods and slow readers do not do."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re
import signal
import socket
import tempfile
import unittest

from support.case import WireCase, main
from support.raw import BOUND, SlowReader, wait_until
from support.server import stalled
from support.tplb import run

LONG = bool(os.environ.get("TPLB_LONG"))
PLACES = 32  # connections that are answered at once
HEAD_MAX = 8192


def request(target="/metrics", host="localhost", method="GET", fields="", version="1.1"):
    lines = ["%s %s HTTP/%s" % (method, target, version)]
    if host is not None:
        lines.append("Host: " + host)
    return ("\r\n".join(lines) + "\r\n" + fields + "\r\n").encode()


class WebCase(WireCase):
    def start(self, *servers, bind="127.0.0.1:0", admin=None, **options):
        self.tplb(*(servers or (self.server(),)), admin=dict({"bind": bind}, **(admin or {})), **options)
        self.web = self.balancer.wait_line(r"pages are served at (\S+)").group(1)
        return self.balancer

    def ask(self, raw=None, method=b"GET", client=None):
        client = client or self.client(self.web)
        client.send(request() if raw is None else raw)
        return client.whole_response(method)


class Conduct(WebCase):
    def test_page(self):
        self.start()
        client = self.client(self.web)
        got = self.ask(client=client)
        self.assertEqual((got.status, got.get("Content-Type")), (200, b"text/plain; version=0.0.4; charset=utf-8"))
        self.assertIn(b"tplb_info{", got.body)
        self.assertEqual(int(got.get("Content-Length")), len(got.body))
        # What keeps others than us from using it.
        self.assertEqual((got.get("Cache-Control"), got.get("X-Content-Type-Options")), (b"no-store", b"nosniff"))
        self.assertIn(b"default-src 'self'", got.get("Content-Security-Policy"))
        self.assertIn(b"frame-ancestors 'none'", got.get("Content-Security-Policy"))
        self.assertIsNone(got.get("Access-Control-Allow-Origin"))
        # On the same connection: with a query, HEAD, without a keep-alive.
        self.assertEqual(self.ask(request("/metrics?a=b"), client=client).status, 200)
        got = self.ask(request(method="HEAD"), b"HEAD", client)
        self.assertEqual((got.status, got.body), (200, b""))
        self.assertGreater(int(got.get("Content-Length")), 0)
        got = self.ask(request(fields="Connection: close\r\n"), client=client)
        self.assertEqual((got.status, got.get("Connection")), (200, b"close"))
        client.expect_closed()

    def test_old_version(self):
        self.start()
        client = self.client(self.web)
        self.assertEqual(self.ask(request(version="1.0"), client=client).status, 200)
        client.expect_closed()

    def test_pipelined_in_pieces(self):
        self.start()
        client = self.client(self.web)
        client.send_bytewise(request() + b"\r\n" + request("/none") + request())
        self.assertEqual([client.whole_response().status for _ in range(3)], [200, 404, 200])

    def test_absolute_form(self):
        self.start()
        self.assertEqual(self.ask(request("http://127.0.0.1/metrics")).status, 200)
        self.assertEqual(self.ask(request("http://evil.example/metrics")).status, 421)

    def test_no_such_page(self):
        self.start()
        got = self.ask(request("/secret"))
        self.assertEqual((got.status, got.get("X-Content-Type-Options")), (404, b"nosniff"))
        self.assertIn(b"there are:", got.body)
        self.assertIn(b" /metrics", got.body)

    def test_other_methods(self):
        """A body that comes with it is not taken for the next request; and does not reset the connection, so that the answer is read."""
        self.start()
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "metrics"):
            got = self.ask(request(method=method))
            self.assertEqual((got.status, got.get("Allow")), (405, b"GET, HEAD"), method)
        client = self.client(self.web)
        client.send(request(method="POST", fields="Content-Length: 300000\r\n") + b"GET / HTTP/1.1\r\n" * 10)
        client.try_send(b"x" * 200000)
        self.assertEqual(client.whole_response().status, 405)
        client.expect_closed()

    def test_hosts(self):
        """A name that is none of ours is not served, whoever's address it turned into."""
        self.start(admin={"hosts": ["lb.example"]})
        ours = ("localhost", "localhost:9901", "LOCALHOST", "a.localhost:80", "127.0.0.1", "127.0.0.1:1", "[::1]:9901", "[::1]", "10.1.2.3:9901")
        ours += ("lb.example", "LB.Example:9901", "lb.example.", socket.gethostname(), socket.gethostname().split(".")[0] + ":9901")
        for host in ours:
            self.assertEqual(self.ask(request(host=host)).status, 200, host)
        for host in ("evil.example", "evil.example:9901", "localhost.evil.example", "evillocalhost", "127.0.0.1.evil.example", "example", "lb.example.evil"):
            got = self.ask(request(host=host))
            self.assertEqual(got.status, 421, host)
            self.assertIn(b"admin.hosts", got.body)
        for raw in (request(host=None), request(host=""), request(host=None, version="1.0"), request(host="a\r\nHost: b")):
            self.assertEqual(self.ask(raw).status, 400, raw)

    def test_malformed(self):
        self.start()
        cases = (
            (b"\x16\x03\x01\x02\x00\x01", 400),
            (b"GET /metrics\r\n\r\n", 400),
            (b"GET /metrics HTTP/3.0\r\nHost: localhost\r\n\r\n", 505),
            (b"GET /metrics HTTP/1.1\nHost: localhost\n\n", 400),
            (request(fields="X: a\r\n b\r\n"), 400),
            (request(fields="Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400),
            (request(fields="Transfer-Encoding: gzip\r\n"), 501),
            (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n", 405),
            (request(fields="X: y\r\n" * 100), 431),
            (request(fields="X: %s\r\n" % ("y" * HEAD_MAX)), 431),
            (b"GET /" + b"a" * 3 * HEAD_MAX, 431),
            (b"\r\n\r\n" + request(), 400),
        )
        for raw, status in cases:
            with self.subTest(raw[:60]):
                client = self.client(self.web)
                client.send(raw)
                self.assertEqual(client.whole_response().status, status)
                client.expect_closed()
        client = self.client(self.web)
        client.send(b"GET /metr").half_close()
        self.assertEqual(client.whole_response().status, 400)
        self.assertEqual(self.ask().status, 200)


class Others(WebCase):
    def test_many(self):
        """Nobody is locked out by those who are silent: the longest silent makes room."""
        tplb = self.start()
        first = self.client(self.web)
        self.ask(client=first)
        silent = [self.client(self.web) for _ in range(3 * PLACES)]
        self.assertEqual(self.ask().status, 200)
        first.expect_gone()
        gone = [c for c in silent if c.sock.setblocking(False) or self.is_gone(c)]
        self.assertGreaterEqual(len(gone), 2 * PLACES)
        self.assertLess(tplb.descriptors(), 2 * PLACES + 64)

    @staticmethod
    def is_gone(client):
        try:
            return client.sock.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def test_does_not_read(self):
        """Who asks and does not read is not listened to: it takes a place, and nobody else's time."""
        self.start()
        slow = [SlowReader(self.web) for _ in range(3)]
        self._clients += slow
        asked = b"".join(request() for _ in range(100))
        for client in slow:
            client.sock.settimeout(0.2)
            try:
                for _ in range(300):
                    client.sock.sendall(asked)
            except socket.timeout:
                pass
        self.assertEqual(self.ask().status, 200)
        self.assertEqual(self.client().get().status, 200)
        # And gets all of it once it reads.
        self.assertEqual([slow[0].whole_response().status for _ in range(100)], [200] * 100)

    @unittest.skipUnless(LONG, "30 s of patience: make check-long")
    def test_slow(self):
        """A head a byte at a time, and nothing at all, end after 30 s."""
        self.start()
        silent, slow = self.client(self.web, bound=3 * BOUND), self.client(self.web, bound=3 * BOUND)
        done = False
        for byte in request(fields="X: %s" % ("y" * 100)):
            slow.sock.settimeout(1)
            try:
                slow.sock.send(bytes([byte]))
                if slow.sock.recv(1) == b"":
                    done = True
                    break
            except socket.timeout:
                continue
            except (BrokenPipeError, ConnectionResetError):
                done = True
                break
        self.assertTrue(done)
        silent.expect_gone()

    def test_pool_is_full(self):
        """It answers when nobody else does, and while tplb drains."""
        server = self.server(stalled)
        tplb = self.start(server, pool={"workers": 1, "burst": 1}, queue={"size": 1, "timeout": "0s"})
        clients = [self.client() for _ in range(3)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        self.assertEqual(self.ask().status, 200)
        tplb.tell(signal.SIGTERM)
        tplb.wait_line("draining")
        self.assertEqual(self.ask().status, 200)
        for client in clients:
            client.close()
        server.gate.set()
        self.assertEqual(tplb.wait(), 0)


class Places(WebCase):
    def test_off_by_default(self):
        self.tplb(self.server())
        self.assertNotIn("pages are served", self.balancer.stderr)

    def test_unix(self):
        """Any Host will do there; the file is removed at the end."""
        tplb = self.start(bind="unix:@DIR@/web.sock")
        self.assertEqual(self.ask(request(host="evil.example")).status, 200)
        self.assertEqual(self.ask(request(host=None)).status, 400)
        path = self.web[len("unix:") :]
        tplb.stop()
        self.assertFalse(os.path.exists(path))

    def test_ipv6(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            self.skipTest("no IPv6 here")
        self.start(bind="[::1]:0")
        self.assertEqual(self.ask(request(host=self.web)).status, 200)

    @unittest.skipUnless(os.geteuid() == 0, "only root can become others")
    def test_two_processes(self):
        """Bound by the parent, served by the child in its sandbox, removed by the parent."""
        place = self.directory()
        os.chmod(place, 0o755)
        path = os.path.join(place, "web.sock")
        tplb = self.start(bind="unix:" + path, user="nobody")
        self.assertEqual(self.ask().status, 200)
        tplb.stop()
        self.assertFalse(os.path.exists(path))

    def test_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.fails("127.0.0.1:%d" % taken.getsockname()[1], r"Address already in use \(another program uses it")
        self.fails("unix:/nonexistent-folder/x", "No such file or directory")

    def fails(self, bind, pattern):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
            f.write('listeners = ( { bind = "127.0.0.1:0"; upstream = "up"; } );\n')
            f.write('upstreams = ( { name = "up"; servers = ( { address = "127.0.0.1:1"; } ); } );\n')
            f.write('admin = { bind = "%s"; };\n' % bind)
            f.flush()
            status, out, err = run(["-f", f.name])
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, r"tplb: admin\.bind: cannot listen on %s: %s" % (re.escape(bind), pattern))

    def test_reload(self):
        """It stays where it is, and another place is said to need a restart."""
        tplb = self.start(admin={"hosts": ["a.example"]})
        self.assertEqual(self.ask(request(host="a.example")).status, 200)
        with open(tplb.path) as f:
            text = f.read().replace('"a.example"', '"b.example"').replace("bind = \"127.0.0.1:0\";\n  hosts", "bind = \"127.0.0.2:0\";\n  hosts")
        with open(tplb.path, "w") as f:
            f.write(text)
        tplb.tell(signal.SIGHUP)
        said = tplb.wait_line(r"restart").string
        self.assertIn("admin.bind", said)
        self.assertIn("admin.hosts", said)
        self.assertEqual(self.ask(request(host="a.example")).status, 200)


if __name__ == "__main__":
    main(engines=False)
