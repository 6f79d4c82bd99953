"""
Servers that misbehave, each told as data: how much of a request one reads, what it says, how it ends; and the oracle, which works out from that, from
the request and from whether the connection was kept, what a proxy has to make of it. The oracle reads what the server said with support.message, which
shares no code with tplb.
"""

import select

from support import message
from support.raw import BOUND
from support.server import DATE

LIMIT_BYTES, LIMIT_LINES, LIMIT_INTERIMS = 16384, 100, 31  # of an answer's head; interim answers before the final one
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


class Behaviour:
    """
    before: what happens before the request comes: "leave" (it listens no more), "hasty close" and "hasty reset" (of every connection, as it is accepted), "quiet
    close", "quiet reset" and "quiet words" (of and on idle connections). reads: "nothing", "line" (some bytes of the head), "head", "half"
    (of the body), "all". says: bytes, in which ID stands for the request's own. end: "close", "reset", "silent" (the connection stays), "keep"
    (likewise, and serves whoever asks). once: only the first time that the request comes; then it is answered well. later: said when another request
    comes by the same connection. leaves: it listens no more
    from then on. big: the request has a body that no buffer holds. only: these methods.
    """

    def __init__(self, name, before=None, reads="all", says=b"", end="close", once=False, later=b"", leaves=False, big=False, only=None):
        self.name, self.before, self.reads, self.says, self.end = name, before, reads, says, end
        self.once, self.later, self.leaves, self.big, self.only = once, later, leaves, big, only

    def __repr__(self):
        return self.name


HEAD = b"HTTP/1.1 200 OK\r\n" + DATE + b"X-Id: ID\r\n"
LENGTH = HEAD + b"Content-Length: 20\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSE = HEAD + b"Connection: close\r\n\r\n"
ENDS = ("close", "reset", "silent")


def _stages():
    """The server stops within the request, or within its answer, at every stage of both."""
    for end in ENDS:
        for reads in ("nothing", "line", "head", "half", "all"):
            yield Behaviour("%s after reading %s" % (end, reads), reads=reads, end=end)
        for name, says in (
            ("part of the status line", b"HTTP/1.1 20"),
            ("the status line", b"HTTP/1.1 200 OK\r\n"),
            ("part of the head", HEAD[:-8]),
            ("almost the head", LENGTH[:-1]),
            ("the head, length", LENGTH),
            ("half the body, length", LENGTH + b"ID server"),
            ("the head, chunked", CHUNKED),
            ("part of a chunk's size", CHUNKED + b"1"),
            ("a chunk's size", CHUNKED + b"14\r\n"),
            ("part of a chunk", CHUNKED + b"14\r\nID server"),
            ("a chunk but for its end", CHUNKED + b"9\r\nID server"),
            ("a chunk", CHUNKED + b"9\r\nID server\r\n"),
            ("part of the last chunk", CHUNKED + b"9\r\nID server\r\n0\r\n"),
            ("part of the trailers", CHUNKED + b"9\r\nID server\r\n0\r\nX-Trailer: y"),
            ("the head, to the end", CLOSE),
            ("part of a body to the end", CLOSE + b"ID server"),
            ("an interim answer", b"HTTP/1.1 103 Early Hints\r\nX-Id: ID\r\n\r\n"),
        ):
            yield Behaviour("%s after %s" % (end, name), says=says, end=end)


def _early():
    """It answers before it has read the body, or half-way."""
    for reads in ("head", "half"):
        for end in ("close", "reset", "keep"):
            for name, head in (("length", HEAD + b"Content-Length: 9\r\n\r\nID server"), ("chunked", CHUNKED + b"9\r\nID server\r\n0\r\n\r\n")):
                yield Behaviour("answers early (%s, %s) and %s" % (reads, name, end), reads=reads, says=head, end=end, only=("POST", "POST chunked"))
        yield Behaviour("refuses early (%s)" % reads, reads=reads, says=b"HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nID", end="close", only=("POST", "POST chunked"))


def _whole():
    """It answers well, and then misbehaves."""
    good = HEAD + b"Content-Length: 9\r\n\r\nID server"
    for end in ("close", "reset", "keep"):
        yield Behaviour("answers and " + end, says=good, end=end)
        yield Behaviour("answers twice and " + end, says=good + EVIL, end=end)
        yield Behaviour("answers in chunks, twice, and " + end, says=CHUNKED + b"9\r\nID server\r\n0\r\n\r\n" + EVIL, end=end)
        yield Behaviour("answers, begins another and " + end, says=good + EVIL[:20], later=EVIL[20:], end=end)
        yield Behaviour("204 with a body and " + end, says=b"HTTP/1.1 204 No Content\r\nX-Id: ID\r\n\r\n" + EVIL, end=end)
        yield Behaviour("switches unasked and " + end, says=UPGRADE + b"ID", end=end)
        yield Behaviour("interim answers, as many as are well, and " + end, says=b"HTTP/1.1 103 Early Hints\r\nX-Id: ID\r\n\r\n" * LIMIT_INTERIMS + good, end=end)


