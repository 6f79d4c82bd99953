#!/bin/bash
# Is ThreadSanitizer awake? Takes the lock out of queue_put and then out of loop_post, in copies, and fails unless their tests then
# report a data race.
# usage: planted-race.sh   (in a build folder configured with --enable-sanitizers=thread, after make check)
set -eu
src=$(cd "$(dirname "$0")/../.." && pwd)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/tplb-race.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

made() # VARIABLE: what the build folder's Makefile has for it
{
    sed -n "s/^$1 = *//p" Makefile
}

# plant FILE FUNCTION TEST CASE OTHER-SOURCE...: as above; CASE is the test's case that is to notice.
plant()
{
    local file=$1 function=$2 test=$3 case=$4
    shift 4
    awk -v start="^[a-z_ ]*[ *]$function\\\\(" \
        '$0 ~ start {inside = 1} /^}/ {inside = 0} !(inside && /lock_(take|drop)\(/)' "$src/$file" >"$tmp/planted.c"
    if cmp -s "$src/$file" "$tmp/planted.c"; then
        echo "planted-race: $function has no lock to take out: mend this script" >&2
        exit 1
    fi
    # NDEBUG: or the missing lock is noticed by lock_must_hold before the race is.
    # shellcheck disable=SC2046
    ${CC:-gcc} -std=gnu11 -g -O1 -pthread -fsanitize=thread -DNDEBUG -D_GNU_SOURCE -I"$src/include" -I. -w -o "$tmp/test" \
        "$src/$test" "$tmp/planted.c" "$@" "$src"/src/base/*.c $(pkg-config --cflags --libs check) \
        $(made FIBER_LIBS) $(made LIBURING_LIBS)
    CK_RUN_CASE=$case TSAN_OPTIONS=exitcode=66:halt_on_error=1 CK_DEFAULT_TIMEOUT=10 \
        timeout -k 5 90 "$tmp/test" >"$tmp/out" 2>&1 || true
    if ! grep -q 'WARNING: ThreadSanitizer: data race' "$tmp/out"; then
        tail -20 "$tmp/out"
        echo "planted-race: the race in $function was not noticed" >&2
        exit 1
    fi
    echo "planted-race: the race in $function was reported ($(grep -c 'data race' "$tmp/out") times)"
}

plant src/work/queue.c queue_put test/unit/queue_test.c queue
plant src/net/loop.c loop_post test/unit/net_loop_test.c messages "$src"/src/net/{addr,fiber,helpers,io,loop_epoll,loop_uring,sock}.c
