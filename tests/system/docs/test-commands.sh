#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The examples of the command's manual pages (section 1): each is typed as it stands, those of a page one after the other
# in one folder, and must end with exit code 0. Programs that only look like Wine's loader stand for `wine` and
# `umu-run`. What is not typed has its reason here.
. "$(dirname "$0")/../../common/expect.sh"
top=$(cd "$(dirname "$0")/../../.." && pwd)
unit=$build/tests/system/preload
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
unset WW_BACKEND WW_DEBUG WW_DISABLE WW_STATS LD_PRELOAD
nr=0
works=yes
"$ww" probe >/dev/null || works=no

# ---- the programs that the examples name ----

mkdir "$work/bin"
printf '#!/bin/sh\nexec "%s" "$@"\n' "$ww" >"$work/bin/writewatch"
# It attaches wherever uffd works, as Wine does, and ends with exit code 0 only if its writes were watched.
attached=patched
[ $works = yes ] || attached=untouched
printf '#!/bin/sh\n[ "$1" = game.exe ] && exec "%s" "%s" %s\n' "$unit/attach-host-system" "$unit/fake-system/ntdll.so" \
    $attached >"$work/bin/wine"
cp "$work/bin/wine" "$work/bin/umu-run"
chmod 755 "$work/bin"/*
PATH=$work/bin:$PATH

# ---- how each is typed ----

# type COMMAND
type_in() {
    nr=$((nr + 1))
    (cd "$work/$page" && timeout 600 sh -c "$1") >"$work/out" 2>&1 </dev/null
    status=$?
    [ $status = 0 ] || fail "writewatch $page: '$1': exit code $status: $(tail -n 5 "$work/out")"
    echo "$page: $1: exit code $status"
}

# needs PROGRAM COMMAND
needs() {
    if command -v "$1" >/dev/null; then
        type_in "$2"
    else
        missing "$page: $2: $1 is not installed"
    fi
}

# needs_tracking COMMAND
needs_tracking() {
    if [ $works = yes ]; then
        needs gnuplot "$1"
    else
        missing "$page: $1: uffd does not work here, and there is nothing to record"
    fi
}

try() {
    case $1 in
    'writewatch run -- %command%' | 'writewatch run --')
        missing "$page: $1: a setting of Steam, Bottles or Lutris, which put the command behind it"
        ;;
    '$ writewatch doctor')
        missing "$page: $1: needs Wine; tests/system/wine/test-doctor.sh runs it"
        ;;
    '$ writewatch top')
        missing "$page: $1: needs a terminal and somebody who ends it"
        ;;
    *' &') type_in "$(echo "${1#\$ }" | sed 's/ &$//')" ;; # its exit code is that of the command in the foreground
    *--pid=1234*) type_in "$(echo "${1#\$ }" | sed 's/1234/$$/')" ;; # the shell that types it stands for the process
    *'| jq '*) needs jq "${1#\$ }" ;;
    *' bench '*) needs gnuplot "${1#\$ } --quick --rounds=1" ;; # in full it takes minutes
    '$ writewatch record '* | '$ writewatch plot '*) needs_tracking "${1#\$ }" ;;
    '$ writewatch run '*) type_in "${1#\$ }" ;;
    *) fail "writewatch $page: nobody says here how to type '$1'" ;;
    esac
}

for file in "$top"/man/writewatch*.1; do
    page=${file##*/writewatch} page=${page%.1} page=${page#-}
    page=${page:-overview}
    mkdir "$work/$page"
    awk '/^\.Sh /{ inside = $2 == "EXAMPLES" }
        inside && /^\.D[1l] /{ sub(/^\.D[1l] /, ""); gsub(/\\-/, "-"); gsub(/\\&/, ""); gsub(/\\e/, "\\"); print }
        inside && /^\.Bd /{ print "a block: " FILENAME ":" FNR }' "$file" >"$work/$page.examples"
    while IFS= read -r example; do
        try "$example"
    done <"$work/$page.examples"
done
# Fewer than there are mean that they are not found any more.
[ $nr -ge 8 ] || [ $works = no ] || ! command -v gnuplot >/dev/null || fail "only $nr examples were typed"

# ---- what the examples promise ----

if [ $works = yes ]; then
    [ "$(cd "$work/probe" && writewatch probe --json | jq -r .wine_backend 2>/dev/null)" = uffd ] || ! command -v jq >/dev/null ||
        fail "probe: the backend for Wine is not uffd"
    for picture in bench/pictures/region-size-clean.svg plot/game.ww.plot/pages.svg record/game.ww.plot/heat.png; do
        [ -s "$work/$picture" ] || ! command -v gnuplot >/dev/null || fail "there is no picture $picture"
    done
fi
exit $failed
