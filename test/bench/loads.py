"""Who is measured, and under what."""

PEERS = ("nginx", "haproxy")
# By name what tplb's configuration says: (engine, async.driver).
ENGINES = {"pool": ("pool", "auto"), "io_uring": ("async", "io_uring"), "epoll": ("async", "epoll")}
PARTIES = PEERS + tuple(ENGINES) + ("direct",)
PARKED = 10000


class Load:
    def __init__(self, name, title, clients, threads, path="/", headers=(), mode="http", pools=False, parked=False):
        self.name, self.title, self.clients, self.threads = name, title, clients, threads
        self.path, self.headers, self.mode, self.pools, self.parked = path, headers, mode, pools, parked

    def parties(self, wanted, pool_sizes):
        """Those of the wanted parties that this load is for, the pool in all its sizes where the load is about them."""
        if self.pools:
            names = [p for p in wanted if p not in ENGINES]
            return names + (["pool -w %d" % n for n in pool_sizes] if "pool" in wanted else [])
        return [p for p in wanted if not (self.parked and p == "direct")]


LOADS = [
    Load("keep50", "50 keep-alive clients (wrk -c 50 -t 2)", 50, 2),
    Load("keep200", "200 keep-alive clients (wrk -c 200 -t 4)", 200, 4),
    Load("keep1000", "1000 keep-alive clients (wrk -c 1000 -t 10)", 1000, 10),
    Load("orig50", "The original's load (wrk -c 1000 -t 50)", 1000, 50),
    Load("orig100", "The original's load (wrk -c 1000 -t 100)", 1000, 100),
    Load("orig200", "The original's load (wrk -c 1000 -t 200)", 1000, 200),
    Load("close1000", "A connection a request (wrk -c 1000 -t 10 -H 'Connection: close')", 1000, 10,
         headers=("Connection: close",)),
    Load("big200", "64 KiB answers, 200 keep-alive clients (wrk -c 200 -t 4)", 200, 4, path="/64k"),
    Load("tcp200", "TCP mode, 200 keep-alive clients (wrk -c 200 -t 4)", 200, 4, mode="tcp"),
    Load("pool50", "Pool sizes, 50 keep-alive clients (wrk -c 50 -t 2)", 50, 2, pools=True),
    Load("pool1000", "Pool sizes, 1000 keep-alive clients (wrk -c 1000 -t 10)", 1000, 10, pools=True),
    Load("parked", "10 fresh clients (wrk -c 10 -t 2), without and with %d parked keep-alive clients" % PARKED, 10, 2,
         parked=True),
]
