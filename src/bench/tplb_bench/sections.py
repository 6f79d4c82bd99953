"""The report's content, section by section: blocks of document.py."""

from . import lookup, reading, stats, words
from .document import Answer, Banner, Bullets, Charts, Details, Group, Heading, Paragraph, Verbatim, code, plain, table

MAIN_CHARTS = ("original-close", "original-keepalive")
DASH = words.NOTHING

WORDS = [
    "**Request, answer**: what a browser asks a web service and what it gets. **Requests/s**: how many were answered in a "
    "second; more is better.",
    "**Connection**: the line a request goes over. One connection a request: a new line for each. Keep-alive: the line stays and "
    "serves the next.",
    "**Pool**: a fixed number of threads (workers); in the classic pool each serves a request until it is done, even while it only waits. "
    "tplb's own may begin up to 8 requests a worker (`pool.burst`) and then wait for all their answers at once.",
    "**Async**: a few threads that each have thousands of requests under way and turn to whichever can go on. It stands twice, "
    "since the kernel offers two ways to wait for many things: `epoll` and `io_uring`.",
    "**Balancer**: a program in front of several servers (origins) that hands each request to one of them. Here four behind it, "
    "one when alone.",
    "**wrk**: the program that asks. It keeps 1000 connections busy from a number of threads of its own, and the original "
    "experiment varied that number.",
    "**p50, p90, p99**: half, 90 and 99 of 100 answers came within that time; less is better.",
]


def report(results, charts, notices=()):
    """All blocks. charts: {name: Chart}; notices: what keeps pictures from being drawn."""
    parts = [_first_screen(results, charts, notices), _original(results, charts), _sweep(results, charts), _hold(results, charts),
             _peers(results, charts), _openloop(results, charts), _pictures(charts), _honesty(results)]
    return [block for part in parts for block in part]


def title():
    return "Threads in a pool or an async loop: which serves better?"


def _charts(charts, *names):
    found = [charts[n] for n in names if n in charts]
    return [Charts(found)] if found else []


def _prefixed(charts, prefix):
    return _charts(charts, *[n for n in charts if n.startswith(prefix)])


# The first screen ---------------------------------------------------------------------------------------------------------------


def _first_screen(results, charts, notices):
    blocks = [Paragraph("How does a web service perform when a fixed **pool** of threads serves it, and when an **asynchronous** "
                        "loop does, each alone and behind a load balancer? And how large should the pool be?")]
    failed = lookup.failures(results)
    if not results.get("complete", True):
        blocks.append(Banner("This run was ended before it was done: what follows is what it had measured by then. `tplb-bench "
                             "--resume` goes on with it."))
    load, cores = results.get("machine", {}).get("load_before"), results.get("machine", {}).get("cores")
    if load is not None and cores and load > 0.3 * cores:
        blocks.append(Banner("Other programs were busy when this run began (load average %s on %s): the numbers are worth less."
                             % (words.three(load), words.plural(cores, "core"))))
    if failed:
        blocks.append(Banner("%s failed: listed at the end, counted in no number here."
                             % words.plural(len(failed), "measurement")))
    parts = reading.answer(results)
    if parts:
        blocks.append(Answer(parts))
    if not reading.situations(results):
        blocks.append(Paragraph("This run did not measure both architectures in the original experiment, so it cannot say which "
                                "is faster; what it did measure is below."))
    main = next((charts[name] for name in MAIN_CHARTS if name in charts), None)
    if main:
        blocks += [Charts([main]),
                   Paragraph("How to read it: higher is better. Solid lines are a server alone, dashed ones four servers behind "
                             "the balancer; the further right, the more threads the load came from. Thin bars span the lowest "
                             "and highest round.")]
    blocks += [Paragraph("**%s**" % notice) for notice in notices]
    rows = reading.answer_table(results)
    if rows:
        blocks.append(table("The same in numbers", rows[0], rows[1:], left=3,
                            notes=["1.25 times: a quarter more. Ranges go over the numbers of wrk threads."]))
    return blocks + [Details("The words used here", [Bullets(WORDS)])]


# 1. The original experiment -----------------------------------------------------------------------------------------------------


