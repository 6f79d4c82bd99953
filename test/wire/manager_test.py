"""Under a service manager: what it is told over $NOTIFY_SOCKET, and the sockets that it has opened ($LISTEN_FDS)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import signal
import socket

from support.case import WireCase, main
from support.raw import BOUND, Client
from support.server import unconnectable
from support.tplb import TPLB, Tplb, one_listener

LAUNCHER = """#!%(python)s
import os, socket, sys
family, at = %(family)d, %(at)r
s = socket.socket(family)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(at)
s.listen(5)
other = socket.create_server(("127.0.0.1", 0))
with open(%(told)r, "w") as f:
    f.write("%%d %%d" %% (os.fstat(s.fileno()).st_ino, os.fstat(other.fileno()).st_ino))
high = [os.dup(s.fileno()), os.dup(other.fileno())]
os.dup2(high[0], 50), os.dup2(high[1], 51)
os.dup2(50, 3), os.dup2(51, 4)
os.closerange(5, 60)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
os.execv(%(tplb)r, [%(tplb)r] + sys.argv[1:])
"""


def rights():
    """With and without a parent process."""
    return ({}, {"user": "nobody"}) if os.geteuid() == 0 else ({},)


class Notices(WireCase):
    def manager(self):
        self.path = os.path.join(self.directory(), "notify")
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(self.path)
        s.settimeout(BOUND)
        self.addCleanup(s.close)
        return s

    def test_life(self):
        for more in rights():
            with self.subTest(str(more)):
                hears = self.manager()
                tplb = Tplb(one_listener([self.server()], **more), env={"NOTIFY_SOCKET": self.path})
                self.addCleanup(tplb.kill)
                self.assertEqual(hears.recv(100), b"READY=1")
                tplb.wait_line("is ready")
                tplb.tell(signal.SIGHUP)
                self.assertRegex(hears.recv(100), rb"^RELOADING=1\nMONOTONIC_USEC=\d+$")
                self.assertEqual(hears.recv(100), b"READY=1")
                tplb.tell(signal.SIGTERM)
                self.assertEqual(hears.recv(100), b"STOPPING=1")
                self.assertEqual(tplb.wait(), 0)
                hears.setblocking(False)
                self.assertRaises(BlockingIOError, hears.recv, 100)

    def test_watchdog(self):
        for more in rights():
            with self.subTest(str(more)):
                hears = self.manager()
                env = {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "100000"}
                tplb = Tplb(one_listener([self.server()], **more), env=env)
                self.addCleanup(tplb.kill)
                self.assertEqual(hears.recv(100), b"READY=1")
                for _ in range(4):
                    self.assertEqual(hears.recv(100), b"WATCHDOG=1")
                tplb.stop()

    def test_nobody_hears(self):
        tplb = Tplb(one_listener([self.server()]), env={"NOTIFY_SOCKET": "/no/such/socket", "WATCHDOG_USEC": "1000"})
        self.addCleanup(tplb.kill)
        client = Client(tplb.address)
        self.assertEqual(client.get(b"/").status, 200)
        client.close()
        tplb.stop()


class Sockets(WireCase):
    def launched(self, family, at, bind, **more):
        place = self.directory()
        os.chmod(place, 0o755)
        launcher, told = os.path.join(place, "launcher"), os.path.join(place, "told")
        with open(launcher, "w") as f:
            f.write(LAUNCHER % {"python": sys.executable, "family": family, "at": at, "told": told, "tplb": TPLB})
        os.chmod(launcher, 0o755)
        tplb = Tplb(one_listener([self.server()], bind=bind, **more), program=launcher)
        self.addCleanup(tplb.kill)
        tplb.wait_line("is ready")
        with open(told) as f:
            used, other = ("socket:[%s]" % n for n in f.read().split())
        client = Client(tplb.address)
        self.assertEqual(client.get(b"/").status, 200)
        client.close()
        with open("/proc/%d/task/%d/children" % (tplb.pid, tplb.pid)) as f:
            child = f.read().split()
        held = set()
        serving = int(child[0]) if child else tplb.pid
        for fd in os.listdir("/proc/%d/fd" % serving):
            try:
                held.add(os.readlink("/proc/%d/fd/%s" % (serving, fd)))
            except FileNotFoundError:
                pass
        self.assertIn(used, held)
        self.assertNotIn(other, held)
        tplb.wait_line("no listener binds 127.0.0.1:")
        return tplb

    def test_tcp(self):
        for more in rights():
            with self.subTest(str(more)):
                held, address = unconnectable()  # nobody else gets the port before the launcher has it
                with held:
                    self.launched(socket.AF_INET, held.getsockname(), address, **more).stop()

    def test_unix_file_stays(self):
        """It is the manager's."""
        for more in rights():
            with self.subTest(str(more)):
                path = os.path.join(self.directory(), "web.sock")
                os.chmod(os.path.dirname(path), 0o755)
                self.launched(socket.AF_UNIX, path, "unix:" + path, **more).stop()
                self.assertTrue(os.path.exists(path))


if __name__ == "__main__":
    main(at_once=True)
