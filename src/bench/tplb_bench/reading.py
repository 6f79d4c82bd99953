"""The sentences of the report, computed from the data. Text is the light markup of document.py."""

import collections
import math

from . import lookup, stats, words

FEW, MANY = "few", "many"
PEERS = ("nginx", "haproxy")
NAMES = {"nginx": "nginx", "haproxy": "HAProxy", "pound": "Pound", "varnish": "Varnish", "apache": "Apache", "caddy": "Caddy",
         "direct": "no balancer"}
HOLDS = ("connection", "request")

# Requests/s of the original: Python, 2023, its author's machine.
ORIGINAL_THREADS = (10, 50, 100, 150, 200)
ORIGINAL = {("async", False): (692.39, 707.61, 640.65, 552.38, 662.86),
            ("async", True): (791.08, 1139.37, 781.44, 848.8, 886.36),
            ("pool", False): (292.36, 166.69, 122.01, 95.47, 87.33),
            ("pool", True): (82.84, 74.31, 78.52, 77.42, 96.63)}


def party(name):
    return NAMES.get(name, name)


def noise(results, metric="rps"):
    return stats.aa_noise(results.get("experiments", []), metric)


# Comparisons over the numbers of wrk threads ------------------------------------------------------------------------------------


def engines(results, side, behind, keepalive, metric="rps"):
    """{threads: that async side over the pool}"""
    return _contest(results, (side, behind), (lookup.SIDES[0], behind), keepalive, metric)


def balancer(results, side, keepalive, metric="rps"):
    """{threads: that side behind the balancer over the same alone}"""
    return _contest(results, (side, True), (side, False), keepalive, metric)


def _contest(results, one, other, keepalive, metric):
    limit, found = noise(results, metric), {}
    for threads in lookup.original_threads(results, keepalive):
        a, b = (lookup.original(results, side, behind, keepalive, threads) for side, behind in (one, other))
        comparison = a and b and stats.compare(a, b, metric, limit)
        if comparison:
            found[threads] = comparison
    return found


def overall(comparisons):
    """The one word for a row of them: "more" or "less" if most say so and none the contrary, "none" if none says anything else,
    else "mixed"; None of nothing."""
    count = collections.Counter(c.verdict for c in comparisons)
    total = sum(count.values())
    if not total:
        return None
    if count["none"] == total:
        return "none"
    for verdict, contrary in (("more", "less"), ("less", "more")):
        if count[verdict] * 2 > total and not count[contrary]:
            return verdict
    return "mixed"


def by_verdict(comparisons, unit="wrk threads"):
    """1.2 to 1.4 times at 10 and 50 wrk threads, no difference at 100; no numbers where there is one verdict only."""
    groups = [(v, {t: c for t, c in comparisons.items() if c.verdict == v}) for v in ("more", "less", "none")]
    groups = [(verdict, members) for verdict, members in groups if members]
    parts = []
    for verdict, members in groups:
        text = words.NO_DIFFERENCE if verdict == "none" and len(groups) == 1 else "no difference" if verdict == "none" \
            else times([c.ratio for c in members.values()])
        if len(groups) > 1:
            text += " at " + words.listing(members) + (" " + unit if not parts else "")
        parts.append(text)
    return ", ".join(parts)


def times(ratios):
    if all(math.isinf(r) for r in ratios):
        return "some against none"
    return words.span(min(ratios), max(ratios), words.ratio) + " times"


# The answer ---------------------------------------------------------------------------------------------------------------------


def answer(results):
    """[(lead, text)]: what the first screen says."""
    parts = [("Which is faster?", winner(results)), ("Does a balancer help?", conclusion(results)),
             ("How large should the pool be?", pool_size(results)), ("How sure is this?", sureness(results))]
    return [(lead, text) for lead, text in parts if text]


def situations(results):
    """(keepalive, behind, {async side: {threads: Comparison}}) of what was run."""
    found = []
    for keepalive in (False, True):
        for behind in (False, True):
            contest = {side: engines(results, side, behind, keepalive) for side in lookup.SIDES[1:]}
            contest = {side: c for side, c in contest.items() if c}
            if contest:
                found.append((keepalive, behind, contest))
    return found


