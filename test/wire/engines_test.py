"""
One corpus through all engines: pool, fibers on epoll, fibers on io_uring. What the client gets, how its connection ends and what the
servers see is the same byte for byte, apart from Date.

Where bytes come in several pieces, the chunks of a body passed on depend on how the pieces were read; then the bodies are compared
without their framing.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import concurrent.futures
import hashlib
import re
import socket
import threading
import time

import conduct_test
import forwarding_test
import framing_test
import limits_test
import responses_test
import syntax_test
import target_test
from support import message
from support.case import WireCase, io_uring_works, main
from support.corpus import Case, harvest
from support.raw import BOUND, Client
from support.server import DATE, OK, Server, answer, unconnectable
from support.tplb import Origin, Tplb, one_listener

ENGINES = ["pool", "epoll"] + (["io_uring"] if io_uring_works() else [])
SMALL = 8000  # bytes that go in one piece, whoever reads them
MANY = bytes(range(256)) * 4096
PROBE = b"GET /probe HTTP/1.1\r\nHost: h\r\n\r\n"


def engine_groups(engine):
    return {"engine": "pool"} if engine == "pool" else {"engine": "async", "async": {"driver": engine}}


def early(function):
    """Marks an answer that is called when only the head was read."""
    function.early = True
    return function


def shorten(data):
    return data if len(data) <= SMALL else (data[:200], len(data), hashlib.sha256(data).hexdigest())


class Stack:
    """One engine's tplb with a server of its own."""

    def __init__(self, engine, options, script=None, servers=None):
        self.engine = engine
        self.answers = {}
        self.server = Server(script or self.serve)
        self.markers = 0
        try:
            self.tplb = Tplb(one_listener(servers or [self.server], **options, **engine_groups(engine)))
        except BaseException:
            self.server.stop(check=False)
            raise

    def serve(self, connection):
        while True:
            request = connection.read_head()
            if request is None:
                return
            what = self.answers.get(request.target, OK)
            if not getattr(what, "early", False) and not connection.read_body(request).complete:
                return
            if callable(what):
                if what(connection, request) is False:
                    return
            else:
                connection.send(what)

    def new_connections(self, start, target):
        """What the server got for a case, its connections at their ends. Those of clients that left may still come: they are another's."""
        self.markers += 1
        client = Client(self.server.address)
        client.send(b"GET /marker HTTP/1.1\r\nHost: h\r\n\r\n")  # accepted after all that were connected before
        self.server.wait(lambda: sum(c.bytes.startswith(b"GET /marker") for c in self.server.connections) == self.markers)
        client.close()

        def mine(c):
            if c.bytes.startswith(b"GET /marker"):
                return False
            return target in c.bytes if target else c.bytes and not re.search(rb" /d\d{5}", c.bytes)

        found = [c for c in self.server.connections[start:] if mine(c)]
        self.server.wait(lambda: all(c.finished for c in found), "the end of the server's connections")
        return found

    def stop(self):
        try:
            self.server.gate.set()
            self.tplb.stop()
        finally:
            self.tplb.kill()
            self.server.stop()


def final_response(client, method):
    """All interim responses and the final one; [] at the end of the stream."""
    got = []
    while True:
        response = message.read_response(client, method)
        if response is None:
            return got
        got.append(response)
        if response.status >= 200 or response.status == 101:
            return got


def end_of(client):
    rest = client.read_to_end()
    return "rest", shorten(message.mask_date(rest)), "reset" if client.was_reset else "closed"


def still_open(client, last):
    """How the connection is after its last answer."""
    if client.at_end or last is None or last.has_token("Connection", b"close"):
        return end_of(client)
    client.send(PROBE)
    got = message.read_response(client)
    if got is None:
        return end_of(client)
    return "open", message.mask_date(got.raw)


def told(response, exact):
    """A response as it is compared."""
    if exact:
        return shorten(message.mask_date(response.raw)), response.complete
    return message.mask_date(response.raw_head), shorten(response.body), response.trailers, response.complete


