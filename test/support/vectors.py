"""
Plays the rows of the tables against a tplb: cut in two at any place, alone or between two good requests on the same connection, over
fresh or kept connections to the server. Says what came of it, so that it can be compared with what is expected and with another time.
"""

import itertools
import re

from support import message
from support.expect import check_own_answer, request
from support.raw import Client
from support.server import OK, Server
from support.table import check_truncated
from support.tplb import Tplb, one_listener
from support.unread import Unread

_numbers = itertools.count(1)
_TARGET = re.compile(rb"/[vl]\d{7}")
GOOD = b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n"


class _Cut:
    """A server's connection, on which what is sent is cut in two: the second piece goes when the first was read."""

    def __init__(self, stand, connection):
        self.stand, self.connection, self.sent = stand, connection, 0

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def send(self, data):
        here = None if self.stand.cut_answer is None else self.stand.cut_answer - self.sent
        self.sent += len(data)
        self.stand.answer_len = self.sent
        if here is None or not 0 < here <= len(data):
            return self.connection.send(data)
        self.connection.send(data[:here])
        self.stand.unread.wait_read(self.connection.sock)
        return self.connection.send(data[here:])


class Stand:
    """A tplb for the rows of one table, with a server of its own. One row at a time."""

    def __init__(self, table, keepalive):
        self.answers = {}
        self.cut_answer = None
        self.unread = Unread()
        self.server = Server(self._serve)
        table.prepare(self.server)
        self.unwanted = {}  # target: (row's name, "nothing" or "cut")
        self.reused = False  # whether a connection of the server's carried more than one request, as far as looked
        config = dict(table.config, upstream=dict(table.config.get("upstream", {}), keepalive=keepalive))
        try:
            self.tplb = Tplb(one_listener([self.server], **config))
        except BaseException:
            self.server.stop(check=False)
            raise

    def _serve(self, connection):
        while True:
            request = connection.read_request()
            if request is None:
                return
            what = self.answers.get(request.target)
            if what is None:
                connection.send(OK)
                continue
            cut = _Cut(self, connection)
            if not callable(what):
                cut.send(what)
            elif what(cut, request) is False:
                return

    def look(self):
        """
        At what the server got over connections that are at their ends, which is then forgotten: whatever was not to reach it has not.
        """
        with self.server.changed:
            over = [c for c in self.server.connections if c.finished]
            self.server.connections[:] = [c for c in self.server.connections if not c.finished]
            whole = {r.target for r in self.server.requests}
            self.server.requests.clear()
        self.server.forget_threads()
        self.reused = self.reused or any(len(c.requests) > 1 for c in over)
        came = {t for c in over for t in _TARGET.findall(c.bytes)}
        for target in (came | whole) & set(self.unwanted):
            name, how = self.unwanted[target]
            if how == "nothing" or target in whole:
                raise AssertionError("%s: the server was to see %s" % (name, "nothing of it" if how == "nothing" else "it cut short"))

    def stop(self):
        """Ends both, and looks at the rest."""
        try:
            self.tplb.stop()  # then all that it sent has arrived
            self.server.wait(lambda: all(c.finished for c in self.server.connections), "the end of all connections")
        finally:
            self.tplb.kill()
            self.server.stop()
            self.unread.close()
        self.look()


class Played:
    """
    What came of a row. before, after: the answers to the good requests around it, None when there was none. responses: the row's own,
    interim ones too. rest: what came behind them. end: "open", "closed" or "reset". seen: the complete requests that the server saw.
    """

    before = after = None
    responses = ()
    rest = b""

    def told(self):
        """To compare two times: framing of chunks left out, as it depends on how the bytes were read."""
        responses = [(message.mask_date(r.raw_head), r.body, r.trailers, r.complete) for r in self.responses]
        seen = [(r.raw_head, r.body, r.trailers) for r in self.seen]
        return self.fold((responses, self.rest, self.end, seen))

    def fold(self, what):
        """The same with the row's own target called /CASE, and so on."""
        if isinstance(what, bytes):
            for name, other in self.names:
                what = what.replace(name, other)
            return what
        if isinstance(what, (tuple, list)):
            return tuple(self.fold(w) for w in what)
        return what


def play(stand, row, unread=None, cut=None, around=False, cut_answer=None):
    """
    cut: where the row is cut in two; the second piece goes when the first was read. around: a good request before it, in the first
    piece, and one after it, in the second. cut_answer: where the server's answer is cut in the same way.
    """
    number = next(_numbers)
    target, first, last = b"/v%07d" % number, b"/f%07d" % number, b"/l%07d" % number
    played = Played()
    played.names = [(target, b"/CASE"), (first, b"/FIRST"), (last, b"/LAST"), (stand.server.address.encode(), b"SERVER")]
    answer = row.answer
    stand.answers.clear()
    stand.cut_answer = cut_answer
    stand.answer_len = 0
    stand.answers[target] = answer.replace(b"/CASE", target) if isinstance(answer, bytes) else answer
    data = b"".join(row.sent).replace(b"/CASE", target)
    pieces = [data] if cut is None else [data[:cut], data[cut:]]
    if around:
        pieces[0] = GOOD % first + pieces[0]
        if ends_itself(row):
            pieces[-1] += GOOD % last
            if row.kind == "refused" or row.get("after") == "closed":
                stand.unwanted[last] = (row.name + ", the request after it", "nothing")
    if row.kind == "refused":
        stand.unwanted[target] = (row.name, row.get("server", "nothing"))
    start = len(stand.server.requests)
    client = Client(stand.tplb.address)
    try:
        for n, piece in enumerate(pieces):
            if n > 0 and unread:
                unread.wait_read(client.sock)
            if not client.try_send(piece):
                break
        if row.get("half_close"):
            client.half_close()
        _read(client, row, played, around)
    finally:
        client.close()
    with stand.server.changed:
        played.seen = stand.server.requests[start:]
    played.sent_len, played.answer_len = len(data), stand.answer_len
    return played


