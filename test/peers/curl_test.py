"""curl against tplb in front of tplb-origin."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import hashlib
import os
import unittest

from support import tools
from support.case import WireCase, main
from support.tplb import Origin

GREETING = b"Ini Adalah web Server percobaan"


@unittest.skipUnless(*tools.missing("curl"))
class Curl(WireCase):
    def setUp(self):
        super().setUp()
        self.folder = self.directory()
        self.data = bytes(range(256)) * 4000
        with open(os.path.join(self.folder, "file.bin"), "wb") as f:
            f.write(self.data)
        origins = [self.started(Origin("-r", self.folder)) for _ in range(2)]
        # the balancer is to end before its servers
        self.tplb(*origins)
        self._processes.insert(0, self._processes.pop())

    def curl(self, path, *args, **options):
        return tools.run("curl", "-sS", "--noproxy", "*", "--max-time", "60", *args, "http://" + self.balancer.address + path, **options)

    def test_get(self):
        self.assertEqual(self.curl("/", "-f"), GREETING)
        self.assertEqual(self.curl("/santai", "-f"), b"santai saja")

    def test_redirect(self):
        out = self.curl("/video", "-o", os.devnull, "-w", "%{http_code} %{redirect_url}")
        self.assertRegex(out, rb"^302 \S+")

    def test_not_found(self):
        self.assertEqual(self.curl("/nothing", "-o", os.devnull, "-w", "%{http_code}"), b"404")

    def test_head(self):
        out = self.curl("/file.bin", "-f", "-I").lower()
        self.assertTrue(out.startswith(b"http/1.1 200"))
        self.assertIn(b"\r\ncontent-length: %d\r\n" % len(self.data), out)
        self.assertIn(b"\r\nvia: ", out)

    def test_file(self):
        self.assertTrue(self.curl("/file.bin", "-f") == self.data)

    def test_range(self):
        self.assertEqual(self.curl("/file.bin", "-f", "-r", "100-199"), self.data[100:200])
        self.assertEqual(self.curl("/file.bin", "-f", "-r", "-5"), self.data[-5:])
        out = self.curl("/file.bin", "-r", "99999999-", "-o", os.devnull, "-w", "%{http_code}")
        self.assertEqual(out, b"416")

    def upload(self, size, *args):
        body = os.urandom(65536) * (size // 65536)
        path = os.path.join(self.folder, "upload.bin")
        with open(path, "wb") as f:
            f.write(body)
        out = self.curl("/echo", "-f", *args, "--data-binary", "@" + path)
        head, _, echoed = out.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"POST /echo HTTP/1.1\r\n"), head[:200])
        self.assertEqual(hashlib.sha256(echoed).hexdigest(), hashlib.sha256(body).hexdigest())
        return head

    def test_post_10_mb(self):
        head = self.upload(10 << 20)
        self.assertIn(b"\r\nContent-Length: %d\r\n" % (10 << 20), head)

    def test_chunked_upload(self):
        head = self.upload(10 << 20, "-H", "Transfer-Encoding: chunked")
        self.assertIn(b"\r\nTransfer-Encoding: chunked", head)

    def test_expect_100_continue(self):
        head = self.upload(2 << 20, "-H", "Expect: 100-continue", "--expect100-timeout", "30")
        self.assertIn(b"\r\nExpect: 100-continue\r\n", head)

    def test_chunked_from_standard_input(self):
        body = os.urandom(100000)
        out = self.curl("/echo", "-f", "-X", "POST", "-T", "-", data=body)
        self.assertTrue(out.endswith(body))

    def test_http_1_0(self):
        self.assertEqual(self.curl("/", "-f", "--http1.0"), GREETING)
        self.assertTrue(self.curl("/file.bin", "-f", "--http1.0") == self.data)
        self.assertEqual(len(self.curl("/chunked/100000", "-f", "--http1.0")), 100000)
        self.assertEqual(len(self.curl("/close/100000", "-f", "--http1.0")), 100000)

    def test_framings(self):
        for path in ("/bytes/1000000", "/chunked/1000000", "/close/1000000"):
            with self.subTest(path):
                self.assertEqual(len(self.curl(path, "-f")), 1000000)

    def test_keep_alive(self):
        """20 requests of one curl take one connection."""
        urls = []
        for n in range(19):
            urls += ["http://%s/santai" % self.balancer.address, "-o", os.devnull]
        out = self.curl("/santai", "-f", *urls, "-o", os.devnull, "-w", "%{num_connects} %{http_code}\n")
        lines = out.split()
        self.assertEqual(lines[1::2], [b"200"] * 20)
        self.assertEqual(sum(map(int, lines[0::2])), 1)

    def test_statuses(self):
        for status in (200, 201, 204, 304, 400, 404, 500, 503):
            with self.subTest(status):
                out = self.curl("/status/%d" % status, "-o", os.devnull, "-w", "%{http_code}")
                self.assertEqual(out, b"%d" % status)

    def test_interim(self):
        out = self.curl("/status/103", "-i")
        self.assertIn(b"103 Early Hints", out)
        self.assertIn(b"HTTP/1.1 200 OK", out)

    def test_conditional(self):
        etag = [
            line.split(b" ", 1)[1].decode() for line in self.curl("/file.bin", "-f", "-I").split(b"\r\n") if line.lower().startswith(b"etag:")
        ]
        if not etag:
            self.skipTest("tplb-origin sends no ETag")
        out = self.curl("/file.bin", "-H", "If-None-Match: " + etag[0], "-o", os.devnull, "-w", "%{http_code} %{size_download}")
        self.assertEqual(out, b"304 0")

    def test_ten_in_parallel(self):
        urls = []
        for n in range(29):
            urls += ["http://%s/file.bin" % self.balancer.address, "-o", os.path.join(self.folder, "out%d" % n)]
        self.curl("/file.bin", "-f", "-Z", "--parallel-max", "10", *urls, "-o", os.path.join(self.folder, "out29"))
        for n in range(30):
            with open(os.path.join(self.folder, "out%d" % n), "rb") as f:
                self.assertTrue(f.read() == self.data)


if __name__ == "__main__":
    main()
