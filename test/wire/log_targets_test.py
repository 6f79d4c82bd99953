"""Where logs go besides files: syslog's and the journal's sockets. Whoever takes nothing, or is not there, holds no request up; what is lost is counted."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import os
import re
import signal
import unittest

from support.case import WireCase, main
from support.receiver import Receiver, Stopwatch

ENTRY = re.compile(r"MESSAGE=(?P<line>[^\n]*)\nPRIORITY=(?P<priority>\d)\nSYSLOG_FACILITY=(?P<facility>\d+)\nSYSLOG_IDENTIFIER=(?P<tag>\S+)\nTPLB_LOG=(?P<what>\w+)\n")
SYSLOG = re.compile(r"<(?P<pri>\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?P<tag>\S+)\[(?P<pid>\d+)\]: (?P<line>.*)")
FORMAT = "%{target} %{status} %{end}"


class TargetCase(WireCase):
    def receiver(self, **options):
        place = self.directory()
        os.chmod(place, 0o755)
        return self.keep(Receiver(os.path.join(place, "socket"), **options))

    def requests(self, first, count, watch=None):
        client = self.client()
        for n in range(first, first + count):
            with watch or Stopwatch():
                self.assertEqual(client.get(b"/%d" % n).status, 200)
        client.close()


class Syslog(TargetCase):
    def test_both_logs(self):
        taker = self.receiver()
        name = "syslog:" + taker.path
        tplb = self.tplb(self.server(), wait=False, log={"output": name, "access": name, "format": FORMAT, "facility": "local3", "tag": "edge"}, bind="unix:web.sock")
        line = SYSLOG.fullmatch(taker.wait(lambda x: "is ready" in x, "that it is ready"))
        self.assertEqual((int(line["pri"]), line["tag"], int(line["pid"])), (19 * 8 + 6, "edge", tplb.pid))
        self.assertRegex(line["line"], r"^info: tplb \S+ is ready")
        self.assertEqual(self.client("unix:%s/web.sock" % tplb.directory).get(b"/here").status, 200)
        line = SYSLOG.fullmatch(taker.wait(lambda x: "/here" in x, "the access line"))
        self.assertEqual((int(line["pri"]), line["line"]), (19 * 8 + 6, "/here 200 ok"))
        self.finish()
        self.assertEqual(tplb.stderr, "")

    def test_started_again(self):
        """The next line finds the new one; USR1 harms nothing."""
        taker = self.receiver()
        self.tplb(self.server(), log={"access": "syslog:" + taker.path, "format": FORMAT})
        self.requests(0, 1)
        taker.wait(lambda x: "/0 200 ok" in x, "the first line")
        taker.stop()
        os.unlink(taker.path)
        self.requests(1, 3)
        self.balancer.wait_line(r"error: log: cannot write to syslog:\S+: (No such file|Connection refused)")
        taker.start()
        for n in (1, 2, 3):
            taker.wait(lambda x, n=n: x.endswith("/%d 200 ok" % n), "line %d" % n)
        self.balancer.tell(signal.SIGUSR1)
        self.requests(4, 1)
        taker.wait(lambda x: "/4 200 ok" in x, "the line after it")
        self.assertEqual(self.counter("log_lost"), 0)

    def test_nobody_there(self):
        """It starts and serves all the same, and says so."""
        name = "syslog:" + os.path.join(self.directory(), "nobody")
        self.tplb(self.server(), log={"access": name, "format": FORMAT})
        self.balancer.wait_line(r"warning: log: nobody takes lines at syslog:\S+: No such file")
        self.requests(0, 3)
        self.finish()
        self.assertRegex(self.balancer.stderr, r"log: 3 lines could not be written to syslog:")


class Journal(TargetCase):
    def test_both_logs(self):
        taker = self.receiver()
        name = "journald:" + taker.path
        tplb = self.tplb(self.server(), wait=False, log={"output": name, "access": name, "format": FORMAT}, bind="unix:web.sock")
        entry = ENTRY.fullmatch(taker.wait(lambda x: "is ready" in x, "that it is ready"))
        self.assertEqual(entry.group("priority", "facility", "tag", "what"), ("6", "3", "tplb", "diagnostics"))
        self.assertEqual(self.client("unix:%s/web.sock" % tplb.directory).get(b'/"=%0A').status, 200)
        entry = ENTRY.fullmatch(taker.wait(lambda x: "TPLB_LOG=access" in x, "the access line"))
        self.assertEqual(entry.group("line", "priority", "tag"), ("/\\x22=%0A 200 ok", "6", "tplb"))
        self.finish()


@unittest.skipUnless(os.geteuid() == 0, "only root has rights to give up")
class WithoutRights(TargetCase):
    """The process that serves can't open them: it is locked into a folder where they are not. The parent does, again and again."""

    def check(self, kind):
        taker = self.receiver()
        jail = self.directory()
        os.chmod(jail, 0o755)
        name = kind + ":" + taker.path
        env = {"ASAN_OPTIONS": "detect_leaks=0:" + os.environ.get("ASAN_OPTIONS", "")}
        tplb = self.tplb(self.server(), log={"output": name, "access": name, "format": FORMAT}, user="nobody", chroot=jail, wait=False, bind="unix:web.sock", env=env)
        taker.wait(lambda x: "serving as nobody in " + jail in x, "that it serves")
        taker.wait(lambda x: "is ready" in x, "that it is ready")
        address = "unix:%s/web.sock" % tplb.directory
        self.assertEqual(self.client(address).get(b"/0").status, 200)
        taker.wait(lambda x: "/0 200 ok" in x, "the first line")
        taker.stop()
        taker.start()
        self.assertEqual(self.client(address).get(b"/1").status, 200)
        taker.wait(lambda x: "/1 200 ok" in x, "the second line")
        return tplb, taker

    def test_syslog(self):
        self.check("syslog")
        self.finish()

    def test_journald_and_the_parent_s_last_word(self):
        tplb, taker = self.check("journald")
        with open("/proc/%d/task/%d/children" % (tplb.pid, tplb.pid)) as f:
            os.kill(int(f.read().split()[0]), signal.SIGKILL)
        self.assertEqual(tplb.wait(), 1)
        entry = ENTRY.fullmatch(taker.wait(lambda x: "SIGKILL" in x, "what the parent says"))
        self.assertEqual(entry.group("line", "priority"), ("error: the process that serves was ended by SIGKILL", "3"))


