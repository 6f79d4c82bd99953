"""/metrics: its figures are what was sent, over reloads as well; its form is what Prometheus reads."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

from support.case import WireCase, main
from support.load import Load
from support.metrics import Metrics, check_onward
from support.raw import BOUND, Client, SlowReader, wait_until
from support.server import answer, by_target, stalled, unconnectable
from support.tplb import ENGINE, config_text, with_engine

WEB = {"bind": "127.0.0.1:0"}


class MetricsCase(WireCase):
    def start(self, *servers, **options):
        self.tplb(*(servers or (self.server(),)), admin=dict(WEB, **options.pop("admin", {})), **options)
        self.web = self.balancer.wait_line(r"pages are served at (\S+)").group(1)
        self.scraper = self.client(self.web)
        return self.balancer

    def text(self):
        got = self.scraper.get(b"/metrics", b"localhost")
        self.assertEqual(got.status, 200)
        return got.body.decode()

    def look(self):
        metrics = Metrics(self.text())
        metrics.check_histograms()
        return metrics

    def wait(self, condition, what="the figures"):
        """Looks until the condition holds: an exchange is counted once its client has the answer."""
        seen = []

        def holds():
            seen[:] = [self.look()]
            return condition(seen[0])

        wait_until(holds, lambda: what + " in\n" + "\n".join("%s %s %s" % (n, dict(l), v) for (n, l), v in seen[0].samples.items() if v))
        return seen[0]


class Figures(MetricsCase):
    def ask_all(self, client):
        """(bytes sent, bytes that came): 20 that are well, 3 not found, 2 broken down, 1 with a body, of which all goes in one piece."""
        sent = got = 0
        for target, status in [(b"/", 200)] * 20 + [(b"/none", 404)] * 3 + [(b"/down", 500)] * 2:
            request = b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n"
            client.send(request)
            response = client.whole_response()
            self.assertEqual(response.status, status)
            sent, got = sent + len(request), got + len(response.raw)
        request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
        client.send(request)
        return sent + len(request), got + len(client.whole_response().raw)

    def test_counts(self):
        answers = {b"/none": answer(status=b"404 Not Found"), b"/down": answer(status=b"500 Internal Server Error")}
        server = self.server(by_target(answers))
        self.start(server)
        sent, got = self.ask_all(self.client())
        bad = self.client()
        bad.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
        response = bad.whole_response()
        got += len(response.raw)
        self.assertEqual(response.status, 400)
        m = self.wait(lambda m: m.sum("tplb_listener_requests_total") == 27 and m.get("tplb_sent_bytes_total") == got)
        at = {"upstream": "up", "server": server.address}
        for name, labels, value in (
            ("tplb_requests_total", {}, 27),
            ("tplb_requests_ended_total", {"outcome": "answered"}, 26),
            ("tplb_requests_ended_total", {"outcome": "refused"}, 1),
            ("tplb_requests_ended_total", {"outcome": "failed"}, 0),
            ("tplb_responses_total", {"code": "2xx"}, 21),
            ("tplb_responses_total", {"code": "4xx"}, 4),
            ("tplb_responses_total", {"code": "5xx"}, 2),
            ("tplb_refusals_total", {"reason": "malformed"}, 1),
            ("tplb_connections_accepted_total", {}, 2),
            ("tplb_connections_reused_total", {}, 25),
            ("tplb_sent_bytes_total", {}, got),
            ("tplb_received_bytes_total", {}, sent),
            ("tplb_listener_requests_total", {"listener": "web", "outcome": "answered"}, 26),
            ("tplb_listener_requests_total", {"listener": "web", "outcome": "refused"}, 1),
            ("tplb_listener_responses_total", {"listener": "web", "code": "4xx"}, 4),
            ("tplb_listener_sent_bytes_total", {"listener": "web"}, got),
            ("tplb_listener_received_bytes_total", {"listener": "web"}, sent),
            ("tplb_listener_connections_accepted_total", {"listener": "web"}, 2),
            ("tplb_listener_request_duration_seconds_count", {"listener": "web"}, 27),
            ("tplb_upstream_requests_total", {"upstream": "up"}, 26),
            ("tplb_server_requests_total", at, 26),
            ("tplb_server_failures_total", at, 0),
            ("tplb_server_responses_total", dict(at, code="2xx"), 21),
            ("tplb_server_responses_total", dict(at, code="4xx"), 3),
            ("tplb_server_responses_total", dict(at, code="5xx"), 2),
            ("tplb_server_connects_total", at, 1),
            ("tplb_server_connections_reused_total", at, 25),
            ("tplb_server_sent_bytes_total", at, sent),
            ("tplb_server_received_bytes_total", at, sum(len(a) for a in [answer()] * 21 + [answers[b"/none"]] * 3 + [answers[b"/down"]] * 2)),
            ("tplb_server_response_seconds_count", at, 26),
            ("tplb_server_connect_seconds_count", at, 1),
            ("tplb_service_seconds_count", {}, 27),
            ("tplb_server_up", at, 1),
            ("tplb_server_weight", at, 1),
            ("tplb_queue_depth", {}, 0),
            ("tplb_draining", {}, 0),
        ):
            self.assertEqual(m.get(name, **labels), value, (name, labels))
        # A loop goes on with what has come by the end of a request: not all of them pass the queue.
        self.assertGreater(m.get("tplb_queue_wait_seconds_count"), 0)
        self.assertEqual(m.get("tplb_queue_wait_seconds_count"), m.get("tplb_dispatched_total"))
        self.assertEqual(m.sum("tplb_listener_info", listener="web", mode="http", upstream="up"), 1)
        self.assertEqual(m.get("tplb_workers") > 0, ENGINE == "pool")

    def test_time(self):
        """A slow answer is seen where it is slow: at the server, not in the queue or the connect."""
        server = self.server(stalled)
        self.start(server)
        client = self.client()
        asked = time.monotonic()
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        threading.Timer(0.3 + time.monotonic() - asked, server.gate.set).start()  # longer than all before
        client.whole_response()
        m = self.wait(lambda m: m.sum("tplb_listener_request_duration_seconds_count") == 1)
        slow = ("tplb_server_response_seconds", "tplb_listener_request_duration_seconds", "tplb_listener_service_seconds", "tplb_service_seconds")
        for name in slow:
            self.assertEqual(m.sum(name + "_bucket", le="0.1"), 0, name)
            self.assertGreaterEqual(m.sum(name + "_sum"), 0.25, name)
        self.assertLess(m.sum("tplb_server_connect_seconds_sum"), m.sum("tplb_server_response_seconds_sum"))
        self.assertEqual(m.get("tplb_listener_queue_wait_seconds_count", listener="web"), 1)
        self.assertLess(m.sum("tplb_listener_queue_wait_seconds_sum"), m.sum("tplb_listener_service_seconds_sum"))

    def test_tunnels(self):
        """Open ones are a gauge; how long they live says nothing about requests."""

        def echo(connection):
            while connection.more():
                connection.send(connection.take(len(connection.buf)))

        server = self.server(echo)
        self.start(server, mode="tcp")
        clients = [self.client() for _ in range(3)]
        for client in clients:
            client.send(b"abc")
            self.assertEqual(client.read_exactly(3), b"abc")
        m = self.look()
        self.assertEqual((m.get("tplb_tunnels"), m.get("tplb_listener_tunnels", listener="web")), (3, 3))
        self.assertEqual(m.get("tplb_listener_connections", listener="web"), 3)
        for client in clients:
            client.close()
        m = self.wait(lambda m: m.get("tplb_tunnels") == 0)
        self.assertEqual(m.get("tplb_tunnels_opened_total"), 3)
        self.assertEqual(m.get("tplb_listener_sent_bytes_total", listener="web"), 9)
        self.assertEqual(m.get("tplb_server_received_bytes_total", upstream="up", server=server.address), 9)
        self.assertEqual(m.sum("tplb_listener_request_duration_seconds_count"), 0)
        self.assertEqual(m.sum("tplb_listener_requests_total"), 0)

    def test_failures(self):
        held, address = unconnectable()
        self.keep(held)
        self.start(address, upstream={"passive": {"max_fails": 1, "fail_timeout": "60s"}})
        client = self.client()
        for _ in range(2):
            self.assertEqual(client.get().status, 503)
        m = self.wait(lambda m: m.sum("tplb_listener_requests_total", outcome="refused") == 2)
        at = {"upstream": "up", "server": address}
        self.assertEqual(m.get("tplb_server_connect_failures_total", **at), m.get("tplb_connects_total", result="failed"))
        self.assertGreaterEqual(m.get("tplb_server_failures_total", **at), 1)
        self.assertEqual(m.sum("tplb_upstream_refusals_total", upstream="up"), 2)
        self.assertEqual((m.get("tplb_server_up", **at), m.get("tplb_server_downs_total", **at)), (0, 1))
        self.assertEqual({dict(l)["state"] for l, v in m.all("tplb_server_state", **at).items() if v}, {"down"})
        self.assertEqual(m.get("tplb_upstream_servers", upstream="up", state="down"), 1)
        self.assertEqual(m.get("tplb_server_response_seconds_count", **at), 0)

    def test_waiting_for_a_server(self):
        server = self.server(stalled)
        self.start({"address": server.address, "max_connections": 1}, queue={"timeout": "0s"})
        clients = [self.client() for _ in range(3)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        oldest = "tplb_upstream_waiting_oldest_seconds"
        m = self.wait(lambda m: m.get("tplb_upstream_waiting", upstream="up") == 2 and m.get(oldest, upstream="up") > 0)
        at = {"upstream": "up", "server": server.address}
        self.assertEqual((m.get("tplb_server_requests_active", **at), m.get("tplb_server_requests_limit", **at)), (1, 1))
        server.gate.set()
        for client in clients:
            client.whole_response()
        m = self.wait(lambda m: m.sum("tplb_service_seconds_count") == 3)
        self.assertEqual(m.get("tplb_upstream_wait_seconds_count", upstream="up"), 2)
        self.assertEqual((m.get("tplb_shelved_total"), m.get("tplb_upstream_waiting", upstream="up")), (2, 0))

    def test_queue(self):
        server = self.server(stalled)
        self.start(server, pool={"workers": 1, "burst": 1}, queue={"timeout": "0s", "size": 77})
        clients = [self.client() for _ in range(4)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        m = self.wait(
            lambda m: m.get("tplb_queue_depth") == 3
            and m.get("tplb_connections_in_hand") == 1
            and m.get("tplb_queue_oldest_seconds") > 0
        )
        self.assertEqual(m.get("tplb_queue_limit"), 77)
        if ENGINE == "pool":
            self.assertEqual((m.get("tplb_workers"), m.get("tplb_workers_busy"), m.sum("tplb_workers_doing")), (1, 1, 1))
            oldest = m.get("tplb_queue_oldest_seconds")
            server.gate.set()
            for client in clients:
                client.whole_response()
            m = self.wait(lambda m: m.get("tplb_listener_queue_wait_seconds_count", listener="web") == 4)
            self.assertGreaterEqual(m.get("tplb_listener_queue_wait_seconds_sum", listener="web"), oldest)

    def test_probes(self):
        self.start(self.server(), upstream={"health": {"type": "http", "interval": "50ms", "timeout": "5s"}})
        m = self.wait(lambda m: m.sum("tplb_server_probes_total") >= 3)
        self.assertEqual((m.sum("tplb_server_probes_failed_total"), m.get("tplb_probes_failed_total")), (0, 0))

    def test_process(self):
        tplb = self.start()
        m = self.look()
        self.assertGreater(m.get("process_cpu_seconds_total"), 0)
        self.assertGreater(m.get("process_resident_memory_bytes"), 1 << 20)
        self.assertLess(abs(m.get("process_open_fds") - tplb.descriptors()), 3)
        self.assertGreater(m.get("process_max_fds"), 100)
        self.assertLess(abs(m.get("process_start_time_seconds") - os.stat(tplb.path).st_mtime), 2 * BOUND)

    @unittest.skipUnless(os.geteuid() == 0, "only root can become others")
    def test_process_that_is_locked_in(self):
        place = self.directory()
        os.chmod(place, 0o755)
        # LeakSanitizer looks into /proc, which is out of sight there.
        env = {"ASAN_OPTIONS": "detect_leaks=0:" + os.environ.get("ASAN_OPTIONS", "")}
        self.start(user="nobody", chroot=place, env=env)
        m = self.look()
        self.assertGreater(m.get("process_resident_memory_bytes"), 1 << 20)
        self.assertGreater(m.get("process_open_fds"), 5)


class Form(MetricsCase):
    @unittest.skipUnless(shutil.which("promtool"), "promtool is missing: Debian's package prometheus")
    def test_promtool(self):
        self.start(self.server(), self.server())
        self.assertEqual(self.client().get().status, 200)
        done = subprocess.run(["promtool", "check", "metrics"], input=self.text().encode(), capture_output=True, timeout=2 * BOUND)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))

    def test_names(self):
        """Whatever listeners and upstreams are called."""
        server, name = self.server(), 'a "b" \\ c\u00e9'
        config = {
            "listeners": [{"name": name, "bind": "127.0.0.1:0", "upstream": name}],
            "upstreams": [{"name": name, "servers": [{"address": server.address}]}],
            "admin": WEB,
        }
        self.start(config=config)
        m = self.look()
        self.assertEqual(m.sum("tplb_listener_info", listener=name, upstream=name), 1)
        self.assertEqual(m.get("tplb_server_up", upstream=name, server=server.address), 1)

    def test_a_server_that_is_there_twice(self):
        """Each has figures of its own: two samples of one name and labels are none that Prometheus would take."""
        server, other = self.server(), self.server()
        self.start(server, other, server, server, upstream={"health": {"type": "http", "path": "/probe", "interval": "100ms"}})
        client = self.client()
        for _ in range(8):
            self.assertEqual(client.get().status, 200)
        m = self.wait(lambda m: m.sum("tplb_server_requests_total") == 8)
        names = [other.address, server.address, server.address + "#2", server.address + "#3"]
        self.assertEqual([m.get("tplb_server_requests_total", upstream="up", server=name) for name in names], [2] * 4)
        self.wait(lambda m: all(m.get("tplb_server_probes_total", upstream="up", server=name) for name in names))
        self.assertEqual({r.get("host") for r in server.requests if r.target == b"/probe"}, {server.address.encode()})

    def test_many_and_slow_readers(self):
        """A page that is large: who does not take it holds up neither others who look nor requests."""
        server = self.server()
        rows = [{"address": "127.0.0.1:%d" % port, "weight": 1} for port in range(20001, 20151)]
        self.start({"address": server.address, "weight": 256}, *rows, upstream={"passive": {"max_fails": 0}})
        self.assertGreater(len(self.text()), 500000)
        slow = [SlowReader(self.web) for _ in range(5)]
        self._clients += slow
        for client in slow:
            client.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
        for _ in range(3):
            self.assertEqual(self.client().get().status, 200)
            self.assertEqual(len(self.look().all("tplb_server_up")), 151)


class Reload(MetricsCase):
    def config(self, servers, **more):
        return dict(
            {
                "listeners": [{"name": "web", "bind": "127.0.0.1:0", "upstream": "up"}],
                "upstreams": [{"name": "up", "servers": [{"address": s.address} for s in servers]}],
                "admin": WEB,
                "queue": {"timeout": "30s"},
            },
            **more,
        )

    def again(self, config, count):
        with open(self.balancer.path + ".new", "w") as f:
            f.write(config_text(with_engine(config)))
        os.replace(self.balancer.path + ".new", self.balancer.path)
        self.balancer.tell(signal.SIGHUP)
        self.balancer.wait_line("reload: done", count)

    def test_under_load(self):
        """Nothing goes back, and in the end all is there: what stays keeps its counts, what leaves may take them with it."""
        stays, comes = self.server(), self.server()
        self.start(config=self.config([stays]))
        load = Load(self.balancer.address, 4)
        before = self.look()
        for n in range(1, 7):
            self.again(self.config([stays, comes] if n % 2 else [stays], timeouts={"client": "%ds" % (20 + n)}), n)
            now = self.look()
            check_onward(before, now)
            before = now
        load.stop()
        self.assertEqual(load.failures, [])
        total = sum(load.answers)
        m = self.wait(lambda m: m.get("tplb_listener_requests_total", listener="web", outcome="answered") == total)
        check_onward(before, m)
        self.balancer.wait_line("the configuration before is over", 6)
        m = self.wait(lambda m: m.get("tplb_old_configurations") == 0)
        self.assertEqual(m.get("tplb_listener_requests_total", listener="web", outcome="answered"), total)
        self.assertEqual(m.get("tplb_upstream_requests_total", upstream="up"), total)
        self.assertEqual(m.get("tplb_listener_request_duration_seconds_count", listener="web"), total)
        self.assertEqual(m.get("tplb_server_requests_total", upstream="up", server=stays.address), len(stays.requests))
        self.assertIsNone(m.get("tplb_server_requests_total", upstream="up", server=comes.address))
        self.assertEqual((m.get("tplb_reloads_total", result="done"), m.get("tplb_last_reload_successful")), (6, 1))

    def test_a_bad_one(self):
        self.start(config=self.config([self.server()]))
        started = self.look().get("tplb_last_reload_success_timestamp_seconds")
        with open(self.balancer.path, "a") as f:
            f.write("nonsense = 1;\n")
        self.balancer.tell(signal.SIGHUP)
        self.balancer.wait_line("is not taken in")
        m = self.wait(lambda m: m.get("tplb_reloads_total", result="failed") == 1)
        self.assertEqual((m.get("tplb_last_reload_successful"), m.get("tplb_last_reload_success_timestamp_seconds")), (0, started))


if __name__ == "__main__":
    main(at_once=True)
