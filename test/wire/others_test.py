"""
What others think of the same bytes: cases of llhttp, h1spec, Http11Probe, HAProxy's own tests and the HTTP Garden (test/vectors/*.json:
bytes and verdicts, the source named there), replayed. Where tplb's verdict is another, test/vectors/*.deviations says so and why; what is not told there is a
failure, and so is what is told and does not hold any more.
"""

import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from support import message
from support.case import WireCase, main
from support.expect import check_own_answer
from support.raw import Client
from support.server import OK, Server
from support.tplb import Tplb, one_listener

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "vectors")
REFUSALS = (400, 405, 408, 414, 417, 431, 501, 505)
REQUEST_LINE = re.compile(rb"(?m)^[A-Z-]+ [^ ]+ HTTP/1\.1\r\n")


def cases_of(suite):
    with open(os.path.join(FOLDER, suite + ".json"), encoding="utf-8") as f:
        cases = json.load(f)["cases"]
    for case in cases:
        case["bytes"] = case["bytes"].encode("latin-1")
    return cases


def deviations_of(suite):
    """{id: (verdict, reason)}: a line "VERDICT: reason", and below it the cases, indented."""
    found, verdict, reason = {}, None, None
    with open(os.path.join(FOLDER, suite + ".deviations"), encoding="utf-8") as f:
        for line in f:
            if line.startswith("#") or not line.strip():
                continue
            if not line.startswith(" "):
                verdict, _, reason = line.strip().partition(": ")
                continue
            if line.strip() in found:
                raise AssertionError("%s is listed twice" % line.strip())
            found[line.strip()] = (verdict, reason)
    return found


def with_host(data):
    """The same with a Host in every head of HTTP/1.1 that has none: llhttp is about syntax, and does not ask for it."""
    found, at = [], 0
    for m in REQUEST_LINE.finditer(data):
        found.append(data[at : m.end()])
        at = m.end()
        if not re.search(rb"(?im)^[ \t]?host[ \t]*:", data[at:].partition(b"\r\n\r\n")[0]):
            found.append(b"Host: h\r\n")
    return b"".join(found) + data[at:]


class Others(WireCase):
    @classmethod
    def setUpClass(cls):
        cls.answer = OK

        def script(connection):
            while connection.read_request():
                connection.send(cls.answer)
                if cls.answer is not OK:
                    return

        cls.origin = Server(script)
        cls.shared = Tplb(one_listener([cls.origin], upstream={"keepalive": 0}))

    @classmethod
    def tearDownClass(cls):
        try:
            cls.shared.stop()
        finally:
            cls.origin.stop()

    def request(self, data):
        """What tplb makes of a client's bytes: "reject" or "accept", and how many requests the server saw whole."""
        type(self).answer = OK
        start = len(self.origin.connections)
        client = Client(self.shared.address)
        try:
            if client.try_send(data):
                client.half_close()
            rest = client.read_to_end()
            self.assertFalse(client.was_reset)
        finally:
            client.close()
        methods = re.findall(rb"(?m)^(HEAD|[A-Z-]+) ", data)
        statuses = []
        while rest.startswith(b"HTTP/"):
            method = methods[len([s for s in statuses if s >= 200])] if len(statuses) < len(methods) else b"GET"
            responses = message.parse_responses(rest, method)
            statuses += [r.status for r in responses]
            if responses[-1].status in REFUSALS:
                check_own_answer(responses[-1].raw, REFUSALS, b"close", head=method == b"HEAD")
            rest = responses[-1].after
        self.assertEqual(rest, b"")
        connections = self.origin.connections[start:]
        self.origin.wait(lambda: all(c.finished for c in connections))
        seen = sum(r.complete for c in connections for r in c.requests)
        if statuses and statuses[-1] in REFUSALS:
            return "reject", seen
        if not connections and not statuses and b"\r\n\r\n" not in data:
            return "incomplete", 0  # within the head, which is looked at when it is whole: nothing of it has gone on
        return "accept", seen

    def response(self, data):
        """What tplb makes of a server's bytes, after which it closes: "accept" and 1 when the client got it whole, 0 when cut short."""
        type(self).answer = data
        client = Client(self.shared.address)
        try:
            upgrade = b"Connection: upgrade\r\nUpgrade: h2c\r\n" if b" 101 " in data[:16] else b""
            client.send(b"GET /r HTTP/1.1\r\nHost: h\r\n" + upgrade + b"Connection: close\r\n\r\n")
            responses = message.parse_responses(client.read_to_end())
        finally:
            client.close()
        self.assertTrue(responses or client.was_reset)
        if not responses or responses[-1].status == 502:
            return "reject", 0
        return ("accept", 1) if responses[-1].complete and not client.was_reset else ("cut", 0)

    @staticmethod
    def agree(case, ours):
        """Whether this is the same verdict."""
        verdict, whole = ours
        if case["verdict"] == "either":
            return True
        if case["verdict"] == "reject":
            return verdict != "accept" and (case["kind"] == "response" or whole == case["messages"])
        if case["kind"] == "response":
            return verdict == "accept" or case["messages"] == 0 and verdict == "cut"
        return verdict in ("accept", "incomplete") and whole == case["messages"]

    def replay(self, suite, change=bytes):
        told = deviations_of(suite)
        cases = cases_of(suite)
        self.assertEqual(set(told) - {c["id"] for c in cases}, set(), "deviations of no case")
        for case in cases:
            with self.subTest(case["id"], bytes=case["bytes"]):
                ours = self.request(change(case["bytes"])) if case["kind"] == "request" else self.response(case["bytes"])
                if case["id"] in told:
                    self.assertFalse(self.agree(case, ours), "it does not deviate, but is listed: " + told[case["id"]][1])
                    self.assertEqual("%s %d" % ours, told[case["id"]][0])
                else:
                    self.assertTrue(self.agree(case, ours), "%s %d here, %s %s there" % (*ours, case["verdict"], case["messages"]))

    def test_llhttp(self):
        self.replay("llhttp", with_host)

    def test_without_host(self):
        """llhttp's as they are: what lacks Host in HTTP/1.1 is refused, whatever it is otherwise (RFC 9112 section 3.2)."""
        count = 0
        for case in cases_of("llhttp"):
            data = case["bytes"]
            first = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
            if case["kind"] == "request" and first[1] and with_host(first[0] + first[1]) != first[0] + first[1]:
                with self.subTest(case["id"], bytes=data):
                    self.assertEqual(self.request(data), ("reject", 0))
                    count += 1
        self.assertGreater(count, 50)

    def test_h1spec(self):
        self.replay("h1spec")

    def test_haproxy(self):
        self.replay("haproxy")

    def test_http11probe(self):
        self.replay("http11probe")

    def test_http_garden(self):
        self.replay("http-garden", with_host)


if __name__ == "__main__":
    main()
