"""
Whether the peer of a connection on this machine has read all that it was sent: the kernel tells, asked for that one socket over
NETLINK_SOCK_DIAG. So a test can send a second piece when, and only when, the first one was taken in.
"""

import os
import socket
import struct
import time

from support.raw import BOUND, Late

_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_NO_COOKIE = 0xFFFFFFFF
_ESTABLISHED = 1


class Unread:
    """One socket to the kernel; available is False where the kernel does not answer, and then wait_read does not wait."""

    def __init__(self):
        self.available = True
        try:
            self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 4)  # NETLINK_SOCK_DIAG
        except OSError:
            self.available = False
            return
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            with socket.create_connection(listener.getsockname()) as sock:
                sock.send(b"x")
                self.available = self.of_peer(sock) == 1
        if not self.available:
            self.netlink.close()

    def close(self):
        if self.available:
            self.netlink.close()

    def of_peer(self, sock):
        """Bytes that wait to be read by the other end of this IPv4 socket; None when the other end is closed or closing."""
        ours, theirs = sock.getsockname(), sock.getpeername()
        pair = struct.pack(">HH16s16s", theirs[1], ours[1], socket.inet_aton(theirs[0]), socket.inet_aton(ours[0]))
        ask = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)  # all states
        ask += pair + struct.pack("=III", 0, _NO_COOKIE, _NO_COOKIE)
        self.netlink.send(struct.pack("=IHHII", 16 + len(ask), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + ask)
        told = self.netlink.recv(8192)
        if struct.unpack_from("=H", told, 4)[0] == _NLMSG_ERROR:
            return None
        state = told[17]
        # struct inet_diag_msg: 4 bytes, the pair and its cookie (48), expires, rqueue
        return struct.unpack_from("=I", told, 16 + 4 + 48 + 4)[0] if state == _ESTABLISHED else None

    def wait_read(self, sock):
        """Returns when the peer has read all that was sent to it, or has closed."""
        if not self.available:
            return
        end = time.monotonic() + BOUND
        while True:
            try:
                left = self.of_peer(sock)
            except OSError:  # reset by the peer: there is no peer's name any more
                return
            if not left:
                return
            if time.monotonic() > end:
                raise Late("the peer has not read %d bytes" % left)
            os.sched_yield()
