"""How many workers a pool should have, by Little's law, with the arithmetic."""

import math
import os

from tplb_bench import stats

HEADROOM = 0.7  # a pool that is busy all the time has a queue that grows without end


def advice(rate, service_s, headroom=HEADROOM):
    """Lines of text."""
    busy = stats.little(rate, service_s)
    workers = max(1, math.ceil(busy / headroom))
    return [
        "%.6g requests/s x %.4g ms each = %.3g workers busy on the average (Little's law: L = lambda x W)" % (rate, service_s * 1000, busy),
        "/ %.0f %%, so that some are free when requests come together = %d workers" % (headroom * 100, workers),
        "pool: { workers = %d; };" % workers,
    ]


def from_results(results):
    """For each path of the sweep: what was measured, what follows, what the sweep itself says."""
    lines = []
    for experiment in results["experiments"]:
        if experiment["name"] != "sweep":
            continue
        series = {}
        for case in experiment["cases"]:
            if case["params"]["burst"] == 1:
                series.setdefault(case["params"]["path"], []).append(case)
        for path, cases in series.items():
            points = [(case["params"]["workers"], stats.summary(case, "rps").median) for case in cases if stats.summary(case, "rps")]
            service = cases[0].get("service_s")
            if not points or not service:
                continue
            best = max(rate for _, rate in points)
            lines += ["%s: measured %.6g requests/s at best, %.4g ms for a request alone" % (path, best, service * 1000)]
            lines += ["  " + line for line in advice(best, service)]
            lines += ["  the sweep: %d workers come within 5 %% of the best; %d cores here share the work with the load" %
                      (stats.knee(points), os.cpu_count() or 1), ""]
    return lines
