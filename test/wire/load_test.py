"""tplb-load: what it counts, from when it counts, what it sends, and how it fails. On each driver; no figure is expected closer than twofold."""

import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from support.case import WireCase, io_uring_works, main
from support.raw import BOUND
from support.server import OK, answer, by_target, each, once, stalled, unconnectable
from support.tplb import REPORT, Origin, Process, environment

LOAD = os.path.abspath(os.environ.get("TPLB_LOAD", "./tplb-load"))
DELAY = 0.1

DRIVERS = ("epoll", "io_uring") if io_uring_works() else ("epoll",)


def run(*args):
    """Runs tplb-load to its own end: (status, standard output, standard error)."""
    done = subprocess.run(
        [LOAD, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=BOUND * 4, env=environment(), text=True
    )
    if REPORT.search(done.stderr):
        raise AssertionError("a report on standard error:\n" + done.stderr)
    return done.returncode, done.stdout, done.stderr


def slow(connection):
    while connection.read_request():
        time.sleep(DELAY)
        connection.send(OK)


class LoadCase(WireCase):
    def load(self, server, *args, target="/"):
        """A run against the server that must go well, once for each driver; yields the reports."""
        for driver in DRIVERS:
            status, out, err = run("-j", "-D", driver, *args, "http://%s%s" % (server.address, target))
            self.assertEqual((status, err), (0, ""), driver)
            report = json.loads(out)
            self.assertEqual(report["driver"], driver)
            yield report

    def load_until(self, server, condition, *args):
        """A run that is ended by a signal when condition(its connections at the server) holds, once for each driver; yields the reports."""
        for driver in DRIVERS:
            first = len(server.connections)
            process = self.started(Process([LOAD, "-j", "-D", driver, "-d", "600s", *args, "http://" + server.address]))
            server.wait(lambda: condition(server.connections[first:]))
            process.tell(signal.SIGTERM)
            self.assertEqual(process.wait(), 0)
            with open(process.stdout_path) as f:
                yield json.loads(f.read())

    def check_errors(self, report, **expected):
        self.assertEqual({k: v for k, v in report["errors"].items() if v}, expected)


class OpenLoop(LoadCase):
    def test_rate_is_kept(self):
        for report in self.load(self.server(), "-r", "100", "-d", "1s", "-c", "4"):
            self.check_errors(report)
            self.assertEqual((report["scheduled"], report["sent"], report["answered"], report["cut"]), (100, 100, 100, 0))
            self.assertEqual((report["rate"], report["connections"], report["duration_s"]), (100, 4, 1))
            self.assertTrue(1 <= report["lasted_s"] < 12, report)  # no answer is waited for longer than 10 s
            self.assertEqual(report["bytes"], 100 * len(OK))
            self.assertEqual((report["opened"], report["clients"]["answered"], report["clients"]["clients"]), (4, 4, 4))
            if report["latency_ms"]["max"] < 10:  # then all the others were free at each time
                self.assertEqual((report["clients"]["min"], report["clients"]["max"]), (25, 25))  # whoever has been free for longest is next

    def test_fractions_of_a_request(self):
        for report in self.load(self.server(), "-r", "2.5", "-d", "1s", "-c", "1"):
            self.assertEqual((report["scheduled"], report["answered"]), (3, 3))

    def test_latency_counts_from_the_schedule(self):
        """One connection, 100 ms an answer, 50 requests/s for 0.5 s: 2.5 s of work. The waiting is in the latency and not in the service."""
        for report in self.load(self.server(slow), "-r", "50", "-d", "500ms", "-c", "1", "-t", "30s"):
            self.check_errors(report)
            self.assertEqual((report["scheduled"], report["sent"], report["answered"]), (25, 25, 25))
            self.assertGreater(report["late_sends"], 20)
            self.assertTrue(90 <= report["service_ms"]["p50"] < report["latency_ms"]["p50"] / 2, report)
            self.assertGreater(report["latency_ms"]["p50"], 500)  # of 100 + 12 * (100 - 20) ms
            self.assertGreater(report["latency_ms"]["max"], 1000)
            self.assertGreaterEqual(report["latency_ms"]["max"], report["latency_ms"]["p999"])
            self.assertGreater(report["lasted_s"], 2.4)

    def test_what_is_lost_does_not_flatter(self):
        """A server that answers nobody: what was due and could not even be sent is timed out, with its time so far."""
        for report in self.load(self.server(lambda c: c.wait_gone()), "-r", "10", "-d", "500ms", "-c", "2", "-t", "1s"):
            self.assertEqual((report["scheduled"], report["answered"]), (5, 0))
            self.check_errors(report, timeout=5)
            self.assertGreater(report["latency_ms"]["p50"], 900)
            self.assertGreaterEqual(report["lasted_s"], 1.5)
            self.assertEqual(report["clients"]["answered"], 0)

    def test_stalls_once(self):
        """A server that sleeps for half a second in the middle: the requests that were due then show it, though they were sent afterwards."""
        started = []

        def script(connection):
            while connection.read_request():
                started.append(time.monotonic())
                if len(started) == 10:
                    time.sleep(0.5)
                connection.send(OK)

        server = self.server(script)
        for report in self.load(server, "-r", "50", "-d", "1s", "-c", "1"):
            started.clear()
            self.assertEqual(report["answered"], 50)
            self.assertGreater(report["latency_ms"]["p90"], 200)
            self.assertLess(report["service_ms"]["p90"], 200)
            self.assertGreaterEqual(report["service_ms"]["max"], 490)


class ClosedLoop(LoadCase):
    def test_each_client_goes_on(self):
        server = self.server(slow)
        for report in self.load_until(server, lambda seen: len(seen) == 5 and all(len(c.requests) >= 5 for c in seen), "-c", "5"):
            self.check_errors(report)
            self.assertEqual((report["rate"], report["late_sends"], report["opened"]), (0, 0, 5))
            self.assertEqual(report["clients"]["answered"], 5)
            most = report["lasted_s"] / DELAY
            self.assertTrue(4 <= report["clients"]["min"] <= report["clients"]["median"] <= report["clients"]["max"] <= most, report)
            self.assertEqual(report["scheduled"], report["answered"] + report["cut"])
            self.assertGreaterEqual(report["latency_ms"]["p50"], 90)
            # They rest at no time: what was not spent on answers is what the five that were cut took.
            spent = report["latency_ms"]["mean"] * report["answered"] / 1000
            self.assertLessEqual(spent, 5 * report["lasted_s"])

    def test_ends_in_time(self):
        for report in self.load(self.server(slow), "-d", "1s", "-c", "5"):
            self.check_errors(report)
            self.assertEqual(report["scheduled"], report["answered"] + report["cut"])
            self.assertEqual(report["lasted_s"], 1)
            self.assertLessEqual(report["clients"]["max"], 10)

    def test_starved_clients_show(self):
        """Of three clients one is ever answered."""

        def script(connection):
            if connection.index % 3:
                connection.read_request()
                connection.wait_gone()
            slow(connection)

        for report in self.load_until(
            self.server(script), lambda seen: len(seen) == 3 and all(c.requests for c in seen) and len(seen[0].requests) >= 5, "-c", "3"
        ):
            clients = report["clients"]
            self.assertEqual((clients["clients"], clients["answered"], clients["min"], clients["median"]), (3, 1, 0, 0))
            self.assertEqual(clients["max"], report["answered"])
            self.assertIn(report["cut"], (2, 3))

    def test_timeout(self):
        """An answer that takes longer is given up, its time counts, and the client goes on over a new connection."""
        for report in self.load_until(self.server(lambda c: c.wait_gone()), lambda seen: len(seen) >= 4, "-c", "1", "-t", "300ms"):
            self.assertEqual(report["answered"], 0)
            self.assertTrue(3 <= report["errors"]["timeout"] <= report["lasted_s"] / 0.3, report)
            self.assertEqual(report["errors"]["read"], 0)
            self.assertGreaterEqual(report["latency_ms"]["p50"], 300)
            self.assertGreaterEqual(report["opened"], 4)


class Messages(LoadCase):
    def test_request(self):
        server = self.server()
        for report in self.load(server, "-r", "1", "-d", "100ms", "-c", "1", target="/a?b#c"):
            self.assertEqual(report["answered"], 1)
        host = server.address.encode()
        for connection in server.connections:
            self.assertEqual(bytes(connection.bytes), b"GET /a?b HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")

    def test_without_keepalive(self):
        """A connection a request, which says so."""
        server = self.server(once(answer(fields=b"Connection: close\r\n")))
        for report in self.load(server, "-k", "off", "-r", "50", "-d", "500ms", "-c", "3"):
            self.check_errors(report)
            self.assertEqual((report["answered"], report["opened"], report["keepalive"]), (25, 25, False))
        for connection in server.connections:
            self.assertIn(b"\r\nConnection: close\r\n\r\n", bytes(connection.bytes))

    def test_without_keepalive_though_the_server_would(self):
        for report in self.load_until(self.server(), lambda seen: len(seen) >= 10, "-k", "off", "-c", "2"):
            self.check_errors(report)
            self.assertGreater(report["answered"], 2)
            self.assertTrue(report["answered"] <= report["opened"] <= report["answered"] + 2, report)

    def test_server_that_closes(self):
        """Without a word beforehand: the connection is opened again, and nothing is lost."""
        for report in self.load(self.server(once(OK)), "-r", "0.25", "-d", "4100ms", "-c", "1"):  # it has closed long before the second one
            self.check_errors(report)
            self.assertEqual((report["answered"], report["opened"]), (2, 2))

    def test_framings(self):
        """Chunked in pieces with extension and trailer, to the end of the stream, no body, a large one, after a 100 and a 103."""
        big = b"x" * 300000

        def chunked(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nab")
            time.sleep(0.01)
            connection.send(b"cd\r\n1\r\ne\r\n0\r\nTrailer: x\r\n\r")
            time.sleep(0.01)
            connection.send(b"\n")

        def closing(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\n\r\nab")
            time.sleep(0.01)
            connection.send(b"cd")
            return False

        def bytewise(connection, request):
            for i in range(len(OK)):
                connection.send(OK[i : i + 1])

        answers = {
            b"/chunked": (chunked, 1),
            b"/closing": (closing, 4),
            b"/bytewise": (bytewise, 1),
            b"/204": (b"HTTP/1.1 204 No Content\r\n\r\n", 1),
            b"/304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 1),
            b"/big": (answer(big), 1),
            b"/interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, 1),
            b"/http10": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 4),
        }
        server = self.server(by_target({target: what for target, (what, _) in answers.items()}))
        for target, (what, opened) in answers.items():
            for report in self.load(server, "-r", "20", "-d", "200ms", "-c", "1", target=target.decode()):
                self.check_errors(report)
                self.assertEqual((target, report["answered"], report["opened"]), (target, 4, opened))
                if isinstance(what, bytes):
                    self.assertEqual(report["bytes"], 4 * len(what))

    def test_statuses(self):
        """400 and more are answers and errors; others only answers."""
        for status, errors in ((b"302 Found", {}), (b"404 Not Found", {"status": 3}), (b"503 Service Unavailable", {"status": 3})):
            for report in self.load(self.server(each(answer(status=status))), "-r", "10", "-d", "300ms", "-c", "1"):
                self.assertEqual(report["answered"], 3)
                self.check_errors(report, **errors)

    def test_broken_answers(self):
        """Cut short, no HTTP, more than the head's room, reset: errors, and the client goes on."""

        def reset(connection):
            connection.read_request()
            connection.reset()

        for script in (
            once(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"),
            once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"),
            once(b"HTTP/1.1 200 OK\r\n"),
            once(b""),
            once(b"SSH-2.0-x\r\n\r\n"),
            once(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
            once(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000 + b"\r\n\r\n"),
            once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
            reset,
        ):
            for report in self.load(self.server(script), "-r", "20", "-d", "150ms", "-c", "1"):
                self.assertEqual((report["answered"], report["scheduled"], report["latency_ms"]), (0, 3, None))
                self.check_errors(report, read=3)

    def test_more_than_an_answer(self):
        """What comes behind an answer belongs to no request: the connection is not used again."""
        for report in self.load(self.server(each(OK + OK)), "-r", "10", "-d", "300ms", "-c", "1"):
            self.check_errors(report)
            self.assertEqual((report["answered"], report["opened"]), (3, 3))

    def test_server_that_goes(self):
        """Connects that are refused in the middle of a run are errors, and do not end it."""
        server = self.server(once(OK))

        def script(connection):
            if connection.read_request():
                server.stop_listening()
                connection.send(OK)

        server.script = script
        status, out, err = run("-j", "-r", "20", "-d", "500ms", "-c", "1", "-k", "off", "http://" + server.address)
        self.assertEqual((status, err), (0, ""))
        report = json.loads(out)
        self.assertEqual((report["answered"], report["opened"], report["scheduled"]), (1, 1, 10))
        self.check_errors(report, connect=9)

    def test_ipv6_and_names(self):
        for report in self.load(self.server(address="[::1]:0"), "-r", "10", "-d", "200ms", "-c", "1"):
            self.assertEqual(report["answered"], 2)
        server = self.server()
        status, out, err = run("-j", "-r", "10", "-d", "200ms", "-c", "1", "http://localhost:%s/" % server.address.split(":")[1])
        self.assertEqual((status, json.loads(out)["answered"]), (0, 2), err)

    def test_many_connections(self):
        """Hundreds of them, each used."""
        origin = self.started(Origin("-e", "async"))
        for report in self.load(origin, "-r", "50000", "-d", "10ms", "-c", "500", "-t", "30s"):
            self.check_errors(report)
            self.assertEqual((report["opened"], report["clients"]["answered"], report["answered"]), (500, 500, 500))


class Program(LoadCase):
    def test_text(self):
        status, out, err = run("-r", "10", "-d", "300ms", "-c", "1", "http://" + self.server().address)
        self.assertEqual((status, err), (0, ""))
        for pattern in (r"scheduled +3\n", r"sent +3", r"answered +3, ", r"latency +\d", r"service +\d", r"errors +none\n", r"clients +1 of 1 answered"):
            self.assertRegex(out, pattern)

    def test_help_and_version(self):
        for option in ("-h", "--help"):
            status, out, err = run(option)
            self.assertEqual((status, err), (0, ""))
            for word in ("--rate", "--connections", "--duration", "--timeout", "--keepalive", "--driver", "--json", "one thread"):
                self.assertIn(word, out)
        for option in ("-v", "--version"):
            status, out, err = run(option)
            self.assertEqual((status, err), (0, ""))
            self.assertRegex(out, r"\Atplb-load \S+\n\Z")

    def test_wrong_usage(self):
        for args in ([], ["-x", "http://h/"], ["h:80"], ["-c", "0", "http://h/"], ["-d", "5", "http://h/"], ["http://h/", "extra"], ["-r"]):
            with self.subTest(args):
                status, out, err = run(*args)
                self.assertEqual((status, out), (2, ""))
                self.assertRegex(err, r"\Atplb-load: [^\n]+\n\Z")

    def test_nobody_there(self):
        """Exit status 1, at once, with one line that names the address."""
        sock, address = unconnectable()
        self.keep(sock)
        for driver in DRIVERS:
            for args in (["-c", "1"], ["-c", "50"], ["-k", "off"], ["-r", "100"], ["-r", "100", "-k", "off", "-j"]):
                with self.subTest((driver, args)):
                    began = time.monotonic()
                    status, out, err = run("-D", driver, "-d", "60s", *args, "http://" + address)
                    self.assertEqual((status, out), (1, ""))
                    self.assertRegex(err, r"\Atplb-load: %s: Connection refused; [^\n]+\n\Z" % address)
                    self.assertLess(time.monotonic() - began, 30)

    def test_name_that_does_not_exist(self):
        status, out, err = run("http://no-such-host.invalid/")
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, r"\Atplb-load: no-such-host.invalid: [^\n]+\n\Z")

    def test_signals(self):
        """They end it early, with a report of what there is."""
        server = self.server(each(OK))
        hanging = self.server(stalled)
        for driver in DRIVERS:
            for number in (signal.SIGTERM, signal.SIGINT):
                for at, rate in ((server, "10"), (server, "0"), (hanging, "10"), (hanging, "0")):
                    with self.subTest((driver, number, rate)):
                        seen = len(at.connections)
                        args = ["-j", "-D", driver, "-d", "60s", "-c", "1", "-r", rate, "http://" + at.address]
                        process = self.started(Process([LOAD, *args]))
                        at.wait(lambda: len(at.connections) > seen and at.connections[seen].requests)
                        process.tell(number)
                        self.assertEqual(process.wait(), 0)
                        with open(process.stdout_path) as f:
                            report = json.loads(f.read())
                        self.assertLess(report["lasted_s"], 30)
                        self.assertGreaterEqual(report["sent"], 1)
                        self.assertGreaterEqual(report["scheduled"], report["sent"])
                        self.check_errors(report)
                        if at is hanging:
                            self.assertEqual((report["answered"], report["cut"]), (0, 1))

    def test_standard_output_that_is_full(self):
        url = "http://" + self.server().address
        for args in (["--help"], ["-j", "-d", "100ms", url], ["-d", "100ms", url]):
            with self.subTest(args), open("/dev/full", "w") as full:
                done = subprocess.run([LOAD, *args], stdout=full, stderr=subprocess.PIPE, timeout=BOUND)
            self.assertEqual(done.returncode, 1, args)
            self.assertIn(b"standard output", done.stderr)


if __name__ == "__main__":
    main(engines=False)
