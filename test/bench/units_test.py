"""tplb-bench's statistics and its report, of made-up results."""

import math
import os
import re
import shutil
import sys
import tempfile
import types
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import observed
import specimen
from tplb_bench import charts, document, lookup, reading, report_html, report_md, sections, stats, svg, words

SKIPPED = 77  # automake's exit status for a test that was skipped


def case(*rates, aa=None, **params):
    """A run for each rate, a failed one for None."""
    runs = [{"round": i + 1, "error": "died"} if rate is None
            else {"round": i + 1, "rps": rate, "requests": rate, "cpu_s": {"balancer": rate / 10}}
            for i, rate in enumerate(rates)]
    return {"id": "x", "label": "x", "params": dict(params, aa=aa), "runs": runs}


class Observed(unittest.TestCase):
    """What make bench-observed makes of its pairs."""

    @staticmethod
    def told(ratios, limit=3):
        load = types.SimpleNamespace(title="a load")
        run = lambda cpu: {"cpu_us": cpu, "rps": 100.0, "socket_errors": 0, "non_2xx": 0}
        return observed.told("pool", load, [(run(10.0), run(10.0 * r)) for r in ratios], limit)

    def test_interval(self):
        self.assertEqual(observed.interval([1.0] * 5), (1, 1, 1))
        mean, low, high = observed.interval([2.0, 0.5])
        self.assertAlmostEqual(mean, 1)  # twice as much and half of it cancel out
        self.assertAlmostEqual(low * high, 1)
        self.assertGreater(high, 2)
        self.assertEqual(observed.interval([1.5])[2], math.inf)
        # of 20 logarithms with a standard deviation of 0.01: 2.09 x 0.01 / sqrt(20), after Student
        mean, low, high = observed.interval([math.exp(0.02 + 0.01 * math.sqrt(19 / 20) * sign) for sign in (1, -1)] * 10)
        self.assertAlmostEqual(math.log(mean), 0.02)
        self.assertAlmostEqual(math.log(high), 0.02 + 2.093 * 0.01 / math.sqrt(20), places=4)

    def test_verdict(self):
        for ratios, verdict, over in (([1.01, 1.012] * 10, "yes", False), ([1.05, 1.06] * 10, "no", True), ([0.9, 1.2] * 3, "cannot be told", False)):
            lines, is_over = self.told(ratios)
            self.assertEqual((lines[-1].strip(), is_over), ("at most 3 % more: " + verdict, over))


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


def comparisons(*verdicts):
    ratios = {"more": 1.25, "less": 0.8, "none": 1.01}
    return {t: stats.Comparison(ratios[v], ratios[v], ratios[v], v, "every round") for t, v in zip(specimen.THREADS, verdicts)}