def _original(results, charts):
    if not lookup.cases(results, "original"):
        return []
    blocks = [Heading(2, "The original experiment", "original"),
              Paragraph("{async, pool} × {alone, behind the balancer} × wrk threads, with the ports and pages of the original. "
                        "Its servers closed the connection after each answer; that comes first here, keep-alive second.")]
    text = reading.opened(results)
    if text:
        blocks.append(Paragraph(text))
    for keepalive in (False, True):
        if lookup.cases(results, "original", keepalive=keepalive):
            blocks += _original_load(results, charts, keepalive)
    return blocks + _beside_the_original(results)


def _original_load(results, charts, keepalive):
    key = "keepalive" if keepalive else "close"
    blocks = [Heading(3, words.capital(words.load(keepalive)), "original-" + key)]
    first_shown = next((n for n in MAIN_CHARTS if n in charts), None)
    blocks += _charts(charts, *[n for n in ("original-" + key, "original-p99-" + key, "original-balancer-" + key)
                                if n != first_shown])
    rows = _by_side(results, keepalive, _speed_row)
    blocks.append(table("What was served: %s" % words.load(keepalive), SPEED, rows,
                        ["Medians of the rounds; range: lowest and highest round. Errors: of all kinds, summed over the rounds. Requests/s: good "
                         "answers over the whole life of wrk, its start included; its own figure, which forgets the start and is far too "
                         "high with many threads, is in `results.csv` (wrk_rps). Milliseconds are wrk's own: from the request's sending, "
                         "after the connection was made; answers later than two seconds are counted as timeouts and are not in them, nor "
                         "is what was never answered."]))
    blocks.append(Details("Errors by kind, CPU, memory and requests per origin: %s" % words.load(keepalive),
                          [table("What it took and what went wrong: %s" % words.load(keepalive), COST,
                                 _by_side(results, keepalive, _cost_row),
                                 ["Errors and requests per origin are summed over the rounds, the others medians. CPU: seconds "
                                  "of one core, user and system. Memory: resident, of all processes of that party. CPU a "
                                  "request: balancer and origins together."])]))
    blocks += _few_and_many(results, keepalive)
    crossed = lookup.cases(results, "original", keepalive=keepalive, crossed=True)
    if crossed:
        rows = []
        for c in crossed:
            rows.append([plain(c["label"])] + _speed_row(c))
        blocks.append(table("Crossed: the other architecture's origins behind each balancer", ["balancer and origins"] + SPEED,
                            rows,
                            ["In the rows above the origins are of the balancer's own architecture."]))
        text = reading.crossed(results, keepalive)
        if text:
            blocks.append(Paragraph(text))
    return blocks


SPEED = ["wrk threads", "connections opened", "requests", "requests/s", "range", "transfer/s", "p50 ms", "p90 ms", "p99 ms",
         "errors",
         "rounds"]
COST = ["wrk threads", "connect errors", "read errors", "write errors", "timeouts", "not 2xx", "CPU s balancer", "CPU s origins",
        "CPU s load", "CPU µs a request", "MiB balancer", "MiB origins", "requests per origin"]


def _by_side(results, keepalive, row):
    rows = []
    for side in lookup.SIDES:
        for behind in (False, True):
            found = lookup.cases(results, "original", architecture=side[0], driver=side[1], behind=behind, keepalive=keepalive,
                                 aa=None,
                                 crossed=False)
            if found:
                rows.append(Group("%s, %s" % (words.side(side), words.place(behind))))
                rows += [row(c) for c in sorted(found, key=lambda c: c["params"]["threads"])]
    return rows


def _med(c, metric, write=words.three):
    found = stats.summary(c, metric)
    return write(found.median) if found else DASH


def _range(c, metric):
    found = stats.summary(c, metric)
    return words.bounds(found.low, found.high) if found and found.n > 1 else DASH


def _rounds(c):
    good = sum(not run.get("error") for run in c["runs"])
    return "%d" % good if good == len(c["runs"]) else "**%d of %d**" % (good, len(c["runs"]))


def _errors(c):
    count = lookup.errors(c)
    return DASH if not stats.values(c, "rps") else "**%s**" % words.whole(count) if count else "0"


def _speed_row(c):
    threads = c["params"].get("threads")
    return [DASH if threads is None else str(threads), _med(c, "opened", words.whole), _med(c, "requests", words.whole),
            _med(c, "rps"),
            _range(c, "rps"), _med(c, "bytes_s", words.bytes_s), _med(c, "p50_ms"), _med(c, "p90_ms"), _med(c, "p99_ms"),
            _errors(c),
            _rounds(c)]


