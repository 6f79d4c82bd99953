"""
Whether what a proxy made of a row is within the RFC: for proxies that choose otherwise than tplb among what is allowed, and write the
fields in another order.
"""

import re

from support import message

OURS = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via")


def judge(row, outcome):
    """(whether it is within the RFC, in a few words what was done)"""
    words = "%s, %s" % (said(outcome), saw(outcome))
    return {"refused": _refused, "passed": _passed, "failed": _failed, "truncated": _truncated}[row.kind](row, outcome), words


def said(outcome):
    """To the client."""
    told = " ".join(str(r.status) + ("" if r.complete else " cut") for r in outcome.responses)
    if outcome.begun:
        told = "%s %d begun, then" % (told, outcome.begun)
    return "%s %s" % (told.strip() or "no answer", outcome.end)


def saw(outcome):
    """The server."""
    if outcome.others:
        return "server saw another request too"
    return "server saw %s" % ("nothing whole" if not outcome.seen else "it" if len(outcome.seen) == 1 else "it %d times" % len(outcome.seen))


def _refused(row, outcome):
    if not outcome.seen and not outcome.others:
        return True
    # What follows it in the row is a good request: to be answered where this one was taken, and repaired.
    return len(outcome.seen) == 1 and len(outcome.others) <= 1 and row.number in _REPAIRS and _REPAIRS[row.number](row, outcome.seen[0], outcome)


def _allowed(row, request, outcome):
    return True


def _closes(row, request, outcome):
    """One framing is left, and the connection ends."""
    return len(request.all("Content-Length")) + len(request.all("Transfer-Encoding")) == 1 and outcome.end != "open"


def _one_length(row, request, outcome):
    return len(set(request.all("Content-Length"))) == 1


def _unfolded(row, request, outcome):
    return not re.search(rb"\n[ \t]", request.raw_head)


def _no_bare_cr(row, message, outcome):
    return not re.search(rb"\r(?!\n)", message.raw_head + message.trailers)


def _no_bare_lf(row, message, outcome):
    return not re.search(rb"(?<!\r)\n", message.raw_head + message.trailers)


def _no_controls(row, message, outcome):
    """Others than NUL, CR and LF may stay (RFC 9110 section 5.5)."""
    return b"\0" not in message.raw_head and _no_bare_cr(row, message, outcome) and _no_bare_lf(row, message, outcome)


def _tokens_only(row, message, outcome):
    return all(re.fullmatch(r"[-!#$%&'*+.^_`|~0-9a-z]+", name) for name, _ in message.fields)


def _extension_gone(row, request, outcome):
    return b";" not in request.raw[len(request.raw_head) :]


def _split_at_space(row, request, outcome):
    """Words may be split at any white space (RFC 9112 section 3), but go on as they should."""
    words = row.sent[0].partition(b"\r\n")[0].split()
    return len(words) == 3 and words[2] in (b"HTTP/1.0", b"HTTP/1.1") and re.fullmatch(rb"[!-~]+ [!-~]+ HTTP/1\.[01]", request.line)


# What may be done with a bad request instead of refusing it.
_REPAIRS = {
    1: _closes,
    2: _one_length,
    5: _closes,
    8: _extension_gone,
    9: _no_bare_lf,
    12: _unfolded,
    13: _no_bare_cr,
    14: _no_bare_lf,
    15: _no_controls,
    16: _unfolded,
    17: _tokens_only,
    18: _no_bare_cr,
    19: _split_at_space,
    24: _allowed,  # a proxy may offer tunnels
    39: _allowed,  # 417 is a choice
}


def _one_framing(row, response, outcome):
    """Of two the coding counts, and of a list of equal lengths each (RFC 9112 section 6.3)."""
    one = len(response.all("Content-Length")) + len(response.all("Transfer-Encoding")) <= 1 and b"," not in (response.get("Content-Length") or b"")
    return one and ("length and coding" in row.name or "b'5, 5'" in row.name)


# And with a bad response.
_REPAIRS_OF_RESPONSES = {14: _no_bare_lf, 15: _no_controls, 17: _tokens_only, 33: _one_framing}


def _passed(row, outcome):
    if outcome.others or len(outcome.seen) > 1:
        return False
    if not outcome.seen:  # a stricter one
        return bool(outcome.responses) and outcome.responses[-1].status >= 400
    wanted = row.get("seen")
    if wanted is not None:
        # Whether to pass a wish for an upgrade on is a choice (RFC 9110 section 7.8).
        choice = ("upgrade",) if b"\r\nConnection: Upgrade\r\n" in row.sent[0] else ()
        if not _same_request(message.parse_request(wanted.replace(b"/CASE", outcome.target)), outcome.seen[0], choice):
            return False
    if outcome.end == "unreadable" or not outcome.responses or (outcome.end == "silent" and row.get("after") == "open"):
        return False
    if b" HTTP/1.0\r\n" in row.sent[0] and outcome.responses[0].status < 200:
        return False
    if outcome.responses[-1].status >= 500:
        return True
    got = row.get("got")
    if got is not None:
        mine = message.parse_responses(got.replace(b"/CASE", outcome.target), row.get("method", b"GET"))[-1]
        theirs = [r for r in outcome.responses if r.status >= 200 or r.status == 101]
        return bool(theirs) and _same_response(mine, theirs[0]) and len(theirs) == 1
    return True


def _end_to_end(m, choice=()):
    """Fields without those that each proxy has its own way with."""
    left = ("connection", "transfer-encoding", "content-length", "date", "server", "keep-alive", "expect", "trailer", *choice)
    fields = [(name, re.sub(rb":\d*$", b"", value.lower()) if name == "host" else value) for name, value in m.fields]
    return sorted(f for f in fields if f[0] not in left and f[0] not in OURS)


def _target(request):
    """Of the absolute form, in which a request may go on, what counts beside Host."""
    host = (request.all("Host") or [b""])[0]
    start = b"http://" + host.lower()
    return request.target[len(start) :] if request.target.lower().startswith(start) else request.target


def _same_request(wanted, seen, choice):
    return (
        (wanted.method, _target(wanted), wanted.body) == (seen.method, _target(seen), seen.body)
        and _end_to_end(wanted, choice) == _end_to_end(seen, choice)
        and seen.complete
    )


def _same_response(wanted, got):
    return (wanted.status, wanted.body, wanted.complete) == (got.status, got.body, got.complete) and _end_to_end(wanted) == _end_to_end(got)


def _failed(row, outcome):
    least, most = row.get("times", 1) if isinstance(row.get("times", 1), tuple) else (0, row.get("times", 1))
    if outcome.others or len(outcome.seen) > most:
        return False
    if not outcome.responses:
        return not outcome.begun
    final = outcome.responses[-1]
    if final.status >= 500 or not final.complete:
        return True
    return row.number in _REPAIRS_OF_RESPONSES and _REPAIRS_OF_RESPONSES[row.number](row, final, outcome)


# What a proxy that drops extensions and trailers need not look at; some pass trailers on, mended.
_DROPPED = re.compile(r"37 broken chunks: b.(5;|0\\r\\n[ :X])")


def _truncated(row, outcome):
    if not outcome.responses:
        return True
    final = outcome.responses[0]
    if _DROPPED.match(row.name) and final.body == b"hello":
        return True
    return final.status >= 500 or not final.complete or outcome.end == "reset"
