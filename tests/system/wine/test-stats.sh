#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The statistics of a Windows program: from run --stats, from top and record while it runs, from plot afterwards.
# watch.exe writes to three pages, gets and resets them, writes to a fourth and gets it: two gets, four pages. Other
# programs serve to test that the command's exit code and signals arrive, that no files are left, and that bad input
# gives one clear line.
. "$(dirname "$0")/env.sh"
. "$(dirname "$0")/../../common/expect.sh"
need_program watch.exe
need_kernel
make_prefix
. "$(dirname "$0")/../../common/runtime.sh"

# number NAME FILE: prints the first number of this name in a JSON file.
number() {
    sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" "$2" | head -n 1
}

# ---- run --stats ----

out=$("$ww" run --stats -- wine "$pe/watch.exe" 2>&1 >"$here/said")
[ "$(tr -d '\r' <"$here/said" | tail -n 1)" = "dirty pages: 2" ] || fail "watch.exe said: $(cat "$here/said")"
for line in '^writewatch: statistics of [0-9.]* s$' '^watch.exe (pid [0-9]*): backend uffd, ' \
    'watched regions  *1 in all, 0 at the end, 0 B$' 'NtGetWriteWatch  *2 calls, 0 failed;' \
    'pages reported  *4, 2.0 a get, at most 3; 0 gets found none;' 'left to Wine  *0 gets, 0 resets, 0 watches$'; do
    echo "$out" | grep -q "$line" || fail "run --stats: no line like \"$line\" in:
$out"
done
# Wine's own processes are counted if none of them ran before.
! echo "$out" | grep ' more processes' | grep -qv '^[1-9][0-9]* more processes had the preload and used no write watches\.$' ||
    fail "run --stats: $out"
nothing_left "run --stats"

"$ww" run --stats="$here/stats.json" -- wine "$pe/watch.exe" >/dev/null 2>"$here/said" || fail "run --stats=FILE: exit code $?"
! grep -q '^writewatch' "$here/said" || fail "run --stats=FILE said: $(cat "$here/said")"
sed -n '/"name": *"watch.exe"/,/"regions":/p' "$here/stats.json" >"$here/watch.json"
for pair in pages=4 most_pages=3 regions_total=1 watched_bytes=0; do
    [ "$(number "${pair%=*}" "$here/watch.json")" = "${pair#*=}" ] || fail "stats.json: ${pair%=*} is not ${pair#*=}"
done

# The command's exit code and signals must be those of `writewatch run`.
expect 3 'no statistics: the preload has attached to no process' "$ww" run --stats -- sh -c 'exit 3'
"$ww" run --stats -- sh -c 'kill -TERM $$' >/dev/null 2>&1
[ $? = 143 ] || fail "a command that ended by SIGTERM: exit code $?"
"$ww" run --stats -- sh -c 'trap "exit 9" TERM; echo >"$0"; while :; do sleep 0.1; done' "$here/ready" 2>/dev/null &
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -f "$here/ready" ] || sleep 0.2; done
kill -TERM $!
wait $!
[ $? = 9 ] || fail "SIGTERM did not reach the command: exit code $?"
expect 127 "^writewatch: cannot run '/does/not/exist': No such file" "$ww" run --stats -- /does/not/exist
expect 3 '' env --ignore-signal=CHLD "$ww" run --stats -- sh -c 'exit 3'
nothing_left "what failed"
# The next run removes the folder of a run that was killed.
mkdir -p "$here/runtime/writewatch/run-killed"
chmod 700 "$here/runtime/writewatch"
: >"$here/runtime/writewatch/run-killed/1"
expect 0 'no statistics' "$ww" run --stats -- true
nothing_left "a later run"
# Without a folder for statistics the command must run. A folder that cannot be written is not tried: root can write
# any.
if [ "$(id -u)" = 0 ]; then
    ln -s /proc "$here/link"
    XDG_RUNTIME_DIR=$here/link expect 4 'no statistics: no folder for them' "$ww" run --stats -- sh -c 'exit 4'
