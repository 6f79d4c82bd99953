"""What is asked for, and of whom: behaviours 21 to 24 of a strict proxy (RFC 9112 section 3.2, RFC 9110 section 9.3.6)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from support import expect
from support.case import main
from support.table import TableCase


def get(target, *fields):
    return b"GET " + target + b" HTTP/1.1\r\n" + expect.lines(fields) + b"\r\n"


class Target(TableCase):
    def test_21_host(self):
        self.refused("missing", get(b"/CASE"))
        self.refused("missing, with others", get(b"/CASE", b"X-Host: h", b"X-A: b"))
        self.refused("twice", get(b"/CASE", b"Host: h", b"Host: i"))
        self.refused("twice the same", get(b"/CASE", b"Host: h", b"Host: h"))
        self.refused("twice, apart", get(b"/CASE", b"Host: h", b"X-A: b", b"host: i"))
        for value in (
            b"", b"a b", b"a/b", b"user@h", b"h:port", b"h:80:80", b"h:-1", b"[::1", b"[::1]x", b"[zz::]", b"::1", b"h,i", b"h\\i", b"h?", b"h#",
            b"http://h", b"h\xe4", b"h%zz", b"h%", b"[::1]:80x", b":80", b"<h>", b'"h"', b"h^", b"h|i",
        ):
            if value == b"h,i":  # a sub-delim (RFC 3986): valid
                continue
            self.refused("invalid: %r" % value, get(b"/CASE", b"Host: " + value))
        for value in (b"h", b"H.example.", b"h:80", b"h:", b"127.0.0.1", b"127.0.0.1:65535", b"[::1]", b"[2001:db8::1]:8080", b"a_b", b"a%20b", b"x-~y"):
            self.passed(
                "valid: %r" % value, get(b"/CASE", b"Host: " + value), seen=expect.request(b"GET /CASE HTTP/1.1", [b"Host: " + value], host=value)
            )

    def test_21_host_in_http_1_0(self):
        """It may be missing there; the server still gets one, for what goes out is HTTP/1.1."""

        def one_host(request):
            self.assertEqual(request.version, b"HTTP/1.1")
            self.assertEqual(len(request.all("Host")), 1)

        self.passed("missing", b"GET /CASE HTTP/1.0\r\n\r\n", check_seen=one_host, after="closed")
        self.passed(
            "there", b"GET /CASE HTTP/1.0\r\nHost: x\r\n\r\n", after="closed",
            seen=expect.request(b"GET /CASE HTTP/1.1", [b"Host: x"], host=b"x", version=b"1.0"),
        )
        self.refused("twice", b"GET /CASE HTTP/1.0\r\nHost: h\r\nHost: i\r\n\r\n")
        self.refused("invalid", b"GET /CASE HTTP/1.0\r\nHost: a b\r\n\r\n")

    def test_22_absolute_form(self):
        def seen(target, host, method=b"GET", before=(), after=()):
            return expect.request(method + b" " + target + b" HTTP/1.1", [*before, b"Host: " + host, *after], host=host)

        self.passed("overrides Host", get(b"http://real/CASE", b"Host: other"), seen=seen(b"/CASE", b"real"))
        self.passed(
            "in its place", get(b"http://real/CASE", b"X-A: b", b"Host: other", b"X-C: d"),
            seen=seen(b"/CASE", b"real", before=[b"X-A: b"], after=[b"X-C: d"]),
        )
        self.passed("with a port", get(b"http://real:81/CASE", b"Host: real"), seen=seen(b"/CASE", b"real:81"))
        self.passed("the same", get(b"http://h/CASE", b"Host: h"), seen=seen(b"/CASE", b"h"))
        self.passed("IPv6", get(b"http://[::1]:81/CASE", b"Host: h"), seen=seen(b"/CASE", b"[::1]:81"))
        self.passed("the scheme has no case", get(b"HTTP://Real/CASE", b"Host: h"), seen=seen(b"/CASE", b"Real"))
        self.passed("a path of its own", get(b"http://real/CASE", b"Host: h"), seen=seen(b"/CASE", b"real"))
        self.passed("an absolute target in a path", get(b"/CASE", b"Host: h"), seen=seen(b"/CASE", b"h"))

    def test_22_absolute_form_without_a_path(self):
        """An empty path goes out as "/", or as "*" with OPTIONS (RFC 9112 sections 3.2.1 and 3.2.4)."""
        for method, sent, seen in (
            (b"GET", b"http://real", b"/"),
            (b"GET", b"http://real:81", b"/"),
            (b"GET", b"http://real?q=1", b"/?q=1"),
            (b"OPTIONS", b"http://real", b"*"),
            (b"OPTIONS", b"http://real/", b"/"),
        ):
            with self.subTest(method + b" " + sent):
                before = len(self.origin.requests)
                client = self.connect()
                client.send(method + b" " + sent + b" HTTP/1.1\r\nHost: h\r\n\r\n")
                self.assertEqual(client.whole_response().status, 200)
                self.assertEqual(self.origin.wait_requests(before + 1).target, seen)
                self.assertEqual(self.origin.requests[before].get("Host"), sent[len(b"http://") :].partition(b"?")[0].rstrip(b"/"))
                client.close()

    def test_22_bad_absolute_form(self):
        self.refused("no Host", get(b"http://real/CASE"))
        for target in (
            b"http:///CASE", b"http://user@real/CASE", b"http://u:p@real/CASE", b"http://real:x/CASE", b"ftp://real/CASE", b"http:/CASE",
            b"http:CASE", b"file:///CASE", b"real/CASE", b"real:80/CASE", b"http://a b/CASE", b"http://[::1/CASE", b"http://a\\b/CASE", b"//",
        ):
            if target == b"//":
                continue
            self.refused(repr(target), get(target, b"Host: h", b"X-Marker: /CASE"))

    def test_paths_go_on_as_they_came(self):
        """No normalisation: what the server reads is what the client wrote."""
        for target in (
            b"/CASE/../x", b"/CASE/./x", b"//CASE", b"/CASE//x", b"/CASE%2e%2e%2f", b"/CASE?a=b&c=%00", b"/CASE?", b"/CASE;p=1", b"/CASE??x/?y",
            b"/CASE:80", b"/CASE?http://x/", b"/CASE/%zz", b"/CASE'()*!$,",
        ):
            name = self.fresh()
            with self.subTest(target):
                filled = target.replace(b"/CASE", name)
                client = self.connect()
                self.assertEqual(client.get(filled).status, 200)
                self.assertEqual(self.origin.wait_request(filled).raw, expect.request(b"GET " + filled + b" HTTP/1.1", [b"Host: h"]))
                client.close()

    def test_bad_paths(self):
        for target in (b"/CASE#fragment", b"/CASE\xe4", b"/CASE\x7f", b"/CASE\x01"):
            self.refused(repr(target), get(target, b"Host: h"))

    def test_23_authority_and_asterisk_form(self):
        self.refused("GET authority", get(b"h:80", b"Host: h:80", b"X-Marker: /CASE"))
        self.refused("GET *", get(b"*", b"Host: h", b"X-Marker: /CASE"))
        self.refused("POST *", b"POST * HTTP/1.1\r\nHost: h\r\nX-Marker: /CASE\r\nContent-Length: 0\r\n\r\n")
        self.refused("OPTIONS **", b"OPTIONS ** HTTP/1.1\r\nHost: h\r\nX-Marker: /CASE\r\n\r\n")
        with self.subTest("OPTIONS *"):
            client = self.connect()
            client.send(b"OPTIONS * HTTP/1.1\r\nHost: star\r\n\r\n")
            self.assertEqual(client.whole_response().status, 200)
            self.origin.wait(lambda: any(r.raw == expect.request(b"OPTIONS * HTTP/1.1", [b"Host: star"], host=b"star") for r in self.origin.requests))

    def test_24_connect(self):
        for name, target, rest in (
            ("plain", b"h:80", b""),
            ("with bytes for the tunnel", b"h:80", b"GET /CASE/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"),
            ("tplb itself", b"127.0.0.1:80", b""),
        ):
            self.refused(name, b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\nX-Marker: /CASE\r\n\r\n" + rest, (405,))
        self.refused("a path", b"CONNECT /CASE HTTP/1.1\r\nHost: h\r\n\r\n", (400, 405))


if __name__ == "__main__":
    main()
