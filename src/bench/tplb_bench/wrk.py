"""What wrk prints, as numbers."""

import re

UNITS_US = {"us": 1, "ms": 1000, "s": 1000000, "m": 60000000, "h": 3600000000}
UNITS_BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}


def opened(clients, threads):
    """wrk gives each thread as many connections as divide evenly: 900 of 1000 with 150 threads."""
    return clients // threads * threads


def command(url, clients, threads, seconds, headers=()):
    words = ["wrk", "-c", str(clients), "-t", str(threads), "-d", "%gs" % seconds, "--latency"]
    for header in headers:
        words += ["-H", header]
    return words + [url]


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m|h)", text).groups()
    return float(number) * UNITS_US[unit] / 1000


def parse(text, lasted_s):
    """
    The numbers of one run that lasted so long by our own clock, or None when there are none. The rate counts answers of 2xx and 3xx; it
    is not wrk's own, whose clock starts when its last thread has been started, while what the others did until then counts. With 200 threads on a busy machine
    that takes seconds, and the rate comes out several times too high.
    """
    count = re.search(r"(\d+) requests in [\d.a-z]+, ([\d.]+)(B|KB|MB|GB|TB) read", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if not count or not rate:
        return None
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    connect, read, write, late = map(int, sockets.groups()) if sockets else (0, 0, 0, 0)
    status = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    requests, non_2xx = int(count[1]), int(status[1]) if status else 0
    result = {"requests": requests, "lasted_s": lasted_s, "rps": (requests - non_2xx) / lasted_s, "wrk_rps": float(rate[1]),
              "bytes_s": float(count[2]) * UNITS_BYTES[count[3]] / lasted_s,
              "connect_errors": connect, "read_errors": read, "write_errors": write, "timeouts": late,
              "non_2xx": non_2xx}
    for percent in (50, 90, 99):
        found = re.search(r"^\s+%d%%\s+(\S+)" % percent, text, re.M)
        # Without a single answer wrk prints zeros.
        result["p%d_ms" % percent] = milliseconds(found[1]) if found and requests else None
    return result
