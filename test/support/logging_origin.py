"""
An origin, in a process of its own so that it can be killed, that writes down the target of every request before it answers: one line each, appended to a
file that outlives it. Answers with its name. Bodies need a length. Runs until it is killed.

    logging_origin.py ADDRESS NAME LOG
"""

import asyncio
import os
import socket
import sys

TAKES_SECONDS = 0.02  # so that many requests are under way at any time


class Origin(asyncio.Protocol):
    def __init__(self, answer, log):
        self.answer, self.log, self.input = answer, log, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.input += data
        while True:
            head, end, rest = self.input.partition(b"\r\n\r\n")
            if not end:
                return
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(rest) < length:
                return
            self.input = rest[length:]
            os.write(self.log, head.split(b" ", 2)[1] + b"\n")
            asyncio.get_running_loop().call_later(TAKES_SECONDS, self.transport.write, self.answer)


async def serve(address, name, path):
    host, _, port = address.rpartition(":")
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    body = name.encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, int(port)))
    sock.listen(4096)
    server = await asyncio.get_running_loop().create_server(lambda: Origin(answer, log), sock=sock)
    print("listening on %s:%d" % sock.getsockname(), file=sys.stderr, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
