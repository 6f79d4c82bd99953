"""TCP ports on the loopback address: who has one, whether something listens, keeping them from outgoing connections."""

import errno
import os
import socket
import time

from tplb_bench.processes import Trouble

RESERVED = "/proc/sys/net/ipv4/ip_local_reserved_ports"
LISTEN = "0A"
REST_S = 70


def answers(port):
    """Whether something listens. A connection that met itself, as happens in the range of outgoing ports, is a refusal."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            return s.getsockname() != s.getpeername()
    except OSError:
        return False


def inodes(port):
    """Of the sockets on this local port: [(inode, listens)]."""
    found = []
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path) as f:
                lines = f.read().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if int(fields[1].rsplit(":", 1)[1], 16) == port and fields[9] != "0":
                found.append((fields[9], fields[3] == LISTEN))
    return found


def holder(port):
    """Who has it, in words; None when nobody does any more, and it rests after a connection."""
    wanted = {"socket:[%s]" % inode: listens for inode, listens in inodes(port)}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.listdir("/proc/%s/fd" % pid):
                target = os.readlink("/proc/%s/fd/%s" % (pid, fd))
                if target in wanted:
                    with open("/proc/%s/comm" % pid) as f:
                        name = f.read().strip()
                    return "%s (process %s) %s" % (name, pid, "listens there" if wanted[target] else "has an outgoing connection from it")
        except OSError:
            continue
    return "another user's process has it" if wanted else None


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("0.0.0.0", port))
        except OSError as e:
            if e.errno != errno.EADDRINUSE:
                raise Trouble("port %d: %s" % (port, e.strerror)) from None
            return False
    return True


def must_be_free(ports, say):
    """Trouble tells of all that are not. One that only rests (TIME_WAIT) after somebody's outgoing connection is waited for."""
    until = time.monotonic() + REST_S
    told = False
    while True:
        taken = {port: holder(port) for port in sorted(ports) if not is_free(port)}
        held = ["port %d is in use: %s" % (port, who) for port, who in taken.items() if who]
        if held:
            raise Trouble("\n".join(held + ["end what holds them, then run tplb-bench again"]))
        if not taken:
            return
        if time.monotonic() > until:
            raise Trouble("not free after %d s: ports %s" % (REST_S, ", ".join(map(str, taken))))
        if not told:
            say("waiting up to a minute for ports that outgoing connections have just used: " + ", ".join(map(str, taken)))
            told = True
        time.sleep(0.5)


class Reservation:
    """Keeps ports from being given to outgoing connections, where that is allowed, until it is closed."""

    def __init__(self, ports):
        self.ports, self.before, self.why_not = ports, None, None
        try:
            with open(RESERVED) as f:
                before = f.read().strip()
            with open(RESERVED, "w") as f:
                f.write(",".join(([before] if before else []) + [str(p) for p in ports]))
            self.before = before
        except OSError as e:
            self.why_not = "ports %s could not be reserved (%s): sysctl -w net.ipv4.ip_local_reserved_ports=%s as root does it" \
                % (" and ".join(map(str, ports)), e.strerror, ",".join(map(str, ports)))

    def close(self):
        if self.before is not None:
            with open(RESERVED, "w") as f:
                f.write(self.before + "\n")
            self.before = None
