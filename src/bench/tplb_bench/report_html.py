"""The report as one HTML file that needs nothing else: no network, no script, light or dark as the reader's system is."""

import html
import os
import re

from . import charts, sections
from .document import Answer, Banner, Bullets, Charts, Details, Group, Heading, Paragraph, Table, Verbatim, only_text

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --text: #1f2328; --faint: #59636e; --line: #d1d9e0; --band: #f3f5f7;
  --mark: #0b5ea8; --warn: #fff3d6; --warn-line: #c77700; }
@media (prefers-color-scheme: dark) { :root { --page: #15181c; --text: #e6e6e6; --faint: #a4adb8; --line: #3a424c;
  --band: #1f242a; --mark: #7ab8f5; --warn: #33290f; --warn-line: #e69f00; } .tplb-light { fill-opacity: 0.16; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans",
  "DejaVu Sans", sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 16px 20px 64px; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0.4em 0; }
h2 { font-size: 1.35rem; margin: 2.4em 0 0.5em; padding-top: 0.6em; border-top: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin: 1.8em 0 0.4em; }
p, ul { max-width: 54rem; }
li { margin: 0.25em 0; }
nav { font-size: 0.9rem; color: var(--faint); margin: 2em 0 0; }
a { color: var(--mark); }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 0.88em; }
pre { overflow-x: auto; background: var(--band); padding: 12px; border-radius: 6px; max-height: 32rem; }
.answer { display: grid; grid-template-columns: 15rem 1fr; margin: 1em 0; border: 1px solid var(--line); border-radius: 8px; }
.answer dt, .answer dd { margin: 0; padding: 10px 16px; border-top: 1px solid var(--line); }
.answer dt:first-of-type, .answer dd:first-of-type { border-top: 0; }
.answer dt { font-weight: 600; color: var(--mark); }
.banner { background: var(--warn); border-left: 4px solid var(--warn-line); padding: 10px 16px; border-radius: 4px;
  max-width: none; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 20px; margin: 1.2em 0; }
.charts.one { grid-template-columns: minmax(0, 780px); }
figure { margin: 0; min-width: 0; }
.draw { overflow-x: auto; }
figure svg { width: 100%; height: auto; display: block; }
.picture svg { width: auto; max-width: 100%; }
figcaption { font-size: 0.88rem; color: var(--faint); }
.scroll { overflow-x: auto; margin: 0.4em 0; }
table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 14px 0 6px; font-size: 0.95rem; white-space: nowrap; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { vertical-align: bottom; font-weight: 600; }
thead th { white-space: normal; border-bottom: 2px solid var(--faint); line-height: 1.25; }
th.text, td.text { text-align: left; }
td.wide { white-space: normal; min-width: 16rem; overflow-wrap: anywhere; }
tbody td:first-child, thead th:first-child { position: sticky; left: 0; background: var(--page); }
tr.group th { text-align: left; background: var(--band); }
tr.group span { position: sticky; left: 10px; }
.note { font-size: 0.88rem; color: var(--faint); margin: 0.3em 0 1.2em; }
details { margin: 0.8em 0; border: 1px solid var(--line); border-radius: 6px; padding: 8px 14px; }
summary { cursor: pointer; font-weight: 600; }
@media (max-width: 700px) { main { padding: 10px 14px 48px; } .answer { grid-template-columns: 1fr; } .answer dd { border-top: 0;
  padding-top: 0; } .answer dt { padding-bottom: 0; } .draw svg { min-width: 560px; } }
