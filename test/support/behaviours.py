"""
The behaviours of a strict HTTP/1.1 proxy, numbered, that the rows of the tables are about: what is asked for, and where it stands. M is
RFC 9112, S is RFC 9110.
"""

import re

BEHAVIOURS = {
    1: ("Content-Length with Transfer-Encoding is refused", "M6.1, M6.3"),
    2: ("differing Content-Lengths are refused, identical ones too or taken as one", "M6.3"),
    3: ("a Content-Length that is no plain number is refused", "S8.6"),
    4: ("of codings only one chunked, alone and last, is taken", "M6.1"),
    5: ("HTTP/1.0 with Transfer-Encoding is refused, or processed and closed", "M6.1"),
    6: ("a chunk size is hexadecimal digits and nothing else", "M7.1"),
    7: ("CRLF ends chunk data and size lines", "M7.1"),
    8: ("chunk extensions are dropped and bounded", "M7.1.1"),
    9: ("trailers are dropped or stay trailers", "M7.1.2, S6.5.1"),
    10: ("a truncated request is never completed", "M8"),
    11: ("space before a field's colon: refused; removed from a response", "M5.1"),
    12: ("line folding is refused or a space", "M5.2"),
    13: ("a bare CR is refused or a space", "M2.2"),
    14: ("a bare LF is refused, or CRLF on output", "M2.2"),
    15: ("NUL, CR and LF in a value are refused or a space", "S5.5"),
    16: ("white space before the first field is refused", "M2.2"),
    17: ("a name that is no token, an empty name, no colon: refused", "M5"),
    18: ("one leading CRLF is ignored", "M2.2"),
    19: ("the request line: a version that is known, no space in the target", "M3"),
    20: ("over the limits nothing goes on", "M3, S5.4"),
    21: ("Host missing, repeated or invalid is refused", "M3.2"),
    22: ("the absolute form overrides Host", "M3.2.2"),
    23: ("authority form only for CONNECT, the asterisk only for OPTIONS", "M3.2.3, M3.2.4"),
    24: ("CONNECT opens no tunnel", "S9.3.6"),
    25: ("fields that Connection names are removed", "S7.6.1"),
    26: ("Connection cannot remove Host or framing", "S7.6.1"),
    27: ("hop-by-hop fields stay", "S7.6.1"),
    28: ("the version sent is our own", "M2.3"),
    29: ("the order of equal names is kept", "S5.3"),
    30: ("Via is added", "S7.6.3"),
    31: ("Max-Forwards is counted down, and 0 answered here", "S7.6.2"),
    32: ("HEAD, 204 and 304 have no body", "M6.3"),
    33: ("bad framing or a bad status line of a server is 502", "M6.3"),
    34: ("no length: to the end of the stream", "M6.3"),
    35: ("1xx in order, never to HTTP/1.0", "S15.2"),
    36: ("bytes that nobody asked for reach nobody", "M9.2"),
    37: ("a truncated response looks truncated", "M8"),
    38: ("chunked is unchunked for HTTP/1.0", "M7.1"),
    39: ("Expect: 100-continue", "S10.1.1"),
    40: ("Upgrade, and an opaque tunnel after 101", "S7.8"),
    41: ("answers in order, nothing after close", "M9.3.2, M9.6"),
    42: ("HTTP/1.0 closes unless keep-alive was asked for", "M9.3"),
    43: ("a POST is never sent twice", "S9.2.2, M9.3.1"),
    44: ("an early answer is delivered", "M9.5, M9.6"),
    45: ("a half-closed client gets its answer", "M9.6"),
    46: ("408, 502, 503 and 504 mean what they say", "S15.5.9, S15.6"),
}


def table(rows, failures):
    """
    The table of doc/http.md: how many rows each behaviour has, and on how many of them a peer fails. failures: the names of rows by the
    peer's name.
    """

    def count(names, number):
        return sum(name.startswith("%02d " % number) for name in names) or ""

    lines = ["| | behaviour | source | rows | %s |" % " | ".join(failures), "| " + "--- | " * (4 + len(failures))]
    lines[1] = lines[1].rstrip()
    for number, (words, source) in BEHAVIOURS.items():
        counts = [count((r.name for r in rows), number), *(count(failures[peer], number) for peer in failures)]
        lines.append("| %d | %s | %s | %s |" % (number, words, source, " | ".join(map(str, counts))))
    others = [count((r.name for r in rows), 0), *(count(failures[peer], 0) for peer in failures)]
    lines.append("| | of none: plain messages, paths, what is no HTTP | | %s |" % " | ".join(map(str, others)))
    total = [len(rows), *(len(failures[peer]) for peer in failures)]
    lines.append("| | **all** | | %s |" % " | ".join(map(str, total)))
    return "\n".join(re.sub(r"  +\|", " |", line) for line in lines) + "\n"
