"""
Tests as rows of a table: raw bytes in; what the client gets; what the server saw; how the connection is after it.

In every bytes of a row, /CASE stands for a target that no other row uses. Rows of a class share one tplb and one server, so that a row
that leaves something behind is caught by the next one.
"""

import itertools

from support import message
from support.case import WireCase
from support.expect import check_own_answer
from support.raw import Client
from support.server import OK, Server, by_target
from support.tplb import Tplb, one_listener

_numbers = itertools.count(1)


def check_truncated(response, was_reset):
    """A failure where a client could take this answer for whole."""
    if response is None:
        if not was_reset:
            raise AssertionError("a clean end without an answer")
    elif response.status == 502:  # as long as nothing has gone to the client
        check_own_answer(response.raw, (502,))
    elif response.complete:
        raise AssertionError("it looks whole: %r" % response.raw[:1000])


class TableCase(WireCase):
    config = {}  # further groups of the configuration

    @staticmethod
    def prepare(origin):
        """What a class does with its server before it is used."""

    @classmethod
    def setUpClass(cls):
        cls.answers = {}
        cls.unwanted = []
        cls.origin = Server(by_target(cls.answers))
        cls.prepare(cls.origin)
        try:
            cls.shared = Tplb(one_listener([cls.origin], **cls.config))
        except BaseException:
            cls.origin.stop(check=False)
            raise

    @classmethod
    def tearDownClass(cls):
        # With tplb gone all that it sent has arrived, and its servers' connections are at their ends.
        try:
            cls.shared.stop()
            cls.origin.wait(lambda: all(c.finished for c in cls.origin.connections), "the end of all connections")
            seen = [(bytes(c.bytes), c.requests) for c in cls.origin.connections]
        finally:
            cls.origin.stop()
        for name, target, how in cls.unwanted:
            for data, requests in seen:
                if how == "nothing" and target in data:
                    raise AssertionError("%s: the server was to see nothing and saw %r" % (name, data))
                if how == "cut" and any(r.complete and r.target == target for r in requests):
                    raise AssertionError("%s: the server was to see no complete request" % name)

    def setUp(self):
        super().setUp()
        self.balancer = self.shared

    def fresh(self):
        return b"/c%05d" % next(_numbers)

    def connect(self):
        return self.client()

    def refused(self, name, sent, statuses=(400,), server="nothing", half_close=False, method=b"GET", silent=False):
        """
        A request that is refused and whose connection is closed. server: "nothing" reached it, or what did was "cut" short.
        sent: bytes, or a list of bytes sent one after the other. silent: it may also be closed without an answer.
        """
        target = self.fresh()
        with self.subTest(name):
            type(self).unwanted.append((name, target, server))
            client = self.connect()
            for part in sent if isinstance(sent, list) else [sent]:
                if not client.try_send(part.replace(b"/CASE", target)):
                    break
            if half_close:
                client.half_close()
            got = client.read_to_end()
            self.assertFalse(client.was_reset, "the refusal may be lost to a reset")
            if got or not silent:
                check_own_answer(got, statuses, b"close", head=method == b"HEAD")
            self._check_alive()
            client.close()

    def _check_alive(self):
        """tplb still serves others."""
        other = Client(self.balancer.address)
        try:
            got = other.get(b"/alive")
            self.assertEqual((got.status, got.body), (200, b"ok"))
        finally:
            other.close()

    def failed(self, name, sent, statuses=(502,), answer=OK, times=1, method=b"GET"):
        """
        A good request whose server fails it: tplb answers itself, with one of these statuses, and serves others. times: how often the server
        saw it, or the least and the most.
        """
        target = self.fresh()
        least, most = times if isinstance(times, tuple) else (times, times)
        with self.subTest(name):
            self.answers[target] = answer
            client = self.connect()
            client.send(sent.replace(b"/CASE", target))
            got = client.whole_response(method)
            check_own_answer(got.raw, statuses, head=method == b"HEAD")
            # A timeout's answer may be there before the server has looked.
            self.origin.wait(lambda: sum(r.target == target for r in self.origin.requests) >= least, "the request, %d times" % least)
            seen = [r for r in self.origin.requests if r.target == target]
            self.assertTrue(least <= len(seen) <= most, "the server saw it %d times" % len(seen))
            for connection in {id(r.connection): r.connection for r in seen}.values():
                self.origin.wait(lambda connection=connection: connection.finished, "the end of the server's connection")
            if got.has_token("Connection", b"close"):
                client.expect_closed()
            self._check_alive()
            client.close()

    def truncated(self, name, sent, answer):
        """A good request whose server breaks off within its answer: the client gets 502, or what looks cut short."""
        target = self.fresh()
        with self.subTest(name):
            self.answers[target] = answer
            client = self.connect()
            client.send(sent.replace(b"/CASE", target))
            check_truncated(message.read_response(client), client.was_reset)
            client.close()

    def passed(
        self, name, sent, seen=None, answer=OK, got=None, after="open", method=b"GET", check_seen=None, check_got=None, client=None,
        half_close=False,
    ):
        """
        A request that is passed on. seen: the request as the server saw it, byte for byte; got: the answer as the client got it, Date
        masked, interim ones too. check_seen(request), check_got(response): where the bytes have some freedom. after: "open" (the connection
        serves a further request), "closed" or "tunnel", which the server ends, and all of which is in got.
        """
        target = self.fresh()

        def fill(data):
            return data.replace(b"/CASE", target)

        with self.subTest(name):
            if answer is not None:
                self.answers[target] = answer if callable(answer) else fill(answer)
            own = client is None
            client = client or self.connect()
            for part in sent if isinstance(sent, list) else [sent]:
                client.send(fill(part))
            if half_close:
                client.half_close()
            if after == "tunnel" or after == "closed" and got is not None:
                raw = client.read_to_end()
                self.assertFalse(client.was_reset, "a clean close was expected")
                if got is not None:
                    self.assertEqual(message.mask_date(raw), message.mask_date(fill(got)))
                if check_got:
                    check_got(message.parse_responses(raw, method)[-1])
            else:
                raw, response = b"", client.whole_response(method)
                while response.status < 200 and got is not None:
                    raw, response = raw + response.raw, client.whole_response(method)
                if got is not None:
                    self.assertEqual(message.mask_date(raw + response.raw), message.mask_date(fill(got)))
                if check_got:
                    check_got(response)
            request = self.origin.wait_request(target)
            if seen is not None:
                self.assertEqual(request.raw, fill(seen))
            if check_seen:
                check_seen(request)
            if after == "closed":
                client.expect_closed()
            elif after == "open":
                again = client.get(b"/again")
                self.assertEqual((again.status, again.body), (200, b"ok"))
            if own:
                client.close()
