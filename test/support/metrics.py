"""Prometheus' text format, read strictly."""

import re

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)\Z')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|\Z)')
SUFFIXES = ("_bucket", "_sum", "_count")


def labels_of(text):
    labels, at = {}, 0
    while at < len(text or ""):
        m = LABEL.match(text, at)
        if not m or m.group(1) in labels:
            raise AssertionError("labels: %r" % text)
        labels[m.group(1)] = re.sub(r'\\(.)', lambda e: "\n" if e.group(1) == "n" else e.group(1), m.group(2))
        at = m.end()
    return labels


class Metrics:
    """types and helps by family; samples: {(name, frozenset(labels.items())): value}"""

    def __init__(self, text):
        self.types, self.helps, self.samples, family = {}, {}, {}, None
        if not text.endswith("\n"):
            raise AssertionError("the last line has no end")
        for line in text.split("\n")[:-1]:
            if line.startswith("# HELP "):
                _, _, family, self.helps[family] = line.split(" ", 3)
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                if name != family or name in self.types:
                    raise AssertionError("out of place: %r" % line)
                self.types[name] = kind
            else:
                self._sample(line, family)

    def _sample(self, line, family):
        m = SAMPLE.match(line)
        if not m:
            raise AssertionError("no sample: %r" % line)
        name = m.group(1)
        if name != family and not (self.types[family] == "histogram" and name in [family + s for s in SUFFIXES]):
            raise AssertionError("not of %s: %r" % (family, line))
        key = name, frozenset(labels_of(m.group(2)).items())
        if key in self.samples:
            raise AssertionError("twice: %r" % line)
        self.samples[key] = float(m.group(3))

    def get(self, name, **labels):
        """One sample; None: there is none."""
        return self.samples.get((name, frozenset(labels.items())))

    def all(self, name, **labels):
        """{labels: value} of those samples that have these labels."""
        wanted = frozenset(labels.items())
        return {l: value for (n, l), value in self.samples.items() if n == name and wanted <= l}

    def sum(self, name, **labels):
        return sum(self.all(name, **labels).values())

    def check_histograms(self):
        """Cumulative buckets, the last of which is the count; a sum that they allow."""
        for family, kind in self.types.items():
            if kind != "histogram":
                continue
            for labels, count in self.all(family + "_count").items():
                buckets = sorted(
                    (float(dict(l)["le"].replace("+Inf", "inf")), value)
                    for l, value in self.all(family + "_bucket", **dict(labels)).items()
                )
                values = [value for _, value in buckets]
                if values != sorted(values) or buckets[-1] != (float("inf"), count):
                    raise AssertionError("%s %s: %r, count %s" % (family, labels, buckets, count))
                least, most, below = 0, 0, 0
                for (bound, value), before in zip(buckets, [0] + [b for b, _ in buckets]):
                    least += (value - below) * before
                    most += (value - below) * bound if value > below else 0
                    below = value
                total = self.get(family + "_sum", **dict(labels))
                if not least <= total <= most:
                    raise AssertionError("%s %s: the sum %s is not between %s and %s" % (family, labels, total, least, most))


def check_onward(before, after):
    """Counters, and the buckets of histograms, have not gone back."""
    for (name, labels), value in before.samples.items():
        family = name if name in before.types else re.sub("_(bucket|sum|count)$", "", name)
        if before.types[family] not in ("counter", "histogram"):
            continue
        now = after.samples.get((name, labels))
        if now is not None and now < value:
            raise AssertionError("%s%s went back from %s to %s" % (name, dict(labels), value, now))
