"""The page of `admin.bind` in a real browser: what it shows of what runs, by which keys it is used, and what it does when tplb is gone. Needs Chromium."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import json
import subprocess
import unittest

from support.browser import CHROMIUM, Browser
from support.case import WireCase, main
from support.raw import BOUND
from support.tplb import CTL

LONG = os.environ.get("TPLB_LONG") == "1"

# Names as somebody might write them who means no good.
UPSTREAM = "up <script>window.hacked=1</script>"
LISTENER = "<img src=x onerror='window.hacked=1'>\"&amp;"

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
        # What is served is counted.
        for _ in range(3):
            self.client().get()
        page.wait("document.querySelector('#figures .value').textContent !== '0/s'")
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
        page.key("e")
        self.assertEqual(page.value(FOCUS + ".id"), "events")
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


if __name__ == "__main__":
    main(engines=False)