def _cost_row(c):
    def count(key):
        number = lookup.total(c, key)
        return "**%s**" % words.whole(number) if number else words.whole(number)

    return [str(c["params"]["threads"])] + [count(k) for k in ("connect_errors", "read_errors", "write_errors", "timeouts",
                                                               "non_2xx")] \
        + [_med(c, "cpu_s." + p) for p in ("balancer", "origins", "load")] + [_med(c, lookup.cpu_us)] \
        + [_med(c, "rss_mib." + p) for p in ("balancer", "origins")] + [_by_origin(c)]


def _by_origin(c):
    total = {}
    for run in c["runs"]:
        for origin, requests in (run.get("by_origin") or {}).items():
            total[origin] = total.get(origin, 0) + (requests or 0)
    return " / ".join(words.whole(total[o]) for o in sorted(total)) or DASH


VERDICTS = {"rps": {"more": "more", "less": "less"}, "p99_ms": {"more": "longer", "less": "shorter"}}


def _verdict(c, metric):
    if c is None:
        return [DASH, DASH]
    text = words.ratio(c.ratio)
    if words.ratio(c.low) != words.ratio(c.high):
        text += " (%s)" % words.bounds(c.low, c.high, words.ratio)
    return [text, VERDICTS[metric].get(c.verdict, "no difference")
            + (", weak" if c.sure == "weak" and c.verdict != "none" else "")]


def _few_and_many(results, keepalive):
    threads = lookup.original_threads(results, keepalive)
    if not threads:
        return []
    ends = [threads[0]] if len(threads) == 1 else [threads[0], threads[-1]]
    rows = []
    for metric, unit in (("rps", "requests/s"), ("p99_ms", "p99")):
        body = []
        for behind in (False, True):
            for side in lookup.SIDES[1:]:
                body.append(("%s : pool, %s" % (words.side(side), words.place(behind)),
                             reading.engines(results, side, behind, keepalive, metric)))
        for side in lookup.SIDES:
            body.append(("%s, behind : alone" % words.side(side), reading.balancer(results, side, keepalive, metric)))
        body = [[name] + [cell for t in ends for cell in _verdict(c.get(t), metric)] for name, c in body if c]
        rows += [Group(unit + (", shorter is better" if unit == "p99" else ""))] + body if body else []
    if not rows:
        return []
    head = ["one : the other"] + [h for t in ends for h in ("at %d wrk threads" % t, "verdict")]
    return [table("Few and many wrk threads: %s" % words.load(keepalive), head, rows,
                  ["The kernel's scheduler shares the cores out by thread, which flatters whoever has more of them; so each "
                   "comparison is made with few and with many wrk threads. In brackets: the ratio in the single rounds."])]


def _beside_the_original(results):
    threads = list(reading.ORIGINAL_THREADS)
    rows = [Group("the original, requests/s")]
    for behind in (False, True):
        rows += [["%s, %s" % (a, words.place(behind))] + ["{:,.2f}".format(v) for v in reading.ORIGINAL[a, behind]]
                 for a in ("async", "pool")]
    rows.append(Group("the original, behind : alone"))
    rows += [[a] + [words.ratio(v) for v in reading.original_share(a)] for a in ("async", "pool")]
    for keepalive in (False, True):
        rates, shares = [], []
        for side in lookup.SIDES:
            for behind in (False, True):
                found = [lookup.original(results, side, behind, keepalive, t) for t in threads]
                if any(found):
                    rates.append(["%s, %s" % (words.side(side), words.place(behind))]
                                 + [_med(c, "rps") if c else DASH for c in found])
            against = reading.balancer(results, side, keepalive)
            if against:
                shares.append([words.side(side)] + [words.ratio(against[t].ratio) if t in against else DASH for t in threads])
        if rates:
            rows += [Group("here, %s, requests/s" % words.load(keepalive))] + rates
        if shares:
            rows += [Group("here, %s, behind : alone" % words.load(keepalive))] + shares
    return [Heading(3, "The original's own numbers", "reference"),
            Paragraph("A reference, not a comparison: the original was written in Python and measured in 2023 on its author's "
                      "machine. What can be compared is the shape, above all what the balancer does to each side."),
            table("The original's 20 rows beside those of this run", ["wrk threads"] + [str(t) for t in threads], rows)]


# 2. The sweep -------------------------------------------------------------------------------------------------------------------


