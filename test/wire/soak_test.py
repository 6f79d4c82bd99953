"""
A short soak (test/soak): every kind of client, honest and not, against servers that die and an operator who changes things; all at once. Too short to tell
a slope, but not to see a wrong answer or a counter that does not add up. The long form is `make soak`.
"""

import os
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "soak")]
sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir)]

import unittest

import figures
import soak
from support.case import main

LONG = os.environ.get("TPLB_LONG") == "1"


class Short(unittest.TestCase):
    def test_all_at_once(self):
        self.assertEqual(soak.run(12 if LONG else 3, rate=200, round_seconds=2 if LONG else 1), [])


class Slopes(unittest.TestCase):
    """That a rise is told from noise."""

    def samples(self, values):
        return [(float(t), dict.fromkeys(("rss", "pss", "descriptors", "threads"), v)) for t, v in enumerate(values)]

    def rising(self, values):
        return figures.report(self.samples(values), 6)[1]

    def test_flat(self):
        self.assertEqual(self.rising([10000 + 40 * (t % 6) for t in range(300)]), [])

    def test_steps_at_the_start(self):
        self.assertEqual(self.rising([min(t, 100) * 100 for t in range(300)]), [])

    def test_noise(self):
        self.assertEqual(self.rising([10000 + 977 * t % 400 for t in range(300)]), [])

    def test_leak(self):
        """Of 12 KiB a second below swings of 200."""
        self.assertIn("rss", self.rising([10000 + 12 * t + 977 * t % 200 for t in range(300)]))

    def test_descriptors(self):
        """One in twenty seconds."""
        self.assertIn("descriptors", self.rising([100 + t // 20 + t % 5 for t in range(300)]))


if __name__ == "__main__":
    main()
