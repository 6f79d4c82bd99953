"""From runs to tables. Markdown, padded so that it reads well as plain text too."""

import statistics

from loads import ENGINES, PARKED, PEERS

LESS_IS_BETTER = ("p50_ms", "p99_ms", "cpu_us", "alone_p99_ms", "rss_kib", "pss_kib")
ERRORS = (("socket_errors", "socket"), ("timeouts", "late"), ("non_2xx", "not 2xx"))


# Numbers ------------------------------------------------------------------------------------------------------------------------


def divide(a, b):
    return a / b if b else float("nan")


def summarize(runs):
    """Medians, sums of errors, the ratios to the better peer with their range over the rounds, and the share of direct's rate."""
    summary = {}
    for name, rounds in runs.items():
        row = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
        for key in ("socket_errors", "timeouts", "non_2xx", "parked_lost"):
            if key in row:
                row[key] = sum(r[key] for r in rounds)
        for key in ("alone_rss_kib", "alone_pss_kib"):
            if key in row:  # later rounds have what the first one's parked clients left behind
                row[key] = min(r[key] for r in rounds)
        summary[name] = row
    peers = [p for p in PEERS if p in summary]
    for name, row in summary.items():
        row["ratio"] = {}
        if "direct" in summary:
            row["of_direct"] = divide(row["rps"], summary["direct"]["rps"])
        for key in ("rps",) + LESS_IS_BETTER:
            if not peers or key not in row:
                continue
            better = min if key in LESS_IS_BETTER else max
            row["ratio"][key] = divide(row[key], better(summary[p][key] for p in peers))
            if key == "rps":
                each = [divide(r[key], better(runs[p][i][key] for p in peers)) for i, r in enumerate(runs[name])]
                row["ratio"]["rps_range"] = [min(each), max(each)]
    return summary


def cost_of_clients(summaries):
    """By party: CPU a request at 50 and at 1000 clients and the one over the other; empty unless both loads were run."""
    few, many = summaries.get("keep50", {}), summaries.get("keep1000", {})
    return {name: {"keep50": row["cpu_us"], "keep1000": many[name]["cpu_us"], "ratio": divide(many[name]["cpu_us"], row["cpu_us"])}
            for name, row in few.items() if name in many}


def parked_memory(summaries):
    """By party: memory with the parked clients, and what each of them adds to what the party has without."""
    return {name: {"rss_kib": row["rss_kib"], "pss_kib": row["pss_kib"], "pss_ratio": row["ratio"].get("pss_kib"),
                   "kib_a_client": (row["pss_kib"] - row["alone_pss_kib"]) / PARKED, "lost": row["parked_lost"]}
            for name, row in summaries.get("parked", {}).items()}


def against_aims(summaries):
    """By load, or load and pool size: for each of tplb's engines the ratios to the better peer."""
    lines = {}
    for load, summary in summaries.items():
        for name, row in summary.items():
            engine, *size = name.split()
            if engine in ENGINES and row["ratio"]:
                lines.setdefault(" ".join([load] + size), {})[engine] = {k: row["ratio"][k] for k in ("rps", "cpu_us", "p99_ms")}
    return lines


# Tables -------------------------------------------------------------------------------------------------------------------------


