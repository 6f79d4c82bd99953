"""What the board tells of the threads that serve: `show workers`, and its sums in `show pool`."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import unittest

from support.case import main
from support.ctl import CtlCase
from support.raw import wait_until
from support.server import silent_to_connects, stalled
from support.tplb import ENGINE

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class Board(CtlCase):
    def rows(self):
        return {row["worker"]: row for row in self.json("show", "workers")}

    def wait_row(self, what, worker=None):
        """Waits for a row with these values, and gives it."""
        found = []

        def look():
            rows = [row for row in self.rows().values() if worker in (None, row["worker"])]
            found[:] = [row for row in rows if all(row[name] == value for name, value in what.items())]
            return found

        wait_until(look, lambda: "%s among %s" % (what, list(self.rows().values())))
        return found[0]

    def test_names(self):
        """A row a thread, by the name that the kernel knows."""
        tplb = self.start(pool={"workers": 3})
        names = set()
        for task in os.listdir("/proc/%d/task" % tplb.pid):
            with open("/proc/%d/task/%s/comm" % (tplb.pid, task)) as f:
                names.add(f.read().strip())
        rows = self.rows()
        self.assertLessEqual({"tplb-" + name for name in rows}, names)
        kinds = {name: row["kind"] for name, row in rows.items()}
        if ENGINE == "pool":
            self.assertEqual(kinds.get("accept"), "acceptor")
            self.assertEqual({n for n, kind in kinds.items() if kind == "worker"}, {"0", "1", "2"})
        else:
            self.assertEqual(kinds, {"loop0": "loop"})
        for row in rows.values():
            self.assertIn(row["doing"], ("idle", "turn"))
            self.assertEqual((row["in_hand"], row["server"], row["fd"]), (0, None, None))

    def test_text(self):
        self.start(pool={"workers": 2})
        lines = self.good("show", "workers")
        self.assertEqual(lines[0], "worker doing asleep age_us in_hand server fd stuck taken")
        self.assertEqual({line.split()[0] for line in lines[1:]}, set(self.rows()))

    def test_waits_for_a_server(self):
        server = self.server(stalled)
        self.start(server, pool={"workers": 2})
        client = self.client()
        client.send(GET)
        name = "up/" + server.address
        if ENGINE == "pool":
            row = self.wait_row({"doing": "wait", "asleep": True, "server": name, "in_hand": 1})
            self.assertGreaterEqual(row["fd"], 0)
            wait_until(lambda: self.rows()[row["worker"]]["age_us"] > 20000, "it gets older")
            pool = self.json("show", "pool")
            self.assertEqual((pool["threads"], pool["in_hand"], pool["asleep"]), (2 + pool["loops"], 1, 1))
        else:  # the fiber waits, the loop does not
            row = self.wait_row({"doing": "idle", "in_hand": 1, "server": None})
        server.gate.set()
        self.assertEqual(client.response().status, 200)
        row = self.wait_row({"in_hand": 0, "doing": "idle"}, worker=row["worker"])
        self.assertGreaterEqual(row["taken"], 1)
        self.assertEqual((row["server"], row["fd"]), (None, None))
        self.assertEqual((row["busy_us"] or 0) > 0, ENGINE == "pool")

    def test_several_in_hand(self):
        """A worker with a burst waits for all of its servers at once."""
        server = self.server(stalled)
        self.start(server, pool={"workers": 1, "burst": 4})
        clients = [self.client() for _ in range(4)]
        for client in clients:
            client.send(GET)
        if ENGINE != "pool":
            clients = clients[:1]  # one fiber
        wait_until(lambda: sum(row["in_hand"] for row in self.rows().values()) >= 1, "some in hand")
        server.gate.set()
        for client in clients:
            self.assertEqual(client.response().status, 200)
        wait_until(lambda: sum(row["in_hand"] for row in self.rows().values()) == 0, "none in hand")

    def test_connects(self):
        """A server that does not accept: the step is named, and its server."""
        holders, address = silent_to_connects()
        for holder in holders:
            self.keep(holder)
        self.start(address, pool={"workers": 1}, timeouts={"connect": "20s", "drain": "100ms"})
        client = self.client()
        client.send(GET)
        if ENGINE == "pool":
            self.wait_row({"doing": "connect", "asleep": True, "server": "up/" + address, "in_hand": 1})
        else:
            self.wait_row({"doing": "idle", "in_hand": 1})

    @unittest.skipIf(ENGINE != "pool", "a worker holds connections in the pool engine only")
    def test_holds(self):
        self.start(pool={"workers": 1, "hold": "connection"})
        client = self.client()
        self.assertEqual(client.get().status, 200)
        row = self.wait_row({"doing": "hold", "asleep": True, "in_hand": 1, "server": None})
        self.assertGreaterEqual(row["fd"], 0)

    @unittest.skipIf(ENGINE != "pool", "the number of loops is fixed")
    def test_leave(self):
        """A thread that has left has no row; one that comes in its place has one, and its counts go on."""
        self.start(pool={"workers": 4})
        for _ in range(8):
            self.assertEqual(self.client().get().status, 200)
        taken = sum(row["taken"] for row in self.rows().values())
        self.assertEqual(taken, 8)
        self.good("set", "pool", "workers", "1")
        wait_until(lambda: sum(row["kind"] == "worker" for row in self.rows().values()) == 1, "one row")
        self.good("set", "pool", "workers", "4")
        self.assertEqual(sum(row["kind"] == "worker" for row in self.rows().values()), 4)
        self.assertEqual(sum(row["taken"] for row in self.rows().values()), 8)

    def test_tunnel(self):
        """What is passed to a loop is in its hands there."""
        self.start(self.server(lambda c: c.send(b"hello") or c.read_until(b"\n")), mode="tcp", pool={"workers": 2})
        client = self.client()
        self.assertEqual(client.read_exactly(5), b"hello")
        row = self.wait_row({"kind": "loop", "in_hand": 1})
        client.send(b"\n")
        client.close()
        self.wait_row({"kind": "loop", "in_hand": 0}, worker=row["worker"])


if __name__ == "__main__":
    main(at_once=True)
