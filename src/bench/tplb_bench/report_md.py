"""The report as Markdown, its tables padded so that they read well as plain text too."""

import os
import re

from . import charts, sections
from .document import Answer, Banner, Bullets, Charts, Details, Group, Heading, Paragraph, Table, Verbatim, only_text


def write(results, folder, drawn=None):
    """folder/report.md and folder/charts/*.svg; drawn: the charts, if charts.draw_all() was asked already."""
    drawn = charts.draw_all(results, folder) if drawn is None else drawn
    blocks = sections.report(results, {c.name: c for c in drawn}, charts.missing())
    text = "# %s\n\n%s" % (sections.title(), "\n".join(render(block) for block in blocks))
    with open(os.path.join(folder, "report.md"), "w", encoding="utf-8") as f:
        f.write(re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n")


def render(block):
    return {Heading: _heading, Paragraph: lambda b: b.text + "\n", Bullets: lambda b: "\n".join("- " + i for i in b.items) + "\n",
            Banner: lambda b: "> **%s**\n" % b.text, Answer: _answer, Table: _table, Charts: _charts, Details: _details,
            Verbatim: _verbatim}[type(block)](block)


def _heading(block):
    return "%s %s\n" % ("#" * block.level, block.text)


def _answer(block):
    return "\n".join("**%s** %s\n" % part for part in block.parts)


def _charts(block):
    return "\n".join("![%s](charts/%s.svg)\n" % (_alt(chart), chart.name) + ("\n*%s*\n" % chart.caption if chart.caption else "")
                     for chart in block.charts)


def _alt(chart):
    return re.sub(r"[\[\]]", "", chart.title)


def _details(block):
    return "<details>\n<summary>%s</summary>\n\n%s\n</details>\n" % (only_text(block.summary),
                                                                     "\n".join(render(b) for b in block.blocks))


def _verbatim(block):
    fence = "```"
    while fence in block.text:
        fence += "`"
    return "%s\n%s\n%s\n" % (fence, block.text, fence)


def _table(block):
    head = block.rows[0]
    rows = [["**%s**" % row.text] + [""] * (len(head) - 1) if isinstance(row, Group) else row for row in block.rows]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(head))]

    def fit(row):
        return "| " + " | ".join(cell.ljust(w) if i < block.left else cell.rjust(w)
                                 for i, (cell, w) in enumerate(zip(row, widths))) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i < block.left else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join(["**%s**" % block.title, "", fit(rows[0]), rule] + [fit(row) for row in rows[1:]] + [""]
                     + [note + "\n" for note in block.notes])
