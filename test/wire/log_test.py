"""What is written: the access log in combined format, the diagnostics log, both opened again on USR1."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import os
import re
import signal

from support.case import WireCase, main
from support.raw import wait_until
from support.server import OK, each, unconnectable

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
    main()
