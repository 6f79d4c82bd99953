#!/bin/bash
# check-clang.sh CLANG: whether it is there and has libFuzzer.
program=$(mktemp) || exit 1
trap 'rm -f "$program"' EXIT
if ! command -v "$1" >/dev/null; then
    echo "fuzzing needs clang, and there is no $1 (Debian: clang libclang-rt-dev). To install what testing needs: ./autogen.sh --deps" >&2
    exit 1
fi
if ! echo 'int LLVMFuzzerTestOneInput(const unsigned char *data, unsigned long size) { return data && size ? 0 : -1; }' |
    "$1" -fsanitize=fuzzer,address,undefined -x c -o "$program" - 2>/dev/null; then
    echo "fuzzing needs clang's libFuzzer and sanitizers, and $1 lacks them (Debian: libclang-rt-dev). To install what testing needs: ./autogen.sh --deps" >&2
    exit 1
fi
