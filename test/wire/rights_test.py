"""Two processes where there are rights to keep: the parent has them, the child serves without."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import pwd
import re
import signal
import socket
import unittest

from support.case import WireCase, main
from support.raw import Client, wait_until
from support.server import each
from support.tplb import Tplb, config_text, one_listener, run, with_engine

NOBODY = pwd.getpwnam("nobody")
SERVING = r"serving as (\S+)(?: in (\S+?))?(?:, with (.*?))?, process (\d+) has the rest"


def status_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def child_of(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        children = f.read().split()
    return int(children[0]) if children else None


def is_gone(pid):
    try:
        return status_of(pid)["State"].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


def is_refused(address):
    try:
        Client(address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # amid its end
        return False
    return False


def has_taken(pid):
    """All signals that were sent to it."""
    try:
        return is_gone(pid) or int(status_of(pid)["ShdPnd"], 16) == 0
    except (FileNotFoundError, ProcessLookupError):
        return True


class RightsCase(WireCase):
    def start(self, **options):
        self.servers, self.options = [self.server()], options
        env = {}
        if "chroot" in options:  # LeakSanitizer looks into /proc, which is out of sight there
            env["ASAN_OPTIONS"] = "detect_leaks=0:" + os.environ.get("ASAN_OPTIONS", "")
        tplb = self.tplb(*self.servers, env=env, **options)
        tplb.wait_line("is ready")
        self.child = child_of(tplb.pid)
        return tplb

    def again(self, **options):
        """The same configuration but for these, and HUP."""
        text = config_text(with_engine(one_listener(self.servers, **dict(self.options, **options))))
        with open(self.balancer.path + ".new", "w") as f:
            f.write(text)
        os.chmod(self.balancer.path + ".new", 0o600)
        os.replace(self.balancer.path + ".new", self.balancer.path)
        self.balancer.tell(signal.SIGHUP)

    def ask(self, address, target=b"/"):
        client = Client(address)
        try:
            self.assertEqual(client.get(target).status, 200)
        finally:
            client.close()

    def check_serves(self):
        self.ask(self.balancer.address)


@unittest.skipUnless(os.geteuid() == 0, "only root has rights to give up")
class Root(RightsCase):
    def test_child_has_none(self):
        tplb = self.start(user="nobody")
        self.check_serves()
        child, parent = status_of(self.child), status_of(tplb.pid)
        self.assertEqual(child["Uid"].split(), [str(NOBODY.pw_uid)] * 4)
        self.assertEqual(child["Gid"].split(), [str(NOBODY.pw_gid)] * 4)
        self.assertEqual(child["Groups"].split(), [str(g) for g in os.getgrouplist("nobody", NOBODY.pw_gid)])
        self.assertEqual(int(child["CapEff"], 16) | int(child["CapPrm"], 16), 0)
        self.assertEqual(child["NoNewPrivs"], "1")
        self.assertEqual((parent["Uid"].split()[0], parent["Threads"]), ("0", "1"))
        m = tplb.wait_line(SERVING)
        self.assertEqual((m.group(1), m.group(4)), ("nobody", str(tplb.pid)))
        self.assertEqual(child["Seccomp"], "2" if "seccomp" in (m.group(3) or "") else "0")

    def test_parent_holds_no_sockets_of_clients(self):
        tplb = self.start(user="nobody")
        self.check_serves()
        port = int(tplb.address.rsplit(":", 1)[1])
        with open("/proc/net/tcp") as f:
            inodes = {"socket:[%s]" % row.split()[9] for row in f.readlines()[1:] if int(row.split()[1].split(":")[1], 16) == port}
        self.assertTrue(inodes)
        held = set()
        for fd in os.listdir("/proc/%d/fd" % tplb.pid):
            held.add(os.readlink("/proc/%d/fd/%s" % (tplb.pid, fd)))
        self.assertFalse(held & inodes)

    def test_files_of_root_alone(self):
        """The configuration, one that it includes, and the logs are root's; they are read and opened again all the same."""
        place = self.directory()
        os.chmod(place, 0o700)
        log = {"output": os.path.join(place, "tplb.log"), "access": os.path.join(place, "access.log")}
        servers = [self.server()]
        text = config_text(with_engine(one_listener(servers, user="nobody", log=log)))
        included = os.path.join(place, "more.conf")
        with open(included, "w") as f:
            f.write('abort_on_close = false;\n')
        os.chmod(included, 0o600)
        tplb = self.tplb_of(text + '@include "%s"\n' % included)

        def lines(name):
            try:
                with open(os.path.join(place, name)) as f:
                    return f.read()
            except FileNotFoundError:
                return ""

        wait_until(lambda: "is ready" in lines("tplb.log"), lambda: tplb.stderr + lines("tplb.log"))
        address = re.search(r"listening on (\S+) ", lines("tplb.log")).group(1)
        self.ask(address, b"/one")
        wait_until(lambda: "/one" in lines("access.log"), "the first line")
        st = os.stat(log["access"])
        self.assertEqual((st.st_uid, st.st_mode & 0o777), (0, 0o640))
        for name in ("tplb.log", "access.log"):
            os.rename(os.path.join(place, name), os.path.join(place, name + ".1"))
        tplb.tell(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(os.path.join(place, "access.log")), "new files")
        self.ask(address, b"/two")
        wait_until(lambda: "/two" in lines("access.log"), "a line in the new file")
        self.assertNotIn("/one", lines("access.log"))
        tplb.tell(signal.SIGHUP)
        wait_until(lambda: "nothing has changed" in lines("tplb.log"), lambda: lines("tplb.log"))
        with open(included, "w") as f:
            f.write('abort_on_close = nonsense;\n')
        tplb.tell(signal.SIGHUP)
        wait_until(lambda: "more.conf:1:" in lines("tplb.log"), lambda: lines("tplb.log"))
        # Who serves is killed: the parent says so where the log is.
        os.kill(child_of(tplb.pid), signal.SIGKILL)
        self.assertEqual(tplb.wait(), 1)
        self.assertIn("the process that serves was ended by SIGKILL", lines("tplb.log"))

    def tplb_of(self, text):
        tplb = Tplb(text, wait=False)
        self.addCleanup(tplb.kill)
        return tplb

    def test_reload(self):
        self.start(user="nobody", pool={"workers": 3})
        self.again(pool={"workers": 4}, timeouts={"server": "17s"})
        self.balancer.wait_line("reload: ")
        self.check_serves()

    def test_chroot(self):
        place = self.directory()
        os.chmod(place, 0o755)
        tplb = self.start(user="nobody", chroot=place)
        self.check_serves()
        self.assertEqual(os.readlink("/proc/%d/root" % self.child), place)
        self.assertEqual(tplb.wait_line(SERVING).group(2), place)
        self.again(pool={"workers": 4}, timeouts={"server": "17s"})
        tplb.wait_line("reload: ")
        self.check_serves()

    def test_chroot_with_links_that_lead_nowhere(self):
        """As /var has one: its `run` leads to /run, which is itself there. The sandbox holds all the same."""
        place = self.directory()
        os.chmod(place, 0o755)
        for name, to in ("run", "/run"), ("etc", "/no/such/folder"), ("lib", "/usr/lib"):
            os.symlink(to, os.path.join(place, name))
        tplb = self.start(user="nobody", chroot=place)
        self.check_serves()
        self.assertEqual(tplb.wait_line(SERVING).group(2), place)
        self.assertNotIn("cannot enter it", tplb.stderr)

    def test_socket_files_are_removed(self):
        """Though the child may not do so: their folder is root's."""
        place = self.directory()
        os.chmod(place, 0o755)
        web, ctl = os.path.join(place, "web.sock"), os.path.join(place, "ctl.sock")
        tplb = self.start(user="nobody", listener={"bind": "unix:" + web}, admin={"socket": ctl})
        self.assertTrue(os.path.exists(web) and os.path.exists(ctl))
        tplb.stop()
        self.assertFalse(os.path.exists(web) or os.path.exists(ctl))

    def test_port_below_1024(self):
        self.start(user="nobody", listener={"bind": "127.0.0.1:811"})
        self.check_serves()

    def test_reload_onto_a_port_below_1024(self):
        """Which the one that serves could not bind: its parent does, for as long as both run, from a chroot as well."""
        place = self.directory()
        os.chmod(place, 0o755)
        for port, options in ((812, {}), (813, {"sandbox": "off"}), (814, {"chroot": place})):
            with self.subTest(options):
                tplb = self.start(user="nobody", **options)
                before = tplb.address
                self.check_serves()
                self.again(listener={"bind": "127.0.0.1:%d" % port})
                tplb.wait_line("reload: done")
                self.ask("127.0.0.1:%d" % port)
                wait_until(lambda: is_refused(before), "the end of the listener that is gone")
                self.assertEqual((status_of(self.child)["Uid"].split()[1], status_of(tplb.pid)["Uid"].split()[1]), (str(NOBODY.pw_uid), "0"))
                # A port that is taken changes nothing.
                with socket.create_server(("127.0.0.1", port + 10)):
                    self.again(listener={"bind": "127.0.0.1:%d" % (port + 10)})
                    tplb.wait_line(r"127\.0\.0\.1:%d.*Address already in use" % (port + 10))
                self.ask("127.0.0.1:%d" % port)
                tplb.stop()

    def test_no_sandbox(self):
        tplb = self.start(user="nobody", sandbox="off")
        self.check_serves()
        self.assertEqual(status_of(self.child)["Seccomp"], "0")
        self.assertIsNone(tplb.wait_line(SERVING).group(3))

    def test_unknown_user(self):
        status, _, err = run(["-f", self.config_file('user = "no-such-user-here";')])
        self.assertEqual(status, 2)
        self.assertIn("no-such-user-here", err)

    def config_file(self, more):
        path = os.path.join(self.directory(), "tplb.conf")
        with open(path, "w") as f:
            f.write(more + "\n" + config_text(one_listener(["127.0.0.1:1"])))
        return path

    def test_wrong_chroot(self):
        for value, what in (("rel", "path from"), ("/no/such/folder", "No such file"), ("/etc/passwd", "not a folder")):
            with self.subTest(value):
                status, _, err = run(["-t", "-f", self.config_file('user = "nobody"; chroot = "%s";' % value)])
                self.assertEqual(status, 2)
                self.assertRegex(err, r"tplb.conf:1: chroot: .*" + what)
        status, _, err = run(["-t", "-f", self.config_file('chroot = "/tmp";')])
        self.assertEqual(status, 2)
        self.assertIn("chroot: needs `user`", err)


