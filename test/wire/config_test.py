"""The command line and what it says of the configuration: exit statuses, FILE:LINE for every mistake, nothing started by mistake."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import os
import re
import socket
import subprocess
import unittest

from support.case import WireCase, main
from support.tools import missing
from support.tools import run as tool
from support.tplb import TPLB, Tplb, config_text, one_listener, run

GOOD = """listeners = ( { name = "web"; bind = "127.0.0.1:0"; upstream = "up"; } );
upstreams = ( { name = "up"; servers = ( { address = "127.0.0.1:1"; } ); } );
"""


ETC = os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)), "etc")


class FileCase(WireCase):
    def file(self, text):
        path = os.path.join(self.directory(), "tplb.conf")
        with open(path, "w") as f:
            f.write(text)
        return path


class CommandLine(FileCase):
    def test_help(self):
        for option in ("-h", "--help"):
            status, out, err = run([option])
            self.assertEqual((status, err), (0, ""))
            for word in ("-f", "-t", "-T", "-g", "-e", "-w", "-v", "-h", "--file", "--graph", "--workers"):
                self.assertIn(word, out)

    def test_version(self):
        for option in ("-v", "--version"):
            status, out, err = run([option])
            self.assertEqual((status, err), (0, ""))
            self.assertRegex(out, r"\Atplb \S+\n\Z")

    def test_wrong_usage(self):
        """Exit status 2, and a word on standard error, nothing on standard output."""
        good = self.file(GOOD)
        for args in (
            ["-x"], ["--no-such"], ["-f"], ["-w"], ["-w", "0", "-f", good], ["-w", "-1", "-f", good], ["-w", "x", "-f", good],
            ["-w", "5x", "-f", good], ["-w", "", "-f", good], ["-w", "99999999999999999999", "-f", good], ["-e", "magic", "-f", good],
            ["extra", "-f", good], ["-t", "-f", good, "extra"],
        ):
            with self.subTest(args):
                status, out, err = run(args)
                self.assertEqual((status, out), (2, ""))
                self.assertTrue(err.strip())

    def test_missing_file(self):
        path = os.path.join(self.directory(), "nothing.conf")
        for args in (["-f", path], ["-t", "-f", path], ["-T", "-f", path], ["--file=" + path]):
            with self.subTest(args):
                status, out, err = run(args)
                self.assertEqual((status, out), (1, ""))
                self.assertIn(path, err)
                self.assertIn("No such file", err)

    def test_file_that_is_a_directory(self):
        path = self.directory()
        status, out, err = run(["-t", "-f", path])
        self.assertEqual((status, out), (1, ""))
        self.assertIn(path, err)

    def test_check(self):
        for option in ("-t", "--test"):
            status, out, err = run([option, "-f", self.file(GOOD)])
            self.assertEqual(status, 0, err)

    def test_print(self):
        """What -T prints is a configuration of the same meaning, and complete."""
        path = self.file(GOOD + "pool = { workers = 3; };\ntimeouts = { client = \"90s\"; };\nlimits = { header_size = \"8k\"; };\n")
        status, out, err = run(["-T", "-f", path])
        self.assertEqual(status, 0, err)
        for pattern in (r"workers *= *3", r'client *= *"90s"', r'header_size *= *"8k"', r'bind *= *"127.0.0.1:0"', r'connect *= *"1s"', r"drain"):
            self.assertRegex(out, pattern)
        status, again, err = run(["-T", "-f", self.file(out)])
        self.assertEqual(status, 0, err)
        self.assertEqual(again, out)

    def test_print_with_overrides(self):
        status, out, err = run(["-T", "-w", "7", "-e", "pool", "-f", self.file(GOOD)])
        self.assertEqual(status, 0, err)
        self.assertRegex(out, r"workers *= *7")

    def test_graph(self):
        """-g, with or without -T, checks and prints a graph of what is in effect; nothing is started."""
        path = self.file(GOOD.replace('"web"', r'"a \"web\""'))
        status, out, err = run(["-g", "-w", "7", "-f", path])
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r'(?s)\Adigraph tplb \{\n.*\n\}\n\Z')
        for what in (r'label="a \"web\"\n127.0.0.1:0\nhttp"', r'label="7 workers\n', r'label="up\nroundrobin"', r'label="127.0.0.1:1\nweight 1"'):
            self.assertIn(what, out)
        for args in (["--graph"], ["-T", "-g"], ["-tg"]):
            self.assertEqual(run([*args, "-w", "7", "-f", path]), (0, out, ""), args)
        status, out, err = run(["-g", "-e", "async", "-w", "2", "-f", path])
        self.assertEqual((status, err), (0, ""))
        self.assertIn(r'label="2 loops\n', out)

    @unittest.skipUnless(*missing("dot"))
    def test_graph_is_one_that_dot_draws(self):
        status, out, err = run(["-g", "-f", self.file(GOOD.replace('"web"', r'"\"\\<&{|\\"'))])
        self.assertEqual((status, err), (0, ""))
        picture = tool("dot", "-Tsvg", data=out.encode()).decode()
        self.assertIn(r"&quot;\&lt;&amp;{|\<", picture)

    def test_workers_override(self):
        tplb = self.tplb(self.server(), pool={"workers": 2}, args=["-w", "5"], **{"async": {"fibers": 64}})
        tplb.wait_line(r"5 (workers|loops)")
        self.assertEqual(self.client().get().status, 200)

    def test_check_starts_nothing(self):
        """-t binds nothing: it passes while the port is in use."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            path = self.file(GOOD.replace("127.0.0.1:0", "127.0.0.1:%d" % sock.getsockname()[1]))
            status, out, err = run(["-t", "-f", path])
            self.assertEqual(status, 0, err)

    def test_port_in_use(self):
        """Exit status 1, one line that names the address."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            address = "127.0.0.1:%d" % sock.getsockname()[1]
            status, out, err = run(["-f", self.file(GOOD.replace("127.0.0.1:0", address) + 'log = { level = "error"; };\n')])
        self.assertEqual(status, 1)
        lines = [line for line in err.splitlines() if "warning" not in line]
        self.assertEqual(len(lines), 1, err)
        self.assertIn(address, lines[0])
        self.assertIn("in use", lines[0])

    def test_unwritable_log(self):
        status, out, err = run(["-f", self.file(GOOD + 'log = { access = "/no/such/folder/access.log"; };\n')])
        self.assertEqual(status, 1)
        self.assertIn("/no/such/folder/access.log", err)

    def test_unwritable_unix_socket(self):
        status, out, err = run(["-f", self.file(GOOD.replace("127.0.0.1:0", "unix:/no/such/folder/x.sock"))])
        self.assertEqual(status, 1)
        self.assertIn("/no/such/folder/x.sock", err)


class Mistakes(FileCase):
    def mistakes(self, text, *expected):
        """Every one of (line, key, word) is reported in one run of -t, and of a start, which starts nothing; the exit status is 2."""
        path = self.file(text)
        for args in (["-t", "-f", path], ["-f", path], ["-T", "-f", path], ["-g", "-f", path]):
            status, out, err = run(args)
            self.assertEqual(status, 2, err)
            self.assertEqual(out, "")
            self.assertNotIn("listening", err)
            for line, key, word in expected:
                pattern = r"(?m)^%s:%d: (.*\b)?%s(\[\d+\])?: .*%s" % (re.escape(path), line, re.escape(key), word)
                self.assertRegex(err, pattern)
        return err

    def test_many_at_once(self):
        err = self.mistakes(
            'pool = { wokers = 4; };\n'
            'queue = { size = 0; timeout = "soon"; };\n'
            'listeners = (\n'
            '  { name = "a"; bind = "127.0.0.1:0"; upstream = "up"; },\n'
            '  { name = "a"; bind = "127.0.0.1:7001"; upstream = "nowhere"; },\n'
            '  { name = "b"; upstream = "up"; mode = "udp"; }\n'
            ');\n'
            'upstreams = ( { name = "up"; servers = ( { address = "127.0.0.1:1"; weight = 1000; },\n'
            '                                         { weight = "x"; } ); } );\n'
            'timeouts = { connect = 5; };\n'
            'nonsense = true;\n',
            (1, "wokers", "workers"),
            (2, "size", ""),
            (2, "timeout", ""),
            (5, "name", "a"),
            (5, "upstream", "nowhere"),
            (6, "bind", ""),
            (6, "mode", ""),
            (8, "weight", ""),
            (9, "weight", ""),
            (9, "address", ""),
            (10, "connect", ""),
            (11, "nonsense", ""),
        )
        self.assertGreaterEqual(len(err.splitlines()), 12)

    def test_suggestions(self):
        self.mistakes(GOOD + 'timeouts = { conect = "1s"; };\n', (3, "conect", "connect"))
        self.mistakes(GOOD.replace('upstream = "up"', 'upstream = "uq"'), (1, "upstream", "up"))
        self.mistakes(GOOD + 'log = { level = "inof"; };\n', (3, "level", "info"))

    def test_syntax(self):
        path = self.file(GOOD + "pool = { workers = ;\n")
        status, out, err = run(["-t", "-f", path])
        self.assertEqual((status, out), (2, ""))
        self.assertRegex(err, r"(?m)^%s:[34]: " % re.escape(path))

    def test_nothing_there(self):
        """An empty file lacks what has no default."""
        path = self.file("")
        status, out, err = run(["-t", "-f", path])
        self.assertEqual((status, out), (2, ""))
        self.assertIn("listeners", err)
        self.assertIn("upstreams", err)

    def test_empty_lists(self):
        self.mistakes("listeners = ( );\n" + GOOD.splitlines()[1] + "\n", (1, "listeners", ""))
        self.mistakes(GOOD.replace('( { address = "127.0.0.1:1"; } )', "( )"), (2, "servers", ""))

    def test_values(self):
        for text, key in (
            ('timeouts = { client = "5"; };', "client"),
            ('timeouts = { client = "5x"; };', "client"),
            ('timeouts = { client = "-5s"; };', "client"),
            ('timeouts = { client = "99999999999h"; };', "client"),
            ('limits = { header_size = "1q"; };', "header_size"),
            ('limits = { header_size = "1"; };', "header_size"),
            ('limits = { connections = 0; };', "connections"),
            ('limits = { connections = -5; };', "connections"),
            ('limits = { connections = "5"; };', "connections"),
            ('limits = { connections = 1.5; };', "connections"),
            ('forward = { x_forwarded_for = 1; };', "x_forwarded_for"),
            ('forward = { forwarded = "yes"; };', "forwarded"),
            ('forward = { trusted = ( "10.0.0.0/33" ); };', "trusted"),
            ('forward = { trusted = "10.0.0.0/8x"; };', "trusted"),
            ('forward = { via = "a b"; };', "via"),
            ('pool = { hold = "hands"; };', "hold"),
            ('pool = 5;', "pool"),
            ('engine = "steam";', "engine"),
            ('user = "no-such-user-here";', "user"),
        ):
            with self.subTest(text):
                self.mistakes(GOOD + text + "\n", (3, key, ""))

    def test_addresses(self):
        for bind in ("127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", "[::1:80", "300.0.0.1:80", "unix:", "", "127.0.0.1:-1"):
            with self.subTest(bind):
                self.mistakes(GOOD.replace("127.0.0.1:0", bind), (1, "bind", ""))
        for address in ("127.0.0.1", "127.0.0.1:0", ":80", "*:80", "", "127.0.0.1:99999"):
            with self.subTest(address):
                self.mistakes(GOOD.replace("127.0.0.1:1", address), (2, "address", ""))

    def test_duplicates(self):
        self.mistakes(
            'listeners = ( { bind = "127.0.0.1:7001"; upstream = "up"; },\n'
            '              { bind = "127.0.0.1:7001"; upstream = "up"; } );\n' + GOOD.splitlines()[1] + "\n",
            (2, "bind", "7001"),
        )
        self.mistakes(
            GOOD.splitlines()[0] + "\n"
            'upstreams = ( { name = "up"; servers = ( { address = "127.0.0.1:1"; } ); },\n'
            '              { name = "up"; servers = ( { address = "127.0.0.1:2"; } ); } );\n',
            (3, "name", "up"),
        )

    def test_same_key_twice(self):
        path = self.file(GOOD + "pool = { workers = 1; workers = 2; };\n")
        status, out, err = run(["-t", "-f", path])
        self.assertEqual((status, out), (2, ""))
        self.assertRegex(err, r"(?m)^%s:3: " % re.escape(path))

    def test_include(self):
        """@include works, and a mistake in an included file is told with that file's name and line."""
        directory = self.directory()
        inner = os.path.join(directory, "inner.conf")
        with open(inner, "w") as f:
            f.write("# a comment\npool = { wokers = 4; };\n")
        outer = os.path.join(directory, "tplb.conf")
        with open(outer, "w") as f:
            f.write('@include "%s"\n' % inner + GOOD)
        status, out, err = run(["-t", "-f", outer])
        self.assertEqual((status, out), (2, ""))
        self.assertRegex(err, r"(?m)^%s:2: .*wokers" % re.escape(inner))
        with open(inner, "w") as f:
            f.write("pool = { workers = 4; };\n")
        status, out, err = run(["-T", "-f", outer])
        self.assertEqual(status, 0, err)
        self.assertRegex(out, r"workers *= *4")

    def test_unresolvable_name(self):
        """A server's name that does not exist is a mistake of the file, not a crash."""
        path = self.file(GOOD.replace("127.0.0.1:1", "no-such-host.invalid:80"))
        status, out, err = run(["-f", path])
        self.assertEqual((status, out), (2, ""))
        self.assertRegex(err, r"(?m)^%s:2: .*no-such-host.invalid" % re.escape(path))


