#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the documents promise: the programs in docs/GUIDE.md and README.md compile
# without a warning against the library of this build, and run; links lead somewhere;
# and docs/TROUBLESHOOTING.md has every message that a user can see, word for word up
# to what is filled in.
top=$(cd "$(dirname "$0")/../.." && pwd)
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
awk -v folder="$work" -v prefix=guide -v strict=1 -f tests/docs/blocks.awk docs/GUIDE.md || failed=1
awk -v folder="$work" -v prefix=readme -f tests/docs/blocks.awk README.md || failed=1
for source in "$work"/*.c; do
    [ -e "$source" ] || fail "docs/GUIDE.md has no program"
    try "$source"
done

# ---- links; a source archive need not have all that they lead to ----

for document in docs/GUIDE.md docs/TROUBLESHOOTING.md; do
    [ -e .git ] || break
    for link in $(grep -o '](\([^)#]*\)' "$document" | sed 's/^](//'); do
        case $link in
        *:*) ;;
        *) [ -e "docs/$link" ] || fail "$document: there is no $link" ;;
        esac
    done
done

# ---- messages ----

# has DOCUMENT SAYS FILE...: all that these files say is in the document.
has() {
    document=$1 says=$2
    shift 2
    awk -v says="$says" -f tests/docs/messages.awk "$@" >"$work/messages"
    [ -s "$work/messages" ] || fail "no message was found in $*"
    while IFS='	' read -r where text; do
        grep -qF -- "$text" "$document" || fail "$document lacks what $where says: $text"
    done <"$work/messages"
    echo "$document: $(wc -l <"$work/messages") texts of $(echo "$@" | wc -w) files"
}

has docs/TROUBLESHOOTING.md 'stay_out\\(|say\\(|return@' dlls/ntdll/*.c
has docs/TROUBLESHOOTING.md 'fprintf\\(stderr|fprintf\\(out,PROGRAM|usage_error\\(|wrong_number\\[\\]=|warn_without\\(' programs/*.c programs/*/*.c
has docs/TROUBLESHOOTING.md 'FINDING_(FIX|NOTE),|remedy=|report\\[\\]=|above\\[\\]=' programs/doctor.c programs/doctor/*.c
has docs/TROUBLESHOOTING.md 'printf\\(|print_sysctl\\(' programs/probe.c
has docs/TROUBLESHOOTING.md 'reasons\\[\\]=' programs/scan.c
has docs/TROUBLESHOOTING.md '\\.reason=|\\.remedy=|return(PRELOAD_NAME)?@' programs/common/survey.c
has docs/TROUBLESHOOTING.md 'bench_wrong\\(|bench_note\\(|bench_remark\\(|ret_reason=|report->message' \
    programs/bench/*.c
has docs/TROUBLESHOOTING.md 'refusals\\[\\]=|steps\\[WW_NR_STEPS\\]=|append\\(words->|probe\\.reason=' linux/*.c
has docs/GUIDE.md 'capabilities\\[\\]=' programs/probe.c
exit $failed