def outcome(contest):
    """Who won one situation."""
    verdicts = {side: overall(c.values()) for side, c in contest.items()}
    ahead = [side for side, v in verdicts.items() if v == "more"]
    if len(ahead) == len(verdicts):
        return words.side(ahead[0]) if len(ahead) == 1 else "async, on epoll and on io_uring,"
    if ahead:
        return words.side(ahead[0]) + " (not " + words.listing(words.side(s)[len("async "):] for s in verdicts
                                                               if s not in ahead) + ")"
    if all(v == "less" for v in verdicts.values()):
        return "the pool"
    return None


def winner(results):
    found = situations(results)
    if not found:
        return None
    won = {}
    for keepalive, behind, contest in found:
        won.setdefault(outcome(contest), []).append((keepalive, behind))
    sides = {}
    for keepalive, behind, contest in found:
        for side, comparisons in contest.items():
            sides.setdefault(side, []).extend(comparisons.values())
    parts = ["%s %s" % (words.side(side), _extent(c)) for side, c in sides.items()]
    weak = all(c.sure == "weak" for comparisons in sides.values() for c in comparisons)
    return "%s %s." % (_headline(won, len(found), weak), words.capital("; ".join(parts)))


def _extent(comparisons):
    told = [c.ratio for c in comparisons if c.verdict != "none"]
    if not told:
        return "makes " + words.NO_DIFFERENCE
    text = "answered %s as many requests a second as the pool" % times(told)
    alike = len(comparisons) - len(told)
    return text + (" in %d of %d comparisons, no difference in the others" % (len(told), len(comparisons)) if alike else "")


def _multiples(comparisons):
    told = [c.ratio for c in comparisons if c.verdict != "none"]
    alike = len(comparisons) - len(told)
    if not told:
        return words.NO_DIFFERENCE
    return times(told) + (" in %d of %d, no difference in the others" % (len(told), len(comparisons)) if alike else "")


def _headline(won, total, weak):
    parts = []
    for who, where in sorted(won.items(), key=lambda item: (item[0] is None, -len(item[1]))):
        where = ("in every situation measured" if who else "in any situation measured") if len(where) == total and total > 1 else words.listing(
            "%s (%s)" % (words.place(behind), words.load(keepalive)) for keepalive, behind in where)
        parts.append("%s won %s" % (who, where) if who else "no side won clearly " + where)
    return "**%s.**" % words.capital(("as far as so few rounds can tell, " if weak else "") + "; ".join(parts))


HELPED = {"more": "helped", "less": "cost", "none": "made no difference to", "mixed": "neither clearly helped nor harmed"}


def conclusion(results):
    """The original's, load by load, and whether it holds."""
    sentences = []
    for keepalive in (False, True):
        each = {side: balancer(results, side, keepalive) for side in lookup.SIDES}
        asynchronous = [c for side in lookup.SIDES[1:] for c in each[side].values()]
        pool = list(each[lookup.SIDES[0]].values())
        if not asynchronous or not pool:
            continue
        verdicts = overall(asynchronous), overall(pool)
        sentences.append("With %s %s: the balancer %s async (%s) and %s the pool (%s)."
                         % (words.load(keepalive), _holds(verdicts), HELPED[verdicts[0]], _multiples(asynchronous),
                            HELPED[verdicts[1]], _multiples(pool)))
    if not sentences:
        return None
    return "The original experiment concluded that a balancer helps async and harms the pool. " + " ".join(sentences) \
        + " (Times: requests a second of four servers behind the balancer against one alone, on the same cores: with so small a page there " \
          "is nothing that more servers could win.)"


def answer_table(results):
    """[[comparison, with one connection a request, with keep-alive]] of the loads that were run."""
    loads = [k for k in (False, True) if lookup.original_threads(results, k)]
    rows = []
    for behind in (False, True):
        for side in lookup.SIDES[1:]:
            rows.append(["%s against the pool, %s" % (words.side(side), words.place(behind))]
                        + [engines(results, side, behind, k) for k in loads])
    for side in lookup.SIDES:
        rows.append(["%s, behind the balancer against alone" % words.side(side)] + [balancer(results, side, k) for k in loads])
    rows = [[name] + [by_verdict(c) if c else words.NOTHING for c in cells] for name, *cells in rows if any(cells)]
    return [["requests a second"] + ["with " + words.load(k) for k in loads]] + rows if rows else []


