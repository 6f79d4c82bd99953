#!/bin/bash
# make lint: the layout of the source (.clang-format, clang-format 14), cppcheck, the floor rule and the lists in Makefile.am.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0

run()
{
    echo "+ $1 ... (${#files[@]} files)"
    "$@" || bad=1
}

mapfile -t files < <(find src include test -name '*.[ch]' | sort)

version=$(clang-format --version 2>/dev/null | grep -oE '[0-9]+' | head -1)
if [ -z "$version" ]; then
    echo "lint: clang-format is missing: ./autogen.sh --deps installs it" >&2
    bad=1
elif [ "$version" != 14 ]; then
    echo "lint: clang-format $version formats otherwise than 14, which is the reference: skipped" >&2
else
    run clang-format --dry-run -Werror "${files[@]}"
fi

if ! command -v cppcheck >/dev/null; then
    echo "lint: cppcheck is missing: ./autogen.sh --deps installs it" >&2
    bad=1
else
    mapfile -t files < <(find src -name '*.c' | sort)
    run cppcheck --quiet --error-exitcode=1 --inline-suppr -j 2 --std=c11 --language=c --library=posix,gnu \
        --enable=warning,portability,performance --suppressions-list=test/tools/cppcheck.suppress \
        -D_GNU_SOURCE -D__linux__ -DSYSCONFDIR='"/etc"' -DRUNSTATEDIR='"/run"' -I include "${files[@]}"
fi

echo "+ test/tools/check-floors.sh"
srcdir=. bash test/tools/check-floors.sh || bad=1
echo "+ test/tools/check-lists.sh"
srcdir=. bash test/tools/check-lists.sh || bad=1
exit $bad