def read_answers(client, methods, exact=True):
    outcome, last = [], None
    for method in methods:
        got = final_response(client, method)
        outcome += [told(r, exact) for r in got]
        last = got[-1] if got and got[-1].complete else None
        if last is None:
            break
    outcome.append(still_open(client, last))
    return outcome


def seen(connections, exact):
    """What the servers saw, as it is compared: of an inexact case only the whole requests, for it is chance how much of others went on."""
    if exact:  # without a Host in the request the server's own address stands for it
        return [bytes(c.bytes).replace(c.server.address.encode(), b"SERVER") for c in connections]
    whole = [r for c in connections for r in c.requests if r.complete]
    return [(r.raw_head, shorten(r.body), r.trailers) for r in whole]


class Engines(WireCase):
    """Stacks live for a test."""

    options = {}

    def stacks(self, options=None, **more):
        merged = dict({"upstream": {"keepalive": 0}}, **(self.options if options is None else options))
        found = []
        try:
            for engine in ENGINES:
                found.append(Stack(engine, merged, **more))
        finally:
            for stack in found:
                self.addCleanup(stack.stop)
        return found

    def on_all(self, stacks, run):
        """run(stack) for all at once; the results are the same."""
        with concurrent.futures.ThreadPoolExecutor(len(stacks)) as executor:
            results = list(executor.map(run, stacks))
        for stack, result in zip(stacks[1:], results[1:]):
            self.assertEqual(result, results[0], "%s against %s" % (stack.engine, stacks[0].engine))
        return results[0]

    # Cases that were collected.

    def play(self, stack, case):
        # Of what a client breaks off it is chance how much went on.
        exact = case.leave is None and len(case.parts) == 1 and len(case.parts[0]) < SMALL
        exact = exact and isinstance(case.answer, bytes) and len(case.answer) < SMALL
        if case.target:
            stack.answers[case.target] = case.answer
        start = len(stack.server.connections)
        client = Client(stack.tplb.address)
        try:
            for part in case.parts:
                if not client.try_send(part):
                    break
            if case.leave == "reset":
                client.reset()
            elif case.leave == "half_close":
                client.half_close()
            if case.leave in ("reset", "close"):
                return None
            outcome = [end_of(client)] if case.answers is None else read_answers(client, case.answers, exact)
        finally:
            client.close()
        return outcome, seen(stack.new_connections(start, case.target), exact)

    def play_all(self, options, cases):
        stacks = self.stacks(options)
        for case in cases:
            with self.subTest(case.name):
                self.on_all(stacks, lambda stack: self.play(stack, case))
        left = [c.target for c in cases if c.leave in ("reset", "close")]
        for stack in stacks:
            stack.tplb.stop()  # then all that it sent has arrived
            self.assertEqual([r.target for r in stack.server.requests if r.target in left], [], "of clients that left")

    # Those written here.

    def same(self, stacks, name, run, answers=None, exact=True, compare_seen=True):
        """run(client, stack) on a new connection of each."""
        targets = answers or {}

        def one(stack):
            stack.answers = targets
            stack.server.gate.clear()
            start = len(stack.server.connections)
            client = Client(stack.tplb.address)
            try:
                outcome = run(client, stack)
            finally:
                client.close()
                stack.server.gate.set()
            found = stack.new_connections(start, None)
            return outcome, seen(found, exact) if compare_seen else None

        with self.subTest(name):
            return self.on_all(stacks, one)


class Collected(Engines):
    """What other tests know. Left out: those whose servers wait for a word of the test."""

    def harvested(self, *classes):
        waiting = ("at_once", "37_reset_within")
        count = 0
        for options, cases in harvest(*classes):
            cases = [c for c in cases if not any(w in c.name for w in waiting)]
            count += len(cases)
            self.play_all(options, cases)
        self.assertGreater(count, 10, "nothing was collected")

    def test_syntax(self):
        self.harvested(syntax_test.Syntax, syntax_test.Limits)

    def test_framing(self):
        self.harvested(framing_test.Framing)

    def test_limits(self):
        self.harvested(limits_test.Heads, limits_test.Bodies)

    def test_target(self):
        self.harvested(target_test.Target)

    def test_responses(self):
        self.harvested(responses_test.Responses)

    def test_forwarding(self):
        self.harvested(forwarding_test.Forwarding)

    def test_conduct(self):
        self.harvested(conduct_test.Conduct)


