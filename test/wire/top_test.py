"""tplbctl top: as text for scripts, and on a terminal with keys, another size, and every way out."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import fcntl
import json
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

from support.case import main
from support.ctl import CtlCase
from support.load import Load
from support.raw import BOUND, Late, wait_until
from support.tplb import CTL, environment

ENTER, LEAVE = b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l"
LONG = bool(os.environ.get("TPLB_LONG"))


class Screen:
    """tplbctl on a terminal of its own."""

    def __init__(self, path, *args, size=(30, 100)):
        self.master, self.slave = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(self.slave)
        self.text = b""
        self.process = subprocess.Popen(
            [CTL, "-s", path, "top", *args],
            stdin=self.slave,
            stdout=self.slave,
            stderr=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def resize(self, lines, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def more(self, bound=BOUND):
        ready, _, _ = select.select([self.master], [], [], bound)
        if not ready:
            raise Late("nothing more on the screen: %r" % self.text[-2000:])
        self.text += os.read(self.master, 65536)

    def rest(self):
        while select.select([self.master], [], [], 0)[0]:
            self.text += os.read(self.master, 65536)
        return self.text

    def wait_left(self):
        """The last that came is how one leaves; the kernel hands on what was written in a thread of its own, perhaps after the writer's end."""
        while not self.rest().endswith(LEAVE):
            self.more()

    def wait_text(self, pattern):
        """Forgets what is on the screen up to it."""
        end = time.monotonic() + BOUND
        while True:
            m = re.search(pattern, self.text)
            if m:
                self.text = self.text[m.end() :]
                return m
            if time.monotonic() > end:
                raise Late("%r does not come: %r" % (pattern, self.text[-2000:]))
            self.more()

    def frame(self):
        """The next whole one, as lines without control sequences."""
        m = self.wait_text(rb"(?s)\x1b\[H(?!\x1b\[2J)(.*?)\x1b\[J\x1b\[\d+;1H\x1b\[2m")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", m.group(1).decode()).replace("\r", "").split("\n")

    def press(self, keys):
        os.write(self.master, keys)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        os.close(self.master)
        os.close(self.slave)


class TopCase(CtlCase):
    def screen(self, *args, **options):
        screen = Screen(self.path, *(args or ("-d", "0.1")), **options)
        self.addCleanup(screen.close)
        return screen

    def ends(self, screen, status):
        """It has ended so, and the terminal is as it was."""
        self.assertEqual(screen.process.wait(timeout=2 * BOUND), status)
        screen.wait_left()
        self.assertEqual(termios.tcgetattr(screen.slave), screen.before)
        self.assertEqual(screen.process.stderr.read(), b"")


