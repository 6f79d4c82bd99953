"""logrotate turns the logs under load, by the file that the package installs: no line is lost or torn, and nothing is written to what was turned."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import gzip
import os
import re
import unittest

from support import tools
from support.case import WireCase, main
from support.load import Load
from support.raw import wait_until

SOURCE = os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)), "etc", "tplb.logrotate")
SIGNAL = "systemctl kill --kill-whom=main --signal=USR1 tplb.service 2>/dev/null || true"
LINE = re.compile(r'\S+ - - \[[^]]+\] "GET /(\d+/\d+) HTTP/1\.1" 200 2 "-" "-"')
ROUNDS = 4


@unittest.skipUnless(*tools.missing("logrotate"))
class Logrotate(WireCase):
    def rotated(self, **options):
        self.logs = self.directory()
        access, said = os.path.join(self.logs, "access.log"), os.path.join(self.logs, "tplb.log")
        tplb = self.tplb(self.server(), log={"access": access, "output": said}, wait=False, bind="unix:web.sock", **options)
        address = "unix:%s/web.sock" % tplb.directory
        wait_until(lambda: os.path.exists(said) and "is ready" in self.text(said), "that it is ready")
        config = self.config(tplb.pid)
        load = Load(address, 3)
        try:
            for _ in range(ROUNDS):
                self.turn(config, access, load)
        finally:
            load.stop()
        self.assertEqual(load.failures, [])
        self.finish()
        names = [n for n in os.listdir(self.logs) if n.startswith("access.log")]
        self.assertEqual(sorted(names), ["access.log", "access.log.1"] + ["access.log.%d.gz" % n for n in range(2, ROUNDS + 1)])
        seen = []
        for name in names:
            text = self.text(os.path.join(self.logs, name))
            self.assertTrue(text.endswith("\n"), name)
            lines = [LINE.fullmatch(line) for line in text.split("\n")[:-1]]
            self.assertTrue(all(lines), name)
            seen += [m.group(1) for m in lines]
        self.assertEqual(len(seen), len(set(seen)))
        self.assertEqual(set(seen), {"%d/%d" % (i, n) for i, count in enumerate(load.answers) for n in range(count)})

    @staticmethod
    def text(path):
        with (gzip.open if path.endswith(".gz") else open)(path, "rt") as f:
            return f.read()

    def config(self, pid):
        with open(SOURCE) as f:
            text = f.read()
        for old, new in (("/var/log/tplb/", self.logs + "/"), (SIGNAL, "kill -USR1 %d" % pid), ("create 0640 root adm", "create 0640")):
            self.assertIn(old, text)
            text = text.replace(old, new)
        path = os.path.join(self.directory(), "logrotate.conf")
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    def turn(self, config, access, load):
        """What was turned has what was there, and stays as it is once the new file is in use."""
        before = sum(load.answers)
        wait_until(lambda: sum(load.answers) > before + 20 and os.path.getsize(access) > 0, "some lines")
        tools.run("logrotate", "-f", "-s", config + ".state", config)
        wait_until(lambda: os.path.getsize(access) > 0, "lines in the new file")
        size = os.path.getsize(access + ".1")
        wait_until(lambda before=os.path.getsize(access): os.path.getsize(access) > before + 1000, "more of them")
        self.assertEqual(os.path.getsize(access + ".1"), size)
        self.assertEqual(os.stat(access).st_mode & 0o777, 0o640)

    def test_one_process(self):
        self.rotated()

    @unittest.skipUnless(os.geteuid() == 0, "only root has rights to give up")
    def test_parent_and_child(self):
        """The child may not open them; and its parent gets the signal."""
        self.rotated(user="nobody")


if __name__ == "__main__":
    main(engines=False)
