#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every message that a user can meet must stand, with cause and remedy, in exactly one section DIAGNOSTICS of the
# command's manual pages, word for word except for what printf() fills in: in the page of the subcommand, in
# writewatch(1) for messages of all of them, or in a page to which the section leads. docs/TROUBLESHOOTING.md must not
# repeat them.
top=$(cd "$(dirname "$0")/../../.." && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
    printf 'FAILED: %s\n' "$*"
    failed=1
}

command -v mandoc >/dev/null || {
    echo "skipped: mandoc is not installed"
    exit 77
}
cd "$top" || exit 1

# ---- the sections, as people read them and as they are written ----

# read_page PAGE: prints the section without line ends, so that no message is broken.
read_page() {
    mandoc -T ascii -O width=1000 "$1" | sed 's/.\x08//g' | awk '/^[A-Z]/{ inside = $1 == "DIAGNOSTICS" } inside' |
        awk '{ sub(/^ +/, ""); printf "%s%s", $0, /-$/ ? "" : " " }' | tr -s ' '
}

pages=
for page in man/writewatch*.1; do
    name=${page#man/writewatch} name=${name%.1} name=${name#-}
    pages="$pages ${name:=overview}"
    read_page "$page" >"$work/$name.text"
    [ -s "$work/$name.text" ] || fail "$page has no section DIAGNOSTICS"
    awk '/^\.Sh /{ inside = $2 == "DIAGNOSTICS" } inside' "$page" >"$work/$name.source"
    sed -n 's/^\.Xr writewatch-\([a-z]*\) 1.*/\1/p' "$work/$name.source" | sort -u >"$work/$name.leads"
done

# Of messages that share a remedy, one below the other, the last has it.
for name in $pages; do
    awk -v name="$name" '
        /^\.It / { message = $0; next }
        /^\.El/ && message != "" { print name ": no cause or remedy for " message; failed = 1 }
        /^\.(Bl|Ss|Sh)/ { next }
        { message = "" }
        END { exit failed }' "$work/$name.source" || failed=1
done
for name in $pages; do
    sed -n 's/^\.It "\(.*\)"$/\1/p' "$work/$name.source"
done >"$work/heads"
[ "$(wc -l <"$work/heads")" -gt 100 ] || fail "the pages have $(wc -l <"$work/heads") messages only"
twice=$(sort "$work/heads" | uniq -d)
[ -z "$twice" ] || fail "in two places: $twice"
while IFS= read -r head; do
    ! grep -qF -- "\`$head\`" docs/TROUBLESHOOTING.md || fail "docs/TROUBLESHOOTING.md has again what a manual page has: $head"
done <"$work/heads"

# ---- messages in the sources ----

# has PAGES SAYS FILE...: these pages must have all texts in statements of the files that match SAYS.
has() {
    homes=$1 says=$2
    shift 2
    : >"$work/homes"
    for home in $homes; do
        cat "$work/$home.text" >>"$work/homes"
    done
    awk -v says="$says" -f tests/system/docs/messages.awk "$@" >"$work/messages"
    while IFS='	' read -r where text; do
        grep -qF -- "$text" "$work/homes" || fail "no cause and remedy in the pages of$(printf ' %s' $homes): $where says: $text"
    done <"$work/messages"
    count=$(wc -l <"$work/messages")
    total=$((total + count))
    [ "$count" = 0 ] || echo "$count texts of $*: in $homes"
}

# some NR: at least NR texts must have been found since the last call, or a pattern is out of date.
some() {
    [ "$total" -ge "$1" ] || fail "$total messages were found where there were $1"
    total=0
}

total=0
has run 'stay_out\\(|say\\(|return@' dlls/ntdll/*.c
some 15
# A file that is named for a subcommand belongs to its page; the others are parts of several subcommands.
for file in $(find programs -name '*.c' | sort); do
    name=${file##*/} name=${name%.c}
    if [ -f "$work/$name.leads" ]; then
        homes="overview $name $(tr '\n' ' ' <"$work/$name.leads")"
    else
        homes=$pages
    fi
    has "$homes" 'fprintf\\(stderr|fprintf\\(out,PROGRAM|usage_error\\(|wrong_number\\[\\]=|warn_without\\(' "$file"
done
some 90
has 'doctor probe run' 'FINDING_(FIX|NOTE),|remedy=|report\\[\\]=|above\\[\\]=' \
    programs/doctor.c programs/doctor/*.c
some 40
has probe 'printf\\(|print_sysctl\\(' programs/probe.c
some 15
has 'scan probe' 'ret_text,' programs/scan.c
has 'run probe doctor' '\\.reason=|\\.remedy=|return(PRELOAD_NAME)?@' programs/common/survey.c
has bench 'bench_wrong\\(|bench_note\\(|bench_remark\\(|ret_reason=|report->message' \
    programs/bench/*.c
has 'probe scan' 'refusals\\[\\]=|steps\\[WW_NR_STEPS\\]=|append\\(words->|probe\\.reason=' linux/kernel/refusal.c linux/backend.c
some 120
exit $failed
