"""
One process takes the place of another: which program that is, what it gets and what it does not, what becomes of it when it cannot serve, who is told,
and signals and deaths amid it. What does not depend on the driver; upgrades under load are in takeover_test.py.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import json
import shutil
import signal
import socket
import subprocess
import unittest

from support.case import WireCase, main
from support.raw import BOUND, Client, wait_until
from support.server import OK, by_target, stalled
from support.takeover import children, ends, has_taken_over, is_there
from support.tplb import CTL, TPLB, Tplb, config_text, environment, one_listener, thread_sanitized

ADMIN = {"socket": "@DIR@/ctl.sock"}


def stall(connection, request):
    """For by_target: an answer when the gate is opened."""
    connection.server.gate.wait(BOUND)
    connection.send(OK)


def rights():
    """With and without a parent process; with ThreadSanitizer, where each start takes its time, one of them."""
    if thread_sanitized():
        return ({},)
    return ({}, {"user": "nobody"}) if os.geteuid() == 0 else ({},)


class TakeoverCase(WireCase):
    def start(self, config=None, **options):
        """A tplb of a program of its own, self.program, that can be replaced."""
        place = self.directory()
        os.chmod(place, 0o755)
        self.program = os.path.join(place, "tplb")
        shutil.copy(TPLB, self.program)
        self.config = config or one_listener([self.server()], admin=ADMIN)
        options.setdefault("program", self.program)
        self.balancer = Tplb(self.config, **options)
        self.addCleanup(self.kill_all, self.balancer)
        self.refused = 0
        return self.balancer

    @staticmethod
    def kill_all(balancer):
        """Whatever a test that failed has left: all have its folder on their command line."""
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % name, "rb") as f:
                    if balancer.path.encode() in f.read():
                        os.kill(int(name), signal.SIGKILL)
            except OSError:
                pass
        balancer.kill()

    def replace(self, text):
        """Another program stands there; None: none."""
        os.rename(self.program, self.program + ".old")
        if text is not None:
            with open(self.program, "w") as f:
                f.write(text)
            os.chmod(self.program, 0o755)

    def put_back(self):
        os.rename(self.program + ".old", self.program)

    def write(self, **changes):
        text = config_text(dict(self.config, **changes)).replace("@DIR@", self.balancer.directory)
        with open(self.balancer.path, "w") as f:
            f.write(text.replace('"unix:web.sock"', '"unix:%s/web.sock"' % self.balancer.directory))

    def ctl(self, *words, status=0):
        path = os.path.join(self.balancer.directory, "ctl.sock")
        done = subprocess.run(
            [CTL, "-s", path, *words], capture_output=True, timeout=60, env=environment(), encoding="utf-8"
        )
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def serving(self):
        """The pid of the process that commands reach."""
        return json.loads(self.ctl("-j", "show", "status"))["pid"]

    def is_served(self, address=None):
        client = Client(address or self.balancer.address)
        try:
            self.assertEqual(client.get().status, 200)
        finally:
            client.close()

    def is_refused(self, reason, said="."):
        """An upgrade that comes to nothing."""
        before = self.serving()
        told = self.ctl("upgrade", status=1)
        self.assertRegex(told, reason)
        self.assertRegex(told, said)
        self.refused += 1
        line = self.balancer.wait_line("error: upgrade: (.*); process (\\d+) goes on", self.refused)
        self.assertRegex(line.group(1), reason)
        self.assertEqual(int(line.group(2)), before)
        self.assertEqual(self.serving(), before)
        self.is_served()


class Programs(TakeoverCase):
    def test_one_that_cannot_serve(self):
        for more in rights():
            with self.subTest(str(more)):
                tplb = self.start(one_listener([self.server()], admin=ADMIN, **more))
                self.replace(None)
                self.is_refused("cannot be started: No such file")
                self.put_back()
                self.replace("not a program")
                self.is_refused("cannot be started: Exec format error")
                self.put_back()
                self.replace("#!/bin/sh\necho 'libfoo.so.1: cannot open' >&2\nexit 127\n")
                self.is_refused("ended with status 127", "says: libfoo.so.1: cannot open")
                self.put_back()
                self.replace("#!/bin/sh\nexec sleep 100\n")
                self.write(timeouts={"upgrade": "1s"})  # for this one alone: the others may be slow to end
                self.ctl("reload")
                self.is_refused("did not come to serve within timeouts.upgrade")
                self.put_back()
                self.write()
                self.ctl("reload")
                self.replace("#!/bin/sh\nkill -9 $$\n")
                self.is_refused("ended by SIGKILL")
                self.put_back()
                self.write(listeners=3)
                self.is_refused("ended with status 2", "tplb.conf:.*listeners")
                self.write(listeners=[dict(self.config["listeners"][0], bind="192.0.2.1:1")])
                self.is_refused("ended with status 1", "cannot listen on 192.0.2.1:1")
                self.write(log={"output": "/no/such/folder/log"})
                self.is_refused("ended with status 1", "cannot open /no/such/folder/log")
                self.write()
                self.ctl("upgrade")
                has_taken_over(tplb)
                self.is_served()
                ends(tplb)

    def test_replaced_program(self):
        """A package's: the old file is gone, and another one has its name. Found along PATH, and by a relative name."""
        place = self.directory()
        for program, path in ((None, None), ("tplb", "/nowhere:@:/usr/bin")):
            with self.subTest(program):
                launch = os.path.join(place, "launch")
                tplb = None
                if program:
                    with open(launch, "w") as f:
                        f.write("#!%s\nimport os, sys\nos.environ['PATH'] = %r\nos.execvp('tplb', ['tplb'] + sys.argv[1:])\n"
                                % (sys.executable, path.replace("@", place)))
                    os.chmod(launch, 0o755)
                    shutil.copy(TPLB, os.path.join(place, "tplb"))
                    tplb = self.start(program=launch)
                    self.program = os.path.join(place, "tplb")
                else:
                    tplb = self.start()
                shutil.copy(self.program, self.program + ".new")
                os.replace(self.program + ".new", self.program)
                self.assertIn("(deleted)", os.readlink("/proc/%d/exe" % tplb.pid))
                with open("/proc/%d/cmdline" % tplb.pid, "rb") as f:
                    words = f.read()
                self.ctl("upgrade")
                heir = has_taken_over(tplb)
                self.assertEqual(os.readlink("/proc/%d/exe" % heir), self.program)
                with open("/proc/%d/cmdline" % heir, "rb") as f:
                    self.assertEqual(f.read(), words)
                # The one that stays is of the new program, too.
                wait_until(lambda: "deleted" not in os.readlink("/proc/%d/exe" % tplb.pid), "the caretaker", 2 * BOUND)
                ends(tplb)

    def test_replaced_at_once(self):
        """Between the start and when the program notes its path."""
        place = self.directory()
        program, launch = os.path.join(place, "tplb"), os.path.join(place, "launch")
        for name in (program, program + ".new"):
            shutil.copy(TPLB, name)
        with open(launch, "w") as f:
            f.write("#!%s\nimport os, sys\nfd = os.open(%r, os.O_RDONLY)\nos.replace(%r, %r)\nos.execve(fd, [%r] + sys.argv[1:], os.environ)\n"
                    % (sys.executable, program, program + ".new", program, program))
        os.chmod(launch, 0o755)
        tplb = self.start(program=launch)
        self.assertIn("(deleted)", os.readlink("/proc/%d/exe" % tplb.pid))
        self.ctl("upgrade")
        self.assertEqual(os.readlink("/proc/%d/exe" % has_taken_over(tplb)), program)
        ends(tplb)

    def test_as_started(self):
        """Words of the command line count again, and a relative path is one from the same folder."""
        tplb = self.start(args=("-w", "3"))
        self.ctl("upgrade")
        pid = has_taken_over(tplb)
        self.assertIn("workers 3", self.ctl("show", "status"))
        self.assertEqual(os.readlink("/proc/%d/cwd" % pid), tplb.directory)
        with open("/proc/%d/environ" % pid, "rb") as f:
            names = {pair.split(b"=")[0] for pair in f.read().split(b"\0")}
        self.ctl("upgrade")
        with open("/proc/%d/environ" % has_taken_over(tplb, 2), "rb") as f:
            self.assertEqual({pair.split(b"=")[0] for pair in f.read().split(b"\0")}, names)
        ends(tplb)

    def test_started_by_careless_ones(self):
        """With SIGCHLD ignored, and with none of the three descriptors that each program has: ends of processes are heard, and nothing takes their numbers."""

        def carelessly():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            for fd in range(3):
                os.close(fd)

        for more in rights():
            with self.subTest(str(more)):
                config = one_listener([self.server()], bind="unix:web.sock", admin=ADMIN, **more)
                tplb = self.start(config, preexec=carelessly, wait=False)
                at = "unix:%s/web.sock" % tplb.directory

                def listens():
                    with socket.socket(socket.AF_UNIX) as s:
                        return s.connect_ex(os.path.join(tplb.directory, "ctl.sock")) == 0

                wait_until(listens, "a start")
                for _ in range(2):
                    before = self.serving()
                    self.ctl("upgrade")
                    heir = self.serving()
                    self.assertNotEqual(heir, before)
                    for pid in {tplb.pid, heir, *children(heir)}:
                        for fd in range(3):
                            self.assertEqual(os.readlink("/proc/%d/fd/%d" % (pid, fd)), "/dev/null")
                    self.is_served(at)
                tplb.tell(signal.SIGTERM)
                self.assertEqual(tplb.wait(), 0)

    @staticmethod
    def descriptors(pid):
        return [len(os.listdir("/proc/%d/fd" % p)) for p in [pid, *children(pid)]]

    def test_descriptors(self):
        """As many after some upgrades as after one."""
        for more in rights():
            with self.subTest(str(more)):
                tplb = self.start(one_listener([self.server()], admin=ADMIN, upstream={"keepalive": 0}, **more))
                most = None
                for n in range(1, 5):
                    self.ctl("upgrade")
                    pid = has_taken_over(tplb, n)
                    tplb.wait_line(r"info: stopped$", n)
                    self.is_served()
                    if n == 2:  # clients may be there still
                        most = [n + 1 for n in self.descriptors(pid)]
                    elif n > 2:
                        wait_until(lambda: self.descriptors(pid) <= most, "an end of descriptors: %r" % most)
                ends(tplb)