@media print { .scroll, .draw { overflow: visible; } }
"""


def write(results, folder, drawn=None):
    """folder/report.html; drawn: the charts, if charts.draw_all() was asked already."""
    drawn = charts.draw_all(results, folder) if drawn is None else drawn
    blocks = sections.report(results, {c.name: c for c in drawn}, charts.missing())
    title = sections.title()
    head = '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n' \
           '<meta name="viewport" content="width=device-width, initial-scale=1">\n' \
           '<title>%s</title>\n<style>%s</style>\n</head>\n<body>\n<main>\n<h1>%s</h1>\n'
    head %= (html.escape(title), STYLE, html.escape(title))
    body = [render(block) for block in blocks]
    first = next((i for i, block in enumerate(blocks) if isinstance(block, Heading)), len(blocks))
    body.insert(first, _contents(blocks))
    with open(os.path.join(folder, "report.html"), "w", encoding="utf-8") as f:
        f.write(head + "".join(body) + "</main>\n</body>\n</html>\n")


def _contents(blocks):
    links = ['<a href="#%s">%s</a>' % (b.anchor, markup(b.text)) for b in blocks if isinstance(b, Heading) and b.level == 2]
    return '<nav aria-label="Contents">%s</nav>\n' % " · ".join(links)


def markup(text):
    def token(m):
        if m[1]:
            return html.escape(m[1])
        if m[2]:
            return "<strong>%s</strong>" % markup(m[2])
        if m[3]:
            return "<code>%s</code>" % html.escape(m[3])
        return html.escape(m[0])

    return re.sub(r"\\(.)|\*\*(.+?)\*\*|`([^`]+)`|[<>&\"']", token, text)


def render(block):
    return {Heading: _heading, Paragraph: lambda b: "<p>%s</p>\n" % markup(b.text), Bullets: _bullets, Banner: _banner,
            Answer: _answer, Table: _table, Charts: _charts, Details: _details,
            Verbatim: lambda b: "<pre>%s</pre>\n" % html.escape(b.text)}[type(block)](block)


def _heading(block):
    return '<h%d id="%s">%s</h%d>\n' % (block.level, block.anchor, markup(block.text), block.level)


def _bullets(block):
    return "<ul>\n%s</ul>\n" % "".join("<li>%s</li>\n" % markup(i) for i in block.items)


def _banner(block):
    return '<p class="banner"><strong>%s</strong></p>\n' % markup(block.text)


def _answer(block):
    return '<dl class="answer">\n%s</dl>\n' % "".join("<dt>%s</dt><dd>%s</dd>\n" % (markup(lead), markup(text))
                                                      for lead, text in block.parts)


def _charts(block):
    figures = ['<figure%s><div class="draw">%s</div>%s</figure>\n' % (
        ' class="picture"' if c.name.startswith("picture-") else "", c.svg,
        "<figcaption>%s</figcaption>" % markup(c.caption or c.title)) for c in block.charts]
    return '<div class="charts%s">\n%s</div>\n' % (" one" if len(figures) == 1 else "", "".join(figures))


def _details(block):
    return "<details>\n<summary>%s</summary>\n%s</details>\n" % (html.escape(only_text(block.summary)),
                                                                 "".join(render(b) for b in block.blocks))


def _table(block):
    head, rows = block.rows[0], block.rows[1:]

    def kind(i, text=""):
        wide = " wide" if i < block.left and len(text) > 60 else ""
        return ' class="text%s"' % wide if i < block.left else ""

    lines = ['<div class="scroll"><table>\n<caption>%s</caption>\n' % markup(block.title)]
    if any(head):
        lines.append("<thead><tr>%s</tr></thead>\n" % "".join('<th scope="col"%s>%s</th>' % (kind(i), markup(h))
                                                              for i, h in enumerate(head)))
    lines.append("<tbody>\n")
    for row in rows:
        if isinstance(row, Group):
            lines.append('<tr class="group"><th colspan="%d" scope="colgroup"><span>%s</span></th></tr>\n'
                         % (len(head), markup(row.text)))
        else:
            lines.append("<tr>%s</tr>\n" % "".join("<td%s>%s</td>" % (kind(i, cell), markup(cell)) for i, cell in enumerate(row)))
    lines.append("</tbody></table></div>\n")
    return "".join(lines + ['<p class="note">%s</p>\n' % markup(note) for note in block.notes])