class Effects(FileCase):
    def test_printed_configuration_runs(self):
        """A start with what -T printed is a start with the original."""
        server = self.server()
        status, out, err = run(["-T", "-f", self.file(config_text(one_listener([server])))])
        self.assertEqual(status, 0, err)
        self.balancer = self.started(Tplb(out))
        self.assertEqual(self.client().get().status, 200)

    def test_standard_output_that_is_full(self):
        """What was asked for and could not be written is a failure, not silence."""
        for args in (["-T", "-f", self.file(GOOD)], ["-g", "-f", self.file(GOOD)], ["--help"], ["--version"]):
            with self.subTest(args), open("/dev/full", "w") as full:
                done = subprocess.run([TPLB, *args], stdout=full, stderr=subprocess.PIPE, timeout=60)
            self.assertEqual(done.returncode, 1, args)


class Samples(WireCase):
    # What depends on where a sample is looked at: names of an example's servers, the user that a package makes, what the system grants.
    ELSEWHERE = re.compile(r'cannot resolve "(srv:)?[a-z0-9-]+(\.example:|\.service\.consul")|there is no user "tplb"|: warning: ')

    def test_each_is_right(self):
        """The samples, the package's configuration and the one that make install puts there: each is read without a mistake."""
        names = [os.path.join("samples", name) for name in os.listdir(os.path.join(ETC, "samples")) if name.endswith(".conf")]
        self.assertGreater(len(names), 15)
        for name in sorted(names) + ["tplb.conf", os.path.join("debian", "tplb.conf")]:
            with self.subTest(name):
                status, _, err = run(["-T", "-f", os.path.join(ETC, name)])
                wrong = [line for line in err.splitlines() if not self.ELSEWHERE.search(line)]
                self.assertEqual(wrong, [])
                self.assertTrue(status == 0 or err, status)


if __name__ == "__main__":
    main()
