"""
The servers of a soak, in a process of their own, which can be killed and comes back at its address:

    origin.py http ADDRESS    answers with what it was asked, so that an answer tells whose it is
    origin.py echo ADDRESS    sends back every byte, for tcp mode

A target of the first kind is /WHAT/ID or /WHAT/ID/N:

    /get/ID         the body is ID
    /post/ID        ID, the length and the CRC-32 of the request's body
    /big/ID/N       N bytes made from ID, with a length; /chunked/ID/N in chunks
    /slow/ID/N      ID, N ms later
    /upgrade/ID     101, then it sends back every byte
    /cut/ID         half of the promised body, then the end; /reset/ID: then a reset; /nothing/ID: the end at once
    /garbage/ID     no HTTP; /silent/ID: nothing for twenty seconds; /twice/ID: two answers where one is asked for
"""

import asyncio
import socket
import struct
import sys
import zlib

PIECE = 65536


def pattern(name, size):
    """`size` bytes that no other name gives."""
    unit = (name + b"|") * (4096 // (len(name) + 1) + 1)
    return (unit * (size // len(unit) + 1))[:size]


def answer(body, fields=b""):
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (fields, len(body), body)


class Left(Exception):
    """The other side is gone."""


class Connection:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def body(self, fields):
        """(length, CRC-32) of the request's body."""
        length = crc = 0
        if b"transfer-encoding" in fields:
            while True:
                size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
                if size == 0:
                    while await self.reader.readuntil(b"\r\n") != b"\r\n":
                        pass
                    return length, crc
                length, crc = length + size, zlib.crc32(await self.reader.readexactly(size), crc)
                await self.reader.readexactly(2)
        left = int(fields.get(b"content-length", b"0"))
        while left > 0:
            data = await self.reader.read(min(left, PIECE))
            if not data:
                raise Left
            left, length, crc = left - len(data), length + len(data), zlib.crc32(data, crc)
        return length, crc

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    def reset(self):
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def echo(self):
        while data := await self.reader.read(PIECE):
            await self.send(data)

    async def request(self):
        """One request and its answer; False: the connection ends."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        line, *rows = head[:-4].split(b"\r\n")
        fields = {n.lower(): v.strip() for n, _, v in (row.partition(b":") for row in rows)}
        _, what, name, *more = line.split(b" ")[1].split(b"/")
        number = int(more[0]) if more else 0
        if fields.get(b"expect"):
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        length, crc = await self.body(fields)
        handler = getattr(self, "do_" + what.decode(), None)
        if handler:
            return await handler(name, number)
        await self.send(answer(b"%s %d %08x" % (name, length, crc)))
        return True

    async def do_get(self, name, number):
        await self.send(answer(name))
        return True

    async def do_slow(self, name, number):
        await asyncio.sleep(number / 1000)
        return await self.do_get(name, number)

    async def do_big(self, name, number):
        await self.send(answer(pattern(name, number)))
        return True

    async def do_chunked(self, name, number):
        await self.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        data = pattern(name, number)
        for i in range(0, number, PIECE):
            part = data[i : i + PIECE]
            await self.send(b"%x\r\n%s\r\n" % (len(part), part))
        await self.send(b"0\r\n\r\n")
        return True

    async def do_upgrade(self, name, number):
        await self.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        await self.echo()
        return False

    async def do_cut(self, name, number):
        await self.send(answer(pattern(name, 1000))[:600])
        return False

    async def do_reset(self, name, number):
        await self.do_cut(name, number)
        self.reset()
        return False

    async def do_nothing(self, name, number):
        return False

    async def do_garbage(self, name, number):
        await self.send(b"SSH-2.0-" + name + b"\r\n\r\n")
        return False

    async def do_silent(self, name, number):
        await asyncio.sleep(20)
        return False

    async def do_twice(self, name, number):
        await self.send(answer(name) + answer(b"another's"))
        return True


async def serve_http(reader, writer):
    connection = Connection(reader, writer)
    try:
        while await connection.request():
            pass
    except (asyncio.IncompleteReadError, ConnectionError, Left):
        pass
    finally:
        writer.close()


async def serve_echo(reader, writer):
    try:
        await Connection(reader, writer).echo()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main(kind, address):
    host, _, port = address.rpartition(":")
    handler = {"http": serve_http, "echo": serve_echo}[kind]
    server = await asyncio.start_server(handler, host, int(port), backlog=1024, limit=1 << 20)
    print("listening on %s:%d" % server.sockets[0].getsockname()[:2], file=sys.stderr, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
