"""
The balancers of others that tplb is compared with: how each is found, configured and run. All do what tplb does by default: round
robin over the same servers, the same timeouts, no access log, and X-Forwarded-For and Via where they can.
"""

import json
import os
import pwd
import re
import shutil
import subprocess

CLIENTS = 1024  # at once, for what must be told; as many requests can then be under way to the servers
MANY = 1000000000  # where there is no "no limit"


class Peer:
    """One of them; a subclass knows its configuration. All that it writes at run time goes into the folder it is given."""

    name = title = package = ""
    programs = ()  # what it may be called
    version_option = "-v"

    def find(self):
        """The path of its program; None when it is not installed. (/usr/sbin is not on everybody's PATH.)"""
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
        return next(filter(None, (shutil.which(program, path=path) for program in self.programs)), None)

    def version(self):
        program = self.find()
        found = program and re.search(r"\d+(\.\d+)+", output([program, self.version_option]))
        return found[0] if found else None

    def missing(self):
        """Why it cannot take part, None when it can."""
        return None if self.find() else "not installed (package %s)" % self.package

    def keeps_servers(self):
        """Whether it keeps connections to the servers from one request to the next, where it is let."""
        return True

    def note(self, keepalive):
        """One line: what a reader of its figures should know of its configuration."""
        return self.kept if keepalive else self.closed

    def command(self, folder, port, servers, keepalive, cores):
        """
        Writes its configuration into the folder; what runs it in the foreground, listening on 127.0.0.1, until SIGTERM. `servers`
        are addresses like "127.0.0.1:9002". With `keepalive` connections are kept for any number of requests, else for one, on
        both sides.
        """
        raise NotImplementedError


class Nginx(Peer):
    name = title = package = "nginx"
    programs = ("nginx",)
    kept = "one worker process a core, each with its own kept connections to the servers and its own round robin"
    closed = "one worker process a core, each with its own round robin"
    text = """\
%(user)s
daemon off;
worker_processes %(cores)d;
pid %(folder)s/nginx.pid;
error_log stderr;

events {
    worker_connections %(connections)d;
    # else a busy worker accepts one connection between two rounds of requests, and of many clients the last wait for seconds
    multi_accept on;
}

http {
    access_log off;
    keepalive_timeout %(client_keep)s;
    keepalive_requests %(many)d;
    client_header_timeout 10s;
    client_body_timeout 30s;
    send_timeout 30s;
    client_body_temp_path %(folder)s/body;
    proxy_temp_path %(folder)s/proxy;
    fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi;
    scgi_temp_path %(folder)s/scgi;

    upstream origins {
%(servers)s
%(server_keep)s
    }

    server {
        # a queue for each worker, or one of them takes most of the connections
        listen 127.0.0.1:%(port)d backlog=4096 reuseport;
        location / {
            proxy_pass http://origins;
            proxy_http_version 1.1;
            proxy_set_header Connection "%(connection)s";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Via "1.1 nginx";
            add_header Via "1.1 nginx" always;
            proxy_connect_timeout 1s;
            proxy_send_timeout 30s;
            proxy_read_timeout 30s;
            # room for a page of 64 KiB, and never a temporary file
            proxy_buffers 20 4k;
            proxy_max_temp_file_size 0;
        }
    }
}
"""
    # A worker keeps as many as it can have requests, so that it never closes one for want of a place.
    server_keep = """\
        keepalive %d;
        keepalive_requests %d;
        keepalive_timeout 1h;""" % (CLIENTS, MANY)

    def command(self, folder, port, servers, keepalive, cores):
        config = write(folder, "nginx.conf", self.text % {
            "user": "user root;" if os.geteuid() == 0 else "",  # the folder is ours alone
            "cores": cores,
            "folder": folder,
            "connections": 4 * CLIENTS,
            "client_keep": "60s" if keepalive else "0",
            "many": MANY,
            "servers": "\n".join("        server %s;" % server for server in servers),
            "server_keep": self.server_keep if keepalive else "",
            "port": port,
            "connection": "" if keepalive else "close",
        })
        argv = [self.find(), "-c", config, "-p", folder]
        if numbers(self.version()) >= [1, 19, 5]:
            argv += ["-e", "stderr"]  # else it first tries the system's log
        return argv


