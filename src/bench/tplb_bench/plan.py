"""What is run: experiments, their cases, and which cases take turns with which."""

import random

THREADS = (10, 50, 100, 150, 200)  # of wrk, in the original experiment
FEW, MANY = 10, 200
CLIENTS = 1000
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SHARES = (0.25, 0.5, 0.75, 0.9)
STEADY_CLIENTS = 200  # of the open loop
SWEEP_CLIENTS = 512
ENGINES = ("pool", "async epoll", "async io_uring")  # architecture and driver
TPLB = tuple("tplb " + engine for engine in ENGINES)
PEERS = ("nginx", "haproxy", "pound", "varnish", "apache", "caddy")

QUESTIONS = {
    "original": "How do an asynchronous architecture and a pool of threads serve 1000 clients, alone and behind a balancer?",
    "sweep": "How many workers should the pool have?",
    "hold": "What happens to 1000 clients when a worker stays with a connection, and when with a request only?",
    "peers": "How do the proxies that people use do the same work?",
    "openloop": "How long does an answer take when requests come at a constant rate, whatever the server does?",
}


class Case:
    """
    One row. `origins`: the engine of the origins. `alone`: one of them is asked, without a balancer. `balancer`: "pool", "async epoll",
    "async io_uring" or a peer's name. `config`: more of tplb's configuration, by section. `load`: who asks (tool "wrk": clients,
    threads; "tplb-load": clients, rate, share of the capacity of the case `of`).
    """

    def __init__(self, name, label, params, origins, load, balancer=None, keepalive=True, config=None, path="/"):
        self.id, self.label, self.params = name, label, params
        self.origins, self.load, self.balancer = origins, load, balancer
        self.keepalive, self.config, self.path = keepalive, config or {}, path

    @property
    def experiment(self):
        return self.id.split("/")[0]


def title(engine):
    """As people say it: "async (epoll)"."""
    architecture, _, driver = engine.partition(" ")
    return "%s (%s)" % (architecture, driver) if driver else architecture


def wrk(clients, threads):
    return {"tool": "wrk", "clients": clients, "threads": threads}


def original_case(keepalive, engine, origins, threads, again=False):
    """origins None: alone."""
    architecture, _, driver = engine.partition(" ")
    behind, crossed = origins is not None, origins not in (None, engine)
    label = title(engine) + (" behind the balancer" if behind else " alone")
    if crossed:
        label = "%s balancer, %s origins" % (title(engine), title(origins))
    if again:
        label += ", again"
    place = "alone" if not behind else "crossed-" + origins.replace(" ", "-") if crossed else "behind"
    name = "original/%s/%s/%s/t%d%s" % ("keepalive" if keepalive else "close", engine.replace(" ", "-"), place, threads,
                                        "/again" if again else "")
    params = {"keepalive": keepalive, "architecture": architecture, "driver": driver or None, "behind": behind,
              "origins": origins or engine, "crossed": crossed, "threads": threads, "clients": CLIENTS,
              "aa": "again" if again else None}
    return Case(name, label, params, origins or engine, wrk(CLIENTS, threads), engine if behind else None, keepalive)


def original(quick, engines):
    """The original's 20 rows, once with a connection a request and once with kept connections; the async ones on both drivers."""
    cases = []
    for keepalive in (False, True):
        for threads in (FEW, MANY) if quick else THREADS:
            for engine in engines:
                others = [] if quick else [o for o in engines if o != engine and o.split()[0] != engine.split()[0]]
                cases += [original_case(keepalive, engine, o, threads) for o in [None, engine] + others]
            if threads == FEW or (threads == MANY and not quick):
                cases += [original_case(keepalive, e, e, threads, True) for e in (engines[0], engines[-1])]
            if threads == FEW and not quick:
                cases.append(original_case(keepalive, engines[1], None, threads, True))
    return [cases]


def sweep(quick, _):
    """With the generator that leaves no answer out of its latencies, however late. One size twice: A/A."""
    cases = []
    for path in ("/", "/delay/2"):
        name = "sweep/" + (path.strip("/").replace("/", "-") or "greeting")
        cases.append(Case(name + "/service", "one client, " + path, {"path": path, "service": True, "workers": 1, "burst": 1},
                          "async epoll", {"tool": "tplb-load", "clients": 1}, "pool", path=path))
        for burst in (1,) if quick else (1, 8):
            cases += [sweep_case(name, path, burst, workers) for workers in ((1, 4, 16, 64) if quick else WORKERS)]
        if not quick:
            cases.append(sweep_case(name, path, 1, 16, True))
    return [cases]


