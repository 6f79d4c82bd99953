"""
Reloads that take effect while requests run: servers, listeners, limits and timeouts follow the file, what does not change goes on, not one request
is lost, and a configuration that is wrong in any way leaves the one that runs.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re
import signal
import socket
import subprocess
import threading
import unittest

from support.case import WireCase, main
from support.dns import A, NameServer
from support.raw import Client, wait_until
from support.server import answer, stalled, unconnectable
from support.tplb import CTL, ENGINE, config_text, environment, thread_sanitized, with_engine
from support.unread import Unread

LONG = os.environ.get("TPLB_LONG") == "1"
RELOADS = 100 if LONG else 10
ADMIN = {"socket": "@DIR@/ctl.sock"}


def named(name):
    """A server that says who it is."""

    def script(connection):
        while connection.read_request():
            connection.send(answer(name.encode()))

    return script


class LiveCase(WireCase):
    """self.config is what the file says; again() writes it and waits for the reload's end."""

    reloads = 0

    def start(self, config):
        self.config = config
        self.tplb(config=config)
        return self.balancer

    def write(self, text):
        with open(self.balancer.path + ".new", "w") as f:
            f.write(text)
        os.replace(self.balancer.path + ".new", self.balancer.path)

    def again(self, **changes):
        """Taken in."""
        self.config = dict(self.config, **changes)
        self.hup(config_text(with_engine(self.config)), r"reload: done; ")

    def hup(self, text, line):
        self.write(text.replace("@DIR@", self.balancer.directory))
        self.seen = getattr(self, "seen", {})
        self.seen[line] = self.seen.get(line, 0) + 1
        self.balancer.tell(signal.SIGHUP)
        return self.balancer.wait_line(line, self.seen[line])

    def refused(self, line, **changes):
        """Not taken in, with this among the reasons."""
        before = self.balancer.stderr.count("is not taken in")
        self.write(config_text(with_engine(dict(self.config, **changes))).replace("@DIR@", self.balancer.directory))
        self.balancer.tell(signal.SIGHUP)
        self.balancer.wait_line(r"error: reload: .* is not taken in", before + 1)
        self.assertRegex(self.balancer.stderr, line)

    def address(self, name, count=1):
        """Where the listener of that name listens, as it was said last."""
        m = self.balancer.wait_line(r"[^n][^o] ?listening on (\S+) \(%s\)$" % re.escape(name), count)
        return m.group(1)

    def who(self, address=None):
        client = Client(address or self.balancer.address)
        try:
            return client.get().body.decode()
        finally:
            client.close()

    def ctl(self, *words):
        """The lines of tplbctl's answer; there is `admin` in the configuration."""
        path = os.path.join(self.balancer.directory, "ctl.sock")
        done = subprocess.run([CTL, "-s", path, *words], capture_output=True, timeout=60, env=environment())
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout.decode().splitlines()

    def wait_ended(self, n):
        """So many configurations that were replaced are over and gone."""
        self.balancer.wait_line(r"reload: the configuration before is over: of \d+ requests under way", n)


def listener(name, upstream="up", **more):
    return dict({"name": name, "bind": "127.0.0.1:0", "upstream": upstream}, **more)


def upstream(*servers, name="up", **more):
    rows = [s if isinstance(s, dict) else {"address": s.address} for s in servers]
    return dict({"name": name, "servers": rows}, **more)


