#!/bin/bash
# What `make install` puts where: etc/tplb.spec lists each file of it and nothing that is not there; the unit is no more exposed than doc/operations.md says, and
# leaves the sandbox the system calls that it takes; links in the documents lead somewhere.
set -eu
build=$(cd "${builddir:-.}" && pwd)
cd "${srcdir:-$(dirname "$0")/../..}"
bad=0

fail()
{
    echo "$*"
    bad=1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
unset MAKEFLAGS MFLAGS MAKELEVEL
if ! (cd "$build" && make install DESTDIR="$root" prefix=/usr exec_prefix=/usr sysconfdir=/etc systemdsystemunitdir=/usr/lib/systemd/system) \
    >"$work/out" 2>&1; then
    tail -n 20 "$work/out"
    echo "make install fails"
    exit 1
fi
(cd "$root" && find . -type f -o -type l) | sed 's/^\.//' | sort >"$work/there"
echo "$(wc -l <"$work/there") files"

# A line of %files is a file, a folder with all in it, or a pattern.
while read -r pattern; do
    # shellcheck disable=SC2254 # a pattern
    while read -r file; do
        case $file in $pattern | $pattern/*) echo "$file" ;; esac
    done <"$work/there" >"$work/match"
    cat "$work/match" >>"$work/listed"
    case $pattern in
    */logrotate.d/* | */tplb.service) ;; # the spec's own; not there with --with-systemdsystemunitdir=no
    *) [ -s "$work/match" ] || fail "etc/tplb.spec lists $pattern, which make install does not make" ;;
    esac
done < <(sed -n '/^%files/,$p' etc/tplb.spec | sed -e 1d -e '/^$/d' -e 's/^%config(noreplace) //' -e 's,%{_sysconfdir},/etc,' -e 's,%{_bindir},/usr/bin,' \
    -e 's,%{_unitdir},/usr/lib/systemd/system,' -e 's,%{_docdir},/usr/share/doc,' -e 's,%{_mandir},/usr/share/man,' -e 's,%{_datadir},/usr/share,')
while read -r file; do
    fail "etc/tplb.spec does not list $file, which make install makes"
done < <(sort -u "$work/listed" | comm -23 "$work/there" -)

# The score of the sandbox, as the guide says it.
unit=$work/tplb.service
sed -e 's|@bindir@|/usr/bin|g' -e 's|@sysconfdir@|/etc|g' etc/tplb.service.in >"$unit"
said=$(sed -nE 's/.*systemd-analyze security tplb\.service` says ([0-9.]+).*/\1/p' doc/operations.md)
if score=$(systemd-analyze security --offline=true "$unit" 2>"$work/err" | sed -nE 's/.*Overall exposure level for tplb\.service: ([0-9.]+).*/\1/p') && [ -n "$score" ]; then
    awk -v score="$score" -v said="$said" 'BEGIN { exit !(said > 0 && score <= said) }' || fail "systemd-analyze security says $score of the unit, and doc/operations.md ${said:-nothing}"
    echo "the unit: $score"
else
    echo "systemd-analyze is missing or cannot look at files: the unit is not looked at"
fi

# The unit's filter, by this system's groups of calls: it leaves what the process that serves locks itself in with, and what its own filter leaves it.
calls_of()
{
    local word
    for word in "$@"; do
        case $word in
        @*)
            # shellcheck disable=SC2046 # a list
            calls_of $(systemd-analyze syscall-filter "$word" 2>/dev/null | sed -e '1,2d' -e '/^ *#/d')
            ;;
        *) echo "$word" ;;
        esac
    done
}
if systemd-analyze syscall-filter @system-service >"$work/known" 2>/dev/null; then
    # shellcheck disable=SC2046 # a list
    calls_of $(sed -nE 's/^SystemCallFilter=([^~].*)/\1/p' "$unit") | sort -u >"$work/left"
    # Names that this version of systemd does not know need not be in its groups.
    calls_of @known | sort -u >"$work/known"
    {
        printf '%s\n' chroot landlock_create_ruleset landlock_add_rule landlock_restrict_self prctl setgroups
        sed -n '/^static const int allowed/,/};/p' src/ctl/sandbox.c | grep -oE 'SCMP_SYS\([a-z0-9_]+\)' | sed -e 's/SCMP_SYS(//' -e 's/)//'
    } | sort -u | comm -12 - "$work/known" >"$work/needed"
    [ "$(wc -l <"$work/needed")" -gt 80 ] || fail "only $(wc -l <"$work/needed") system calls are needed?"
    while read -r call; do
        fail "the unit's SystemCallFilter does not leave $call"
    done < <(comm -23 "$work/needed" "$work/left")
fi

# [text](file#heading): the file is there, and has the heading.
headings()
{
    sed -nE '/^```/,/^```/d; s/^#+ +//p' "$1" | tr '[:upper:]' '[:lower:]' | sed -E -e 's/[^a-z0-9 _-]//g' -e 's/ /-/g'
}
for document in README.md doc/*.md; do
    while read -r link; do
        file=${link%%#*}
        case $file in '') file=$document ;; *) file=$(dirname "$document")/$file ;; esac
        [ -e "$file" ] || {
            fail "$document: a link to $link, which is not there"
            continue
        }
        case $link in *.md#* | '#'*) headings "$file" | grep -qxF -- "${link#*#}" || fail "$document: a link to $link, a heading that is not there" ;; esac
    done < <(grep -oE '\]\([^)]+\)' "$document" | sed -e 's/^](//' -e 's/)$//' | grep -vE '^[a-z]+:')
done
exit $bad
