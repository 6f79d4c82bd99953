"""What the page asks for, as whoever else may: /status.json and /events.json."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import json
import signal
import urllib.request

from support.case import WireCase, main
from support.raw import BOUND, wait_until
from support.tplb import ENGINE, config_text, one_listener, server_rows, with_engine


class Status(WireCase):
    def json(self, path):
        with urllib.request.urlopen("http://%s%s" % (self.web, path), timeout=BOUND) as answer:
            self.assertEqual(answer.headers["Content-Type"], "application/json")
            return json.load(answer)

    def test_says_what_runs(self):
        server = self.server()
        self.tplb(server, admin={"bind": "127.0.0.1:0"}, pool={"workers": 2}, queue={"size": 77})
        self.web = self.balancer.wait_line(r"pages are served at (\S+)").group(1)
        before = self.json("/status.json")
        client = self.client()
        for _ in range(5):
            self.assertEqual(client.get().status, 200)
        wait_until(lambda: self.json("/status.json")["listeners"][0]["requests"] == 5, "the requests are counted")
        after = self.json("/status.json")
        self.assertGreaterEqual(after["time_ms"], before["time_ms"])
        self.assertEqual((after["status"]["pid"], after["status"]["connections"]), (self.balancer.pid, 1))
        self.assertEqual(after["queue"], {"queue_size": 77, "queue_depth": 0, "queue_oldest_us": 0})
        (row,) = after["servers"]
        self.assertEqual((row["server"], row["state"], row["requests"], row["failures"]), (server.address, "up", 5, 0))
        self.assertEqual((sum(row["time"]), len(after["bounds_us"])), (5, 18))
        (row,) = after["listeners"]
        self.assertEqual((row["listener"], row["address"], row["connections"]), ("web", self.balancer.address, 1))
        self.assertEqual((sum(row["time"]), after["counters"]["responses_2xx"]), (5, 5))
        kinds = [w["kind"] for w in after["workers"]]
        self.assertEqual((kinds.count("worker"), kinds.count("acceptor")), (2, 1) if ENGINE == "pool" else (0, 0))
        self.assertGreaterEqual(kinds.count("loop"), 1)
        events = self.json("/events.json")["events"]
        self.assertEqual(events[-1]["id"], after["events_last"])
        self.assertIn("is ready: engine", events[-1]["text"])

    def test_while_it_changes(self):
        """Asked again and again amid reloads, it is always whole."""
        servers = [self.server() for _ in range(3)]
        config = one_listener(servers, admin={"bind": "127.0.0.1:0"})
        self.tplb(config=config)
        self.web = self.balancer.wait_line(r"pages are served at (\S+)").group(1)
        for i in range(1, 7):
            config["upstreams"][0]["servers"] = server_rows(servers[: 1 + i % 3])
            with open(self.balancer.path, "w") as f:
                f.write(config_text(with_engine(config)))
            self.balancer.tell(signal.SIGHUP)
            done = 0
            while done < i:
                self.assertIn(len(self.json("/status.json")["servers"]), (1, 2, 3))
                done = sum(e["text"].startswith("reload: done;") for e in self.json("/events.json")["events"])
        self.assertEqual(len(self.json("/status.json")["servers"]), 1)


if __name__ == "__main__":
    main()
