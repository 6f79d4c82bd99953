"""nginx and Apache as servers behind tplb, by the samples web-origins.conf, nginx-origin.conf and apache-origin.conf: word for word but for paths."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import hashlib
import re
import signal
import unittest

from support import lan, tools
from support.raw import wait_until
from support.sites import CERTIFICATE, DOCUMENTS, KEY, LONG, Load, SiteCase, descendants, main, sample
from support.tplb import CTL

APACHE = """
ServerRoot %(dir)s
ServerName apache.example
PidFile %(dir)s/apache.pid
ErrorLog %(dir)s/error.log
%(user)s
%(modules)s
Listen 80
Listen 443
<Directory %(dir)s/www>
    Require all granted
    Dav On
</Directory>
DavLockDB %(dir)s/locks
# Few and busy; each generation of a graceful restart is another process.
StartServers 2
ServerLimit 8
ThreadsPerChild 32
MaxRequestWorkers 64
Include %(dir)s/sample.conf
"""
MODULES = "mpm_event authz_core unixd alias setenvif log_config env remoteip ssl dav dav_fs"
MODULE_PLACES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules")
CLIENT, TPLB = "10.0.0.100", "10.0.0.2"
ROUNDS = 20 if LONG else 2
CLIENTS, ENOUGH = 8, 200 if LONG else 40  # answers between two reloads
KINDS = {
    "GET": lambda n: b"GET /file HTTP/1.1\r\nHost: shop.example\r\n\r\n",
    "PUT": lambda n: b"PUT /put-%d HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 2\r\n\r\nhi" % n,
}


def modules():
    """The lines that load Apache's modules, None where some are not there."""
    for place in MODULE_PLACES:
        files = {m: os.path.join(place, "mod_%s.so" % m) for m in MODULES.split()}
        if os.path.exists(files["mpm_event"]):
            # What has no file of its own is built in.
            return "\n".join("LoadModule %s_module %s" % (m, f) for m, f in files.items() if os.path.exists(f))
    return None


