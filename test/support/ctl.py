"""A tplb with an admin socket, and tplbctl to talk to it."""

import json
import os
import subprocess

from .case import WireCase
from .load import workers_of
from .raw import BOUND, Client, wait_until
from .tplb import CTL, environment

SOCKET = {"socket": "@DIR@/ctl.sock"}


class CtlCase(WireCase):
    def start(self, *servers, **options):
        self.tplb(*(servers or (self.server(),)), admin=options.pop("admin", SOCKET), **options)
        self.path = os.path.join(self.balancer.directory, "ctl.sock")
        return self.balancer

    def ctl(self, *args, path=None, preexec=None):
        """(status, standard output, standard error)"""
        if not os.access(CTL, os.X_OK):
            raise AssertionError("%s is not there: set TPLBCTL or run where it was built" % CTL)
        argv = [CTL] + (["-s", path or self.path] if path is not False else []) + list(args)
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=2 * BOUND, env=environment(), preexec_fn=preexec
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def good(self, *args):
        """The lines of an answer that ends well."""
        status, out, err = self.ctl(*args)
        self.assertEqual((status, err), (0, ""), args)
        return out.splitlines()

    def bad(self, *args):
        """What is wrong, in one line."""
        status, out, err = self.ctl(*args)
        self.assertEqual(status, 1, (args, out, err))
        self.assertRegex(err, r"\Atplbctl: [^\n]+\n\Z")
        return err[len("tplbctl: ") : -1]

    def json(self, *args):
        """The data of an answer that ends well: one line."""
        lines = self.good("--json", *args)
        self.assertEqual(len(lines), 1, lines)
        return json.loads(lines[0])

    def bad_json(self, *args):
        """What is wrong: the same as in words, with what was said before."""
        status, out, err = self.ctl("-j", *args)
        self.assertEqual((status, out.count("\n")), (1, 1), (args, out, err))
        data = json.loads(out)
        self.assertEqual(err, "tplbctl: %s\n" % data["error"])
        return data

    def values(self, *args):
        return dict(line.split(" ", 1) for line in self.good(*args))

    def raw(self, bound=BOUND):
        client = Client("unix:" + self.path, bound)
        self._clients.append(client)
        return client

    def wait_workers(self, n):
        wait_until(lambda: workers_of(self.balancer) == n, lambda: "%d workers, but %d" % (n, workers_of(self.balancer)))
