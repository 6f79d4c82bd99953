"""A short load of wrk: 1000 connections, no socket error, no answer but 200."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re
import unittest

from support import tools
from support.case import WireCase, main
from support.tplb import Origin, raise_descriptor_limit, thread_sanitized


@unittest.skipUnless(*tools.missing("wrk"))
class Wrk(WireCase):
    def load(self, connections, seconds, **options):
        if thread_sanitized():
            connections = min(connections, 100)
        if raise_descriptor_limit() < 3 * connections:
            self.skipTest("the limit of descriptors is too low for %d connections (ulimit -Hn)" % connections)
        origins = [self.started(Origin("-q", "4096")) for _ in range(4)]
        self.tplb(*origins, queue={"size": 4096, "timeout": "60s"}, **options)
        self._processes.insert(0, self._processes.pop())
        out = tools.run(
            "wrk", "-t", "10", "-c", str(connections), "-d", "%ds" % seconds, "--timeout", "60s", "http://%s/" % self.balancer.address,
            bound=300,
        ).decode()
        self.assertNotIn("Socket errors", out)
        self.assertNotIn("Non-2xx", out)
        requests = int(re.search(r"(\d+) requests in", out).group(1))
        self.assertGreater(requests, 0, out)
        self.assertEqual(self.client().get().body, b"Ini Adalah web Server percobaan")

    def test_1000_connections(self):
        self.load(1000, 2)

    def test_50_connections(self):
        self.load(50, 2)

    def test_no_connections_kept_to_servers(self):
        self.load(100, 1, upstream={"keepalive": 0})

    def test_a_worker_a_connection(self):
        self.load(20, 1, pool={"workers": 32, "hold": "connection"})


if __name__ == "__main__":
    main()
