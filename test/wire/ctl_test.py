"""The admin socket and tplbctl: who may connect, what each command does and says, changes under load, and what garbage does not do."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import json
import pwd
import random
import re
import signal
import socket
import stat
import subprocess
import threading
import time
import unittest

from support.case import main
from support.ctl import SOCKET, CtlCase
from support.load import Load, workers_of
from support.raw import BOUND, Client, wait_until
from support.server import OK, stalled
from support.tplb import CTL, ENGINE, one_listener, run


class Socket(CtlCase):
    def test_for_its_user_alone(self):
        tplb = self.start(preexec=lambda: os.umask(0))
        st = os.stat(self.path)
        self.assertTrue(stat.S_ISSOCK(st.st_mode))
        self.assertEqual((stat.S_IMODE(st.st_mode), st.st_uid), (0o600, os.geteuid()))
        self.assertEqual(self.values("show", "status")["pid"], str(tplb.pid))
        tplb.stop()
        self.assertFalse(os.path.exists(self.path))

    def test_off_by_default(self):
        tplb = self.tplb(self.server())
        with open("/proc/%d/net/unix" % tplb.pid) as f:
            self.assertNotIn(tplb.directory, f.read())

    @unittest.skipUnless(os.geteuid() == 0, "only root can become others")
    def test_user(self):
        """It belongs to the user that tplb becomes; others are told who may."""
        nobody = pwd.getpwnam("nobody")
        place = self.directory()
        os.chown(place, nobody.pw_uid, nobody.pw_gid)
        os.chmod(place, 0o755)
        self.path = os.path.join(place, "ctl.sock")
        tplb = self.tplb(self.server(), user="nobody", admin={"socket": self.path})
        st = os.stat(self.path)
        self.assertEqual((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid), (0o600, nobody.pw_uid, nobody.pw_gid))

        def refused(uid):
            with socket.socket(socket.AF_UNIX) as s:
                try:
                    os.seteuid(uid)
                    s.connect(self.path)
                except PermissionError:
                    return True
                finally:
                    os.seteuid(0)
            return False

        self.assertFalse(refused(nobody.pw_uid))
        self.assertTrue(refused(pwd.getpwnam("daemon").pw_uid))
        tplb.stop()
        self.assertFalse(os.path.exists(self.path))

    def test_left_by_a_dead_one(self):
        path = os.path.join(self.directory(), "ctl.sock")
        first = self.tplb(self.server(), admin={"socket": path})
        first.process.kill()
        first.process.wait()
        self._processes.remove(first)
        first.kill()
        self.assertTrue(os.path.exists(path))
        second = self.tplb(self.server(), admin={"socket": path})
        self.path = path
        self.assertEqual(self.values("show", "status")["pid"], str(second.pid))

    def fails(self, path, pattern):
        directory = self.directory()
        conf = os.path.join(directory, "tplb.conf")
        with open(conf, "w") as f:
            f.write('listeners = ( { bind = "127.0.0.1:0"; upstream = "up"; } );\n')
            f.write('upstreams = ( { name = "up"; servers = ( { address = "127.0.0.1:1"; } ); } );\n')
            f.write('admin = { socket = "%s"; };\n' % path)
        status, out, err = run(["-f", conf])
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, r"tplb: admin\.socket: cannot listen on %s: .*%s" % (re.escape(path), pattern))

    def test_in_use(self):
        tplb = self.start()
        self.fails(self.path, "another tplb answers there")
        self.assertEqual(self.values("show", "status")["pid"], str(tplb.pid))

    def test_file_in_the_way(self):
        path = os.path.join(self.directory(), "precious")
        with open(path, "w") as f:
            f.write("kept")
        self.fails(path, "a file of another kind")
        with open(path) as f:
            self.assertEqual(f.read(), "kept")

    def test_no_folder(self):
        self.fails(os.path.join(self.directory(), "none", "ctl.sock"), "make its folder")

    def test_another_in_its_place(self):
        """What is not ours any more is not removed."""
        tplb = self.start()
        os.unlink(self.path)
        with open(self.path, "w"):
            pass
        directory = os.open(tplb.directory, os.O_RDONLY)
        try:
            tplb.tell(signal.SIGTERM)
            self.assertEqual(tplb.wait(), 0)
            self.assertIn("ctl.sock", os.listdir(directory))
        finally:
            os.close(directory)


class Show(CtlCase):
    def test_status(self):
        tplb = self.start(pool={"workers": 3})
        client = self.client()
        self.assertEqual(client.get().status, 200)
        got = self.values("show", "status")
        self.assertEqual((got["state"], got["pid"]), ("running", str(tplb.pid)))
        self.assertRegex(got["version"], r"\A\d+\.\d+\.\d+")
        self.assertLessEqual(int(got["uptime_s"]), 2 * BOUND)
        self.assertEqual((got["connections"], got["queue_depth"], got["queue_oldest_us"]), ("1", "0", "0"))
        self.assertEqual(got["engine"], "pool" if ENGINE == "pool" else "async")
        if ENGINE == "pool":
            self.assertEqual(got["workers"], "3")
        else:
            self.assertNotIn("workers", got)
            self.assertEqual(got["loops"], "1")

    def test_queue(self):
        server = self.server(stalled)
        self.start(server, pool={"workers": 1, "burst": 1}, queue={"timeout": "0s", "size": 77})
        clients = [self.client() for _ in range(4)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        wait_until(lambda: self.values("show", "queue")["queue_depth"] == "3", "three in the queue")
        got = self.values("show", "queue")
        self.assertGreater(int(got["queue_oldest_us"]), 0)
        self.assertEqual(got["queue_size"], "77")
        server.gate.set()
        for client in clients:
            self.assertEqual(client.whole_response().status, 200)
        got = {name: int(value) for name, value in self.values("show", "queue").items()}
        self.assertEqual(got["queue_depth"], 0)
        self.assertEqual(got["waits_count"], int(self.values("show", "counters")["dispatched"]))
        self.assertGreaterEqual(got["waits_count"], 4)
        self.assertTrue(0 < got["waits_mean_us"] <= got["waits_max_us"], got)
        self.assertTrue(got["waits_p50_us"] <= got["waits_p90_us"] <= got["waits_p99_us"] <= got["waits_max_us"], got)

    def test_servers(self):
        first, second = self.server(), self.server(stalled)
        rows = ({"address": first.address, "weight": 7}, {"address": second.address, "max_connections": 4, "backup": True})
        self.start(*rows, pool={"workers": 3})
        for _ in range(3):
            self.assertEqual(self.client().get().status, 200)
        self.good("set", "server", "up/" + first.address, "maint")
        client = self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        second.wait_requests(1)
        lines = self.good("show", "servers")
        self.assertEqual(lines[0], "upstream/server state weight active requests failures downs")
        self.assertEqual(lines[1:], ["up/%s maint 7 - 3 0 0" % first.address, "up/%s up 1 1 1 0 0" % second.address])
        second.gate.set()
        self.assertEqual(client.whole_response().status, 200)

    def test_pool(self):
        self.start(pool={"workers": 3, "burst": 2})
        got = self.values("show", "pool")
        if ENGINE == "pool":
            want = {"workers": "3", "workers_configured": "3", "workers_set_by": "configuration", "burst": "2", "hold": "request"}
        else:
            want = {"engine": "async", "loops": "1", "driver": ENGINE, "fibers": "3"}
        self.assertEqual({name: got[name] for name in want}, want)

    def test_listeners(self):
        self.start()
        client = self.client()
        self.assertEqual(client.get().status, 200)
        lines = self.good("show", "listeners")
        self.assertEqual(lines, ["listener address mode upstream connections", "web %s http up 1" % self.balancer.address])

    def test_events(self):
        server = self.server()
        self.start(server)
        self.balancer.wait_line("is ready: ")  # commands are taken from a moment before
        self.good("set", "server", "up/" + server.address, "maint")
        self.good("reload")
        time = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "
        lines = self.good("show", "events")
        self.assertRegex(lines[0], time + "info listening on %s \\(web\\)$" % self.balancer.address)
        self.assertRegex(lines[1], time + "info tplb .* is ready: ")
        self.assertRegex(lines[2], time + "info server %s of up is maint: the operator wants it so " % server.address)
        self.assertRegex(lines[3], time + "info reload: nothing has changed$")
        self.assertEqual(self.good("show", "events", "2"), lines[2:])
        got = self.json("show", "events", "1")
        self.assertEqual([(e["id"], e["level"], e["text"]) for e in got], [(4, "info", "reload: nothing has changed")])
        for word in ("0", "201", "x"):
            self.assertIn('a whole number from 1 to 200, not "%s"' % word, self.bad("show", "events", word))

    def test_counters(self):
        self.start()
        for _ in range(5):
            self.assertEqual(self.client().get().status, 200)
        got = self.values("show", "counters")
        self.assertEqual(got["requests"], "5")
        self.assertEqual(got["connections_accepted"], "5")
        self.assertNotIn("0", got.values())

    def test_all_under_load(self):
        """None is in a request's way."""
        self.start(*(self.server() for _ in range(3)), upstream={"balance": "leastconn"})
        load = Load(self.balancer.address, 8)
        client = self.raw()
        try:
            wait_until(lambda: sum(load.answers) > 0 or load.failures, "an answer")  # until then no counter is shown
            for i in range(300):
                client.send(b"show %s\n" % (b"status", b"servers", b"pool", b"queue", b"counters")[i % 5])
                while client.read_until(b"\n") != b"ok\n":  # which may be all: no counter but 0 yet
                    pass
            wait_until(lambda: min(load.answers) > 10 or load.failures, "ten answers for each")
        finally:
            load.stop()
        self.assertEqual(load.failures, [])

    def test_help(self):
        self.start()
        text = "\n".join(self.good("help"))
        for command in ("show status", "show servers", "set server UPSTREAM/SERVER drain|ready|maint|weight [N]", "set pool workers N", "reload [SECONDS]", "advise"):
            self.assertIn(command + "\n", text)

    def test_draining(self):
        """Until the end one may look."""
        server = self.server(stalled)
        tplb = self.start(server)
        client = self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        tplb.tell(signal.SIGTERM)
        tplb.wait_line("draining")
        wait_until(lambda: self.values("show", "status")["state"] == "draining", "the drain")
        server.gate.set()
        self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(tplb.wait(), 0)


