"""h2load, speaking HTTP/1.1: so many requests, every one of them answered."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import unittest

from support import tools
from support.case import WireCase, main
from support.tplb import Origin, raise_descriptor_limit


@unittest.skipUnless(*tools.missing("h2load"))
class H2load(WireCase):
    def load(self, requests, connections, path="/", **options):
        if raise_descriptor_limit() < 3 * connections:
            self.skipTest("the limit of descriptors is too low for %d connections (ulimit -Hn)" % connections)
        origins = [self.started(Origin("-q", "4096")) for _ in range(2)]
        self.tplb(*origins, queue={"size": 4096, "timeout": "60s"}, **options)
        self._processes.insert(0, self._processes.pop())
        out = tools.run(
            "h2load", "--h1", "-n", str(requests), "-c", str(connections), "-t", "2", "http://%s%s" % (self.balancer.address, path),
            bound=300,
        ).decode()
        self.assertIn(
            "%d total, %d started, %d done, %d succeeded, 0 failed, 0 errored, 0 timeout" % ((requests,) * 4), out
        )
        self.assertIn("status codes: %d 2xx, 0 3xx, 0 4xx, 0 5xx" % requests, out)

    def test_few_connections(self):
        self.load(5000, 10)

    def test_many_connections(self):
        self.load(5000, 500)

    def test_chunked(self):
        self.load(2000, 50, "/chunked/20000")

    def test_lengths(self):
        self.load(1000, 50, "/bytes/100000")

    def test_to_the_end_of_the_stream(self):
        self.load(500, 20, "/close/5000")


if __name__ == "__main__":
    main()