class Sockets(TakeoverCase):
    def inode(self, pid, fd_of):
        return {os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)} & fd_of

    def test_the_same_ones(self):
        """TCP and Unix, one that the new configuration has and one that it has not any more; their files."""
        for more in rights():
            with self.subTest(str(more)):
                server = self.server(by_target({b"/held": stall}))
                config = one_listener([server], admin=ADMIN, **more)
                web = config["listeners"][0]
                unix = dict(web, name="file", bind="unix:web.sock")
                gone = dict(web, name="gone", bind="unix:@DIR@/gone.sock")
                added = dict(web, name="added", bind="unix:@DIR@/added.sock")
                config["listeners"] = [web, unix, gone]
                tplb = self.start(config)
                at = lambda name: os.path.join(tplb.directory, name + ".sock")
                was = os.stat(at("web")).st_ino
                before, held = self.client(tplb.address), self.client("unix:" + at("web"))
                for client in (before, held):
                    self.assertEqual(client.get().status, 200)
                    client.send(b"GET /held HTTP/1.1\r\nHost: h\r\n\r\n")
                server.wait(lambda: [r.target for r in server.requests].count(b"/held") == 2, "both requests")
                self.write(listeners=[unix, added, web])
                self.ctl("upgrade")
                has_taken_over(tplb)
                self.assertEqual(os.stat(at("web")).st_ino, was)
                server.gate.set()
                for client in (before, held):  # of the old one, which says farewell
                    got = client.whole_response()
                    self.assertEqual((got.status, got.get("Connection")), (200, b"close"))
                    client.expect_closed()
                tplb.wait_line("info: stopped$")
                self.assertFalse(os.path.exists(at("gone")))
                self.is_served()
                for name in ("web", "added"):
                    self.is_served("unix:" + at(name))
                tplb.tell(signal.SIGTERM)
                tplb.wait()
                self.assertEqual([n for n in os.listdir(tplb.directory) if n.endswith(".sock")], [])

    def test_failures_leave_files(self):
        for more in rights():
            with self.subTest(str(more)):
                tplb = self.start(one_listener([self.server()], bind="unix:web.sock", admin=ADMIN, **more))
                bad = dict(self.config["listeners"][0], name="bad", bind="192.0.2.1:1")
                fresh = dict(self.config["listeners"][0], name="fresh", bind="unix:@DIR@/fresh.sock")
                self.write(listeners=[self.config["listeners"][0], fresh, bad])
                self.is_refused("status 1", "cannot listen on 192.0.2.1:1")
                self.assertFalse(os.path.exists(os.path.join(tplb.directory, "fresh.sock")))
                # After the sockets were taken, and with a parent after the process that is to serve was forked.
                self.write(log={"output": "/no/such/folder/log"})
                self.is_refused("status 1", "cannot open /no/such/folder/log")
                ends(tplb)

    def test_the_backlog(self):
        """Who has connected and was not accepted yet is not lost, and nobody is refused while the one ends and the other begins."""
        server = self.server()
        tplb = self.start(one_listener([server], admin=ADMIN))
        os.kill(tplb.pid, signal.SIGSTOP)
        try:
            waiting = [self.client(tplb.address) for _ in range(30)]
            for client in waiting:
                client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            tplb.tell(signal.SIGUSR2)
        finally:
            os.kill(tplb.pid, signal.SIGCONT)
        has_taken_over(tplb)
        for client in waiting:
            self.assertEqual(client.response().status, 200)
            client.close()
        ends(tplb)

    def test_pages(self):
        """admin.bind passes on as well."""
        for more in rights():
            with self.subTest(str(more)):
                tplb = self.start(one_listener([self.server()], admin=dict(ADMIN, bind="127.0.0.1:0"), **more))
                at = tplb.wait_line(r"pages are served at (\S+)").group(1)
                self.ctl("upgrade")
                has_taken_over(tplb)
                self.assertEqual(tplb.wait_line(r"pages are served at (\S+)", 2).group(1), at)
                tplb.wait_line("info: stopped$")
                client = self.client(at)
                self.assertEqual(client.get(b"/metrics", b"localhost").status, 200)
                client.close()
                ends(tplb)

    def test_other_admin_socket(self):
        tplb = self.start()
        self.write(admin={"socket": "@DIR@/other.sock"})
        self.ctl("upgrade")
        has_taken_over(tplb)
        tplb.wait_line("info: stopped$")
        self.assertFalse(os.path.exists(os.path.join(tplb.directory, "ctl.sock")))
        done = subprocess.run([CTL, "-s", os.path.join(tplb.directory, "other.sock"), "show", "status"], capture_output=True)
        self.assertEqual(done.returncode, 0)
        ends(tplb)


