"""Clients that ask all the time, and how many threads the pool has meanwhile."""

import os
import re
import threading

from support.raw import Client

WORKER = re.compile(r"tplb-\d+\n")


def workers_of(process):
    """Threads of the pool that the kernel knows."""
    found = 0
    tasks = "/proc/%d/task" % process.pid
    for task in os.listdir(tasks):
        try:
            with open("%s/%s/comm" % (tasks, task)) as f:
                found += WORKER.fullmatch(f.read()) is not None
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has just ended
    return found


class Load:
    """Clients that ask and ask on one connection each; what failed is kept."""

    def __init__(self, address, clients):
        self.address = address
        self.over = threading.Event()
        self.failures = []
        self.answers = [0] * clients
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, i):
        client = Client(self.address)
        try:
            while not self.over.is_set():
                got = client.get(b"/%d/%d" % (i, self.answers[i]))
                if (got.status, got.body) != (200, b"ok"):
                    raise AssertionError("%r" % got.raw[:300])
                self.answers[i] += 1
        except Exception as e:
            self.failures.append(repr(e))
        finally:
            client.close()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