def markdown(title, rows, *remarks):
    """The first row is the head, the first column the names."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]

    def fit(row):
        return "| " + " | ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                                 for i, (cell, w) in enumerate(zip(row, widths))) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    lines = ["## " + title, "", fit(rows[0]), rule] + [fit(r) for r in rows[1:]] + [""]
    for remark in remarks:
        lines += [remark, ""]
    return "\n".join(lines)


def mib(kib):
    return "%.1f" % (kib / 1024)


def number(value):
    return "-" if value is None else "%.2f" % value


def errors(row):
    return ", ".join("%d %s" % (row[key], word) for key, word in ERRORS if row[key]) or "0"


def load_table(load, summary):
    """Columns are (head, cell of a row)."""
    def ratio(key):
        return "x", lambda row: number(row["ratio"].get(key))

    columns = [
        ("requests/s", lambda row: "%.0f" % row["rps"]), ratio("rps"),
        ("range", lambda row: "%.2f-%.2f" % tuple(row["ratio"]["rps_range"]) if row["ratio"] else "-"),
        ("of direct", lambda row: "%.0f %%" % (100 * row["of_direct"])),
        ("p50 ms", lambda row: "%.2f" % row["p50_ms"]),
        ("p99 ms", lambda row: "%.2f" % row["p99_ms"]), ratio("p99_ms"),
        ("CPU us", lambda row: "%.1f" % row["cpu_us"]), ratio("cpu_us"),
        ("RSS MiB", lambda row: mib(row["rss_kib"])), ("PSS MiB", lambda row: mib(row["pss_kib"])), ("errors", errors),
    ]
    if "direct" not in summary:
        columns = [c for c in columns if c[0] != "of direct"]
    if load.parked:
        columns += [("p99 alone", lambda row: "%.2f" % row["alone_p99_ms"]), ("RSS alone", lambda row: mib(row["alone_rss_kib"])),
                    ("lost", lambda row: "%d" % row["parked_lost"])]
    return markdown(load.title, [[""] + [head for head, _ in columns]]
                    + [[name] + [cell(row) for _, cell in columns] for name, row in summary.items()])


def cost_table(cost):
    return markdown("Cost at 1000 clients over cost at 50",
                    [["CPU us a request", "50 clients", "1000 clients", "1000 over 50"]]
                    + [[name, "%.1f" % row["keep50"], "%.1f" % row["keep1000"], "%.2f" % row["ratio"]]
                       for name, row in cost.items()])


def parked_table(parked):
    return markdown("Memory with %d parked clients" % PARKED,
                    [["", "RSS MiB", "PSS MiB", "x", "KiB a client", "lost"]]
                    + [[name, mib(row["rss_kib"]), mib(row["pss_kib"]), number(row["pss_ratio"]), "%.2f" % row["kib_a_client"],
                        "%d" % row["lost"]] for name, row in parked.items()],
                    "x: PSS over the better peer's. KiB a client: what PSS grows by when they come, divided by their number.")


def aims_table(aims, summaries):
    def cell(key, value):
        text = "%.2f" % value
        worse = float(text) < 1 if key == "rps" else float(text) > 1
        return "**%s**" % text if worse else text

    engines = [e for e in ENGINES if any(e in line for line in aims.values())]
    rows = [[""] + [head for e in engines for head in (e + ": req/s", "CPU", "p99")]]
    for name, line in aims.items():
        cells = [[cell(key, line[e][key]) for key in ("rps", "cpu_us", "p99_ms")] if e in line else ["-"] * 3 for e in engines]
        rows.append([name] + [text for three in cells for text in three])
    failed = ["%s under %s: %s" % (name, load, errors(row)) for load, summary in summaries.items() for name, row in summary.items()
              if errors(row) != "0"]
    return markdown("Against the aims", rows,
                    "The better of nginx and HAProxy is 1. Bold where tplb is worse: requests/s below 1, CPU or p99 above.",
                    "Errors: " + ("; ".join(failed) or "none") + ".")


def closing(summaries):
    """(what results.json has of it, its text). What the loads that were run do not give is left out."""
    numbers = {"cost_of_clients": cost_of_clients(summaries), "parked_memory": parked_memory(summaries),
               "against_aims": against_aims(summaries)}
    texts = []
    if numbers["cost_of_clients"]:
        texts.append(cost_table(numbers["cost_of_clients"]))
    if numbers["parked_memory"]:
        texts.append(parked_table(numbers["parked_memory"]))
    if numbers["against_aims"]:
        texts.append(aims_table(numbers["against_aims"], summaries))
    return numbers, "\n".join(texts)