class HAProxy(Peer):
    name = package = "haproxy"
    title = "HAProxy"
    programs = ("haproxy",)
    kept = "one thread a core; connections to the servers are kept and shared by all clients"
    closed = "one thread a core"
    text = """\
global
    nbthread %(threads)d
    maxconn %(connections)d
    # it wants two descriptors a connection, more than some containers allow, and needs far fewer here
    no strict-limits
    # kept server connections are not given up because there are many clients
    tune.pool-low-fd-ratio 90
    tune.pool-high-fd-ratio 95

defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s
    timeout http-keep-alive 60s
    timeout queue 1s
    %(keep)s
    option forwardfor
    retries 2

frontend web
    bind 127.0.0.1:%(port)d backlog 4096
    http-request add-header Via "1.1 haproxy"
    http-response add-header Via "1.1 haproxy"
    default_backend origins

backend origins
    balance roundrobin
%(servers)s
"""

    def command(self, folder, port, servers, keepalive, cores):
        config = write(folder, "haproxy.cfg", self.text % {
            "threads": min(cores, 64),  # the most that it takes
            "connections": 4 * CLIENTS,
            "keep": "option http-keep-alive\n    http-reuse always" if keepalive else "option httpclose",
            "port": port,
            "servers": "\n".join("    server s%d %s" % (n, server) for n, server in enumerate(servers)),
        })
        return [self.find(), "-db", "-q", "-f", config]


class Pound(Peer):
    """Versions 2 and 4, which understand the same configuration but for the round robin. Version 3 has quite another."""

    name = package = "pound"
    title = "Pound"
    programs = ("pound",)
    version_option = "-V"
    text = """\
Daemon 0
LogFacility -
LogLevel 0
# a thread has a client for as long as it is connected
Threads %(threads)d
Client 60
TimeOut 30
ConnTO 1
%(balancer)s

ListenHTTP
    Address 127.0.0.1
    Port %(port)d
%(close)s
    Service
%(servers)s
    End
End
"""
    # The servers close then, and Pound closes the client's connection when a server says that it will close.
    close = """\
    HeadRemove "^Connection:"
    AddHeader "Connection: close"
"""
    server = """\
        BackEnd
            Address %s
            Port %s
        End"""

    def missing(self):
        if numbers(self.version())[:1] == [3]:
            return "Pound 3 is configured otherwise than 2 and 4, and is not supported"
        return super().missing()

    def keeps_servers(self):
        return False

    def note(self, keepalive):
        turns = "round robin" if self.has_round_robin() else "a server at random: this version knows no round robin"
        kept = "; a server's connection serves on only while one client gets the same server again" if keepalive else ""
        return "a thread a client connection; " + turns + kept

    def has_round_robin(self):
        return numbers(self.version()) >= [4]

    def command(self, folder, port, servers, keepalive, cores):
        config = write(folder, "pound.cfg", self.text % {
            "threads": CLIENTS + 64,
            "balancer": "Balancer iwrr" if self.has_round_robin() else "",
            "port": port,
            "close": "" if keepalive else self.close,
            "servers": "\n".join(self.server % split(server) for server in servers),
        })
        return [self.find(), "-f", config, "-p", os.path.join(folder, "pound.pid")]


class Varnish(Peer):
    name = package = "varnish"
    title = "Varnish"
    programs = ("varnishd",)
    version_option = "-V"
    kept = "caching is off: every request is passed to a server; two threads a request"
    closed = kept
    text = """\
vcl 4.0;
import directors;

%(servers)s

sub vcl_init {
    new origins = directors.round_robin();
%(turns)s
}

sub vcl_recv {
    set req.backend_hint = origins.backend();
    # What is compared is balancing, not caching.
    return (pass);
}
"""
    server = """\
backend s%d {
    .host = "%s";
    .port = "%s";
    .connect_timeout = 1s;
    .first_byte_timeout = 30s;
    .between_bytes_timeout = 30s;
}"""
    close = """
sub vcl_backend_fetch {
    set bereq.http.Connection = "close";
}

sub vcl_deliver {
    set resp.http.Connection = "close";
}
"""
    # A request takes a thread for the client and one for the server, from two pools. Sessions that find neither a thread nor a
    # place in the queue are dropped, so there is room for all.
    parameters = ("thread_pools=2", "thread_pool_min=%d" % CLIENTS, "thread_pool_max=%d" % (2 * CLIENTS),
                  "thread_queue_limit=%d" % (2 * CLIENTS), "listen_depth=4096", "timeout_idle=60")

    def command(self, folder, port, servers, keepalive, cores):
        text = self.text % {
            "servers": "\n".join(self.server % (n, *split(server)) for n, server in enumerate(servers)),
            "turns": "\n".join("    origins.add_backend(s%d);" % n for n in range(len(servers))),
        }
        config = write(folder, "varnish.vcl", text + ("" if keepalive else self.close))
        argv = [self.find()]
        if os.geteuid() == 0:
            argv += ["-j", "none"]  # else it becomes a user who cannot read the folder; it must come first
        argv += ["-F", "-f", config, "-a", "127.0.0.1:%d" % port, "-n", os.path.join(folder, "varnish"), "-s", "malloc,16m"]
        for parameter in self.parameters:
            argv += ["-p", parameter]
        return argv


