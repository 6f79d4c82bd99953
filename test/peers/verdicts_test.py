"""
The rows of the tables against nginx and HAProxy: what they do with the same bytes, beside what tplb does. Facts, found by running:
test/vectors/nginx.failures and haproxy.failures name the rows on which these versions do what the RFC forbids, and it is asserted
that they do; of another version the difference is printed. `make check` plays against them every third row that is listed; TPLB_LONG=1
all rows, and then no other fails. What each of the three did is printed side by side, and written to a file with TPLB_VERDICTS=FILE.
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "wire"))

import itertools
import socket
import subprocess
import unittest

import vectors_test
from support import corpus, message, tools
from support.case import WireCase, main
from support.raw import BOUND, Client, Late, wait_until
from support.server import OK, Server
from support.tplb import Process, Tplb, one_listener
from support.verdicts import judge

SILENT = 0.6  # seconds after which a peer is taken to wait for more; tplb never does, in these rows
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "vectors")
# Not the limits, which are a matter of configuration, nor what takes its time, nor no server at all.
TABLES = [t for t in vectors_test.TABLES if t.__name__ not in ("Limits", "Late", "Unreachable")]

NGINX = tools.NGINX.replace("warn", "crit") + "http {" + tools.NGINX_HTTP + """
    upstream up { server %(server)s max_fails=0; keepalive 16; }
    map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
    server {
        listen unix:%(dir)s/peer.sock;
        client_max_body_size 0;
        location / {
            proxy_pass http://up;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_next_upstream off;
            proxy_ignore_client_abort on; # else it is chance whether a half-closed client gets its answer
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
        }
    }
}
"""

HAPROXY = """
global
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    retries 0
listen web
    bind unix@%(dir)s/peer.sock
    server s %(server)s
"""


class Backend(Server):
    """Answers by target; what a peer sends that is no HTTP is kept, not a fault of the test."""

    def __init__(self):
        self.answers = {}
        super().__init__(self._answer)

    def _answer(self, connection):
        connection.broken = False
        try:
            while True:
                request = connection.read_request()
                if request is None:
                    return
                what = self.answers.get(request.target, OK)
                if callable(what):
                    if what(connection, request) is False:
                        return
                else:
                    connection.send(what)
        except AssertionError:
            connection.broken = True


class Outcome:
    """
    What a party made of a row. responses: those that are over. begun: the status of one that is not, and may never be. end: of the
    connection. seen: the whole requests that the server got of it; others: those that follow it in the row.
    """

    begun = None


class Recorder(Client):
    """Keeps all that came."""

    def __init__(self, address, bound):
        super().__init__(address, bound)
        self.all = b""

    def seen(self, data):
        self.all += data


def read_outcome(client, method):
    """The row's answer, then one to a probe, however many come in between."""
    outcome = Outcome()
    outcome.end, outcome.responses = "open", []
    try:
        while not outcome.responses or (outcome.responses[-1].status < 200 and outcome.responses[-1].status != 101):
            response = message.read_response(client, method)
            if response is None:
                outcome.end = "reset" if client.was_reset else "closed"
                return outcome
            outcome.responses.append(response)
        final = outcome.responses[-1]
        if final.status == 101 or not final.complete or final.has_token("Connection", b"close"):
            final.after = client.read_to_end()
            outcome.end = "reset" if client.was_reset else "closed"
            return outcome
        client.try_send(b"GET /probe HTTP/1.1\r\nHost: h\r\n\r\n")
        while True:
            response = message.read_response(client)
            if response is None:
                outcome.end = "closed"
                return outcome
            if response.body == b"probe":
                return outcome
            outcome.responses.append(response)
    except message.Broken:
        outcome.end = "unreadable"
    except Late:
        outcome.end = "silent"
        statuses = re.findall(rb"HTTP/1\.1 (\d{3})", client.all)
        if len(statuses) > len(outcome.responses):
            outcome.begun = int(statuses[-1])
    return outcome


