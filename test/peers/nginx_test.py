"""nginx as the server: 64 KiB files over kept connections, whole and right."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import hashlib
import os
import threading
import unittest

from support import tools
from support.case import WireCase, main
from support.raw import BOUND, wait_until
from support.tplb import Process

CONFIG = tools.NGINX + "http {" + tools.NGINX_HTTP + """
    keepalive_requests 100000;
    server {
        listen unix:%(dir)s/nginx.sock;
        root %(dir)s/files;
        location /short { alias %(dir)s/files; keepalive_timeout 0; }
        location /few { alias %(dir)s/files; keepalive_requests 3; }
        location /put { client_max_body_size 1k; return 200 "ok"; }
    }
}
"""


@unittest.skipUnless(*tools.missing("nginx"))
class Nginx(WireCase):
    COUNT = 16

    def setUp(self):
        super().setUp()
        folder = self.directory()
        os.mkdir(os.path.join(folder, "files"))
        self.sums = []
        for n in range(self.COUNT):
            data = os.urandom(65536)
            self.sums.append(hashlib.sha256(data).hexdigest())
            with open(os.path.join(folder, "files", "%d.bin" % n), "wb") as f:
                f.write(data)
        config = os.path.join(folder, "nginx.conf")
        with open(config, "w") as f:
            f.write(CONFIG % {"dir": folder})
        nginx = Process([tools.find("nginx"), "-p", folder, "-c", config])
        self.addCleanup(nginx.kill)
        socket_path = os.path.join(folder, "nginx.sock")
        wait_until(lambda: os.path.exists(socket_path) or nginx.process.poll() is not None, "nginx's socket")
        if nginx.process.poll() is not None:
            self.skipTest("this nginx does not start: " + nginx.stderr)
        self.tplb("unix:" + socket_path)

    def fetch(self, client, n, prefix=b"/"):
        got = client.get(prefix + b"%d.bin" % n)
        self.assertEqual(got.status, 200)
        self.assertEqual(hashlib.sha256(got.body).hexdigest(), self.sums[n])

    def test_files(self):
        client = self.client()
        for n in range(200):
            self.fetch(client, n % self.COUNT)

    def test_server_that_does_not_keep(self):
        client = self.client()
        for n in range(100):
            self.fetch(client, n % self.COUNT, b"/short/")

    def test_server_that_keeps_for_three(self):
        client = self.client()
        for n in range(100):
            self.fetch(client, n % self.COUNT, b"/few/")

    def test_many_clients(self):
        failures = []

        def load(first):
            try:
                client = self.client()
                for n in range(60):
                    self.fetch(client, (first + n) % self.COUNT)
            except Exception as e:
                failures.append(e)

        threads = [threading.Thread(target=load, args=(n,), daemon=True) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(BOUND * 2)
        self.assertEqual(failures, [])

    def test_head_range_and_condition(self):
        client = self.client()
        client.send(b"HEAD /0.bin HTTP/1.1\r\nHost: h\r\n\r\n")
        got = client.whole_response(b"HEAD")
        self.assertEqual(got.get("Content-Length"), b"65536")
        got = client.get(b"/0.bin", extra=b"Range: bytes=100-199\r\n")
        self.assertEqual((got.status, len(got.body)), (206, 100))
        got = client.get(b"/0.bin", extra=b"If-None-Match: " + got.get("ETag") + b"\r\n")
        self.assertEqual((got.status, got.body), (304, b""))
        got = client.get(b"/nothing")
        self.assertEqual(got.status, 404)
        self.fetch(client, 0)

    def test_early_413(self):
        """nginx refuses a large body at once and closes: its 413 arrives."""
        client = self.client()
        client.send(b"POST /put HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n")
        client.try_send(b"x" * 20000000)
        self.assertEqual(client.response().status, 413)

    def test_pipelined(self):
        client = self.client()
        client.send(b"".join(b"GET /%d.bin HTTP/1.1\r\nHost: h\r\n\r\n" % (n % self.COUNT) for n in range(50)))
        for n in range(50):
            self.assertEqual(hashlib.sha256(client.whole_response().body).hexdigest(), self.sums[n % self.COUNT])


if __name__ == "__main__":
    main()
