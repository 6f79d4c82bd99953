#!/bin/bash
# make demo: four origins, tplb in front of them, a request, a short load, who answered how much. Then it stays up until Ctrl-C, or
# for DEMO_SECONDS when that is set.
set -u

bin=$(cd "${builddir:-.}" && pwd)
port=44444
origin_ports=(9012 9013 9014 9015)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/tplb-demo.XXXXXX") || exit 1
pids=()

say()
{
    printf '\n\033[1m%s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[01]m//g'; fi
}

die()
{
    echo "demo: $*" >&2
    exit 1
}

# The balancer was started last and goes first, so that it finishes what is in flight while its servers are still there.
leave()
{
    local status=$? i
    trap '' INT TERM HUP
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill -TERM "${pids[i]}" 2>/dev/null
    done
    for ((i = 0; i < 50; i++)); do # 5 s; kill -0 fails once the last of them is gone
        kill -0 "${pids[@]}" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "${pids[@]}" 2>/dev/null
    wait
    rm -rf "$tmp"
    exit "$status"
}
trap leave EXIT
trap 'exit 0' INT TERM HUP

listens() # PORT
{
    (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

taken() # PORT
{
    die "port $1 is taken: somebody else uses 127.0.0.1:$1 (see: ss -tanp 'sport = :$1'); stop that and try again"
}

# launch LOG PORT PROGRAM [ARGUMENT]...: runs it in the background; true when it listens, false when it has died
launch()
{
    local log=$1 at=$2 i
    shift 2
    "$@" >"$log" 2>&1 &
    pids+=($!)
    for ((i = 0; i < 100; i++)); do
        if ! kill -0 "${pids[-1]}" 2>/dev/null; then
            unset 'pids[-1]'
            return 1
        fi
        if listens "$at"; then
            return 0
        fi
        sleep 0.1
    done
    die "${1##*/} did not listen on port $at within 10 s"
}

# start PORT PROGRAM [ARGUMENT]...
start()
{
    local at=$1 log=$tmp/$1.log tries
    shift
    for ((tries = 0; tries < 65; tries++)); do
        if launch "$log" "$at" "$@"; then
            return
        fi
        if ! grep -qi 'in use' "$log"; then
            cat "$log" >&2
            die "${1##*/} could not start"
        fi
        ! listens "$at" || taken "$at"
        # The port of the original experiment is one that outgoing connections may get, and keep for a minute after their end.
        [ $tries -gt 0 ] || echo "Port $at belongs to an outgoing connection; trying again for a minute ..."
        sleep 1
    done
    taken "$at"
}

for program in tplb tplb-origin; do
    [ -x "$bin/$program" ] || die "$bin/$program is not built: run make first"
done
command -v curl >/dev/null || die "curl is missing: ./autogen.sh --deps installs it"
for p in "${origin_ports[@]}" $port; do
    if listens "$p"; then
        taken "$p"
    fi
done

{
    echo "listeners = ( { bind = \"127.0.0.1:$port\"; upstream = \"origins\"; } );"
    echo 'upstreams = ( { name = "origins"; servers = ('
    separator=' '
    for p in "${origin_ports[@]}"; do
        echo "  $separator { address = \"127.0.0.1:$p\"; }"
        separator=,
    done
    echo ') } );'
} >"$tmp/tplb.conf"

say "The configuration"
cat "$tmp/tplb.conf"

for p in "${origin_ports[@]}"; do
    start "$p" "$bin/tplb-origin" -l "127.0.0.1:$p"
done
start "$port" "$bin/tplb" -f "$tmp/tplb.conf"
say "Up: tplb on 127.0.0.1:$port, origins on 127.0.0.1:${origin_ports[0]} to ${origin_ports[3]}"

say "\$ curl -i http://127.0.0.1:$port/"
curl -sS -i --max-time 10 "http://127.0.0.1:$port/" || die "no answer"
echo

if command -v wrk >/dev/null; then
    say "\$ wrk -t 2 -c 100 -d 3s http://127.0.0.1:$port/"
    wrk -t 2 -c 100 -d 3s "http://127.0.0.1:$port/" || die "wrk failed"
else
    say "A short load (wrk is not installed: 400 requests by curl)"
    seq -f "url = http://127.0.0.1:$port/" 400 | curl -sS --max-time 30 -K - -w '\n' >/dev/null || die "the load failed"
    echo 'all answered'
fi

say "Requests that each origin answered"
for p in "${origin_ports[@]}"; do
    printf '  127.0.0.1:%s  %s\n' "$p" "$(curl -sS --max-time 10 "http://127.0.0.1:$p/count")" || die "no count from $p"
done

for pid in "${pids[@]}"; do
    kill -0 "$pid" 2>/dev/null || { cat "$tmp"/*.log >&2; die "one of the programs died"; }
done
if [ -n "${DEMO_SECONDS-}" ]; then
    say "Staying up for $DEMO_SECONDS s: http://127.0.0.1:$port/"
    sleep "$DEMO_SECONDS" &
else
    say "Staying up until Ctrl-C: http://127.0.0.1:$port/"
    sleep infinity &
fi
pids+=($!)
wait $!
exit 0
