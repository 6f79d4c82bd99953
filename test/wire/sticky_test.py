"""Sticky sessions: a cookie names the server, and where that is gone another takes over."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re

from support.case import WireCase, main
from support.server import answer, by_target


class Sticky(WireCase):
    def start(self, count=3, sticky=None, rows=None, max_fails=1, **options):
        self.servers = [self.server(by_target({}, answer(b"%d" % n))) for n in range(count)]
        rows = [dict({"address": s.address}, **(rows or {}).get(n, {})) for n, s in enumerate(self.servers)]
        upstream = {"sticky": dict({"cookie": "TPLB"}, **(sticky or {})), "passive": {"max_fails": max_fails}}
        self.tplb(*rows, upstream=upstream, **options)

    def ask(self, cookie=None, client=None):
        """(the server's number, the Set-Cookie fields)"""
        client = client or self.client()
        field = b"Cookie: %s\r\n" % cookie if cookie is not None else b""
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n%s\r\n" % field)
        response = client.whole_response()
        self.assertEqual(response.status, 200)
        cookies = response.all("Set-Cookie")
        self.assertEqual(response.all("Cache-Control"), [b"private"] * len(cookies))
        return int(response.body), cookies

    def new(self):
        number, cookies = self.ask()
        self.assertEqual(len(cookies), 1)
        return number, cookies[0].split(b";")[0]

    def test_stays(self):
        self.start()
        seen = set()
        for _ in range(6):
            number, cookie = self.new()
            seen.add(number)
            for _ in range(5):
                self.assertEqual(self.ask(cookie), (number, []))
            self.assertEqual(self.ask(b"a=1; %s; b=2" % cookie), (number, []))
        self.assertEqual(seen, {0, 1, 2})

    def test_what_is_set(self):
        for sticky, pattern in (
            ({}, rb"TPLB=[0-9a-f]{16}; Path=/; HttpOnly; SameSite=Lax"),
            ({"cookie": "SRV", "path": "/a", "domain": "x.example", "max_age": "1h", "secure": True,
              "http_only": False, "same_site": "none"},
             rb"SRV=[0-9a-f]{16}; Path=/a; Domain=x.example; Max-Age=3600; Secure; SameSite=None"),
            ({"same_site": "", "http_only": False}, rb"TPLB=[0-9a-f]{16}; Path=/"),
        ):  # fmt: skip
            with self.subTest(sticky):
                self.start(sticky=sticky)
                _, cookies = self.ask()
                self.assertTrue(re.fullmatch(pattern, cookies[0]), cookies)

    def test_not_ours(self):
        """A cookie that names no server here is as good as none."""
        self.start()
        for cookie in (b"TPLB=", b"TPLB=0000000000000000", b"TPLB", b"XTPLB=1", b";;;=", b"tplb=0", b"TPLB=" + b"f" * 2000):
            with self.subTest(cookie):
                self.assertEqual(len(self.ask(cookie)[1]), 1)

    def test_name_is_whole(self):
        """The name must be the whole name, in its own case; the first of several counts."""
        self.start()
        number, cookie = self.new()
        other = next(c for n, c in (self.new() for _ in range(5)) if n != number)
        self.assertEqual(self.ask(cookie + b"; " + other), (number, []))
        self.assertEqual(len(self.ask(b"X" + cookie)[1]), 1)
        self.assertEqual(len(self.ask(cookie.lower())[1]), 1)

    def test_the_server_gets_it(self):
        self.start(1)
        _, cookie = self.new()
        self.ask(b"a=1; " + cookie)
        self.assertIn(b"\r\nCookie: a=1; %s\r\n" % cookie, bytes(self.servers[0].requests[-1].raw_head))

    def test_gone(self):
        """Its server is gone, be it known yet or not: another one takes over, and the client stays with that."""
        for max_fails in (1, 0):
            with self.subTest(max_fails):
                self.start(max_fails=max_fails)
                number, cookie = self.new()
                self.servers[number].stop()
                other, cookies = self.ask(cookie)
                self.assertNotEqual(other, number)
                self.assertEqual(len(cookies), 1)
                for _ in range(5):
                    self.assertEqual(self.ask(cookies[0].split(b";")[0]), (other, []))

    def test_draining(self):
        """Nothing new for a server that drains, but its own come."""
        self.start()
        cookies = {}
        for _ in range(3):
            number, cookie = self.new()
            cookies[number] = cookie
        addresses = [s.address for s in self.servers]
        self.finish()
        rows = [{"address": a} for a in addresses]
        rows[1]["state"] = "drain"
        rows[2]["state"] = "maint"
        self.tplb(*rows, upstream={"sticky": {"cookie": "TPLB"}})
        self.assertEqual({self.ask()[0] for _ in range(6)}, {0})
        self.assertEqual(self.ask(cookies[1]), (1, []))
        number, again = self.ask(cookies[2])
        self.assertEqual((number, len(again)), (0, 1))


if __name__ == "__main__":
    main()
