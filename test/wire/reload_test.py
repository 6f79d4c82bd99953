"""SIGHUP: the file is read again; the pool's size follows at once under load, some keys are told to need a restart, a mistake changes nothing."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import random
import re
import resource
import signal
import socket
import threading
import time
import unittest

from support.case import WireCase, main
from support.load import Load, workers_of
from support.raw import BOUND, wait_until
from support.server import OK, stalled
from support.tplb import ENGINE, TPLB, config_text, one_listener, thread_sanitized, with_engine


class ReloadCase(WireCase):
    def start(self, *servers, args=(), preexec=None, **options):
        """tplb, and what again() needs to write its file anew."""
        self.servers, self.options = servers, options
        return self.tplb(*servers, args=args, preexec=preexec, **options)

    def write(self, text):
        """In one step, so that none but a whole file is read."""
        with open(self.balancer.path + ".new", "w") as f:
            f.write(text)
        os.replace(self.balancer.path + ".new", self.balancer.path)

    def again(self, **options):
        """The same configuration but for these, and HUP."""
        self.write(config_text(with_engine(one_listener(self.servers, **dict(self.options, **options)))))
        self.balancer.tell(signal.SIGHUP)

    def workers(self):
        return workers_of(self.balancer)

    def wait_workers(self, n):
        wait_until(lambda: self.workers() == n, lambda: "%d workers, but %d" % (n, self.workers()))


@unittest.skipUnless(ENGINE == "pool", "the async engine has no pool")
class Workers(ReloadCase):
    def resize_under_load(self, sizes, **pool):
        server = self.server()
        self.start(server, pool=dict(workers=sizes[-1], **pool), queue={"timeout": "30s"})
        self.wait_workers(sizes[-1])
        load = Load(self.balancer.address, 8)
        try:
            for n in sizes:
                before = sum(load.answers)
                self.again(pool=dict(workers=n, **pool))
                self.wait_workers(n)
                wait_until(lambda: sum(load.answers) > before or load.failures, "an answer")
        finally:
            load.stop()
        self.assertEqual(load.failures, [])
        self.assertGreater(min(load.answers), 0)
        self.wait_workers(sizes[-1])
        self.assertEqual(self.client().get().status, 200)
        self.balancer.stop()
        self.balancer.wait_line(r"info: requests %d$" % (sum(load.answers) + 1))
        self.balancer.wait_line(r"server %s of up: .*\b%d requests" % (re.escape(server.address), sum(load.answers) + 1))

    def test_up_and_down(self):
        """Not one request fails; the counts of workers that left are in the sums."""
        self.resize_under_load([32, 2, 4] * 10)

    def test_at_random(self):
        rng = random.Random(11)
        self.resize_under_load([rng.randint(1, 40) for _ in range(30)], burst=1)

    def test_advice(self):
        """On HUP and at the end: the arithmetic of what was measured since."""
        gate = threading.Event()

        def slow(connection):
            while connection.read_request():
                gate.wait(0.02)  # the service time
                connection.send(OK)

        tplb = self.start(self.server(slow), pool={"workers": 2, "burst": 1}, queue={"timeout": "0s"})
        load = Load(tplb.address, 8)
        try:
            wait_until(lambda: sum(load.answers) > 200 or load.failures, "200 answers")
            self.again(pool={"workers": 9, "burst": 1}, queue={"timeout": "0s"})
            m = tplb.wait_line(r"advice: ([\d.]+) requests/s x ([\d.]+) ms in a worker's hands = ([\d.]+) at a time")
            rate, hold, in_hand = (float(text) for text in m.groups())
            self.assertAlmostEqual(rate * hold / 1000, in_hand, delta=0.02 * in_hand)
            self.assertGreaterEqual(hold, 20)
            self.assertLess(in_hand, 2.2)
            m = tplb.wait_line(r"advice: .*pool: \{ workers = (\d+); \};")
            self.assertGreater(int(m.group(1)), 2)
            before = sum(load.answers)  # some 400 a second now; what lasts for less than one tells nothing
            wait_until(lambda: sum(load.answers) > before + 800 or load.failures, "800 answers")
        finally:
            load.stop()
        self.assertEqual(load.failures, [])
        tplb.stop()
        tplb.wait_line(r"advice: ([\d.]+) of 9 workers were busy on the average")
        bursts = int(tplb.wait_line(r"info: bursts (\d+)$").group(1))
        busy = int(tplb.wait_line(r"info: busy_ns (\d+)$").group(1))
        # One at a time; and each of the workers may be at the end of its last burst, which it counts then.
        dispatched = int(tplb.wait_line(r"info: dispatched (\d+)$").group(1))
        self.assertTrue(bursts <= dispatched <= bursts + 9, (bursts, dispatched))
        self.assertGreaterEqual(busy, sum(load.answers) * 20000000)

    def test_advice_of_a_whole_stretch(self):
        """Who watches for stuck threads looks every half second here: what the advice is of goes on."""
        tplb = self.start(self.server(), pool={"workers": 2, "burst": 1}, timeouts={"stuck": "2s"})
        load = Load(tplb.address, 4)
        began = time.monotonic()
        try:
            wait_until(lambda: (sum(load.answers) > 200 and time.monotonic() - began > 1.8) or load.failures, "200 answers, and some time")
        finally:
            load.stop()
        self.assertEqual(load.failures, [])
        tplb.stop()
        self.assertGreater(float(tplb.wait_line(r"advice: in the busiest ([\d.]+) s there were").group(1)), 1.7)

    def test_held_connections(self):
        """Of those with a connection none goes."""
        self.resize_under_load([32, 8, 16, 9, 12], hold="connection")

    def test_busy_ones_leave_later(self):
        server = self.server(stalled)
        self.start(server, pool={"workers": 6, "burst": 1})
        clients = [self.client() for _ in range(6)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(6)
        self.again(pool={"workers": 1, "burst": 1})
        self.balancer.wait_line("reload: pool.workers: 1 in place of 6")
        self.assertEqual(self.workers(), 6)
        server.gate.set()
        for client in clients:
            self.assertEqual(client.whole_response().status, 200)
        self.wait_workers(1)
        for client in clients:
            self.assertEqual(client.get().status, 200)

    def test_new_ones_work_at_once(self):
        """Those who wait for the one worker are served by the new ones, though that never comes back."""
        server = self.server(stalled)
        self.start(server, pool={"workers": 1, "burst": 1}, queue={"timeout": "0s"})
        clients = [self.client() for _ in range(4)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(1)
        self.again(pool={"workers": 4, "burst": 1}, queue={"timeout": "0s"})
        server.wait_requests(4)
        server.gate.set()
        for client in clients:
            self.assertEqual(client.whole_response().status, 200)

    def test_command_line_wins(self):
        self.start(self.server(), pool={"workers": 5}, args=("-w", "3"))
        self.wait_workers(3)
        self.again(pool={"workers": 9})
        self.balancer.wait_line(r"pool\.workers: -w 3 on the command line wins over 9 in ")
        self.balancer.wait_line("reload: nothing has changed")
        self.assertEqual(self.workers(), 3)

    def test_no_more_threads(self):
        """What was reached stays and works, it is said what to raise, and the next reload tries again."""
        with open(TPLB, "rb") as f:
            if b"libasan" in f.read() or thread_sanitized():
                self.skipTest("a sanitizer needs more addresses than a limit may leave")
        tplb = self.start(self.server(), pool={"workers": 2})
        self.wait_workers(2)
        with open("/proc/%d/statm" % tplb.pid) as f:
            size = int(f.read().split()[0]) * resource.getpagesize()
        old = resource.prlimit(tplb.pid, resource.RLIMIT_AS, (size + 4000000, resource.RLIM_INFINITY))
        self.again(pool={"workers": 100})
        m = tplb.wait_line(r"error: reload: pool\.workers: no more than (\d+) of 100 threads .*ulimit -u.*TasksMax")
        reached = int(m.group(1))
        self.assertTrue(2 < reached < 100, reached)
        self.wait_workers(reached)
        resource.prlimit(tplb.pid, resource.RLIMIT_AS, old)  # a request needs memory, too
        self.assertEqual(self.client().get().status, 200)
        self.again(pool={"workers": 100})
        tplb.wait_line("reload: pool.workers: 100 in place of %d" % reached)
        self.wait_workers(100)
        self.again(pool={"workers": 1})
        self.wait_workers(1)
        self.assertEqual(self.client().get().status, 200)

    def test_descriptors_for_more(self):
        """Where they are short, it is said when more workers need more of them; once."""
        many = {"connections": 1048576}
        tplb = self.start(
            self.server(),
            pool={"workers": 2},
            limits=many,
            preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (9000, 9000)),
        )
        if "for want of descriptors" not in tplb.stderr:
            self.skipTest("the system grants whatever one asks for")
        self.again(pool={"workers": 100}, limits=many)
        tplb.wait_line("reload: pool.workers: 100 in place of 2")
        m = tplb.wait_line(r"warning: the system allows (\d+) descriptors where (\d+) may be needed now .*LimitNOFILE=")
        self.assertGreater(int(m.group(2)), int(m.group(1)))
        self.again(pool={"workers": 5}, limits=many)
        tplb.wait_line("reload: pool.workers: 5 in place of 100")
        self.again(pool={"workers": 5}, limits=many)
        tplb.wait_line("reload: nothing has changed")
        self.assertEqual(tplb.stderr.count("may be needed now"), 1)
        self.assertEqual(self.client().get().status, 200)

    def test_stop_amid_a_resize(self):
        """Workers that are to leave and still hold a request are no hindrance to a drain."""
        server = self.server(stalled)
        tplb = self.start(server, pool={"workers": 6, "burst": 1})
        clients = [self.client() for _ in range(6)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(6)
        self.again(pool={"workers": 2, "burst": 1})
        tplb.wait_line("pool.workers: 2 in place of 6")
        tplb.tell(signal.SIGTERM)
        tplb.wait_line("draining")
        server.gate.set()
        for client in clients:
            self.assertEqual(client.whole_response().status, 200)
        self.assertEqual(tplb.wait(), 0)


class Reload(ReloadCase):
    def test_a_mistake_changes_nothing(self):
        tplb = self.start(self.server(), pool={"workers": 3})
        with open(tplb.path) as f:
            good = f.read()
        lines = good.count("\n")
        self.write(good + "timeouts: {\n  client = 7;\n};\nlimits: { header_siz = 1; };\n")
        tplb.tell(signal.SIGHUP)
        path = re.escape(tplb.path)
        tplb.wait_line(r"error: reload: %s:%d: timeouts\.client: must be a duration" % (path, lines + 2))
        tplb.wait_line(r"error: reload: %s:%d: limits\.header_siz: unknown key, did you mean `header_size`\?" % (path, lines + 4))
        tplb.wait_line("error: reload: %s is not taken in: the configuration that runs goes on" % path)
        self.assertEqual(self.client().get().status, 200)
        self.write("this is = not\n")
        tplb.tell(signal.SIGHUP)
        tplb.wait_line("not taken in", 2)
        os.unlink(tplb.path)
        tplb.tell(signal.SIGHUP)
        tplb.wait_line("not taken in", 3)
        self.write(good)
        tplb.tell(signal.SIGHUP)
        tplb.wait_line("reload: nothing has changed")
        self.assertEqual(self.client().get().status, 200)

    def test_a_pipe_and_names(self):
        """Neither a pipe that nobody writes to nor a name server that says nothing hold up who reads the signals."""
        self.start(self.server())
        tplb = self.balancer
        with open(tplb.path) as f:
            text = f.read()
        os.unlink(tplb.path)
        os.mkfifo(tplb.path)
        tplb.tell(signal.SIGHUP)
        tplb.wait_line("it is a pipe or a socket, not a file")
        os.unlink(tplb.path)
        mute = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        mute.bind(("127.0.0.1", 0))
        mute.settimeout(BOUND)
        text = re.sub(r'address = "[^"]*"', 'address = "no-such-host.invalid:80"', text)
        text = text.replace('name = "up"', 'name = "up"; nameserver = "127.0.0.1:%d"' % mute.getsockname()[1])
        self.write(text)
        tplb.tell(signal.SIGHUP)
        self.assertIn(b"no-such-host", mute.recv(2000))  # it waits now
        self.assertEqual(self.client().get().status, 200)
        for client in self._clients:
            client.close()
        tplb.tell(signal.SIGTERM)
        self.assertEqual(tplb.wait(), 0)
        self.assertIn("stopped", tplb.stderr)

    def test_keys_that_need_a_restart(self):
        """All in one line, by name; at every reload until then, since they differ from what runs. What can be taken in is."""
        first, second = self.server(), self.server()
        tplb = self.start(first, second, queue={"size": 50})
        changed = {
            "queue": {"size": 60},
            "timeouts": {"client": "31s"},
            "limits": {"connections": 99},
            "upstream": {"balance": "leastconn"},
        }
        self.servers = (first, {"address": second.address, "weight": 2})
        self.again(**changed)
        tplb.wait_line(r"warning: reload: a restart is needed to take in queue\.size, limits\.connections$")
        tplb.wait_line(r'reload: timeouts\.client: "31s" in place of "30s"$')
        tplb.wait_line(r'reload: upstreams\[up\]\.balance: "leastconn" in place of "roundrobin"$')
        tplb.wait_line(r"reload: upstreams\[up\]\.servers\[%s\]\.weight: 2 in place of 1$" % re.escape(second.address))
        self.servers = (first,)
        self.again(**changed)
        tplb.wait_line(r"reload: upstreams\[up\]\.servers\[%s\] is gone$" % re.escape(second.address))
        tplb.wait_line(r"warning: reload: a restart is needed to take in queue\.size, limits\.connections$", 2)
        del changed["queue"], changed["limits"]
        self.again(**dict(changed, queue={"size": 50}))
        tplb.wait_line("reload: nothing has changed")

    def test_many_keys(self):
        """Those for which the answer has no room are counted."""
        servers = [self.server() for _ in range(60)]
        tplb = self.start(*servers)
        self.servers = tuple({"address": s.address, "weight": 3, "max_connections": 5, "backup": i > 0, "state": "drain"} for i, s in enumerate(servers))
        self.again()
        tplb.wait_line(r"reload: and (\d+) more differences$")
        self.assertEqual(len(re.findall(r"reload: upstreams\[up\]\.servers", tplb.stderr)), 200)

    @unittest.skipUnless(ENGINE != "pool", "of the async engine")
    def test_async_has_no_workers(self):
        tplb = self.start(self.server())
        with open(tplb.path, "a") as f:
            f.write("pool: { workers = 7; };\n")
        tplb.tell(signal.SIGHUP)
        tplb.wait_line("reload: pool.workers: the async engine has no use for it")
        self.assertEqual(self.client().get().status, 200)


if __name__ == "__main__":
    main(at_once=True)
