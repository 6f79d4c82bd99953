"""The journal takes the logs: a systemd-journald of our own, with a /run of its own. What it makes of them is what `journalctl` says."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import json
import os
import subprocess
import unittest

from support import tools
from support.case import WireCase, main
from support.raw import wait_until
from support.tplb import TPLB, Process, config_text, one_listener

JOURNALD = "/lib/systemd/systemd-journald"


@unittest.skipUnless(os.geteuid() == 0, "a /run of its own takes root")
@unittest.skipUnless(os.path.exists(JOURNALD), "systemd-journald is not installed")
@unittest.skipUnless(*tools.missing("journalctl"))
@unittest.skipUnless(*tools.missing("nsenter"))
class Journald(WireCase):
    def setUp(self):
        super().setUp()
        # The shell stays, and with it the namespace; it starts what is written to it.
        self.shell = subprocess.Popen(["unshare", "-m", "sh"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        self.addCleanup(self.leave)
        self.root = "/proc/%d/root" % self.shell.pid
        self.tell("mount -t tmpfs run /run && mkdir -p /run/systemd/journal /run/log/journal && touch /run/made || exit")
        wait_until(lambda: os.path.exists(self.root + "/run/made") or self.shell.poll() is not None, "a /run of its own")
        if self.shell.poll() is not None:
            self.skipTest("nothing can be mounted here")
        self.socket = self.root + "/run/systemd/journal/socket"
        self.journal = self.begin()

    def leave(self):
        self.shell.stdin.close()
        self.shell.wait()

    def tell(self, line):
        try:
            self.shell.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            pass  # it has ended already; setUp looks

    def inside(self, *argv):
        return [tools.find("nsenter"), "-m", "-t", str(self.shell.pid), *argv]

    def begin(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        journal = Process(self.inside(JOURNALD))
        self.addCleanup(journal.kill)
        wait_until(lambda: os.path.exists(self.socket) or journal.process.poll() is not None, "the journal's socket")
        if journal.process.poll() is not None:
            self.skipTest("no journald runs here: " + journal.stderr)
        return journal

    def entries(self, *matches):
        out = subprocess.run(
            self.inside("journalctl", "-D", "/run/log/journal", "-q", "-o", "json", *matches), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
        ).stdout
        return [json.loads(line) for line in out.decode().splitlines()]

    def entry(self, text, *matches):
        return wait_until(lambda: next((e for e in self.entries(*matches) if text in str(e.get("MESSAGE"))), None), "%r in the journal" % text)

    def test_both_logs(self):
        name = "journald:" + self.socket
        self.tplb(self.server(), log={"output": name, "access": name, "format": "json", "tag": "edge"}, wait=False, bind="unix:web.sock")
        ready = self.entry("is ready", "TPLB_LOG=diagnostics")
        self.assertEqual([ready[k] for k in ("PRIORITY", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "_PID", "_TRANSPORT")], ["6", "3", "edge", str(self.balancer.pid), "journal"])
        self.assertEqual(self.client("unix:%s/web.sock" % self.balancer.directory).get(b"/x").status, 200)
        line = json.loads(self.entry("/x", "TPLB_LOG=access")["MESSAGE"])
        self.assertEqual((line["target"], line["status"], line["end"]), ("/x", 200, "ok"))
        self.finish()
        self.entry("stopped", "TPLB_LOG=diagnostics")

    def test_started_again(self):
        self.tplb(self.server(), log={"access": "journald:" + self.socket}, user="nobody")
        self.client().get(b"/before")
        entry = self.entry("/before", "TPLB_LOG=access")
        self.assertEqual(entry["_UID"], "65534")
        self.journal.kill()
        self.client().get(b"/between")
        self.journal = self.begin()
        self.client().get(b"/after")
        self.entry("/after", "TPLB_LOG=access")
        self.entry("/between", "TPLB_LOG=access")

    @unittest.skipUnless(*tools.missing("systemd-cat"))
    def test_standard_error(self):
        """As in a unit: no key says so, and lines are as important as they are."""
        path = os.path.join(self.directory(), "tplb.conf")
        with open(path, "w") as f:
            f.write(config_text(one_listener(["127.0.0.1:1"])))
        # systemd sets the variable for a unit; systemd-cat does not everywhere.
        script = 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$0" -f "$1"'
        tplb = Process(self.inside("systemd-cat", "-t", "cat", "sh", "-c", script, TPLB, path))
        self.addCleanup(tplb.kill)
        self.assertEqual(self.entry("is ready")["PRIORITY"], "6")
        warning = self.entry("running as root", "PRIORITY=4")
        self.assertRegex(warning["MESSAGE"], "^warning: running as root")
        os.kill(tplb.pid, 15)
        self.assertEqual(tplb.wait(), 0)


if __name__ == "__main__":
    main(engines=False)
