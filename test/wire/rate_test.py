"""`rate` of a listener: who asks too often gets 429 with Retry-After, exactly as many pass as there are tokens."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re
import threading
import time

from support import expect
from support.case import WireCase, main
from support.message import mask_date
from support.raw import BOUND, wait_until

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"

ANSWER = expect.response(b"HTTP/1.1 200 OK", [b"Date: DATE", b"Content-Length: 2"], b"ok")


TEXT = b"Too Many Requests: more often than is allowed (rate)\n"


def too_many(retry_after, connection=b"keep-alive", body=TEXT):
    return (
        b"HTTP/1.1 429 Too Many Requests\r\nDate: DATE\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: %d\r\nRetry-After: %d\r\nConnection: %s\r\n\r\n%s" % (len(TEXT), retry_after, connection, body)
    )


class RateCase(WireCase):
    def start(self, server=None, **rate):
        self.origin = server or self.server()
        self.tplb(self.origin, listener={"rate": rate})

    def ask(self, client, extra=b""):
        """A GET: the status; the answer is either the server's or tplb's, to the byte."""
        got = client.get(extra=extra)
        if got.status == 200:
            self.assertEqual(mask_date(got.raw), ANSWER)
        else:
            retry = re.search(rb"Retry-After: (\d+)", got.raw)
            self.assertEqual(mask_date(got.raw), too_many(int(retry.group(1))))
            self.retry_after = int(retry.group(1))
        return got.status

    def statuses(self, client, count, extra=b""):
        return [self.ask(client, extra) for _ in range(count)]


class Rate(RateCase):
    def test_burst(self):
        """Three pass, then it is an hour to the next token; the connection stays."""
        self.start(requests=1, per="1h", burst=3)
        client = self.client()
        self.assertEqual(self.statuses(client, 6), [200] * 3 + [429] * 3)
        self.assertIn(self.retry_after, range(3600 - int(BOUND), 3601))
        self.assertEqual(self.statuses(self.client(), 2), [429] * 2)
        self.assertEqual(len(self.origin.requests), 3)
        counters = self.counters()
        self.assertEqual(counters["refused_rate"], 5)
        self.assertEqual(counters["responses_4xx"], 5)

    def test_burst_is_requests(self):
        self.start(requests=4, per="1h")
        self.assertEqual(self.statuses(self.client(), 6), [200] * 4 + [429] * 2)
        self.assertIn(self.retry_after, range(900 - int(BOUND), 901))

    def test_off(self):
        for rate in ({}, {"requests": 0, "burst": 1}):
            with self.subTest(rate):
                self.start(**rate)
                self.assertEqual(self.statuses(self.client(), 50), [200] * 50)

    def test_head(self):
        """No body in answer to HEAD, the length is told."""
        self.start(requests=1, per="1s", burst=1)
        client = self.client()
        while client.get().status != 429:
            pass
        client.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
        got = client.whole_response(b"HEAD")
        if got.status == 429:
            self.assertEqual(mask_date(got.raw), too_many(1, body=b""))

    def test_with_a_body(self):
        """What is not read can't be told from a next request: the connection ends, and the answer is not lost with it."""
        self.start(requests=1, per="1h")
        self.assertEqual(self.ask(self.client()), 200)
        client = self.client()
        body = b"x" * 2000000
        client.try_send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        got = client.response()
        self.assertIn(mask_date(got.raw), [too_many(n, b"close") for n in range(3600 - int(BOUND), 3601)])
        self.assertEqual(len(self.origin.requests), 1)

    def test_pipelined(self):
        """Refusals among answers, in the order of the requests."""
        self.start(requests=1, per="1h", burst=30)
        client = self.client()
        client.send(GET * 100)
        self.assertEqual([client.whole_response().status for _ in range(100)], [200] * 30 + [429] * 70)

    def test_after_a_while(self):
        """Who waits for as long as Retry-After says is let through."""
        self.start(requests=1, per="1s")
        client = self.client()
        for _ in range(2):
            while self.ask(client) != 429:
                pass
            self.assertEqual(self.retry_after, 1)
            time.sleep(self.retry_after)  # the subject
            self.assertEqual(self.ask(client), 200)

    def test_malformed_requests_take_no_token(self):
        self.start(requests=1, per="1h", burst=2)
        for _ in range(5):
            client = self.client()
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            expect.check_own_answer(client.read_to_end(), (400,))
        self.assertEqual(self.statuses(self.client(), 3), [200, 200, 429])

    def test_access_log(self):
        path = os.path.join(self.directory(), "access.log")
        self.tplb(self.server(), listener={"rate": {"requests": 1, "per": "1h"}}, log={"access": path})
        client = self.client()
        self.assertEqual(self.ask(client), 200)
        wait_until(lambda: os.path.exists(path) and os.path.getsize(path), "its line, which that of another worker may overtake")
        self.assertEqual(self.ask(client), 429)
        self.balancer.stop()
        with open(path) as f:
            self.assertRegex(f.read(), r'(?s)"GET / HTTP/1.1" 200 2 .*"GET / HTTP/1.1" 429 %d ' % len(TEXT))


