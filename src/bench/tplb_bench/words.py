"""How numbers and names are written."""

import math

NOTHING = "–"
NO_DIFFERENCE = "no difference that this run can show"


def three(value):
    """Three significant digits, thousands apart: 12,300, 45.6, 0.0789."""
    if value is None:
        return NOTHING
    if math.isinf(value):
        return "∞"
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    value = round(value, digits)
    digits = 2 - math.floor(math.log10(abs(value)))  # 9.996 became 10
    return "{:,.{}f}".format(value, max(0, digits))


def whole(value):
    return NOTHING if value is None else "{:,.0f}".format(value)


def ratio(value):
    if value is None:
        return NOTHING
    return "{:.2f}".format(value) if abs(value) < 10 else three(value)


def percent(share, sign=False):
    if math.isinf(share):
        return "∞ %"
    return "{:{}.{}f} %".format(100 * share, "+" if sign else "", 1 if abs(share) < 0.1 else 0)


def span(low, high, write=three):
    """1.2 to 1.4, or once if they are written alike."""
    low, high = write(low), write(high)
    return low if low == high else low + " to " + high


def bounds(low, high, write=three):
    low, high = write(low), write(high)
    return low if low == high else low + "–" + high


def bytes_s(value):
    if value is None:
        return NOTHING
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return three(value / size) + " " + unit
    return three(value) + " B"


def ms(value):
    return NOTHING if value is None else three(value)


def listing(items):
    """a, b and c"""
    items = [str(i) for i in items]
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""


def capital(text):
    return text[:1].upper() + text[1:]


def plural(count, word):
    return "%s %s%s" % (whole(count), word, "" if count == 1 else "s")


def side(which):
    architecture, driver = which
    return architecture + (" on " + driver if driver else "")


def place(behind):
    return "behind the balancer" if behind else "alone"


def load(keepalive):
    return "keep-alive" if keepalive else "one connection a request"
