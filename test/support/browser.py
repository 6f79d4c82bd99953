"""A headless Chromium, driven over the DevTools protocol on a pipe (https://chromedevtools.github.io/devtools-protocol/)."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

from support.raw import BOUND

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
PATIENCE = 4 * BOUND  # it is a large program


class Browser:
    """One page in a browser of its own. `console`: what the page complained of; `requests`: the addresses that it asked for."""

    def __init__(self, width=1280, height=900):
        self.directory = tempfile.mkdtemp(prefix="tplb-browser-")
        down, self._to = os.pipe()
        self._from, up = os.pipe()

        def give():  # descriptors 3 and 4 are the protocol's; neither of the two may be in the other's way
            a, b = (fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in (down, up))
            os.dup2(a, 3)
            os.dup2(b, 4)

        argv = [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe", "--no-first-run",
            "--no-proxy-server", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars",
            "--user-data-dir=" + self.directory, "about:blank",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=give, close_fds=False
        )
        os.close(down)
        os.close(up)
        self._ids, self._buffer, self._session = 0, b"", None
        self.console, self.requests = [], []
        try:
            self._attach(width, height)
        except BaseException:
            self.close()
            raise

    def _attach(self, width, height):
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(t for t in targets if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.resize(width, height)

    def _send(self, message):
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]

    def _receive(self, until):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0, until - time.monotonic()))
            if not ready:
                raise AssertionError("the browser has not answered for %d s" % PATIENCE)
            data = os.read(self._from, 1 << 16)
            if not data:
                raise AssertionError("the browser has ended")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, message):
        params = message.get("params", {})
        if message["method"] == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif message["method"] == "Runtime.exceptionThrown":
            self.console.append(json.dumps(params["exceptionDetails"]))
        elif message["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.console.append(json.dumps(params["entry"]))
        elif message["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.console.append(json.dumps(params["args"]))

    def call(self, method, **params):
        """One call of the protocol; its result."""
        self._ids += 1
        message = {"id": self._ids, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._send(message)
        until = time.monotonic() + PATIENCE
        while True:
            got = self._receive(until)
            if got.get("id") == message["id"]:
                if "error" in got:
                    raise AssertionError("%s: %s" % (method, got["error"]["message"]))
                return got["result"]
            if "method" in got:
                self._note(got)

    def open(self, url):
        result = self.call("Page.navigate", url=url)
        if "errorText" in result:
            raise AssertionError("%s: %s" % (url, result["errorText"]))

    def value(self, expression):
        """What an expression of JavaScript comes to; a promise is waited for."""
        got = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in got:
            raise AssertionError("%s: %s" % (expression, json.dumps(got["exceptionDetails"])))
        return got["result"].get("value")

    def wait(self, expression):
        """Waits until the expression is true: it is looked at in each of the page's frames and whenever the document changes."""
        script = """new Promise((found) => {
            const look = () => { let is; try { is = (%s); } catch { is = false; } if (is) { end(); found(is); } };
            const watcher = new MutationObserver(look), timer = setInterval(look, 50);
            const late = setTimeout(() => { end(); found(null); }, %d);
            const end = () => { watcher.disconnect(); clearInterval(timer); clearTimeout(late); };
            watcher.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
            look();
        })""" % (expression, BOUND * 1000)
        got = self.value(script)
        if got is None or got is False:
            raise AssertionError("waited in vain for %s; the page says:\n%s" % (expression, self.text()))
        return got

    def text(self):
        return self.value("document.body ? document.body.innerText : ''")

    def key(self, key):
        """Presses a key, such as "?" or "ArrowDown"."""
        names = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39}
        params = {"key": key, "windowsVirtualKeyCode": names.get(key, 0), "code": key if key in names else ""}
        text = {} if key in names and key != "Enter" else {"text": "\r" if key == "Enter" else key}
        self.call("Input.dispatchKeyEvent", type="keyDown", **params, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **params)

    def prefer(self, **features):
        """What the system prefers: prefers_color_scheme="dark" and the like."""
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=features)

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self, path=None, whole=True):
        """A PNG of the page."""
        params = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            params["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **params)["data"])
        if path:
            with open(path, "wb") as f:
                f.write(data)
        return data

    def close(self):
        for fd in (self._to, self._from):
            os.close(fd)
        try:
            self.process.wait(BOUND)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