class Stalled(TargetCase):
    """Nobody takes access lines, far more of them than there is room for. (A pipe and a full disk: scarcity_test.)"""

    LINE = "x" * 500  # of the format
    COUNT = 400  # x 500 bytes: more than the rings of two workers and the socket hold

    def check(self, access, release, lines):
        well, watch = Stopwatch(), Stopwatch()
        self.tplb(self.server(), log={"access": access, "format": "%{target} " + self.LINE}, pool={"workers": 2})
        self.requests(0, 20, well)  # as many as the socket has room for, more or less
        self.requests(20, self.COUNT - 20, watch)
        self.balancer.wait_line(r"does not take lines as fast as they come; some are lost")
        release()
        self.balancer.wait_line(r"takes lines again; \d+ were lost")
        lost = self.counter("log_lost")  # it has ended: all is written that is
        got = lines()
        self.assertGreater(lost, 0)
        self.assertEqual(len(got) + lost, self.COUNT)
        numbers = [int(re.fullmatch(r"/(\d+) " + self.LINE, line).group(1)) for line in got]
        self.assertEqual(len(set(numbers)), len(numbers))
        # A request that waited for the log would never have ended: it is released after the last one.
        print("the slowest request: %.1f ms, and with a log that is full %.1f ms" % (well.worst * 1e3, watch.worst * 1e3))

    def test_syslog(self):
        taker = self.receiver(hold=True)
        self.check("syslog:" + taker.path, taker.release, lambda: [SYSLOG.fullmatch(x)["line"] for x in self.all_of(taker)])

    @unittest.skipUnless(os.environ.get("TPLB_LONG") == "1", "as syslog, but for the form of a line")
    def test_journald(self):
        taker = self.receiver(hold=True)
        self.check("journald:" + taker.path, taker.release, lambda: [ENTRY.fullmatch(x)["line"] for x in self.all_of(taker)])

    @staticmethod
    def all_of(taker):
        taker.stop()  # which takes what waits: all of it, since tplb has ended
        return taker.got


if __name__ == "__main__":
    main(engines=False)