def get(target=b"/", fields=b"", version=b"1.1", method=b"GET"):
    return method + b" " + target + b" HTTP/" + version + b"\r\nHost: h\r\n" + fields + b"\r\n"


def post(body, target=b"/", fields=b""):
    return b"POST " + target + b" HTTP/1.1\r\nHost: h\r\n" + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunks(body, size):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[i : i + size] for i in range(0, len(body), size))) + b"0\r\n\r\n"


def post_chunked(body, target=b"/", size=10007, fields=b""):
    return b"POST " + target + b" HTTP/1.1\r\nHost: h\r\n" + fields + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(body, size)


def echo_body(connection, request):
    connection.send(answer(request.body, b"X-Target: " + request.target + b"\r\n"))


def sent_while_reading(client, data):
    """For what may be answered before it is sent: the sender, to be joined."""
    thread = threading.Thread(target=client.try_send, args=(data,), daemon=True)
    thread.start()
    return thread


def asks(*requests, methods=None, exact=True):
    """Sends these, one after the other, and reads an answer each."""

    def run(client, stack):
        outcome = []
        for i, request in enumerate(requests):
            sender = sent_while_reading(client, request)
            got = final_response(client, methods[i] if methods else request.split(b" ")[0])
            sender.join(BOUND)
            outcome += [told(r, exact) for r in got]
        return outcome, still_open(client, got[-1] if got else None)

    return run


