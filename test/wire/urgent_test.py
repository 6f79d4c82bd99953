"""Urgent data (TCP's, MSG_OOB): recv(2) passes over it and stops at it, splice(2) stops before it for good. Nobody spins, nothing is lost."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import socket
import time
import unittest

from support.case import WireCase, main
from support.tplb import ENGINE

BEFORE = b"a" * 300000  # more than a buffer: the flow turns to a pipe
AFTER = b"b" * 300000


def cpu_s(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Urgent(WireCase):
    def post(self, length):
        client = self.client()
        client.send(b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % length)
        return client

    def test_body_goes_on_behind_it(self):
        server = self.server()
        self.tplb(server)
        client = self.post(len(BEFORE) + len(AFTER))
        client.send(BEFORE)
        client.sock.send(b"!", socket.MSG_OOB)
        client.send(AFTER)
        self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(server.wait_request(b"/up").body, BEFORE + AFTER)  # the urgent byte is out of band
        self.assertEqual(client.get().status, 200)

    def test_stalls_behind_it(self):
        """The timeout ends it, and until then nobody is busy with it."""
        self.tplb(self.server(), timeouts={"client": "1s"})
        is_sent = False
        while not is_sent:  # before the timeout ends it: the machine may be busy elsewhere for as long, but not always
            began = cpu_s(self.balancer.pid), time.monotonic()
            client = self.post(10 * len(BEFORE))
            try:
                client.send(BEFORE)
                client.sock.send(b"!", socket.MSG_OOB)
                client.send(b"b")
                is_sent = True
            except OSError:
                self.assertGreater(time.monotonic() - began[1], 0.95)  # the clock of deadlines has ticks
        client.read_to_end()
        spent, took = cpu_s(self.balancer.pid) - began[0], time.monotonic() - began[1]
        self.assertLess(spent, took / 2, "busy with a connection on which nothing comes")

    @unittest.skipIf(ENGINE == "pool", "the lot has no look at urgent bytes; such a client waits for keepalive")
    def test_pipelined_behind_it(self):
        self.tplb(self.server(), timeouts={"keepalive": "10m"})
        client = self.client()
        client.send(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n")
        client.sock.send(b"!", socket.MSG_OOB)
        client.send(b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
        for _ in range(2):
            self.assertEqual(client.whole_response().status, 200)

    def test_tunnel(self):
        """In tcp mode what comes behind it gets through, both ways, to the end."""

        def script(connection):
            connection.read_exactly(len(BEFORE))
            connection.sock.send(b"?", socket.MSG_OOB)
            connection.read_exactly(len(AFTER))
            connection.send(BEFORE)
            connection.sock.send(b"?", socket.MSG_OOB)
            connection.send(AFTER)

        server = self.server(script)
        self.tplb(server, mode="tcp")
        client = self.client()
        client.send(BEFORE)
        client.sock.send(b"!", socket.MSG_OOB)
        client.send(AFTER)
        self.assertEqual(client.read_to_end(), BEFORE + AFTER)


if __name__ == "__main__":
    main()
