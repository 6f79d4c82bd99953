#!/bin/bash
# The manual pages: all are without faults. Those of the configuration and of the metrics are up to date, every key of the tables is in the former and in
# doc/configuration.md, and every command in tplbctl(1).
set -eu
build=$(cd "${builddir:-.}" && pwd)
cd "${srcdir:-$(dirname "$0")/../..}"
tool=$build/tplb-conf-man
page=$build/doc/man/tplb.conf.5
[ -e "$page" ] || page=doc/man/tplb.conf.5
metrics=$build/doc/man/tplb-metrics.7
[ -e "$metrics" ] || metrics=doc/man/tplb-metrics.7
pages=("$page" "$metrics" doc/man/*.[18])
bad=0

fail()
{
    echo "$*"
    bad=1
}

if [ ! -x "$tool" ]; then
    echo "$tool is not there: make builds it"
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$tool" --keys >"$work/keys"
"$tool" doc/man/tplb.conf.5.in >"$work/page"

"$tool" doc/man/tplb-metrics.7.in >"$work/metrics"

is_made_of()
{
    cmp -s "$1" "$2" || fail "$1 is not what tplb-conf-man makes now: rm it, make it again, and see whether its rule in Makefile.am lacks a header"
}
is_made_of "$page" "$work/page"
is_made_of "$metrics" "$work/metrics"

# The keys that a whole configuration prints: the tables' own list must not lack one.
cat >"$work/conf" <<'END'
listeners = ( { bind = "127.0.0.1:1"; upstream = "x"; } );
upstreams = ( { name = "x"; servers = ( { address = "127.0.0.1:2"; } ); } );
END
"${TPLB:-$build/tplb}" -T -f "$work/conf" | sed -nE 's/^[[:space:]]*([a-z_0-9]+)( =|:) .*/\1/p' | sort -u >"$work/printed"
[ -s "$work/printed" ] || fail "tplb -T prints no key"
while read -r key; do
    grep -qE "(^|\.)$key\$" "$work/keys" || fail "tplb-conf-man --keys does not know $key, which tplb -T prints"
done <"$work/printed"

# What the page has: "pool.workers" for an item within its subsection.
awk '$1 == ".Ss" { path = $NF; sub(/^\\&/, "", path); if ($2 == "Top") path = "" }
     $1 == ".Sh" { keys = $2 == "KEYS" }
     keys && $1 == ".It" { name = $3; sub(/^\\&/, "", name); gsub(/\\-/, "-", name); print (path == "" ? "" : path ".") name }' \
    "$page" >"$work/in-page"
# What the guide has: a table's row that begins with the key, below a heading that names the group or a group above it.
awk '/^##/ { heading = $0 }
     /^\| .*`/ { split($0, cell, "|"); n = split(cell[2], word, "`"); for (i = 2; i <= n; i += 2) print heading "\t" word[i] }' \
    doc/configuration.md >"$work/in-guide"

while read -r path; do
    grep -qxF -- "$path" "$work/in-page" || fail "tplb.conf(5) lacks $path"
    name=${path##*.} groups=
    case $path in *.*) groups=${path%.*} ;; esac
    awk -F'\t' -v name="$name" -v groups="$groups" '
        BEGIN { count = split(groups, group, "."); found = 0 }
        $2 != name { next }
        count == 0 && $1 ~ /At the top/ { found = 1 }
        { for (i = 1; i <= count; i++) if (index($1, "`" group[i] "`")) found = 1 }
        END { exit !found }' "$work/in-guide" || fail "doc/configuration.md lacks a row for $path"
done <"$work/keys"
echo "$(wc -l <"$work/keys") keys"

# Words of tables: both ways, for a row of the guide that the program does not know is as wrong as a word without a row.
check_words()
{
    "$tool" "--$1" | sort >"$work/words"
    [ -z "$(uniq -d "$work/words")" ] || fail "tplb-conf-man --$1 says twice: $(uniq -d "$work/words")"
    while read -r word; do
        grep -qxF -- ".It Ic \\&$word" "$page" || fail "tplb.conf(5) lacks $word of --$1"
    done <"$work/words"
    awk -v from="$2" 'index($0, from) == 1 { on = 1; next }
        on && /^[^|]/ && rows { exit }
        on && /^\| .*`/ { rows = 1; split($0, cell, "|"); n = split(cell[2], word, "`"); for (i = 2; i <= n; i += 2) print word[i] }' \
        doc/configuration.md | sort >"$work/rows"
    diff "$work/rows" "$work/words" >"$work/diff" || fail "the table after \"$2\" in doc/configuration.md is not that of --$1: $(cat "$work/diff")"
}
check_words variables 'The variables of a text'
check_words ends '### Refusals'

# The rows of the commands' table: {"set server", ...
while read -r command; do
    grep -qE "^\.It Ic $command( |\$)" doc/man/tplbctl.1 || fail "tplbctl(1) lacks $command"
done < <(sed -nE 's/^ +\{"([a-z ]+)", .*/\1/p' src/lb/commands.c)

if command -v mandoc >/dev/null; then
    mandoc -T lint -W warning "${pages[@]}" || fail "mandoc finds fault"
else
    echo "mandoc is missing: its check is skipped (./autogen.sh --deps installs it)"
fi
if command -v man >/dev/null && command -v groff >/dev/null && man --help 2>&1 | grep -q -- --warnings; then
    for shown in "${pages[@]}"; do
        LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 "$shown" 2>"$work/warnings" >"$work/text" || fail "man cannot show $shown"
        [ ! -s "$work/warnings" ] || fail "man warns of $shown: $(cat "$work/warnings")"
        [ "$shown" != "$page" ] || sed 's/.\x08//g' "$work/text" | grep -q '^ *workers' || fail "what man shows is not the page"
    done
else
    echo "man-db or groff is missing: their check is skipped (./autogen.sh --deps installs them)"
fi
exit $bad