@unittest.skipUnless(*tools.missing("nginx"))
@unittest.skipUnless(*tools.missing("openssl"))
@unittest.skipUnless(tools.find("apache2") or tools.find("httpd"), "Apache is not installed")
@unittest.skipUnless(modules(), "Apache's modules are not where they are looked for")
@unittest.skipUnless(lan.has_users(), "Apache wants to become another user, and there is none")
class Origins(SiteCase):
    HOSTS = {"client": [CLIENT], "tplb": [TPLB], "nginx": ["10.0.0.11"], "apache": ["10.0.0.12"]}

    def setUp(self):
        super().setUp()
        self.folder = self.directory()
        os.chmod(self.folder, 0o755)
        self.key, self.cert = self.certificate(self.folder, "shop.example")
        self.logs, self.files = {}, {}
        self.nginx = self.start("nginx", self.start_nginx)
        self.apache = self.start("apache", self.start_apache)
        # Only that servers go and come sooner.
        self.tplb_at("tplb", sample("web-origins.conf", [('interval = "1s"', 'interval = "100ms"')]), admin="@DIR@/ctl.sock")
        self.balancer.wait_listening(2)
        for server in ("10.0.0.11:80", "10.0.0.12:80", "10.0.0.11:443", "10.0.0.12:443"):
            self.wait_server(server, "up")

    def wait_server(self, server, columns):
        """Until `show servers` has these words about it: its state, and so on."""
        wait_until(lambda: any("/%s %s " % (server, columns) in line for line in self.show("servers")), "%s: %s" % (server, columns))

    def start(self, name, start):
        """In a folder with `www`, of which /healthz and /file are there."""
        folder = os.path.join(self.folder, name)
        www = os.path.join(folder, "www")
        os.makedirs(www)
        for path, text in (("healthz", "ready\n"), ("file", name)):
            self.write(www, path, text)
        if os.geteuid() == 0:
            # Whoever serves may write what is PUT.
            os.chmod(folder, 0o777)
            os.chmod(www, 0o777)
        self.logs[name], self.files[name] = os.path.join(folder, "access.log"), www
        daemon = start(folder, [(CERTIFICATE, self.cert), (KEY, self.key), (DOCUMENTS, www)])
        address = self.hosts[name].addresses[0]
        self.wait_port(address + ":80", daemon)
        self.wait_port(address + ":443", daemon)
        return daemon

    def start_nginx(self, folder, replace):
        return self.nginx_at("nginx", folder, sample("sites/nginx-origin.conf", replace), "dav_methods PUT;")

    def start_apache(self, folder, replace):
        self.write(folder, "sample.conf", sample("sites/apache-origin.conf", replace + [("${APACHE_LOG_DIR}", folder)]))
        text = APACHE % {"dir": folder, "modules": modules(), "user": "User daemon\nGroup daemon"}
        path = self.write(folder, "apache.conf", text)
        return self.daemon("apache", ["apache2" if tools.find("apache2") else "httpd", "-DFOREGROUND", "-f", path, "-E", "/dev/stderr"])

    def lines(self, name):
        with open(self.logs[name]) as f:
            return f.read().splitlines()

    def wait_logged(self, what):
        """The address at the front of the line that says it, in whoever's log."""
        found = []

        def look():
            found[:] = [line.split(" ")[0] for name in self.logs for line in self.lines(name) if what in line]
            return found

        wait_until(look, "%s in a log" % what)
        return found[0]

    def of_both(self, ask):
        """Asks until both have answered."""
        seen = set()
        while len(seen) < 2:
            got = ask(len(seen))
            self.assertEqual(got.status, 200)
            seen.add(got.body)
        self.assertEqual(seen, {b"nginx", b"apache"})

    def test_both_log_the_client(self):
        """Whatever the client says of itself."""
        client = self.client(TPLB + ":80")
        numbers = iter(range(1000))
        asked = []

        def ask(_):
            asked.append("/file?%d" % next(numbers))
            return client.get(asked[-1].encode(), extra=b"X-Forwarded-For: 192.0.2.66\r\n")

        self.of_both(ask)
        for target in asked:
            self.assertEqual(self.wait_logged(target + " "), CLIENT)

    @unittest.skipUnless(*tools.missing("curl"))
    def test_https_goes_through(self):
        """To either; the certificate is the servers', and they log the client, of whom only the PROXY header tells."""
        seen = set()
        for n in range(100):
            out = tools.run(
                "curl", "-sS", "--noproxy", "*", "-f", "--cacert", self.cert, "--resolve", "shop.example:443:" + TPLB,
                "https://shop.example/file?tls%d" % n,
            )
            seen.add(out)
            self.assertEqual(self.wait_logged("/file?tls%d " % n), CLIENT)
            if len(seen) == 2:
                break
        self.assertEqual(seen, {b"nginx", b"apache"})

    def test_connections_are_kept(self):
        clients = [self.client(TPLB + ":80") for _ in range(4)]
        for _ in range(25):
            for client in clients:
                self.assertEqual(client.get(b"/file").status, 200)
        counters = self.counters()
        self.assertLess(counters["server_connects"], 12)
        self.assertGreater(counters["server_reuses"], 80)

    def test_large_bodies(self):
        """16 MiB in and out, to and from either."""
        data = os.urandom(16 << 20)
        client = self.client(TPLB + ":80")
        head = b"PUT /large-%d HTTP/1.1\r\nHost: shop.example\r\nContent-Length: %d\r\n\r\n"
        stored = set()
        for n in range(20):
            client.send(head % (n, len(data))).send(data)
            self.assertIn(client.whole_response().status, (201, 204))
            stored |= {name for name, www in self.files.items() if os.path.exists("%s/large-%d" % (www, n))}
            if len(stored) == 2:
                break
        self.assertEqual(stored, {"nginx", "apache"})
        for name, www in self.files.items():
            self.write(www, "only-" + name, "")
            os.rename(next("%s/%s" % (www, f) for f in os.listdir(www) if f.startswith("large")), www + "/only-" + name)
            got = client.get(b"/only-" + name.encode())
            while got.status == 404:  # the other one's turn
                got = client.get(b"/only-" + name.encode())
            self.assertEqual(hashlib.sha256(got.body).digest(), hashlib.sha256(data).digest())

    def test_one_is_taken_out_and_in(self):
        """By its file, as apache-origin.conf says; the other one by its end."""
        client = self.client(TPLB + ":80")
        os.rename(self.files["apache"] + "/healthz", self.files["apache"] + "/away")
        self.wait_server("10.0.0.12:80", "down")
        for _ in range(20):
            self.assertEqual(client.get(b"/file").body, b"nginx")
        os.rename(self.files["apache"] + "/away", self.files["apache"] + "/healthz")
        self.wait_server("10.0.0.12:80", "up")
        self.nginx.stop(signal.SIGQUIT)
        for _ in range(20):
            self.assertEqual(client.get(b"/file").body, b"apache")

    def graceful(self, daemon, number):
        """Tells it to read its configuration again, and waits until all those that served before have gone."""
        before = set(descendants(daemon.pid))
        self.assertTrue(before)
        daemon.tell(number)
        wait_until(lambda: not before & set(descendants(daemon.pid)), "the end of those before")

    def set_server(self, server, state):
        tools.run(CTL, "-s", os.path.join(self.balancer.directory, "ctl.sock"), "set", "server", server, state)

    def test_drained_reloads_lose_nothing(self):
        """Not a request of any kind, where the server has nothing in hand when it reloads."""
        load = Load(TPLB + ":80", CLIENTS, KINDS, patience=20)
        self.addCleanup(load.stop)
        for _ in range(ROUNDS // 2):
            for address, daemon, number in (("10.0.0.11:80", self.nginx, signal.SIGHUP), ("10.0.0.12:80", self.apache, signal.SIGUSR1)):
                self.set_server("web/" + address, "drain")
                self.wait_server(address, "draining 1 0")
                self.graceful(daemon, number)
                self.set_server("web/" + address, "ready")
                self.wait_server(address, "up")
                load.wait_more(ENOUGH)
        load.stop()
        self.assertEqual(load.failures(), [])

    def test_graceful_reloads_under_load(self):
        """Not a GET fails. A PUT fails only where its server closed the connection on it, and no PUT runs twice."""
        load = Load(TPLB + ":80", CLIENTS, KINDS, patience=20)
        self.addCleanup(load.stop)
        for _ in range(ROUNDS):
            for daemon, number in ((self.nginx, signal.SIGHUP), (self.apache, signal.SIGUSR1)):
                self.graceful(daemon, number)
                load.wait_more(ENOUGH)
        load.stop()
        self.assertEqual(load.failures("GET"), [])
        lost = load.failures("PUT")
        for event in lost:
            self.assertEqual(event.status, 502, event)
            self.assertIn(b"server_lost", event.what)
        counters = self.counters()
        print("%d requests; %d PUTs lost; kept connections found closed: %d, requests sent again: %d"
              % (load.count(), len(lost), counters.get("server_stale", 0), counters.get("retries", 0)))
        self.assertEqual(counters.get("server_lost", 0), len(lost))
        self.assertLessEqual(len(lost), 2 * ROUNDS * CLIENTS // 2)
        puts = [m for name in self.logs for line in self.lines(name) for m in re.findall(r"PUT (/put-\d+) ", line)]
        self.assertEqual(len(puts), len(set(puts)), "PUTs that ran twice")
        answered = {"/put-%d" % e.what for e in load.events if e.kind == "PUT" and e.status < 400}
        self.assertLessEqual(answered, set(puts))


if __name__ == "__main__":
    main()