class Apache(Peer):
    name = "apache"
    title = "Apache"
    package = "apache2"
    programs = ("apache2", "httpd")
    kept = "event MPM, one process a core, each with its own kept connections to the servers; a thread a request"
    closed = "event MPM, one process a core; a thread a request"
    modules = ("mpm_event", "unixd", "authz_core", "proxy", "proxy_http", "proxy_balancer", "slotmem_shm", "lbmethod_byrequests")
    folders = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules", "/usr/local/apache2/modules")
    text = """\
%(modules)s
%(user)s
ServerName localhost
ServerRoot "%(folder)s"
DocumentRoot "%(folder)s"
DefaultRuntimeDir "%(folder)s"
PidFile "%(folder)s/apache.pid"
ErrorLog /dev/stderr

Listen 127.0.0.1:%(port)d
ListenBacklog 4096
Timeout 30
%(keep)s

ServerLimit %(processes)d
StartServers %(processes)d
ThreadLimit %(threads)d
ThreadsPerChild %(threads)d
MaxRequestWorkers %(all)d
MinSpareThreads 1
MaxSpareThreads %(all)d
MaxConnectionsPerChild 0

ProxyPreserveHost On
ProxyVia On
<Proxy "balancer://origins">
%(servers)s
</Proxy>
ProxyPass "/" "balancer://origins/"
"""

    def command(self, folder, port, servers, keepalive, cores):
        # Connections do not come to the processes in equal parts: each has room for more than its share.
        threads = max(64, 2 * CLIENTS // cores)
        member = '    BalancerMember "http://%s" connectiontimeout=1' + ("" if keepalive else " disablereuse=On")
        config = write(folder, "apache.conf", self.text % {
            "modules": self.load_modules(),
            "user": "User nobody\nGroup #%d" % pwd.getpwnam("nobody").pw_gid if os.geteuid() == 0 else "",  # it refuses root
            "folder": folder,
            "port": port,
            "keep": "KeepAlive On\nKeepAliveTimeout 60\nMaxKeepAliveRequests 0" if keepalive else "KeepAlive Off",
            "processes": cores,
            "threads": threads,
            "all": threads * cores,
            "servers": "\n".join(member % server for server in servers),
        })
        return [self.find(), "-D", "FOREGROUND", "-f", config]

    def load_modules(self):
        """Those that are files; the others are built in."""
        files = {}
        for folder in self.folders:
            for module in self.modules:
                path = os.path.join(folder, "mod_%s.so" % module)
                if os.path.exists(path):
                    files.setdefault(module, path)
        return "\n".join("LoadModule %s_module %s" % item for item in files.items())


class Caddy(Peer):
    name = package = "caddy"
    title = "Caddy"
    programs = ("caddy",)
    version_option = "version"
    kept = "connections to the servers are kept and shared by all clients; no Via field"
    closed = "no Via field"

    def command(self, folder, port, servers, keepalive, cores):
        proxy = {
            "handler": "reverse_proxy",
            "load_balancing": {"selection_policy": {"policy": "round_robin"}},
            "upstreams": [{"dial": server} for server in servers],
            "transport": {
                "protocol": "http",
                "dial_timeout": "1s",
                "response_header_timeout": "30s",
                "compression": False,
                "keep_alive": {"enabled": keepalive, "idle_timeout": "1h", "max_idle_conns_per_host": CLIENTS},
            },
        }
        if not keepalive:
            proxy["headers"] = {"response": {"set": {"Connection": ["close"]}}}
        server = {
            "listen": ["127.0.0.1:%d" % port],
            "automatic_https": {"disable": True},
            "idle_timeout": "60s",
            "read_header_timeout": "10s",
            "routes": [{"handle": [proxy]}],
        }
        config = write(folder, "caddy.json", json.dumps({
            "admin": {"disabled": True, "config": {"persist": False}},
            "logging": {"logs": {"default": {"level": "ERROR"}}},
            "apps": {"http": {"grace_period": "1s", "servers": {"web": server}}},
        }, indent=4))
        places = ["%s=%s" % (name, folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")]
        return ["env", *places, "GOMAXPROCS=%d" % cores, self.find(), "run", "--config", config]


PEERS = [Nginx(), HAProxy(), Pound(), Varnish(), Apache(), Caddy()]


def output(argv):
    """What a program prints on its outputs."""
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def numbers(version):
    """"1.22.1" -> [1, 22, 1], which compare as versions do; [] of None"""
    return [int(number) for number in version.split(".")] if version else []


def split(server):
    """"127.0.0.1:9002" -> ("127.0.0.1", "9002")"""
    return tuple(server.rsplit(":", 1))


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path