fi
chmod 755 "$here/runtime"
mkdir -p "$here/runtime/writewatch"
chmod 755 "$here/runtime/writewatch"
expect 0 'no statistics: no folder for them: Operation not permitted' "$ww" run --stats -- true
rmdir "$here/runtime/writewatch"
out=$(WW_STATS="$here/none" WW_DEBUG=1 LD_PRELOAD=${WW_TEST_PRELOAD:-$build/.libs/libwritewatch-ntdll.so} wine "$pe/watch.exe" 2>&1)
echo "$out" | grep -q "^writewatch: no statistics in $here/none: No such file" || fail "WW_STATS without a folder: $out"
echo "$out" | grep -q 'dirty pages: 2' || fail "watch.exe without statistics: $out"

# ---- while it runs ----

expect 1 "^writewatch: nothing runs with --stats; start a program with 'writewatch run --stats -- ...'$" "$ww" top --json
if [ -f "$build/tests/stress/soak/soak.exe" ]; then
    # Without the threads that suspend others and those that write through Wine's server: all may wait seconds for them.
    MALLOC_ARENA_MAX=1 "$ww" run --stats -- wine "$build/tests/stress/soak/soak.exe" --seconds=25 --limit=60 --collectors=0 \
        --kernel-writers=0 >"$here/soak" 2>"$here/soak.err" &
    soak=$!
    for i in $(seq 60); do
        "$ww" top --json --interval=0.1 >"$here/top" 2>&1 && break
        sleep 0.5
    done
    "$ww" top --json --interval=2 >"$here/top.json" || fail "top --json: exit code $?"
    grep -q '"name": *"soak.exe"' "$here/top.json" || fail "top --json has no soak.exe"
    grep -q '"gets_per_s": *[1-9]' "$here/top.json" || fail "top --json: nothing is got: $(tail -n 9 "$here/top.json")"
    [ "$(grep -c '"parts"' "$here/top.json")" -gt 2 ] || fail "top --json: $(grep -c '"parts"' "$here/top.json") regions"
    pid=$(number pid "$here/top.json")
    expect 0 '' "$ww" record --pid="$pid" --seconds=2 --output="$here/record"
    [ "$(wc -l <"$here/record")" -gt 5 ] || fail "a record of $(wc -l <"$here/record") lines"
    # A record must end in time, also in the middle of an interval.
    began=$(date +%s)
    expect 0 '' "$ww" record --pid="$pid" --interval=60 --seconds=1 --output="$here/short"
    [ $(($(date +%s) - began)) -lt 30 ] && grep -q '"gets":[1-9]' "$here/short" || fail "record --pid --interval=60 --seconds=1: $(cat "$here/short")"
    "$ww" record --pid="$pid" --interval=60 --output="$here/until" 2>"$here/until.err" &
    until=$!
    # Without room the record must end with a whole line, and with a message.
    (
        ulimit -f 16
        trap '' XFSZ
        exec "$ww" record --pid="$pid" --interval=0.01 --seconds=9 --output="$here/full"
    ) >"$here/said" 2>&1
    status=$?
    [ $status = 1 ] && grep -q "the record in '$here/full' ends early, with its last whole line: File too large" "$here/said" ||
        fail "a full disk: exit code $status: $(cat "$here/said")"
    [ "$(wc -l <"$here/full")" -gt 2 ] && [ "$(tail -c 1 "$here/full" | od -An -c | tr -d ' ')" = '\n' ] ||
        fail "a full disk leaves half a line"
    if command -v tmux >/dev/null; then
        tmux -S "$here/tmux" -f /dev/null new-session -d -x 100 -y 24 "XDG_RUNTIME_DIR='$XDG_RUNTIME_DIR' '$ww' top; sleep 60"
        sleep 3
        tmux -S "$here/tmux" send-keys s
        sleep 2
        tmux -S "$here/tmux" capture-pane -p >"$here/screen"
        tmux -S "$here/tmux" kill-server
        # A terminal that is too small, and one of an unknown type.
        for size in '40 -y 5 xterm' '100 -y 24 bogus'; do
            tmux -S "$here/tmux-${size##* }" -f /dev/null new-session -d -x ${size% *} "XDG_RUNTIME_DIR='$XDG_RUNTIME_DIR' TERM=${size##* } \
                '$ww' top --pid=$pid 2>>'$here/small'; echo \"exit code \$?\" >>'$here/small'; sleep 60"
            sleep 2
            tmux -S "$here/tmux-${size##* }" kill-server
        done
        grep -q 'the terminal has 40x[0-9]* characters; make it 60x8 at least, or use --json' "$here/small" &&
            grep -q "the terminal type 'bogus' is not known; set TERM, or use --json" "$here/small" &&
            [ "$(grep -c '^exit code 1$' "$here/small")" = 2 ] || fail "top and terminals: $(cat "$here/small")"
        for line in "^soak.exe (pid $pid), uffd, for 0:0[01]:" 'Sorted by pages' 'ADDRESS .* WHERE' '^ *[0-9a-f]* .* |.*|$'; do
            grep -q "$line" "$here/screen" || fail "top: no line like \"$line\" in:
