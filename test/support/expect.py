"""
What tplb's bytes look like, in one place: how a request goes on to a server, how a response goes on to a client, and the answers
that tplb makes itself. A change of the product's byte order is a change of this file only.
"""

import re

from support.message import mask_date

PSEUDONYM = b"tplb"


def lines(fields):
    return b"".join(line + b"\r\n" for line in fields)


def request(line, fields, body=b"", host=b"h", peer=b"127.0.0.1", version=b"1.1", chunked=False):
    """
    The whole request as a server sees it. fields: the client's that are passed on, in order. host: what X-Forwarded-Host says, None for
    no such field. version: the client's.
    """
    added = [b"X-Forwarded-For: " + peer, b"X-Forwarded-Proto: http"]
    if host is not None:
        added.append(b"X-Forwarded-Host: " + host)
    added.append(b"Via: " + version + b" " + PSEUDONYM)
    if chunked:
        added.append(b"Transfer-Encoding: chunked")
    return line + b"\r\n" + lines(fields) + lines(added) + b"\r\n" + body


def response(line, fields, body=b"", version=b"1.1", chunked=False, connection=None):
    """The whole response as a client sees it. version: the server's."""
    added = [b"Via: " + version + b" " + PSEUDONYM]
    if chunked:
        added.append(b"Transfer-Encoding: chunked")
    if connection:
        added.append(b"Connection: " + connection)
    return line + b"\r\n" + lines(fields) + lines(added) + b"\r\n" + body


REASONS = {
    400: b"Bad Request",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    417: b"Expectation Failed",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}

_OWN = re.compile(
    rb"HTTP/1\.1 (\d{3}) ([^\r\n]+)\r\n"
    rb"Date: DATE\r\n"
    rb"Content-Type: text/plain; charset=utf-8\r\n"
    rb"Content-Length: (\d+)\r\n"
    rb"(?:Retry-After: (\d+)\r\n)?"
    rb"(?:Allow: ([^\r\n]+)\r\n)?"
    rb"(?:Via: [^\r\n]+\r\n)?"
    rb"Connection: (close|keep-alive)\r\n"
    rb"\r\n"
)


def check_own_answer(raw, statuses, connection=None, head=False):
    """raw is exactly one answer of tplb's own making, with one of these statuses; a failure otherwise."""
    m = _OWN.match(mask_date(raw))
    if not m:
        raise AssertionError("not an answer of tplb's own making: %r" % raw)
    status = int(m.group(1))
    body = mask_date(raw)[m.end() :]
    if status not in statuses:
        raise AssertionError("status %d, expected %s: %r" % (status, statuses, raw))
    if m.group(2) != REASONS[status]:
        raise AssertionError("reason %r, expected %r" % (m.group(2), REASONS[status]))
    if head and body:
        raise AssertionError("a body in an answer to HEAD: %r" % raw)
    if not head and (len(body) != int(m.group(3)) or not re.fullmatch(rb"[^\r\n]+\n", body)):
        raise AssertionError("the body is not one line of the length told: %r" % raw)
    if (status in (429, 503)) != (m.group(4) is not None):
        raise AssertionError("Retry-After belongs to 429 and 503: %r" % raw)
    if (status == 405) != (m.group(5) is not None):
        raise AssertionError("Allow belongs to 405: %r" % raw)
    if connection and m.group(6) != connection:
        raise AssertionError("Connection is %r, expected %r" % (m.group(6), connection))
    return status