class Json(CtlCase):
    def same(self, *args):
        """What does not change by itself is the same in text; returns the data."""
        data, text = self.json(*args), self.values(*args)
        shown = {name: str(value) for name, value in data.items() if name in text}
        self.assertEqual(list(shown), list(text))
        for name, value in text.items():
            if not name.endswith(("_us", "_s")):
                self.assertEqual(shown[name], value, name)
        return data

    def test_shows(self):
        server = self.server()
        self.start(server, pool={"workers": 3})
        client = self.client()
        self.assertEqual(client.get().status, 200)
        status = self.same("show", "status")
        self.assertEqual((status["pid"], status["connections"], status["state"]), (self.balancer.pid, 1, "running"))
        pool = self.same("show", "pool")
        self.assertEqual(pool["engine"], "pool" if ENGINE == "pool" else "async")
        self.assertEqual(self.same("show", "queue")["queue_depth"], 0)
        client.close()  # a request is counted once its answer is out, and its connection after that
        wait_until(lambda: self.values("show", "counters").get("connections_closed") == "1", "all to be counted")
        counters = self.same("show", "counters")
        self.assertEqual((counters["requests"], counters["responses_5xx"]), (1, 0))

    def test_servers(self):
        first, second = self.server(), self.server()
        self.start({"address": first.address, "weight": 7}, {"address": second.address, "max_connections": 4, "backup": True})
        self.assertEqual(self.client().get().status, 200)
        got = self.json("show", "servers")
        columns = ("upstream", "server", "state", "weight", "active", "requests", "failures", "downs")
        self.assertEqual(
            [tuple(row[name] for name in columns) for row in got],
            [("up", first.address, "up", 7, None, 1, 0, 0), ("up", second.address, "up", 1, 0, 0, 0, 0)],
        )

    def test_what_changes(self):
        server = self.server()
        self.start(server, queue={"size": 50})
        self.assertEqual(
            self.json("set", "server", "up/" + server.address, "drain"),
            {"upstream": "up", "server": server.address, "state": "draining"},
        )
        self.assertEqual(self.json("reload"), {"messages": ["reload: nothing has changed"]})
        self.rewrite("size = 50;", "siz = 50;")
        got = self.bad_json("reload")
        self.assertIn("queue.siz: unknown key, did you mean `size`?", "\n".join(got["messages"]))
        self.assertEqual(set(got), {"messages", "error"})
        if ENGINE == "pool":
            self.assertRegex(self.json("set", "pool", "workers", "3")["messages"][0], "pool.workers: 3 in place of")