class Reading(unittest.TestCase):
    def test_one_word_for_a_row_of_comparisons(self):
        for verdicts, word in ((["more"] * 5, "more"), (["more", "more", "none"], "more"), (["more", "none", "none"], "mixed"),
                               (["more", "more", "less"], "mixed"), (["less"], "less"), (["none"], "none"), ([], None)):
            self.assertEqual(reading.overall(comparisons(*verdicts).values()), word)

    def test_a_difference_within_the_noise_is_called_none(self):
        self.assertEqual(reading.by_verdict(comparisons("more", "more")), "1.25 times")
        self.assertEqual(reading.by_verdict(comparisons("none", "none")), words.NO_DIFFERENCE)
        self.assertEqual(reading.by_verdict(comparisons("more", "none", "less")),
                         "1.25 times at 10 wrk threads, 0.80 times at 100, no difference at 50")

    def results(self, factor):
        """The original, one load; factor(side, behind) multiplies the rate of what it names."""
        make = specimen.Maker()
        results = make.results(make.original(crossed=False, loads=(False,)))
        for c in results["experiments"][0]["cases"]:
            p = c["params"]
            rate = 1000 * factor((p["architecture"], p["driver"]), p["behind"])
            for run in c["runs"]:
                run["rps"] = rate + run["round"]
        return results

    def test_the_winner(self):
        text = reading.winner(self.results(lambda side, behind: 2 if side[0] == "async" else 1))
        self.assertTrue(text.startswith("**Async, on epoll and on io_uring, won in every situation measured.**"), text)
        self.assertIn("2.00 times", text)
        text = reading.winner(self.results(lambda side, behind: 2 if side[1] == "io_uring" else 1))
        self.assertTrue(text.startswith("**Async on io_uring (not on epoll) won in every situation measured.**"), text)
        self.assertIn("sync on epoll makes " + words.NO_DIFFERENCE, text)
        text = reading.winner(self.results(lambda side, behind: 1 if side[0] == "async" or not behind else 2))
        self.assertTrue(text.startswith("**The pool won behind the balancer (one connection a request); no side won clearly "
                                        "alone"), text)

    def test_the_originals_conclusion(self):
        def text(asynchronous, pool):
            return reading.conclusion(self.results(lambda side, behind: (asynchronous if side[0] == "async" else pool) if behind
                                                   else 1))

        self.assertIn("**that holds here**: the balancer helped async (1.50 times) and cost the pool (0.50 times)",
                      text(1.5, 0.5))
        self.assertIn("**only half of that holds here**: the balancer cost async (0.70 times) and cost the pool", text(0.7, 0.5))
        self.assertIn("**that does not hold here**: the balancer made no difference to async", text(1, 1.5))
        self.assertIn("**half of that holds here, the other half cannot be told**: the balancer helped async", text(1.5, 1))
        self.assertIn("**that cannot be told here**", text(1, 1))

    def test_how_sure(self):
        self.assertIn("every round agrees", reading.sureness(self.results(lambda side, behind: 2 if side[0] == "async" else 1)))
        self.assertIn("None of the", reading.sureness(self.results(lambda side, behind: 1)))
        self.assertIn("Nothing was run twice", reading.sureness(specimen.without_noise()))
        self.assertIn("had errors", reading.sureness(specimen.full()))

    def test_what_wrk_opened(self):
        self.assertIn("at `-t 150` 900 of the 1,000", reading.opened(specimen.full()))
        self.assertIsNone(reading.opened(specimen.without_noise()))

    def test_pool_size_and_littles_law(self):
        results = specimen.only("sweep")
        self.assertEqual(reading.knee(results, "/", 1), 2)
        self.assertEqual(reading.knee(results, "/delay/2", 8), 8)
        advice = reading.little_advice(results, "/delay/2")
        self.assertAlmostEqual(advice.workers, advice.rate * 0.00231)
        self.assertIn("64 workers if each serves one request at a time; 8 workers if each begins up to 8 at once",
                      reading.pool_size(results))
        for c in results["experiments"][0]["cases"]:
            del c["service_s"]
        self.assertIsNone(reading.little_advice(results, "/"))
        self.assertIn("no advice", reading.little_text(results, "/"))

    def test_starvation(self):
        self.assertIn("**16 of 1,000 clients got any answer**", reading.starvation(specimen.only("hold")))

    def test_the_better_peer(self):
        results = specimen.only("peers")
        self.assertEqual(reading.best_peer(results, False, 10)["params"]["party"], "haproxy")
        results["experiments"][0]["cases"] = [c for c in results["experiments"][0]["cases"]
                                              if c["params"]["party"] not in reading.PEERS]
        self.assertIsNone(reading.best_peer(results, False, 10))
        self.assertIsNone(reading.peers(results))