class Ends(RightsCase):
    """Without root as well: with sandbox = "on" there are two processes, too."""

    def start_two(self, **options):
        options.update({"user": "nobody"} if os.geteuid() == 0 else {"sandbox": "on"})
        tplb = self.start(**options)
        self.check_serves()
        return tplb

    def test_term_to_the_parent(self):
        tplb = self.start_two()
        tplb.stop()
        self.assertTrue(is_gone(self.child))

    def test_term_to_the_child(self):
        tplb = self.start_two()
        os.kill(self.child, signal.SIGTERM)
        self.assertEqual(tplb.wait(), 0)

    def test_drain_then_at_once(self):
        tplb = self.start_two(timeouts={"drain": "1h"})
        client = self.client()
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
        server = self.servers[0]
        server.wait(lambda: any(b"POST" in c.bytes for c in server.connections), "the request's head")
        tplb.tell(signal.SIGTERM)
        tplb.wait_line("draining")
        tplb.tell(signal.SIGTERM)
        self.assertEqual(tplb.wait(), 1)
        wait_until(lambda: is_gone(self.child), "the child's end")

    def test_term_to_both(self):
        """As killall sends it: that is one, so who has asked is answered. Another one ends it at once."""

        def busy():
            tplb = self.start_two(timeouts={"drain": "1h"})
            client = self.client()
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
            server = self.servers[0]
            server.wait(lambda: any(b"POST" in c.bytes for c in server.connections), "the request's head")
            return tplb, client

        def tell_both(first, second):
            os.kill(first, signal.SIGTERM)
            tplb.wait_line("draining")  # else the two may become one before they are taken
            os.kill(second, signal.SIGTERM)
            for pid in (tplb.pid, child):  # then the parent has handed its own on, and the child has taken it
                wait_until(lambda: has_taken(pid), "the signals to be taken")

        for parent_first in (True, False):
            with self.subTest(parent_first):
                tplb, client = busy()
                child = self.child
                tell_both(*((tplb.pid, child) if parent_first else (child, tplb.pid)))
                client.send(b"hello")
                self.assertEqual(client.response().status, 200)
                self.assertEqual(tplb.wait(), 0)
        tplb, client = busy()
        child = self.child
        tell_both(child, tplb.pid)
        # One that comes while the parent still hands its own on is the same signal once more.
        wait_until(lambda: tplb.process.poll() is not None or os.kill(tplb.pid, signal.SIGTERM), "the end")
        self.assertEqual(tplb.wait(), 1)

    def test_parent_killed(self):
        """Nobody is left to ask: the child drains and ends."""
        tplb = self.start_two()
        os.kill(tplb.pid, signal.SIGKILL)
        tplb.wait()
        wait_until(lambda: is_gone(self.child), "the child's end")
        self.assertIn("draining", tplb.stderr)

    def test_parent_that_does_not_answer(self):
        """It may be reading a file that does not come: the child drains and ends all the same."""
        os.environ["NOTIFY_SOCKET"] = "/no/such/socket"
        self.addCleanup(os.environ.pop, "NOTIFY_SOCKET", None)
        tplb = self.start_two()
        os.kill(tplb.pid, signal.SIGSTOP)
        try:
            os.kill(self.child, signal.SIGTERM)
            wait_until(lambda: is_gone(self.child), "the child's end")
        finally:
            os.kill(tplb.pid, signal.SIGCONT)
        self.assertEqual(tplb.wait(), 0)

    def test_child_killed(self):
        for number in (signal.SIGKILL, signal.SIGSYS):
            with self.subTest(number):
                tplb = self.start_two()
                os.kill(self.child, number)
                self.assertEqual(tplb.wait(), 1)
                self.assertIn("the process that serves was ended by " + number.name, tplb.stderr)

    def test_interrupt_from_a_terminal(self):
        """Its whole group gets the signal: that is one signal, not two."""
        tplb = self.start_two(timeouts={"drain": "1h"})
        self.assertNotEqual(os.getpgid(self.child), os.getpgid(tplb.pid))

    def test_log_that_cannot_be_opened(self):
        path = os.path.join(self.directory(), "tplb.conf")
        with open(path, "w") as f:
            f.write('sandbox = "on"; log: { access = "/no/such/folder/a.log"; };\n' + config_text(one_listener(["127.0.0.1:1"])))
        status, _, err = run(["-f", path])
        self.assertEqual(status, 1)
        self.assertIn("/no/such/folder/a.log: No such file or directory", err)