def ends_itself(row):
    """Whether the row's bytes are done for whoever reads them, so that a request can follow."""
    return not row.get("half_close") and row.get("after") != "tunnel"


def _read(client, row, played, around):
    method = row.get("method", b"GET")
    if around:
        played.before = message.read_response(client, b"GET")
    if row.kind == "truncated":
        played.responses = [message.read_response(client, method)]
        played.end = "reset" if client.was_reset else "cut"
        return
    if row.kind == "refused" or row.get("after") in ("closed", "tunnel"):
        whole = client.read_to_end()
        played.responses = message.parse_responses(whole, method)
        played.rest = played.responses[-1].after if played.responses else whole
        played.end = "reset" if client.was_reset else "closed"
        return
    played.responses = []
    while not played.responses or played.responses[-1].status < 200:
        response = message.read_response(client, method)
        if response is None:
            break
        played.responses.append(response)
    final = played.responses[-1] if played.responses else None
    if final is None or not final.complete or final.has_token("Connection", b"close"):
        played.rest = client.read_to_end()
        played.end = "reset" if client.was_reset else "closed"
        return
    if not around or not ends_itself(row):
        client.send(GOOD % b"/again")
    played.after = message.read_response(client, b"GET")
    played.end = "open" if played.after and played.after.complete else "lost"


def check(row, played, exact=True):
    """A failure unless it is what the row expects. exact: byte for byte; else chunks may have been cut otherwise."""
    method = row.get("method", b"GET")
    if row.kind == "truncated":
        check_truncated(played.responses[0], played.end == "reset")
        return
    if played.end == "reset":
        raise AssertionError("reset, after %r" % [r.raw for r in played.responses])
    alive = 200 if getattr(row.table, "reaches_server", True) else 503
    for other in (played.before, played.after):
        if other is not None and other.status != alive:
            raise AssertionError("a good request beside it got %r" % other.raw)
    if row.get("silent") and not played.responses and not played.rest:
        if [r for r in played.seen if played.fold(r.target) == b"/CASE"]:
            raise AssertionError("the server saw it whole")
        return
    _check_good(row, played)
    if not played.responses:
        raise AssertionError("no answer, %r" % played.rest)
    final = played.responses[-1]
    seen = [r for r in played.seen if played.fold(r.target) not in (b"/FIRST", b"/LAST", b"/again")]
    if row.kind in ("refused", "failed"):
        own = played.responses[-1].raw + played.rest if row.kind == "refused" else final.raw
        check_own_answer(own, row.get("statuses", (400,) if row.kind == "refused" else (502,)), b"close" if row.kind == "refused" else None, method == b"HEAD")
        times = row.get("times", 1) if row.kind == "failed" else 0
        least, most = times if isinstance(times, tuple) else (times, times)
        if not least <= len(seen) <= most:
            raise AssertionError("the server saw %r" % [r.raw for r in seen])
        return
    if len(seen) != 1:
        raise AssertionError("the server saw %r" % [r.raw for r in seen])
    _check_passed(row, played, final, seen[0], exact)


def _check_good(row, played):
    """The requests around it, as the server saw them: exactly, and in their order."""
    seen = [(played.fold(r.target), played.fold(r.raw)) for r in played.seen]
    good = {name: request(b"GET " + name + b" HTTP/1.1", [b"Host: h"]) for name in (b"/FIRST", b"/LAST")}
    for target, raw in seen:
        if raw != good.get(target, raw):
            raise AssertionError("the server saw %r" % raw)
    places = [{b"/FIRST": 0, b"/LAST": 2}.get(target, 1) for target, _ in seen if target != b"/again"]
    answered = getattr(row.table, "reaches_server", True)
    last = played.before and played.after and ends_itself(row)
    wanted = [0] * bool(played.before and answered) + [1] * places.count(1) + [2] * bool(last and answered)
    if places != wanted:
        raise AssertionError("the server saw these in this order: %r" % [target for target, _ in seen])


def _check_passed(row, played, final, seen, exact):
    if row.get("after") == "open" and played.end != "open" or row.get("after") == "closed" and (played.end, played.rest) != ("closed", b""):
        raise AssertionError("after it: %s, %r" % (played.end, played.rest))
    wanted = row.get("seen")
    if wanted is not None:
        _same(played, [seen], [message.parse_request(wanted)], exact)
    if row.get("check_seen"):
        row.get("check_seen")(seen)
    wanted = row.get("got")
    if wanted is not None:
        responses = message.parse_responses(wanted, row.get("method", b"GET"))
        if responses[-1].after != (played.rest if row.get("after") == "tunnel" else b""):
            raise AssertionError("after the answer: %r" % played.rest)
        _same(played, played.responses, responses, exact)
    if row.get("check_got"):
        final.after = played.rest
        row.get("check_got")(final)


def _same(played, ours, wanted, exact):
    def plain(messages):
        if exact:
            return played.fold([message.mask_date(m.raw) for m in messages])
        return played.fold([(message.mask_date(m.raw_head), m.body, m.trailers) for m in messages])

    if plain(ours) != plain(wanted):
        raise AssertionError("%r is not %r" % (plain(ours), plain(wanted)))