class Drawings(unittest.TestCase):
    DRAWN = """<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x" "y"><svg width="80" height="40" viewBox="0 0 80 40"
xmlns="http://www.w3.org/2000/svg">
<!-- a remark --><defs><circle id='gpDot' r='1'/></defs><polygon fill="white" stroke="none" points="0,0"/>
<path stroke='black' d='M0,0'/><path fill="#dcebf7" stroke="#5b6770" d="M0,0"/><path fill="#0072b2" stroke="#0072b2" d="M0,0"/>
<text fill="#000000">a</text><use xlink:href='#gpDot' xmlns:xlink="http://www.w3.org/1999/xlink"/>
<g style="fill:none; color:black; stroke:black" d=""/></svg>"""

    def test_black_follows_the_page_and_colours_stay(self):
        text = svg.adapt(self.DRAWN, "one", "A <title>", "what it shows")
        xml.etree.ElementTree.fromstring(text)
        for part in ("<path stroke='currentColor'", 'class="tplb-light" fill="#dcebf7"', 'fill="#0072b2" stroke="#0072b2"',
                     "id='one-gpDot'",
                     "href='#one-gpDot'", "A &lt;title&gt;", '<polygon fill="none"', '<text fill="currentColor">'):
            self.assertIn(part, text)
        for part in ("black", "remark", "DOCTYPE", "white"):
            self.assertNotIn(part, text)

    def test_a_file_of_its_own_brings_its_colours(self):
        text = svg.alone(svg.adapt(self.DRAWN, "one", "t", "d"))
        xml.etree.ElementTree.fromstring(text.encode())
        self.assertIn("prefers-color-scheme: dark", text)

    def test_strings_for_gnuplot(self):
        self.assertEqual(charts.quote("it's `ls` \\ \n x"), "'it''s `ls` \\   x'")


class Markup(unittest.TestCase):
    def test_what_comes_from_elsewhere_stays_plain(self):
        nasty = "<b>*x*</b> `y` | [z](u) \\ **w**\nnext"
        self.assertEqual(report_html.markup(document.plain(nasty)), "&lt;b&gt;*x*&lt;/b&gt; `y` | [z](u) \\ **w** next")
        self.assertEqual(report_html.markup("**a `b` <c>**"), "<strong>a <code>b</code> &lt;c&gt;</strong>")

    def test_every_row_is_as_wide_as_its_head(self):
        for results in (specimen.full(), specimen.aborted(), specimen.without_noise()):
            for block in self.tables(sections.report(results, {})):
                for row in block.rows:
                    self.assertTrue(isinstance(row, document.Group) or len(row) == len(block.rows[0]), (block.title, row))
                    self.assertTrue(isinstance(row, document.Group) or all(isinstance(cell, str) for cell in row),
                                    (block.title, row))

    def tables(self, blocks):
        for block in blocks:
            if isinstance(block, document.Table):
                yield block
            elif isinstance(block, document.Details):
                yield from self.tables(block.blocks)


