#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The programs in docs/GUIDE.md and README.md must compile without a warning against
# the library of this build, and run; and docs/GUIDE.md must describe each capability
# in the words of `writewatch probe`.
top=$(cd "$(dirname "$0")/../../.." && pwd)
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0
unset WW_BACKEND WW_DEBUG WW_DISABLE

fail() {
    printf 'FAILED: %s\n' "$*"
    failed=1
}

# ---- programs ----

# compile SOURCE MODE TARGET [WHAT ELSE...]
compile() {
    source=$1 mode=$2 target=$3
    shift 3
    "$build/libtool" --quiet --tag=CC --mode="$mode" ${WW_CC:-cc} -std=gnu11 -Wall -Wextra \
        -Wno-unused-function -Werror -I"$top/include" -pthread -o "$target" "$source" "$@"
}

try() {
    name=${1##*/} name=${name%.c}
    if ! grep -q '^int main(' "$1"; then
        compile "$1" compile "$work/$name.lo" -c || fail "$name does not compile"
        return
    fi
    compile "$1" link "$work/$name" -no-install "$build/libwritewatch.la" || {
        fail "$name does not compile"
        return
    }
    case $("$build/writewatch" probe --json) in
    *'"library_backend":"none"'*) echo "$name: compiles; nothing tracks writes here" && return ;;
    esac
    said=$("$work/$name" 2>&1)
    status=$?
    echo "$name: exit code $status${said:+: $said}"
    [ $status = 0 ] || [ $status = 77 ] || fail "$name"
}

cd "$top" || exit 1
awk -v folder="$work" -v prefix=guide -v strict=1 -f tests/system/docs/blocks.awk docs/GUIDE.md || failed=1
awk -v folder="$work" -v prefix=readme -f tests/system/docs/blocks.awk README.md || failed=1
for source in "$work"/*.c; do
    [ -e "$source" ] || fail "docs/GUIDE.md has no program"
    try "$source"
done

# ---- texts of programs ----

# has DOCUMENT SAYS FILE...: the document must have all texts in statements of these files that match SAYS.
has() {
    document=$1 says=$2
    shift 2
    awk -v says="$says" -f tests/system/docs/messages.awk "$@" >"$work/messages"
    [ -s "$work/messages" ] || fail "no message was found in $*"
    while IFS='	' read -r where text; do
        grep -qF -- "$text" "$document" || fail "$document lacks what $where says: $text"
    done <"$work/messages"
    echo "$document: $(wc -l <"$work/messages") texts of $(echo "$@" | wc -w) files"
}

has docs/GUIDE.md 'capabilities\\[\\]=' $(find programs -name probe.c)
exit $failed