class Secrets(WireCase):
    """What only client and server are to know is in no log, however much is logged and whatever goes wrong."""

    MARK = b"cGFzc3dvcmQ6c2VjcmV0"

    def test_not_in_logs(self):
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: id=" + self.MARK + b"\r\n\r\nok"
        place = os.path.join(self.directory(), "access.log")
        server = self.server(each(answer))
        broken = self.server(each(b"HTTP/1.1 200 OK\r\nSet-Cookie\x01: " + self.MARK + b"\r\n\r\n"))
        tplb = self.tplb(server, broken, log={"level": "debug", "access": place, "format": "timed"})
        fields = b"".join(b"%s: Basic %s\r\n" % (name, self.MARK) for name in (b"Authorization", b"Proxy-Authorization", b"Cookie"))
        for tail in (b"\r\n", b"Bad\x00: " + self.MARK + b"\r\n\r\n", b"Content-Length: " + self.MARK + b"\r\n\r\n"):
            for _ in range(2):  # both servers
                client = self.client()
                client.send(b"GET / HTTP/1.1\r\nHost: h\r\n" + fields + tail)
                self.assertIn(client.response().status, (200, 400, 502))
                client.close()
        tplb.stop()
        with open(place, "rb") as f:
            logged = f.read() + tplb.stderr.encode()
        self.assertIn(b" 200 ", logged)
        self.assertIn(b" 502 ", logged)
        self.assertIn(b" 400 ", logged)
        self.assertNotIn(self.MARK, logged)


if __name__ == "__main__":
    main()
