"""HTTP/1.1 messages as the tests read them: strictly, and with every byte kept. Shares no code with tplb."""

import re


class Broken(AssertionError):
    """A peer sent what is no HTTP message."""


class Message:
    """One request or response. `raw` is all of it; `body` without its framing; `complete` tells a whole one from a cut one."""

    def __init__(self, raw_head):
        self.raw_head = bytes(raw_head)
        self.raw = bytes(raw_head)
        lines = self.raw_head.split(b"\r\n")
        self.line = lines[0]
        self.fields = []
        for line in lines[1:]:
            if not line:
                continue
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip() or b"\n" in line or b"\r" in line:
                raise Broken("bad field line %r in %r" % (line, self.raw_head))
            self.fields.append((name.lower().decode("latin-1"), value.strip(b" \t")))
        self.body = b""
        self.trailers = b""
        self.chunks = None
        self.complete = False

    def all(self, name):
        return [value for n, value in self.fields if n == name.lower()]

    def get(self, name):
        """The only value of this field, None when there is none."""
        values = self.all(name)
        if len(values) > 1:
            raise Broken("%s is there %d times in %r" % (name, len(values), self.raw_head))
        return values[0] if values else None

    def has_token(self, name, token):
        return any(token == t.strip().lower() for v in self.all(name) for t in v.split(b","))


class Request(Message):
    def __init__(self, raw_head):
        super().__init__(raw_head)
        parts = self.line.split(b" ")
        if len(parts) != 3 or not re.fullmatch(rb"HTTP/1\.[01]", parts[2]):
            raise Broken("bad request line %r" % self.line)
        self.method, self.target, self.version = parts


class Response(Message):
    def __init__(self, raw_head):
        super().__init__(raw_head)
        m = re.fullmatch(rb"(HTTP/1\.[01]) ([1-5][0-9][0-9]) (.*)", self.line, re.S)
        if not m:
            raise Broken("bad status line %r" % self.line)
        self.version, self.status, self.reason = m.group(1), int(m.group(2)), m.group(3)


def _line(source, message):
    """A line of the chunked coding without its CRLF, None at the end of the stream."""
    while b"\r\n" not in source.buf:
        if b"\n" in source.buf:
            raise Broken("bare LF in the chunked coding: %r" % bytes(source.buf))
        if not source.more():
            return None
    line, _, _ = bytes(source.buf).partition(b"\r\n")
    message.raw += source.take(len(line) + 2)
    return line


def _take(source, message, n):
    """Up to n bytes; fewer at the end of the stream only."""
    parts = []
    while n > 0:
        if not source.buf and not source.more():
            break
        part = source.take(min(n, len(source.buf)))
        parts.append(part)
        n -= len(part)
    data = b"".join(parts)
    message.raw += data
    return data


def _chunked(source, message):
    message.chunks, parts = [], []
    try:
        while True:
            line = _line(source, message)
            if line is None:
                return
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", line):
                raise Broken("bad chunk size %r" % line)
            size = int(line, 16)
            if size == 0:
                break
            data = _take(source, message, size)
            parts.append(data)
            message.chunks.append(len(data))
            if len(data) < size:
                return
            end = _take(source, message, 2)
            if len(end) < 2:
                return
            if end != b"\r\n":
                raise Broken("chunk not followed by CRLF but %r" % end)
        while True:
            line = _line(source, message)
            if line is None:
                return
            if line == b"":
                break
            message.trailers += line + b"\r\n"
        message.complete = True
    finally:
        message.body = b"".join(parts)


def _length(message):
    values = message.all("Content-Length")
    if len(values) > 1:
        raise Broken("Content-Length is there %d times in %r" % (len(values), message.raw_head))
    if values and not re.fullmatch(rb"[0-9]+", values[0]):
        raise Broken("bad Content-Length %r" % values[0])
    return int(values[0]) if values else None


def _head(source):
    while b"\r\n\r\n" not in source.buf:
        if not source.more():
            return None
    end = source.buf.index(b"\r\n\r\n") + 4
    return source.take(end)


def read_request_head(source):
    head = _head(source)
    return None if head is None else Request(head)


def read_request_body(source, request):
    length, coding = _length(request), request.all("Transfer-Encoding")
    if coding:
        if length is not None:
            raise Broken("Content-Length with Transfer-Encoding: %r" % request.raw_head)
        if coding != [b"chunked"]:
            raise Broken("Transfer-Encoding %r" % coding)
        _chunked(source, request)
    else:
        request.body = _take(source, request, length or 0)
        request.complete = len(request.body) == (length or 0)
    return request


def read_response(source, method=b"GET"):
    """The next response, interim ones too. None at an end before its first byte or within its head."""
    head = _head(source)
    if head is None:
        return None
    response = Response(head)
    length, coding = _length(response), response.all("Transfer-Encoding")
    if coding and length is not None:
        raise Broken("Content-Length with Transfer-Encoding: %r" % head)
    if response.status // 100 == 1 or response.status in (204, 304) or method == b"HEAD":
        response.complete = True
    elif coding:
        if coding != [b"chunked"]:
            raise Broken("Transfer-Encoding %r" % coding)
        if response.version == b"HTTP/1.0":
            raise Broken("Transfer-Encoding in HTTP/1.0")
        _chunked(source, response)
    elif length is not None:
        response.body = _take(source, response, length)
        response.complete = len(response.body) == length
    else:
        response.body = _take(source, response, 1 << 62)
        response.complete = not source.was_reset
    return response


class Bytes:
    """Bytes to read messages off, as off a stream that has ended."""

    was_reset = False

    def __init__(self, data):
        self.buf = bytearray(data)

    def more(self):
        return False

    def take(self, n):
        data = bytes(self.buf[:n])
        del self.buf[:n]
        return data


def parse_request(data):
    """The only request in data, complete or not."""
    source = Bytes(data)
    request = read_request_body(source, read_request_head(source))
    if source.buf:
        raise Broken("%r follows a request" % bytes(source.buf))
    return request


def parse_responses(data, method=b"GET"):
    """
    The responses to one request, interim ones and the final one, complete or not. What follows it, of a tunnel for instance, is the last
    one's `after`; b"" of none.
    """
    source, found = Bytes(data), []
    while not found or (found[-1].status < 200 and found[-1].status != 101):
        response = read_response(source, method)
        if response is None:
            break
        found.append(response)
    if found:
        found[-1].after = bytes(source.buf)
    return found


def mask_date(raw):
    """The same bytes with the value of Date told as DATE."""
    return re.sub(rb"(?m)^(Date: )[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT(?=\r$)", rb"\1DATE", raw)
