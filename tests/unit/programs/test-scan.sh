#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# writewatch scan: its output for a process whose memory is known, from both sources; and one clear line with the
# documented exit code for each mistake of the user.
. "$(dirname "$0")/../../common/expect.sh"
known=$build/tests/unit/programs/known-pages
unset WW_PAGEMAP

# expect_all TEXT COMMAND...: exit code 0, exactly this on stdout, nothing on stderr.
expect_all() {
    wanted=$1
    shift
    out=$("$@" 2>&1 </dev/null)
    status=$?
    if [ $status != 0 ] || [ "$out" != "$wanted" ]; then
        fail "$*: exit code $status, and
$out
where this was expected:
$wanted"
    fi
}

expect_usage() {
    expect_usage_of scan "$@"
}

# ---- a process that changes nothing, with eight pages from an address that it prints:
#      written written untouched written  then no mapping, then shared: written, untouched, written ----
fifo=$(mktemp -d)
mkfifo "$fifo/address"
"$known" >"$fifo/address" &
pid=$!
trap 'kill $pid 2>/dev/null; rm -rf "$fifo"' EXIT
read -r a0 a2 a3 a4 a5 a6 a7 a8 <"$fifo/address"
pages() { printf '%s %10s %s' "$1-$2" "$3" "$4"; }

for source in ioctl read; do
    WW_PAGEMAP=$source
    export WW_PAGEMAP
    if ! "$ww" scan --pid=$pid --max-pages=1 >/dev/null 2>&1; then
        echo "SKIP source $source: it does not work here"
        continue
    fi
    expect_all "$(pages $a0 $a2 2 present)
$(pages $a3 $a4 1 present)
$(pages $a5 $a6 1 file,present)
$(pages $a7 $a8 1 file,present)
total: 5 pages in 4 regions" "$ww" scan --pid=$pid --range=$a0-$a8 --return=present,file
    expect_all "$(pages $a2 $a3 1 -)
$(pages $a6 $a7 1 -)
total: 2 pages in 2 regions" "$ww" scan --pid $pid --range 0x$a0-0x$a8 --exclude present,swapped --return file
    expect_all "$(pages $a5 $a6 1 file)
$(pages $a7 $a8 1 file)
total: 2 pages in 2 regions" "$ww" scan --pid=$pid --range=$a0-$a8 --require=file,present --return=file
    expect_all "$(pages $a0 $a2 2 present)
$(pages $a3 $a4 1 present)
total: 3 pages in 2 regions" "$ww" scan --pid=$pid --range=$a0-$a8 --any=present --exclude=file --return=present
    expect_all "$(pages $a7 $a8 1 present)
$(pages $a3 $a4 1 present)
total: 2 pages in 2 regions" "$ww" scan --pid=$pid --range=$a7-$a8 --range=$a2-$a4 --return=present
    expect_all "$(pages $a0 $a2 2 present)
total: 2 pages in 1 region; stopped by --max-pages" \
        "$ww" scan --pid=$pid --range=$a0-$a8 --max-pages=2 --return=present
    expect_all "$(pages $a3 $a4 1 -)
$(pages $a5 $a6 1 -)
total: 2 pages in 2 regions; stopped by --max-pages" \
        "$ww" scan --pid=$pid --range=$a3-$a4 --range=$a5-$a8 --max-pages=2 --return=swapped
    expect_all "total: 0 pages in 0 regions" "$ww" scan --pid=$pid --range=$a4-$a5
    # The whole process holds these pages too, and more.
    expect 0 "^$a0-$a2 .*present" "$ww" scan --pid=$pid
    expect 0 '^total: [1-9][0-9]* pages in [1-9][0-9]* regions$' "$ww" scan --pid=$pid
    expect 0 "\"source\":\"$source\"" "$ww" scan --pid=$pid --json

    if command -v python3 >/dev/null; then
        "$ww" scan --pid=$pid --range=$a0-$a8 --json --return=present,file | python3 -c '
