#!/usr/bin/env python3
"""park.py PORT N: opens N keep-alive connections to 127.0.0.1:PORT, one request and its answer on each, and holds them.

Prints "ready" when all are parked. When standard input ends it prints how many the server has closed meanwhile and leaves.
"""

import errno
import select
import socket
import sys
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
END = b"Ini Adalah web Server percobaan"
AT_ONCE = 100  # connections that are being opened
SECONDS = 60


def main():
    port, wanted = int(sys.argv[1]), int(sys.argv[2])
    poll = select.epoll()
    socks = {}  # by descriptor
    busy = {}  # descriptor: bytes of the answer so far
    opened = 0
    deadline = time.monotonic() + SECONDS
    while opened < wanted or busy:
        if time.monotonic() > deadline:
            sys.exit("only %d of %d connections were answered within %d s" % (opened - len(busy), wanted, SECONDS))
        while opened < wanted and len(busy) < AT_ONCE:
            sock = socket.socket()
            sock.setblocking(False)
            error = sock.connect_ex(("127.0.0.1", port))
            if error not in (0, errno.EINPROGRESS):
                sys.exit("connect: " + errno.errorcode[error])
            socks[sock.fileno()] = sock
            busy[sock.fileno()] = None
            poll.register(sock.fileno(), select.EPOLLOUT)
            opened += 1
        for fd, _ in poll.poll(1):
            if busy[fd] is None:
                socks[fd].send(REQUEST)
                busy[fd] = b""
                poll.modify(fd, select.EPOLLIN)
                continue
            got = socks[fd].recv(4096)
            if not got:
                sys.exit("closed before the answer was there: %r" % busy[fd])
            busy[fd] += got
            if busy[fd].endswith(END):
                if not busy[fd].startswith(b"HTTP/1.1 200"):
                    sys.exit("not a 200: %r" % busy[fd])
                del busy[fd]
                poll.modify(fd, 0)  # only its end is reported
    print("ready", flush=True)
    sys.stdin.read()
    closed = 0
    for sock in socks.values():
        try:
            closed += sock.recv(1) == b""
        except BlockingIOError:
            pass
        except OSError:
            closed += 1
    print(closed, flush=True)


main()
