"""What is written: the access log in combined format, the diagnostics log, both opened again on USR1."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import datetime
import json
import os
import re
import signal
import time

from support.case import WireCase, main
from support.raw import wait_until
from support.server import OK, each, unconnectable
from support.tplb import TPLB, Process, config_text, one_listener, with_engine

LINE = re.compile(
    r'(?P<client>\S+) - - \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] '
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<bytes>\d+|-) "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"'
)


class Access(WireCase):
    def start(self, *servers, **log):
        self.path = os.path.join(self.directory(), "access.log")
        return self.tplb(*(servers or [self.server()]), log=dict({"access": self.path}, **log))

    def lines(self, count, path=None):
        """Waits for this many whole lines."""
        path = path or self.path

        def look():
            try:
                with open(path, encoding="utf-8") as f:
                    text = f.read()
            except FileNotFoundError:
                return None
            lines = text.split("\n")[:-1]
            return lines if len(lines) >= count else None

        return wait_until(look, "%d lines in %s" % (count, path))

    def only(self, path=None):
        lines = self.lines(1, path)
        self.assertEqual(len(lines), 1, lines)
        m = LINE.fullmatch(lines[0])
        self.assertTrue(m, lines[0])
        return m

    def test_combined(self):
        self.start()
        client = self.client()
        client.send(b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nReferer: http://x/y\r\nUser-Agent: test/1.0 (z)\r\n\r\n")
        client.whole_response()
        m = self.only()
        self.assertEqual(
            m.group("client", "request", "status", "bytes", "referer", "agent"),
            ("127.0.0.1", "GET /a?b=c HTTP/1.1", "200", "2", "http://x/y", "test/1.0 (z)"),
        )

    def test_each_line_has_its_own_second(self):
        """A worker keeps the text of a second for the lines that follow in it, and not for longer."""
        slack = 0.05  # the kernel's coarse clock is a tick late
        self.start(format="%{time}|%{time_iso}")
        client = self.client()
        asked = []
        after = 0
        for n in range(2):
            wait_until(lambda: time.time() > after, "the next second")
            since = time.time()
            client.get()
            client.get()
            self.lines(2 * n + 2)  # a line is made when its answer has gone, and one worker's may overtake another's
            asked += [(since - slack, time.time() + slack)] * 2
            after = int(time.time()) + 1 + 2 * slack
        shapes = ("%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%dT%H:%M:%S.%f%z")
        for line, (since, until) in zip(self.lines(len(asked)), asked):
            for text, shape in zip(line.split("|"), shapes):
                at = datetime.datetime.strptime(text.replace("Z", "+0000"), shape).timestamp()
                self.assertLessEqual(int(since), at)
                self.assertLessEqual(at, until)

    def json_lines(self, count):
        return [json.loads(line) for line in self.lines(count)]

    def test_json(self):
        server = self.server(each(OK, OK))
        self.start(server, format="json")
        client = self.client()
        before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
        client.send(b'GET /a"b HTTP/1.1\r\nHost: h.example\r\nReferer: x"y\\z\r\nUser-Agent: \xc3\xa4\t\xff\r\n\r\n')
        client.whole_response()
        self.lines(1)  # the other one's may overtake it
        client.send(b"POST /two HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello")
        client.whole_response()
        one, two = self.json_lines(2)
        when = datetime.datetime.strptime(one.pop("time"), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
        self.assertLess(abs((when - before).total_seconds()), 30)
        port = one.pop("client_port")
        times = [one.pop(name) for name in ("queue_us", "server_queue_us", "connect_us", "first_byte_us", "total_us")]
        self.assertTrue(all(t >= 0 for t in times), times)
        self.assertLessEqual(max(times[:4]), times[4])
        self.assertGreaterEqual(one.pop("bytes_in"), 60)
        self.assertRegex(one.pop("request_id"), "^[0-9a-f]{32}$")
        self.assertEqual(
            one,
            {
                "client": "127.0.0.1", "listener": "web", "method": "GET", "target": '/a"b', "version": "HTTP/1.1", "host": "h.example",
                "referer": 'x"y\\z', "agent": "\u00c3\u00a4\t\u00ff", "status": 200, "bytes": 2, "upstream": "up", "server": server.address,
                "reused": 0, "retries": 0, "end": "ok",
            },
        )
        self.assertEqual((two["client_port"], two["reused"], two["connect_us"]), (port, 1, None))
        self.assertEqual((two["method"], two["version"], two["bytes_in"] > 60), ("POST", "HTTP/1.0", True))

    def test_json_of_what_is_refused(self):
        self.start(self.server(), format="json")
        for sent in (b"G\x00T / HTTP/1.1\r\n\r\n", b"GET /\xff\xfe HTTP/1.1\r\nHost: h\r\n\r\n", b"\x16\x03\x01\r\n\r\n"):
            client = self.client()
            client.send(sent)
            client.read_to_end()
            client.close()
        lines = self.json_lines(3)
        self.assertEqual(sorted(line["end"] for line in lines), ["bad_request_line", "bad_request_line", "bad_target"])
        for line in lines:
            self.assertEqual((line["status"], line["server"], line["first_byte_us"]), (400, "", None))

    def test_values_are_cut_not_lines(self):
        self.start(self.server(), format="json")
        client = self.client()
        client.send(b"GET /" + b'"' * 6000 + b" HTTP/1.1\r\nHost: h\r\nUser-Agent: " + b"\xff" * 6000 + b"\r\n\r\n")
        client.whole_response()
        line = self.json_lines(1)[0]
        self.assertRegex(line["target"], '^/"{100,}$')
        self.assertRegex(line["agent"], "^\u00ff{100,}$")
        self.assertEqual(line["end"], "ok")

    def test_template(self):
        self.start(self.server(), format="<%{method}> <%{referer}> %{status}%{status} %{connect_us} %{end}.")
        client = self.client()
        client.get(b"/")
        self.lines(1)  # the other one's may overtake it
        client.get(b"/")
        one, two = self.lines(2)
        self.assertRegex(one, r"^<GET> <-> 200200 \d+ ok\.$")
        self.assertRegex(two, r"^<GET> <-> 200200 - ok\.$")

    def test_template_of_a_refusal(self):
        """Of a connection whose request was never looked at."""
        self.path = os.path.join(self.directory(), "access.log")
        log = {"access": self.path, "format": "%{client} %{request} %{listener} %{status} %{server} %{total_us} %{end}"}
        self.tplb(self.server(), log=log, timeouts={"request_header": "50ms"})
        self.unseen(b"GET / HT").read_to_end()
        self.assertRegex(self.lines(1)[0], r"^127\.0\.0\.1 - web 408 - \d+ header_timeout$")

    def test_nothing_said(self):
        self.start()
        self.client().get()
        self.assertEqual(self.only().group("referer", "agent"), ("-", "-"))

    def test_bytes_are_the_body_s(self):
        """The head's are not counted, the chunked coding's may be; none for HEAD."""
        body = b"x" * 12345
        server = self.server(
            each(
                b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n" + body,
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3039\r\n" + body + b"\r\n0\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n",
            )
        )
        self.start(server)
        client = self.client()
        got = []
        for method in (b"GET", b"GET", b"HEAD"):
            client.send(method + b" / HTTP/1.1\r\nHost: h\r\n\r\n")
            client.whole_response(method)
            # the next one may be on another worker, whose lines may overtake those of this one
            got.append(LINE.fullmatch(self.lines(len(got) + 1)[-1]).group("bytes"))
        self.assertEqual(got[0], "12345")
        self.assertIn(int(got[1]), range(12345, 12345 + 50))
        self.assertIn(got[2], ("0", "-"))

    def test_what_a_client_says_cannot_break_a_line(self):
        """Quotes, backslashes and bytes beyond ASCII are escaped."""
        self.start()
        client = self.client()
        client.send(b'GET /"x\\" HTTP/1.1\r\nHost: h\r\nUser-Agent: a"b\\c\td\xff\r\nReferer: " 200 1 "\r\n\r\n')
        client.whole_response()
        m = self.only()
        self.assertEqual(m.group("status"), "200")
        for name in ("request", "agent", "referer"):
            self.assertNotIn('"', m.group(name).replace('\\"', ""))
        self.assertTrue(all(32 <= ord(c) < 127 for c in m.group(0)))

    def test_no_byte_of_a_refused_request_is_raw(self):
        """Each of the 256 in a request line that is refused, or in a field's value, or in what is no request at all."""
        forms = (
            ("timed", b"\\x1B", lambda line: self.assertTrue(LINE.match(line), line)),
            ("json", b"\\u0009", json.loads),
            ('{"said": "%{request}", "agent": "%{agent}", "is": %{status}}', b"\\u001b", json.loads),
        )
        for form, escaped, read in forms:
            with self.subTest(form):
                logged, said = self.log_of_every_byte(form)
                self.assertGreater(len(re.findall(rb"[ :]400[ ,}]", logged)), 100)
                self.assertTrue(escaped in logged)
                for text in (logged, said.encode("latin-1", "replace")):
                    self.assertEqual(set(text) - set(range(32, 127)), {10})
                for line in logged.decode().splitlines():
                    read(line)

    def log_of_every_byte(self, form):
        tplb = self.start(level="debug", format=form)
        count = 0
        for byte in range(256):
            c = bytes([byte])
            for data in (b"GET /a" + c + b"b HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /x HTTP/1.1\r\nHost: h\r\nUser-Agent: a" + c + b"[2Jb\r\n\r\n", c + b"[2J\x07\r\n\r\n"):
                client = self.client()
                client.send(data)
                client.half_close()
                client.read_to_end()
                client.close()
                count += 1
        tplb.stop()
        with open(self.path, "rb") as f:
            logged = f.read()
        self.assertLessEqual(logged.count(b"\n"), count)
        return logged, tplb.stderr

    def test_long_values(self):
        """Cut rather than lost."""
        self.start()
        client = self.client()
        client.send(b"GET /" + b"p" * 6000 + b" HTTP/1.1\r\nHost: h\r\nUser-Agent: " + b"a" * 6000 + b"\r\n\r\n")
        client.whole_response()
        m = self.only()
        self.assertEqual(m.group("status"), "200")
        self.assertTrue(m.group("request").startswith("GET /pppp"))

    def test_refusals_are_logged(self):
        sock, dead = unconnectable()
        self.keep(sock)
        self.start(dead)
        count = 0
        for data, status in ((b"GET /nohost HTTP/1.1\r\n\r\n", 400), (b"GET /dead HTTP/1.1\r\nHost: h\r\n\r\n", 503), (b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 405)):
            client = self.client()
            client.send(data)
            self.assertEqual(client.whole_response().status, status)
            count += 1
            last = LINE.fullmatch(self.lines(count)[-1])
            self.assertEqual(last.group("status", "request"), (str(status), data.split(b"\r\n")[0].decode()))

    def test_one_line_a_request(self):
        """With keep-alive, pipelining and several workers."""
        self.start()
        for _ in range(5):
            client = self.client()
            client.send(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n" * 20)
            for _ in range(20):
                client.whole_response()
        lines = self.lines(100)
        self.assertEqual(len(lines), 100)
        for line in lines:
            self.assertTrue(LINE.fullmatch(line), line)

    def test_stdout(self):
        self.path = None
        tplb = self.tplb(self.server(), log={"access": "stdout"})
        self.client().get(b"/to-stdout")
        self.assertEqual(self.only(tplb.stdout_path).group("request"), "GET /to-stdout HTTP/1.1")

    def test_off(self):
        tplb = self.tplb(self.server())
        client = self.client()
        client.get()
        client.close()
        tplb.tell(signal.SIGTERM)
        tplb.wait()
        self.assertEqual(os.path.getsize(tplb.stdout_path), 0)

    def test_appended(self):
        """What was in the file before stays."""
        path = os.path.join(self.directory(), "access.log")
        with open(path, "w") as f:
            f.write("before\n")
        self.tplb(self.server(), log={"access": path})
        self.client().get()
        self.assertEqual(self.lines(2, path)[0], "before")

    def test_all_is_written_at_the_end(self):
        tplb = self.start()
        client = self.client()
        client.send(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n" * 50)
        for _ in range(50):
            client.whole_response()
        client.close()
        tplb.stop()
        with open(self.path) as f:
            self.assertEqual(len(f.read().splitlines()), 50)

    def test_usr1_reopens(self):
        """As logrotate does it: the file is renamed, then USR1, and what comes goes into a new one."""
        tplb = self.start()
        client = self.client()
        client.get(b"/before")
        self.lines(1)
        os.rename(self.path, self.path + ".1")
        tplb.tell(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(self.path), "the new file")
        client.get(b"/after")
        self.assertIn("/after", self.lines(1)[0])
        with open(self.path + ".1") as f:
            self.assertEqual(len(f.read().splitlines()), 1)
        self.assertEqual(client.get().status, 200)

    def test_usr1_twice_and_without_files(self):
        tplb = self.tplb(self.server())
        for _ in range(5):
            tplb.tell(signal.SIGUSR1)
            self.assertEqual(self.client().get().status, 200)


class Diagnostics(WireCase):
    def test_debug_says_who_was_sent_where(self):
        """One line a request, with the client's address and port and the server's."""
        servers = [self.server(each(OK)), self.server(each(OK))]
        tplb = self.tplb(*servers, log={"level": "debug"})
        for n in range(4):
            client = self.client()
            client.get()
            tplb.wait_line(
                r"debug: .*127\.0\.0\.1.*\b%d\b.*%s" % (client.port, re.escape(servers[n % 2].address))
            )

    def test_debug_in_tcp_mode(self):
        def echo(connection):
            while connection.more():
                connection.send(connection.take(len(connection.buf)))

        server = self.server(echo)
        tplb = self.tplb(server, mode="tcp", log={"level": "debug"})
        client = self.client()
        client.send(b"x")
        client.read_exactly(1)
        tplb.wait_line(r"debug: .*127\.0\.0\.1.*\b%d\b.*%s" % (client.port, re.escape(server.address)))

    def test_info_does_not(self):
        server = self.server()
        tplb = self.tplb(server)
        client = self.client()
        client.get()
        port = client.port
        client.close()
        tplb.stop()
        self.assertNotRegex(tplb.stderr, r"\b%d\b" % port)

    def test_format(self):
        """TIME LEVEL: TEXT, one line a message."""
        tplb = self.tplb(self.server(), log={"level": "debug"})
        self.client().get()
        tplb.stop()
        for line in tplb.stderr.splitlines():
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (error|warning|info|debug): \S")

    def test_names_forge_no_line(self):
        """The file's own name, which stands in what is said of a reload."""
        place = self.directory()
        path = os.path.join(place, "a\x1b[2J\r\n2026-01-01T00:00:00.000Z error: forged\x7f.conf")
        with open(path, "w") as f:
            f.write(config_text(with_engine(one_listener([self.server()]))))
        tplb = Process([TPLB, "-f", path])
        self.addCleanup(tplb.kill)
        tplb.wait_line("is ready")
        with open(path, "a") as f:
            f.write("nonsense = 1;\n")
        tplb.tell(signal.SIGHUP)
        line = tplb.wait_line(r".*error: reload: .*is not taken in.*").group(0)
        self.assertIn("a?[2J??2026-01-01T00:00:00.000Z error: forged?.conf", line)
        tplb.tell(signal.SIGTERM)
        self.assertEqual(tplb.wait(), 0)
        self.assertTrue(all(32 <= ord(c) < 127 for line in tplb.stderr.splitlines() for c in line), tplb.stderr)
        self.assertNotRegex(tplb.stderr, "(?m)^2026-01-01T00:00:00.000Z")

    def test_unreachable_server_is_named(self):
        sock, dead = unconnectable()
        self.keep(sock)
        tplb = self.tplb(dead)
        self.client().get()
        tplb.wait_line(r"warning: .*%s" % re.escape(dead))

    def test_to_a_file(self):
        """And again into a new one after USR1."""
        path = os.path.join(self.directory(), "tplb.log")
        tplb = self.tplb(self.server(), bind="unix:@DIR@/web.sock", log={"output": path}, wait=False)
        self.balancer = tplb
        socket_path = os.path.join(tplb.directory, "web.sock")

        def listening():
            try:
                with open(path) as f:
                    return "listening on unix:" + socket_path in f.read()
            except FileNotFoundError:
                return False

        wait_until(listening, "the line in the file")
        self.assertEqual(self.client("unix:" + socket_path).get().status, 200)
        os.rename(path, path + ".1")
        tplb.tell(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(path), "the new file")
        for client in self._clients:
            client.close()
        tplb.stop()
        with open(path) as f:
            self.assertIn("stopped", f.read())


if __name__ == "__main__":
    main(at_once=True)
