"""
Every row of the tables cut in two at every byte, the server's answers too: alone, and between two good requests on the same connection;
over fresh connections to the server, and over kept ones. The second piece goes when tplb has read the first. What comes of it is what
comes of the whole: the client's answers, the end of its connection, and what the server saw.

`make check` takes every 97th, so that all rows and all ways meet; TPLB_LONG=1 takes all, TPLB_STRIDE=N every Nth.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import itertools
import unittest

import conduct_test
import forwarding_test
import framing_test
import interaction_test
import responses_test
import syntax_test
import target_test
from support import corpus, message
from support.behaviours import BEHAVIOURS, table
from support.case import main
from support.unread import Unread
from support.vectors import Stand, check, play

LONG = bool(os.environ.get("TPLB_LONG"))
STRIDE = int(os.environ.get("TPLB_STRIDE", 1 if LONG else 97))  # every how many of the ways to play a row is played
WHOLE = 1200  # bytes up to which every cut counts; of what is larger the ends, and some between

TABLES = (
    framing_test.Framing,
    syntax_test.Syntax,
    syntax_test.Limits,
    target_test.Target,
    forwarding_test.Forwarding,
    responses_test.Responses,
    conduct_test.Conduct,
    conduct_test.Late,
    conduct_test.Unreachable,
)
# What takes two that wait for each other is no row: test_44 and others there.
ELSEWHERE = {44: interaction_test.Interaction}


def cuts(length):
    if length <= WHOLE:
        return range(1, length)
    return sorted({*range(1, 150), *range(150, length, length // 12), *range(length - 20, length)})


def cuts_of_answer(row, length):
    """
    All but the one before bytes that nobody asked for: these would come when the next request may have been sent already, and cannot be
    told from its answer then.
    """
    here = set(cuts(length))
    if row.kind == "passed" and isinstance(row.answer, bytes):
        try:
            here.discard(length - len(message.parse_responses(row.answer, row.get("method"))[-1].after))
        except message.Broken:  # one that is repaired: nothing follows those
            pass
    return sorted(here)


class Vectors(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.unread = Unread()
        cls.rows = corpus.rows(*TABLES)
        cls.played = 0

    @classmethod
    def tearDownClass(cls):
        print("%d rows, played %d times%s" % (len(cls.rows), cls.played, "" if cls.unread.available else ", pieces sent without waiting"))
        cls.unread.close()

    def test_every_behaviour_has_rows(self):
        numbers = {row.number for row in self.rows}
        for number, (words, _) in BEHAVIOURS.items():
            if number in ELSEWHERE:
                self.assertTrue([t for t in dir(ELSEWHERE[number]) if t.startswith("test_%02d" % number)], words)
            else:
                self.assertIn(number, numbers, words)

    def test_document(self):
        """The table of doc/http.md is that of these rows, and of what nginx and HAProxy fail."""
        top = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)
        failures = {name: corpus.failures(os.path.join(top, "test", "vectors", name + ".failures"))[1] for name in ("nginx", "haproxy")}
        with open(os.path.join(top, "doc", "http.md"), encoding="utf-8") as f:
            document = f.read()
        wanted = table(self.rows, failures)
        self.assertTrue(wanted in document, "doc/http.md has another table than\n" + wanted)

    def test_fresh_connections(self):
        self.play_all(keepalive=0)

    def test_kept_connections(self):
        self.play_all(keepalive=64)

    def play_all(self, keepalive):
        ways = itertools.count(0 if keepalive else STRIDE // 2)
        for table, rows in itertools.groupby(self.rows, lambda row: row.table):
            if getattr(table, "slow", False):  # cut anywhere they would take an hour: they are played by their own test
                continue
            stand = Stand(table, keepalive)
            try:
                for row in rows:
                    with self.subTest(row.name):
                        self.play_row(stand, row, ways)
                        stand.look()
            finally:
                stand.stop()
            if keepalive and getattr(table, "reaches_server", True):
                self.assertTrue(stand.reused, "no connection was used again")

    def play_row(self, stand, row, ways):
        whole = {around: self.play(stand, row, around=around) for around in (False, True)}
        one = whole[False]
        pieces = [{"cut": n} for n in cuts(one.sent_len)] + [{"cut_answer": n} for n in cuts_of_answer(row, one.answer_len)]
        for piece, around in itertools.product(pieces, (False, True)):
            if next(ways) % STRIDE:
                continue
            with self.subTest(row.name, around=around, **piece):
                played = self.play(stand, row, around=around, **piece)
                # How much of a truncated answer comes is chance, and how often what may be sent twice is.
                if row.kind != "truncated" and not isinstance(row.get("times"), tuple):
                    self.assertEqual(played.told(), whole[around].told())

    def play(self, stand, row, **how):
        type(self).played += 1
        played = play(stand, row, self.unread, **how)
        check(row, played, exact=not how.get("cut") and not how.get("cut_answer"))
        return played


if __name__ == "__main__":
    main()
