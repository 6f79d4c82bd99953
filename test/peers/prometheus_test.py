"""Prometheus looks at tplb: it scrapes, answers queries and takes our rules; the dashboard asks for what there is."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import json
import re
import shutil
import subprocess
import unittest
import urllib.parse
import urllib.request

from support import tools
from support.case import WireCase, main
from support.metrics import Metrics
from support.raw import BOUND, wait_until
from support.tplb import Process

ETC = os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")), "etc")
RULES = os.path.join(ETC, "prometheus", "tplb.rules.yml")
SAMPLE = os.path.join(ETC, "prometheus", "tplb.yml")
DASHBOARD = os.path.join(ETC, "grafana", "tplb.json")
METRIC = re.compile(r"\b(?:tplb|process)_[a-z0-9_]+\b")


class PrometheusCase(WireCase):
    def start(self):
        """A tplb that has answered a request."""
        self.tplb(self.server(), admin={"bind": "127.0.0.1:0"})
        self.web = self.balancer.wait_line(r"pages are served at (\S+)").group(1)
        self.assertEqual(self.client().get().status, 200)

    def names(self):
        body = self.client(self.web).get(b"/metrics", b"localhost").body.decode()
        return {name for name, _ in Metrics(body).samples} | set(Metrics(body).types)


class Files(PrometheusCase):
    def test_dashboard(self):
        """Each query of it is about metrics that there are."""
        with open(DASHBOARD) as f:
            dashboard = json.load(f)
        queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
        queries += [a["expr"] for a in dashboard["annotations"]["list"]] + [v["query"]["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
        self.assertGreater(len(queries), 30)
        self.start()
        names = self.names()
        for query in queries:
            asked = set(METRIC.findall(query))
            self.assertTrue(asked, query)
            self.assertLessEqual(asked, names, query)

    def test_rules_ask_for_what_there_is(self):
        with open(RULES) as f:
            asked = {name for line in f if not line.lstrip().startswith(("#", "summary", "- name")) for name in METRIC.findall(line)}
        self.assertGreater(len(asked), 10)
        self.start()
        self.assertLessEqual(asked, self.names())

    @unittest.skipUnless(*tools.missing("promtool"))
    def test_promtool(self):
        for argv in (["check", "rules", RULES], ["check", "config", SAMPLE]):
            done = subprocess.run(["promtool", *argv], capture_output=True, text=True, timeout=2 * BOUND)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


@unittest.skipUnless(*tools.missing("prometheus"))
class Scrape(PrometheusCase):
    def ask(self, query):
        """{labels: value} of an instant query; None: it does not answer yet."""
        url = "http://%s/api/v1/query?%s" % (self.prometheus, urllib.parse.urlencode({"query": query}))
        try:
            with urllib.request.urlopen(url, timeout=BOUND) as answer:
                got = json.load(answer)
        except OSError:
            return None
        self.assertEqual(got["status"], "success")
        return {frozenset(r["metric"].items()): float(r["value"][1]) for r in got["data"]["result"]}

    def test_scrape(self):
        """By the sample's configuration, but for the ports and how often."""
        self.start()
        folder = self.directory()
        shutil.copy(RULES, folder)
        with open(SAMPLE) as f:
            text = f.read()
        for old, new in (("scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 1s"), ("127.0.0.1:9901", self.web)):
            self.assertIn(old, text)
            text = text.replace(old, new)
        with open(os.path.join(folder, "prometheus.yml"), "w") as f:
            f.write(text)
        argv = ["--config.file=%s/prometheus.yml" % folder, "--storage.tsdb.path=%s/data" % folder, "--web.listen-address=127.0.0.1:0"]
        peer = Process([shutil.which("prometheus"), *argv])
        self.addCleanup(peer.kill)
        self.prometheus = peer.wait_line(r"address=(127\.0\.0\.1:[1-9]\d*)").group(1)
        wait_until(lambda: self.ask('up{job="tplb"} == 1'), lambda: "a scrape; it says\n" + peer.stderr)
        answered = 'tplb_listener_requests_total{job="tplb",listener="web",outcome="answered"}'
        wait_until(lambda: list((self.ask(answered) or {}).values()) == [1], lambda: "the request: %r" % self.ask(answered))
        quantile = "histogram_quantile(0.5, tplb_listener_request_duration_seconds_bucket)"
        (value,) = self.ask(quantile).values()
        self.assertGreater(value, 0)
        # The rules are evaluated, and none of them finds anything to say.
        self.assertEqual(self.ask('ALERTS{alertstate="firing"}'), {})


if __name__ == "__main__":
    main(engines=False)
