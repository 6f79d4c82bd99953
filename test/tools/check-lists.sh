#!/bin/bash
# Fails when a source, header or test is in the tree but not in Makefile.am, and so would be missing from builds and tarballs.
set -eu
cd "${srcdir:-$(dirname "$0")/../..}"

missing=0
while read -r file; do
    name=$file
    case $file in test/unit/*_test.c) name=${file%.c} ;; esac
    if ! grep -qE "(^|[[:space:]])${name//./\\.}([[:space:]]|\$)" Makefile.am; then
        echo "Makefile.am does not name $file"
        missing=1
    fi
done < <(find src include test -type f \( -name '*.c' -o -name '*.h' -o -name '*.py' -o -name '*.sh' -o -name '*.in' \) | sort)

# The other way round: names of files that are gone. (In a tarball automake itself would have noticed.)
for file in $(grep -oE '(^|[[:space:]])(src|include|test)/[A-Za-z0-9_./-]+\.(c|h|py|sh|in)([[:space:]]|$)' Makefile.am | sort -u); do
    if [ ! -e "$file" ]; then
        echo "Makefile.am names $file, which does not exist"
        missing=1
    fi
done
exit $missing
