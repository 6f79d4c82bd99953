"""The pictures of the architecture, drawn by Graphviz from what tplb says of its own configuration."""

import re
import shutil
import subprocess
import sys

from . import svg
from .document import Chart


def missing():
    if shutil.which("dot"):
        return []
    return ["The pictures of the architecture are missing: dot is not installed (Debian, Ubuntu: package graphviz)."]


def draw_all(results):
    found = []
    for picture in results.get("pictures", []) if shutil.which("dot") else []:
        done = subprocess.run(["dot", "-Tsvg"], input=picture["dot"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              encoding="utf-8")
        if done.returncode or "<svg" not in done.stdout:
            sys.stderr.write("dot could not draw %s: %s\n" % (picture["name"], done.stderr.strip()))
            continue
        name = "picture-" + (re.sub(r"[^a-z0-9]+", "-", picture["name"].lower()).strip("-") or "other")
        alt = "How requests go: " + "; ".join(edges(done.stdout)) + "."
        found.append(Chart(name, picture["title"], svg.adapt(done.stdout, name, picture["title"], alt), alt, ""))
    return found


def edges(drawn):
    """What goes where, by the names of Graphviz's own titles."""
    titles = re.findall(r"<title>([^<]*?)&#45;&gt;([^<]*?)</title>", drawn)
    return ["%s to %s" % pair for pair in dict.fromkeys(titles)]