class Keys(RateCase):
    def test_addresses_are_apart(self):
        self.start(requests=1, per="1h", burst=2)
        for source in ("127.0.0.1", "127.0.0.2", "127.1.2.3"):
            self.assertEqual(self.statuses(self.client(source=source), 3), [200, 200, 429])

    def test_header(self):
        """By value, whatever the address; without the field by the address. Names compare without case, values with it."""
        self.start(key="header:X-Key", requests=1, per="1h", burst=2)
        for extra in (b"X-Key: a\r\n", b"X-Key: A\r\n", b"X-Key: \r\n", b"X-Other: a\r\n"):
            self.assertEqual(self.statuses(self.client(), 3, extra), [200, 200, 429], extra)
        self.assertEqual(self.statuses(self.client(source="127.0.0.2"), 1, b"x-keY: a\r\n"), [429])
        self.assertEqual(self.statuses(self.client(source="127.0.0.2"), 3), [200, 200, 429])
        self.assertEqual(self.statuses(self.client(), 1), [429])
        self.assertEqual(self.statuses(self.client(), 3, b"X-Key: " + b"long" * 1000 + b"\r\n"), [200, 200, 429])

    def test_a_value_is_no_address(self):
        """Whatever bytes it has."""
        self.start(key="header:X-Key", requests=1, per="1h")
        self.assertEqual(self.ask(self.client()), 200)
        for value in (b"127.0.0.1", b"\x7f\xff\xff\x01", b"\x02"):
            client = self.client()
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-Key: " + value + b"\r\n\r\n")
            self.assertIn(client.response().status, (200, 400), value)

    def test_listeners_are_apart(self):
        origin = self.server()
        rate = {"requests": 1, "per": "1h", "burst": 2}
        self.tplb(
            config={
                "listeners": [
                    {"name": "a", "bind": "127.0.0.1:0", "upstream": "up", "rate": rate},
                    {"name": "b", "bind": "[::1]:0", "upstream": "up", "rate": rate},
                    {"name": "c", "bind": "127.0.0.1:0", "upstream": "up"},
                ],
                "upstreams": [{"name": "up", "servers": [{"address": origin.address}]}],
            }
        )
        for name in "ab":
            self.assertEqual(self.statuses(self.client(self.balancer.addresses[name]), 3), [200, 200, 429])
        self.assertEqual(self.statuses(self.client(self.balancer.addresses["c"]), 9), [200] * 9)

    def test_full_table(self):
        """16 are remembered: new ones are let in all the same, and who asks most is not forgotten for them."""
        self.start(key="header:X-Key", requests=1, per="1h", burst=50, entries=16)
        greedy = self.client()
        self.assertEqual(self.statuses(greedy, 51, b"X-Key: greedy\r\n"), [200] * 50 + [429])
        other = self.client()
        for n in range(100):
            self.assertEqual(self.ask(other, b"X-Key: %d\r\n" % n), 200)
        self.assertEqual(self.ask(greedy, b"X-Key: greedy\r\n"), 429)
        self.assertEqual(self.counters()["rate_evicted"], 100 - 15)

    def test_unix_clients_are_one(self):
        self.origin = self.server()
        self.tplb(self.origin, bind="unix:web.sock", listener={"rate": {"requests": 1, "per": "1h", "burst": 2}})
        self.assertEqual(self.statuses(self.client(), 1), [200])
        self.assertEqual(self.statuses(self.client(), 2), [200, 429])


class Together(RateCase):
    """From many connections at once: over all workers and loops not one more passes, and not one less."""

    def test_exact(self):
        self.origin = self.server()
        self.tplb(self.origin, listener={"rate": {"requests": 1, "per": "1h", "burst": 137}}, queue={"timeout": "30s"}, **{"async": {"loops": 2}})
        clients = [self.client() for _ in range(50)]
        for client in clients:
            client.send(GET * 20)
        statuses = [client.whole_response().status for client in clients for _ in range(20)]
        self.assertEqual((statuses.count(200), statuses.count(429)), (137, 1000 - 137))
        self.assertEqual(len(self.origin.requests), 137)

    def test_exactly_a_burst(self):
        """As many as the bucket holds, at once: all pass, in whatever order the workers look at the clock."""
        for _ in range(10):
            self.origin = self.server()
            self.tplb(self.origin, listener={"rate": {"requests": 1, "per": "1h", "burst": 40}}, queue={"timeout": "30s"}, **{"async": {"loops": 2}})
            clients = [self.client() for _ in range(40)]
            for client in clients:
                client.send(GET)
            self.assertEqual([client.whole_response().status for client in clients], [200] * 40)
            self.assertEqual(self.ask(clients[0]), 429)
            for client in clients:
                client.close()
            self.balancer.stop()

    def test_refill(self):
        """Under steady demand: the burst, and what came meanwhile."""
        self.start(requests=100, per="1s", burst=20)
        counts, stop = [], threading.Event()

        def demand():
            client = self.client()
            count = 0
            while not stop.is_set():
                count += client.get().status == 200
            counts.append(count)

        threads = [threading.Thread(target=demand, daemon=True) for _ in range(4)]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        self.origin.wait_requests(60)
        lasted = time.monotonic() - begin
        stop.set()
        for thread in threads:
            thread.join(BOUND)
        whole = time.monotonic() - begin
        self.assertGreaterEqual(lasted, 0.39)  # 60 = 20 + 40 tokens of 10 ms each
        self.assertLessEqual(sum(counts), 20 + 100 * whole)


class Tcp(WireCase):
    def test_connections(self):
        """In tcp mode a connection is what counts, and the excess is closed without a word."""

        def echo(connection):
            while connection.more():
                connection.send(connection.take(len(connection.buf)))

        server = self.server(echo)
        self.tplb(server, mode="tcp", listener={"rate": {"requests": 1, "per": "1h", "burst": 3}})
        for _ in range(3):
            client = self.client()
            client.send(b"x" * 100)
            self.assertEqual(client.read_exactly(100), b"x" * 100)
        for _ in range(4):
            client = self.client()
            client.try_send(b"x")
            client.expect_gone()
        self.assertEqual(len(server.connections), 3)
        client = self.client(source="127.0.0.2")
        client.send(b"y")
        self.assertEqual(client.read_exactly(1), b"y")
        self.assertEqual(self.counters()["refused_rate"], 4)


if __name__ == "__main__":
    main()