class Good(Engines):
    def test_keep_alive(self):
        answers = {b"/%d" % n: answer(b"x" * n, b"X-N: %d\r\n" % n, b"200 Fine" if n % 2 else b"404 Not Found") for n in range(20)}
        for keepalive in (0, 64):
            stacks = self.stacks({"upstream": {"keepalive": keepalive}, "timeouts": {"keepalive": "10m"}})
            run = asks(*[get(b"/%d" % n) for n in range(20)], get(b"/x", b"Connection: close\r\n"))
            if keepalive:  # the connections to the server live on: what they saw is read off them
                outcome = self.on_all(stacks, lambda s: self.kept(s, answers, run))
                self.assertEqual(len(outcome[1]), 1, "one client's requests go over one server connection")
            else:
                self.same(stacks, "closed", run, answers)

    def kept(self, stack, answers, run):
        stack.answers = answers
        client = Client(stack.tplb.address)
        try:
            outcome = run(client, stack)
        finally:
            client.close()
        return outcome, [bytes(c.bytes) for c in stack.server.connections]

    def test_pipelined(self):
        requests, methods = [], []
        for n in range(30):
            requests += [get(b"/g%d" % n), get(b"/h%d" % n, method=b"HEAD"), post(b"x" * n, b"/p%d" % n), post_chunked(b"y" * n, b"/c%d" % n)]
            methods += [b"GET", b"HEAD", b"POST", b"POST"]
        answers = {b"/p%d" % n: echo_body for n in range(30)}

        def run(client, stack):
            sender = sent_while_reading(client, b"".join(requests))
            outcome = read_answers(client, methods)
            sender.join(BOUND)
            return outcome

        self.same(self.stacks(), "120 requests", run, answers, exact=False)

    def test_bodies(self):
        stacks = self.stacks()
        answers = {b"/": echo_body, b"/a": answer(MANY), b"/b": b"HTTP/1.1 200 OK\r\n" + DATE + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(MANY, 9999)}
        self.same(stacks, "small, length", asks(post(b"hello")), answers)
        self.same(stacks, "small, chunked", asks(post_chunked(b"hello")), answers)
        self.same(stacks, "large, length", asks(post(MANY)), answers, exact=False)
        self.same(stacks, "large, chunked", asks(post_chunked(MANY), exact=False), answers, exact=False)
        self.same(stacks, "small chunks", asks(post_chunked(MANY[:100000], size=7), exact=False), answers, exact=False)
        self.same(stacks, "large, down", asks(get(b"/a")), answers)
        self.same(stacks, "large, chunked down", asks(get(b"/b"), exact=False), answers)
        self.same(stacks, "large, chunked down to HTTP/1.0", lambda c, s: (c.send(get(b"/b", version=b"1.0")), end_of(c))[1], answers)
        self.same(stacks, "to HTTP/1.0", lambda c, s: (c.send(get(b"/a", version=b"1.0")), end_of(c))[1], answers)

    def test_an_echo_that_begins_at_once(self):
        """Up and down at the same time, chunked both ways."""

        @early
        def echo(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\n" + DATE + b"Transfer-Encoding: chunked\r\n\r\n")
            while b"\r\n0\r\n\r\n" not in connection.buf[-7:]:
                if len(connection.buf) > 100:
                    data = connection.take(len(connection.buf) - 100)
                    connection.send(b"%x\r\n%s\r\n" % (len(data), data))
                if not connection.more():
                    return False
            connection.send(b"0\r\n\r\n")
            return False

        def run(client, stack):
            sender = sent_while_reading(client, post_chunked(b"z" * 3000000, b"/echo", fields=b"Connection: close\r\n"))
            got = message.read_response(client, b"POST")
            sender.join(BOUND)
            return message.mask_date(got.raw_head), set(got.body) <= set(b"z0123456789abcdef\r\n"), got.complete, end_of(client)

        self.same(self.stacks(), "3 MB", run, {b"/echo": echo}, compare_seen=False)

    def test_head_and_no_content(self):
        stacks = self.stacks()
        answers = {
            b"/204": b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n",
            b"/304": b"HTTP/1.1 304 Not Modified\r\n" + DATE + b"ETag: \"x\"\r\nContent-Length: 77\r\n\r\n",
            b"/head": b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 1000000\r\n\r\n",
        }
        self.same(stacks, "204, 304", asks(get(b"/204"), get(b"/304"), get(b"/204"), get()), answers)
        self.same(stacks, "HEAD", asks(get(b"/head", method=b"HEAD"), get(b"/204", method=b"HEAD"), get()), answers)

    def test_interim(self):
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        self.same(self.stacks(), "103", asks(get(b"/103"), get()), {b"/103": hints * 3 + OK})

    def test_expect(self):
        @early
        def willing(connection, request):
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.read_body(request)
            connection.send(OK)

        @early
        def unwilling(connection, request):
            connection.send(answer(b"no", b"Connection: close\r\n", b"417 Expectation Failed"))
            connection.wait_gone()
            return False

        def run(target):
            def waits(client, stack):
                client.send(post(b"", target, b"Expect: 100-continue\r\n").replace(b"Length: 0", b"Length: 5"))
                first = message.read_response(client, b"POST")
                if first.status != 100:
                    return told(first, True), end_of(client)
                client.send(b"hello")
                return told(first, True), read_answers(client, [b"POST"])

            return waits

        stacks = self.stacks()
        answers = {b"/yes": willing, b"/no": unwilling}
        self.same(stacks, "100", run(b"/yes"), answers)
        self.same(stacks, "417", run(b"/no"), answers)

    def test_upgrade(self):
        switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nwelcome"
        ask = get(b"/up", b"Connection: Upgrade\r\nUpgrade: x\r\n")

        def tunnel(connection, request):
            connection.send(switch)
            while connection.buf or connection.more():
                connection.send(connection.take(len(connection.buf)))
            return False

        def speaks(connection, request):
            connection.send(switch + b"bye")
            return False

        def resets(connection, request):
            connection.send(switch)
            connection.read_exactly(1)
            connection.reset()
            return False

        def talk(client, stack):
            client.send(ask + b"early")
            outcome = [told(r, True) for r in final_response(client, b"GET")]
            outcome.append(client.read_exactly(len(b"welcomeearly")))
            for data in (b"a", b"GET / HTTP/1.1\r\n\r\n", MANY):
                sender = sent_while_reading(client, data)
                outcome.append(shorten(client.read_exactly(len(data))))
                sender.join(BOUND)
            client.half_close()
            return outcome, end_of(client)

        def listen(client, stack):
            client.send(ask)
            return [told(r, True) for r in final_response(client, b"GET")], end_of(client)

        def poke(client, stack):
            client.send(ask)
            outcome = [told(r, True) for r in final_response(client, b"GET")]
            outcome.append(client.read_exactly(7))
            client.send(b"x")
            return outcome, end_of(client)

        stacks = self.stacks()
        self.same(stacks, "a tunnel", talk, {b"/up": tunnel})
        self.same(stacks, "the server ends it", listen, {b"/up": speaks})
        self.same(stacks, "the server resets it", poke, {b"/up": resets})
        self.same(stacks, "refused", asks(ask, get()), {b"/up": answer(b"no", status=b"426 Upgrade Required")})

    def test_http_1_0(self):
        def old(connection, request):
            connection.send(b"HTTP/1.0 200 OK\r\n" + DATE + b"\r\nto the end")
            return False

        stacks = self.stacks()
        self.same(stacks, "client", lambda c, s: (c.send(get(version=b"1.0")), end_of(c))[1])
        keeps = get(b"/", b"Connection: keep-alive\r\n", b"1.0")
        self.same(stacks, "client that keeps", asks(keeps, keeps, get(version=b"1.0")))
        self.same(stacks, "server", asks(get(b"/old"), get()), {b"/old": old})
        self.same(stacks, "both", lambda c, s: (c.send(get(b"/old", version=b"1.0")), end_of(c))[1], {b"/old": old})

    def test_early_answers(self):
        """The answer comes before the body is there."""

        def early_answer(then):
            @early
            def function(connection, request):
                connection.send(answer(b"enough", status=b"413 Content Too Large"))
                if then == "reads":
                    connection.read_body(request)
                elif then == "waits":
                    connection.wait_gone()
                    return False
                else:
                    return False

            return function

        def run(client, stack):
            client.send(post(b"", b"/early").replace(b"Length: 0", b"Length: 1000") + b"0123456789")
            return read_answers(client, [b"POST"])

        stacks = self.stacks()
        for then in ("reads", "waits", "closes"):
            self.same(stacks, then, run, {b"/early": early_answer(then)}, compare_seen=False)


class Bad(Engines):
    """Broken servers, none at all, and the slow."""

    def test_server_breaks_off_within_its_answer(self):
        heads = {
            b"/length": b"Content-Length: 1000\r\n\r\n" + b"x" * 500,
            b"/chunked": b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 500,
            b"/between": b"Transfer-Encoding: chunked\r\n\r\n1f4\r\n" + b"x" * 500 + b"\r\n",
            b"/close": b"\r\n" + b"x" * 500,
        }

        def breaking(reset):
            def function(connection, request):
                connection.send(b"HTTP/1.1 200 OK\r\n" + DATE + heads[request.target])
                connection.server.gate.wait(BOUND)
                if reset:
                    connection.reset()
                return False

            return function

        def run(target, version):
            def reads(client, stack):
                client.send(get(target, b"Connection: close\r\n", version))
                start = client.read_until(b"x" * 500)
                stack.server.gate.set()
                return message.mask_date(start), end_of(client)

            return reads

        stacks = self.stacks()
        for reset in (False, True):
            for target in heads:
                for version in (b"1.1", b"1.0"):
                    self.same(stacks, "%r %r %s" % (target, version, reset), run(target, version), {target: breaking(reset)})

    def test_server_resets_before_it_answers(self):
        def resets(connection, request):
            connection.reset()
            return False

        @early
        def resets_within(connection, request):
            connection.read_exactly(1)
            connection.reset()
            return False

        stacks = self.stacks()
        self.same(stacks, "at once", asks(post(b"hello", b"/x"), get()), {b"/x": resets})
        self.same(stacks, "HEAD", asks(get(b"/x", method=b"HEAD"), get()), {b"/x": resets})

        def run(client, stack):
            client.send(post(b"", b"/y").replace(b"Length: 0", b"Length: 10") + b"h")
            return read_answers(client, [b"POST"])

        self.same(stacks, "within the request", run, {b"/y": resets_within}, compare_seen=False)

    def test_no_server(self):
        addresses = []
        for _ in range(2):
            sock, address = unconnectable()
            self.keep(sock)
            addresses.append(address)
        stacks = self.stacks({}, servers=addresses)
        self.same(stacks, "GET", asks(get(), get(), get(method=b"HEAD"), get(version=b"1.1", fields=b"Connection: close\r\n")))
        self.same(stacks, "POST", asks(post(b"hello"), get()))
        self.same(stacks, "chunked", asks(post_chunked(b"hello"), get()))
        self.same(stacks, "large", asks(post(MANY)))
        self.same(stacks, "HTTP/1.0", lambda c, s: (c.send(get(version=b"1.0")), end_of(c))[1])
        self.same(stacks, "pipelined", lambda c, s: (c.send(get() * 5), read_answers(c, [b"GET"] * 5))[1])

    def test_slow_heads(self):
        stacks = self.stacks({"timeouts": {"request_header": "300ms"}, "upstream": {"keepalive": 0}})

        def begin(part):
            def run(_, stack):
                while True:
                    since = time.monotonic()
                    client = Client(stack.tplb.address)
                    try:
                        in_time = client.try_send(part) and time.monotonic() - since < 0.2
                        outcome = end_of(client)
                    finally:
                        client.close()
                    if in_time or outcome[1]:  # else it was closed, maybe, before it had begun
                        return outcome

            return run

        for part in (b"", b"G", b"GET / HT", b"GET / HTTP/1.1\r\nHost: h\r\nX-A: b\r\n", b"\r\n", get() + b"GET / HT"):
            self.same(stacks, repr(part), begin(part))

    def test_slow_clients(self):
        stacks = self.stacks({"timeouts": {"client": "300ms"}, "upstream": {"keepalive": 0}})
        for part in (
            post(b"").replace(b"Length: 0", b"Length: 10"), post(b"").replace(b"Length: 0", b"Length: 10") + b"hello",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ):
            self.same(stacks, repr(part), lambda c, s, part=part: (c.send(part), end_of(c))[1])

    def test_slow_servers(self):
        def silent(*parts):
            def function(connection, request):
                for part in parts:
                    connection.send(part)
                connection.wait_gone()
                return False

            return function

        stacks = self.stacks({"timeouts": {"server": "300ms"}, "upstream": {"keepalive": 0}})
        ok = b"HTTP/1.1 200 OK\r\n" + DATE
        for name, what in (
            ("nothing", silent()), ("half a head", silent(b"HTTP/1.1 200 OK\r\n")), ("a head", silent(ok + b"Content-Length: 10\r\n\r\n")),
            ("half a body", silent(ok + b"Content-Length: 10\r\n\r\nhello")), ("half a chunk", silent(ok + b"Transfer-Encoding: chunked\r\n\r\na\r\nhello")),
            ("103", silent(b"HTTP/1.1 103 Early Hints\r\n\r\n")),
        ):
            self.same(stacks, name, asks(get(b"/x")), {b"/x": what})
            self.same(stacks, name + ", POST", asks(post(b"hello", b"/x")), {b"/x": what})
            self.same(stacks, name + ", HTTP/1.0", lambda c, s: (c.send(get(b"/x", version=b"1.0")), end_of(c))[1], {b"/x": what})

    def test_a_silent_connect(self):
        full = self.keep(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            filler = self.keep(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        stacks = self.stacks({"timeouts": {"connect": "200ms"}}, servers=["127.0.0.1:%d" % full.getsockname()[1]])
        self.same(stacks, "GET", asks(get(), get()))

    def test_idle_clients(self):
        stacks = self.stacks({"timeouts": {"keepalive": "200ms"}, "upstream": {"keepalive": 0}})

        def run(client, stack):
            client.send(get())
            return told(message.read_response(client), True), end_of(client)

        self.same(stacks, "one request", run)
        stacks = self.stacks({"timeouts": {"keepalive": "0s"}, "upstream": {"keepalive": 0}})
        self.same(stacks, "none is kept", run)


class Tcp(Engines):
    def tunnel(self, name, run, script, **options):
        stacks = self.stacks(dict({"mode": "tcp"}, **options), script=script)

        def one(stack):
            client = Client(stack.tplb.address)
            try:
                outcome = run(client, stack)
            finally:
                client.close()
            stack.server.wait_finished(1)
            connection = stack.server.connections[0]
            return outcome, shorten(bytes(connection.bytes)), connection.was_reset

        with self.subTest(name):
            self.on_all(stacks, one)

    def test_tcp(self):
        def echo(connection):
            while connection.more():
                connection.send(connection.take(len(connection.buf)))

        def greets(connection):
            connection.send(b"220 ready\r\n")
            connection.send(connection.read_until(b"\n")).half_close()
            connection.wait_gone()

        def resets(connection):
            connection.read_exactly(1)
            connection.reset()

        def talk(client, stack):
            outcome = []
            for data in (b"a", b"\0" * 1000, MANY):
                sender = sent_while_reading(client, data)
                outcome.append(shorten(client.read_exactly(len(data))))
                sender.join(BOUND)
            client.half_close()
            return outcome, end_of(client)

        def listen(client, stack):
            first = client.read_until(b"\n")
            client.send(b"hello\n")
            return first, end_of(client)

        def poke(client, stack):
            client.send(b"x")
            return end_of(client)

        def leave(client, stack):
            client.send(b"x")
            client.read_exactly(1)
            client.reset()

        self.tunnel("echo", talk, echo)
        self.tunnel("the server first", listen, greets)
        self.tunnel("the server resets", poke, resets)
        self.tunnel("the client resets", leave, echo)
        self.tunnel("idle for too long", lambda c, s: (c.send(b"x"), end_of(c))[1], echo, timeouts={"tunnel": "300ms"})

    def test_no_server(self):
        sock, address = unconnectable()
        self.keep(sock)
        stacks = self.stacks({"mode": "tcp"}, servers=[address])

        def one(stack):
            client = Client(stack.tplb.address)
            try:
                return end_of(client)
            finally:
                client.close()

        self.on_all(stacks, one)


class Origins(Engines):
    """tplb-origin's answers are the same too."""

    def setUp(self):
        super().setUp()
        self.root = self.directory()
        os.makedirs(os.path.join(self.root, "dir"))
        os.makedirs(os.path.join(self.root, "bare"))
        for name, data in (
            ("small.txt", b"0123456789" * 10), ("large.bin", MANY * 3), ("empty.html", b""), ("dir/index.html", b"<p>index"), ("sp ace%.css", b"css"),
        ):
            path = os.path.join(self.root, name)
            with open(path, "wb") as f:
                f.write(data)
            os.utime(path, (1672531200, 1672531200))
        os.symlink("nowhere", os.path.join(self.root, "dangling"))
        os.symlink("small.txt", os.path.join(self.root, "link"))
        os.symlink("/etc/passwd", os.path.join(self.root, "out"))
        os.mkfifo(os.path.join(self.root, "fifo"))
        self.origins = []
        for engine in ENGINES:
            how = ["-e", "pool"] if engine == "pool" else ["-e", "async", "-d", engine]
            self.origins.append(self.started(Origin(*how, "-r", self.root)))
            self.origins[-1].engine = engine

    def asked(self, parts, methods, exact=True, leave=None):
        def one(origin):
            client = Client(origin.address)
            try:
                sender = sent_while_reading(client, b"".join(parts))
                if leave:
                    sender.join(BOUND)
                    client.half_close()
                outcome = [end_of(client)] if methods is None else read_answers(client, methods, exact)
                sender.join(BOUND)
                return outcome
            finally:
                client.close()

        with self.subTest(b"".join(parts)[:200]):
            return self.on_all(self.origins, one)

    def test_pages_and_experiments(self):
        for target in (
            b"/", b"/santai", b"/video", b"/nothing", b"/?a=b", b"/%73antai", b"/../santai", b"*", b"/%", b"/%00", b"/count", b"/bytes/0", b"/bytes/5",
            b"/bytes/3000000", b"/bytes/x", b"/chunked/0", b"/chunked/5", b"/chunked/500000", b"/close", b"/close/300000", b"/delay/20", b"/delay/x",
            b"/status/200", b"/status/204", b"/status/304", b"/status/205", b"/status/302", b"/status/404", b"/status/503", b"/status/103",
            b"/status/99", b"/echo", b"/" + b"a" * 5000, b"/count",
        ):  # fmt: skip
            for method in (b"GET", b"HEAD", b"OPTIONS", b"DELETE"):
                self.asked([get(target, method=method)], [method], exact=b"0000" not in target)
            self.asked([get(target, version=b"1.0")], None)
            self.asked([get(target, b"Connection: close\r\n")], [b"GET"], exact=b"0000" not in target)

    def test_bodies(self):
        self.asked([post(b"hello", b"/echo")], [b"POST"])
        self.asked([post_chunked(b"hello", b"/echo")], [b"POST"], exact=False)
        self.asked([post(MANY, b"/echo")], [b"POST"], exact=False)
        self.asked([post_chunked(MANY, b"/echo")], [b"POST"], exact=False)
        self.asked([post(b"x" * 200000, b"/")], [b"POST"])
        self.asked([post(b"hello", b"/santai"), get(b"/")], [b"POST", b"GET"])
        self.asked([(post(b"abc", b"/echo") + get(b"/santai") + get(b"/nothing")) * 30], [b"POST", b"GET", b"GET"] * 30)
        self.asked([post(b"ok", b"/echo", b"Expect: 100-continue\r\n")], [b"POST"])
        self.asked([post(b"", b"/", b"Expect: 100-continue\r\n").replace(b"Length: 0", b"Length: 9")], [b"POST"])
        self.asked([post(b"ab", b"/echo", b"Expect: nothing\r\n")], [b"POST"])
        self.asked([post(b"ab", b"/").replace(b"Length: 2", b"Length: 5")], None, leave="half_close")
        self.asked([post(b"ab", b"/echo").replace(b"Length: 2", b"Length: 5")], None, leave="half_close")

    def test_files(self):
        for target in (
            b"/small.txt", b"/large.bin", b"/empty.html", b"/missing", b"/dir", b"/dir/", b"/bare", b"/bare/", b"/dangling", b"/link", b"/out",
            b"/fifo", b"/sp%20ace%25.css", b"/small.txt/", b"/small.txt/x", b"/dir/../small.txt", b"//small.txt", b"/%2e%2e/x", b"/dir?x=y",
        ):  # fmt: skip
            for fields in (
                b"", b"Range: bytes=0-9\r\n", b"Range: bytes=10-\r\n", b"Range: bytes=-7\r\n", b"Range: bytes=99999999-\r\n", b"Range: bytes=0-1,4-5\r\n",
                b"Range: bytes=100001-2100000\r\n", b"If-None-Match: *\r\n", b"If-None-Match: \"x\"\r\n", b"If-Match: \"x\"\r\n",
                b"If-Modified-Since: Sun, 01 Jan 2023 00:00:00 GMT\r\n", b"If-Unmodified-Since: Sat, 31 Dec 2022 00:00:00 GMT\r\n",
            ):
                self.asked([get(target, fields)], [b"GET"])
            self.asked([get(target, method=b"HEAD")], [b"HEAD"])
            self.asked([get(target, version=b"1.0")], None)
        self.asked([(get(b"/small.txt") + get(b"/large.bin") + get(b"/missing")) * 10], [b"GET"] * 30)

    def test_malformed(self):
        """What the balancer refuses, straight to the origin."""
        count = 0
        for options, cases in harvest(syntax_test.Syntax, target_test.Target, framing_test.Framing):
            for case in cases:
                if case.answers is None and case.leave is None and len(case.parts) == 1 and len(case.parts[0]) < SMALL:
                    self.asked(case.parts, None)
                    count += 1
        self.assertGreater(count, 200)

    def test_connections_are_not_kept(self):
        for origin in self.origins:
            origin.stop()
        self.origins = []
        for engine in ENGINES:
            how = ["-e", "pool"] if engine == "pool" else ["-e", "async", "-d", engine]
            self.origins.append(self.started(Origin(*how, "-k", "off")))
            self.origins[-1].engine = engine
        for target in (b"/", b"/santai", b"/nothing", b"/bytes/100000", b"/chunked/5"):
            self.asked([get(target)], None)
        self.asked([get(b"/") * 50], None)


if __name__ == "__main__":
    main(engines=False)
