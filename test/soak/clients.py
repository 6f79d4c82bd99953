"""
The clients of a soak, coroutines of one thread. Each kind goes on until the soak is over; what it got is looked at to the last byte. Honest ones
must get what they asked for: any other status, another's bytes or a broken answer is a failure. Of the others only what may be said to them is checked.
"""

import asyncio
import collections
import itertools
import random
import socket
import struct
import zlib

from origin import pattern

BOUND = 30
SMALL, BIG = 20_000, 1_500_000


class Wrong(Exception):
    """Not what a client may get."""


class Gone(Exception):
    """The connection ended; whole: between two answers."""

    def __init__(self, whole):
        super().__init__("whole" if whole else "amid an answer")
        self.whole = whole


class Wire:
    """A client's connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.closes = False  # said by the last answer

    @classmethod
    async def open(cls, address, receive_buffer=None):
        host, _, port = address.rpartition(":")
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
        except BaseException:
            sock.close()
            raise
        # A small buffer of ours: who reads slowly does so to the kernel as well.
        return cls(*await asyncio.open_connection(sock=sock, limit=65536 if not receive_buffer else 4096))

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def bounded(self, awaitable):
        return await asyncio.wait_for(awaitable, BOUND)

    async def answer(self, method=b"GET"):
        """(status, body)"""
        while True:
            try:
                head = await self.bounded(self.reader.readuntil(b"\r\n\r\n"))
            except asyncio.IncompleteReadError as e:
                raise Gone(not e.partial) from None
            except ConnectionError:
                raise Gone(True) from None
            status = int(head[9:12])
            fields = dict(
                (n.lower(), v.strip()) for n, _, v in (row.partition(b":") for row in head.split(b"\r\n")[1:-2])
            )
            if status >= 200 or status == 101:
                break
        self.closes = fields.get(b"connection", b"").lower() == b"close"
        try:
            return status, await self.body(status, fields, method)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Gone(False) from None

    async def body(self, status, fields, method):
        if status in (101, 204, 304) or method == b"HEAD":
            return b""
        if b"transfer-encoding" in fields:
            parts = []
            while size := int(await self.bounded(self.reader.readuntil(b"\r\n")), 16):
                parts.append(await self.bounded(self.reader.readexactly(size)))
                if await self.bounded(self.reader.readexactly(2)) != b"\r\n":
                    raise Wrong("a chunk that is longer than it says")
            await self.bounded(self.reader.readexactly(2))
            return b"".join(parts)
        return await self.bounded(self.reader.readexactly(int(fields[b"content-length"])))

    async def end(self):
        """Reads to the end; True when it is clean and nothing came."""
        try:
            return not await self.bounded(self.reader.read())
        except ConnectionError:
            return False

    def half_close(self):
        self.writer.write_eof()

    def reset(self):
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self):
        self.writer.close()


def get(what, name, more=b"", fields=b""):
    return b"GET /%s/%s%s HTTP/1.1\r\nHost: soak\r\n%s\r\n" % (what, name, more, fields)


def post(name, body, fields=b""):
    return b"POST /post/%s HTTP/1.1\r\nHost: soak\r\n%sContent-Length: %d\r\n\r\n%s" % (name, fields, len(body), body)


def posted(name, body):
    return b"%s %d %08x" % (name, len(body), zlib.crc32(body))


# Bytes, and the statuses that they may be refused with.
MALFORMED = (
    (b"GET / HTTP/1.1\r\nHost : soak\r\n\r\n", {400}),
    (b"GET /\r\n\r\n", {400}),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", {400}),
    (b"GET / HTTP/1.1\r\n\r\n", {400}),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", {400}),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", {400, 501}),
    (b"POST /post/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", {400}),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40000 + b"\r\n\r\n", {431}),
    (b"GET /" + b"x" * 40000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414}),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 300 + b"\r\n", {431}),
    (b"GET / HTTP/2.5\r\nHost: a\r\n\r\n", {505}),
    (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", {405}),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", {417}),
)


class Clients:
    """addresses: {listener: address}. pause: seconds between two actions of one client. patient: there is time for a server's silence."""

    def __init__(self, addresses, pause, patient):
        self.addresses, self.pause = addresses, pause
        self.bad = [b"cut", b"reset", b"nothing", b"garbage", b"twice", b"get"] * 6 + [b"silent"] * patient
        self.numbers = itertools.count(1)
        self.random = random.Random(6)
        self.over = False
        self.tally = collections.Counter()  # what was done, by kind and how it ended
        self.failures = []
        self.tasks = []
        self.wires = set()

    def name(self):
        return b"n%d" % next(self.numbers)

    def fail(self, kind, what):
        self.tally[kind + " WRONG"] += 1
        if len(self.failures) < 50:
            self.failures.append("%s: %s" % (kind, what))

    async def rest(self, times=1.0):
        await asyncio.sleep(self.pause * times * self.random.uniform(0.5, 1.5))

    async def wire(self, listener="web", **options):
        w = await Wire.open(self.addresses[listener], **options)
        self.wires.add(w)
        return w

    def drop(self, w):
        self.wires.discard(w)
        w.close()

    def expect(self, kind, got, body, status=200):
        if got != (status, body):
            self.fail(kind, "%d, %d bytes: %r in place of %r" % (got[0], len(got[1]), got[1][:200], body[:60]))
        else:
            self.tally[kind] += 1

    def start(self, counts):
        """counts: {kind: how many}"""
        for kind, count in counts.items():
            for _ in range(count):
                self.tasks.append(asyncio.get_running_loop().create_task(self.run(kind, getattr(self, "do_" + kind))))

    async def run(self, kind, once):
        await self.rest()
        while not self.over:
            w = None
            try:
                w = await once(kind)
            except Wrong as e:
                self.fail(kind, str(e))
            except Exception as e:  # an honest one must not see any
                self.fail(kind, repr(e))
            finally:
                if w:
                    self.drop(w)
            await self.rest()

    async def stop(self):
        self.over = True
        await asyncio.wait_for(asyncio.gather(*self.tasks), 3 * BOUND)
        for w in list(self.wires):
            self.drop(w)

    # Honest ones: each returns its connection, to be closed.

    async def do_keepalive(self, kind):
        """GETs and POSTs by turns on one connection, as long as it is kept."""
        w = await self.wire()
        for i in range(self.random.randint(1, 60)):
            name = self.name()
            if i % 4 == 3:
                body = pattern(name, self.random.randint(0, SMALL))
                await w.send(post(name, body))
                self.expect(kind, await w.answer(), posted(name, body))
            else:
                await w.send(get(b"get", name))
                self.expect(kind, await w.answer(), name)
            if w.closes or self.over:
                break
            await self.rest(0.2)
        return w

    async def do_single(self, kind):
        """A connection a request."""
        w, name = await self.wire(), self.name()
        await w.send(get(b"get", name, fields=b"Connection: close\r\n"))
        self.expect(kind, await w.answer(), name)
        if not await w.end():
            self.fail(kind, "more than an answer")
        return w

    async def do_pipeline(self, kind):
        """Many at once: the answers come in order."""
        w = await self.wire()
        names = [self.name() for _ in range(self.random.randint(2, 24))]
        await w.send(b"".join(get(b"get", n) if i % 3 else post(n, n) for i, n in enumerate(names)))
        for i, n in enumerate(names):
            self.expect(kind, await w.answer(), n if i % 3 else posted(n, n))
        return w

    async def do_half_close(self, kind):
        """The end of a client's bytes is not the end of its wish (RFC 9112 section 9.6)."""
        w, name = await self.wire(), self.name()
        await w.send(get(b"slow", name, b"/%d" % self.random.randint(0, 30)))
        w.half_close()
        self.expect(kind, await w.answer(), name)
        return w

    async def do_slow_head(self, kind):
        """Piece by piece, in time."""
        w, name = await self.wire(), self.name()
        request = get(b"get", name)
        for i in range(0, len(request), 7):
            await w.send(request[i : i + 7])
            await asyncio.sleep(0.02)
        self.expect(kind, await w.answer(), name)
        return w

    async def do_slow_reader(self, kind):
        w, name = await self.wire(receive_buffer=4096), self.name()
        what = self.random.choice([b"big", b"chunked"])
        await w.send(get(what, name, b"/%d" % BIG))
        await asyncio.sleep(0.3)
        self.expect(kind, await w.answer(), pattern(name, BIG))
        return w

    async def do_big_post(self, kind):
        w, name = await self.wire(), self.name()
        body = pattern(name, self.random.randint(SMALL, BIG))
        if self.random.random() < 0.5:
            await w.send(post(name, body, b"Expect: 100-continue\r\n" if self.random.random() < 0.3 else b""))
        else:
            await w.send(b"POST /post/%s HTTP/1.1\r\nHost: soak\r\nTransfer-Encoding: chunked\r\n\r\n" % name)
            for i in range(0, len(body), 50_000):
                part = body[i : i + 50_000]
                await w.send(b"%x;x=y\r\n%s\r\n" % (len(part), part))
            await w.send(b"0\r\n\r\n")
        self.expect(kind, await w.answer(), posted(name, body))
        return w

    async def do_slow_post(self, kind):
        w, name = await self.wire(), self.name()
        body = pattern(name, 4000)
        request = post(name, body)
        head = len(request) - len(body)
        await w.send(request[: head + 10])
        for i in range(head + 10, len(request), 1000):
            await asyncio.sleep(0.08)
            await w.send(request[i : i + 1000])
        self.expect(kind, await w.answer(), posted(name, body))
        return w

    async def echoed(self, w, kind, name):
        for size in (1, 100, 100_000):
            data = pattern(name, size)
            await w.send(data)
            got = await w.bounded(w.reader.readexactly(size))
            if got != data:
                raise Wrong("a tunnel's bytes are not those that were sent")
            await self.rest(0.5)
        self.tally[kind] += 1

    async def do_upgrade(self, kind):
        w, name = await self.wire(), self.name()
        await w.send(get(b"upgrade", name, fields=b"Connection: Upgrade\r\nUpgrade: echo\r\n"))
        status, _ = await w.answer()
        if status != 101:
            raise Wrong("status %d" % status)
        await self.echoed(w, kind, name)
        if self.random.random() < 0.5:
            w.half_close()
            if not await w.end():
                self.fail(kind, "a tunnel that does not end as it should")
        return w

    async def do_tcp(self, kind):
        w = await self.wire("tcp")
        await self.echoed(w, kind, self.name())
        return w

    async def do_killed(self, kind):
        """Of servers of which one or the other dies. A GET goes to another one; a POST may be lost, and is told so."""
        w, name = await self.wire("killed"), self.name()
        if self.random.random() < 0.8:
            await w.send(get(b"get", name))
            self.expect(kind, await w.answer(), name)
            return w
        await w.send(post(name, name))
        status, body = await w.answer()
        if (status, body) == (200, posted(name, name)) or status in (502, 503):
            self.tally["%s post %d" % (kind, status)] += 1
        else:
            self.fail(kind, "post: %d %r" % (status, body[:200]))
        return w

    # Servers that do not keep to the rules: never another's answer, never half a one that looks whole.

    async def do_bad_server(self, kind):
        w, name = await self.wire("bad"), self.name()
        what = self.random.choice(self.bad)
        await w.send(get(what, name))
        try:
            status, body = await w.answer()
        except Gone as e:
            if what not in (b"cut", b"reset") or e.whole:
                self.fail(kind, "%s: the connection ended without an answer" % what.decode())
            else:
                self.tally["%s %s cut" % (kind, what.decode())] += 1
            return w
        good = {b"get": {200}, b"twice": {200}, b"silent": {504}, b"cut": {502}, b"reset": {502}}.get(what, {502})
        if status not in good or (status == 200 and body != name):
            self.fail(kind, "%s: %d %r" % (what.decode(), status, body[:200]))
        else:
            self.tally["%s %s %d" % (kind, what.decode(), status)] += 1
        return w

    # Dishonest ones.

    async def do_never_ending_head(self, kind):
        """Field after field, as long as it is let. What it is told may be lost to a reset, since it goes on sending."""
        w, status = await self.wire(), 0
        await w.send(b"GET /get/x HTTP/1.1\r\nHost: soak\r\n")
        told = asyncio.get_running_loop().create_task(w.answer())
        try:
            while not told.done() and not self.over:
                await w.send(b"X: y\r\n")
                await asyncio.wait([told], timeout=0.2)
            if self.over:
                told.cancel()
            status, _ = await told
        except (Gone, ConnectionError, asyncio.CancelledError):
            pass
        if status not in (0, 408):
            self.fail(kind, "status %d" % status)
        self.tally["%s %d" % (kind, status)] += 1
        return w

    async def do_reset(self, kind):
        """Leaves in the middle: of a head, of a body, before or within the answer."""
        w, name = await self.wire(), self.name()
        how = self.random.randrange(4)
        if how == 0:
            await w.send(get(b"get", name)[:20])
        elif how == 1:
            await w.send(post(name, pattern(name, 5000))[:3000])
        elif how == 2:
            await w.send(get(b"slow", name, b"/50"))
        else:
            await w.send(get(b"big", name, b"/%d" % BIG))
            await w.bounded(w.reader.readexactly(1000))
        await self.rest(self.random.random())
        w.reset()
        self.tally["%s %d" % (kind, how)] += 1
        return w

    async def do_leave(self, kind):
        """Closes amid an answer, or without having asked for anything."""
        w, name = await self.wire(), self.name()
        if self.random.random() < 0.5:
            await w.send(get(b"chunked", name, b"/%d" % BIG))
            await w.bounded(w.reader.readexactly(100))
        self.tally[kind] += 1
        return w

    async def do_malformed(self, kind):
        w = await self.wire()
        request, statuses = self.random.choice(MALFORMED)
        try:
            await w.send(request)
            status, _ = await w.answer()
        except (Gone, ConnectionError):
            self.fail(kind, "no refusal of %r" % request[:60])
            return w
        if status not in statuses:
            self.fail(kind, "%d for %r" % (status, request[:60]))
        self.tally["%s %d" % (kind, status)] += 1
        return w

    async def do_idle(self, kind):
        """Asks once and stays, until it is told to go (timeouts.keepalive)."""
        w, name = await self.wire(), self.name()
        await w.send(get(b"get", name))
        self.expect(kind, await w.answer(), name)
        end = asyncio.get_running_loop().create_task(w.end())
        while not end.done() and not self.over:
            await asyncio.wait([end], timeout=0.2)
        if not end.done():
            end.cancel()
        elif not end.result():
            self.fail(kind, "an idle connection that does not end cleanly")
        return w
