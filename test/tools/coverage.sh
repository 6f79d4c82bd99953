#!/bin/bash
# make coverage: builds the distributed files with --enable-coverage under OUT, runs the tests there, and says what share of the lines of each folder
# of src/ and include/ ran. Fails when a test fails, or a folder of COVERAGE_FOLDERS stays below COVERAGE_LEAST percent.
# SOURCE: a configured tree's copy of what is distributed (make distdir). OUT: what is made here; OUT/html/index.html shows every line.
# COVERAGE_TESTS: the tests to run, but for those of COVERAGE_SKIP. COVERAGE_ENGINES: the drivers for those on the wire.
set -u
if [ $# -ne 2 ]; then
    echo "usage: coverage.sh SOURCE OUT" >&2
    exit 2
fi
tools=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$1" && pwd) || exit 1
mkdir -p "$2" && out=$(cd "$2" && pwd) || exit 1
least=${COVERAGE_LEAST:-95}
folders=${COVERAGE_FOLDERS:-http net work}
engines=${COVERAGE_ENGINES:-pool epoll io_uring}
started=$SECONDS

if ! command -v gcovr >/dev/null; then
    echo "coverage: gcovr is missing: ./autogen.sh --deps installs it" >&2
    exit 1
fi

# build NAME CONFIGURE-ARGUMENTS TESTS...: in OUT/NAME, with those of the tests that are programs.
build()
{
    local name=$1 arguments=$2
    shift 2
    rm -rf "${out:?}/$name"
    mkdir "$out/$name" && cd "$out/$name" || return 1
    # shellcheck disable=SC2086 # a list
    "$source/configure" -q --enable-coverage $arguments >configure.out 2>&1 || { tail configure.out; return 1; }
    # One after the other: `all` is a make of its own, and both would make the same libraries at once.
    { make -s -j"$(nproc)" all && make -s -j"$(nproc)" "$@"; } >make.out 2>&1 || { tail make.out; return 1; }
    # Some tests run a program as another user, who may write none but what is there.
    find . -name '*.gcno' | sed 's/gcno$/gcda/' | while read -r file; do
        : >"$file" && chmod a+rw "$file"
    done
}

# check TESTS...: in the folder of the last build, two at a time: most wait, and time is not the subject here.
check()
{
    make -s -j2 check TESTS="$*" check_PROGRAMS= >check.out 2>&1 || failed=1
    grep -E '^(# |FAIL|ERROR)' check.out
}

# What nothing wrote to is no data. http_words.c is the scanner in its other form: see below on functions of one name.
drop_empty()
{
    rm -f "$out/$1"/test/unit/http_words.gc??
    find "$out/$1" -name '*.gcda' -empty -delete
}

failed=0
export GCOV_ERROR_FILE=$out/gcov.err # not standard error, which the tests look at
tests=() programs=()
for test in ${COVERAGE_TESTS-}; do
    case " ${COVERAGE_SKIP-} " in *" $test "*) continue ;; esac
    tests+=("$test")
    case $test in *.*) ;; *) programs+=("$test") ;; esac
done
build all '' "${programs[@]}" || exit 1
echo "coverage: built after $((SECONDS - started)) s"
TPLB_TEST_ENGINES=$engines check "${tests[@]}"
echo "coverage: tested after $((SECONDS - started)) s"
# Fibers switch in one of two ways: the second one where it differs.
fibers=(test/unit/net_fiber_test test/unit/net_loop_test)
build ucontext --with-fibers=ucontext "${fibers[@]}" || exit 1
check "${fibers[@]}"

# gcovr 5 cannot merge a file of which the two builds compile different functions of one name; lines are what counts here.
mkdir -p "$out/html"
cd "$out" || exit 1
for name in all ucontext; do
    drop_empty "$name"
    gcovr -j 2 --root "$source" --object-directory "$name" --filter "$source/src/" --filter "$source/include/" --json "$name.json" "$name" || exit 1
    python3 -c 'import json, sys
lines = json.load(open(sys.argv[1]))
for file in lines["files"]:
    file["functions"] = []
json.dump(lines, open(sys.argv[1], "w"))' "$name.json" || exit 1
done
gcovr --root "$source" --add-tracefile all.json --add-tracefile ucontext.json --json lines.json \
    --html-details html/index.html --html-title "tplb: lines that the tests run" || exit 1
# shellcheck disable=SC2086 # a list
python3 "$tools/coverage_table.py" lines.json "$least" $folders || failed=1
echo "coverage: $((SECONDS - started)) s; line by line: $out/html/index.html"
exit $failed
