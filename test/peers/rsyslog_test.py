"""rsyslog takes the logs, by the sample rsyslog-tplb.conf, word for word but for paths; it is started again meanwhile."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import os
import re
import signal
import socket
import unittest

from support import tools
from support.case import WireCase, main
from support.raw import wait_until
from support.receiver import Stopwatch
from support.sites import sample
from support.tplb import Process

SOCKET, FOLDER = "/run/rsyslog-tplb/socket", "/var/log/tplb/"
# As on another machine.
FAR = """
module(load="imudp")
input(type="imudp" address="127.0.0.1" port="%d")
template(name="parts" type="string" string="%%syslogfacility-text%% %%syslogseverity-text%% %%programname%% %%procid%%|%%msg%%\\n")
if $inputname == "imudp" then {
    action(type="omfile" file="%s/far.log" template="parts")
    stop
}
"""
ACCESS = re.compile(r'127\.0\.0\.1 - - \[[^]]+\] "GET /(\d+) HTTP/1\.1" 200 2 "-" "-"')
SAID = re.compile(r"\S+ \S+ tplb\[(\d+)\]: (error|warning|info): .*")


def lines_of(path):
    try:
        with open(path) as f:
            return f.read().split("\n")[:-1]
    except FileNotFoundError:
        return []


@unittest.skipUnless(*tools.missing("rsyslogd"))
class Rsyslog(WireCase):
    def setUp(self):
        super().setUp()
        self.folder = self.directory()
        self.socket = os.path.join(self.folder, "made", "socket")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config = os.path.join(self.folder, "rsyslog.conf")
        with open(self.config, "w") as f:
            f.write('module(load="imuxsock" SysSock.Use="off")\nglobal(workDirectory="%s")\n' % self.folder)
            f.write(FAR % (self.port, self.folder))
            f.write(sample("sites/rsyslog-tplb.conf", [(SOCKET, self.socket), (FOLDER, self.folder + "/")]))
        tools.run("rsyslogd", "-N1", "-f", self.config, "-i", os.path.join(self.folder, "pid"))
        self.watch, self.asked = Stopwatch(), 0
        self.begin()

    def begin(self):
        self.rsyslog = Process([tools.find("rsyslogd"), "-n", "-f", self.config, "-i", os.path.join(self.folder, "pid")])
        self.addCleanup(self.rsyslog.kill)
        wait_until(lambda: os.path.exists(self.socket) or self.rsyslog.process.poll() is not None, "rsyslog's socket")
        if self.rsyslog.process.poll() is not None:
            self.skipTest("this rsyslog does not start: " + self.rsyslog.stderr)

    def end(self):
        self.rsyslog.tell(signal.SIGTERM)
        self.assertEqual(self.rsyslog.wait(), 0)

    def ask(self, count):
        client = self.client()
        for _ in range(count):
            with self.watch:
                self.assertEqual(client.get(b"/%d" % self.asked).status, 200)
            self.asked += 1
        client.close()

    def logged(self):
        """The numbers of the requests whose lines have come, all of them whole."""
        lines = lines_of(os.path.join(self.folder, "access.log"))
        self.assertTrue(all(map(ACCESS.fullmatch, lines)), lines[-3:])
        return {int(ACCESS.fullmatch(line).group(1)) for line in lines}

    def test_it_takes_both(self):
        name = "syslog:" + self.socket
        self.tplb(self.server(), log={"output": name, "access": name, "facility": "local3"}, wait=False, bind="unix:web.sock")
        said = os.path.join(self.folder, "tplb.log")
        ready = wait_until(lambda: [line for line in lines_of(said) if "is ready" in line], "that it is ready")
        self.assertEqual(SAID.fullmatch(ready[0]).group(1, 2), (str(self.balancer.pid), "info"))
        self.assertEqual(self.client("unix:%s/web.sock" % self.balancer.directory).get().status, 200)
        wait_until(lambda: lines_of(os.path.join(self.folder, "access.log")), "the access line")
        self.finish()
        wait_until(lambda: [line for line in lines_of(said) if line.endswith("info: stopped")], "its last word")

    def test_over_udp(self):
        """From one machine to another: what rsyslog makes of the parts of a line."""
        name = "syslog:127.0.0.1:%d" % self.port
        tplb = self.tplb(self.server(), log={"output": name, "access": name, "facility": "local5", "tag": "edge"}, wait=False, bind="unix:web.sock")
        far = os.path.join(self.folder, "far.log")
        ready = wait_until(lambda: [line for line in lines_of(far) if "is ready" in line], "that it is ready")
        self.assertRegex(ready[0], r"^local5 info edge %d\| ?info: tplb \S+ is ready" % tplb.pid)
        self.assertEqual(self.client("unix:%s/web.sock" % tplb.directory).get(b"/x").status, 200)
        wait_until(lambda: [line for line in lines_of(far) if re.match(r'local5 info edge %d\| ?unix: - - .*"GET /x' % tplb.pid, line)], "the access line")

    def test_started_again(self):
        """Requests notice nothing, and lines wait for it; what it had not read when it ended is lost to it, and nothing else."""
        self.tplb(self.server(), log={"access": "syslog:" + self.socket, "facility": "local3"})
        self.ask(300)
        wait_until(lambda: len(self.logged()) == 300, "300 lines")
        self.end()
        self.ask(50)
        self.balancer.wait_line("cannot write to syslog:")
        self.begin()
        self.ask(50)
        wait_until(lambda: len(self.logged()) == 400, "400 lines")
        self.assertEqual(self.counter("log_lost"), 0)
        self.assertLess(self.watch.worst, 2)


if __name__ == "__main__":
    main(engines=False)
