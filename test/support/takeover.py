"""What tests of upgrades share: who serves now, and the end of a program of which several processes have served."""

import os
import signal

from support.tplb import COUNTER, check_sums


def has_taken_over(tplb, n=1):
    """The n-th upgrade is done; the pid of the process that was started for it."""
    return int(tplb.wait_line(r"upgrade: process (\d+) has taken over", n).group(1))


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(word) for word in f.read().split()]


def is_there(pid):
    """Runs, and is no zombie."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def ends(tplb, look=None):
    """Tells the process that was started to end, looks at what is left, and checks that all counts of all processes agree."""
    if look:
        tplb.tell(signal.SIGTERM)
        tplb.wait()
        look()
    super(type(tplb), tplb).stop()
    sums = {}
    for m in filter(None, map(COUNTER.search, tplb.lines)):
        sums[m.group(1)] = sums.get(m.group(1), 0) + int(m.group(2))
    check_sums(sums, tplb.stderr)
