"""Makes what gnuplot and Graphviz draw fit a light and a dark page: black becomes the colour of the text, light fills turn faint
in the dark, the background is none, and no two drawings on a page share an id."""

import html
import re

# A file of its own knows the reader's colours, not the page's, so it brings its background along.
ALONE = """<style>
svg { color: #1f2328; background: #ffffff; }
@media (prefers-color-scheme: dark) { svg { color: #e6e6e6; background: #15181c; } .tplb-light { fill-opacity: 0.16; } }
</style>"""
NAMED = {"black": (0, 0, 0), "white": (255, 255, 255), "grey": (190, 190, 190), "gray": (190, 190, 190),
         "lightgrey": (211, 211, 211), "lightgray": (211, 211, 211), "lightblue": (173, 216, 230),
         "lightyellow": (255, 255, 224), "lightgreen": (144, 238, 144)}
# currentColor would be this instead of the page's
OWN_COLOUR = re.compile(r"""(?<=\s)color\s*(?:=\s*["'](?:black|white|rgb\(\s*0,\s*0,\s*0\))["']|:\s*(?:black|white);?)""")
DARK, LIGHT = 0.05, 0.55


def _rgb(colour):
    colour = colour.strip().lower()
    digits = re.fullmatch(r"#([0-9a-f]{6})(?:[0-9a-f]{2})?", colour)
    if digits:
        return tuple(int(digits[1][i:i + 2], 16) for i in (0, 2, 4))
    numbers = re.fullmatch(r"rgb\(\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\)", colour)
    if numbers:
        return tuple(map(int, numbers.groups()))
    return NAMED.get(colour)


def luminance(colour):
    """0 black to 1 white, None of what is no colour."""
    rgb = _rgb(colour)
    if rgb is None:
        return None
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _is_dark(colour):
    rgb, light = _rgb(colour), luminance(colour)
    return light is not None and (light < DARK or (max(rgb) - min(rgb) < 40 and light < 0.2))


def adapt(text, name, title, description):
    """One drawing as <svg>...</svg> without a prologue."""
    text = text[text.index("<svg"):].strip()
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"<title>.*?</title>|<desc>.*?</desc>", "", text, flags=re.S)
    text = re.sub(r"<a [^>]*>|</a>", "", text)
    text = re.sub(r"<use\b[^>]*color='white'[^>]*/>", "", text)  # gnuplot's room around a marker
    text = text.replace('font-family="Times,serif"', 'font-family="sans-serif"')
    text = _own_ids(text, name)
    text = re.sub(r"<text\b[^>]*>", lambda m: _text(m[0]), text)
    text = re.sub(r"<(?:polygon|path|ellipse|polyline|rect|g|circle|use)\b[^>]*>", lambda m: _shape(m[0]), text)
    text = re.sub(r"<g\b[^>]*>\s*</g>", "", text)
    opening = re.match(r"<svg[^>]*>", text)[0]
    box = re.search(r'viewBox="([^"]*)"', opening)
    width, height = (float(v) for v in box[1].split()[2:]) if box else (_number(opening, "width"), _number(opening, "height"))
    head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" fill="currentColor" ' \
           'width="%g" height="%g" viewBox="%s" aria-labelledby="%s-title %s-desc">\n<title id="%s-title">%s</title>\n' \
           '<desc id="%s-desc">%s</desc>' % (width, height, box[1] if box else "0 0 %g %g" % (width, height), name, name, name,
                                             html.escape(title), name, html.escape(description))
    return re.sub(r"\n\s*\n+", "\n", head + text[len(opening):]) + "\n"


def alone(text):
    """The same as a file of its own."""
    end = text.index(">") + 1
    return '<?xml version="1.0" encoding="utf-8"?>\n' + text[:end] + "\n" + ALONE + text[end:]


def _number(tag, attribute):
    found = re.search(attribute + r'="([\d.]+)', tag)
    return float(found[1]) if found else 0


def _own_ids(text, name):
    text = re.sub(r"""\bid=(["'])([^"']+)\1""", r"id=\1%s-\2\1" % name, text)
    text = re.sub(r"""(href=["']#)""", r"\1%s-" % name, text)
    return re.sub(r"url\(\s*#", "url(#%s-" % name, text)


def _attribute(tag, attribute):
    found = re.search(r"""\b%s\s*[=:]\s*["']?\s*([^"';>]+)""" % attribute, tag)
    return found[1] if found else None


def _replace(tag, attribute, colour):
    return re.sub(r"""(\b%s\s*[=:]\s*["']?\s*)[^"';>]+""" % attribute, lambda m: m[1] + colour, tag, count=1)


def _text(tag):
    fill = _attribute(tag, "fill")
    if fill and (luminance(fill) or 0) < LIGHT and fill != "none":
        tag = _replace(tag, "fill", "currentColor")
    return tag


def _shape(tag):
    tag = OWN_COLOUR.sub("", tag)
    stroke, fill = _attribute(tag, "stroke"), _attribute(tag, "fill")
    if stroke and _is_dark(stroke):
        tag = _replace(tag, "stroke", "currentColor")
    if fill and _is_dark(fill):
        tag = _replace(tag, "fill", "currentColor")
    elif fill and (luminance(fill) or 0) > 0.95:
        tag = _replace(tag, "fill", "none")
    elif fill and (luminance(fill) or 0) > LIGHT and not tag.startswith("<g"):
        tag = re.sub(r"^<\w+", lambda m: m[0] + ' class="tplb-light"', tag)
    return tag