def _holds(verdicts):
    halves = [{claim: True, contrary: False}.get(v) for v, claim, contrary in zip(verdicts, ("more", "less"), ("less", "more"))]
    if all(halves):
        return "**that holds here**"
    if True in halves:
        return "**only half of that holds here**" if False in halves else "**half of that holds here, the other half cannot be told**"
    return "**that does not hold here**" if False in halves else "**that cannot be told here**"


def pool_size(results):
    sentences = []
    for path in lookup.options(lookup.served(results, "sweep"), "path"):
        knees = [(burst, knee(results, path, burst)) for burst in bursts(results, path)]
        parts = ["%s%s%s" % (words.plural(size, "worker"), burst_words(burst) if len(knees) > 1 else "",
                             ", the largest pool tried" if is_largest(results, path, burst, size) else "")
                 for burst, size in knees if size]
        if parts:
            advice = little_advice(results, path)
            sentences.append("For %s: %s%s." % (work(path), "; ".join(parts), "" if not advice else
                                                " (Little's law: %s busy on the average)" % words.three(advice.workers)))
    if sentences:
        limit = max(stats.KNEE, sweep_noise(results) or 0)
        sentences.append("More brought less than %s more requests a second." % words.percent(limit))
    return " ".join(sentences) or None


def work(path):
    """What a request of the sweep is, in words."""
    if path.startswith("/delay/"):
        return "requests whose server waits %s ms" % path[len("/delay/"):]
    return "requests that are answered at once" if path == "/" else "requests for `%s`" % path


def burst_words(burst):
    return " if each serves one request at a time" if burst == 1 else " if each begins up to %d at once" % burst


def sureness(results):
    pairs = stats.aa_pairs(results.get("experiments", []))
    limit = noise(results)
    if limit is None:
        text = "Nothing was run twice (no A/A row), so how much chance alone moves these numbers is not known; a difference is " \
               "called one when the rounds' ranges do not overlap."
    else:
        text = "The very same thing run twice differed by up to %s in requests a second (%s), so no difference smaller than " \
               "that is called one." % (words.percent(limit), words.plural(len(pairs), "A/A pair"))
    rounds = [len([r for r in c["runs"] if not r.get("error")]) for c in lookup.cases(results, "original")]
    comparisons = [c for _, _, contest in situations(results) for row in contest.values() for c in row.values()]
    comparisons += [c for keepalive in (False, True) for side in lookup.SIDES
                    for c in balancer(results, side, keepalive).values()]
    told = [c for c in comparisons if c.verdict != "none"]
    if comparisons and told:
        text += " %d of the %d comparisons behind these sentences show a difference" % (len(told), len(comparisons))
        if all(c.sure == "every round" for c in told):
            text += ", and in each of those every round agrees."
        elif limit is None and min(rounds) >= stats.ENOUGH_ROUNDS:
            text += ", with every round agreeing."
        else:
            weak = sum(c.sure == "weak" for c in told)
            text += "; %s on fewer than %d rounds and %s weak." % (
                "all of them rest" if weak == len(told) else "%s rest" % words.whole(weak) if weak != 1 else "1 rests",
                stats.ENOUGH_ROUNDS, "is" if weak == 1 else "are")
    elif comparisons:
        text += " None of the %s comparisons behind these sentences shows a difference." % words.whole(len(comparisons))
    return " ".join([text] + bad_answers(results))


def bad_answers(results, least=0.001):
    """A sentence if a row of the original has many errors."""
    found = []
    for c in lookup.cases(results, "original"):
        requests = lookup.total(c, "requests") or 0
        lost = sum(lookup.total(c, key) or 0 for key in ("connect_errors", "read_errors", "write_errors"))
        bad = lost + sum(lookup.total(c, key) or 0 for key in ("timeouts", "non_2xx"))  # these were answered, and are in requests
        if bad > least * (requests + lost):
            found.append((bad / (requests + lost), c["label"], c["params"].get("threads")))
    if not found:
        return []
    worst = max(found, key=lambda f: f[0])
    return ["%s had errors, or answers later than wrk's timeout, above %s of all, at worst %s (%s, %s wrk threads): read their rates with the "
            "tables."
            % (words.capital(words.plural(len(found), "row")), words.percent(least), words.percent(worst[0]), worst[1], worst[2])]


