#!/bin/bash
# sanitizer-load.sh [BUILD-DIR]: 100,000 requests (REQUESTS says otherwise) through tplb to four tplb-origin, all built with sanitizers.
# Every request must be answered with 200, every program must exit with 0, and no sanitizer may have said a word.
# ENGINE: pool (the default), or the async engine's driver, epoll or io_uring. CHECKER: a command that runs the programs, such as
# "valgrind --error-exitcode=97".
set -u

build=$(cd "${1:-.}" && pwd) || exit 1
requests=${REQUESTS:-100000}
clients=${CLIENTS:-100}
engine=${ENGINE:-pool}
checker=${CHECKER:-}
port=22010
origin_ports=(22011 22012 22013 22014)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/tplb-load.XXXXXX") || exit 1
pids=()
names=()
bad=0

export ASAN_OPTIONS=${ASAN_OPTIONS-detect_stack_use_after_return=1:exitcode=99}
export UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS-second_deadlock_stack=1:exitcode=66}

complain()
{
    echo "sanitizer-load: $*" >&2
    bad=1
}

clean()
{
    [ ${#pids[@]} -eq 0 ] || kill -KILL "${pids[@]}" 2>/dev/null
    rm -rf "$tmp"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

start() # NAME PORT PROGRAM [ARGUMENT]...
{
    local name=$1 at=$2 i
    shift 2
    if (: <>"/dev/tcp/127.0.0.1/$at") 2>/dev/null; then
        complain "port $at is taken"
        exit 1
    fi
    "$@" >"$tmp/$name.log" 2>&1 &
    pids+=($!)
    names+=("$name")
    for ((i = 0; i < 300; i++)); do
        kill -0 "${pids[-1]}" 2>/dev/null || break
        if (: <>"/dev/tcp/127.0.0.1/$at") 2>/dev/null; then
            return
        fi
        sleep 0.1
    done
    cat "$tmp/$name.log" >&2
    complain "$name does not listen on port $at"
    exit 1
}

if ! command -v h2load >/dev/null; then
    complain "h2load is missing: ./autogen.sh --deps installs it"
    exit 1
fi
case $engine in
pool) origin_args=(-e pool) ;;
*) origin_args=(-e async -d "$engine" -w 1) ;;
esac
{
    if [ "$engine" = pool ]; then
        echo 'engine = "pool";'
    else
        echo "engine = \"async\"; async = { driver = \"$engine\"; };"
    fi
    echo "listeners = ( { bind = \"127.0.0.1:$port\"; upstream = \"origins\"; } );"
    echo "upstreams = ( { name = \"origins\"; servers = ( { address = \"127.0.0.1:${origin_ports[0]}\"; }"
    for p in "${origin_ports[@]:1}"; do
        echo ", { address = \"127.0.0.1:$p\"; }"
    done
    echo "); } );"
} >"$tmp/tplb.conf"
for p in "${origin_ports[@]}"; do
    # shellcheck disable=SC2086 # a command with its arguments
    start "origin-$p" "$p" $checker "$build/tplb-origin" "${origin_args[@]}" -l "127.0.0.1:$p"
done
# shellcheck disable=SC2086 # a command with its arguments
start tplb "$port" $checker "$build/tplb" -f "$tmp/tplb.conf"

echo "+ h2load --h1 -n $requests -c $clients -t 2 http://127.0.0.1:$port/"
timeout 900 h2load --h1 -n "$requests" -c "$clients" -t 2 "http://127.0.0.1:$port/" >"$tmp/h2load.out" 2>&1 || complain "h2load failed"
grep -E '^(finished|requests|status)' "$tmp/h2load.out"
grep -q "^requests: $requests total, $requests started, $requests done, $requests succeeded, 0 failed, 0 errored, 0 timeout" \
    "$tmp/h2load.out" || complain "not every request succeeded"
grep -q "^status codes: $requests 2xx, 0 3xx, 0 4xx, 0 5xx" "$tmp/h2load.out" || complain "not every answer was a 200"

# The balancer, the last one, first.
for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill -TERM "${pids[i]}"
    for ((tick = 0; tick < 600; tick++)); do
        kill -0 "${pids[i]}" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "${pids[i]}" 2>/dev/null && complain "${names[i]} did not end within 60 s"
    wait "${pids[i]}"
    status=$?
    [ $status -eq 0 ] || complain "${names[i]} exited with $status"
done
pids=()
for name in "${names[@]}"; do
    if grep -E 'Sanitizer|runtime error:|assertion failed|ERROR SUMMARY' "$tmp/$name.log" | grep -qv 'ERROR SUMMARY: 0 errors'; then
        complain "$name:"
        head -200 "$tmp/$name.log" >&2
    fi
done
[ $bad -ne 0 ] || echo "sanitizer-load: $requests requests answered on $engine, every checker silent"
exit $bad