class Connections(CtlCase):
    def rows(self, *words):
        return self.json("show", "connections", *words)

    def of(self, client):
        """What is said of this client's connection; None: nothing."""
        found = [row for row in self.rows() if row["client"] == "127.0.0.1:%d" % client.port]
        self.assertLessEqual(len(found), 1)
        return found[0] if found else None

    def wait_for(self, client, state, waits_for):
        def said():
            row = self.of(client)
            return row and (row["state"], row["waits_for"])

        wait_until(lambda: said() == (state, waits_for), lambda: "(%s, %s), but %s" % (state, waits_for, said()))
        return self.of(client)

    def test_each_state(self):
        """From accept to close; and that what is shown costs the client nothing."""
        server = self.server(stalled)
        self.start(server, pool={"workers": 1, "burst": 1}, queue={"timeout": "0s"}, timeouts={"request_header": "10m"})
        client = self.client()
        row = self.wait_for(client, "parked", "first-request")
        self.assertEqual((row["listener"], row["requests"], row["server"]), ("web", 0, None))
        self.assertLess(row["age_ms"], 2000 * BOUND)
        first = row["id"]
        client.send(b"GET / HTT")
        self.wait_for(client, "parked", "rest-of-head")
        client.send(b"P/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        row = self.wait_for(client, "busy", "answer")
        self.assertEqual((row["requests"], row["id"], row["server"]), (1, first, "up/" + server.address))
        self.assertLessEqual(row["since_ms"], row["age_ms"])
        other = self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        self.wait_for(other, "queued", "worker")
        self.assertEqual([row["state"] for row in self.rows()], ["busy", "queued"])  # the longest first
        server.gate.set()
        for each in (client, other):
            self.assertEqual(each.whole_response().status, 200)
        self.assertEqual(self.wait_for(client, "parked", "next-request")["requests"], 1)
        client.close()
        wait_until(lambda: len(self.rows()) == 1, "one left")
        again = self.client()
        self.assertNotEqual(self.wait_for(again, "parked", "first-request")["id"], first)

    def test_room(self):
        """Who waits for a server with room, and who reads slowly."""
        server = self.server(stalled)
        self.start({"address": server.address, "max_connections": 1}, queue={"timeout": "0s"})
        clients = [self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")]
        server.wait_requests(1)
        clients.append(self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
        self.assertIsNone(self.wait_for(clients[1], "queued", "server-with-room")["server"])
        server.gate.set()
        for client in clients:
            self.assertEqual(client.whole_response().status, 200)

    def test_bodies(self):
        gate = threading.Event()

        def half(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
            gate.wait(BOUND)
            connection.send(b"rest")

        self.start(self.server(half))
        client = self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        self.wait_for(client, "busy", "body")
        gate.set()
        self.assertEqual(client.whole_response().body, b"halfrest")

    @unittest.skipUnless(ENGINE == "pool", "only the pool engine holds a worker for a connection")
    def test_held(self):
        self.start(self.server(), pool={"workers": 2, "hold": "connection"})
        client = self.client()
        self.assertEqual(client.get().status, 200)
        self.assertEqual(self.wait_for(client, "busy", "hold")["requests"], 1)
        self.assertEqual(client.get().status, 200)
        self.assertEqual(self.wait_for(client, "busy", "hold")["requests"], 2)

    def test_lingering(self):
        """A client that was refused and does not close. tplb waits two seconds for that; who looked too late looks at another one."""
        self.start()

        def waits():
            client = self.client().send(b"GET / HTTP/9.9\r\n\r\n")
            self.assertEqual(client.response().status, 505)
            row = self.of(client)
            return row and (row["state"], row["waits_for"]) == ("closing", "client-to-close")

        wait_until(waits, "a client that tplb waits for")

    def test_filters(self):
        server = self.server()
        folder = self.directory()
        listeners = [
            {"name": "one", "bind": "127.0.0.1:0", "upstream": "up"},
            {"name": "two", "bind": "127.0.0.1:0", "upstream": "up", "accept_proxy": True},
            {"name": "three", "bind": "unix:%s/s" % folder, "upstream": "up"},
        ]
        config = one_listener([server], admin=SOCKET, timeouts={"request_header": "10m"})  # five never ask, and stay
        config["listeners"] = listeners
        self.tplb(config=config)
        self.path = os.path.join(self.balancer.directory, "ctl.sock")
        plain = [self.client(self.balancer.addresses["one"]) for _ in range(5)]
        proxied = self.client(self.balancer.addresses["two"])
        proxied.send(b"PROXY TCP6 2001:db8::7 ::1 1234 80\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertEqual(proxied.whole_response().status, 200)
        unix = self.client("unix:%s/s" % folder)
        self.assertEqual(unix.get().status, 200)
        wait_until(lambda: len(self.rows("parked")) == 7, "seven that are parked")
        self.assertEqual({row["client"] for row in self.rows("listener=one")}, {"127.0.0.1:%d" % client.port for client in plain})
        self.assertEqual([row["client"] for row in self.rows("listener=two")], ["[2001:db8::7]:1234"])
        self.assertEqual([row["client"] for row in self.rows("listener=three")], ["unix:"])
        self.assertEqual(len(self.rows("client=127.0.0.0/8")), 5)
        self.assertEqual(len(self.rows("client=2001:db8::/32")), 1)
        self.assertEqual(len(self.rows("client=unix:")), 1)
        self.assertEqual(self.rows("queued"), [])
        self.assertEqual(self.rows("listener=none"), [])
        self.assertEqual(len(self.rows("3")), 3)
        self.assertEqual(len(self.rows("listener=one", "2", "parked")), 2)
        ages = [row["since_ms"] for row in self.rows()]
        self.assertEqual(ages, sorted(ages, reverse=True))
        lines = self.good("show", "connections", "listener=three")
        self.assertEqual(lines[0], "id listener client state waits_for server requests age_ms since_ms")
        self.assertRegex(lines[1], r"\A[\d.]+ three unix: parked next-request - 1 \d+ \d+\Z")
        for word, said in (
            ("0", '1 to 100000 connections can be shown, not "0"'),
            ("5x", "1 to 100000 connections can be shown"),
            ("idle", "connections are chosen by a number, parked, queued, busy or closing"),
            ("client=x", "client= takes an address or a block of them"),
        ):
            self.assertIn(said, self.bad("show", "connections", word))
        self.assertIn("usage: show connections [N]", self.bad("show", "connections", *"12345"))

    def test_under_load(self):
        """
        Looked at while they come and go and work, no request fails, and nobody is shown who is not there: a worker may be held up with one who has its
        answer and is gone.
        """
        self.start(*(self.server() for _ in range(2)), pool={"workers": 3}, queue={"timeout": "0s"}, **{"async": {"loops": 2}})
        load = Load(self.balancer.address, 8)
        client = self.raw()
        over = threading.Event()

        def come_and_go():
            while not over.is_set():
                passing = Client(self.balancer.address)
                passing.get()
                passing.close()

        passers = threading.Thread(target=come_and_go)
        passers.start()
        try:
            for i in range(200):
                client.send(b"json show connections\n")
                rows = json.loads(client.read_until(b"\n"))
                client.read_until(b"ok\n")
                self.assertLessEqual(len(rows), 8 + 1 + 3)
                self.assertEqual(len({row["id"] for row in rows}), len(rows))
                for row in rows:
                    self.assertEqual(row["listener"], "web")
                    self.assertRegex(row["client"], r"\A127\.0\.0\.1:\d+\Z")
            wait_until(lambda: min(load.answers) > 10 or load.failures, "ten answers for each")
        finally:
            over.set()
            passers.join()
            load.stop()
        self.assertEqual(load.failures, [])


class SetServer(CtlCase):
    def test_drain_and_back_under_load(self):
        """No new requests for one that drains, nor for one in maintenance; none fails; then it gets its share again."""
        first, second = self.server(), self.server()
        self.start(first, second)
        name = "up/" + first.address
        load = Load(self.balancer.address, 8)

        def wait_more(server, n):
            goal = len(server.requests) + n
            wait_until(lambda: len(server.requests) >= goal or load.failures, "%d requests" % n)

        def wait_under_way():
            """Until each client's request of now has its answer."""
            goals = [n + 1 for n in load.answers]
            wait_until(lambda: all(n >= goal for n, goal in zip(load.answers, goals)) or load.failures, "an answer for each")

        try:
            for word, state in (("drain", "draining"), ("maint", "maint")):
                wait_more(first, 50)
                self.assertEqual(self.good("set", "server", name, word), ["%s %s" % (name, state)])
                wait_under_way()
                before = len(first.requests)
                wait_more(second, 200)
                self.assertEqual(len(first.requests), before)
                self.assertEqual(self.good("set", "server", name, "ready"), [name + " up"])
                wait_more(first, 50)
        finally:
            load.stop()
        self.assertEqual(load.failures, [])
        self.balancer.wait_line("server %s of up is draining: the operator wants it so" % re.escape(first.address))

    def test_to_and_fro_under_load(self):
        """Each policy, with servers that come and go by the hundred."""
        servers = [self.server() for _ in range(3)]
        for balance in ("roundrobin", "leastconn", "random", "source", "uri"):
            tplb = self.start(*servers, upstream={"balance": balance})
            load = Load(tplb.address, 8)
            client = self.raw()
            try:
                for i in range(150):
                    word = ("drain", "ready", "maint", "ready")[i % 4]  # so one at a time is out
                    client.send(("set server up/%s %s\n" % (servers[i // 4 % 3].address, word)).encode())
                    client.read_until(b"\nok\n")
                wait_until(lambda: min(load.answers) > 10 or load.failures, "ten answers for each")
            finally:
                load.stop()
            self.assertEqual(load.failures, [], balance)
            tplb.stop()

    def test_kept_requests_end(self):
        """One that is with a server that drains is answered."""
        server = self.server(stalled)
        self.start(server)
        client = self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        self.good("set", "server", "up/" + server.address, "drain")
        self.assertEqual(self.client().get().status, 503)
        server.gate.set()
        self.assertEqual(client.whole_response().status, 200)

    def test_mistakes(self):
        server = self.server()
        self.start(server)
        near = "up/" + server.address
        self.assertEqual(
            self.bad("set", "server", near[:-1], "drain"), 'there is no server "%s"; did you mean "%s"?' % (near[:-1], near)
        )
        self.assertEqual(self.bad("set", "server", "magic", "drain"), 'there is no server "magic"; "show servers" lists them')
        self.assertEqual(self.bad("set", "server", near, "up"), 'a server is set to drain, ready, maint or weight N, not "up"')
        self.assertEqual(self.bad("set", "server", near, "drain", "2"), 'a server is set to drain, ready, maint or weight N, not "drain 2"')
        self.assertEqual(self.bad("set", "server", near), "usage: set server UPSTREAM/SERVER drain|ready|maint|weight [N]")
        for word in ("0", "-1", "257", "x", "1.5", "99999999999999999999", ""):
            said = self.bad("set", "server", near, "weight", *([word] if word else []))
            self.assertEqual(said, 'a weight is a whole number from 1 to 256, not "%s"; "drain" takes a server out' % word)
        self.assertEqual(self.client().get().status, 200)

    def test_names_with_blanks(self):
        """As `show servers` writes them, and as one word of a shell."""
        server = self.server()
        self.start(
            server,
            listener={"upstream": "my own\\up"},
            upstream={"name": "my own\\up"},
        )
        client = self.raw()
        client.send(b"show servers\n")
        client.read_until(b"\n")
        name = client.read_until(b" up ")[:-4]
        self.assertEqual(name, b"my\\ own\\\\up/" + server.address.encode())
        client.read_until(b"ok\n")
        client.send(b"set server " + name + b" drain\n")
        self.assertEqual(client.read_until(b"ok\n"), name + b" draining\nok\n")
        self.good("set", "server", "my own\\up/" + server.address, "ready")
        self.assertEqual(self.client().get().status, 200)


@unittest.skipUnless(ENGINE == "pool", "the async engine has no pool")
class SetWorkers(CtlCase):
    def test_under_load(self):
        """Threads come and go; not one request fails."""
        self.start(pool={"workers": 4})
        load = Load(self.balancer.address, 8)
        before = 4
        try:
            for n in [32, 2, 4] * 5:
                answers = sum(load.answers)
                self.assertIn("pool.workers: %d in place of %d, by command" % (n, before), self.good("set", "pool", "workers", str(n)))
                before = n
                self.wait_workers(n)
                wait_until(lambda: sum(load.answers) > answers or load.failures, "an answer")
        finally:
            load.stop()
        self.assertEqual(load.failures, [])
        self.assertEqual(self.values("show", "pool")["workers_set_by"], "command")

    def test_mistakes(self):
        self.start(pool={"workers": 2})
        for word in ("0", "-1", "4097", "x", "3x", "99999999999999999999"):
            self.assertEqual(
                self.bad("set", "pool", "workers", word), 'workers are a whole number from 1 to 4096, not "%s"' % word
            )
        self.assertEqual(self.bad("set", "pool", "workers"), "usage: set pool workers N")
        self.assertEqual(workers_of(self.balancer), 2)

    def test_file_and_command(self):
        """Who spoke last is heard: a file that says the same as before has not spoken."""
        tplb = self.start(pool={"workers": 2})
        self.good("set", "pool", "workers", "5")
        tplb.tell(signal.SIGHUP)
        tplb.wait_line(r"reload: pool\.workers: there stay 5, as commanded; \S+tplb\.conf has said 2 all along")
        self.wait_workers(5)
        got = self.values("show", "pool")
        self.assertEqual((got["workers"], got["workers_configured"]), ("5", "2"))
        self.rewrite("workers = 2;", "workers = 3;")
        self.assertIn("reload: pool.workers: 3 in place of 5", self.good("reload"))
        self.wait_workers(3)
        self.assertEqual(self.values("show", "pool")["workers_set_by"], "configuration")
        self.assertEqual(self.good("reload"), ["reload: nothing has changed"])

    def test_reloads_beside_commands(self):
        """Both at once, again and again: no request fails, and the last word counts."""
        tplb = self.start(pool={"workers": 4})
        load = Load(tplb.address, 4)
        over = threading.Event()

        def reload():
            n = 4
            while not over.is_set():
                before, n = n, 4 + (n + 1) % 7
                self.rewrite("workers = %d;" % before, "workers = %d;" % n)
                tplb.tell(signal.SIGHUP)
                over.wait(0.002)

        reloads = threading.Thread(target=reload)
        reloads.start()
        try:
            client = self.raw()
            for i in range(300):
                client.send(b"set pool workers %d\n" % (1 + i % 20) if i % 3 else b"reload 0\n")
                client.read_until(b"\nok\n")
        finally:
            over.set()
            reloads.join()
            load.stop()
        self.assertEqual(load.failures, [])
        self.good("reload")
        self.good("set", "pool", "workers", "6")
        self.wait_workers(6)

    def test_advise(self):
        gate = threading.Event()

        def slow(connection):
            while connection.read_request():
                gate.wait(0.02)  # the service time
                connection.send(OK)

        tplb = self.start(self.server(slow), pool={"workers": 2, "burst": 1}, queue={"timeout": "0s"})
        self.assertRegex(self.bad_json("advise")["error"], "too few requests to advise from")
        self.assertRegex(self.bad("advise"), "too few requests to advise from; ask again after 100")
        load = Load(tplb.address, 8)
        try:
            wait_until(lambda: sum(load.answers) > 200 or load.failures, "200 answers")
            text = "\n".join(self.good("advise"))
            self.assertRegex(text, r"requests/s x [\d.]+ ms in a worker's hands")
            self.assertGreater(int(re.search(r"pool: \{ workers = (\d+); \};", text).group(1)), 2)
            self.assertIn("in a worker's hands", "\n".join(self.good("advise")))  # it is not used up
            data = self.json("advise")
            self.assertGreater(data["workers_advised"], data["workers"])
            self.assertGreaterEqual(data["dispatched"], 100)
            self.assertIn("in a worker's hands", data["text"])
        finally:
            load.stop()
        self.assertEqual(load.failures, [])


class Reload(CtlCase):
    def test_what_is_said(self):
        self.start(queue={"size": 50}, timeouts={"client": "31s"})
        self.assertEqual(self.good("reload"), ["reload: nothing has changed"])
        self.rewrite("size = 50;", "size = 60;")
        self.rewrite('client = "31s";', 'client = "32s";')
        self.assertEqual(
            self.good("reload", "30"),
            [
                'reload: timeouts.client: "32s" in place of "31s"',
                "warning: reload: a restart is needed to take in queue.size",
                "reload: done; 0 requests go on as they began, and how they ended is told once they have",
                "reload: the configuration before is over: of 0 requests under way 0 were lost",
            ],
        )

    def test_what_was_lost(self):
        """It is told once what had begun before has ended; others are answered meanwhile."""
        server = self.server(stalled)
        self.start(server, timeouts={"client": "31s"})
        busy = self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        self.rewrite('client = "31s";', 'client = "32s";')
        going = self.raw().send(b"reload 30\n")
        self.assertIn("1 requests go on as they began", going.read_until(b"once they have\n").decode())
        self.assertEqual(self.values("show", "status")["state"], "running")
        server.gate.set()
        self.assertEqual(busy.whole_response().status, 200)
        self.assertEqual(going.read_until(b"ok\n"), b"reload: the configuration before is over: of 1 requests under way 0 were lost\nok\n")

    def test_one_number(self):
        """Under load, too, as many are said to go on as are told of at the end."""
        self.start(self.server(), timeouts={"client": "30s"})
        load = Load(self.balancer.address, 8)
        try:
            for n in range(30, 35):
                self.rewrite('client = "%ds";' % n, 'client = "%ds";' % (n + 1))
                said = "\n".join(self.good("reload", "30"))
                self.assertEqual(re.search(r"done; (\d+) ", said).group(1), re.search(r"over: of (\d+) ", said).group(1), said)
        finally:
            load.stop()
        self.assertEqual(load.failures, [])

    def test_what_goes_on(self):
        server = self.server(stalled)
        self.start(server, timeouts={"client": "31s"})
        busy = self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        self.rewrite('client = "31s";', 'client = "32s";')
        more = "reload: 1 requests of before go on still; `show events` tells once they have ended"
        self.assertEqual(self.json("reload", "1")["messages"][-1], more)
        server.gate.set()
        self.assertEqual(busy.whole_response().status, 200)
        self.balancer.wait_line("of 1 requests under way 0 were lost")

    def test_drain_amid_it(self):
        """A tplb that is to end keeps nobody waiting for more than it will tell: what was done is told, and that it was."""
        server = self.server(stalled)
        tplb = self.start(server, timeouts={"client": "31s"})
        busy = self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        self.rewrite('client = "31s";', 'client = "32s";')
        going = [self.raw().send(b"reload 30\n")]
        going[0].read_until(b"once they have\n")
        self.rewrite('client = "32s";', 'client = "33s";')
        going.append(self.raw().send(b"json reload 30\n"))
        tplb.wait_line('"33s" in place of "32s"')
        tplb.wait_line("reload: done", 2)
        tplb.tell(signal.SIGTERM)
        self.assertEqual(going[0].read_until(b"ok\n"), b"reload: 1 requests of before go on still; tplb is about to end\nok\n")
        self.assertIn(b'"reload: timeouts.client: \\"33s\\" in place of \\"32s\\""', going[1].read_until(b"ok\n"))
        server.gate.set()
        self.assertEqual(busy.whole_response().status, 200)
        self.assertEqual(tplb.wait(), 0)

    def test_probe_goes_on(self):
        """No request is said to be under way where none is."""
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        health = {"type": "http", "path": "/", "interval": "30s", "timeout": "30s"}
        self.start("127.0.0.1:%d" % silent.getsockname()[1], timeouts={"client": "31s"}, upstream={"health": health})
        probe, _ = silent.accept()
        self.addCleanup(probe.close)
        self.rewrite('client = "31s";', 'client = "32s";')
        self.assertEqual(
            self.good("reload", "1")[-1],
            "reload: no request of before goes on, but a probe or a connection does; `show events` tells once they have ended",
        )

    def test_ends_with_an_older_one(self):
        """Of eight that were replaced since the last is still told what it lost when the first ends with it."""
        server = self.server(stalled)
        self.start(server, timeouts={"client": "31s"})

        def begin():
            client = self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            server.wait_requests(len(busy) + 1)
            busy.append(client)

        def again(seconds, *wait):
            self.rewrite('client = "%ds";' % (30 + seconds), 'client = "%ds";' % (31 + seconds))
            going = self.raw().send(b"reload %s\n" % b" ".join(wait))
            going.read_until(b"once they have\n")
            return going

        busy = []
        begin()
        first = again(1, b"30")
        for seconds in range(2, 9):
            again(seconds, b"0").read_until(b"ok\n")
        begin()
        last = again(9, b"30")
        server.gate.set()
        for client in busy:
            self.assertEqual(client.whole_response().status, 200)
        over = b"reload: the configuration before is over"
        lost = over + b": of 1 requests under way 0 were lost\nok\n"
        self.assertEqual(last.read_until(b"ok\n"), lost)
        self.assertIn(first.read_until(b"ok\n"), (lost, over + b"; `show events` tells what was lost\nok\n"))

    def test_mistakes(self):
        tplb = self.start(queue={"size": 50})
        with open(tplb.path) as f:
            line = next(i for i, text in enumerate(f, 1) if "size" in text)
        self.rewrite("size = 50;", "siz = 50;")
        status, out, err = self.ctl("reload")
        self.assertEqual((status, err), (1, "tplbctl: nothing was taken in; the lines above say why, `tplb -t` checks a file\n"))
        self.assertIn("reload: %s:%d: queue.siz: unknown key, did you mean `size`?\n" % (tplb.path, line), out)
        self.assertEqual(self.client().get().status, 200)

    @unittest.skipIf(ENGINE == "pool", "of the async engine")
    def test_async_has_no_workers(self):
        self.start()
        self.assertIn("the async engine has no workers", self.bad("set", "pool", "workers", "4"))
        self.assertIn("the async engine has none", self.bad("advise"))


class Bad(CtlCase):
    """What is wrong gets one line; all others are served as before."""

    def alive(self):
        self.assertEqual(self.client().get().status, 200)
        self.assertEqual(self.values("show", "status")["state"], "running")

    def test_several_commands_a_connection(self):
        self.start()
        client = self.raw().send(b"show pool\nshow statu\r\nreload\r\n")
        self.assertEqual(client.read_until(b"ok\n")[:7], b"engine ")
        self.assertEqual(client.read_until(b"\n"), b'error: there is no command "show statu"; did you mean "show status"?\n')
        self.assertEqual(client.read_until(b"ok\n"), b"reload: nothing has changed\nok\n")
        client.send(b"show ")
        client.send_bytewise(b"status\nhelp")
        client.read_until(b"ok\n")
        client.send(b"\n").half_close()
        self.assertTrue(client.read_to_end().endswith(b"prints this\nok\n"))

    def test_garbage(self):
        self.start()
        for data in (b"\x00\xff\x16\x03\x01\n", b"show\x1b[31m status\n", os.urandom(3000) + b"\x01\n"):
            client = self.raw()
            client.try_send(data)
            got = client.read_to_end()
            self.assertRegex(got, rb"\A(error: there is no command [^\n]*\n|error: an empty [^\n]*\n)*error: [^\n]+\n\Z")
            self.alive()
        for n in (4096, 5000, 100000):
            client = self.raw()
            client.try_send(b"x" * n)
            self.assertEqual(client.read_to_end(), b"error: the line is too long; a command has at most 4095 bytes\n")
        client = self.raw().send(b"x" * 4095 + b"\n")
        self.assertRegex(client.read_until(b"\n"), rb"\Aerror: there is no command \"x{70,80}\"; ")
        client = self.raw().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertRegex(client.read_until(b"\n"), rb"\Aerror: there is no command \"GET / HTTP/1.1\"; ")

    def test_half_lines(self):
        self.start()
        client = self.raw().send(b"show status").half_close()
        self.assertEqual(client.read_to_end(), b"error: the line was cut short; a command ends with a newline\n")
        self.raw().send(b"show st").close()
        waiting = self.raw().send(b"show st")
        self.alive()
        waiting.send(b"atus\n").read_until(b"\nok\n")

    def test_a_hundred_connections(self):
        """The oldest make room: whoever comes is answered."""
        tplb = self.start()
        descriptors = tplb.descriptors()
        clients = []
        for i in range(100):
            clients.append(self.raw())
            if i % 2:
                clients[-1].try_send(b"sho")
        self.alive()
        last = clients[-1].send(b"w status\n")
        last.read_until(b"\nok\n")
        self.assertRegex(clients[0].read_to_end(), rb"\A(error: too many [^\n]*\n)?\Z")
        wait_until(lambda: tplb.descriptors() <= descriptors + 16 + 8, "most of them gone")

    def test_who_never_reads(self):
        """Is not listened to any more; others are."""
        self.start()
        client = self.raw()
        client.sock.settimeout(0)
        sent = 0
        with self.assertRaises(BlockingIOError):
            for _ in range(100000):
                sent += client.sock.send(b"help\n" * 100)
        self.assertGreater(sent, 0)
        self.alive()
        self.assertTrue(client.read_until(b"ok\n").startswith(b"show status\n"))

    def test_who_leaves(self):
        """With an answer on its way."""
        self.start()
        for _ in range(50):
            self.raw().send(b"help\nhelp\nshow counters\n").close()
        self.alive()

    def test_random_lines(self):
        """Hundreds of lines made of commands' words and of anything: none does harm."""
        rng = random.Random(5)
        self.start()
        words = [b"show", b"set", b"server", b"pool", b"workers", b"status", b"up/", b"drain", b"\\", b" ", b"help", b"advise", b"'", b"%n%s", b"\xc3\xa4"]
        client = self.raw()
        for _ in range(500):
            line = b" ".join(rng.choice(words) for _ in range(rng.randint(1, 12)))
            client.send(line + b"\n")
            while True:
                got = client.read_until(b"\n")
                if got == b"ok\n" or got.startswith(b"error: "):
                    break
        self.alive()

    def test_stop_while_others_talk(self):
        tplb = self.start()
        self.raw().send(b"show st")
        self.raw()
        unread = self.raw()
        unread.sock.settimeout(0)
        with self.assertRaises(BlockingIOError):
            for _ in range(100000):
                unread.sock.send(b"help\n" * 100)
        tplb.tell(signal.SIGTERM)
        self.assertEqual(tplb.wait(), 0)

    def test_stop_amid_commands(self):
        """Whichever runs comes to its end first."""
        tplb = self.start()
        clients = [self.raw() for _ in range(4)]
        answers = [0] * len(clients)

        def talk(i):
            while clients[i].try_send((b"reload 0\n", b"show counters\n", b"help\n", b"show servers\n")[i]):
                while b"ok\n" not in clients[i].buf and clients[i].more():
                    pass
                if clients[i].at_end:
                    return
                clients[i].read_until(b"ok\n")
                answers[i] += 1

        threads = [threading.Thread(target=talk, args=(i,)) for i in range(len(clients))]
        for thread in threads:
            thread.start()
        wait_until(lambda: min(answers) > 5, "some answers")
        tplb.tell(signal.SIGTERM)
        self.assertEqual(tplb.wait(), 0)
        for thread in threads:
            thread.join()

    @unittest.skipUnless(ENGINE == "pool" and os.environ.get("TPLB_LONG") == "1", "half a minute: make check-long")
    def test_patience(self):
        """Half a minute for a line."""
        self.start()
        since = time.monotonic()
        idle, half = self.raw(3 * BOUND), self.raw(3 * BOUND).send(b"show ")
        self.assertEqual((idle.read_to_end(), half.read_to_end()), (b"", b""))
        self.assertGreater(time.monotonic() - since, 29)
        self.alive()


class Tplbctl(CtlCase):
    def test_help_and_version(self):
        for option in ("-h", "--help"):
            status, out, err = self.ctl(option, path=False)
            self.assertEqual((status, err), (0, ""))
            for word in ("-s", "--socket", "tplb.sock", "set pool workers N", "reload [SECONDS]"):
                self.assertIn(word, out)
        for option in ("-v", "--version"):
            status, out, err = self.ctl(option, path=False)
            self.assertEqual((status, err), (0, ""))
            self.assertRegex(out, r"\Atplbctl \S+\n\Z")

    def test_wrong_usage(self):
        for args in ([], ["-x"], ["--no-such"], ["-s"], ["show\nstatus"], ["show", ""], ["\x01"]):
            status, out, err = self.ctl(*args, path=False)
            self.assertEqual((status, out), (2, ""), args)
            self.assertTrue(err.strip())

    def test_nobody_there(self):
        self.path = os.path.join(self.directory(), "none.sock")
        self.assertIn("No such file or directory; is tplb running", self.bad("show", "status"))
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(self.path)
        self.assertIn("Connection refused; nobody listens there", self.bad("show", "status"))
        self.path += "x" * 200
        self.assertIn("the path of a socket has 1 to 107 bytes", self.bad("show", "status"))

    @unittest.skipUnless(os.geteuid() == 0, "only root can become others")
    def test_no_permission(self):
        self.start()
        os.chmod(self.balancer.directory, 0o755)
        uid = pwd.getpwnam("daemon").pw_uid
        try:
            subprocess.run([CTL, "-v"], capture_output=True, preexec_fn=lambda: os.setuid(uid), check=True)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("others cannot run what was built here")
        status, out, err = self.ctl("show", "status", preexec=lambda: os.setuid(uid))
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, r"\Atplbctl: cannot talk to \S+: Permission denied; only root and the user that tplb runs as may[^\n]*\n\Z")

    def test_half_an_answer(self):
        for said in (b"", b"one line\n", b"one line\nok", b"HTTP/1.1 400 Bad Request\r\n\r\n"):

            def script(connection, said=said):
                connection.read_until(b"\n")
                connection.send(said)

            server = self.server(script, address="unix")
            self.path = server.address[len("unix:") :]
            self.assertIn("the answer ended early", self.bad("show", "status"))

    def test_standard_output_that_is_full(self):
        self.start()
        with open("/dev/full", "w") as full:
            done = subprocess.run([CTL, "-s", self.path, "help"], stdout=full, stderr=subprocess.PIPE, timeout=2 * BOUND)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot write to standard output", done.stderr)

    def test_too_long(self):
        self.start()
        self.assertEqual(self.bad("show", "x" * 5000), "the command is too long; it has at most 4095 bytes")


if __name__ == "__main__":
    main()
