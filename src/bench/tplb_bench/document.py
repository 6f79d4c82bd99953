"""What a report is made of, whether it becomes Markdown or HTML.

Text is markup: **bold**, `code`, and a backslash before a character that stands for itself; plain() writes what came from
elsewhere."""

import collections
import re

Heading = collections.namedtuple("Heading", "level text anchor")
Paragraph = collections.namedtuple("Paragraph", "text")
Bullets = collections.namedtuple("Bullets", "items")
Banner = collections.namedtuple("Banner", "text")  # what must not be overlooked
Answer = collections.namedtuple("Answer", "parts")  # [(lead, text)]
Table = collections.namedtuple("Table", "title rows notes left")  # the first row is the head; the first `left` columns are text
Group = collections.namedtuple("Group", "text")  # a row of a table that names those below it
Chart = collections.namedtuple("Chart", "name title svg alt caption")
Charts = collections.namedtuple("Charts", "charts")  # side by side where there is room
Details = collections.namedtuple("Details", "summary blocks")
Verbatim = collections.namedtuple("Verbatim", "text")


def table(title, head, rows, notes=(), left=1):
    return Table(title, [head] + rows, list(notes), left)


def plain(text):
    return re.sub(r"([\\`*_<>|\[\]#])", r"\\\1", " ".join(str(text).split()))


def code(text):
    return "`%s`" % " ".join(str(text).replace("`", "'").replace("|", "/").split())


def only_text(markup):
    """Without the marks."""
    return re.sub(r"\\(.)|\*\*|`", lambda m: m[1] or "", markup)