class Managers(TakeoverCase):
    def manager(self):
        self.path = os.path.join(self.directory(), "notify")
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(self.path)
        s.settimeout(BOUND)
        self.addCleanup(s.close)
        return s

    def test_told(self):
        """The new main process, in the right order; the old one ends, and no word of it stops anything."""
        for more in rights():
            with self.subTest(str(more)):
                hears = self.manager()
                env = {"NOTIFY_SOCKET": self.path}
                tplb = self.start(one_listener([self.server()], admin=ADMIN, **more), env=env)
                self.assertEqual(hears.recv(100), b"READY=1")
                self.replace("#!/bin/sh\nexit 1\n")
                self.is_refused("status 1")
                self.assertRegex(hears.recv(100), rb"^RELOADING=1\n")
                self.assertEqual(hears.recv(100), b"READY=1")
                self.put_back()
                main_pid = tplb.pid
                for n in (1, 2):
                    os.kill(main_pid, signal.SIGUSR2)
                    self.assertRegex(hears.recv(100), rb"^RELOADING=1\n")
                    heir = has_taken_over(tplb, n)
                    self.assertEqual(hears.recv(100), b"MAINPID=%d\nREADY=1\nWATCHDOG=1" % heir)
                    wait_until(lambda: not is_there(main_pid), "the old one's end", 2 * BOUND)
                    main_pid = heir
                self.assertEqual(tplb.process.wait(), 0)
                os.kill(main_pid, signal.SIGHUP)
                self.assertRegex(hears.recv(100), rb"^RELOADING=1\n")
                self.assertEqual(hears.recv(100), b"READY=1")
                os.kill(main_pid, signal.SIGTERM)
                self.assertEqual(hears.recv(100), b"STOPPING=1")
                wait_until(lambda: not is_there(main_pid), "its end", 2 * BOUND)
                tplb.wait()
                tplb.check_reports()

    def test_watchdog(self):
        """It is fed by both, one after the other."""
        hears = self.manager()
        tplb = self.start(env={"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "100000"})
        tplb.tell(signal.SIGUSR2)
        heir = has_taken_over(tplb)
        while not hears.recv(100).startswith(b"MAINPID="):
            pass
        for _ in range(3):
            self.assertEqual(hears.recv(100), b"WATCHDOG=1")
        os.kill(heir, signal.SIGTERM)
        wait_until(lambda: not is_there(heir), "its end", 2 * BOUND)
        tplb.wait()


    def test_sockets(self):
        """Of a socket unit: they go from one to the next, and the file stays when the last one ends."""
        place = self.directory()
        os.chmod(place, 0o755)
        path, launcher = os.path.join(place, "web.sock"), os.path.join(place, "launch")
        with open(launcher, "w") as f:
            f.write(
                "#!%s\nimport os, socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.bind(%r)\ns.listen(5)\n"
                "os.chmod(%r, 0o666)\nos.dup2(s.fileno(), 3)\nos.set_inheritable(3, True)\n"
                "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\nos.execv(%r, [%r] + sys.argv[1:])\n"
                % (sys.executable, path, path, TPLB, TPLB)
            )
        os.chmod(launcher, 0o755)
        for more in rights():
            with self.subTest(str(more)):
                if os.path.exists(path):
                    os.unlink(path)
                tplb = self.start(one_listener([self.server()], bind="unix:" + path, admin=ADMIN, **more), program=launcher)
                was = os.stat(path).st_ino
                for n in (1, 2):
                    self.ctl("upgrade")
                    has_taken_over(tplb, n)
                    tplb.wait_line("info: stopped$", n)
                    self.is_served("unix:" + path)
                ends(tplb)
                self.assertEqual(os.stat(path).st_ino, was)


class Signals(TakeoverCase):
    def slow(self, **more):
        """A tplb whose successor does not come until the gate, a FIFO, is opened for writing."""
        config = one_listener([self.server()], admin=ADMIN, **more)
        tplb = self.start(config)
        self.gate = os.path.join(self.directory(), "gate")
        os.mkfifo(self.gate)
        self.replace("#!/bin/sh\necho $$ at the gate >&2\nread x < %s\nexec %s.old \"$@\"\n" % (self.gate, self.program))
        tplb.tell(signal.SIGUSR2)
        self.heir = int(tplb.wait_line(r"says: (\d+) at the gate").group(1))
        return tplb

    def open_gate(self):
        with open(self.gate, "w") as f:
            f.write("x\n")

    def test_a_second_one(self):
        tplb = self.slow()
        tplb.tell(signal.SIGUSR2)
        tplb.wait_line("upgrade: refused: another upgrade is under way")
        self.open_gate()
        has_taken_over(tplb)
        ends(tplb)

    def test_reload_meanwhile(self):
        """It is the new one's, and it may have read its file before."""
        tplb = self.slow()
        tplb.tell(signal.SIGHUP)
        tplb.tell(signal.SIGUSR1)
        self.open_gate()
        has_taken_over(tplb)
        tplb.wait_line("reload: nothing has changed")
        ends(tplb)

    def test_reload_meanwhile_of_one_that_stays(self):
        tplb = self.slow()
        tplb.tell(signal.SIGHUP)
        os.kill(self.heir, signal.SIGKILL)
        tplb.wait_line("error: upgrade: .*SIGKILL")
        tplb.wait_line("reload: nothing has changed")
        self.is_served()
        ends(tplb)

    def test_end_meanwhile(self):
        tplb = self.slow()
        tplb.tell(signal.SIGTERM)
        self.assertEqual(tplb.wait(), 0)
        self.assertIn("this process is told to stop", tplb.stderr)
        self.assertFalse(is_there(self.heir))

    def test_old_one_killed(self):
        """The new one has all sockets, and serves."""
        tplb = self.slow()
        tplb.process.kill()
        tplb.process.wait()
        self.open_gate()
        tplb.wait_line("this process has taken over; the one before is gone")
        tplb.wait_line("is ready", 2)
        self.is_served()
        self.assertEqual(self.serving(), self.heir)
        os.kill(self.heir, signal.SIGTERM)
        wait_until(lambda: not is_there(self.heir), "its end", 2 * BOUND)

    @unittest.skipUnless(os.geteuid() == 0, "only root has a parent process")
    def test_parent_or_child_killed(self):
        """Of the old one, before the new one serves: that has the sockets and their files."""
        for which in ("parent", "child"):
            with self.subTest(which):
                tplb = self.slow(bind="unix:web.sock", user="nobody")
                victim = tplb.pid if which == "parent" else next(p for p in children(tplb.pid) if p != self.heir)
                os.kill(victim, signal.SIGKILL)
                tplb.process.wait()
                self.open_gate()
                tplb.wait_line("this process has taken over; the one before is gone")
                tplb.wait_line("is ready", 2)
                self.is_served("unix:%s/web.sock" % tplb.directory)
                self.serving()
                os.kill(self.heir, signal.SIGTERM)
                wait_until(lambda: not is_there(self.heir), "its end", 2 * BOUND)

    def test_new_one_killed(self):
        """Before it serves nothing has happened; after, its end is the program's, with a status that says so."""
        tplb = self.slow()
        os.kill(self.heir, signal.SIGKILL)
        tplb.wait_line("error: upgrade: the new process was ended by SIGKILL")
        self.is_served()
        self.put_back()
        self.ctl("upgrade")
        heir = has_taken_over(tplb)
        tplb.wait_line("info: stopped$")
        os.kill(heir, signal.SIGKILL)
        self.assertEqual(tplb.wait(), 1)
        self.assertIn("process %d, which had taken over, was ended by SIGKILL" % heir, tplb.stderr)

    def test_new_one_ends_first(self):
        """While the old one drains still: the end of that is the program's."""
        for more in rights():
            for number, status in ((signal.SIGTERM, 0), (signal.SIGKILL, 1)):
                with self.subTest("%s, %s" % (more, number)):
                    server = self.server(stalled)
                    tplb = self.start(one_listener([server], admin=ADMIN, **more))
                    client = self.client()
                    client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                    server.wait_requests(1)
                    self.ctl("upgrade")
                    heir = has_taken_over(tplb)
                    tplb.wait_line("is ready", 2)
                    os.kill(heir, number)
                    wait_until(lambda: not is_there(heir), "the new one's end", 2 * BOUND)
                    server.gate.set()
                    self.assertEqual(client.whole_response().status, 200)
                    client.close()
                    self.assertEqual(tplb.wait(), status)

    def test_through_the_one_that_stays(self):
        """Whoever signals the process that was started reaches the one that serves, however many lie between, and amid a drain."""
        for more in rights():
            with self.subTest(str(more)):
                server = self.server(stalled)
                tplb = self.start(one_listener([server], admin=ADMIN, timeouts={"drain": "1h"}, **more))
                client = self.client()
                client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                server.wait_requests(1)
                for n in (1, 2):  # the first one is not through with its client
                    tplb.tell(signal.SIGUSR2)
                    has_taken_over(tplb, n)
                tplb.tell(signal.SIGHUP)
                tplb.wait_line("reload: nothing has changed")
                server.gate.set()
                got = client.whole_response()
                self.assertEqual((got.status, got.get("Connection")), (200, b"close"))
                client.close()
                tplb.wait_line("info: stopped$", 2)
                tplb.tell(signal.SIGHUP)
                tplb.wait_line("reload: nothing has changed", 2)
                ends(tplb)

    def test_stop_amid_a_drain(self):
        """One TERM has all of them drain, a second one ends all at once."""
        for more in rights():
            with self.subTest(str(more)):
                server = self.server(stalled)
                tplb = self.start(one_listener([server], admin=ADMIN, timeouts={"drain": "1h"}, **more))
                clients = [self.client(), self.client()]
                clients[0].send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                server.wait_requests(1)
                tplb.tell(signal.SIGUSR2)
                has_taken_over(tplb)
                tplb.wait_line("is ready", 2)
                clients[1] = self.client()
                clients[1].send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                server.wait_requests(2)
                tplb.tell(signal.SIGTERM)
                tplb.wait_line("draining", 2)
                tplb.tell(signal.SIGTERM)
                tplb.wait()
                for client in clients:
                    client.expect_gone()
                server.gate.set()

    def test_all_are_told(self):
        """As by killall: the one that stays, a parent and its child, each by itself and by the one before it. It is one TERM."""
        for more in rights():
            with self.subTest(str(more)):
                server = self.server(stalled)
                tplb = self.start(one_listener([server], admin=ADMIN, timeouts={"drain": "1h"}, **more))
                self.ctl("upgrade")
                heir = has_taken_over(tplb)
                wait_until(lambda: children(tplb.pid) == [heir], "the caretaker", 2 * BOUND)
                client = self.client()
                client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                server.wait_requests(1)
                for pid in (*children(heir), heir, tplb.pid):
                    os.kill(pid, signal.SIGTERM)
                tplb.wait_line("draining", 2)
                server.gate.set()
                self.assertEqual(client.whole_response().status, 200)
                client.close()
                self.assertEqual(tplb.wait(), 0)

    def test_drain_is_bounded(self):
        """timeouts.drain holds for the old one, and who is cut by it is cut though the process stays."""
        server = self.server(stalled)
        tplb = self.start(one_listener([server], admin=ADMIN, timeouts={"drain": "200ms"}))
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        tplb.tell(signal.SIGUSR2)
        tplb.wait_line("timeouts.drain is over: 1 connections were cut")
        client.expect_gone()
        server.gate.set()
        client = self.client()
        self.assertEqual(client.get().status, 200)
        client.close()
        super(Tplb, tplb).stop()


@unittest.skipUnless(os.geteuid() == 0, "a namespace of processes needs root")
class Container(TakeoverCase):
    def test_process_one(self):
        """It stays, also where a manager would hear of another one: with it the container would end."""
        place = self.directory()
        launcher = os.path.join(place, "launch")
        with open(launcher, "w") as f:
            f.write("#!/bin/sh\nexec unshare --pid --fork --kill-child %s \"$@\"\n" % TPLB)
        os.chmod(launcher, 0o755)
        tplb = self.start(program=launcher, env={"NOTIFY_SOCKET": os.path.join(place, "nobody")})
        (one,) = children(tplb.pid)
        for n in (1, 2):
            os.kill(one, signal.SIGUSR2)
            has_taken_over(tplb, n)
            tplb.wait_line("info: stopped$", n)
        self.is_served()
        os.kill(one, signal.SIGTERM)
        self.assertEqual(tplb.wait(), 0)
        self.assertEqual(tplb.stderr.count("info: stopped"), 3)


if __name__ == "__main__":
    main(engines=False)
