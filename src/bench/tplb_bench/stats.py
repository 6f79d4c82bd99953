"""What may be said of a few rounds: medians, ranges, the noise, and whether a difference is one.

A metric is a key of a run ("rps"), a key in a key ("cpu_s.balancer"), or a function of a run. A figure that a run does not have,
and a run that failed, count as nothing."""

import collections
import math
import statistics

ENOUGH_ROUNDS = 3  # fewer say little about how far the next one may lie
KNEE = 0.05

Summary = collections.namedtuple("Summary", "median low high n")
Comparison = collections.namedtuple("Comparison", "ratio low high verdict sure")


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def spread(values):
    """(lowest, highest); None of nothing."""
    values = [v for v in values if v is not None]
    return (min(values), max(values)) if values else None


def value(run, metric):
    if run.get("error"):
        return None
    if callable(metric):
        return metric(run)
    for key in metric.split("."):
        run = run.get(key) if isinstance(run, dict) else None
    return run


def values(case, metric):
    return [v for v in (value(run, metric) for run in case["runs"]) if v is not None]


def summary(case, metric):
    found = values(case, metric)
    return Summary(median(found), min(found), max(found), len(found)) if found else None


def difference(a, b):
    """How much the larger is more than the smaller: 0.25 for 4 and 5, whichever comes first."""
    if a == b:
        return 0.0
    return max(a, b) / min(a, b) - 1 if min(a, b) > 0 else math.inf


def aa_pairs(experiments):
    """(case, the very same again) of every experiment."""
    pairs = []
    for experiment in experiments:
        first = {_same(case): case for case in experiment["cases"] if not case["params"].get("aa")}
        pairs += [(first[_same(case)], case) for case in experiment["cases"] if case["params"].get("aa") and _same(case) in first]
    return pairs


def _same(case):
    return tuple(sorted((key, repr(v)) for key, v in case["params"].items() if key != "aa"))


def aa_noise(experiments, metric="rps"):
    """The largest relative difference that the same thing run twice showed, in medians. None: nothing was run twice."""
    both = [(summary(a, metric), summary(b, metric)) for a, b in aa_pairs(experiments)]
    return max((difference(a.median, b.median) for a, b in both if a and b), default=None)


def compare(a, b, metric, noise):
    """Case a over case b. The verdict is "more" or "less" only if the rounds' ranges lie apart and the medians are further from
    each other than the noise, whichever of the two is the larger. low and high: that ratio in the single rounds."""
    one, other = summary(a, metric), summary(b, metric)
    if one is None or other is None:
        return None
    low, high = spread(_ratios(a, b, metric)) or (_over(one.low, other.high), _over(one.high, other.low))
    apart = one.low > other.high or one.high < other.low
    verdict = "none"
    if apart and difference(one.median, other.median) > (noise or 0):
        verdict = "more" if one.median > other.median else "less"
    sure = "every round" if min(one.n, other.n) >= ENOUGH_ROUNDS and noise is not None else "weak"
    return Comparison(_over(one.median, other.median), low, high, verdict, sure)


def _over(a, b):
    if b:
        return a / b
    return math.inf if a else 1.0


def _ratios(a, b, metric):
    """Round by round, where both have a figure."""
    others = {run.get("round"): value(run, metric) for run in b["runs"]}
    pairs = [(value(run, metric), others.get(run.get("round"))) for run in a["runs"]]
    return [_over(v, w) for v, w in pairs if v is not None and w is not None]


def knee(points, noise=None):
    """The smallest size whose throughput is within 5 % of the best, or within the noise; points are (size, throughput)."""
    points = [(size, rate) for size, rate in points if rate is not None]
    best = max((rate for _, rate in points), default=None)
    return min((size for size, rate in points if rate * (1 + max(KNEE, noise or 0)) >= best), default=None)


def little(rate_per_s, service_s):
    """Little's law, L = lambda W: how many workers are busy on the average."""
    return rate_per_s * service_s
