#!/bin/bash
# run.sh SRCDIR SECONDS JOBS TARGET...: runs each fuzz target of build-fuzz for so long, JOBS of them side by side, from the corpus that comes
# with tplb and from what earlier runs found (build-fuzz/corpus). Fails if one of them did: the input that failed is in build-fuzz/crashes.
set -u
srcdir=$1 seconds=$2 jobs=$3
shift 3
top=build-fuzz
mkdir -p $top/crashes $top/log
export ASAN_OPTIONS=detect_stack_use_after_return=1:${ASAN_OPTIONS-} UBSAN_OPTIONS=print_stacktrace=1

fuzz()
{
    local name=$1 dict=$srcdir/test/fuzz/dict/$1.dict log=$top/log/$1
    case $name in request | response | body | probe | relay | web) dict=$srcdir/test/fuzz/dict/http.dict ;; esac
    local options=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$top/crashes/$name-")
    [ ! -e "$dict" ] || options+=(-dict="$dict")
    [ -z "${FUZZ_SEED:-}" ] || options+=(-seed="$FUZZ_SEED") # the same inputs again, as far as the time allows
    mkdir -p "$top/corpus/$name"
    if ! "$top/${name}_fuzz" "${options[@]}" "$top/corpus/$name" "$srcdir/test/fuzz/corpus/$name" >"$log" 2>&1; then
        echo "$name: FAILED"
        tail -n 60 "$log" | grep -vE '^#[0-9]+[[:space:]]'
        return 1
    fi
    sed -n "s/^#[0-9]*.*DONE *cov: \([0-9]*\) .*/$name: \1 edges covered,/p" "$log" | tr '\n' ' '
    awk '/number_of_executed_units/ { runs = $2 } /average_exec_per_sec/ { rate = $2 } END { print runs " runs, " rate " a second" }' "$log"
}

failed=0
running=0
for target; do
    if [ $running -ge "$jobs" ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
    fuzz "$target" &
    running=$((running + 1))
done
while [ $running -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
exit $failed