class Live(LiveCase):
    def servers(self, *names):
        return [self.server(named(name)) for name in names]

    def test_servers_and_policy(self):
        """The next request already finds them; a parked connection stays."""
        a, b = self.servers("a", "b")
        self.start({"listeners": [listener("web")], "upstreams": [upstream(a)]})
        parked = self.client()
        self.assertEqual(parked.get().body, b"a")
        self.again(upstreams=[upstream(b)])
        self.assertEqual(parked.get().body, b"b")
        self.again(upstreams=[upstream(a, b)])
        self.assertEqual({parked.get().body for _ in range(4)}, {b"a", b"b"})
        self.again(upstreams=[upstream({"address": a.address, "weight": 3}, b)])
        self.assertEqual(sorted(parked.get().body for _ in range(8)), [b"a"] * 6 + [b"b"] * 2)
        self.balancer.wait_line(r"reload: upstreams\[up\]\.servers\[%s\]\.weight: 3 in place of 1$" % re.escape(a.address))
        self.again(upstreams=[upstream(a, b, balance="source")])
        self.assertEqual(len({parked.get().body for _ in range(6)}), 1)
        self.balancer.wait_line(r'reload: upstreams\[up\]\.balance: "source" in place of "roundrobin"$')

    def test_listeners(self):
        """One comes, one changes its upstream, one goes: its idle client is let go, the next answer of a busy one is its last."""
        a, b = self.servers("a", "b")
        self.start({"listeners": [listener("web")], "upstreams": [upstream(a), upstream(b, name="other")]})
        parked = self.client()
        self.assertEqual(parked.get().body, b"a")
        self.again(listeners=[listener("web"), listener("more", "other")])
        more = self.address("more")
        self.assertEqual(self.who(more), "b")
        idle, last = self.client(more), self.client(more)
        self.assertEqual((idle.get().body, last.get().body), (b"b", b"b"))
        self.again(listeners=[listener("web", "other"), listener("more", "up")])
        self.assertEqual((self.who(), self.who(more)), ("b", "a"))
        self.assertEqual(idle.get().body, b"a")
        last.send(b"GET / HTTP/1.1\r\nHo")  # so it is busy, however long we take
        self.keep(Unread()).wait_read(last.sock)
        self.again(listeners=[listener("web", "other")])
        got = last.send(b"st: h\r\n\r\n").whole_response()
        self.assertEqual((got.body, got.get("Connection")), (b"a", b"close"))
        last.expect_closed()
        idle.expect_closed()
        wait_until(lambda: self.is_refused(more), "the listener's end")
        got = parked.get()
        self.assertEqual((got.body, got.get("Connection")), (b"b", None))
        self.wait_ended(3)

    def is_refused(self, address):
        try:
            Client(address).close()
        except ConnectionRefusedError:
            return True
        return False

    def test_address_is_free_again(self):
        """What a reload has closed the next one, right after it, can open."""
        a, = self.servers("a")
        first, upstreams = listener("web"), [upstream(a)]
        held, address = unconnectable()  # nobody else gets it meanwhile
        self.keep(held)
        self.start({"listeners": [first], "upstreams": upstreams, "admin": ADMIN})
        self.again(listeners=[first, listener("more", bind=address)])
        back = listener("back", bind=address)
        for _ in range(20):
            for listeners in [first], [first, back]:
                self.write(config_text(with_engine(dict(self.config, listeners=listeners))).replace("@DIR@", self.balancer.directory))
                self.assertIn("reload: done; ", "".join(self.ctl("reload", "0")))
            self.assertEqual(self.who(back["bind"]), "a")

    @unittest.skipIf(ENGINE == "pool", "loops keep connections of their own")
    def test_kept_connections_are_trimmed(self):
        """However fast reloads follow each other, those beyond `keepalive` go after a second: by their age, not when there is rest."""
        a, = self.servers("a")
        self.start({"listeners": [listener("web")], "upstreams": [upstream(a, keepalive=1)], "admin": ADMIN})
        client = self.client()
        for i in range(200):
            self.again(upstreams=[upstream(a, keepalive=1, retries=i % 2)])
            self.assertEqual(client.get().body, b"a")
            if any(c.finished for c in list(a.connections)):
                return
        self.fail("%d connections to the server, none of which was closed" % len(a.connections))

    def test_too_many_listeners(self):
        """Those of a reload that were heard already leave again; it never ran, so it is not told to be over."""
        a, = self.servers("a")
        many = lambda name: [listener("web")] + [listener("%s%d" % (name, i)) for i in range(600)]
        self.start({"listeners": many("few"), "upstreams": [upstream(a)]})
        parked = self.client()
        for i in range(3):
            self.refused("no more than 1024 listeners", listeners=many("more%d" % i))
            self.assertEqual(parked.get().body, b"a")
        self.again(listeners=[listener("web")])
        self.wait_ended(1)
        self.assertEqual(self.balancer.stderr.count("the configuration before is over"), 1)

    def test_modes_and_unix_sockets(self):
        a, b = self.servers("a", "b")
        self.start({"listeners": [listener("web")], "upstreams": [upstream(a)]})
        path = os.path.join(self.balancer.directory, "more.sock")
        self.again(listeners=[listener("web", mode="tcp"), listener("sock", bind="unix:@DIR@/more.sock")])
        self.assertEqual((self.who(), self.who("unix:" + path)), ("a", "a"))
        self.again(listeners=[listener("web"), listener("sock", bind="unix:@DIR@/more.sock", mode="tcp")], upstreams=[upstream(b)])
        self.assertEqual((self.who(), self.who("unix:" + path)), ("b", "b"))
        self.assertTrue(os.path.exists(path))
        self.again(listeners=[listener("web")])
        wait_until(lambda: not os.path.exists(path), "the socket's file to go")
        self.assertEqual(self.who(), "b")

    @unittest.skipUnless(os.geteuid() == 0, "root can give rights up")
    def test_without_rights(self):
        """Whoever serves has given up root's rights, and is in its sandbox: listeners are opened by its parent."""
        a, b = self.servers("a", "b")
        self.start({"user": "nobody", "listeners": [listener("web")], "upstreams": [upstream(a)]})
        for i in range(3):
            self.again(listeners=[listener("web"), listener("more%d" % i, "other")], upstreams=[upstream(b), upstream(a, name="other")])
            self.assertEqual((self.who(), self.who(self.address("more%d" % i))), ("b", "a"))
            self.again(listeners=[listener("web")], upstreams=[upstream(a)])
            self.assertEqual(self.who(), "a")
        self.wait_ended(6)

    def test_limits_timeouts_and_logs(self):
        """What is not the snapshot's alone: the queue's rule, the first head's timeout, the level of the log."""
        a = self.server(named("a"))
        self.start({"listeners": [listener("web")], "upstreams": [upstream(a)], "log": {"level": "info"}})
        self.again(
            timeouts={"request_header": "200ms", "keepalive": "300ms"},
            limits={"body_size": "10"},
            queue={"timeout": "20s", "discipline": "codel", "header": True},
            log={"level": "debug"},
        )
        self.assertEqual(self.unseen(b"GET / HT").whole_response().status, 408)
        client = self.unseen(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        got = client.whole_response()
        self.assertIsNotNone(got.get("X-Tplb-Queue-Us"))
        self.balancer.wait_line(r"debug: web: client ")
        client.expect_closed()
        big = self.unseen(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n12345678901")
        self.assertEqual(big.whole_response().status, 413)

    def test_more_headers(self):
        """What exchanges have room for follows limits.headers, up and down."""
        a = self.server(named("a"))
        self.start({"listeners": [listener("web")], "upstreams": [upstream(a)], "limits": {"headers": 8}})
        fields = b"".join(b"X-%d: y\r\n" % i for i in range(50))
        client = self.client()
        self.assertEqual(client.get().status, 200)
        self.assertEqual(self.client().get(extra=fields).status, 431)
        self.again(limits={"headers": 60})
        self.assertEqual(client.get(extra=fields).status, 200)
        self.again(limits={"headers": 20})
        self.assertEqual(client.get(extra=fields).status, 431)

    def test_requests_in_flight(self):
        """They finish where they began: waiting for a server, in a body, in a tunnel, and on a shelf; a half head goes on with the next one."""
        a = self.server(stalled)
        b = self.server(named("b"))
        tunnel = self.server(lambda c: [c.send(c.more() and c.take(len(c.buf))) for _ in range(2)])
        limited = {"address": a.address, "max_connections": 1}
        self.start(
            {
                "listeners": [listener("web"), listener("raw", "raw", mode="tcp")],
                "upstreams": [upstream(limited), upstream(tunnel, name="raw")],
                "queue": {"timeout": "20s"},
                "admin": ADMIN,
            }
        )
        raw = self.client(self.balancer.addresses["raw"]).send(b"one")
        self.assertEqual(raw.read_exactly(3), b"one")
        busy = self.client().send(b"GET /busy HTTP/1.1\r\nHost: h\r\n\r\n")
        a.wait_connections(1)
        wait_until(lambda: a.connections[0].requests, "the request")
        shelved = self.client().send(b"GET /shelved HTTP/1.1\r\nHost: h\r\n\r\n")
        wait_until(lambda: self.counted("shelved") == 1, "it to wait")
        half = self.client().send(b"GET /half HTTP/1.1\r\nHo")
        self.again(upstreams=[upstream(b), upstream(b, name="raw")])
        self.assertEqual(self.who(), "b")
        self.assertEqual(half.send(b"st: h\r\n\r\n").whole_response().body, b"b")
        a.gate.set()
        self.assertEqual(busy.whole_response().status, 200)
        self.assertEqual(shelved.whole_response().status, 200)
        self.assertEqual(raw.send(b"two").read_exactly(3), b"two")
        self.assertEqual([r.target for r in a.requests], [b"/busy", b"/shelved"])
        raw.close()
        self.wait_ended(1)

    def test_max_connections_stays_exact(self):
        """Over the change: who has the server's one place keeps it, who comes after the reload waits for it."""
        a = self.server(stalled)
        limited = {"address": a.address, "max_connections": 1}
        self.start({"listeners": [listener("web")], "upstreams": [upstream(limited)], "queue": {"timeout": "20s"}, "admin": ADMIN})
        first = self.client().send(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n")
        a.wait_connections(1)
        wait_until(lambda: a.connections[0].requests, "the request")
        self.again(upstreams=[upstream(limited, retries=0)])
        second = self.client().send(b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
        wait_until(lambda: self.counted("shelved") == 1, "it to wait")
        self.assertEqual(len(a.connections), 1)
        a.gate.set()
        self.assertEqual((first.whole_response().status, second.whole_response().status), (200, 200))
        self.assertEqual([r.target for r in a.requests], [b"/1", b"/2"])

    def test_kept_connections_go_on(self):
        """To a server that stays; those to one that is gone are closed."""
        a, b = self.servers("a", "b")
        self.start({"listeners": [listener("web")], "upstreams": [upstream(a, b)]})
        self.assertEqual({self.who(), self.who()}, {"a", "b"})
        self.again(upstreams=[upstream(a)])
        self.wait_ended(1)  # all loops have handed theirs on
        b.wait_finished(1)
        client = self.client()  # one: another one could ask before the connection is kept again
        for _ in range(8):
            self.assertEqual(client.get().body, b"a")
        self.assertLessEqual(len(a.connections), 1 if ENGINE == "pool" else 2)  # loops have their own

    def test_commands_and_reloads(self):
        """What an operator set stays, unless the file says another state than before; counts go on; several at once are one after the other."""
        a, b = self.servers("a", "b")
        row = {"address": a.address}
        config = {"listeners": [listener("web")], "upstreams": [upstream(row, b)], "admin": ADMIN}
        self.start(config)
        self.assertEqual({self.who(), self.who()}, {"a", "b"})
        self.ctl("set", "server", "up/" + a.address, "drain")
        self.again(upstreams=[upstream(row, b, retries=0)])
        self.assertEqual([self.who() for _ in range(4)], ["b"] * 4)
        self.wait_ended(1)
        state = {line.split()[0]: line.split() for line in self.ctl("show", "servers")}
        self.assertEqual((state["up/" + a.address][1], state["up/" + b.address][4]), ("draining", "5"))
        self.again(upstreams=[upstream(dict(row, state="maint"), b, retries=0)])
        self.assertIn("maint", [line.split()[1] for line in self.ctl("show", "servers")])
        self.again(upstreams=[upstream(row, b, retries=0)])
        self.assertEqual({self.who(), self.who()}, {"a", "b"})
        texts = [config_text(with_engine(dict(config, upstreams=[upstream(s)]))).replace("@DIR@", self.balancer.directory) for s in (a, b)]
        callers = [threading.Thread(target=lambda: self.failures.extend(self.many())) for _ in range(3)]
        self.failures = []
        for caller in callers:
            caller.start()
        for i in range(21):
            self.write(texts[i % 2])
            self.balancer.tell(signal.SIGHUP)
        for caller in callers:
            caller.join()
        self.assertEqual(self.failures, [])
        self.ctl("reload")
        self.assertEqual([self.who() for _ in range(4)], ["a"] * 4)

    def many(self):
        try:
            for _ in range(10):
                self.ctl("reload", "0")
                self.ctl("show", "servers")
                self.ctl("show", "counters")
            return []
        except Exception as e:
            return [repr(e)]

    def test_headers_asked_for_later(self):
        """PROXY headers are asked of new connections; one that was there goes on, and one of these amid it is malformed."""
        (a,) = self.servers("a")
        row, path = listener("web"), os.path.join(self.directory(), "access")
        self.start({"listeners": [row], "upstreams": [upstream(a)], "log": {"access": path}})
        kept, liar = self.client(), self.client()
        self.assertEqual((kept.get().body, liar.get().body), (b"a", b"a"))
        self.again(listeners=[dict(row, accept_proxy=True)])
        self.assertEqual(kept.get().body, b"a")
        liar.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertEqual(liar.response().status, 400)
        fresh = self.client()
        fresh.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
        self.assertEqual(fresh.get().body, b"a")
        self.finish()
        with open(path) as log:
            self.assertEqual([line.split()[0] for line in log].count("192.0.2.1"), 1)

    def test_counts_while_a_lookup_hangs(self):
        """The old configuration's counts are in the sums at each moment, also while its lookup is waited for."""
        dns = NameServer()
        self.addCleanup(dns.stop)
        dns.set("origin.example", A, "127.0.0.1")
        (a,) = self.servers("a")
        up = {"nameserver": dns.address, "resolve": "100ms"}
        row = {"address": "origin.example:%s" % a.address.rsplit(":", 1)[1]}
        self.start({"listeners": [listener("web")], "upstreams": [upstream(row, **up)], "admin": ADMIN})
        for _ in range(4):
            self.assertEqual(self.who(), "a")
        dns.silent = True
        dns.wait_queries("origin.example", A)
        self.config["upstreams"] = [upstream(row, retries=0, **up)]
        self.write(config_text(with_engine(self.config)).replace("@DIR@", self.balancer.directory))
        self.balancer.tell(signal.SIGHUP)
        seen = []
        while "reload: done" not in self.balancer.stderr:
            seen.append([line.split()[4] for line in self.ctl("show", "servers")[1:]])
        self.assertEqual(seen, [["4"]] * len(seen))
        self.assertEqual(self.who(), "a")

    def test_what_is_known_stays(self):
        """A server that is down is not asked anew; its counts and its state go on; a new one is asked."""
        held, dead = unconnectable()
        self.keep(held)
        a, b = {"address": dead}, self.server(named("b"))
        up = {"passive": {"max_fails": 1, "fail_timeout": "1h"}}
        self.start({"listeners": [listener("web")], "upstreams": [upstream(a, b, **up)]})
        for _ in range(4):
            self.assertEqual(self.who(), "b")
        self.balancer.wait_line(r"server %s of up is down" % re.escape(dead))
        self.again(upstreams=[upstream(a, b, retries=1, **up)])
        for _ in range(4):
            self.assertEqual(self.who(), "b")
        self.wait_ended(1)
        self.finish()
        self.balancer.wait_line(r"server %s of up: down, 0 requests, 1 failures, went down 1 times" % re.escape(dead))
        self.balancer.wait_line(r"server %s of up: up, 8 requests, 0 failures" % re.escape(b.address))

    def test_restart_is_said(self):
        """By name; each time until then; and what can be taken in is."""
        a, b = self.servers("a", "b")
        self.start({"listeners": [listener("web")], "upstreams": [upstream(a)], "queue": {"size": 50}})
        for _ in range(2):
            self.config["queue"] = {"size": 60}
            text = config_text(with_engine(dict(self.config, limits={"connections": 99})))
            self.hup(text, r"warning: reload: a restart is needed to take in queue\.size, limits\.connections$")
        self.again(upstreams=[upstream(b)])
        self.assertEqual(self.who(), "b")
        self.balancer.wait_line(r"a restart is needed to take in queue\.size$")

    def test_drain_and_reload(self):
        """One amid a drain is refused, and the drain goes on; so is one after the other in a row taken in at last."""
        a = self.server(stalled)
        tplb = self.start({"listeners": [listener("web")], "upstreams": [upstream(a)]})
        busy = self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        a.wait_connections(1)
        wait_until(lambda: a.connections[0].requests, "the request")
        self.again(upstreams=[upstream(a, retries=0)])
        tplb.tell(signal.SIGTERM)
        tplb.wait_line("draining")
        a.gate.set()
        self.assertEqual(busy.whole_response().status, 200)
        self.assertEqual(tplb.wait(), 0)


    def test_end_does_not_wait_for_name_servers(self):
        """A reload, by command or by signal, whose name server is silent: the end cuts it."""
        dns = NameServer()
        self.addCleanup(dns.stop)
        dns.silent = True
        for by_command in True, False:
            a = self.server(named("a"))
            tplb = self.start({"listeners": [listener("web")], "upstreams": [upstream(a)], "admin": ADMIN})
            names = ["%s%d.example" % ("command" if by_command else "signal", i) for i in range(5)]  # some seconds each
            unknown = upstream(*({"address": name + ":80"} for name in names), nameserver=dns.address)
            self.write(config_text(with_engine(dict(self.config, upstreams=[unknown]))).replace("@DIR@", tplb.directory))
            path = os.path.join(tplb.directory, "ctl.sock")
            if by_command:
                ctl = subprocess.Popen([CTL, "-s", path, "reload"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            else:
                tplb.tell(signal.SIGHUP)
            wait_until(lambda: dns.count(names[0], A), "the query")
            self.assertEqual(self.who(), "a")
            tplb.stop()
            self.assertIn("stopped; a reload was cut", tplb.stderr)
            self.assertFalse(os.path.exists(path))
            if by_command:
                self.assertEqual(ctl.wait(60), 1)


class Wrong(LiveCase):
    """Nothing changes, and it is said why."""

    def test_wrong_in_many_ways(self):
        a, b = self.server(named("a")), self.server(named("b"))
        taken = socket.socket()
        self.keep(taken)
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        self.start({"listeners": [listener("web")], "upstreams": [upstream(a)]})
        parked = self.client()
        self.assertEqual(parked.get().body, b"a")
        fds = self.balancer.descriptors()
        other = [upstream(b)]
        self.refused(r"retries: .*from 0 to 10", upstreams=[upstream(b, retries=99)])
        self.refused(r"unknown key, did you mean `retries`", upstreams=[upstream(b, retrys=1)])
        self.refused(r'there is no upstream "nowhere"', upstreams=other, listeners=[listener("web", "nowhere")])
        self.refused(r"is not an address", upstreams=other, listeners=[listener("web", bind="nonsense")])
        self.refused(
            r"listener new: cannot listen on 127\.0\.0\.1:%d: Address already in use \(another program uses it" % port,
            upstreams=other,
            listeners=[listener("web"), listener("first"), listener("new", bind="127.0.0.1:%d" % port)],
        )
        self.refused(
            r"listener far: cannot listen on .*No such file",
            upstreams=other,
            listeners=[listener("web"), listener("far", bind="unix:@DIR@/no/such/folder.sock")],
        )
        self.refused(r"listener alien: cannot listen on .*Cannot assign", listeners=[listener("web"), listener("alien", bind="192.0.2.1:0")])
        self.refused(r"cannot resolve \"no-such-host\.invalid:80\"", upstreams=[upstream({"address": "no-such-host.invalid:80"})])
        self.write("this is = not\n")
        self.balancer.tell(signal.SIGHUP)
        self.balancer.wait_line("is not taken in", 9)
        os.unlink(self.balancer.path)
        self.balancer.tell(signal.SIGHUP)
        self.balancer.wait_line("is not taken in", 10)
        self.assertEqual(parked.get().body, b"a")
        self.assertEqual(self.who(), "a")
        wait_until(lambda: self.balancer.descriptors() <= fds + 4, "descriptors to be closed")
        self.again(upstreams=other)
        self.assertEqual(parked.get().body, b"b")


class Counting:
    """Clients that ask without end, and how often each POST was seen by a server."""

    def __init__(self, address):
        self.address, self.over = address, threading.Event()
        self.failures, self.posted, self.answers = [], 0, 0
        self.lock = threading.Lock()
        kinds = [self.keeping] * 4 + [self.posting] * 3 + [self.connecting] * 3
        self.threads = [threading.Thread(target=self.run, args=(kind, i)) for i, kind in enumerate(kinds)]
        for thread in self.threads:
            thread.start()

    def run(self, kind, i):
        try:
            kind(i)
        except Exception as e:
            self.failures.append("%s: %r" % (kind.__name__, e))

    def check(self, got):
        if got.status != 200:
            raise AssertionError("%r" % got.raw[:300])
        with self.lock:
            self.answers += 1

    def keeping(self, i):
        client = Client(self.address)
        while not self.over.is_set():
            self.check(client.get(b"/get"))
        client.close()

    def posting(self, i):
        client, n = Client(self.address), 0
        while not self.over.is_set():
            body = b"%d-%d" % (i, n)
            with self.lock:
                self.posted += 1
            client.send(b"POST /post/%s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (body, len(body), body))
            self.check(client.whole_response(b"POST"))
            n += 1
        client.close()

    def connecting(self, i):
        while not self.over.is_set():
            client = Client(self.address)
            self.check(client.get(b"/once"))
            client.close()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


class UnderLoad(LiveCase):
    def resident(self):
        with open("/proc/%d/status" % self.balancer.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def threads(self):
        return len(os.listdir("/proc/%d/task" % self.balancer.pid))

    def change(self, i, servers):
        """Other servers, and a listener beside the one under load, which answers by the new ones."""
        mine = [servers[i % 3], servers[(i + 1) % 3]]
        self.again(
            listeners=[listener("web"), listener("extra%d" % (i % 4), "extra")],
            upstreams=[
                upstream(*mine, keepalive=6, retries=i % 3, balance=("roundrobin", "leastconn", "random")[i % 3]),
                upstream(servers[3 + i % 2], name="extra"),
            ],
        )
        self.assertEqual(self.who(self.address("extra%d" % (i % 4), i // 4 + 1)), "34"[i % 2])

    def test_reloads(self):
        """Not one request fails, each POST is seen once, and what there was before is gone afterwards."""
        servers = [self.server(named("%d" % i)) for i in range(5)]
        self.start({"listeners": [listener("web")], "upstreams": [upstream(servers[0])], "queue": {"timeout": "30s"}})
        load = Counting(self.balancer.address)
        try:
            wait_until(lambda: load.answers > 100 or load.failures, "answers")
            self.change(0, servers)
            threads = None
            for i in range(1, RELOADS):
                before = load.answers
                self.change(i, servers)
                wait_until(lambda: load.answers > before + 5 or load.failures, "answers")
                if i == RELOADS // 2:
                    half = self.resident()
        finally:
            load.stop()
        self.assertEqual(load.failures, [])
        self.wait_ended(RELOADS)
        seen = [r.target for s in servers[:3] for r in s.requests if r.target.startswith(b"/post")]
        self.assertEqual((len(seen), len(set(seen))), (load.posted, load.posted))
        self.assertGreater(load.posted, RELOADS)
        wait_until(lambda: self.threads() == self.threads(), "threads")
        threads = self.threads()
        self.again(upstreams=self.config["upstreams"][:1] + [upstream(servers[0], name="extra")])
        self.wait_ended(RELOADS + 1)
        wait_until(lambda: self.threads() == threads, lambda: "%d threads, but %d" % (threads, self.threads()))
        wait_until(lambda: self.balancer.descriptors() < 100, lambda: "%d descriptors" % self.balancer.descriptors())
        if LONG and not thread_sanitized():
            self.assertLess(self.resident(), half * 1.2 + 4000)
        self.assertEqual(self.balancer.stderr.count(" 0 were lost"), RELOADS + 1)
        self.finish()
        self.assertNotIn("no_server", self.balancer.stderr)
        total = sum(int(n) for n in re.findall(r"of up: \w+, (\d+) requests", self.balancer.stderr))
        self.assertGreater(total, 0)


if __name__ == "__main__":
    main()