class Reports(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tplb-test-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def write(self, results, path=None):
        """(Markdown, HTML); path: the only place to find gnuplot and dot in."""
        before = os.environ["PATH"]
        if path is not None:
            os.environ["PATH"] = path
        try:
            drawn = charts.draw_all(results, self.folder)
            report_md.write(results, self.folder, drawn)
            report_html.write(results, self.folder, drawn)
        finally:
            os.environ["PATH"] = before
        with open(os.path.join(self.folder, "report.md"), encoding="utf-8") as f:
            md = f.read()
        with open(os.path.join(self.folder, "report.html"), encoding="utf-8") as f:
            page = f.read()
        self.check_links(md)
        self.check_page(page)
        return md, page

    def check_links(self, md):
        for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", md):
            self.assertTrue(os.path.exists(os.path.join(self.folder, name)), name)

    def check_page(self, page):
        """Well-formed, nothing from outside, no id twice."""
        body = page.replace("<!DOCTYPE html>", "").replace('<meta charset="utf-8">', "")
        xml.etree.ElementTree.fromstring(re.sub(r"<meta[^>]*>", "", body))
        ids = re.findall(r"""\bid=["']([^"']+)""", page)
        self.assertEqual(sorted(set(ids)), sorted(ids))
        for outside in re.findall(r"""(?:src|href)=["']([^"'#]+)|url\(([^)#]+)\)""", page):
            self.fail("the page refers to %s" % (outside,))
        self.assertNotIn("<script", page)

    def test_all_of_it(self):
        md, page = self.write(specimen.full())
        for part in ("won in every situation measured", "692", "at `-t 150` 900 of the 1,000",
                     "Little", "16 of 1,000 clients", "Pound, not installed", "hides waiting", "the balancer died",
                     "The same thing twice"):
            self.assertTrue(part in md, part)
        self.assertIn("&lt;fault&gt; at *0 | `x`", page)
        self.assertIn("4 measurements failed", page)
        self.assertIn("**2 of 3**", md)

    def test_an_aborted_run(self):
        md, page = self.write(specimen.aborted())
        self.assertIn("was ended before it was done", md)
        self.assertIn("rest on fewer than 3 rounds", md)

    def test_one_round_without_noise(self):
        md, page = self.write(specimen.without_noise())
        self.assertIn("Nothing was run twice", md)
        self.assertNotIn("The same thing twice", md)
        self.assertIn("**As far as so few rounds can tell, async", md)

    def test_one_experiment_at_a_time(self):
        for name in ("original", "sweep", "hold", "peers", "openloop"):
            md, page = self.write(specimen.only(name))
            self.assertEqual("cannot say which is" in md, name != "original", name)

    def test_nothing(self):
        md, page = self.write(specimen.nothing())
        self.assertIn("cannot say which is", md)

    def test_all_runs_failed(self):
        results = specimen.full()
        for experiment in results["experiments"]:
            for c in experiment["cases"]:
                c["runs"] = [{"round": 1, "error": "the port 44444 is in use"}]
        md, page = self.write(results)
        self.assertIn("the port 44444 is in use", md)

    def test_without_gnuplot_and_dot(self):
        md, page = self.write(specimen.full(), path=self.folder)
        for package in ("gnuplot-nox", "graphviz"):
            self.assertIn(package, md)
            self.assertIn(package, page)
        self.assertNotIn("<svg", page)

    @unittest.skipUnless(shutil.which("gnuplot") and shutil.which("dot"), "gnuplot or dot is not installed")
    def test_the_charts(self):
        drawn = charts.draw_all(specimen.full(), self.folder)
        names = [c.name for c in drawn]
        for name in ("original-close", "original-keepalive", "original-balancer-close", "sweep-rps-root", "sweep-p99-delay-2",
                     "hold",
                     "peers-close", "openloop-p99", "picture-pool", "picture-async"):
            self.assertIn(name, names)
        for c in drawn:
            xml.etree.ElementTree.fromstring(c.svg)
            xml.etree.ElementTree.parse(os.path.join(self.folder, "charts", c.name + ".svg"))
            self.assertNotRegex(c.svg, r"""(stroke|fill)\s*[=:]\s*["']?\s*(black|white|rgb\(\s*0,\s*0,\s*0\)|#000000|#ffffff)""")


class Results(unittest.TestCase):
    def test_lookup(self):
        results = specimen.full()
        self.assertEqual(lookup.original_threads(results, False), list(specimen.THREADS))
        self.assertEqual(len(lookup.failures(results)), 4)
        self.assertIsNone(lookup.original(results, ("pool", None), True, False, 10, aa="never"))
        self.assertEqual(lookup.options(lookup.cases(results, "hold"), "hold"), ["connection", "request"])
        self.assertAlmostEqual(lookup.cpu_us({"cpu_s": {"balancer": 1, "origins": 2, "load": 9}, "requests": 1000000}), 3)
        self.assertIsNone(lookup.cpu_us({"cpu_s": None, "requests": 1}))


if __name__ == "__main__":
    outcome = unittest.main(exit=False, verbosity=2).result
    sys.exit(1 if not outcome.wasSuccessful() else SKIPPED if len(outcome.skipped) >= outcome.testsRun > 0 else 0)
