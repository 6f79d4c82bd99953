#!/bin/bash
# Is ThreadSanitizer awake? Takes the lock out of queue_put in a copy, and fails unless queue_test then reports a data race.
# usage: planted-race.sh   (in a build folder configured with --enable-sanitizers=thread, after make check)
set -eu
src=$(cd "$(dirname "$0")/../.." && pwd)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/tplb-race.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

awk '/^size_t queue_put/ {inside = 1} /^}/ {inside = 0} !(inside && /lock_(take|drop)\(/)' "$src/src/work/queue.c" >"$tmp/queue.c"
if cmp -s "$src/src/work/queue.c" "$tmp/queue.c"; then
    echo "planted-race: queue_put has no lock to take out: mend this script" >&2
    exit 1
fi
cc=${CC:-gcc}
# NDEBUG: or the missing lock is noticed by lock_must_hold before the race is.
$cc -std=gnu11 -g -O1 -pthread -fsanitize=thread -DNDEBUG -D_GNU_SOURCE -I"$src/include" -w -o "$tmp/queue_test" \
    "$src/test/unit/queue_test.c" "$tmp/queue.c" "$src"/src/base/*.c $(pkg-config --cflags --libs check)
TSAN_OPTIONS=exitcode=66:halt_on_error=1 CK_DEFAULT_TIMEOUT=10 timeout -k 5 90 "$tmp/queue_test" >"$tmp/out" 2>&1 || true
if ! grep -q 'WARNING: ThreadSanitizer: data race' "$tmp/out"; then
    tail -20 "$tmp/out"
    echo "planted-race: the race was not noticed" >&2
    exit 1
fi
echo "planted-race: the race was reported ($(grep -c 'data race' "$tmp/out") times)"
