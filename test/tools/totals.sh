#!/bin/bash
# totals.sh BUILD-DIR...: what make check left there, summed up in one line "N passed, M failed[, K skipped]". What Check and
# unittest count is taken from the logs; a script is one test.
set -eu
[ $# -gt 0 ] || set -- .

find "$@" -name '*.trs' -type f | sort | {
    passed=0 failed=0 skipped=0
    while read -r trs; do
        result=$(sed -n 's/^:test-result: \([A-Z]*\).*/\1/p' "$trs" | head -1)
        log=${trs%.trs}.log
        # "passed failed skipped" of this log
        read -r p f s < <(awk '
            /^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
                gsub(/[%:,]/, " "); f += $5 + $7; p += $3 - $5 - $7 }
            /^Ran [0-9]+ tests? in / { ran += $2 }
            /^(OK|FAILED)( \(.*\))?$/ && ran > seen {
                seen = ran
                gsub(/[(),]/, " ")
                for (i = 2; i <= NF; i++) {
                    split($i, kv, "=")
                    if (kv[1] == "failures" || kv[1] == "errors") uf += kv[2]
                    if (kv[1] == "skipped") us += kv[2]
                } }
            END { p += ran - uf - us; if (p < 0) p = 0; print p + 0, f + uf, us + 0 }' "$log" 2>/dev/null || echo 0 0 0)
        case $result in
        PASS) [ $((p + f + s)) -gt 0 ] || p=1 ;;
        SKIP) [ $((p + f + s)) -gt 0 ] || s=1 ;;
        *) # died, or found something after its last test
            if [ "$f" -eq 0 ]; then
                f=1
            fi
            ;;
        esac
        passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    done
    if [ "$skipped" -gt 0 ]; then
        echo "$passed passed, $failed failed, $skipped skipped"
    else
        echo "$passed passed, $failed failed"
    fi
}