class Plain(TopCase):
    @staticmethod
    def with_rates(lines):
        """The same, if requests were answered before each frame; else None."""
        rates = [re.search(r" ([\d.]+)/s: ", line).group(1) for line in lines if line.startswith("requests ")]
        rates += [line.split()[4] for line in lines if line.startswith("up/")]
        return lines if all(float(rate) > 0 for rate in rates) else None

    def test_frames(self):
        """As many as asked for, with rates, and without one control character."""
        server = self.server()
        self.start(server, upstream={"balance": "leastconn"})
        load = Load(self.balancer.address, 2)
        try:
            wait_until(lambda: sum(load.answers) > 0 or load.failures, "an answer")
            # A frame without an answer tells only that the clients stood still for so long, as on a slow machine.
            lines = wait_until(lambda: self.with_rates(self.good("top", "-n", "2", "-d", "0.2")) or load.failures, "two frames with rates")
        finally:
            load.stop()
        self.assertEqual(load.failures, [])
        self.assertNotRegex("".join(lines), r"[\x00-\x1f]")
        heads = [i for i, line in enumerate(lines) if line.startswith("tplb ")]
        self.assertEqual(len(heads), 2)
        for line in lines:
            if line.startswith("requests "):
                self.assertGreater(float(re.search(r" ([\d.]+)/s: 2xx ([\d.]+),", line).group(1)), 0)
        rows = [line.split() for line in lines if line.startswith("up/")]
        self.assertEqual([row[:3] for row in rows], 2 * [["up/" + server.address, "up", "1"]])
        self.assertGreater(float(rows[0][4]), 0)
        self.assertEqual(rows[0][5], "0.0")
        self.assertGreater(float(rows[0][6]), 0)

    def test_json(self):
        self.start()
        lines = self.good("--json", "top", "-n", "2", "-d", "0.1")
        self.assertEqual(len(lines), 2)
        for line in lines:
            data = json.loads(line)
            self.assertEqual(data["status"]["pid"], self.balancer.pid)
            self.assertTrue({"pool", "queue", "counters", "servers"} <= set(data))

    def test_usage(self):
        self.path = "/nowhere"
        for words in (("-n", "0"), ("-n", "x"), ("-n", "-1"), ("-d", "0"), ("-d", "x"), ("-d", "nan"), ("-d", "9999"), ("-x",), ("more",), ("-n",)):
            status, out, err = self.ctl("top", *words)
            self.assertEqual((status, out), (2, ""), words)
            self.assertRegex(err, r"tplbctl: [^\n]+; try tplbctl --help\n\Z")
        self.assertEqual(self.ctl("top", "--help")[0], 0)

    def test_nobody_there(self):
        self.path = os.path.join(self.directory(), "none.sock")
        self.assertIn("is tplb running", self.bad("top"))

    def test_half_an_answer(self):
        for said, error in ((b"", "the answer ended early"), (b'{"a": 1}\nok\n{"b', "the answer ended early"), (b"x\nok\n", "the answer is no JSON")):

            def script(connection, said=said):
                connection.read_until(b"\n")
                connection.send(said)

            server = self.server(script, address="unix")
            self.path = server.address[len("unix:") :]
            self.assertIn(error, self.bad("top", "-n", "1"))

    @unittest.skipUnless(LONG, "waits for five seconds")
    def test_no_answer(self):
        server = self.server(lambda connection: connection.read_to_end(), address="unix")
        self.path = server.address[len("unix:") :]
        self.assertIn("no answer for 5 s", self.bad("top", "-n", "1"))

    def test_tplb_ends(self):
        """A script is told so."""
        tplb = self.start()
        top = subprocess.Popen([CTL, "-s", self.path, "top", "-d", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        try:
            self.assertTrue(top.stdout.readline().startswith(b"tplb "))
            tplb.stop()
            _, err = top.communicate(timeout=2 * BOUND)
        finally:
            top.kill()
        self.assertEqual((top.returncode, err.count(b"\n")), (1, 1), err)

    def test_output_closed(self):
        self.start()
        top = subprocess.Popen([CTL, "-s", self.path, "top", "-d", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        top.stdout.readline()
        top.stdout.close()
        self.assertEqual(top.wait(timeout=2 * BOUND), 1)
        self.assertEqual(top.stderr.read(), b"tplbctl: cannot write to standard output\n")
        top.stderr.close()


class Terminal(TopCase):
    def test_keys(self):
        servers = [self.server() for _ in range(2)]
        self.start(*servers, upstream={"balance": "leastconn"})
        self.good("set", "server", "up/" + servers[1].address, "drain")
        for _ in range(3):
            self.assertEqual(self.client().get().status, 200)
        screen = self.screen()
        screen.wait_text(re.escape(ENTER))
        lines = screen.frame()
        self.assertTrue(lines[0].startswith("tplb "), lines)
        self.assertIn(">REQ/S", "".join(lines))
        screen.press(b"\x1b[C\x1b[C\x1b[C")  # three columns to the right: all requests
        screen.wait_text(rb">REQUESTS")

        def order():
            return [line.split()[0] for line in screen.frame() if line.startswith("up/")]

        names = ["up/" + server.address for server in servers]
        wait_until(lambda: order() == names, "the one with requests first")
        screen.press(b"r")
        wait_until(lambda: order() == names[::-1], "the other way round")
        screen.press(b"<<\x1bOD.,")
        screen.wait_text(rb">FAIL/S")  # with REQ/S on the way
        screen.press(b" ")
        screen.wait_text(b"paused; space goes on")
        screen.press(b" \x1b[15~zz")  # keys that mean nothing
        screen.wait_text(b"q quit")
        screen.press(b"q")
        self.ends(screen, 0)

    def test_takes_nothing(self):
        """A terminal that takes nothing more, such as one at the end of a line that hangs: signals are heard all the same."""
        self.start()
        master, slave = os.openpty()
        before = termios.tcgetattr(slave)
        os.set_blocking(slave, False)
        try:
            while os.write(slave, b"x" * 4096) > 0:
                pass
        except BlockingIOError:
            pass
        os.set_blocking(slave, True)
        top = subprocess.Popen([CTL, "-s", self.path, "top"], stdin=slave, stdout=slave, stderr=slave, env=environment())
        try:
            wait_until(lambda: termios.tcgetattr(slave) != before, "its own screen")
            top.terminate()
            self.assertEqual(top.wait(BOUND), -signal.SIGTERM)
            self.assertEqual(termios.tcgetattr(slave), before)
        finally:
            top.kill()
            top.wait()
            os.close(master)
            os.close(slave)

    def test_size(self):
        """Lines are cut to the width, and to the height, whenever it changes."""
        self.start(*(self.server() for _ in range(9)))
        screen = self.screen()
        wide = screen.frame()
        self.assertEqual(sum(line.startswith("up/") for line in wide), 9)
        self.assertGreater(max(map(len, wide)), 60)
        screen.resize(10, 40)
        screen.process.send_signal(signal.SIGWINCH)

        def fits():
            lines = [line for line in screen.frame() if line]
            return max(map(len, lines)) <= 40 and len(lines) <= 10

        wait_until(fits, "a frame that fits")
        screen.press(b"Q")
        self.ends(screen, 0)

    def test_signals(self):
        """Ends as the signal wants it, and leaves nothing behind; by the terminal's keys too."""
        self.start()
        for number, key in ((signal.SIGINT, b"\x03"), (signal.SIGQUIT, b"\x1c"), (signal.SIGTERM, None), (signal.SIGHUP, None)):
            screen = self.screen()
            screen.frame()
            if key:
                screen.press(key)
            else:
                screen.process.send_signal(number)
            self.ends(screen, -number)

    def test_stop_and_go_on(self):
        self.start()
        screen = self.screen()
        screen.frame()
        screen.process.send_signal(signal.SIGTSTP)

        def state():
            with open("/proc/%d/stat" % screen.process.pid) as f:
                return f.read().rsplit(")", 1)[1].split()[0]

        wait_until(lambda: state() == "T", "the stop")
        screen.wait_left()
        self.assertEqual(termios.tcgetattr(screen.slave), screen.before)
        screen.process.send_signal(signal.SIGCONT)
        screen.wait_text(re.escape(ENTER))
        screen.frame()
        screen.press(b"\x04")
        self.ends(screen, 0)

    def test_iterations(self):
        self.start()
        screen = self.screen("-n", "2", "-d", "0.1")
        while screen.process.poll() is None:
            screen.rest()
            time.sleep(0.005)
        self.ends(screen, 0)

    def test_tplb_comes_and_goes(self):
        """Who looks is told, and sees the next one."""
        path = os.path.join(self.directory(), "ctl.sock")
        tplb = self.tplb(self.server(), admin={"socket": path})
        self.path = path
        screen = self.screen()
        screen.frame()
        tplb.stop()
        screen.wait_text(b"cannot talk to |the answer ended early")
        again = self.tplb(self.server(), admin={"socket": path})
        screen.wait_text(b"pid %d" % again.pid)
        screen.press(b"q")
        self.ends(screen, 0)

    def test_nobody_there(self):
        """Told on the screen that one had before."""
        self.path = os.path.join(self.directory(), "none.sock")
        screen = self.screen()
        self.assertEqual(screen.process.wait(timeout=2 * BOUND), 1)
        self.assertRegex(screen.process.stderr.read(), rb"\Atplbctl: cannot talk to [^\n]+\n\Z")
        self.assertEqual(screen.rest(), b"")


if __name__ == "__main__":
    main(engines=False)
