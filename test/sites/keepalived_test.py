"""Two nodes that share an address by keepalived, by the samples two-nodes.conf and keepalived.conf. One of them goes, in each way there is."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import signal
import time
import unittest

from support import lan, tools
from support.raw import BOUND
from support.server import Server, answer, each
from support.sites import LONG, Load, SiteCase, main, sample
from support.tplb import CTL, sanitized

SHARED, FIRST, SECOND = "10.0.0.1", "10.0.0.2", "10.0.0.3"
SERVERS = ["10.0.0.11", "10.0.0.12"]
WEB = SHARED + ":80"
KINDS = {
    "GET": lambda n: b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n,
    "POST": lambda n: b"POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi" % n,
}
CLIENTS, ENOUGH = 8, 100
PATIENCE = 0.5  # a client's, for an answer or a connection, while one goes; in between a machine that is busy elsewhere is no failure
PAUSE = 0.01
ROUNDS = 5 if LONG else 1
# Up to a second until keepalived asks, up to another for an answer that does not come, a second until a silent node is taken for gone, the client's
# own patience; and this machine's other work.
LONGEST_GAP = 3.0
LONGEST_HANG = 4.0
PREEMPTS_WITHIN = 1.5  # more than three times advert_int, and what the priority adds


class Node:
    """tplb and keepalived on a host."""

    def __init__(self, test, name, number):
        self.test, self.name, self.host = test, name, test.hosts[name]
        own, other = (FIRST, SECOND) if number == 1 else (SECOND, FIRST)
        self.replace = [("unicast_src_ip " + FIRST, "unicast_src_ip " + own), ("\n        %s\n" % SECOND, "\n        %s\n" % other)]
        self.replace += [("priority 150", "priority 100")] if number == 2 else []
        self.keepalived = self.balancer = None

    def start_tplb(self):
        text = sample("two-nodes.conf", [("/run/tplb/tplb.sock", self.socket())])
        self.balancer = self.test.tplb_at(self.name, text)

    def socket(self):
        return os.path.join(self.test.folder, self.name + ".sock")

    def start_keepalived(self):
        folder = self.test.directory()
        # The security of scripts asks for paths that are root's alone, which those of a build need not be.
        here = [("/usr/bin/tplbctl", "%s -s %s" % (CTL, self.socket())), ("    enable_script_security\n", "")]
        path = self.test.write(folder, "keepalived.conf", sample("sites/keepalived.conf", self.replace + here))
        pids = ["-p", folder + "/pid", "-r", folder + "/vrrp.pid", "-c", folder + "/checkers.pid"]
        self.keepalived = self.test.daemon(self.name, ["keepalived", "-n", "-l", "-P", "-f", path, *pids])

    def boot(self):
        """With its own address and no other."""
        self.host.ip("address flush dev eth0", "link set eth0 up", "address add %s/%d dev eth0" % (self.host.addresses[0], lan.BITS))
        self.start_tplb()
        self.start_keepalived()

    def backups(self):
        return self.keepalived.stderr.count("Entering BACKUP STATE")

    def wait_waits(self, count):
        """It has entered the state BACKUP so often: its tplb serves, and it does not have the address."""
        self.keepalived.wait_line("Entering BACKUP STATE", count)

    def is_cut(self):
        """Without power: nothing of it runs any more, and nothing is on its wire."""
        self.host.ip("link set eth0 down")
        self.keepalived.kill()
        self.balancer.kill()


@unittest.skipUnless(*tools.missing("keepalived"))
@unittest.skipUnless(lan.has_users(), "keepalived asks to be root")
@unittest.skipIf(sanitized(), "it is about seconds, which sanitizers stretch")
class TwoNodes(SiteCase):
    HOSTS = {"client": ["10.0.0.100"], "first": [FIRST], "second": [SECOND], "servers": SERVERS}

    def setUp(self):
        super().setUp()
        self.folder = self.directory()
        for address in SERVERS:
            script = each(answer(address.encode()))
            self._servers.append(self.hosts["servers"].there(lambda: Server(script, address=address + ":80")))
        self.first, self.second = Node(self, "first", 1), Node(self, "second", 2)
        self.first.boot()
        self.first.host.wait_has(SHARED)
        self.second.boot()
        self.second.wait_waits(1)
        self.load = Load(WEB, CLIENTS, KINDS, BOUND, PAUSE)
        self.addCleanup(self.load.stop)
        self.load.wait_more(ENOUGH)
        self.gaps = []

    def tearDown(self):
        self.load.stop()
        for node in (self.first, self.second):
            node.keepalived.stop()
        super().tearDown()

    def goes(self, how, active, waiting, longest=LONGEST_GAP):
        """One of them goes while clients ask: the other has the address soon, and fails no request."""
        self.load.patience = PATIENCE
        self.load.wait_everyone()
        self.assertEqual(self.load.failures()[self.known :], [], "failures before")
        since = time.monotonic()
        how(active)
        waiting.host.wait_has(SHARED)
        self.load.wait_everyone()
        self.load.patience = BOUND
        self.gaps.append(self.load.longest_gap(since, time.monotonic()))
        self.assertLess(self.gaps[-1], longest)
        self.load.wait_everyone()
        self.known = len(self.load.failures())

    known = 0  # failures that are accounted for

    def comes_back_and_waits(self, node, how):
        keepalived = node.keepalived
        waits = node.backups()
        how()
        node.wait_waits(waits + 1 if node.keepalived is keepalived else 1)
        if LONG:  # long enough that it would have taken the address by now
            end = time.monotonic() + PREEMPTS_WITHIN
            while time.monotonic() < end:
                self.load.wait_everyone()
        self.assertFalse(node.host.has(SHARED))

    def told(self, what):
        print("%s: longest time without an answer %s s" % (what, " ".join("%.2f" % gap for gap in self.gaps)))

    def test_one_goes(self):
        """tplb is killed; it comes back and waits; then the other node loses its power. Sessions stay with their servers."""
        client = self.client(WEB)
        got = client.get()
        cookie, server = got.get("Set-Cookie").split(b";")[0], got.body
        for n in range(ROUNDS):
            self.goes(lambda node: node.balancer.kill(), self.first, self.second)
            self.comes_back_and_waits(self.first, self.first.start_tplb)
            self.goes(Node.is_cut, self.second, self.first)
            if n + 1 < ROUNDS:
                self.comes_back_and_waits(self.second, self.second.boot)
            client = self.client(WEB)
            for _ in range(4):
                got = client.get(extra=b"Cookie: " + cookie + b"\r\n")
                self.assertEqual((got.status, got.body, got.all("Set-Cookie")), (200, server, []))
        self.told("kill -9 of tplb and a power cut, in turn")

    @unittest.skipUnless(LONG, "in the long form")
    def test_one_hangs(self):
        """tplb is there and does nothing; once it goes on it is no longer asked."""
        for active, waiting in ((self.first, self.second), (self.second, self.first)):
            self.goes(lambda node: node.balancer.tell(signal.SIGSTOP), active, waiting, LONGEST_HANG)
            self.comes_back_and_waits(active, lambda: active.balancer.tell(signal.SIGCONT))
        self.told("tplb hangs")

    @unittest.skipUnless(LONG, "in the long form")
    def test_one_drains(self):
        """tplb is told to stop: it takes no new connections, so it must not keep the address for as long as it drains."""
        held = self.client(WEB)
        for active, waiting in ((self.first, self.second), (self.second, self.first)):
            held = self.client(WEB).send(b"POST /held HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n")  # this is what it waits for
            self.goes(lambda node: node.balancer.tell(signal.SIGTERM), active, waiting)
            held.close()
            active.balancer.kill()
            self.comes_back_and_waits(active, active.start_tplb)
        self.told("tplb drains")

    @unittest.skipUnless(LONG, "in the long form")
    def test_the_address_is_moved_by_hand(self):
        """By the end of keepalived, before the node is worked on: that is told to the other one, and faster than a fault is found."""
        for active, waiting in ((self.first, self.second), (self.second, self.first)):
            self.goes(lambda node: node.keepalived.stop(), active, waiting)
            active.start_keepalived()
            active.wait_waits(1)
        self.told("keepalived is stopped")
        self.assertLess(max(self.gaps), 2)


if __name__ == "__main__":
    main()
