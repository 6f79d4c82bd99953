"""
A made-up network: hosts that are network namespaces, joined by a bridge. It is the test's own and leaves nothing behind: a namespace lives
as long as its descriptor or a process in it.
"""

import ctypes
import os
import subprocess
import threading

from support import tools
from support.raw import wait_until

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
BITS = 24
_libc = ctypes.CDLL(None, use_errno=True)


def _call(function, *args):
    if getattr(_libc, function)(*args) != 0:
        raise OSError(ctypes.get_errno(), "%s: %s" % (function, os.strerror(ctypes.get_errno())))


def ip(*lines):
    """Runs commands of ip(8) in the namespace of the calling thread, all in one go."""
    text = "".join(line + "\n" for line in lines)
    done = subprocess.run([tools.find("ip"), "-batch", "-"], input=text.encode(), capture_output=True, close_fds=False)
    if done.returncode != 0:
        raise OSError("ip: %s\n%s" % (done.stderr.decode("utf-8", "replace"), text))


def _become_root_of_our_own():
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", "0 %d 1" % uid), ("gid_map", "0 %d 1" % gid)):
        with open("/proc/self/%s" % name, "w") as f:
            f.write(text)


def why_none():
    """
    Takes the process, which must have one thread yet, into a network of its own, the bridge `lan` in it. None when that is done, else why it
    cannot be.
    """
    if not tools.find("ip"):
        return "ip (iproute2) is not installed"
    try:
        if os.geteuid() != 0:
            _become_root_of_our_own()
        _call("unshare", CLONE_NEWNET)
        ip("link set lo up", "link add lan type bridge", "link set lan up")
    except OSError as e:
        return "no network of our own here: %s" % e
    return None


class Host:
    """A namespace with an interface `eth0` on the bridge, which has these addresses."""

    count = 0

    def __init__(self, *addresses):
        self.addresses = addresses
        maker = threading.Thread(target=self._make)
        maker.start()
        maker.join()
        Host.count += 1
        port = "port%d" % Host.count
        ip(
            "link add %s type veth peer name eth0 netns /proc/self/fd/%d" % (port, self.descriptor),
            "link set %s master lan up" % port,
        )
        self.ip("link set lo up", "link set eth0 up", *["address add %s/%d dev eth0" % (a, BITS) for a in addresses])

    def _make(self):
        _call("unshare", CLONE_NEWNET)
        self.descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        os.set_inheritable(self.descriptor, True)

    def enter(self):
        """Takes the calling thread there; as `preexec` of a Process, that process."""
        _call("setns", self.descriptor, CLONE_NEWNET)

    def there(self, what):
        """The result of what(), called in this namespace."""
        results = []

        def go():
            try:
                self.enter()
                results.append((what(), None))
            except BaseException as e:
                results.append((None, e))

        thread = threading.Thread(target=go)
        thread.start()
        thread.join()
        value, error = results[0]
        if error:
            raise error
        return value

    def ip(self, *lines):
        self.there(lambda: ip(*lines))

    def has(self, address):
        """Whether eth0 has this address now."""
        shown = [tools.find("ip"), "-o", "address", "show", "dev", "eth0"]
        return (" %s/" % address) in self.there(lambda: subprocess.run(shown, capture_output=True, check=True)).stdout.decode()

    def wait_has(self, address):
        wait_until(lambda: self.has(address), "%s on %s" % (address, self.addresses[0]))

    def close(self):
        os.close(self.descriptor)


def join(*addresses):
    """The test itself is on the network, with these addresses."""
    ip(*["address replace %s/%d dev lan" % (a, BITS) for a in addresses])


def has_users():
    """Whether there are more users than the one that we are."""
    with open("/proc/self/uid_map") as f:
        return os.geteuid() == 0 and int(f.read().split()[2]) > 1