def _sweep(results, charts):
    found = lookup.cases(results, "sweep")
    if not found:
        return []
    clients = words.listing(lookup.options(found, "clients"))
    blocks = [Heading(2, "How large a pool", "sweep"),
              Paragraph("The same load, %s clients, on pools of growing size. The knee is the smallest size whose throughput is "
                        "within 5 %% of the best, or within the noise: more workers than that cost memory and switches and bring next to nothing. "
                        "The queue has no limit of waiting here." % clients)]
    for path in lookup.options(found, "path"):
        key = path.strip("/").replace("/", "-") or "root"
        blocks += [Heading(3, words.capital(reading.work(path)), "sweep-" + key)]
        blocks += _charts(charts, "sweep-rps-" + key, "sweep-p99-" + key)
        if lookup.served(results, "sweep", path=path):
            blocks.append(Paragraph(reading.little_text(results, path)))
        rows = []
        for burst in lookup.options(lookup.cases(results, "sweep", path=path), "burst"):
            size = reading.knee(results, path, burst)
            rows.append(Group("burst %s: %s" % (burst, "one request at a time, the classic pool" if burst == 1 else
                                                "a worker begins up to %s requests, then waits for all their answers at once"
                                                % burst)))
            for c in sorted(lookup.cases(results, "sweep", path=path, burst=burst), key=lambda c: c["params"]["workers"]):
                workers = c["params"]["workers"]
                rows.append(["**%d, the knee**" % workers if workers == size else str(workers), _med(c, "rps"), _range(c, "rps"),
                             _med(c, "p50_ms"), _med(c, "p99_ms"), _med(c, lookup.cpu_us), _errors(c), _rounds(c)])
        blocks.append(Details("Every size: %s" % reading.work(path), [
            table("Pool sizes: %s" % reading.work(path), ["workers", "requests/s", "range", "p50 ms", "p99 ms",
                                                          "CPU µs a request", "errors",
                                                          "rounds"], rows)]))
    return blocks


# 3. Starvation ------------------------------------------------------------------------------------------------------------------


def _hold(results, charts):
    found = lookup.cases(results, "hold")
    if not found:
        return []
    blocks = [Heading(2, "Starvation: who gets an answer at all", "hold"),
              Paragraph("More clients than workers, and each client keeps its connection. The classic pool gives a worker to a "
                        "connection until it ends; tplb's default gives one to a request. "
                        "Here with a burst of 1 in both, and no limit of waiting in the queue: by default those who wait for longer "
                        "than a second get a 503.")]
    text = reading.starvation(results)
    if text:
        blocks.append(Paragraph(text))
    blocks += _charts(charts, "hold")
    rows = []
    for c in found:
        rows.append(["`hold = \"%s\"`" % c["params"]["hold"], str(c["params"]["workers"]),
                     words.whole(c["params"].get("clients"))]
                    + [words.whole(reading.clients(c, key)) for key in ("answered", "min", "p10", "median", "p90", "max")]
                    + [_med(c, "rps"), _med(c, "p99_ms"), _errors(c), _rounds(c)])
    blocks.append(table("Answers per client", ["pool.hold", "workers", "clients", "got any answer", "fewest answers", "p10",
                                               "median", "p90",
                                               "most", "requests/s", "p99 ms", "errors", "rounds"], rows,
                        ["p10, p90: a tenth of the clients got so few or fewer, so many or more. p99 counts only answers that "
                         "came: who never got one is in none of the latencies."]))
    return blocks


# 4. Peers -----------------------------------------------------------------------------------------------------------------------