# The original -------------------------------------------------------------------------------------------------------------------


def opened(results):
    """What wrk really opens, from the runs."""
    rounded = {}
    for c in lookup.served(results, "original"):
        threads, clients = c["params"].get("threads"), c["params"].get("clients")
        count = stats.median(stats.values(c, "opened"))
        if threads and clients and count is not None and count != clients:
            rounded[threads] = (count, clients)
    parts = ["at `-t %d` %s of the %s asked for (%d for each thread)"
             % (threads, words.whole(count), words.whole(clients), count // threads)
             for threads, (count, clients) in sorted(rounded.items())]
    if not parts:
        return None
    return "wrk gives every thread the same whole number of connections and drops the rest: it opened %s." % words.listing(parts)


def original_share(architecture):
    """The original's own requests/s behind the balancer over alone."""
    return [b / a for a, b in zip(ORIGINAL[architecture, False], ORIGINAL[architecture, True])]


def crossed(results, keepalive):
    """What the balancer alone makes, over the same origins; and what the origins alone make, behind the same balancer."""
    limit, groups = noise(results), {"The balancer alone, over the same origins": [], "The origins alone, behind the same balancer": []}

    def behind(architecture, driver, origins, threads):
        return lookup.case(results, "original", architecture=architecture, driver=driver, behind=True, keepalive=keepalive,
                           origins=origins, threads=threads)

    for threads in lookup.original_threads(results, keepalive):
        for _, driver in lookup.SIDES[1:]:
            engine = "async " + driver
            for name, one, other in (("The balancer alone, over the same origins", ("async", driver, "pool"), ("pool", None, "pool")),
                                     ("The balancer alone, over the same origins", ("async", driver, engine), ("pool", None, engine)),
                                     ("The origins alone, behind the same balancer", ("pool", None, engine), ("pool", None, "pool")),
                                     ("The origins alone, behind the same balancer", ("async", driver, engine), ("async", driver, "pool"))):
                a, b = behind(*one, threads), behind(*other, threads)
                comparison = a and b and stats.compare(a, b, "rps", limit)
                if comparison:
                    groups[name].append(comparison)
    return " ".join("%s, async against the pool: %s." % (name, _multiples(c)) for name, c in groups.items() if c) or None


# The sweep ----------------------------------------------------------------------------------------------------------------------

Advice = collections.namedtuple("Advice", "rate service_s workers")


def bursts(results, path):
    return lookup.options(lookup.served(results, "sweep", path=path), "burst")


def points(results, path, burst, metric="rps"):
    """[(workers, Summary)], by size"""
    found = lookup.served(results, "sweep", path=path, burst=burst)
    each = [(c["params"]["workers"], stats.summary(c, metric)) for c in found]
    return sorted(((size, s) for size, s in each if s), key=lambda p: p[0])


def sweep_noise(results):
    return stats.aa_noise([e for e in results.get("experiments", []) if e["name"] == "sweep"])


def knee(results, path, burst):
    return stats.knee([(size, s.median) for size, s in points(results, path, burst)], sweep_noise(results))


def is_largest(results, path, burst, size):
    """Nothing larger was tried, so there may be no knee at all."""
    return size == max(p for p, _ in points(results, path, burst))


def little_advice(results, path):
    """
    From the service time and the best rate that any size of pool reached. A rate that grew up to the largest size was limited by the pool
    itself, and the law would only repeat that size: it does not count.
    """
    service = lookup.service_s(lookup.served(results, "sweep", path=path))
    free = [b for b in bursts(results, path) if not is_largest(results, path, b, knee(results, path, b))]
    if not service or not free:
        return None
    rate = max(s.median for b in free for _, s in points(results, path, b))
    return Advice(rate, service, stats.little(rate, service))


def little_text(results, path):
    advice = little_advice(results, path)
    if advice is None and lookup.service_s(lookup.served(results, "sweep", path=path)):
        return "Throughput grew up to the largest pool that was tried, so the rate was limited by the pool itself and Little's law gives " \
               "no advice."
    if advice is None:
        return "The time of one request alone was not measured here, so Little's law gives no advice."
    text = "Little's law: requests in service = rate × time of one. One client alone waited %s ms for an answer, and the best " \
           "rate of all sizes was %s requests/s: %s × %s s = **%s** busy on the average" % (
               words.three(1000 * advice.service_s), words.three(advice.rate), words.three(advice.rate),
               words.three(advice.service_s), words.three(advice.workers))
    parts = []
    for burst in bursts(results, path):
        least = max(1, math.ceil(advice.workers / burst))
        text_ = "at least %s when a worker serves one request at a time" % words.plural(least, "worker") if burst == 1 else \
            "%s when each may have %d under way" % (words.whole(least), burst)
        size = knee(results, path, burst)
        parts.append(text_ + (" (measured knee: %d)" % size if size else ""))
    return text + "; that is " + ", ".join(parts) + ". An average leaves no room for bursts: " \
        "`tplb-bench advise` adds some."


# Starvation ---------------------------------------------------------------------------------------------------------------------


def clients(case, key):
    return stats.median([stats.value(run, "clients." + key) for run in case["runs"]])


def starvation(results):
    """Both with a burst of one and no limit of waiting, so that the discipline alone differs."""
    found = {hold: lookup.served(results, "hold", hold=hold) for hold in HOLDS}
    sentences = []
    for hold in HOLDS:
        for c in found[hold][:1]:
            if clients(c, "answered") is None:
                continue
            held = "keeps its client until it leaves" if hold == "connection" else \
                "serves one request and takes the next from any client"
            sentences.append("With `hold = \"%s\"` a worker %s: **%s of %s clients got any answer**; the luckiest got %s, half "
                             "of all got %s or fewer." % (hold, held, words.whole(clients(c, "answered")),
                                                          words.whole(clients(c, "clients")),
                                                   words.whole(clients(c, "max")), words.whole(clients(c, "median"))))
    return " ".join(sentences) or None


# Peers --------------------------------------------------------------------------------------------------------------------------


def best_peer(results, keepalive, threads, metric="rps", least=False):
    """The better of nginx and HAProxy: a case, or None where neither ran."""
    found = [c for name in PEERS for c in lookup.served(results, "peers", party=name, keepalive=keepalive, threads=threads)]
    found = [c for c in found if stats.summary(c, metric)]
    return (min if least else max)(found, key=lambda c: stats.summary(c, metric).median, default=None)


def peers(results):
    """A sentence for each load: tplb against the better peer."""
    sentences = []
    for keepalive in (False, True):
        found = lookup.served(results, "peers", keepalive=keepalive)
        by_party = {}
        for threads in lookup.options(found, "threads"):
            peer = best_peer(results, keepalive, threads)
            for c in found:
                name = c["params"]["party"]
                if peer and name.startswith("tplb") and c["params"]["threads"] == threads:
                    by_party.setdefault(name, {})[threads] = stats.compare(c, peer, "rps", noise(results))
        if by_party:
            sentences.append("With %s, requests a second against the better of nginx and HAProxy: %s."
                             % (words.load(keepalive), "; ".join("%s: %s" % (n, by_verdict(c)) for n, c in by_party.items())))
    return " ".join(sentences) or None


# Open loop ----------------------------------------------------------------------------------------------------------------------


def openloop(results):
    """The closed loop's p99 beside the open loop's at the highest share, for each party."""
    parts = []
    found = lookup.served(results, "openloop")
    shares = [s for s in lookup.options(found, "share") if s]
    for name in lookup.options(found, "party"):
        low, high = (lookup.case(results, "openloop", party=name, share=pick(shares)) if shares else None for pick in (min, max))
        tails = [stats.summary(c, "p99_ms") if c else None for c in (low, high)]
        if all(tails) and low is not high:
            parts.append("%s %s ms at %s and %s ms at %s" % (party(name), words.ms(tails[0].median), words.percent(min(shares)),
                                                            words.ms(tails[1].median), words.percent(max(shares))))
    if not parts:
        return None
    behind = ["%s at %s" % (party(c["params"]["party"]), words.percent(c["params"]["share"]))
              for c in found if c["params"]["share"] and (stats.median(
                  [run["rps"] / run["target_rps"] for run in c["runs"] if run.get("target_rps")]) or 1) < 0.98]
    return "The slowest hundredth of answers took at least (p99), by share of each party's own capacity: %s.%s" % (
        "; ".join(parts), " Could not keep up with the rate: %s." % words.listing(behind) if behind else "")
