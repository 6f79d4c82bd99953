"""The completions of bash, zsh and fish: they know every command that tplb knows, and what may stand behind it."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re
import shutil
import subprocess

from support.case import main
from support.ctl import CtlCase
from support.raw import BOUND
from support.tplb import CTL, environment

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "etc", "completions")
FILES = {"bash": "tplb.bash", "zsh": "_tplb", "fish": "tplb.fish"}
OWN = ["help", "top"]  # tplbctl's own, or not in the table

def read(shell):
    with open(os.path.join(FOLDER, FILES[shell])) as f:
        return f.read()


def listed(shell):
    """The lines of the list of commands."""
    return re.search(r'__?tplbctl_commands(?:=| )"([^"]*)"', read(shell)).group(1).splitlines()


class Listed(CtlCase):
    def test_every_command(self):
        """The list in each file is the table of the program."""
        self.start()
        table = ["%s %s" % (row["command"], row["arguments"]) for row in self.json("help")]
        table = sorted([line.rstrip() for line in table] + OWN)
        for shell in FILES:
            self.assertEqual(sorted(listed(shell)), table, FILES[shell])

    def test_usage(self):
        """So does the usage: each with the same words behind it."""
        self.start()
        done = subprocess.run([CTL, "--help"], capture_output=True, timeout=BOUND, env=environment(), check=True)
        lines = [re.findall(r"[^\s|\[\]]+", line) for line in done.stdout.decode().splitlines()]
        for row in self.json("help"):
            words = re.findall(r"[^\s|\[\]]+", row["command"] + " " + row["arguments"])
            first = row["command"].split()[0]
            self.assertTrue(any(line[:1] == [first] and set(words) <= set(line) for line in lines), words)

    def test_every_option(self):
        done = subprocess.run([CTL, "--help"], capture_output=True, timeout=BOUND, env=environment(), check=True)
        options = re.findall(r"^  -(\w), --([\w-]+)", done.stdout.decode(), re.M)
        self.assertGreaterEqual(len(options), 4)
        for short, long in options:
            self.assertIn("--" + long, read("bash"), short)
            self.assertIn("{-%s,--%s}" % (short, long), read("zsh"))
            self.assertRegex(read("fish"), r"complete -c tplbctl (-n \w+ )?-s %s -l %s" % (short, long))


class Shell:
    """What a shell offers behind a line; with a tplb that has servers, so that these are asked for."""

    def start_named(self):
        self.servers = [self.server(), self.server()]
        self.start(*self.servers, upstream={"name": "my up"}, listener={"upstream": "my up"})
        os.symlink(CTL, os.path.join(self.balancer.directory, "tplbctl"))
        self.environment = environment()
        self.environment["PATH"] = self.balancer.directory + os.pathsep + self.environment.get("PATH", os.defpath)
        self.environment["HOME"] = self.balancer.directory

    def run_shell(self, *argv):
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=2 * BOUND, env=self.environment, cwd=self.balancer.directory
        )
        self.assertEqual(done.stderr.decode(), "")
        return done.stdout.decode().split("\n")[:-1]

    def test_words(self):
        if not shutil.which(self.shell):
            self.skipTest("there is no %s" % self.shell)
        self.start_named()
        first = sorted({line.split()[0] for line in listed(self.shell)})
        shows = sorted(line.split()[1] for line in listed(self.shell) if line.startswith("show "))
        states = ["drain", "maint", "ready", "weight"]
        names = sorted("my up/" + server.address for server in self.servers)
        for said, want in (
            ([], first),
            (["show"], shows),
            (["set"], ["pool", "server"]),
            (["set", "pool"], ["workers"]),
            (["set", "pool", "workers"], []),
            (["set", "server", "my up/127.0.0.1:80"], states),
            (["set", "server", "x/y", "weight"], []),
            (["set", "server", "x/y", "drain"], []),
            (["reload"], []),
            (["trace"], []),
            (["nonsense"], []),
            (["set", "server"], names),
        ):
            self.assertEqual(sorted(self.next(said)), want, said)


class Bash(Shell, CtlCase):
    shell = "bash"

    def complete(self, line):
        script = '. "$1"; COMP_LINE=$2 COMP_POINT=${#2}; _tplbctl; printf "%s\\n" "${COMPREPLY[@]}"'
        got = self.run_shell("bash", "-c", script, "-", os.path.join(FOLDER, FILES["bash"]), line)
        return [] if got == [""] else got

    def next(self, said):
        script = '. "$1"; shift; _tplbctl_next "$@"'
        return self.run_shell("bash", "-c", script, "-", os.path.join(FOLDER, FILES["bash"]), *said, "--", "-s", self.path)

    def test_line(self):
        """From the line as it is typed: beginnings, options before, and servers, whose colons end bash's words."""
        self.start_named()
        name = "my\\ up/" + self.servers[0].address
        port = self.servers[0].address.rsplit(":", 1)[1]
        for line, want in (
            ("tplbctl ", sorted({line.split()[0] for line in listed("bash")})),
            ("tplbctl sh", ["show"]),
            ("tplbctl -j show st", ["status"]),
            ("tplbctl -s x show q", ["queue"]),
            ("tplbctl --j", ["--json"]),
            ("tplbctl top --i", ["--iterations"]),
            ("tplbctl set server up/127.0.0.1:80 dr", ["drain"]),
            ("tplbctl set server up/127.0.0.1:80 weight ", []),
        ):
            self.assertEqual(self.complete(line), want, line)
        got = self.complete("tplbctl -s %s set server " % self.path)
        self.assertIn(name, got)
        self.assertEqual(len(got), 2)
        # A name without blanks, up to its colon.
        self.start(self.servers[0])
        got = self.complete("tplbctl -s %s set server up/127.0.0.1:%s" % (self.path, port[:1]))
        self.assertEqual(got, [port])
        self.assertEqual(self.complete("tplbctl -s %s/none.sock set server " % self.directory()), [])


class Zsh(Shell, CtlCase):
    shell = "zsh"

    def next(self, said):
        script = 'compdef() { }; service=none; . "$1"; shift; _tplbctl_next "$@"'
        return self.run_shell("zsh", "-f", "-c", script, "-", os.path.join(FOLDER, FILES["zsh"]), *said, "--", "-s", self.path)


class Fish(Shell, CtlCase):
    shell = "fish"

    def next(self, said):
        script = "source $argv[1]; __tplbctl_next $argv[2..-1]"
        return self.run_shell("fish", "-N", "-c", script, os.path.join(FOLDER, FILES["fish"]), "-s", self.path, *said)


if __name__ == "__main__":
    main(engines=False)
