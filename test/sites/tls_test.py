"""nginx with the certificate in front of tplb, by the samples behind-tls.conf and nginx-tls.conf."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import hashlib
import re
import signal
import socket
import ssl
import unittest

from support import tools
from support.raw import BOUND, Stream
from support.server import Server, answer, by_target
from support.sites import CERTIFICATE, DOCUMENTS, KEY, SiteCase, main, sample

CLIENT, FRONT = "10.0.0.100", "10.0.0.2"
ORIGINS = ["10.0.0.11:80", "10.0.0.12:80"]
LARGE = 8 << 20


def switch(connection, request):
    """To a protocol that gives back what it gets."""
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: %s\r\n\r\n" % request.get("Upgrade"))
    while connection.buf or connection.more():
        connection.send(connection.take(len(connection.buf)))
    return False


@unittest.skipUnless(*tools.missing("nginx"))
@unittest.skipUnless(*tools.missing("openssl"))
class Tls(SiteCase):
    HOSTS = {"client": [CLIENT], "front": [FRONT], "origins": ["10.0.0.11", "10.0.0.12"]}

    def setUp(self):
        super().setUp()
        self.large = os.urandom(LARGE)
        answers = {b"/large": answer(self.large), b"/socket": switch, b"/sum": self.sum_of}
        for address in ORIGINS:
            server = self.hosts["origins"].there(lambda address=address: Server(by_target(answers), address=address))
            server.address = address
            self._servers.append(server)
        folder = self.directory()
        key, self.cert = self.certificate(folder, "shop.example")
        self.paths = [(CERTIFICATE, self.cert), (KEY, key)]
        self.tplb_at("front", sample("behind-tls.conf"))
        nginx = self.nginx_at("front", folder, sample("sites/nginx-tls.conf", self.paths))
        self._processes.insert(0, nginx)
        self.wait_port(FRONT + ":443", nginx)

    @staticmethod
    def sum_of(connection, request):
        connection.send(answer(hashlib.sha256(request.body).hexdigest().encode()))

    def requests(self):
        return [r for server in self._servers for r in server.requests]

    def curl(self, target, *args, **options):
        return tools.run(
            "curl", "-sS", "--noproxy", "*", "-f", "--max-time", str(int(BOUND)), "--cacert", self.cert, "--resolve",
            "shop.example:443:" + FRONT, "--resolve", "shop.example:80:" + FRONT, *args, target, **options,
        )

    @unittest.skipUnless(*tools.missing("curl"))
    def test_servers_know_the_client(self):
        """Over HTTP/1.1 and HTTP/2, whatever the client says of itself."""
        lies = ["-H", "X-Forwarded-For: 192.0.2.66", "-H", "Forwarded: for=192.0.2.66", "-H", "X-Forwarded-Proto: gopher",
                "-H", "X-Forwarded-Host: other.example"]
        for version in ("--http1.1", "--http2"):
            self.assertEqual(self.curl("https://shop.example/" + version, version, *lies), b"ok")
            request = self.requests()[-1] if version == "--http1.1" else next(r for r in self.requests() if r.target == b"/--http2")
            self.assertEqual(request.all("X-Forwarded-For"), [CLIENT.encode() + b", 127.0.0.1"])
            self.assertEqual(request.all("X-Forwarded-Proto"), [b"https"])
            self.assertEqual(request.all("X-Forwarded-Host"), [b"shop.example"])
            self.assertEqual(request.all("Forwarded"), [])
            self.assertEqual(request.get("Host"), b"shop.example")

    @unittest.skipUnless(*tools.missing("curl"))
    def test_whole_road(self):
        """nginx, tplb, nginx: the last one logs the client."""
        for server in self._servers:
            server.stop()
        folder = self.directory()
        os.chmod(folder, 0o755)
        self.write(folder, "file", "from nginx")
        behind = self.nginx_at("origins", folder, sample("sites/nginx-origin.conf", [*self.paths, (DOCUMENTS, folder)]))
        self.wait_port(ORIGINS[0], behind)
        self.assertEqual(self.curl("https://shop.example/file", "-H", "X-Forwarded-For: 192.0.2.66"), b"from nginx")
        behind.stop(signal.SIGQUIT)
        with open(folder + "/access.log") as f:
            self.assertEqual([line.split(" ")[0] for line in f if "/file" in line], [CLIENT])

    @unittest.skipUnless(*tools.missing("curl"))
    def test_plain_is_sent_to_https(self):
        out = self.curl("http://shop.example/a?b", "-o", os.devnull, "-w", "%{http_code} %{redirect_url}")
        self.assertEqual(out, b"301 https://shop.example/a?b")

    @unittest.skipUnless(*tools.missing("curl"))
    def test_large_bodies(self):
        for version in ("--http1.1", "--http2"):
            self.assertTrue(self.curl("https://shop.example/large", version) == self.large)
            got = self.curl("https://shop.example/sum", version, "-H", "Expect:", "--data-binary", "@-", data=self.large)
            self.assertEqual(got, hashlib.sha256(self.large).hexdigest().encode())

    @unittest.skipUnless(*tools.missing("curl"))
    def test_refusals_are_the_clients_to_see(self):
        """tplb's 503 comes through with its reason and Retry-After."""
        for server in self._servers:
            server.stop()
        out = tools.run(
            "curl", "-sS", "--noproxy", "*", "-i", "--cacert", self.cert, "--resolve", "shop.example:443:" + FRONT, "https://shop.example/"
        ).decode()
        self.assertRegex(out, r"\AHTTP/2 503")
        self.assertRegex(out, r"(?i)\nretry-after: \d+\r\n")
        self.assertIn("connect_failed", out)

    def over_tls(self):
        context = ssl.create_default_context(cafile=self.cert)
        stream = Stream(context.wrap_socket(socket.create_connection((FRONT, 443), BOUND), server_hostname="shop.example"))
        self.addCleanup(stream.close)
        return stream

    def test_websocket(self):
        """An upgrade passes both, and holds while bytes go to and fro."""
        stream = self.over_tls()
        stream.send(b"GET /socket HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        self.assertTrue(stream.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 "))
        for n in range(50):
            data = b"%d" % n * 100
            stream.send(data)
            self.assertEqual(stream.read_exactly(len(data)), data)

    def test_connections_are_kept(self):
        """nginx opens few to tplb, and they do not end under it."""
        stream = self.over_tls()
        for n in range(100):
            stream.send(b"GET /%d HTTP/1.1\r\nHost: shop.example\r\n\r\n" % n)
            head = stream.read_until(b"\r\n\r\n")
            self.assertRegex(head, rb"\AHTTP/1.1 200 ")
            stream.read_exactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
        stream.close()
        self._processes[0].stop()
        counters = self.counters()
        self.assertEqual(counters["requests_answered"], 100)
        self.assertLess(counters["connections_accepted"], 4)
        self.assertLess(counters["server_connects"], 6)


if __name__ == "__main__":
    main()
