"""Who is the client? X-Forwarded-For, -Proto and -Host, Forwarded, forward.trusted, Via."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from support import expect
from support.case import WireCase, main

CLAIMS = [b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: example.com"]


class Forwarded(WireCase):
    def seen(self, fields, host=b"h", **options):
        server = self.server()
        self.tplb(server, **options)
        client = self.client()
        client.send(b"GET /x HTTP/1.1\r\nHost: " + host + b"\r\n" + expect.lines(fields) + b"\r\n")
        self.assertEqual(client.whole_response().status, 200)
        return server.wait_requests(1)

    def values(self, request, name):
        """All values of a list field, as one list."""
        return [v.strip() for line in request.all(name) for v in line.split(b",")]

    def test_told(self):
        request = self.seen([b"X-A: b"], host=b"example.org:81")
        self.assertEqual(request.raw, expect.request(b"GET /x HTTP/1.1", [b"Host: example.org:81", b"X-A: b"], host=b"example.org:81"))

    def test_untrusted_claims_are_replaced(self):
        for fields in (
            CLAIMS,
            [b"x-forwarded-for: 1.2.3.4", b"X-FORWARDED-PROTO: https", b"X-Forwarded-host: example.com"],
            CLAIMS + CLAIMS,
            [b"X-Forwarded-For:", b"X-Forwarded-For: 127.0.0.1, 1.2.3.4"],
        ):
            with self.subTest(fields):
                request = self.seen(fields)
                self.assertEqual(request.raw, expect.request(b"GET /x HTTP/1.1", [b"Host: h"]))

    def test_a_trusted_proxy_is_believed(self):
        for trusted in (["127.0.0.1"], ["127.0.0.0/8"], ["10.0.0.0/8", "127.0.0.1/32", "::1"]):
            with self.subTest(trusted):
                request = self.seen(CLAIMS, forward={"trusted": trusted})
                self.assertEqual(self.values(request, "X-Forwarded-For"), [b"1.2.3.4", b"127.0.0.1"])
                self.assertEqual(request.get("X-Forwarded-Proto"), b"https")
                self.assertEqual(request.get("X-Forwarded-Host"), b"example.com")

    def test_a_trusted_proxy_with_a_list(self):
        request = self.seen([b"X-Forwarded-For: 1.2.3.4, 5.6.7.8", b"X-Forwarded-For: 9.9.9.9"], forward={"trusted": ["127.0.0.1"]})
        self.assertEqual(self.values(request, "X-Forwarded-For"), [b"1.2.3.4", b"5.6.7.8", b"9.9.9.9", b"127.0.0.1"])
        self.assertEqual(request.get("X-Forwarded-Proto"), b"http")
        self.assertEqual(request.get("X-Forwarded-Host"), b"h")

    def test_a_trusted_proxy_that_claims_nothing(self):
        request = self.seen([], forward={"trusted": ["127.0.0.1"]})
        self.assertEqual(request.raw, expect.request(b"GET /x HTTP/1.1", [b"Host: h"]))

    def test_another_is_trusted(self):
        request = self.seen(CLAIMS, forward={"trusted": ["10.0.0.0/8", "::1", "unix:"]})
        self.assertEqual(request.raw, expect.request(b"GET /x HTTP/1.1", [b"Host: h"]))

    def test_unix_client(self):
        request = self.seen(CLAIMS, bind="unix:web.sock")
        self.assertEqual(self.values(request, "X-Forwarded-For"), [b"unix:"])
        request = self.seen(CLAIMS, bind="unix:web.sock", forward={"trusted": ["unix:"]})
        self.assertEqual(self.values(request, "X-Forwarded-For"), [b"1.2.3.4", b"unix:"])
        self.assertEqual(request.get("X-Forwarded-Proto"), b"https")

    def test_off(self):
        """Then nothing is added, and nothing is taken away."""
        request = self.seen(CLAIMS, forward={"x_forwarded_for": False})
        self.assertEqual(request.raw, b"GET /x HTTP/1.1\r\nHost: h\r\n" + expect.lines(CLAIMS) + b"Via: 1.1 tplb\r\n\r\n")

    def test_rfc7239(self):
        """`forwarded`: what is known, behind what a trusted proxy says; alone or beside X-Forwarded."""
        claim = [b'Forwarded: for=192.0.2.1;proto=https, for="[2001:db8::1]"']
        ours = b"for=127.0.0.1;host=h;proto=http"
        via = b"Via: 1.1 tplb\r\n\r\n"
        head = b"GET /x HTTP/1.1\r\nHost: h\r\n"
        request = self.seen(claim + CLAIMS, forward={"forwarded": True, "x_forwarded_for": False})
        self.assertEqual(request.raw, head + b"Forwarded: " + ours + b"\r\n" + via)
        request = self.seen(claim, forward={"forwarded": True, "x_forwarded_for": False, "trusted": ["127.0.0.1"]})
        self.assertEqual(request.raw, head + claim[0] + b", " + ours + b"\r\n" + via)
        request = self.seen(claim, host=b"h:81", forward={"forwarded": True})
        self.assertEqual(request.get("Forwarded"), b'for=127.0.0.1;host="h:81";proto=http')
        self.assertEqual(self.values(request, "X-Forwarded-For"), [b"127.0.0.1"])

    def test_forwarded_is_a_claim_too(self):
        """Without `forwarded` it goes on from a trusted proxy only."""
        claim = [b"Forwarded: for=1.2.3.4"]
        self.assertIsNone(self.seen(claim).get("Forwarded"))
        self.assertEqual(self.seen(claim, forward={"trusted": ["127.0.0.1"]}).get("Forwarded"), b"for=1.2.3.4")
        self.assertEqual(self.seen(claim, forward={"x_forwarded_for": False}).get("Forwarded"), b"for=1.2.3.4")

    def test_absolute_target(self):
        """X-Forwarded-Host is the host that was asked for."""
        server = self.server()
        self.tplb(server)
        client = self.client()
        client.send(b"GET http://real/x HTTP/1.1\r\nHost: h\r\n\r\n")
        client.whole_response()
        self.assertEqual(server.wait_requests(1).get("X-Forwarded-Host"), b"real")

    def test_via(self):
        server = self.server()
        self.tplb(server, forward={"via": "edge-1"})
        got = self.client().get()
        self.assertEqual(got.get("Via"), b"1.1 edge-1")
        self.assertEqual(server.wait_requests(1).get("Via"), b"1.1 edge-1")

    def test_no_via(self):
        server = self.server()
        self.tplb(server, forward={"via": ""})
        got = self.client().get()
        self.assertIsNone(got.get("Via"))
        self.assertIsNone(server.wait_requests(1).get("Via"))


if __name__ == "__main__":
    main()