def sweep_case(name, path, burst, workers, again=False):
    params = {"path": path, "burst": burst, "workers": workers, "clients": SWEEP_CLIENTS, "aa": "again" if again else None}
    return Case("%s/burst%d/w%d%s" % (name, burst, workers, "/again" if again else ""),
                "%d workers%s" % (workers, ", again" if again else ""), params, "async epoll",
                {"tool": "tplb-load", "clients": SWEEP_CLIENTS}, "pool", path=path,
                config={"pool": {"workers": workers, "burst": burst}, "queue": {"timeout": "0s"}})


def hold(_, __):
    """The discipline alone differs: a worker that stays with its connection has no use for a burst, so the other has none."""
    return [[Case("hold/" + how, "a worker a " + how, {"hold": how, "workers": 16, "clients": CLIENTS}, "async epoll",
                  {"tool": "tplb-load", "clients": CLIENTS}, "pool",
                  config={"pool": {"workers": 16, "hold": how, "burst": 1}, "queue": {"timeout": "0s"}})
             for how in ("connection", "request")]]


def party_case(experiment, party, rest, params, load, keepalive=True):
    balancer = None if party == "direct" else party[5:] if party.startswith("tplb ") else party
    name = "%s/%s/%s" % (experiment, party.replace(" ", "-"), rest)
    label = "tplb, " + title(balancer) if party.startswith("tplb ") else "no balancer" if party == "direct" else party
    return Case(name, label, dict(params, party=party), "async epoll", load, balancer, keepalive)


def peers(quick, engines):
    parties = PEERS + tuple("tplb " + e for e in engines) + ("direct",)
    cases = []
    for keepalive in (True,) if quick else (False, True):
        for threads in (FEW,) if quick else (FEW, MANY):
            cases += [party_case("peers", p, "%s/t%d" % ("keepalive" if keepalive else "close", threads),
                                 {"keepalive": keepalive, "threads": threads, "clients": CLIENTS}, wrk(CLIENTS, threads), keepalive)
                      for p in parties]
        if not quick and "nginx" in parties:
            again = party_case("peers", "nginx", "%s/t%d/again" % ("keepalive" if keepalive else "close", FEW),
                               {"keepalive": keepalive, "threads": FEW, "clients": CLIENTS, "aa": "again"}, wrk(CLIENTS, FEW), keepalive)
            again.label += ", again"
            cases.append(again)
    return [cases]


def openloop(quick, engines):
    """First what each can do, in a closed loop with the same generator; then shares of it at a constant rate."""
    parties = ["tplb " + e for e in engines] + ([] if quick else ["nginx", "haproxy"])
    first, then = [], []
    for party in parties:
        closed = party_case("openloop", party, "closed", {"share": 0, "clients": STEADY_CLIENTS},
                            {"tool": "tplb-load", "clients": STEADY_CLIENTS})
        first.append(closed)
        then += [party_case("openloop", party, "%d%%" % (share * 100), {"share": share, "clients": STEADY_CLIENTS},
                            {"tool": "tplb-load", "clients": STEADY_CLIENTS, "share": share, "of": closed.id})
                 for share in ((0.25, 0.9) if quick else SHARES)]
    return [first, then]


EXPERIMENTS = {"original": original, "sweep": sweep, "hold": hold, "peers": peers, "openloop": openloop}


def phases(quick, engines, only, missing):
    """Lists of cases; one list is over before the next begins. only: the beginnings of wanted names. missing: peers that are not there."""
    result = []
    for experiment in EXPERIMENTS.values():
        for cases in experiment(quick, engines):
            cases = [c for c in cases if c.balancer not in missing and (not only or is_wanted(c, only))]
            if cases:
                result.append(cases)
    return result


def is_wanted(case, only):
    """`openloop/x/90%` cannot do without `openloop/x/closed`."""
    if any(case.id == o or case.id.startswith(o.rstrip("/") + "/") for o in only):
        return True
    return case.id.endswith("/closed") and any(o.startswith(case.id[:-len("closed")]) for o in only)


def everything():
    """All cases that any run may have, by name."""
    return {case.id: case for quick in (False, True) for cases in phases(quick, ENGINES, [], ()) for case in cases}


def turns(cases, rounds, seed):
    """(round, case): every round all cases, in an order of its own that the seed fixes."""
    order = random.Random(seed)
    for number in range(1, rounds + 1):
        for case in order.sample(cases, len(cases)):
            yield number, case