def _broken():
    """What it says is no HTTP, or too much of it."""
    for name, says in (
        ("words", b"220 ready\r\n\r\n"),
        ("a NUL in the head", b"HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 2\r\n\r\nID"),
        ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nID\n"),
        ("length and coding", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nID\r\n0\r\n\r\n"),
        ("too many lines", b"HTTP/1.1 200 OK\r\n" + b"X: ID\r\n" * (LIMIT_LINES + 1) + b"Content-Length: 2\r\n\r\nID"),
        ("too large a head", b"HTTP/1.1 200 OK\r\nX: " + b"ID" * LIMIT_BYTES + b"\r\nContent-Length: 2\r\n\r\nID"),
        ("a head without end", b"HTTP/1.1 200 OK\r\n" + b"X: ID\r\n" * LIMIT_BYTES),
        ("a line without end", b"HTTP/1.1 200 " + b"x" * LIMIT_BYTES * 8),
        ("interim answers without end", b"HTTP/1.1 103 Early Hints\r\nX-Id: ID\r\n\r\n" * 400),
    ):
        yield Behaviour(name, says=says, end="close")
    for name, says in (
        ("a chunk's size that is none", b"xyz\r\n"),
        ("a chunk longer than told", b"2\r\nID server\r\n"),
        ("a chunk's size beyond all", b"9\r\nID server\r\nFFFFFFFFFFFFFFFFF\r\n"),
    ):
        yield Behaviour(name, says=CHUNKED + says, end="close")


def _kept():
    """The races with a kept connection: it ends, or speaks, as it is picked."""
    for end in ("close", "reset"):
        for reads in ("nothing", "head", "all"):
            yield Behaviour("%s once, after reading %s" % (end, reads), reads=reads, end=end, once=True)
        yield Behaviour("%s once, within the status line" % end, says=b"HT", end=end, once=True)
        yield Behaviour("%s and listens no more" % end, reads="all", end=end, leaves=True)


def _tunnels():
    for end in ("close", "reset", "silent"):
        yield Behaviour("switches and " + end, says=UPGRADE, end=end, only=("upgrade",))
        yield Behaviour("switches, speaks and " + end, says=UPGRADE + b"ID in the tunnel", end=end, only=("upgrade",))


def _before():
    yield Behaviour("refuses", before="leave")
    for what in ("hasty close", "hasty reset", "quiet close", "quiet reset", "quiet words"):
        yield Behaviour(what, before=what)


def all_behaviours():
    yield from _before()
    yield from _stages()
    yield from _early()
    yield from _whole()
    yield from _broken()
    yield from _kept()
    yield from _tunnels()
    yield Behaviour("silent before a large body", reads="head", end="silent", big=True, only=("POST", "POST chunked"))


# The oracle.


class Said:
    """What the server says, as a source for support.message."""

    def __init__(self, data, was_reset):
        self.buf, self.was_reset = bytearray(data), was_reset

    def more(self):
        return False

    def take(self, n):
        data = bytes(self.buf[:n])
        del self.buf[:n]
        return data


class Expected:
    """
    status: what the client is told. word: the access log's. response: the server's, where the client gets it, whole or cut. cut_or_502: a body that turns out to be
    broken may be cut, or refused where nothing of it was passed on yet. interims: answers before it. by: who answers, where somebody answers well.
    tries: how often a server sees the request. instead: what is as well. rest: what the tunnel brings after a 101, was_reset: how it ends.
    """

    def __init__(self, status, word, response=None, whole=True, interims=0, by=None, **more):
        self.status, self.word, self.response, self.whole, self.interims, self.by = status, word, response, whole, interims, by
        self.cut_or_502, self.rest, self.was_reset, self.tries, self.instead = False, None, False, 1, None
        self.__dict__.update(more)


def _too_large(head):
    return len(head) > LIMIT_BYTES or head.count(b"\r\n") - 2 > LIMIT_LINES


def _runs_to_the_end(response, method):
    bodyless = response.status in (204, 304) or method == b"HEAD"
    return not bodyless and not response.all("Content-Length") and not response.all("Transfer-Encoding")


def _final(said, response, stays, method, wants_upgrade):
    """The answer whose head is well; was its body?"""
    if response.status == 101:
        if not wants_upgrade:
            return Expected(502, "server_broke")
        lost = said.was_reset
        return Expected(101, "server_lost" if lost else "ok", response, rest=bytes(said.buf), was_reset=lost)
    whole = response.complete and not (_runs_to_the_end(response, method) and stays)
    word = "ok" if whole else "server_timeout" if stays else "server_lost"
    return Expected(response.status, word, response, whole)


def _answered(behaviour, ident, method, wants_upgrade):
    """What the server's bytes amount to: (interim answers, "lost", "silent" or what is expected of the answer)."""
    said = Said(behaviour.says.replace(b"ID", ident), behaviour.end == "reset")
    stays = behaviour.end in ("silent", "keep")
    interims = 0
    while True:
        before = bytes(said.buf)
        try:
            response = message.read_response(said, method)
        except message.Broken:
            is_late = b"Transfer-Encoding: chunked\r\n\r\n" in before and b"Content-Length" not in before
            return interims, Expected(502, "server_broke", cut_or_502=is_late)
        if response is None:
            if len(said.buf) >= LIMIT_BYTES:
                return interims, Expected(502, "server_broke")
            return interims, "silent" if stays else "lost"
        if _too_large(response.raw_head) or b"\0" in response.raw_head:
            return interims, Expected(502, "server_broke")
        if response.status == 101 or response.status >= 200:
            return interims, _final(said, response, stays, method, wants_upgrade)
        interims += 1
        if interims > LIMIT_INTERIMS:
            return interims, Expected(502, "server_broke")


def _other(tries, pair):
    """The request goes to another server, where there is one that can be reached."""
    return Expected(200, "ok", by=b"other", tries=tries + 1) if pair else None


def _lost(behaviour, repeatable, kept, pair, told):
    """
    RFC 9110 section 9.2.2: what may be sent twice is. A kept connection that ends without a byte of an answer: to the same server once more. Else
    to another one, unless the client was told something.
    """
    tries = 0 if behaviour.before else 1
    if kept and not behaviour.says and repeatable:
        if behaviour.leaves:
            return _other(tries, pair) or Expected(503, "connect_failed", tries=tries)
        tries += 1
        if behaviour.once:
            return Expected(200, "ok", by=b"server", tries=tries)
    if repeatable and not told:
        return _other(tries, pair) or Expected(502, "server_lost", tries=tries)
    return Expected(502, "server_lost", tries=tries)


def expected(behaviour, ident, method, kept, pair):
    """method: of support.matrix. kept: the server's connection had served before. pair: there is another server, which is well."""
    before = behaviour.before
    if before and (kept or before.startswith("quiet")):
        return Expected(200, "ok", by=b"server")
    unreached = _other(0, pair) or Expected(503, "connect_failed", tries=0)
    if before == "leave":
        return unreached
    interims, end = (0, "lost") if before else _answered(behaviour, ident, method.verb, method.upgrade)
    told = interims if method.version == b"1.1" else 0
    if end == "lost":
        end = _lost(behaviour, method.repeatable, kept, pair, told)
    elif end == "silent":
        end = Expected(504, "server_timeout")
    end.interims = told if end.by is None else 0
    end.instead = unreached if before else None  # its end may have come as early as its connection
    return end


# The server's side.


def _wait_gone(sock):
    """Until the peer has closed; reads nothing."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    poll.poll(BOUND * 1000)


def good_answer(ident, name, request):
    body = ident + b" " + name
    head = HEAD.replace(b"ID", ident) + b"Content-Length: %d\r\n\r\n" % len(body)
    return head if request.method == b"HEAD" else head + body


def serve_well(connection, ident, name):
    """False: the connection is over."""
    request = connection.read_request()
    if request is None:
        return False
    connection.send(good_answer(ident, name, request))
    return True


def _read(connection, behaviour):
    """As much of the request as it reads: the request, None where it never looks at it; False: the peer left."""
    if behaviour.reads == "nothing":
        return None
    if behaviour.reads == "line":
        connection.sock.recv(12)
        return None
    request = connection.read_head()
    if request is None:
        return False
    has_body = request.method == b"POST"
    if behaviour.reads == "all":
        return request if connection.read_body(request).complete else False
    while behaviour.reads == "half" and has_body and len(connection.buf) < 100:
        if not connection.more():
            return False
    return request


def serve_badly(connection, behaviour, ident):
    """False: the connection is over."""
    request = _read(connection, behaviour)
    if request is False:
        return False
    if behaviour.leaves:
        connection.server.stop_listening()
    connection.send(behaviour.says.replace(b"ID", ident))
    connection.later = behaviour.later
    if behaviour.end == "reset":
        connection.reset()
    elif behaviour.end == "silent" and behaviour.reads != "all":
        _wait_gone(connection.sock)
    elif behaviour.end != "close":
        return behaviour.reads == "all" or connection.read_body(request).complete
    return False
