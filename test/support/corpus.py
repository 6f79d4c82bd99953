"""
Collects what the tests of tables and limits send, so that the same bytes can go through several engines.

The classes of other test files run here against things that record and do nothing: what was to be sent until the first look at an
answer becomes a Case. What is a row of a table (refused, passed, failed, truncated) is kept as a Row, with what is
expected of it.
"""

import contextlib
import itertools
import re
import unittest

from support.server import OK
from support.table import TableCase


class Case:
    """
    One client's doings. parts: sent one after the other; leave: None, "half_close", "close" or "reset" after them. answers: the methods
    of the requests whose answers are read, or None: everything is read to the end. answer: the server's, by target.
    """

    def __init__(self, name, parts, target=None, answer=OK, answers=None, leave=None):
        self.name, self.parts, self.target = name, parts, target
        self.answer, self.answers, self.leave = answer, answers, leave

    def __repr__(self):
        return "%s: %r" % (self.name, b"".join(self.parts)[:200])


class Row:
    """
    A row of a table: the number of the behaviour (0: of none) and a name that no other row has; kind "refused", "passed", "failed" or
    "truncated", and the arguments of TableCase's method of that name: sent (a list), answer, and the others in `expected`.
    """

    def __init__(self, table, test, name, kind, sent, answer, expected):
        words = re.match(r"test_(?:(\d\d)_)?(.*)", test)
        self.table = table
        self.number = int(words.group(1) or 0)
        self.name = "%02d %s: %s" % (self.number, words.group(2).replace("_", " "), name)
        self.kind, self.sent, self.answer, self.expected = kind, sent if isinstance(sent, list) else [sent], answer, expected

    def get(self, what, default=None):
        value = self.expected.get(what)
        return default if value is None else value


class _Recorded(Exception):
    """The rest of a test would look at what came back."""


class _Client:
    """Records what a client is told to do."""

    def __init__(self, book):
        self.book = book
        self.parts = []

    def send(self, data):
        self.parts.append(data)
        return self

    def try_send(self, data):
        self.send(data)
        return True

    def send_bytewise(self, data):
        self.parts += [data[i : i + 1] for i in range(len(data))]
        return self

    def get(self, target=b"/", host=b"h", extra=b""):
        self.send(b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + extra + b"\r\n")
        self._end([b"GET"])

    def response(self, method=b"GET"):
        self._end([method])

    whole_response = response

    def read_until(self, what):
        self._end([b"GET"])

    @property
    def buf(self):
        """Some read an answer themselves."""
        self._end([b"GET"])

    def read_to_end(self):
        self._end(None)

    def half_close(self):
        self._end(None, "half_close")

    def close(self):
        if self.parts:
            self._end([], "close")

    def reset(self):
        self._end([], "reset")

    def _end(self, answers, leave=None):
        parts, self.parts = self.parts, []
        self.book.record(parts, answers=answers, leave=leave)
        raise _Recorded


class _Server:
    """Stands for one that nobody reaches while things are recorded."""

    requests = connections = ()
    address = "127.0.0.1:1"


class _Book:
    """Mixed into a test class: its methods then record."""

    def begin(self, name, numbers):
        self.cases, self.rows, self.answers, self.name = [], [], {}, name
        self.origin = _Server()
        self.options = {}
        self._numbers = numbers

    def record(self, parts, answer=None, answers=None, leave=None, name=None):
        target = next((t for t in self.answers if any(t in p for p in parts)), None)
        answer = answer if answer is not None else self.answers.get(target, OK)
        self.cases.append((self.options, Case("%s: %s" % (self.name, name or self.part), parts, target, answer, answers, leave)))

    part = ""
    unwanted = []

    @contextlib.contextmanager
    def subTest(self, msg="", **params):
        self.part = "%s %s" % (msg, params or "")
        try:
            yield
        except _Recorded:
            pass
        self.part = ""

    def fresh(self):
        return b"/d%05d" % next(self._numbers)

    def client(self, *args, **options):
        return _Client(self)

    connect = client

    def server(self, script=None, **options):
        return _Server()

    def tplb(self, *servers, **options):
        self.options = options

    def _check_alive(self):
        pass


class _Table(_Book):
    def _one(self, name, sent, answer, answers, leave=None):
        target = self.fresh()
        parts = [p.replace(b"/CASE", target) for p in (sent if isinstance(sent, list) else [sent])]
        self.answers[target] = answer.replace(b"/CASE", target) if isinstance(answer, bytes) else answer
        self.record(parts, self.answers[target], answers, leave, name)

    def _row(self, kind, name, sent, answer, expected):
        self.rows.append(Row(type(self).table, self._testMethodName, name, kind, sent, OK if answer is None else answer, expected))

    def refused(self, name, sent, statuses=(400,), server="nothing", half_close=False, method=b"GET", silent=False):
        expected = {"statuses": statuses, "server": server, "half_close": half_close, "method": method, "silent": silent}
        self._row("refused", name, sent, OK, expected)
        self._one(name, sent, OK, None, "half_close" if half_close else None)

    def passed(self, name, sent, answer=OK, after="open", method=b"GET", half_close=False, client=None, **expected):
        self._row("passed", name, sent, answer, dict(expected, after=after or "any", method=method, half_close=half_close))
        whole = after in ("closed", "tunnel")
        self._one(name, sent, OK if answer is None else answer, None if whole else [method], "half_close" if half_close else None)

    def failed(self, name, sent, statuses=(502,), answer=OK, times=1, method=b"GET"):
        self._row("failed", name, sent, answer, {"statuses": statuses, "times": times, "method": method})
        self._one(name, sent, answer, [method])

    def truncated(self, name, sent, answer):
        self._row("truncated", name, sent, answer, {})
        self._one(name, sent, answer, [b"GET"])


class _Limits(_Book):
    def refused(self, data, statuses, server):
        for size in (len(data), 700):
            self.record([data[i : i + size] for i in range(0, len(data), size)], name=repr(data[:40]))


def _books(classes):
    """Each test of these classes, recorded."""
    numbers = itertools.count(1)
    for cls in classes:
        book = type("Book", (_Table if issubclass(cls, TableCase) else _Limits, cls), {"table": cls})
        for test in unittest.defaultTestLoader.getTestCaseNames(cls):
            one = book(test)
            one.begin("%s.%s" % (cls.__name__, test), numbers)
            if issubclass(cls, TableCase):
                one.options = cls.config
            try:
                getattr(one, test)()
            except _Recorded:
                pass
            yield one


def harvest(*classes):
    """All that these test classes send, as a list of (options of the configuration, cases), those of equal options together."""
    groups = {}
    for book in _books(classes):
        for options, case in book.cases:
            groups.setdefault(repr(sorted(options.items())), (options, []))[1].append(case)
    return list(groups.values())


def rows(*classes):
    """All rows of these table tests."""
    found, names = [], {}
    for row in itertools.chain.from_iterable(book.rows for book in _books(classes)):
        count = names[row.name] = names.get(row.name, 0) + 1
        if count > 1:
            row.name += " (%d)" % count
        found.append(row)
    return found


def failures(path):
    """(version, names of rows) of a list of what a peer fails: its first line is the peer's name and version."""
    with open(path, encoding="utf-8") as f:
        lines = [line.rstrip("\n") for line in f if line.strip() and not line.startswith("#")]
    return lines[0].partition(" ")[2], set(lines[1:])
