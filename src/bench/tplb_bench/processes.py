"""Starting, ending and looking at processes."""

import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess

running = []  # all that was started and has not been awaited
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


class Trouble(Exception):
    """What ends the program or a run, in words for its user."""


def program(name):
    """The path of an installed program, or None."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def output(command):
    """What a command prints, on whichever of its outputs; nothing when there is no such program."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace")
        return done.stdout
    except OSError:
        return ""


def first_line(command):
    return (output(command).splitlines() or ["?"])[0].strip()


def raise_descriptor_limit(wanted=65536):
    """As high as we may, and what that is: what is started here inherits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (wanted, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            return limit
        except (ValueError, OSError):
            pass
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def spawn(command, cores=None, **options):
    """A session of its own, so that Ctrl-C reaches only us; told to end should we be killed. cores: the only ones it may run on."""
    def before():
        signal.pthread_sigmask(signal.SIG_SETMASK, before_block)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if cores:
            os.sched_setaffinity(0, cores)

    # A signal in between would leave behind what nobody knows.
    before_block = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        process = subprocess.Popen(command, start_new_session=True, preexec_fn=before, **options)
        running.append(process)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before_block)
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


def reap_all():
    while running:
        reap(running[-1])


def tree(pid):
    """A process and all below it."""
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
        except (OSError, TypeError):
            pass
    return rss, pss
