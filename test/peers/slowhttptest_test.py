"""
slowhttptest against us: slow heads (slowloris), slow bodies, slow reading and many ranges, all four at once. Its probe, a client like any other, must be
answered throughout.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re
import unittest
from concurrent.futures import ThreadPoolExecutor

from support import tools
from support.case import CONTROLLED, WireCase, main
from support.tplb import Origin, thread_sanitized

SIZE = 10 * 1024 * 1024
MODES = {
    "slow heads": ("-H", "-i", "1", "-x", "8"),
    "slow bodies": ("-B", "-i", "1", "-x", "8", "-s", "8192"),
    "slow reading": ("-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32"),
    "ranges": ("-R", "-a", "10", "-b", "3000"),
}


@unittest.skipUnless(*tools.missing("slowhttptest"))
class SlowHttpTest(WireCase):
    def test_all_at_once(self):
        count, seconds = (20 if thread_sanitized() else 200), 4
        root = self.directory()
        with open(os.path.join(root, "big"), "wb") as f:
            f.truncate(SIZE)
        origin = self.started(Origin("-r", root))
        self.tplb(origin, pool={"workers": 4}, timeouts={"request_header": "2s"}, admin=CONTROLLED, **{"async": {"fibers": 2048}})
        self._processes.reverse()

        def attack(mode):
            return tools.run(
                "slowhttptest", *MODES[mode], "-c", str(count), "-r", str(count), "-l", str(seconds), "-p", "3",
                "-u", "http://%s/big" % self.balancer.address,
                bound=60,
            ).decode("utf-8", "replace")

        with ThreadPoolExecutor(len(MODES)) as pool:
            for mode, out in zip(MODES, pool.map(attack, MODES)):
                with self.subTest(mode):
                    verdicts = re.findall(r"service available:\S*\s+(?:\x1b\[[0-9;]*m)*(\w+)", out)
                    self.assertTrue(verdicts, out[-2000:])
                    self.assertEqual(set(verdicts), {"YES"}, out[-2000:])
        self.assertEqual(self.client().get().status, 200)
        while self.counted("refused_header_timeout") == 0:  # on a slow machine its heads were not slow for long enough
            attack("slow heads")


if __name__ == "__main__":
    main()