def _peers(results, charts):
    found = lookup.cases(results, "peers")
    if not found:
        return []
    blocks = [Heading(2, "Beside other balancers", "peers"),
              Paragraph("The same origins, the same loads, other balancers in front. A ratio is to the better of nginx and "
                        "HAProxy in that very column; a difference within the noise is called none.")]
    text = reading.peers(results)
    if text:
        blocks.append(Paragraph(text))
    skipped = [s for s in results.get("skipped", []) if s["what"] in reading.NAMES]
    if skipped:
        blocks.append(Paragraph("Not measured: %s." % "; ".join("%s, %s" % (reading.party(s["what"]), plain(s["why"]))
                                                                for s in skipped)))
    blocks += _prefixed(charts, "peers-")
    limit = reading.noise(results), reading.noise(results, "p99_ms")
    for keepalive in (False, True):
        rows = []
        here = lookup.cases(results, "peers", keepalive=keepalive)
        for threads in lookup.options(here, "threads"):
            fast = reading.best_peer(results, keepalive, threads)
            soon = reading.best_peer(results, keepalive, threads, "p99_ms", least=True)
            rows.append(Group("%d wrk threads" % threads))
            for c in (c for c in here if c["params"]["threads"] == threads):
                rows.append([reading.party(c["params"]["party"]), _med(c, "rps"), _range(c, "rps")]
                            + _against(c, fast, "rps", limit[0]) + [_med(c, "p50_ms"), _med(c, "p99_ms")]
                            + _against(c, soon, "p99_ms", limit[1])
                            + [_med(c, lookup.cpu_us), _med(c, "rss_mib.balancer"), _errors(c), _rounds(c)])
        if rows:
            blocks.append(table("Balancers: %s" % words.load(keepalive),
                                ["", "requests/s", "range", "ratio", "verdict", "p50 ms", "p99 ms", "ratio", "verdict",
                                 "CPU µs a request",
                                 "MiB", "errors", "rounds"], rows,
                                ["No balancer: wrk asks one origin directly, a reference, not a limit: four may do more than one. MiB: "
                                 "the balancer's resident memory. CPU a request: balancer and origins."]))
    return blocks


def _against(c, peer, metric, limit):
    if c is peer:
        return ["1", "the better peer"]
    return _verdict(stats.compare(c, peer, metric, limit) if peer else None, metric)


# 5. Open loop -------------------------------------------------------------------------------------------------------------------


