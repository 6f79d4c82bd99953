"""What a process holds, over time: samples, and the slope of a straight line through them with its confidence."""

import math
import os
import time

# name, unit, and how much more in a minute is not flat; or half a percent of what there is, where that is more. 512 KiB are some four bytes a request.
KINDS = (("rss", "KiB", 512), ("pss", "KiB", 512), ("descriptors", "", 1), ("threads", "", 0.5))
MINUTE = 60.0


def student(degrees):
    """Student's t, two-sided 95 %: within 2 % of the tables from 3 degrees of freedom on."""
    return 1.96 + 2.4 / degrees + 4.2 / degrees**2


def sample(pid):
    """(time, {kind: value})"""
    values = {"descriptors": len(os.listdir("/proc/%d/fd" % pid)), "threads": len(os.listdir("/proc/%d/task" % pid))}
    with open("/proc/%d/smaps_rollup" % pid) as f:
        for line in f:
            name, _, rest = line.partition(":")
            if name in ("Rss", "Pss"):
                values[name.lower()] = int(rest.split()[0])
    return time.monotonic(), values


class Slope:
    """
    Least squares over (time, value); `error`: half of the confidence interval. Samples in groups of `group` count as their mean, since what swings within
    two rounds of the load is no slope. Neighbours are no independent measurements: the error is made as much larger as the correlation of
    what is left with its next one says (the variance of a mean in an AR(1) process, (1 + r) / (1 - r)).
    """

    def __init__(self, points, group):
        whole = [points[i : i + group] for i in range(0, len(points) - group + 1, group)]
        points = [(sum(t for t, _ in g) / len(g), sum(v for _, v in g) / len(g)) for g in whole]
        n = len(points)
        self.mean = sum(v for _, v in points) / max(n, 1)
        self.per_minute, self.error = 0.0, math.inf
        if n < 4:
            return
        at = sum(t for t, _ in points) / n
        spread = sum((t - at) ** 2 for t, _ in points)
        slope = sum((t - at) * (v - self.mean) for t, v in points) / spread
        left = [v - self.mean - slope * (t - at) for t, v in points]
        square = sum(e * e for e in left)
        r = sum(a * b for a, b in zip(left, left[1:])) / square if square > 0 else 0.0
        r = min(max(r, 0.0), 0.9)
        self.per_minute = slope * MINUTE
        self.error = student(n - 2) * math.sqrt(square / (n - 2) / spread * (1 + r) / (1 - r)) * MINUTE

    def rises(self, limit):
        """It does for sure, by more than is tolerable."""
        return self.per_minute - self.error > max(limit, self.mean / 200)


def slopes(samples, group):
    """{kind: Slope} over the second half."""
    half = samples[len(samples) // 2 :]
    return {kind: Slope([(t, values[kind]) for t, values in half], group) for kind, _, _ in KINDS}


def report(samples, group):
    """(lines, kinds that rise)"""
    lines, rising = [], []
    for kind, unit, limit in KINDS:
        s = slopes(samples, group)[kind]
        first, last = samples[0][1][kind], samples[-1][1][kind]
        bad = s.rises(limit)
        rising += [kind] * bad
        lines.append(
            "%-12s %8d at first, %8d at the end; second half: mean %10.1f %s, slope %+9.2f +- %.2f a minute%s"
            % (kind, first, last, s.mean, unit, s.per_minute, s.error, "  RISES" if bad else "")
        )
    return lines, rising
