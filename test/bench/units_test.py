"""tplb-bench's statistics and how it writes numbers."""

import math
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, os.pardir, "src", "bench"))

from tplb_bench import stats, words

SKIPPED = 77  # automake's exit status for a test that was skipped


def case(*rates, aa=None, **params):
    """A run for each rate, a failed one for None."""
    runs = [{"round": i + 1, "error": "died"} if rate is None
            else {"round": i + 1, "rps": rate, "requests": rate, "cpu_s": {"balancer": rate / 10}}
            for i, rate in enumerate(rates)]
    return {"id": "x", "label": "x", "params": dict(params, aa=aa), "runs": runs}


class Statistics(unittest.TestCase):
    def test_median_and_spread_leave_out_what_is_missing(self):
        self.assertEqual(stats.median([3, None, 1, 2]), 2)
        self.assertEqual(stats.spread([3, None, 1]), (1, 3))
        self.assertIsNone(stats.median([None]))
        self.assertIsNone(stats.spread([]))

    def test_summary_counts_the_rounds_that_succeeded(self):
        self.assertEqual(stats.summary(case(100, None, 300), "rps"), stats.Summary(200, 100, 300, 2))
        self.assertEqual(stats.summary(case(100, 200, 300), "cpu_s.balancer"), stats.Summary(20, 10, 30, 3))
        self.assertEqual(stats.summary(case(100), lambda run: 2 * run["rps"]).median, 200)
        self.assertIsNone(stats.summary(case(None, None), "rps"))
        self.assertIsNone(stats.summary(case(100), "cpu_s.load"))
        self.assertIsNone(stats.summary(case(), "rps"))

    def test_noise_is_the_largest_difference_of_what_was_run_twice(self):
        cases = [case(100, 100, 100, threads=10), case(103, 103, 103, threads=10, aa="again"), case(500, threads=50),
                 case(400, threads=50, aa="again"), case(1, threads=100)]
        self.assertAlmostEqual(stats.aa_noise([{"name": "original", "cases": cases[:2]}]), 0.03)
        self.assertAlmostEqual(stats.aa_noise([{"name": "original", "cases": cases}]), 0.25)
        self.assertIsNone(stats.aa_noise([{"name": "original", "cases": cases[:1]}]))
        self.assertIsNone(stats.aa_noise([{"name": "original", "cases": [case(None), case(5, aa="again")]}]))

    def test_a_difference_lies_outside_the_noise_and_the_ranges(self):
        def verdict(a, b, noise=0.03):
            return stats.compare(case(*a), case(*b), "rps", noise)[3:]

        self.assertEqual(verdict((120, 121, 122), (100, 101, 102)), ("more", "every round"))
        self.assertEqual(verdict((100, 101, 102), (120, 121, 122)), ("less", "every round"))
        self.assertEqual(verdict((120, 121, 122), (100, 101, 120)), ("none", "every round"))  # the ranges touch
        self.assertEqual(verdict((102.9, 102.9, 102.9), (100, 100, 100)), ("none", "every round"))  # within the noise
        self.assertEqual(verdict((120, 121), (100, 101)), ("more", "weak"))
        self.assertEqual(verdict((120, None, 121), (100, 101, 102)), ("more", "weak"))
        self.assertEqual(verdict((120, 121, 122), (100, 101, 102), noise=None), ("more", "weak"))

    def test_the_verdict_is_the_same_from_either_side(self):
        a, b = case(100, 100, 100), case(125, 125, 125)
        for noise, both in ((0.22, ("less", "more")), (0.26, ("none", "none"))):
            self.assertEqual((stats.compare(a, b, "rps", noise).verdict, stats.compare(b, a, "rps", noise).verdict), both)

    def test_the_ratio_is_of_medians_and_its_range_of_rounds(self):
        c = stats.compare(case(100, 220, 300), case(100, 100, 200), "rps", 0)
        self.assertEqual((c.ratio, c.low, c.high), (2.2, 1, 2.2))
        self.assertIsNone(stats.compare(case(None), case(1), "rps", 0))

    def test_nothing_at_all_can_be_compared_with_something(self):
        self.assertEqual(stats.compare(case(5, 5, 5), case(0, 0, 0), "rps", 0.1)[:4], (math.inf, math.inf, math.inf, "more"))
        self.assertEqual(stats.compare(case(0, 0, 0), case(0, 0, 0), "rps", 0.1)[:4], (1, 1, 1, "none"))
        self.assertEqual(stats.compare(case(0, 0, 0), case(5, 5, 5), "rps", 0.1)[:4], (0, 0, 0, "less"))

    def test_knee_is_the_smallest_within_five_percent_of_the_best(self):
        self.assertEqual(stats.knee([(1, 100), (2, 190), (4, 320), (8, 360), (16, 350), (32, 375)]), 8)
        self.assertEqual(stats.knee([(8, 10), (1, 10)]), 1)
        self.assertEqual(stats.knee([(1, None), (2, 5)]), 2)
        self.assertIsNone(stats.knee([]))
        self.assertEqual(stats.knee([(1, 0), (2, 0)]), 1)

    def test_littles_law(self):
        self.assertAlmostEqual(stats.little(14000, 0.0025), 35)


class Numbers(unittest.TestCase):
    def test_three_digits(self):
        for value, text in ((12345.6, "12,300"), (1234567, "1,230,000"), (99.96, "100"), (9.996, "10.0"), (88.04, "88.0"),
                            (0.04567, "0.0457"),
                            (0, "0"), (-12.34, "-12.3"), (None, words.NOTHING), (math.inf, "∞"), (999.9, "1,000")):
            self.assertEqual(words.three(value), text)

    def test_spans_and_lists(self):
        self.assertEqual(words.span(1.201, 1.204, words.ratio), "1.20")
        self.assertEqual(words.span(1.2, 1.4, words.ratio), "1.20 to 1.40")
        self.assertEqual(words.listing([]), "")
        self.assertEqual(words.listing([1]), "1")
        self.assertEqual(words.listing([1, 2, 3]), "1, 2 and 3")
        self.assertEqual(words.bytes_s(1234567), "1.23 MB")
        self.assertEqual(words.percent(0.034), "3.4 %")
        self.assertEqual(words.percent(0.25), "25 %")


if __name__ == "__main__":
    outcome = unittest.main(exit=False, verbosity=2).result
    sys.exit(1 if not outcome.wasSuccessful() else SKIPPED if len(outcome.skipped) >= outcome.testsRun > 0 else 0)
