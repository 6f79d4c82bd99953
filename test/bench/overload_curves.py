"""
The curves and the table of doc/overload.md, from the figures of a long run of test/wire/overload_test.py.

    overload_curves.py FIGURES FOLDER

FIGURES.pool, FIGURES.epoll and FIGURES.io_uring are read, as far as they are there; FOLDER gets goodput-ENGINE.svg and table.md.
"""

import json
import os
import sys

from tplb_bench import charts, svg

ENGINES = ("pool", "epoll", "io_uring")
STYLES = (("fifo", charts.VERMILION, 7), ("lifo", charts.BLUE, 5), ("codel", charts.GREEN, 9))
NAMES = {"pool": "16 threads", "epoll": "16 fibers on epoll", "io_uring": "16 fibers on io_uring"}


def percent(cell):
    return 100 * cell["goodput"] / cell["capacity"]


def curve(engine, cells):
    script = [
        "set xlabel %s" % charts.quote("load, in multiples of the capacity"),
        "set ylabel %s" % charts.quote("goodput, % of the capacity"),
        "set logscale x 2",
        "set xrange [0.42:4.8]",
        "set xtics ('0.5' 0.5, '1' 1, '2' 2, '4' 4)",
        "set yrange [0:125]",
        "set ytics 25",
    ]
    plots, told = [], []
    for i, (discipline, colour, marker) in enumerate(STYLES):
        points = sorted((c["times"], percent(c)) for c in cells if c["discipline"] == discipline)
        if not points:
            continue
        script += ["$d%d << TPLB_END" % i] + ["%g %g" % p for p in points] + ["TPLB_END"]
        plots.append(
            "$d%d using 1:2 with linespoints title %s linecolor rgb '%s' linewidth 2 pointtype %d pointsize 0.7"
            % (i, charts.quote(discipline), colour, marker)
        )
        told.append("%s: %s" % (discipline, ", ".join("%.0f %% at %g" % (y, x) for x, y in points)))
    title = "Answered within a second, " + NAMES[engine]
    drawn = charts.gnuplot(title, script + ["plot " + ", \\\n  ".join(plots)], 380)
    if drawn is None:
        sys.exit(1)
    name = "goodput-" + engine
    return name, svg.alone(svg.adapt(drawn, name, title, "Goodput against load. %s." % "; ".join(told)))


def table(all_cells):
    lines = [
        "| workers | discipline | load | goodput | p50, p99 of all answers | refused | wait of those served: p50, p99 |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for engine, cells in all_cells:
        for discipline, _, _ in STYLES:
            for c in sorted((c for c in cells if c["discipline"] == discipline), key=lambda c: c["times"]):
                wait = dict(part.strip().split(" ") for part in c["queue"].split(","))
                lines.append(
                    "| %s | %s | %g | %.0f %% | %.0f, %.0f ms | %.0f %% | %.1f, %.1f ms |"
                    % (
                        NAMES[engine],
                        discipline,
                        c["times"],
                        percent(c),
                        c["latency_ms"]["p50"],
                        c["latency_ms"]["p99"],
                        100 * c["errors"]["status"] / c["scheduled"],
                        int(wait["p50"][:-2]) / 1000,
                        int(wait["p99"][:-2]) / 1000,
                    )
                )
    return "\n".join(lines) + "\n"


def main(figures, folder):
    found = []
    for engine in ENGINES:
        path = "%s.%s" % (figures, engine)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                found.append((engine, json.load(f)))
    if not found:
        sys.exit("overload_curves: there are no figures in %s.*" % figures)
    for engine, cells in found:
        name, text = curve(engine, cells)
        with open(os.path.join(folder, name + ".svg"), "w", encoding="utf-8") as f:
            f.write(text)
    with open(os.path.join(folder, "table.md"), "w", encoding="utf-8") as f:
        f.write(table(found))
    print(table(found), end="")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: overload_curves.py FIGURES FOLDER")
    main(*sys.argv[1:])
