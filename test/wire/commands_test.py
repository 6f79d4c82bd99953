"""tplbctl where no driver makes a difference: JSON for mistakes, and weights that are set."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re
import signal
import time

from support.case import main
from support.ctl import CtlCase
from support.load import Load
from support.raw import wait_until
from support.server import stalled
from support.tplb import run


class Json(CtlCase):
    def test_mistakes(self):
        self.start()
        self.assertEqual(
            self.bad_json("set", "server", 'a"\xff', "drain")["error"].encode("utf-8", "surrogateescape"),
            'there is no server "a"\xff"; "show servers" lists them'.encode("utf-8"),
        )
        self.assertEqual(set(self.bad_json("show")), {"error"})
        self.assertEqual(self.bad_json("show", "statu"), {"error": 'there is no command "show statu"; did you mean "show status"?'})
        self.assertEqual(self.bad_json("reload", "1", "2"), {"error": "usage: reload [SECONDS]"})
        for wrong in "x", "-1", "31", "1s":
            said = 'a reload waits a whole number of seconds from 0 to 30 for what began before, not "%s"' % wrong
            self.assertEqual(self.bad_json("reload", wrong), {"error": said})
        self.assertEqual(self.client().get().status, 200)

    def test_help(self):
        self.start()
        rows = self.json("help")
        self.assertIn({"command": "set pool workers", "arguments": "N"}, [{n: row[n] for n in ("command", "arguments")} for row in rows])

    def test_nobody_there(self):
        self.path = os.path.join(self.directory(), "none.sock")
        self.assertIn("No such file or directory; is tplb running", self.bad_json("show", "status")["error"])

    def test_half_an_answer(self):
        """It is not printed in halves, and an older tplb has no JSON."""
        for said, error in (
            (b"", "the answer ended early"),
            (b'{"a": ', "the answer ended early"),
            (b'{"a": 1}\n', "the answer ended early"),
            (b"one line\nok\n", "the answer is no JSON"),
            (b'error: there is no command "json show status"; "help" lists the commands\n', "there is no command"),
        ):

            def script(connection, said=said):
                connection.read_until(b"\n")
                connection.send(said)

            server = self.server(script, address="unix")
            self.path = server.address[len("unix:") :]
            self.assertIn(error, self.bad_json("show", "status")["error"])


class Servers(CtlCase):
    def test_times(self):
        """How long a server took, so that two looks have a mean between them; and what it answered."""
        server = self.server(stalled)
        self.start(server)
        server.gate.set()
        for _ in range(3):
            self.assertEqual(self.client().get().status, 200)
        row = self.timed(3)
        self.assertEqual((row["responses_2xx"], row["responses_5xx"]), (3, 0))
        self.assertGreaterEqual(row["connects_timed"], 1)
        before = row["answers_us"]
        server.gate.clear()
        client = self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_requests(4)
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began >= 0.02, "a while, which is what is measured")
        server.gate.set()
        self.assertEqual(client.whole_response().status, 200)
        self.assertGreaterEqual(self.timed(4)["answers_us"] - before, 20000)

    def timed(self, n):
        """What is said of the one server once n of its answers are counted, which is right after their clients have them."""
        row = {}

        def look():
            row.update(self.json("show", "servers")[0])
            return row["answers_timed"] >= n and row["responses_2xx"] >= n  # not both at the same moment

        wait_until(look, lambda: "%d answers in %r" % (n, row))
        self.assertEqual(row["answers_timed"], n)
        return row


class Config(CtlCase):
    def test_as_it_runs(self):
        """What -T prints, word for word, and the same as data; after a reload what that has taken in."""
        server = self.server()
        self.start({"address": server.address, "weight": 7}, pool={"workers": 3}, timeouts={"client": "31s"}, forward={"trusted": ["10.0.0.0/8"]})
        status, out, err = run(["-T", "-f", self.balancer.path])
        self.assertEqual((status, err), (0, ""))
        self.assertEqual("\n".join(self.good("show", "config")) + "\n", out)
        data = self.json("show", "config")
        self.assertEqual((data["engine"], data["pool"]["workers"], data["queue"]["size"]), ("pool", 3, 1024))
        self.assertEqual((data["timeouts"]["client"], data["limits"]["header_size"], data["abort_on_close"]), ("31s", "16k", False))
        self.assertEqual(data["forward"]["trusted"], ["10.0.0.0/8"])
        (upstream,) = data["upstreams"]
        self.assertEqual([(row["address"], row["weight"], row["backup"]) for row in upstream["servers"]], [(server.address, 7, False)])
        self.rewrite("weight = 7;", "weight = 8;")
        self.assertEqual(self.json("show", "config"), data)
        self.good("reload")
        upstream["servers"][0]["weight"] = 8
        self.assertEqual(self.json("show", "config"), data)

    def test_every_key(self):
        """One row in the tables is enough: the text has as many keys as the data."""
        self.start()

        def count(data):
            if isinstance(data, dict):
                return len(data) + sum(count(value) for value in data.values())
            return sum(count(value) for value in data if isinstance(value, dict)) if isinstance(data, list) else 0

        keys = [line for line in self.good("show", "config") if re.match(r"\t*\w+( = |: \{)", line)]
        self.assertEqual(count(self.json("show", "config")), len(keys))


class SetWeight(CtlCase):
    def test_shares(self):
        """A weight that is set counts from the next request on, for each policy that goes by turns exactly."""
        servers = [self.server() for _ in range(3)]
        for balance in ("roundrobin", "leastconn", "random"):
            tplb = self.start(*servers, upstream={"balance": balance})
            client = self.client()
            for weights in ((1, 1, 1), (5, 1, 2), (1, 6, 1)):
                for server, weight in zip(servers, weights):
                    got = self.json("set", "server", "up/" + server.address, "weight", str(weight))
                    self.assertEqual((got["weight"], got["weight_configured"], got["state"]), (weight, 1, "up"))
                before = [len(server.requests) for server in servers]
                n = 96  # whole rounds
                for _ in range(n):
                    self.assertEqual(client.get().status, 200)
                got = [len(server.requests) - old for server, old in zip(servers, before)]
                want = [n * weight // sum(weights) for weight in weights]
                if balance == "random":
                    self.assertEqual(sum(got), n)
                    self.assertGreater(got[weights.index(max(weights))], n / 4 if weights != (1, 1, 1) else 0)
                else:
                    self.assertEqual(got, want)
                self.assertEqual([row["weight"] for row in self.json("show", "servers")], list(weights))
            client.close()
            tplb.stop()

    def test_same_key_same_server(self):
        """With a hash only the share moves that has to: who is heavier now loses no key."""
        servers = [self.server(), self.server()]
        self.start(*servers, upstream={"balance": "uri"})
        client = self.client()

        def places():
            """By path, the server that got it."""
            counts = [len(server.requests) for server in servers]
            found = []
            for i in range(60):
                self.assertEqual(client.get(b"/%d" % i).status, 200)
                now = [len(server.requests) for server in servers]
                found.append([a - b for a, b in zip(now, counts)].index(1))
                counts = now
            return found

        before = places()
        self.assertEqual(self.good("set", "server", "up/" + servers[0].address, "weight", "9"), ["up/%s up 9" % servers[0].address])
        after = places()
        self.assertFalse([i for i in range(60) if before[i] == 0 and after[i] != 0])
        self.assertGreater(after.count(0), before.count(0))

    def test_file_and_command(self):
        """Who spoke last is heard: a file that says the same as before has not spoken."""
        servers = [self.server(), self.server()]
        rows = [{"address": server.address, "weight": 3 + i} for i, server in enumerate(servers)]
        self.start(*rows, timeouts={"client": "31s"})
        name = "up/" + servers[0].address

        def weights():
            return [row["weight"] for row in self.json("show", "servers")]

        self.good("set", "server", name, "weight", "7")
        self.balancer.wait_line("server %s of up: weight 7 in place of 3, by command" % re.escape(servers[0].address))
        stays = "reload: server %s of up: its weight stays 7, as commanded; %s has said 3 all along"
        stays %= servers[0].address, self.balancer.path
        self.assertEqual(self.good("reload"), [stays, "reload: nothing has changed"])
        self.rewrite('client = "31s";', 'client = "32s";')  # another snapshot
        self.assertIn(stays, self.good("reload"))
        self.assertEqual(weights(), [7, 4])
        self.rewrite("weight = 4;", "weight = 5;")
        self.assertIn(stays, self.good("reload"))
        self.assertEqual(weights(), [7, 5])
        self.rewrite("weight = 3;", "weight = 2;")
        self.assertNotIn("as commanded", "\n".join(self.good("reload")))
        self.assertEqual(weights(), [2, 5])
        client = self.client()
        for _ in range(7):
            self.assertEqual(client.get().status, 200)
        self.assertEqual([len(server.requests) for server in servers], [2, 5])

    def test_under_load(self):
        """Weights that change by the hundred, and reloads between them: no request fails."""
        servers = [self.server() for _ in range(3)]
        tplb = self.start(*servers, timeouts={"client": "31s"})
        load = Load(tplb.address, 8)
        client = self.raw()
        try:
            for i in range(300):
                client.send(b"set server up/%s weight %d\n" % (servers[i % 3].address.encode(), 1 + i * 37 % 256))
                client.read_until(b"\nok\n")
                if i % 50 == 0:
                    self.rewrite('client = "3%ds";' % (1 + i // 50), 'client = "3%ds";' % (2 + i // 50))
                    tplb.tell(signal.SIGHUP)
            wait_until(lambda: min(load.answers) > 10 or load.failures, "ten answers for each")
        finally:
            load.stop()
        self.assertEqual(load.failures, [])


if __name__ == "__main__":
    main(engines=False)
