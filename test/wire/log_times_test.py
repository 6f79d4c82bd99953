"""The figures of an access line, each against a delay of its own: where a request's time went, by how many servers and bytes."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import json
import os
import select
import socket
import threading
import time

from support.case import CONTROLLED, WireCase, main
from support.raw import BOUND, wait_until
from support.server import OK, by_target, each

GET = b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
MS = 1000  # us
SLACK = 10 * MS  # of the coarse clock
LONG = 150 * MS


def sleep(us):
    time.sleep(us / 1e6)


class Times(WireCase):
    def start(self, *servers, **options):
        self.path = os.path.join(self.directory(), "access.log")
        return self.tplb(*servers, log={"access": self.path, "format": "json"}, **options)

    def lines(self, count):
        def look():
            try:
                with open(self.path) as f:
                    lines = f.read().split("\n")[:-1]
            except FileNotFoundError:
                return None
            return lines if len(lines) >= count else None

        lines = [json.loads(line) for line in wait_until(look, "%d lines" % count)]
        self.assertEqual(len(lines), count)
        return {line["target"]: line for line in lines}

    def ask(self, data):
        client = self.client()
        client.send(data)
        return client

    def check_sum(self, line):
        """The parts are no more than the whole: what waited in one of them is in no other."""
        parts = [line[name] or 0 for name in ("queue_us", "server_queue_us", "connect_us", "first_byte_us")]
        self.assertLessEqual(sum(parts), line["total_us"] + SLACK, line)

    def test_first_byte_and_rest(self):
        """The rest comes so long after the client has the first part."""
        began = threading.Event()

        def slowly(connection, request):
            sleep(LONG)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
            began.wait(BOUND)
            sleep(2 * LONG)
            connection.send(b"cd")

        self.start(self.server(by_target({b"/slow": slowly})))
        asked = time.monotonic()
        client = self.ask(GET % b"/slow")
        client.more()
        first = (time.monotonic() - asked) * 1e6
        began.set()
        client.whole_response()
        line = self.lines(1)["/slow"]
        self.check_sum(line)
        self.assertGreaterEqual(line["first_byte_us"], LONG - SLACK)
        self.assertLessEqual(line["first_byte_us"], first + SLACK)
        self.assertGreaterEqual(line["total_us"] - line["first_byte_us"], 2 * LONG - SLACK)
        self.assertEqual(line["server_queue_us"], 0)

    def held(self, **options):
        """One request is with the server until the gate opens."""

        def hold(connection, request):
            connection.server.gate.wait(BOUND)
            connection.send(OK)

        self.origin = self.server(by_target({b"/busy": hold}))
        self.start({"address": self.origin.address, "max_connections": options.pop("max_connections", 0)}, admin=CONTROLLED, queue={"timeout": "0s"}, **options)
        busy = self.ask(GET % b"/busy")
        self.origin.wait_requests(1)
        return busy

    def waits(self, busy, what, line):
        """A second one waits for so long, from when `tplbctl show` has this line."""
        second = self.ask(GET % b"/waits")
        wait_until(lambda: any(shown.split() == line for shown in self.show(what)), "that it waits")
        sleep(LONG)
        self.origin.gate.set()
        busy.whole_response()
        second.whole_response()
        line = self.lines(2)["/waits"]
        self.check_sum(line)
        self.assertEqual(line["status"], 200)
        return line

    def test_queue(self):
        line = self.waits(self.held(pool={"workers": 1, "burst": 1}), "queue", ["queue_depth", "1"])
        self.assertGreaterEqual(line["queue_us"], LONG - SLACK)
        self.assertEqual(line["server_queue_us"], 0)

    def test_server_queue(self):
        line = self.waits(self.held(max_connections=1), "counters", ["shelved", "1"])
        self.assertGreaterEqual(line["server_queue_us"], LONG - 2 * SLACK)

    def test_connect(self):
        """
        The server's backlog is full, so the kernel answers no SYN; when there is room, it is the client's next one that counts, which comes a second after the first (RFC 6298). How long that
        is nobody here decides, but it is all connecting.
        """
        listener = self.keep(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filling = []
        while True:  # until one does not come through
            s = self.keep(socket.socket())
            s.setblocking(False)
            s.connect_ex(listener.getsockname())
            filling.append(s)
            if not select.select([], [s], [], 0.1)[1]:
                break
        self.start("127.0.0.1:%d" % listener.getsockname()[1], timeouts={"connect": "20s"})
        began = time.monotonic()
        client = self.ask(GET % b"/slow")
        answered = []

        def serve():
            while not answered:
                s, _ = listener.accept()
                self.keep(s)
                s.settimeout(BOUND)
                try:
                    if s.recv(100).startswith(b"GET /slow"):  # the others are those that filled it, which are closed
                        answered.append((time.monotonic() - began) * 1e6)
                        s.sendall(OK)
                except ConnectionError:
                    pass

        sleep(LONG)
        for s in filling:
            s.close()
        threading.Thread(target=serve, daemon=True).start()
        self.assertEqual(client.whole_response().status, 200)
        line = self.lines(1)["/slow"]
        self.check_sum(line)
        self.assertGreaterEqual(line["connect_us"], LONG - SLACK)
        self.assertLessEqual(line["connect_us"], answered[0] + SLACK)

    def test_kept_and_lost(self):
        """A kept connection took no connecting; a server that lost the request is counted, and the other one named."""
        lossy = self.server(lambda connection: connection.read_request())
        good = self.server()
        self.start(lossy, good)
        for n in range(4):
            self.assertEqual(self.client().get(b"/%d" % n).status, 200)
        lines = self.lines(4)
        self.assertEqual({line["server"] for line in lines.values()}, {good.address})
        retries = [lines["/%d" % n]["retries"] for n in range(4)]
        self.assertEqual(sorted(set(retries)), [0, 1])
        for line in lines.values():
            self.check_sum(line)
            self.assertEqual(line["connect_us"] is None, bool(line["reused"]) and line["retries"] == 0, line)

    def test_bytes(self):
        body = b"x" * 300000
        big = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + body
        self.start(self.server(each(OK, OK, OK, OK, big)))
        post = b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n"
        client = self.ask(post + body)
        client.whole_response()
        # Pipelined, and in chunks: each has its own bytes.
        chunked = b"POST /%s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        client.send(chunked % b"a" + GET % b"/b" + chunked % b"c")
        for _ in range(3):
            client.whole_response()
        client.send(GET % b"/down")
        self.assertEqual(len(client.whole_response().body), 300000)
        lines = self.lines(5)
        self.assertEqual([lines[t]["bytes_in"] for t in ("/a", "/b", "/c")], [len(chunked % b"a"), len(GET % b"/b"), len(chunked % b"c")])
        self.assertEqual((lines["/up"]["bytes_in"], lines["/up"]["bytes"]), (len(post) + 300000, 2))
        self.assertEqual((lines["/down"]["bytes_in"], lines["/down"]["bytes"]), (len(GET % b"/down"), 300000))

    def test_what_never_came(self):
        """Of a request that no server was asked for there are no times of servers."""
        self.start({"address": self.server().address, "state": "maint"})
        self.ask(GET % b"/none").whole_response()
        line = self.lines(1)["/none"]
        self.assertEqual([line[n] for n in ("connect_us", "first_byte_us", "server", "retries", "reused")], [None, None, "", 0, 0])
        self.assertGreaterEqual(line["total_us"], line["queue_us"])


if __name__ == "__main__":
    main(at_once=True)