def _openloop(results, charts):
    found = lookup.cases(results, "openloop")
    if not found:
        return []
    blocks = [Heading(2, "Latency when the load does not wait", "openloop"),
              Paragraph("wrk sends its next request only when the last is answered: a closed loop stops asking while it waits, "
                        "and so hides waiting. Real users come when they come. Here requests leave at a constant rate, a share "
                        "of what each party can serve at most, and the clock of each starts when it was **due**, not when it "
                        "could be sent.")]
    text = reading.openloop(results)
    if text:
        blocks.append(Paragraph(text))
    blocks += _prefixed(charts, "openloop-")
    rows = []
    for name in lookup.options(found, "party"):
        rows.append(Group(reading.party(name)))
        for c in sorted((c for c in found if c["params"]["party"] == name), key=lambda c: c["params"]["share"] or 0):
            share = c["params"]["share"]
            kept = stats.median([stats.value(r, _kept) for r in c["runs"]])
            busy = stats.median([stats.value(r, _generator) for r in c["runs"]])
            rows.append([words.percent(share) if share else "closed loop, 100 %", _med(c, "target_rps") if share else DASH,
                         _med(c, "rps"),
                         DASH if kept is None else words.percent(kept) if kept >= KEPT else "**%s**" % words.percent(kept),
                         _med(c, "late_sends", words.whole) if share else DASH,
                         DASH if busy is None else words.percent(busy) if busy < GENERATOR_BUSY else "**%s**" % words.percent(busy)]
                        + [_med(c, k) for k in ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")] + [_errors(c), _rounds(c)])
    blocks.append(table("Latency by share of capacity", ["share", "due/s", "answered/s", "kept up", "sent late", "generator's CPU",
                                                         "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "errors", "rounds"], rows,
                        ["Closed loop: how the capacity was measured, as this generator reaches it here; its latencies are those that hide "
                         "waiting. Kept up: answered over due a second; below 98 % the party could not keep up with the rate, a backlog "
                         "grew, and how large its latencies got depends on how long the run was. Sent late: more than 1 ms after they "
                         "were due. Generator's CPU: of the one core that its thread can use; above 90 % it is the generator that is "
                         "measured."]))
    return blocks


KEPT, GENERATOR_BUSY = 0.98, 0.9


def _kept(run):
    return run["rps"] / run["target_rps"] if run.get("target_rps") and run.get("rps") is not None else None


def _generator(run):
    load = (run.get("cpu_s") or {}).get("load")
    return load / run["lasted_s"] if load is not None and run.get("lasted_s") else None


# 6. The pictures ----------------------------------------------------------------------------------------------------------------


def _pictures(charts):
    found = [c for name, c in charts.items() if name.startswith("picture-")]
    if not found:
        return []
    return [Heading(2, "What was measured, drawn", "pictures"),
            Paragraph("Drawn by tplb from the very configurations of this run.")] + [Charts([c]) for c in found]


# 7. How far to trust it ---------------------------------------------------------------------------------------------------------


def _honesty(results):
    run = results.get("run", {})
    limit = reading.noise(results)
    blocks = [Heading(2, "How far to trust these numbers", "trust"), Bullets([
        "Every number is the median of %s of %s s; within a round the cases ran in random order (seed %s), so that what else the "
        "machine did hit all cases of an experiment alike; the experiments followed one another." % (words.plural(run.get("rounds", 0), "round"), run.get("seconds", "?"),
                                        run.get("seed", "?")),
        "A difference is called one only if the ranges of the rounds do not overlap **and** the medians lie further apart than "
        "the noise. The noise: %s." % ("not known, since nothing was run twice" if limit is None else
                            "%s in requests/s, the largest difference between the medians of the very same thing run twice"
                            % words.percent(limit)),
        "With three rounds the ranges of two equal things lie apart in one case of ten by chance alone, which is why the noise is asked "
        "as well. Fewer than %d rounds, or no A/A row, make a difference weak." % stats.ENOUGH_ROUNDS,
        "Load, balancer and origins share one machine: what one of them burns the others lack, so a balancer alone on its "
        "machine could do more than these numbers."])]
    blocks += _aa(results) + _failed(results) + _skipped(results) + _machine(results) + _commands(results)
    return blocks


def _aa(results):
    rows = []
    for experiment in results.get("experiments", []):
        for a, b in stats.aa_pairs([experiment]):
            row = [plain(a["label"]), str(a["params"].get("threads", DASH))]
            for metric in ("rps", "p99_ms"):
                one, other = stats.summary(a, metric), stats.summary(b, metric)
                both = one and other
                row += [words.three(one.median) if one else DASH, words.three(other.median) if other else DASH,
                        words.percent(stats.difference(one.median, other.median)) if both else DASH]
            rows.append([row[0] + (", " + words.load(a["params"]["keepalive"]) if "keepalive" in a["params"] else "")] + row[1:])
    if not rows:
        return []
    return [table("The same thing twice (A/A)", ["", "wrk threads", "requests/s", "again", "apart", "p99 ms", "again", "apart"],
                  rows)]


def _failed(results):
    failed = lookup.failures(results)
    if not failed:
        return [Paragraph("No measurement failed.")]
    rows = [[code(c["id"]), str(run.get("round", DASH)), plain(run["error"])] for c, run in failed]
    return [table("Measurements that failed", ["case", "round", "what happened"], rows, left=3)]


def _skipped(results):
    if not results.get("skipped"):
        return []
    return [table("Skipped", ["what", "why"], [[reading.party(plain(s["what"])), plain(s["why"])] for s in results["skipped"]],
                  left=2)]


def _machine(results):
    machine, run = results.get("machine", {}), results.get("run", {})
    pinned = machine.get("pinned")
    syscall = machine.get("syscall_ns")
    facts = [("CPU", machine.get("cpu")), ("cores", machine.get("cores")),
             ("memory", "%s MiB" % words.whole(machine["memory_mib"]) if machine.get("memory_mib") else None),
             ("kernel", machine.get("kernel")),
             ("a system call takes", "%s ns" % words.three(syscall) if syscall else None),
             ("load average before", "%.2f" % machine["load_before"] if machine.get("load_before") is not None else None),
             ("pinned to cores", "; ".join("%s: %s" % (who, ", ".join(map(str, cores))) for who, cores in pinned.items())
              if pinned else "no, too few cores" if "pinned" in machine else None),
             ("seed", run.get("seed")), ("rounds", run.get("rounds")), ("seconds a run", run.get("seconds")),
             ("started", run.get("started")), ("ended", run.get("ended"))]
    rows = [[name, plain(v)] for name, v in facts if v is not None]
    rows += [[code(name), plain(v)] for name, v in results.get("versions", {}).items()]
    blocks = [table("The machine and the programs", ["", ""], rows, left=2)] if rows else []
    if run.get("command"):
        blocks += [Paragraph("The command of this run:"), Verbatim(run["command"])]
    return blocks


def _commands(results):
    lines = []
    for experiment in results.get("experiments", []):
        for c in experiment["cases"]:
            commands = next((run["commands"] for run in c["runs"] if run.get("commands")), None)
            if commands:
                lines += ["# " + c["id"]] + list(commands) + [""]
    return [Details("The exact commands of every case", [Verbatim("\n".join(lines).rstrip())])] if lines else []
