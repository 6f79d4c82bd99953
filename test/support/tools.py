"""Programs of others that tests talk to tplb with."""

import os
import shutil
import subprocess

from support.raw import BOUND, Late

# The start of a configuration of nginx's, in the foreground, with all that it writes in its own folder; and of its http part.
NGINX = """
daemon off;
master_process off;
pid %(dir)s/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
"""
NGINX_HTTP = """
    access_log off;
    client_body_temp_path %(dir)s/body;
    proxy_temp_path %(dir)s/proxy;
    fastcgi_temp_path %(dir)s/fastcgi;
    uwsgi_temp_path %(dir)s/uwsgi;
    scgi_temp_path %(dir)s/scgi;
"""


def find(name):
    """The path of a program, None when it is not installed. (/usr/sbin is not on everybody's PATH.)"""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/sbin")))


def missing(name):
    """For unittest.skipUnless: (there, reason)."""
    return bool(find(name)), "%s is not installed" % name


def run(name, *args, data=None, bound=BOUND * 2):
    """Runs it to its end, which must be a good one; its standard output."""
    try:
        done = subprocess.run([find(name), *args], input=data if data is not None else b"", capture_output=True, timeout=bound)
    except subprocess.TimeoutExpired as e:
        raise Late("%s %s did not end: %r" % (name, " ".join(args), e.stderr)) from None
    if done.returncode != 0:
        raise AssertionError("%s %s: exit status %d\n%s" % (name, " ".join(args), done.returncode, done.stderr.decode("utf-8", "replace")))
    return done.stdout