class Party:
    """One that is asked. bound: how long it may be silent."""

    def __init__(self, name, bound, start):
        self.name, self.bound = name, bound
        self.backend = Backend()
        self.numbers = itertools.count(1)
        self.process, self.address = start(self.backend.address)

    def ask(self, row):
        target = b"/p%06d" % next(self.numbers)
        answers = self.backend.answers
        answers.clear()
        answers[b"/probe"] = OK.replace(b"Content-Length: 2\r\n\r\nok", b"Content-Length: 5\r\n\r\nprobe")
        answers[target] = row.answer.replace(b"/CASE", target) if isinstance(row.answer, bytes) else row.answer
        start = len(self.backend.requests)
        client = Recorder(self.address, self.bound)
        try:
            for part in row.sent:
                if not client.try_send(part.replace(b"/CASE", target)):
                    break
            if row.get("half_close"):
                client.half_close()
            outcome = read_outcome(client, row.get("method", b"GET"))
        finally:
            client.close()
        mine = [r for r in self.backend.requests[start:] if target in r.raw_head]  # an earlier one's may still come
        outcome.target = target
        outcome.others = [r for r in mine if r.target in (target + b"/smuggled", target + b"/next")]
        outcome.seen = [r for r in mine if r not in outcome.others]
        return outcome

    def stop(self):
        self.process.kill()
        self.backend.stop(check=False)


def start_peer(case, name, config, argv):
    def start(server):
        folder = case.directory()
        path = os.path.join(folder, name + ".conf")
        with open(path, "w") as f:
            f.write(config % {"dir": folder, "server": server})
        process = Process([tools.find(name), *(a % {"dir": folder, "conf": path} for a in argv)])
        sock = os.path.join(folder, "peer.sock")

        def up():
            with socket.socket(socket.AF_UNIX) as s:
                return s.connect_ex(sock) == 0 or process.process.poll() is not None

        wait_until(up, name + "'s socket")
        if process.process.poll() is not None:
            raise unittest.SkipTest("this %s does not start: %s" % (name, process.stderr))
        return process, "unix:" + sock

    return start


def version_of(name, flag):
    done = subprocess.run([tools.find(name), flag], capture_output=True, text=True)
    return re.search(r"version:? (?:nginx/)?(\S+)", done.stdout + done.stderr).group(1)


class Verdicts(WireCase):
    @classmethod
    def setUpClass(cls):
        cls.rows = corpus.rows(*TABLES)
        cls.table = {}

    @classmethod
    def tearDownClass(cls):
        """What each of the three did, side by side, of the rows that more than one was asked."""
        lines = []
        for row in cls.rows:
            asked = ["%s: %s" % (name, cls.table[name][row.name][1]) for name in ("tplb", "nginx", "haproxy") if row.name in cls.table.get(name, ())]
            lines += ["%s | %s" % (row.name, " | ".join(asked))] if len(asked) > 1 else []
        print("\n".join(lines))
        if os.environ.get("TPLB_VERDICTS"):
            with open(os.environ["TPLB_VERDICTS"], "w") as f:
                f.writelines(line + "\n" for line in lines)
        super().tearDownClass()

    def ask_all(self, party, rows):
        found = {}
        try:
            for row in rows:
                found[row.name] = judge(row, party.ask(row))
        finally:
            party.stop()
        self.table[party.name] = found
        return {name for name, (right, _) in found.items() if not right}

    def check_peer(self, name, config, argv, flag):
        if not tools.find(name):
            self.skipTest("%s is not installed" % name)
        version = version_of(name, flag)
        listed_for, listed = corpus.failures(os.path.join(FOLDER, name + ".failures"))
        self.assertEqual(listed - {r.name for r in self.rows}, set(), "rows that are none")
        rows = self.rows if vectors_test.LONG else [r for r in self.rows if r.name in listed][::3]
        failures = self.ask_all(Party(name, SILENT, start_peer(self, name, config, argv)), rows)
        print("%s %s: %d of %d rows fail" % (name, version, len(failures), len(rows)))
        listed &= {r.name for r in rows}
        for row in sorted(failures ^ listed):
            print("  %s: %s" % ("fails and is not listed" if row in failures else "is listed and does not fail", row))
        if version == listed_for:
            self.assertEqual(failures, listed)

    def test_tplb(self):
        def start(server):
            process = Tplb(one_listener([server]))
            return process, process.address

        self.assertEqual(self.ask_all(Party("tplb", BOUND, start), self.rows), set())

    def test_nginx(self):
        self.check_peer("nginx", NGINX, ["-p", "%(dir)s", "-c", "%(conf)s"], "-v")

    def test_haproxy(self):
        self.check_peer("haproxy", HAPROXY, ["-db", "-f", "%(conf)s"], "-v")


if __name__ == "__main__":
    main(engines=False)
