"""How many workers a pool should have, by Little's law, with the arithmetic."""

import math

from tplb_bench import document, lookup, reading, stats

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
    for path in lookup.options(lookup.served(results, "sweep", burst=1), "path"):
        size = reading.knee(results, path, 1)
        found = reading.little_advice(results, path)
        if found is None:
            lines += ["%s: %s" % (path, document.only_text(reading.little_text(results, path))), ""]
            continue
        lines += ["%s: measured %.6g requests/s at best, %.4g ms for a request alone" % (path, found.rate, found.service_s * 1000)]
        lines += ["  " + line for line in advice(found.rate, found.service_s)]
        lines += ["  the sweep: %d workers come within 5 %% of the best, or the noise; %d cores shared the work with the load" %
                  (size, results["machine"]["cores"]), ""]
    return lines
