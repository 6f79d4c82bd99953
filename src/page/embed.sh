#!/bin/sh
# Prints the files as C: of each, `static const unsigned char NAME_TYPE_bytes[]`. Needs what every build has, and od and sed.
set -eu
for file; do
    name=$(basename "$file" | tr . _)
    echo "static const unsigned char ${name}_bytes[] = {"
    od -An -v -tx1 "$file" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
    echo "};"
done
