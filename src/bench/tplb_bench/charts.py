"""The charts, drawn by gnuplot: Okabe and Ito's colours, which the colour-blind can tell apart, each with a marker besides."""

import math
import os
import shutil
import subprocess
import sys

from . import lookup, pictures, reading, stats, svg, words
from .document import Chart

# Of Okabe and Ito's eight without yellow, which a white page swallows; black is the text's own colour.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"
COLOURS = (VERMILION, BLUE, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = (7, 5, 9, 11, 13, 6, 4)  # full circle, square, triangles, diamond, hollow circle, hollow square
SIDE_STYLES = {("pool", None): (VERMILION, 7, 6), ("async", "epoll"): (BLUE, 5, 4), ("async", "io_uring"): (GREEN, 9, 8)}
MOST_SERIES = 7
GRID = "#808080"
WIDTH, HEIGHT = 660, 450
BARS = "The thin bars span the lowest and highest round."


class Series:
    """points: [(x, Summary)]"""

    def __init__(self, title, points, colour, marker, dashed=False):
        self.title, self.points, self.colour, self.marker, self.dashed = title, points, colour, marker, dashed


def missing():
    """A line for each program that is not there."""
    lines = []
    if not shutil.which("gnuplot"):
        lines.append("The charts are missing: gnuplot is not installed (Debian, Ubuntu: package gnuplot-nox).")
    return lines + pictures.missing()


def draw_all(results, folder):
    """[Chart], each also a file of its own in folder/charts."""
    found = []
    if shutil.which("gnuplot"):
        for draw in (_original, _sweep, _hold, _peers, _openloop):
            found += [chart for chart in draw(results) if chart]
    found += pictures.draw_all(results)
    if found:
        os.makedirs(os.path.join(folder, "charts"), exist_ok=True)
    for chart in found:
        with open(os.path.join(folder, "charts", chart.name + ".svg"), "w", encoding="utf-8") as f:
            f.write(svg.alone(chart.svg))
    return found


# gnuplot ------------------------------------------------------------------------------------------------------------------------


def quote(text):
    """A gnuplot string in which nothing is special."""
    return "'" + str(text).replace("'", "''").replace("\n", " ") + "'"


def gnuplot(title, script, height):
    """The drawing, or None and a line on standard error."""
    head = ["set encoding utf8",
            "set terminal svg size %d,%d dynamic noenhanced rounded font 'sans-serif,15' linewidth 1" % (WIDTH, height),
            "set output",
            "set title %s font 'sans-serif,16'" % quote(title),
            "set border 3 linewidth 1", "set tics nomirror out scale 0.6",
            "set grid ytics linecolor rgb '%s' linewidth 0.4 dashtype 3" % GRID,
            "set key bmargin center horizontal Left reverse spacing 1.15 samplen 2.5 height 1 font 'sans-serif,14'",
            "set errorbars small",
            "set lmargin 12", "set rmargin 3", "set xtics offset 0,0.2", "set xlabel offset 0,0.9"]
    done = subprocess.run(["gnuplot"], input="\n".join(head + script) + "\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          encoding="utf-8", env=dict(os.environ, LC_ALL="C.UTF-8"))
    if done.returncode or "<svg" not in done.stdout:
        sys.stderr.write("gnuplot could not draw \"%s\": %s\n" % (title, done.stderr.strip()))
        return None
    return done.stdout


def _chart(name, title, script, alt, caption, height=HEIGHT):
    drawn = gnuplot(title, script, height)
    if drawn is None:
        return None
    return Chart(name, title, svg.adapt(drawn, name, title, alt), alt, caption)


def _labels(x, y):
    return ["set xlabel %s" % quote(x), "set ylabel %s" % quote(y)]


def _ticks(values, write=str):
    return "set xtics (%s)" % ", ".join("%s %s" % (quote(write(v)).replace("%", "%%"), v) for v in values)


def _linear(highest, axis="y"):
    """An axis from 0, its ticks at round numbers."""
    rough = (highest or 1) / 5
    size = 10 ** math.floor(math.log10(rough))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= rough)
    ticks = [i * step for i in range(math.ceil((highest or 1) / step) + 1)]
    return ["set %srange [0:%g]" % (axis, ticks[-1] * 1.02),
            "set %stics (%s)" % (axis, ", ".join("%s %g" % (quote(words.three(t)), t) for t in ticks))]


def _logarithmic(lowest, highest):
    """The y axis in multiples: more of them the fewer tens it spans."""
    first, last = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
    tens = math.log10(highest / lowest)
    steps = (1, 1.5, 2, 3, 5, 7) if tens < 1 else (1, 2, 5) if tens < 4 else (1,)
    marks = [m * 10.0 ** e for e in range(first, last + 1) for m in steps]
    low = max([m for m in marks if m <= lowest * 1.001] + [10.0 ** first])
    high = min([m for m in marks if m >= highest * 0.999] + [10.0 ** last])
    ticks = [m for m in marks if low <= m <= high]
    return ["set logscale y", "set yrange [%g:%g]" % (0.98 * low, 1.02 * high if high > low else 10 * low),
            "set ytics (%s)" % ", ".join("%s %g" % (quote("{:,g}".format(t)), t) for t in ticks)]


def _block(name, rows):
    return ["$%s << TPLB_END" % name] + [" ".join(str(v) for v in row) for row in rows] + ["TPLB_END"]


def _legend(titles):
    """gnuplot takes letters for wider than they are, and would then not set two columns."""
    return ["set key width %d" % -(max(map(len, titles)) // 4)]


def _plot(series):
    """The lines of all series with the ranges of their rounds."""
    script, plots = _legend([s.title for s in series]), []
    for i, s in enumerate(series):
        script += _block("d%d" % i, [(x, v.median, v.low, v.high) for x, v in s.points])
        style = "linecolor rgb '%s' linewidth 2 dashtype %s" % (s.colour, "(8,5)" if s.dashed else "1")
        mark = "pointtype %d pointsize 0.7" % s.marker
        plots.append("$d%d using 1:2:3:4 with yerrorbars notitle linecolor rgb '%s' linewidth 1 dashtype 1 pointtype 0"
                     % (i, s.colour))
        plots.append("$d%d using 1:2 with linespoints title %s %s %s" % (i, quote(s.title), style, mark))
    return script + ["plot " + ", \\\n  ".join(plots)]


def _lines(name, title, x, y, series, ticks, caption, log_x=False, log_y=False, more=(), write=str):
    """A chart of lines, or None where there is nothing to draw."""
    series = [s for s in series if s.points]
    if not series:
        return None
    every = [x for s in series for x, _ in s.points]
    low, high = min(every), max(every)
    script = _labels(x, y) + [_ticks(ticks, write)]
    script += ["set logscale x 2", "set xrange [%g:%g]" % (low / 1.3, high * 1.3)] if log_x else \
        ["set xrange [%g:%g]" % (low - 0.05 * (high - low or low or 1), high + 0.05 * (high - low or low or 1))]
    script += _logarithmic(min(v.low for s in series for _, v in s.points),
                           max(v.high for s in series for _, v in s.points)) if log_y else \
        _linear(max(v.high for s in series for _, v in s.points))
    return _chart(name, title, script + list(more) + _plot(series), _alt(y, x, series), caption)


def _alt(y, x, series):
    """What the chart shows, in words."""
    return "%s against %s. %s." % (y, x, "; ".join("%s: %s" % (s.title, ", ".join(
        "%s at %s" % (words.three(v.median), words.three(at)) for at, v in s.points)) for s in series))


# Section by section -------------------------------------------------------------------------------------------------------------


def _original(results):
    found = []
    for keepalive in (False, True):
        threads = lookup.original_threads(results, keepalive)
        key, load = "keepalive" if keepalive else "close", words.load(keepalive)
        if not threads:
            continue
        found.append(_lines("original-" + key, "Requests answered a second, " + load, "threads of the load generator (wrk)",
                            "requests/s",
                            _sides(results, keepalive, "rps"), threads, "More is better. " + BARS))
        found.append(_lines("original-p99-" + key, "The slowest hundredth, " + load, "threads of the load generator (wrk)",
                            "p99, ms (log scale)", _sides(results, keepalive, "p99_ms", above_zero=True), threads,
                            "Less is better; each line across is a multiple. " + BARS, log_y=True))
        found.append(_balancer(results, keepalive, key, load))
    return found


def _short(side):
    return " ".join(filter(None, side))


def _sides(results, keepalive, metric, above_zero=False):
    series = []
    for behind in (False, True):
        for side in lookup.SIDES:
            colour, full, hollow = SIDE_STYLES[side]
            points = []
            for threads in lookup.original_threads(results, keepalive):
                c = lookup.original(results, side, behind, keepalive, threads)
                s = stats.summary(c, metric) if c else None
                if s and (s.low > 0 or not above_zero):
                    points.append((threads, s))
            series.append(Series("%s, %s" % (_short(side), "balanced" if behind else "alone"), points, colour,
                                 hollow if behind else full, behind))
    return series


def _balancer(results, keepalive, key, load):
    """What the balancer does to each side, the original's own beside it."""
    series = []
    for side in lookup.SIDES:
        found = [(t, stats.Summary(c.ratio, c.low, c.high, 1)) for t, c in reading.balancer(results, side, keepalive).items()
                 if 0 < c.low and c.high < float("inf")]
        series.append(Series(_short(side), found, SIDE_STYLES[side][0], SIDE_STYLES[side][1]))
    if not any(s.points for s in series):
        return None
    for architecture, marker in (("async", 4), ("pool", 6)):
        points = [(t, stats.Summary(v, v, v, 1)) for t, v in zip(reading.ORIGINAL_THREADS, reading.original_share(architecture))]
        series.append(Series("%s, original 2023" % architecture, points, PURPLE if architecture == "async" else ORANGE,
                             marker, True))
    ticks = sorted({t for s in series for t, _ in s.points})
    return _lines("original-balancer-" + key, "What the balancer does, " + load, "threads of the load generator (wrk)",
                  "requests/s behind it : alone (log scale)", series, ticks,
                  "Above 1 the balancer helps, below it costs. Dashed: the original's own numbers, one connection a request.",
                  log_y=True,
                  more=["set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead linecolor rgb '%s' linewidth 1.5" % BLACK])


def _sweep(results):
    found = []
    for path in lookup.options(lookup.served(results, "sweep"), "path"):
        key = path.strip("/").replace("/", "-") or "root"
        advice = reading.little_advice(results, path)
        for metric, name, title, y, log in (("rps", "rps", "Throughput by pool size", "requests/s", False),
                                            ("p99_ms", "p99", "p99 by pool size", "p99, ms (log scale)", True)):
            series, more, sizes = [], [], set()
            for i, burst in enumerate(reading.bursts(results, path)):
                points = [(size, s) for size, s in reading.points(results, path, burst, metric) if s.low > 0 or not log]
                sizes.update(size for size, _ in points)
                knee = reading.knee(results, path, burst)
                series.append(Series("burst %s%s, knee at %s" % (burst, " (classic)" if burst == 1 else "", knee), points,
                                     COLOURS[i % 7], MARKERS[i % 7], bool(i % 2)))
                at = dict(points).get(knee)
                if at:
                    more.append("set label %d '' at first %s, first %s point pointtype 6 pointsize 2 linewidth 2 "
                                "linecolor rgb '%s'"
                                % (i + 1, knee, at.median, BLACK))
            if advice and sizes and min(sizes) <= advice.workers <= max(sizes):
                more += ["set arrow 9 from first %g, graph 0 to first %g, graph 1 nohead linecolor rgb '%s' dashtype 3" % (
                    advice.workers, advice.workers, BLACK),
                    "set label 9 %s at first %g, graph 1 center offset character 0,0.6 font 'sans-serif,13'" % (
                        quote("Little: %s busy" % words.three(advice.workers)), advice.workers), "set title offset 0,1"]
            found.append(_lines("sweep-%s-%s" % (name, key), "%s: %s" % (title, reading.work(path).replace("`", "")),
                                "workers in the pool", y,
                                series, sorted(sizes),
                                "Ring, the knee: the smallest size within 5 % of the best throughput, or within the noise. " + BARS,
                                log_x=True, log_y=log, more=more))
    return found


def _bars(name, title, x, groups, columns, caption):
    """Lying bars, so that there is room for the names. columns: [(title, {group: Summary})]"""
    width = 0.8 / len(columns)
    script = ["set xlabel %s" % quote(x), "set ytics (%s) scale 0"
              % ", ".join("%s %d" % (quote(g).replace("%", "%%"), -i) for i, g in enumerate(groups)),
              "set yrange [%g:0.6]" % (0.4 - len(groups)), "set style fill solid 0.85 noborder", "unset grid",
              "set grid xtics linecolor rgb '%s' linewidth 0.4 dashtype 3" % GRID, "set lmargin %d" % (4 + max(map(len, groups)))]
    script += _linear(max(v.high for _, values in columns for v in values.values()),
                      "x") + _legend([heading for heading, _ in columns])
    plots = []
    for i, (heading, values) in enumerate(columns):
        script += _block("d%d" % i, [(0.4 - g - width * (i + 0.5), values[name_].median, values[name_].low, values[name_].high)
                                     for g, name_ in enumerate(groups) if name_ in values])
        plots.append("$d%d using 2:1:(0):2:($1-%g):($1+%g) with boxxyerror title %s linecolor rgb '%s'"
                     % (i, 0.45 * width, 0.45 * width, quote(heading), (BLUE, ORANGE)[i % 2]))
        plots.append("$d%d using 2:1:3:4 with xerrorbars notitle linecolor rgb '%s' linewidth 1.2 pointtype 0" % (i, BLACK))
    alt = "%s. %s." % (x, "; ".join("%s: %s" % (heading, ", ".join("%s %s" % (g, words.three(values[g].median))
                                                                   for g in groups if g in values))
                                    for heading, values in columns))
    return _chart(name, title, script + ["plot " + ", \\\n  ".join(plots)], alt, caption, 150 + 24 * len(groups) * len(columns))


def _hold(results):
    groups, answered, nothing = [], {}, {}
    for c in lookup.served(results, "hold"):
        got, of = reading.clients(c, "answered"), reading.clients(c, "clients")
        if got is None or of is None:
            continue
        group = "hold = \"%s\"" % c["params"]["hold"]
        groups.append(group)
        answered[group], nothing[group] = ([stats.Summary(v, v, v, 1) for v in (got, of - got)])
    if not groups:
        return []
    return [_bars("hold", "Clients that got any answer, and those that got none", "clients", groups,
                  [("got an answer", answered), ("got none at all", nothing)],
                  "Medians of the rounds.")]


def _peers(results):
    found = []
    for keepalive in (False, True):
        served = lookup.served(results, "peers", keepalive=keepalive)
        parties, threads = lookup.options(served, "party"), lookup.options(served, "threads")[:2]
        columns = [("%d wrk threads" % t, {reading.party(c["params"]["party"]): stats.summary(c, "rps") for c in served
                                          if c["params"]["threads"] == t}) for t in threads]
        if served:
            found.append(_bars("peers-" + ("keepalive" if keepalive else "close"), "Balancers over the same origins, "
                               + words.load(keepalive),
                               "requests/s", [reading.party(p) for p in parties], columns, "More is better. " + BARS))
    return found


def _openloop(results):
    served = [c for c in lookup.served(results, "openloop") if c["params"].get("share")]
    parties = lookup.options(served, "party")
    shares = lookup.options(served, "share")
    pieces = [parties[i:i + MOST_SERIES] for i in range(0, len(parties), MOST_SERIES)]
    found = []
    for metric, name, title in (("p50_ms", "p50", "Half of all answers came within"),
                                ("p99_ms", "p99", "99 of 100 answers came within")):
        for i, piece in enumerate(pieces):
            series = []
            for j, party in enumerate(piece):
                points = [(c["params"]["share"], stats.summary(c, metric)) for c in served if c["params"]["party"] == party]
                points = sorted(((x, s) for x, s in points if s and s.low > 0), key=lambda p: p[0])
                series.append(Series(reading.party(party), points, COLOURS[j], MARKERS[j], bool(j % 2)))
            found.append(_lines("openloop-%s%s" % (name, "-%d" % (i + 1) if i else ""), title + ", by share of capacity",
                                "requests due, share of what the party can serve",
                                "%s from when it was due, ms (log scale)" % name, series, shares,
                                "Less is better. " + BARS, log_y=True, write=words.percent))
    return found