import json, sys
o = json.load(sys.stdin)
pid, page, source = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
a = [int(x, 16) for x in sys.argv[4:]]
want = [(a[0], a[1], ["present"]), (a[2], a[3], ["present"]),
        (a[4], a[5], ["file", "present"]), (a[6], a[7], ["file", "present"])]
assert o["pid"] == pid and o["source"] == source and o["page_size"] == page, o
assert [(r["start"], r["end"], r["categories"]) for r in o["regions"]] == want, o
assert all(r["pages"] == (r["end"] - r["start"]) // page for r in o["regions"]), o
assert o["nr_regions"] == 4 and o["nr_pages"] == 5 and o["returned"] == ["file", "present"], o
assert o["complete"] is True and o["error"] is None, o
' $pid "$(getconf PAGESIZE)" $source $a0 $a2 $a3 $a4 $a5 $a6 $a7 $a8 || fail "JSON, $source"
        "$ww" scan --pid=$pid --range=$a4-$a5 --json | python3 -c '
import json, sys
o = json.load(sys.stdin)
assert o["regions"] == [] and o["nr_pages"] == 0 and o["complete"] is True, o' || fail "empty JSON, $source"
        "$ww" scan --pid=$pid --max-pages=1 --json | python3 -c '
import json, sys
o = json.load(sys.stdin)
assert o["nr_pages"] == 1 and o["complete"] is False and o["error"] is None, o' || fail "cut JSON, $source"
    fi
done

# ---- categories that a source does not know, and kernels that lack the ioctl ----
WW_PAGEMAP=read
expect 77 'huge, wpallowed cannot be told here (by read)\|wpallowed, huge cannot be told here (by read)' \
    "$ww" scan --pid=$pid --require=huge --return=wpallowed
WW_PAGEMAP=bogus
expect 1 "cannot be read: WW_PAGEMAP is neither 'ioctl' nor 'read'; unset it$" "$ww" scan --pid=$pid
unset WW_PAGEMAP
if [ -x "$deny" ]; then
    expect 0 '"source":"read"' "$deny" pagemap_scan ENOTTY "$ww" scan --pid=$pid --json
    expect 77 'PAGEMAP_SCAN fails (ENOTTY): the kernel has no such request; unset WW_PAGEMAP, or ' \
        env WW_PAGEMAP=ioctl "$deny" pagemap_scan ENOTTY "$ww" scan --pid=$pid
    # The step decides what an errno means: that of another step would be a wrong file or a wrong option.
    for error in EPERM EACCES ENOSYS; do
        expect 1 "PAGEMAP_SCAN fails ($error): a sandbox denies this request; allow this ioctl" \
            env WW_PAGEMAP=ioctl "$deny" pagemap_scan $error "$ww" scan --pid=$pid
    done
    for error in ENOENT EINVAL; do
        expect 1 "^writewatch: the pages of process $pid cannot be read: PAGEMAP_SCAN fails ($error)$" \
            env WW_PAGEMAP=ioctl "$deny" pagemap_scan $error "$ww" scan --pid=$pid
    done
    expect 1 'PAGEMAP_SCAN fails (EIO)$' env WW_PAGEMAP=ioctl "$deny" pagemap_scan 5 "$ww" scan --pid=$pid
fi

# ---- processes that do not exist, or that the user may not access ----
none='cannot be read: /proc/PID/pagemap cannot be opened (ESRCH): the process does not exist'
expect 1 "^writewatch: the pages of process 4194305 $none" "$ww" scan --pid=4194305
expect 1 "^writewatch: the pages of process 2147483647 $none" "$ww" scan --pid=2147483647
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    cp "$ww" "$fifo/writewatch" && chmod 755 "$fifo" "$fifo/writewatch"
    expect 1 'process 1 cannot be read: /proc/PID/pagemap cannot be opened (EACCES): .*; run this .*as root$' \
        setpriv --reuid=65534 --regid=65534 --clear-groups "$fifo/writewatch" scan --pid=1
else
    echo "SKIP process 1 as nobody: needs root and setpriv"
fi

if [ "$(id -u)" = 0 ] && unshare --mount --propagation private true 2>/dev/null; then
    expect 1 '/proc/PID/pagemap cannot be opened (ENOENT): there is no /proc, .*; mount /proc, ' \
        unshare --mount --propagation private sh -c "mount -t tmpfs none /proc && exec '$ww' scan --pid=$pid"
else
    echo "SKIP no /proc: needs root and unshare"
fi

# ---- the command line ----
expect 0 '^usage: writewatch scan' "$ww" scan --help
expect 0 '^usage: writewatch scan' "$ww" help scan
expect_usage 'no process; give one with --pid=PID'
expect_usage 'no process; give one' --json
for bad in '' 0 -1 1x x 2147483648 99999999999999999999 ' 1' +1; do
    expect_usage 'is not a process ID' --pid="$bad"
done
for bad in '' - 1 1- -1 1-x x-1 1-2-3 ' 1-2' 1-+2 10000000000000000-20000000000000000 0x-1; do
    expect_usage 'is not a range of hexadecimal addresses' --pid=$pid --range="$bad"
done
expect_usage 'is empty' --pid=$pid --range=2000-1000
expect_usage 'is empty' --pid=$pid --range=1000-1000
for bad in '' 0 -1 1k 99999999999999999999; do
    expect_usage 'is not a number of pages' --pid=$pid --max-pages="$bad"
done
for option in require any exclude return; do
    for bad in '' nonsense present, ,present Present 'present swapped' presen presentt; do
        expect_usage "--$option has no category '.*'; there are: wpallowed, written, file" --pid=$pid --$option="$bad"
    done
done
expect_usage 'present cannot be asked for and excluded at once' --pid=$pid --require=present --exclude=file,present
expect_usage 'file, present cannot be asked for and excluded' --pid=$pid --any=present,file --exclude=file,present
expect_usage "scan takes no 'that'" --pid=$pid that
expect_usage "unknown option '--nonsense'" --nonsense
expect_usage "option '--pid' needs a value" --pid
expect 1 'cannot write' sh -c "'$ww' scan --pid=$pid >/dev/full"
expect 1 'cannot write' sh -c "'$ww' scan --pid=$pid --json >/dev/full"

# ---- random arguments: the command ends with an exit code, never by a signal ----
seed=1
draw() { # sets $drawn to a number below $1
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    drawn=$((seed / 65536 % $1))
}
# shellcheck disable=SC2016
set -- --pid --range --require --any --exclude --return --max-pages --json --help -h -- - -x --p --m=1 \
    "$pid" "--pid=$pid" "--pid=$pid" 0 1 -1 '' ' ' '%s%n' , ,, present 'present,,file' written,huge \
    wpallowed,written,file,present,swapped,pfnzero,huge,soft-dirty,guard 0-1 "$a0-$a8" "--range=$a0-$a8" \
    0-ffffffffffffffff ffffffffffffffff-ffffffffffffffff fffffffffffff000-ffffffffffffffff 8000000000000000-0 \
    99999999999999999999999999 18446744073709551615 "$(printf '\377\001')" \
    "$(printf '%5000s' x)" --max-pages=18446744073709551615 --max-pages=1 --any=present --exclude=present
count=$#
round=0
while [ $round -lt 300 ]; do
    round=$((round + 1))
    draw 6
    nr=$((drawn + 1))
    arguments=
    while [ $nr -gt 0 ]; do
        nr=$((nr - 1))
        draw $count
        arguments="$arguments \"\${$((drawn + 1))}\""
    done
    eval "timeout 60 \"\$ww\" scan $arguments" </dev/null >/dev/null 2>"$fifo/errors"
    status=$?
    case $status in
        0 | 1 | 77) ;;
        *) fail "exit code $status with: $(eval "printf '%s ' $arguments" | cut -c1-300)" ;;
    esac
    [ "$(wc -l <"$fifo/errors")" -le 2 ] || fail "long message with: $(eval "printf '%s ' $arguments" | cut -c1-300)"
done
exit $failed