$(cat "$here/screen")"
        done
    else
        echo "top on a screen: not tried: tmux is not installed"
    fi
    wait $soak || fail "soak.exe: exit code $?: $(tail -n 3 "$here/soak")"
    began=$(date +%s)
    wait $until || fail "record --pid until the end: exit code $?: $(cat "$here/until.err")"
    [ $(($(date +%s) - began)) -lt 5 ] || fail "record --pid --interval=60 notices the end after $(($(date +%s) - began)) s"
    grep -q '"gets":[1-9]' "$here/until" || fail "record --pid until the end: $(cat "$here/until")"
    grep -q '^soak.exe (pid' "$here/soak.err" || fail "no statistics of soak.exe"
    expect 1 "^writewatch: there is no process $pid" "$ww" top --json --pid="$pid"
else
    echo "top and record of a running program: not tried: soak.exe was not built"
fi
nothing_left "all"

# ---- record and plot ----

expect 0 'dirty pages: 2' "$ww" record --interval=0.02 --output="$here/watch.ww" -- wine "$pe/watch.exe"
head -n 1 "$here/watch.ww" | grep -q '^{"record":"writewatch","format":1,' || fail "head of a record: $(head -n 1 "$here/watch.ww")"
total=$(sed -n 's/.*"t":.*"resets":[0-9]*,"pages":\([0-9]*\),.*"watched_bytes".*/\1/p' "$here/watch.ww" | awk '{ n += $1 } END { print n }')
[ "$total" = 4 ] || fail "the record of watch.exe has $total pages"
# Also with a long interval, record must notice the command's end at once. A command that was only stopped has not
# ended.
began=$(date +%s)
expect 0 'dirty pages: 2' "$ww" record --interval=60 --output="$here/long.ww" -- wine "$pe/watch.exe"
expect 7 '' "$ww" record --interval=60 --seconds=0.1 --output="$here/long2.ww" -- sh -c 'sleep 1; exit 7'
expect 8 '' "$ww" record --interval=60 --output="$here/long2.ww" -- sh -c '(sleep 0.3; kill -CONT $$) & kill -STOP $$; exit 8'
"$ww" record --interval=60 --output="$here/long2.ww" -- sh -c 'trap "exit 9" TERM; sleep 0.3; kill -TERM $PPID; sleep 1; sleep 1' >/dev/null 2>&1
[ $? = 9 ] || fail "record: SIGTERM did not reach the command"
[ $(($(date +%s) - began)) -lt 40 ] || fail "record --interval=60 is late: after $(($(date +%s) - began)) s"
grep -q '"resets":[0-9]*,"pages":4,' "$here/long.ww" || fail "record --interval=60: $(cat "$here/long.ww")"
expect 5 'nothing used write watches' "$ww" record --output="$here/empty.ww" -- sh -c 'exit 5'
expect 1 "cannot record to '/dev/full': No space left" "$ww" record --output=/dev/full -- true
[ -c /dev/full ] || fail "/dev/full is gone"
expect 1 "cannot record to '$here/no/such': No such file" "$ww" record --output="$here/no/such" -- true
expect 127 'cannot run' "$ww" record --output="$here/none.ww" -- /does/not/exist
[ ! -e "$here/none.ww" ] || fail "a command that does not run leaves a record"
if command -v gnuplot >/dev/null; then
    file=$here/record
    [ -s "$file" ] || file=$here/watch.ww
    expect 0 '/pages.svg$' "$ww" plot --output="$here/pictures" "$file"
    grep -q '</svg>' "$here/pictures/pages.svg" || fail "pages.svg is not whole"
    [ "$(head -c 4 "$here/pictures/heat.png" | tail -c 3)" = PNG ] || fail "heat.png is no picture"
    # Without room plot must keep the pictures that are there, and leave no other files.
    cksum "$here"/pictures/* >"$here/before"
    (
        ulimit -f 16
        trap '' XFSZ
        exec "$ww" plot --output="$here/pictures" "$file"
    ) >"$here/said" 2>&1
    status=$?
    [ $status = 1 ] && grep -q "^writewatch: cannot plot into '$here/pictures': No space left on device" "$here/said" ||
        fail "plot and a full disk: exit code $status: $(cat "$here/said")"
    cksum "$here"/pictures/* "$here"/pictures/.d* 2>/dev/null | cmp - "$here/before" || fail "plot: a full disk changes pictures"
    expect 1 "cannot plot into '$here/no/such': No such file" "$ww" plot --output="$here/no/such" "$file"
    expect 1 'cannot plot: gnuplot is not installed' env PATH=/nowhere "$ww" plot --output="$here/none" "$file"
    [ ! -e "$here/none" ] || fail "plot without gnuplot leaves a folder"
    expect 1 'has nothing to draw' "$ww" plot --output="$here/pictures" "$here/empty.ww"
else
    echo "plot: drawing not tried: gnuplot is not installed"
fi
printf 'x\n' >"$here/bad.ww"
expect 1 "'$here/bad.ww' is not a record of 'writewatch record': line 1" "$ww" plot "$here/bad.ww"
{ head -n 1 "$here/watch.ww" && echo '{"pid":1,"t":1}'; } >"$here/bad.ww"
expect 1 "'$here/bad.ww' is not a record of 'writewatch record': line 2" "$ww" plot "$here/bad.ww"
expect 1 "cannot read '$here/gone.ww': No such file" "$ww" plot "$here/gone.ww"
expect 1 "cannot read '$here': Is a directory" "$ww" plot "$here"

# ---- options ----

expect_usage_of run '--stats= needs the name of a file' --stats= -- true
expect_usage_of top "'x' is not a process ID" --pid=x --json
expect_usage_of top "'0' is not a number of seconds from 0.1 to 60" --interval=0 --json
expect_usage_of top "standard output is no terminal; --json writes one interval"
expect_usage_of record "--output=FILE is missing" -- true
expect_usage_of record "no command to run" --output="$here/x"
expect_usage_of record "either --pid or a command" --output="$here/x" --pid=1 -- true
expect_usage_of record "unknown backend 'x'" --output="$here/x" --backend=x -- true
expect_usage_of plot "no record to draw"
expect 1 "process $$ publishes nothing; start it with 'writewatch run --stats" "$ww" top --json --pid=$$
[ "$(id -u)" = 0 ] || expect 1 "process 1 belongs to another user; run 'writewatch top' as that user" "$ww" top --json --pid=1
nothing_left "all"
exit $failed
