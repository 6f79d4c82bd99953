"""A request's id: made, or taken from a trusted proxy; told to the server, to the client by choice, and to the log."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import json
import os
import re

from support import expect
from support.case import WireCase, main
from support.raw import wait_until
from support.server import OK, each

MADE = re.compile(rb"[0-9a-f]{32}")
NAME = "X-Request-Id"
TRUSTED = {"request_id": NAME, "trusted": ["127.0.0.1"]}


class RequestId(WireCase):
    def start(self, *servers, forward=None, form="%{request_id} %{status} %{end}", **options):
        self.path = os.path.join(self.directory(), "access.log")
        self.origin = servers[0] if servers else self.server()
        return self.tplb(*(servers or [self.origin]), forward=forward or {"request_id": NAME}, log={"access": self.path, "format": form}, **options)

    def logged(self, count):
        def look():
            try:
                with open(self.path) as f:
                    lines = f.read().split("\n")[:-1]
            except FileNotFoundError:
                return None
            return lines if len(lines) >= count else None

        lines = wait_until(look, "%d lines" % count)
        self.assertEqual(len(lines), count)
        return lines

    def ask(self, *fields, client=None, target=b"/"):
        client = client or self.client()
        client.send(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n" + expect.lines(fields) + b"\r\n")
        return client.whole_response()

    def seen(self, n=1):
        return self.origin.wait_requests(n)

    def test_made(self):
        """One for each request; the server and the log have the same, and the client is not told."""
        self.start()
        client = self.client()
        ids = []
        for n in range(20):
            self.assertIsNone(self.ask(client=client if n % 2 else None).get(NAME))
        self.origin.wait_requests(20)
        for connection in self.origin.connections:
            for request in connection.requests:
                self.assertEqual(len(request.all(NAME)), 1)
                self.assertRegex(request.get(NAME), MADE)
                ids.append(request.get(NAME))
        self.assertEqual(len(set(ids)), 20)
        self.assertEqual(sorted(self.logged(20)), sorted(i.decode() + " 200 ok" for i in ids))

    def test_of_others(self):
        """Whoever is not trusted gets a new one, however it writes the field, and however often."""
        self.start()
        for fields in ([b"X-Request-Id: abc"], [b"x-request-ID: abc", b"X-REQUEST-ID: d"], [b"X-Request-Id:"]):
            with self.subTest(fields):
                before = len(self.origin_requests())
                self.ask(*fields)
                request = self.origin_request(before)
                self.assertEqual(len(request.all(NAME)), 1)
                self.assertRegex(request.get(NAME), MADE)

    def origin_requests(self):
        return [r for c in self.origin.connections for r in c.requests]

    def origin_request(self, before):
        wait_until(lambda: len(self.origin_requests()) > before, "the request at the server")
        return self.origin.wait_requests(before + 1)

    def test_of_a_trusted_proxy(self):
        self.start(forward=TRUSTED)
        kept = (b"abc", b"a" * 128, b"0b0c9c0a-7c8b-4dcb-9b1e-8d3f5d1a2b3c", b"Root=1-67891233-abcdef012345678912345678"[:37], b"AZaz09-._~+/=:@")
        made = ([b"X-Request-Id: " + b"a" * 129], [b"X-Request-Id: a b"], [b"X-Request-Id: a\"b"], [b"X-Request-Id: a,b"], [b"X-Request-Id: \xc3\xa4"], [b"X-Request-Id:"],
                [b"X-Request-Id: a", b"X-Request-Id: a"], [b"X-Request-Id: abc", b"Connection: x-request-id"], [])
        for n, value in enumerate(kept):
            self.ask(b"x-request-id: " + value)
            self.assertEqual(self.origin.wait_requests(n + 1).all(NAME), [value])
        for n, fields in enumerate(made):
            with self.subTest(fields):
                self.ask(*fields)
                got = self.origin.wait_requests(len(kept) + n + 1).all(NAME)
                self.assertEqual(len(got), 1)
                self.assertRegex(got[0], rb"\A[0-9a-f]{32}\Z")
        self.assertLessEqual({v.decode() + " 200 ok" for v in kept}, set(self.logged(len(kept) + len(made))))

    def test_answers(self):
        """With request_id_answer the client is told, by answers of ours as well; what the server says there gives way."""
        theirs = b"HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 2\r\n\r\nok"
        self.start(self.server(each(theirs)), forward=dict(TRUSTED, request_id_answer=True))
        self.assertEqual(self.ask(b"X-Request-Id: mine").all(NAME), [b"mine"])
        self.origin.stop()
        got = self.ask(b"X-Request-Id: again")
        self.assertEqual((got.status, got.all(NAME)), (503, [b"again"]))
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nX-Request-Id: unread\r\n\r\n")
        got = client.whole_response()
        self.assertEqual(got.status, 400)
        self.assertRegex(got.get(NAME), MADE)
        lines = set(self.logged(3))  # each worker's are in order, not those of all
        self.assertLessEqual({"mine 200 ok", "again 503 connect_failed", got.get(NAME).decode() + " 400 bad_host"}, lines)

    def test_answers_pass_as_they_are(self):
        self.start(self.server(each(b"HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 2\r\n\r\nok")))
        self.assertEqual(self.ask().all(NAME), [b"theirs"])

    def test_retried(self):
        """The server that lost the request and the one that answers it were given the same id."""
        lossy = self.server(lambda connection: connection.read_request())
        other = self.server()
        self.start(lossy, other, forward=dict(TRUSTED))
        for field in ([], [b"X-Request-Id: mine"]):
            for _ in range(2):  # one of the two begins at the one that loses it
                self.assertEqual(self.ask(*field).status, 200)
        lost = [r.get(NAME) for c in lossy.connections for r in c.requests]
        answered = [r.get(NAME) for c in other.connections for r in c.requests]
        self.assertTrue(lost)
        self.assertEqual(len(answered), 4)
        self.assertLessEqual(set(lost), set(answered))
        self.assertEqual(sorted(self.logged(4)), sorted(i.decode() + " 200 ok" for i in answered))

    def test_off(self):
        """The field passes as any other; the log may have an id all the same."""
        self.start(forward={"x_forwarded_for": False}, form='{"id": "%{request_id}"}')
        self.ask(b"X-Request-Id: abc")
        self.assertEqual(self.seen().all(NAME), [b"abc"])
        self.assertRegex(json.loads(self.logged(1)[0])["id"].encode(), MADE)

    def test_of_a_connection(self):
        """In tcp mode the log alone has one, and a line for each connection."""
        self.start(mode="tcp", forward={"via": "tplb"}, form="%{request_id} %{listener} %{server} %{request} %{bytes} %{end}")
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        self.assertIn(b"200", client.read_exactly(len(OK)))
        client.close()
        line = self.logged(1)[0].split()
        self.assertRegex(line[0].encode(), MADE)
        self.assertEqual(line[1:], ["web", self.origin.address, "-", str(len(OK)), "ok"])
        self.assertIsNone(self.seen().get(NAME))


if __name__ == "__main__":
    main(at_once=True)
