#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# check-models.sh [MODEL...]: searches every state of each model in this folder, or of those named: as it is, when no
# assertion may fail, and once for each word of its line "MUTATIONS:", when one must. Exit code 77: spin is missing.
set -u

top=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/models.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
trap 'exit 99' HUP INT TERM
command -v spin >/dev/null || {
    echo "SKIP: spin is not installed (Debian: spin)"
    exit 77
}
cd "$work" || exit 99
failed=0

# search MODEL [-DNAME]: prints how many errors spin finds, and in how many states; fails if the search is incomplete.
search() {
    rm -f pan* ./*.trail
    spin ${2:+"$2"} -a "$top/$1.pml" >said 2>&1 &&
        ${CC:-cc} -O2 -w -DSAFETY -o pan pan.c >>said 2>&1 &&
        ./pan -m1000000 >said 2>&1
    if ! grep -q '^State-vector' said || grep -q 'max search depth too small\|out of memory\|Search not completed' said &&
        ! grep -q 'errors: [1-9]' said; then
        cat said >&2
        return 1
    fi
    sed -n 's/.*errors: \([0-9]*\).*/\1/p; s/^ *\([0-9.e+]*\) states, stored.*/\1/p' said | tr '\n' ' '
}

# check MODEL WANTED [-DNAME]: WANTED is 0 if no error may be found, 1 if one must.
check() {
    name="$1${3:+ $3}"
    if ! found=$(search "$1" ${3:+"$3"}); then
        echo "FAILED: $name: not searched as a whole"
        failed=1
        return
    fi
    set -- "$2" $found
    if [ $(($2 > 0)) = "$1" ]; then
        echo "$name: $([ "$1" = 0 ] && echo "holds in" || echo "fails, as it must, after") $3 states"
    else
        echo "FAILED: $name: $([ "$1" = 0 ] && sed -n 's/^pan:1: //p' said || echo "nothing fails without this guard")"
        failed=1
    fi
}

[ $# -gt 0 ] || set -- $(cd "$top" && ls *.pml | sed 's/\.pml$//')
for model; do
    mutations=$(sed -n 's/^ \* MUTATIONS: //p' "$top/$model.pml")
    [ -n "$mutations" ] || {
        echo "FAILED: $model: no line 'MUTATIONS:'"
        failed=1
    }
    check "$model" 0
    for mutation in $mutations; do
        check "$model" 1 "$mutation"
    done
done
exit $failed
