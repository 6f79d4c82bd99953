"""Clients that leave while their request waits in the queue: no server ever sees it, by abort_on_close."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import select
import signal
import time

from support.case import WireCase, main
from support.raw import BOUND, wait_until
from support.server import OK, by_target

SECOND = b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n"


class Leaving(WireCase):
    def start(self, server=None, **options):
        """One worker, and it is with a server that does not answer. server: further keys of it."""

        def slow(connection, request):
            connection.server.gate.wait(BOUND)
            connection.send(OK)

        self.origin = self.server(by_target({b"/first": slow}))
        options = dict({"pool": {"workers": 1, "burst": 1}, "queue": {"size": 1, "timeout": "0s"}}, **options)
        self.tplb(dict({"address": self.origin.address}, **(server or {})), **options)
        self.first = self.client()
        self.first.send(b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
        self.origin.wait_requests(1)

    def queued(self, data=SECOND):
        """A client whose request is in the queue for some time: it has room for one, and another one was refused."""
        two = [self.client() for _ in range(2)]
        for client in two:
            client.send(data)
        ready, _, _ = select.select([c.sock for c in two], [], [], BOUND)
        self.assertEqual(len(ready), 1)
        refused = next(c for c in two if c.sock in ready)
        self.assertEqual(refused.response().status, 503)
        two.remove(refused)
        time.sleep(0.03)  # how long it waits is the subject, and a clock has ticks
        return two[0]

    def finish(self):
        """The worker is free; whatever was in the queue has been looked at when a later request was answered."""
        self.origin.gate.set()
        self.assertEqual(self.first.whole_response().status, 200)
        # A place in the queue may be taken still.
        while True:
            client = self.client()
            if client.get(b"/last").status == 200:
                return

    def targets(self):
        return [r.target for r in self.origin.requests]

    def dropped(self, leave, data=SECOND, **options):
        self.start(**options)
        leave(self.queued(data))
        self.finish()
        self.assertEqual(self.targets(), [b"/first", b"/last"])
        counters = self.counters()
        self.assertEqual((counters["client_left_queued"], counters["client_left"]), (1, 1))

    def served(self, leave, **options):
        self.start(**options)
        client = self.queued()
        leave(client)
        self.finish()
        self.assertEqual(self.targets(), [b"/first", b"/second", b"/last"])
        return client

    def test_reset(self):
        for abort in (False, True):
            with self.subTest(abort_on_close=abort):
                self.dropped(lambda client: client.reset(), abort_on_close=abort)

    def test_half_close(self):
        """A closed sending side is no leaving, as long as nobody says that it is."""
        client = self.served(lambda client: client.half_close())
        self.assertEqual(client.whole_response().status, 200)
        self.dropped(lambda client: client.half_close(), abort_on_close=True)

    def test_close(self):
        """A client that has closed looks the same from here."""
        self.served(lambda client: client.close())
        self.dropped(lambda client: client.close(), abort_on_close=True)

    def test_behind_unread_bytes(self):
        """More requests behind the first, more of them than one receive takes: what is unread does not hide the end."""
        for name, leave in (("reset", lambda c: c.reset()), ("half", lambda c: c.half_close())):
            for count in (2, 1000):
                with self.subTest(name, count=count):
                    self.dropped(leave, SECOND * count, abort_on_close=True)

    def test_stays(self):
        """With abort_on_close whoever is there is served, with more requests behind or without."""
        for count in (1, 3):
            self.start(abort_on_close=True)
            client = self.queued(SECOND * count)
            self.finish()
            self.assertEqual([client.whole_response().status for _ in range(count)], [200] * count)

    def test_unix(self):
        """A Unix socket tells a close from a closed sending side."""
        self.dropped(lambda client: client.close(), bind="unix:web.sock")
        client = self.served(lambda client: client.half_close(), bind="unix:web.sock")
        self.assertEqual(client.whole_response().status, 200)

    def test_waiting_for_a_full_server(self):
        """There are workers enough, but the server takes one request at a time."""
        full = {"server": {"max_connections": 1}, "pool": {"workers": 4}}
        self.dropped(lambda client: client.reset(), **full)
        self.dropped(lambda client: client.half_close(), abort_on_close=True, **full)
        client = self.served(lambda client: client.half_close(), **full)
        self.assertEqual(client.whole_response().status, 200)

    def test_access_log(self):
        path = os.path.join(self.directory(), "access.log")
        self.dropped(lambda client: client.reset(), log={"access": path})
        with open(path) as f:
            self.assertRegex(f.read(), r'"GET /second HTTP/1.1" 0 0 ')

    def test_after_a_wait_only(self):
        """Without a wait nobody looks: what a client sends before it closes is sent on, as it always was."""
        origin = self.server()
        self.tplb(origin, abort_on_close=False)
        client = self.client()
        client.send(SECOND).half_close()
        self.assertEqual(client.whole_response().status, 200)

    def test_tcp(self):
        """In tcp mode no server is connected to for it."""

        def hello(connection):
            connection.send(b"hello\n")
            connection.wait_gone()

        for name, leave in (("reset", lambda c: c.reset()), ("half", lambda c: c.half_close())):
            with self.subTest(name):
                server = self.server(hello)
                self.tplb(
                    server, mode="tcp", abort_on_close=True, pool={"workers": 1, "patience": "0s"}, queue={"size": 1, "timeout": "0s"}
                )
                first = self.client()
                first.read_exactly(6)
                two = [self.client() for _ in range(2)]
                ready, _, _ = select.select([c.sock for c in two], [], [], BOUND)
                self.assertEqual(len(ready), 1)  # it was closed: there is no room for it
                queued = next(c for c in two if c.sock not in ready)
                time.sleep(0.03)  # as above
                leave(queued)
                first.close()
                server.wait_finished(1)

                def is_served():
                    client = self.client()
                    return client.more() and client.read_exactly(6) == b"hello\n"

                while not is_served():
                    pass
                self.assertEqual(len(server.connections), 2)
                self.assertEqual(self.counters()["client_left_queued"], 1)


class Reset(WireCase):
    def test_before_it_was_accepted(self):
        """Whose address nobody can tell any more is not taken for a client of a Unix socket, though its request can be read still."""
        server = self.server()
        self.tplb(server, forward={"trusted": ["unix:"]})
        self.balancer.tell(signal.SIGSTOP)
        wait_until(lambda: self.state() == "T", "the process to stop")
        for _ in range(20):
            self.client().send(b"GET /gone HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n").reset()
        self.balancer.tell(signal.SIGCONT)
        self.assertEqual(self.client().get(b"/here").status, 200)
        server.wait_request(b"/here")
        self.assertEqual({r.get("X-Forwarded-For") for r in server.requests}, {b"127.0.0.1"})

    def state(self):
        with open("/proc/%d/stat" % self.balancer.pid) as f:
            return f.read().rpartition(")")[2].split()[0]


if __name__ == "__main__":
    main()
