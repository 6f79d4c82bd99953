"""
coverage_table.py LINES.JSON LEAST FOLDER...: what share of the lines of each folder ran, from gcovr's JSON, with the lines that did not in the FOLDERs
named. Exits with 1 when one of these stays below LEAST percent.
"""

import collections
import json
import sys


def ranges(numbers):
    """[1, 2, 3, 7] -> "1-3 7" """
    parts = []
    for n in numbers:
        if parts and parts[-1][1] == n - 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return " ".join(str(a) if a == b else "%d-%d" % (a, b) for a, b in parts)


def read(path):
    """{folder: {file: ([lines that ran], [lines that did not])}}, of src and include together."""
    with open(path) as f:
        files = json.load(f)["files"]
    folders = collections.defaultdict(dict)
    for file in files:
        counts = [(line["line_number"], line["count"]) for line in file["lines"] if not line.get("gcovr/noncode")]
        folder = file["file"].split("/")[1]
        folders[folder][file["file"]] = ([n for n, c in counts if c], sorted(n for n, c in counts if not c))
    return folders


def percent(files):
    ran, missing = (sum(len(f[i]) for f in files.values()) for i in (0, 1))
    return ran, ran + missing, 100 * ran / max(ran + missing, 1)


def main(path, least, wanted):
    folders = read(path)
    for folder in wanted:
        for name, (_, missing) in sorted(folders.get(folder, {}).items()):
            if missing:
                print("%s: not run: %s" % (name, ranges(missing)))
    print("%-8s %6s %6s %7s" % ("folder", "lines", "ran", "%"))
    low = [folder for folder in wanted if folder not in folders]
    for folder, files in sorted(folders.items()):
        ran, lines, share = percent(files)
        bad = folder in wanted and share < least
        low += [folder] * bad
        print("%-8s %6d %6d %7.2f%s" % (folder, lines, ran, share, "  below %g" % least if bad else ""))
    ran, lines, share = percent({name: f for files in folders.values() for name, f in files.items()})
    print("%-8s %6d %6d %7.2f" % ("all", lines, ran, share))
    if low:
        print("coverage: below %g %%: %s" % (least, " ".join(low)))
    return bool(low)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
