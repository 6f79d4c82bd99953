"""Starting, ending and looking at processes."""

import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess
import sys

running = []  # all that was started and has not been awaited
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def note(text):
    print(text, file=sys.stderr, flush=True)


def program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        sys.exit("bench: %s is missing; ./autogen.sh --deps installs it" % name)
    return found


def output(command):
    """What a command prints, on whichever of its outputs."""
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    except OSError:
        return ""


def raise_descriptor_limit():
    """As high as we may, and what that is: what is started here inherits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (65536, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            return limit
        except (ValueError, OSError):
            pass
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def spawn(command, **options):
    """A session of its own, so that Ctrl-C reaches only us; told to end should we be killed."""
    process = subprocess.Popen(command, start_new_session=True, preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
                               **options)
    running.append(process)
    return process


def reap(process):
    """Ends a process with its children: asks, asks again, then kills."""
    for sign, seconds in ((signal.SIGTERM, 5), (signal.SIGTERM, 2), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            break
        try:
            process.send_signal(sign)
            process.wait(seconds)
        except (subprocess.TimeoutExpired, ProcessLookupError):
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)  # what a killed parent left behind
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()
    if process in running:
        running.remove(process)


def tree(pid):
    pids = [pid]
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task)) as f:
                for child in f.read().split():
                    pids += tree(int(child))
    except OSError:
        pass
    return pids


def cpu_us(pids):
    """User and system time of these processes, all their threads included."""
    ticks = 0
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid) as f:
                fields = f.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return ticks * 1000000 / os.sysconf("SC_CLK_TCK")


def memory_kib(pids):
    """(RSS, PSS): RSS counts a page shared by two workers twice, PSS once."""
    rss = pss = 0
    for pid in pids:
        try:
            with open("/proc/%d/smaps_rollup" % pid) as f:
                text = f.read()
            rss += int(re.search(r"^Rss:\s+(\d+)", text, re.M)[1])
            pss += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])
        except OSError:
            pass
    return rss, pss
