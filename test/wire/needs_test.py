"""What tplb -t says the configuration needs of the system, and what a start does about it."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import re
import resource

from support.case import WireCase, main
from support.raw import wait_until
from support.tplb import config_text, one_listener, run, thread_sanitized, with_engine

# More than any system's default lets a process have, whoever it is.
MOST = {"connections": 1048576}


def few(soft, hard):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Needs(WireCase):
    def file(self, **groups):
        path = os.path.join(self.directory(), "tplb.conf")
        with open(path, "w") as f:
            f.write(config_text(with_engine(one_listener(["127.0.0.1:1"], **groups))))
        return path

    def check(self, path, *args, preexec=None):
        """tplb -t, which must go well: the rows of the table, {resource: (needed, verdict, the lines below)}; its warnings."""
        status, out, err = run(["-t", "-f", path, *args], preexec=preexec)
        self.assertEqual(status, 0, err)
        lines = out.splitlines()
        self.assertEqual(lines[0], path + ": configuration is valid")
        rows = {}
        for line in lines[1:]:
            m = re.fullmatch(r"(\w[\w ]*\w) +(\d+)(?: [KM]iB)? +(?:\d+(?: [KM]iB)?|-)  (well|short)  +.*", line)
            if m:
                name = m.group(1)
                rows[name] = (int(m.group(2)), m.group(3), [])
            elif line.startswith("    ") and rows:
                rows[name][2].append(line.strip())
        return rows, err.splitlines()

    @staticmethod
    def total(terms):
        """The sum that the table shows, worked out again."""
        return sum(int(n) * int(each or 1) for n, each in re.findall(r"(?:^| )(\d+)(?: x (\d+))? [a-z]", " ".join(terms)))


class Table(Needs):
    def test_the_sums_are_what_is_shown(self):
        rows, _ = self.check(self.file(limits={"connections": 100}))
        for name in ("descriptors", "threads", "mappings", "address space", "memory", "backlog", "ports"):
            self.assertIn(name, rows)
        for name in ("descriptors", "threads", "mappings", "backlog", "ports"):
            needed, _, terms = rows[name]
            self.assertEqual(self.total(terms), needed, terms)

    def test_what_the_command_line_says_counts(self):
        path = self.file()
        one, _ = self.check(path, "-w", "1")
        four, _ = self.check(path, "-w", "4")
        self.assertEqual(four["threads"][0] - one["threads"][0], 3)

    def test_servers_on_unix_sockets_need_no_ports(self):
        path = os.path.join(self.directory(), "tplb.conf")
        with open(path, "w") as f:
            f.write(config_text(one_listener(["unix:/run/x.sock"])))
        rows, _ = self.check(path)
        self.assertNotIn("ports", rows)

    def test_short(self):
        """A warning with the file's place, which limit it is, and a value that is enough; the exit status is 0."""
        path = self.file(limits=MOST)
        rows, warnings = self.check(path, preexec=few(4000, 4000))
        needed, verdict, lines = rows["descriptors"]
        self.assertEqual(verdict, "short")
        found = [w for w in warnings if "descriptors are needed" in w]
        self.assertEqual(len(found), 1, warnings)
        self.assertRegex(found[0], r"^%s:\d+: limits\.connections: warning: %d descriptors " % (re.escape(path), needed))
        self.assertRegex(found[0], r" (RLIMIT_NOFILE \(hard\)|fs\.nr_open) leaves \d+: it takes .*%d" % needed)
        remedy = found[0].split("it takes ", 1)[1]
        self.assertEqual(lines[-1], "It takes %s." % remedy)
        value = re.search(r"set limits\.connections to (\d+)$", remedy)
        if value:
            more, _ = self.check(self.file(limits={"connections": int(value.group(1)) + 1}), preexec=few(4000, 4000))
            enough, _ = self.check(self.file(limits={"connections": int(value.group(1))}), preexec=few(4000, 4000))
            self.assertEqual((more["descriptors"][1], enough["descriptors"][1]), ("short", "well"))

    def test_a_mistake_comes_first(self):
        """No table of a configuration that is wrong."""
        status, out, err = run(["-t", "-f", self.file(limits={"connections": 0})])
        self.assertEqual((status, out), (2, ""))
        self.assertNotIn("needed", err)


class Start(Needs):
    def soft_limit(self):
        with open("/proc/%d/limits" % self.balancer.pid) as f:
            return int(re.search(r"Max open files +(\d+)", f.read()).group(1))

    def test_what_is_needed(self):
        """The limit of descriptors goes up to what -t says and no further, and there are as many threads as it says, but for one, that of the end."""
        self.tplb(self.server(), limits={"connections": 100}, preexec=few(64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        rows, _ = self.check(self.balancer.path)
        needed = rows["descriptors"][0]
        if rows["descriptors"][1] == "short":
            self.skipTest("the limit of descriptors is too low (ulimit -Hn)")
        self.assertEqual(self.soft_limit(), needed)
        self.assertEqual(self.client().get().status, 200)
        if not thread_sanitized():
            threads = lambda: len(os.listdir("/proc/%d/task" % self.balancer.pid))
            wait_until(lambda: threads() == rows["threads"][0] - 1, lambda: "%d threads, but %d" % (rows["threads"][0] - 1, threads()))

    def test_few_descriptors(self):
        """Fewer clients are let in then, and it says so."""
        self.tplb(self.server(), limits=MOST, preexec=few(256, 256))
        self.balancer.wait_line(r"warning: \d+ descriptors are needed at most, and (RLIMIT_NOFILE \(hard\)|fs\.nr_open) leaves \d+: it takes ")
        lowered = self.balancer.wait_line(r"warning: limits\.connections: at most (\d+) at once, for want of descriptors")
        self.assertGreaterEqual(int(lowered.group(1)), 128)
        self.assertLess(int(lowered.group(1)), MOST["connections"])
        self.assertEqual(self.client().get().status, 200)


if __name__ == "__main__":
    main()
