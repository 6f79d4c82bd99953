"""Finds experiments and cases in the results."""

from . import stats

# What the original experiment compares; the async engine once on each interface to the kernel.
SIDES = (("pool", None), ("async", "epoll"), ("async", "io_uring"))


def cases(results, experiment, **wanted):
    """The experiment's cases whose parameters are these; a parameter that is not there is None, or not true."""
    found = [case for e in results.get("experiments", []) if e["name"] == experiment for case in e["cases"]
             if not case["params"].get("service") and not (case["params"].get("aa") and "aa" not in wanted)]
    return [case for case in found if all(_is(case["params"].get(key), v) for key, v in wanted.items())]


def _is(have, want):
    if want is False:
        return not have
    return have == want


def case(results, experiment, **wanted):
    found = cases(results, experiment, **wanted)
    return found[0] if found else None


def served(results, experiment, **wanted):
    """Those with at least one run that succeeded."""
    return [c for c in cases(results, experiment, **wanted) if stats.values(c, "rps")]


def options(found, parameter):
    """The values that a parameter takes in these cases, in order: numbers by size, others as they come."""
    seen = list(dict.fromkeys(c["params"].get(parameter) for c in found))
    return sorted(seen) if all(isinstance(v, (int, float)) for v in seen) else seen


def original(results, side, behind, keepalive, threads, aa=None):
    architecture, driver = side
    return case(results, "original", architecture=architecture, driver=driver, behind=behind, keepalive=keepalive,
                threads=threads,
                aa=aa, crossed=False)


def original_threads(results, keepalive):
    return options(served(results, "original", keepalive=keepalive, crossed=False), "threads")


def failures(results):
    """(case, run) of every run that failed."""
    return [(c, run) for e in results.get("experiments", []) for c in e["cases"] for run in c["runs"] if run.get("error")]


def is_error(run):
    return sum(run.get(key) or 0 for key in ("connect_errors", "read_errors", "write_errors", "timeouts", "non_2xx"))


def total(case_, key):
    """The sum over the rounds that succeeded, None if none of them counted it."""
    found = stats.values(case_, key)
    return sum(found) if found else None


def errors(case_):
    return sum(is_error(run) for run in case_["runs"] if not run.get("error"))


def service_s(found):
    """The mean time of one request as a single client sees it, where one of these cases carries it."""
    for c in found:
        if c.get("service_s"):
            return c["service_s"]
        measured = stats.median([stats.value(run, "service_ms") for run in c["runs"]])
        if measured:
            return measured / 1000
    return None


def cpu_us(run):
    """CPU a request of all that serve, without the load generator."""
    cpu, requests = run.get("cpu_s") or {}, run.get("requests")
    used = [v for party, v in cpu.items() if party != "load" and v is not None]
    return 1e6 * sum(used) / requests if used and requests else None
