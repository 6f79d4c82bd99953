#!/bin/bash
# The floor rule: a file includes only from floors below its own and from its own folder; siblings never include each other. The
# first half looks at #include lines, the second, once the libraries are built, at what their objects really call.
set -eu
build=$(cd "${builddir:-.}" && pwd)
cd "${srcdir:-$(dirname "$0")/../..}"

declare -A floor=([base]=0 [http]=1 [net]=1 [work]=1 [conf]=1 [obs]=1 [wire]=2 [engine]=3 [ctl]=3 [lb]=4 [load]=4 [origin]=4 [page]=4 [bin]=5 [bench]=5)
bad=0

for dir in src/*/ include/*/; do
    folder=$(basename "$dir")
    if [ -z "${floor[$folder]-}" ]; then
        echo "$dir: a folder without a floor; see doc/architecture.md and this script"
        bad=1
    fi
done

# FILE:LINE:#include "FOLDER/NAME"
while IFS=: read -r file line include; do
    folder=${file#*/} folder=${folder%%/*}
    other=${include#*\"} other=${other%%/*}
    if [ -z "${floor[$other]-}" ] || [ -z "${floor[$folder]-}" ]; then
        continue
    fi
    if [ "$folder" != "$other" ] && [ "${floor[$other]}" -ge "${floor[$folder]}" ]; then
        echo "$file:$line: $folder (floor ${floor[$folder]}) includes from $other (floor ${floor[$other]})"
        bad=1
    fi
done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"[a-z]+/' --include='*.[ch]' src include)

# Every symbol that a library wants and another of ours has: that other must lie below.
if [ -e "$build/src/base/libbase.a" ]; then
    symbols=$(mktemp)
    trap 'rm -f "$symbols"' EXIT
    for folder in "${!floor[@]}"; do
        lib=$build/src/$folder/lib$folder.a
        [ ! -e "$lib" ] || ${NM:-nm} -P -g "$lib" 2>/dev/null |
            awk -v folder="$folder" -v floor="${floor[$folder]}" 'NF >= 2 && $2 ~ /^[A-Z]$/ { print ($2 == "U" ? "U" : "D"), $1, folder, floor }'
    done | sort -u >"$symbols" # "D" lines sort before "U" lines
    awk '$1 == "D" { owner[$2] = $3; floor[$2] = $4 }
         $1 == "U" && ($2 in owner) && owner[$2] != $3 && floor[$2] >= $4 {
             print "lib" $3 ".a (floor " $4 ") calls " $2 " of lib" owner[$2] ".a (floor " floor[$2] ")"; bad = 1 }
         END { exit bad }' "$symbols" || bad=1
fi
exit $bad
