"""The page of `admin.bind` in a real browser: what it shows of what runs, by which keys it is used, and what it does when tplb is gone. Needs Chromium."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import json
import subprocess
import unittest

from support.browser import CHROMIUM, Browser
from support.case import WireCase, main
from support.hang import Hang, tasks
from support.raw import BOUND
from support.tplb import CTL

LONG = os.environ.get("TPLB_LONG") == "1"

# Names as somebody might write them who means no good.
UPSTREAM = "up <script>window.hacked=1</script><img src=/x onerror='window.hacked=1'>"
LISTENER = "<img src=/x onerror='window.hacked=1'>\"&amp;"

ROWS = "[...document.querySelectorAll('tr.server')]"
FOCUS = "document.activeElement"


def quoted(text):
    return json.dumps(text)


@unittest.skipUnless(CHROMIUM, "Chromium is missing (Debian: chromium)")
class PageCase(WireCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def setUp(self):
        super().setUp()
        self.browser.console.clear()
        self.browser.requests.clear()
        self.browser.resize(1280, 900)
        self.browser.prefer()

    def tearDown(self):
        self.browser.open("about:blank")
        super().tearDown()

    def start(self, servers=2, bind="127.0.0.1:0", **options):
        """A tplb with servers at sockets, whose names hold quotes as well."""
        self.origins = [self.server() for _ in range(servers)]
        config = {
            "listeners": [{"name": LISTENER, "bind": "127.0.0.1:0", "upstream": UPSTREAM}],
            "upstreams": [{"name": UPSTREAM, "servers": [{"address": o.address} for o in self.origins]}],
            "engine": "pool",
            "pool": {"workers": 3},
            "admin": {"socket": "@DIR@/ctl.sock", "bind": bind},
        }
        config["upstreams"][0]["servers"] += [{"address": "unix:@DIR@/<b>'&lt;", "state": "maint"}]
        config.update(options)
        self.tplb(config=config)
        self.web = self.balancer.wait_line(r"pages are served at (\S+)").group(1)
        return self.balancer

    def look(self, **options):
        """Opens the page and waits until it is drawn."""
        self.start(**options)
        self.browser.open("http://%s/" % self.web)
        self.browser.wait("%s.length === %d" % (ROWS, len(self.origins) + 1))
        return self.browser

    def set_server(self, server, state):
        path = os.path.join(self.balancer.directory, "ctl.sock")
        name = "%s/%s" % (UPSTREAM, server)
        subprocess.run([CTL, "-s", path, "set", "server", name, state], check=True, capture_output=True, timeout=2 * BOUND)

    def check_clean(self):
        """Nothing was complained of, and nobody else was asked for anything."""
        self.assertEqual(self.browser.console, [])
        strangers = [url for url in self.browser.requests if not url.startswith("http://%s/" % self.web)]
        self.assertEqual([url for url in strangers if url != "about:blank"], [])


class Page(PageCase):
    def test_shows_names_and_states(self):
        page = self.look()
        text = page.text()
        for name in (self.origins[0].address, self.origins[1].address, UPSTREAM, "<b>'&lt;"):
            self.assertIn(name, text)
        picture = page.value("document.getElementById('picture').textContent")
        for name in (LISTENER, "acceptor", "queue", "workers", self.origins[0].address):
            self.assertIn(name, picture)
        self.assertIsNone(page.value("window.hacked"))
        self.assertEqual(page.value("document.querySelectorAll('main img, main script, main b:not(#legend b)').length"), 0)
        page.wait("document.querySelectorAll('#workers .cell').length === 3")
        # What is served is counted.
        for _ in range(6):
            self.assertEqual(self.client().get().status, 200)
        page.value(ROWS + "[0].click()")
        page.wait("document.querySelector('.more:not([hidden])').textContent.includes('since the start 3 requests')")
        self.assertRegex(page.value("document.querySelector('.more:not([hidden])').textContent"), r"^up for \d+ s; ")
        # A server that is taken out, and comes back.
        name = self.origins[1].address
        self.set_server(name, "maint")
        row = "%s.find((r) => r.textContent.includes(%s))" % (ROWS, quoted(name))
        page.wait("%s.classList.contains('maint')" % row)
        page.wait("document.getElementById('log').innerText.includes(%s)" % quoted("server %s of %s is maint" % (name, UPSTREAM)))
        page.wait("document.querySelector('#picture .server.maint') !== null")
        self.set_server(name, "ready")
        page.wait("%s.classList.contains('up')" % row)
        self.check_clean()

    def test_keys(self):
        page = self.look()
        page.key("s")
        self.assertEqual(page.value(ROWS + ".indexOf(%s)" % FOCUS), 0)
        self.assertNotEqual(page.value("getComputedStyle(%s).outlineStyle" % FOCUS), "none")
        page.key("ArrowDown")
        self.assertEqual(page.value(ROWS + ".indexOf(%s)" % FOCUS), 1)
        page.key("Enter")
        self.assertEqual(page.value(FOCUS + ".getAttribute('aria-expanded')"), "true")
        page.wait("document.querySelector('.more:not([hidden])').textContent.includes('tplbctl set server')")
        page.key("?")
        self.assertTrue(page.value("document.getElementById('help').open"))
        page.key("Escape")
        page.wait("!document.getElementById('help').open")
        page.key("/")
        self.assertEqual(page.value(FOCUS + ".id"), "filter")
        page.key("m")
        page.key("a")
        page.key("i")
        page.wait(ROWS + ".filter((r) => !r.hidden).length === 1")
        page.key("Escape")
        page.wait(ROWS + ".filter((r) => !r.hidden).length === 3")
        page.key("w")
        self.assertEqual(page.value(FOCUS + ".id"), "workers")
        page.key("ArrowRight")
        page.wait("document.getElementById('doing').textContent.startsWith('worker 1: idle')")
        page.key("e")
        self.assertEqual(page.value(FOCUS + ".id"), "lines")
        # Dark or light: as the system says, until it is told otherwise.
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        page.prefer(prefers_color_scheme="light")
        light = page.value(ground)
        page.prefer(prefers_color_scheme="dark")
        dark = page.value(ground)
        self.assertNotEqual(light, dark)
        page.key("t")
        self.assertEqual(page.value(ground), light)
        page.key("t")
        page.prefer(prefers_color_scheme="light")
        self.assertEqual(page.value(ground), dark)
        page.key("t")
        self.assertEqual(page.value(ground), light)
        self.check_clean()

    def test_arithmetic(self):
        page = self.look()
        quantile = "import('/page/model.js').then((m) => [0, .5, .99, 1].map((q) => m.quantile([1, 2, 4], %s, q)))"
        self.assertEqual(page.value(quantile % "[0, 0, 0, 0]"), [None] * 4)
        self.assertEqual(page.value(quantile % "[0, 10, 0, 0]"), [1, 1.5, 1.99, 2])
        self.assertEqual(page.value(quantile % "[2, 0, 2, 0]"), [0, 1, 3.96, 4])
        self.assertEqual(page.value(quantile % "[0, 0, 0, 7]"), [4] * 4)
        texts = "import('/page/format.js').then((m) => %s)"
        self.assertEqual(
            page.value(texts % "[0, 0.42, 7.5, 312, 9312, 12400, 1.02e6, NaN].map(m.number)"),
            ["0", "0.42", "7.50", "312", "9312", "12.4k", "1.02M", "–"],
        )
        self.assertEqual(page.value(texts % "[0, 0.01, 4.92, 12.6].map(m.rate)"), ["0", "<0.1", "4.9", "13"])
        self.assertEqual(page.value(texts % "[0, 2e-5, 0.0125, 3, 200].map(m.duration)"), ["0", "20.0 µs", "12.5 ms", "3.00 s", "3 min 20 s"])
        self.assertEqual(page.value(texts % "[0, 59, 3600, 90061, 864000].map(m.span)"), ["0 s", "59 s", "1 h", "1 d 1 h", "10 d"])
        self.assertEqual(page.value(texts % "[12, 2048, 3.5 * 1048576].map(m.bytes)"), ["12 B", "2.00 KiB", "3.50 MiB"])
        times = """import('/page/model.js').then(({ Model }) => {
            const model = new Model();
            const answer = (ms, time) => ({ time_ms: ms, status: { pid: 1 }, queue: {}, counters: {}, workers: [], bounds_us: [1000, 2000, 4000],
                listeners: [{ listener: 'a', time }, { listener: 'b', time: [0, 9] }],
                servers: [{ upstream: 'u', server: 's', time }, { upstream: 'u', server: 's', time: [] }] });
            model.take(answer(0, [5]));
            model.take(answer(1000, [5, 0, 10]));
            return [model.course('time.50').last, ...model.now.servers.map((s) => model.course(s.key + '.time.50').last)];
        })"""
        self.assertEqual(page.value(times), [0.003, 0.003, None])
        # A counter that begins anew is no rate; what was not heard is a hole.
        course = """import('/page/model.js').then(({ Model }) => {
            const model = new Model(), answers = %s;
            const answer = ([ms, pid, requests]) => ({ time_ms: ms, status: { pid, connections: 1 }, queue: { queue_depth: 0 }, servers: [], listeners: [], workers: [],
                counters: { requests } });
            for (const a of answers) a ? model.take(answer(a)) : model.gap();
            return model.course('requests').values;
        })"""
        self.assertEqual(page.value(course % "[[0, 1, 10], [1000, 1, 30], [3000, 1, 130]]"), [None, 20, 50])
        self.assertEqual(page.value(course % "[[0, 1, 10], [1000, 1, 30], null, [4000, 1, 60], [5000, 2, 5], [6000, 2, 9]]"), [None, 20, None, 10, None, 4])
        self.assertEqual(page.value(course % "[[0, 1, 10], [1000, 1, 5]]"), [None, None])
        self.check_clean()


@unittest.skipUnless(LONG, "make check-long")
class Long(PageCase):
    def test_gone_and_back(self):
        page = self.look()
        self.balancer.stop()
        page.wait("!document.getElementById('gone').hidden && document.title.includes('gone')")
        self.assertIn(self.origins[0].address, page.text())  # what was known stays
        self.start(bind=self.web)
        page.wait("document.getElementById('gone').hidden")
        page.wait("document.body.innerText.includes(%s)" % quoted(self.origins[0].address))
        page.wait("%s.length === %d" % (ROWS, len(self.origins) + 1))
        page.wait("document.getElementById('program').textContent.includes('process %d ')" % self.balancer.pid)
        self.assertEqual([line for line in page.console if "ERR_CONNECTION_REFUSED" not in line], [])

    def test_widths(self):
        page = self.look(servers=14)
        for width in (320, 400, 760, 1000, 1600, 2400):
            for scheme in ("light", "dark"):
                page.resize(width, 900)
                page.prefer(prefers_color_scheme=scheme)
                page.wait("document.getElementById('picture').viewBox.baseVal.width <= document.getElementById('road').clientWidth")
                self.assertLessEqual(page.value("document.documentElement.scrollWidth"), width)
        self.check_clean()

    def test_asks_only_while_it_is_seen(self):
        page = self.look()
        hide = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))"
        page.value("fetched = 0; of = window.fetch; window.fetch = (...args) => { fetched++; return of(...args); }; true")
        page.wait("fetched >= 2")
        page.value(hide % "true")
        page.value("new Promise((done) => setTimeout(done, 1500)).then(() => { fetched = 0; })")  # what was asked is answered
        self.assertEqual(page.value("new Promise((done) => setTimeout(done, 3500)).then(() => fetched)"), 0)
        page.value(hide % "false")
        page.wait("fetched >= 2")
        # So does a pause.
        page.key("p")
        page.wait("document.getElementById('beat').textContent === 'paused'")
        page.value("new Promise((done) => setTimeout(done, 1500)).then(() => { fetched = 0; })")
        self.assertEqual(page.value("new Promise((done) => setTimeout(done, 2500)).then(() => fetched)"), 0)
        page.key("p")
        page.wait("fetched >= 2 && document.getElementById('beat').textContent === 'live'")

    def test_motion(self):
        """What flows moves, unless the system says that nothing should."""
        page = self.look()
        moved = "document.getElementById('picture').style.getPropertyValue('--moved')"
        page.wait(moved + " !== ''")
        first = page.value(moved)
        page.wait("%s !== '%s'" % (moved, first))
        page.prefer(prefers_reduced_motion="reduce")
        first = page.value(moved)
        self.assertEqual(page.value("new Promise((done) => setTimeout(done, 1500)).then(() => %s)" % moved), first)
        self.assertEqual(page.value("getComputedStyle(document.querySelector('main')).transitionProperty"), "none")
        self.check_clean()

    def test_tabulator(self):
        """Everything that can be used is reached, in the order in which it stands."""
        page = self.look()
        reached = []
        wanted = ["skip", "pause", "theme", "keys", "workers", "filter", "server up", "lines", "metrics"]
        for _ in wanted:
            page.key("Tab")
            reached.append(page.value("(({ id, className, attributes }) => id || className || attributes.href.value)(%s)" % FOCUS))
            if reached[-1] == "workers":  # the cell is what is seen
                self.assertEqual(page.value("document.querySelector('.ring').getAttribute('visibility')"), "visible")
            else:
                self.assertNotEqual(page.value("getComputedStyle(%s).outlineStyle" % FOCUS), "none")
        self.assertEqual(reached, wanted)

    def test_loops(self):
        page = self.look(engine="async", **{"async": {"driver": "epoll", "loops": 2}})
        page.wait("document.querySelectorAll('#workers .cell').length === 2")
        self.assertIn("event loops", page.value("document.getElementById('picture').textContent"))
        self.assertIn("event loops", page.value("document.getElementById('program').textContent"))
        self.check_clean()

    def test_stuck(self):
        """A worker that hangs stands out; the page is served by others."""
        page = self.look(timeouts={"stuck": "2s"})
        hang = Hang([tid for i in range(3) for tid in tasks(self.balancer, "tplb-%d" % i)])
        self.addCleanup(hang.end)
        client = self.client().send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        hang.wait()
        page.wait("document.querySelectorAll('.cell.stuck').length === 2")  # and in the legend
        page.wait("document.getElementById('log').innerText.includes(' is stuck: at ')")
        page.key("w")
        for _ in range(3):
            if "stuck at connect" in page.value("document.getElementById('doing').textContent"):
                break
            page.key("ArrowRight")
        self.assertIn("stuck at connect", page.value("document.getElementById('doing').textContent"))
        hang.end()
        self.assertEqual(client.whole_response().status, 200)
        page.wait("document.querySelectorAll('.cell.stuck').length === 1")
        page.wait("document.getElementById('log').innerText.includes(' goes on: ')")
        self.check_clean()

    def test_many(self):
        """Hundreds of servers and thousands of workers: drawn in time, as upstreams and small cells."""
        address = self.server().address
        upstreams = [{"name": "u%d" % u, "servers": [{"address": "127.0.0.1:%d" % (20000 + 50 * u + i)} for i in range(50)]} for u in range(6)]
        upstreams[0]["servers"][1] = dict(upstreams[0]["servers"][0])  # twice the same
        upstreams.append({"name": UPSTREAM, "servers": [{"address": address}]})
        self.start(upstreams=upstreams, pool={"workers": 1000})
        page = self.browser
        page.open("http://%s/" % self.web)
        page.wait(ROWS + ".length === 301")
        page.wait("document.querySelectorAll('#picture .server').length === 7")
        page.wait("document.querySelectorAll('#workers .cell').length === 1000")
        took = page.value("import('/page/page.js').then(() => performance.getEntriesByType('resource').filter((e) => e.name.endsWith('status.json'))[0].duration)")
        self.assertLess(took, 5000)
        self.check_clean()


if __name__ == "__main__":
    main(engines=False)
