"""Threads of a process under test that hang in a system call: stopped there by ptrace(2), as a debugger would, until they are let go."""

import ctypes
import os
import signal
import unittest

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long

DETACH, SYSCALL, SEIZE, INTERRUPT, GET_SYSCALL_INFO = 17, 24, 0x4206, 0x4207, 0x420E  # linux/ptrace.h
TRACESYSGOOD = 1
ENTRY = 1
WALL = 0x40000000  # wait(2): threads as well

# By architecture, as uname(2) calls it: socket(2), which opens a connection to a server, as it does nowhere else.
SOCKET = {"x86_64": 41, "aarch64": 198}.get(os.uname().machine)


class SyscallInfo(ctypes.Structure):
    _fields_ = [("op", ctypes.c_uint8), ("pad", ctypes.c_uint8 * 3), ("arch", ctypes.c_uint32), ("ip", ctypes.c_uint64), ("sp", ctypes.c_uint64), ("nr", ctypes.c_uint64), ("args", ctypes.c_uint64 * 6)]


def _ptrace(request, tid, address=None, data=None):
    if _libc.ptrace(request, tid, address, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace %#x of %d" % (request, tid))


def tasks(process, name):
    """Those of the process's threads whose name begins so."""
    found = []
    for task in os.listdir("/proc/%d/task" % process.pid):
        try:
            with open("/proc/%d/task/%s/comm" % (process.pid, task)) as f:
                if f.read().startswith(name):
                    found.append(int(task))
        except FileNotFoundError:
            pass
    return found


class Hang:
    """
    Each of these threads stops at its next socket(2). All calls must come from one thread of the test, which has no other children that may end. wait(): until
    one has; then, and until end(), that one hangs, and the others are left alone.
    """

    def __init__(self, tids):
        if SOCKET is None:
            raise unittest.SkipTest("the number of socket(2) is not known here")
        self.attached, self.stopped = [], []
        try:
            for tid in tids:
                _ptrace(SEIZE, tid, None, TRACESYSGOOD)
                self.attached.append(tid)
                _ptrace(INTERRUPT, tid)
        except PermissionError:
            self.end()
            raise unittest.SkipTest("ptrace is not permitted here") from None
        for tid in tids:
            os.waitpid(tid, WALL)
            _ptrace(SYSCALL, tid)

    def wait(self, count=1):
        """Until so many of them hang."""
        while len(self.stopped) < count:
            tid, status = os.waitpid(-1, WALL)
            if tid not in self.attached or not os.WIFSTOPPED(status):
                continue  # another child of the test
            info = SyscallInfo()
            number = os.WSTOPSIG(status)
            if number == signal.SIGTRAP | 0x80:
                _ptrace(GET_SYSCALL_INFO, tid, ctypes.sizeof(info), ctypes.addressof(info))
                if info.op == ENTRY and info.nr == SOCKET:
                    self.stopped.append(tid)
                    continue
            _ptrace(SYSCALL, tid)
        self._leave([tid for tid in self.attached if tid not in self.stopped])

    def _leave(self, tids):
        for tid in tids:
            if tid not in self.stopped:
                _ptrace(INTERRUPT, tid)
                os.waitpid(tid, WALL)
            _ptrace(DETACH, tid)
            self.attached.remove(tid)

    def end(self):
        """They go on."""
        self._leave(list(self.attached))
        self.stopped = []
