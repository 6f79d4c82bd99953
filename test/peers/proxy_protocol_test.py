"""PROXY protocol with those who speak it: HAProxy in front of tplb and behind it, nginx behind it."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import unittest

from support import expect, tools
from support.case import WireCase, main
from support.raw import wait_until
from support.tplb import Process

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"

NGINX = tools.NGINX + "http {" + tools.NGINX_HTTP + """
    server {
        listen unix:%(dir)s/nginx.sock proxy_protocol;
        location / { return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port"; }
    }
}
"""

# Each way of sending in front of tplb. The clients' addresses are those of the header that a test sends to HAProxy itself.
HAPROXY_IN_FRONT = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
%(sections)s
"""
IN_FRONT = """
listen %(name)s
    bind unix@%(dir)s/%(name)s.sock accept-proxy
    server s %(tplb)s %(options)s
"""
WAYS = {
    "v1": "send-proxy",
    "v2": "send-proxy-v2",
    "crc": "send-proxy-v2 proxy-v2-options crc32c",
    "tlvs": "send-proxy-v2-ssl-cn proxy-v2-options crc32c,unique-id",
}

HAPROXY_BEHIND = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend f
    bind unix@%(dir)s/behind.sock accept-proxy
    http-request return status 200 content-type text/plain lf-string "%%[src] %%[src_port] %%[dst] %%[dst_port]"
"""

CLIENTS = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", b"192.0.2.1", b"192.0.2.1 56324 198.51.100.7 443"),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", b"2001:db8::1", b"2001:db8::1 1 2001:db8::2 65535"),
]


class Peers(WireCase):
    def peer(self, name, folder, config, socket_name):
        path = os.path.join(folder, name + ".conf")
        with open(path, "w") as f:
            f.write(config)
        argv = {"nginx": ["-p", folder, "-c", path], "haproxy": ["-f", path]}[name]
        process = Process([tools.find(name), *argv])
        self.addCleanup(process.kill)
        socket_path = os.path.join(folder, socket_name)
        wait_until(lambda: os.path.exists(socket_path) or process.process.poll() is not None, name + "'s socket")
        if process.process.poll() is not None:
            self.skipTest("this %s does not start: %s" % (name, process.stderr))
        return process

    @unittest.skipUnless(*tools.missing("haproxy"))
    def test_haproxy_in_front(self):
        server = self.server()
        self.tplb(server, listener={"accept_proxy": True})
        folder = self.directory()
        sections = "".join(
            IN_FRONT % {"name": name, "dir": folder, "tplb": self.balancer.address, "options": options} for name, options in WAYS.items()
        )
        self.peer("haproxy", folder, HAPROXY_IN_FRONT % {"sections": sections}, list(WAYS)[-1] + ".sock")
        for name in WAYS:
            for header, peer, _ in CLIENTS:
                with self.subTest((name, header)):
                    client = self.client("unix:%s/%s.sock" % (folder, name)).send(header + GET)
                    self.assertEqual(client.whole_response().status, 200)
                    self.assertEqual(server.requests[-1].raw, expect.request(b"GET /x HTTP/1.1", [b"host: h"], peer=peer))
        counters = self.counters()
        self.assertEqual(counters["proxy_headers"], len(WAYS) * len(CLIENTS))
        self.assertNotIn("proxy_header_bad", counters)

    @unittest.skipUnless(*tools.missing("haproxy"))
    def test_haproxy_looks_whether_we_are_alive(self):
        """Its probes are LOCAL, and followed by nothing or by a request."""
        server = self.server()
        self.tplb(server, listener={"accept_proxy": True})
        folder = self.directory()
        sections = IN_FRONT % {"name": "one", "dir": folder, "tplb": self.balancer.address, "options": "send-proxy-v2 check inter 50ms"}
        sections += "    option httpchk GET /x HTTP/1.1\n    http-check send hdr Host h\n"
        self.peer("haproxy", folder, HAPROXY_IN_FRONT % {"sections": sections}, "one.sock")
        server.wait_requests(3)
        for request in server.requests[:3]:
            self.assertEqual(request.get("X-Forwarded-For"), b"127.0.0.1")
        self.assertNotIn("proxy_header_bad", self.counters())

    def ask_behind(self, address):
        for version in ("v1", "v2"):
            self.tplb(
                {"address": address, "send_proxy": version},
                listener={"accept_proxy": True},
                upstream={"health": {"type": "http", "interval": "20ms", "rise": 1, "fall": 1}},
            )
            for header, _, names in CLIENTS:
                with self.subTest((version, header)):
                    client = self.client().send(header + GET + GET)
                    for _ in range(2):
                        got = client.whole_response()
                        self.assertEqual((got.status, got.body), (200, names))
            client = self.client().send(b"PROXY UNKNOWN\r\n" + GET)
            own = "%s %d %s %d" % (client.sock.getsockname() + client.sock.getpeername())
            self.assertEqual(client.whole_response().body, own.encode())
            self.assertNotIn("probes_failed", self.counters())

    @unittest.skipUnless(*tools.missing("nginx"))
    def test_nginx_behind(self):
        folder = self.directory()
        self.peer("nginx", folder, NGINX % {"dir": folder}, "nginx.sock")
        self.ask_behind("unix:%s/nginx.sock" % folder)

    @unittest.skipUnless(*tools.missing("haproxy"))
    def test_haproxy_behind(self):
        folder = self.directory()
        self.peer("haproxy", folder, HAPROXY_BEHIND % {"dir": folder}, "behind.sock")
        self.ask_behind("unix:%s/behind.sock" % folder)


if __name__ == "__main__":
    main()
