#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A command under `run --stats` and `record` must meet what it would meet by itself: signals, also while it is being
# started, scripts without "#!", descriptors that are closed. writewatch must end as the command did, whoever reads what
# it prints.
# nohup(1) and the like ignore signals that the commands below must get.
if [ "${WW_SIGNALS:-}" != default ]; then
    WW_SIGNALS=default exec env --default-signal sh "$0"
fi
unset WW_SIGNALS
. "$(dirname "$0")/../../common/expect.sh"
. "$(dirname "$0")/../../common/runtime.sh"
unset WW_BACKEND WW_DEBUG LD_PRELOAD
export WW_DISABLE=1

# launch LAUNCHER COMMAND...: becomes writewatch with this command; for subshells. $through is a command before it.
launch() {
    case $1 in
    run) shift && exec $through "$ww" run -- "$@" ;;
    stats) shift && exec $through "$ww" run --stats -- "$@" ;;
    record) shift && exec $through "$ww" record --output="$here/record" -- "$@" ;;
    esac
}
through=

# ---- signals ----

# handles PID: whether this process is writewatch and handles SIGTERM.
handles() {
    while read -r field value; do
        case $field$value in
        Name:writewatch) ;;
        Name:*) return 1 ;;
        SigCgt:*[4-7c-f]???) return 0 ;;
        esac
    done 2>/dev/null <"/proc/$1/status"
    return 1
}

# A signal while the command is being started must reach it. The start takes long because the command stands at the end
# of a PATH of many symbolic links.
mkdir "$here/l30"
link=30
while [ $link -gt 0 ]; do
    ln -s "l$link" "$here/l$((link - 1))"
    link=$((link - 1))
done
long_path=$(yes l0: | head -n 20000 | tr -d '\n')$PATH
for launcher in stats record; do
    for pair in TERM=143 HUP=129 USR1=138 USR2=140; do
        (cd "$here" && PATH=$long_path && launch $launcher sleep 4) >"$here/said" 2>&1 &
        until handles $! || ! kill -0 $! 2>/dev/null; do
            :
        done
        kill -"${pair%=*}" $!
        wait $! 2>/dev/null
        code=$?
        [ $code = "${pair#*=}" ] || fail "$launcher: SIG${pair%=*} while the command was being started: exit code $code"
    done
done
nothing_left "a signal while the command was being started"

# The command finds ignored and blocked signals as they were.
if env --ignore-signal=CHLD --block-signal=TERM true 2>/dev/null; then
    for through in '' 'env --ignore-signal=INT,QUIT,TERM,HUP,USR1,USR2' \
        'env --ignore-signal=PIPE,CHLD --block-signal=TERM,CHLD'; do
        want=$($through grep '^Sig[BI]' /proc/self/status)
        for launcher in run stats record; do
            out=$(launch $launcher grep '^Sig[BI]' /proc/self/status 2>/dev/null)
            [ "$out" = "$want" ] || fail "$launcher through '$through': the command finds signals as in: $out"
        done
    done
    through=

    # Subcommands learn how their programs ended also where SIGCHLD is ignored.
    printf '#!/bin/sh\necho wine-1.0\n' >"$here/wine"
    chmod 755 "$here/wine"
    expect 1 'wine-1.0' env --ignore-signal=CHLD "$ww" doctor --wine="$here/wine"
    ! echo "$out" | grep 'could not be made\|exit code [1-9]' || fail "doctor where SIGCHLD is ignored: programs failed"
    if command -v gnuplot >/dev/null; then
        cat >"$here/drawn" <<'END'
{"record":"writewatch","format":1,"version":"0.2.0","parts":64}
{"pid":5,"name":"x","backend":"uffd","page_size":4096}
{"pid":5,"t":0.1,"seconds":0.1,"gets":1,"resets":0,"pages":3,"time_ns":9,"watched_bytes":65536,"regions":[]}
{"pid":5,"t":0.2,"seconds":0.1,"gets":1,"resets":0,"pages":4,"time_ns":9,"watched_bytes":65536,"regions":[]}
END
        expect 0 '/pages.svg$' env --ignore-signal=CHLD "$ww" plot --output="$here/pictures" "$here/drawn"
    else
        missing "plot where SIGCHLD is ignored: gnuplot is not installed"
    fi
else
    missing "ignored and blocked signals: env(1) sets none"
fi

# A signal after the end of the command, while the statistics wait for the reader of a full pipe, must not reach another
# process that has got the command's number.
cat >"$here/reuse.sh" <<'SH'
mkfifo "$here/full" && exec 9<>"$here/full" || exit 99
timeout 1 cat /dev/zero >&9
"$ww" run --stats -- sh -c 'echo $$ >"$0"' "$here/number" 2>&9 9>&- &
writewatch=$!
tries=0
until [ -s "$here/number" ] && read -r number <"$here/number" && [ ! -e "/proc/$number" ]; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || exit 99
    sleep 0.1
done
echo $((number - 1)) >/proc/sys/kernel/ns_last_pid || exit 77
sleep 2 &
[ $! = "$number" ] || exit 77
kill -TERM $writewatch
wait $!
[ $? = 0 ] || exit 1
exec 8<"$here/full" 9>&-
cat <&8 >/dev/null
wait $writewatch
SH
here=$here ww=$ww unshare --user --map-root-user --pid --fork --mount-proc sh "$here/reuse.sh" 2>"$here/said"
code=$?
if [ $code = 77 ] || grep -q '^unshare: ' "$here/said" || ! command -v unshare >/dev/null; then
    missing "a signal after the end of the command: no namespace in which a process number can be chosen"
else
    [ $code = 0 ] || fail "a signal after the end of the command: exit code $code: $(cat "$here/said")"
    nothing_left "a signal after the end of the command"
fi

# A terminal that hangs up tells the leader of its session alone, which may be writewatch.
if command -v script >/dev/null; then
    cat >"$here/hung.sh" <<'SH'
trap 'echo >"$here/hung-up"; exit' HUP
echo >"$here/ready"
while :; do
    sleep 0.1
done
SH
    export here ww
    script -qc 'exec "$ww" run --stats -- sh "$here/hung.sh"' /dev/null >/dev/null 2>&1 </dev/null &
    tries=0
    until [ -e "$here/ready" ] || [ $tries = 300 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    kill -KILL $!
    until [ -e "$here/hung-up" ] || [ $tries = 300 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    [ -e "$here/hung-up" ] || fail "a terminal's hang-up did not reach the command"
else
    missing "a terminal that hangs up: there is no script(1)"
fi

# ---- scripts without "#!" ----

printf 'echo "script $*"\nexit 5\n' >"$here/no-interpreter"
chmod 755 "$here/no-interpreter"
for launcher in run stats record; do
    expect 5 '^script a  b$' launch $launcher "$here/no-interpreter" 'a ' b
    out=$(PATH=$here:$PATH && launch $launcher no-interpreter a 2>/dev/null)
    code=$?
    [ "$code $out" = '5 script a' ] || fail "$launcher: a script in PATH: exit code $code: $out"
done
printf 'echo "wine-1.0 ran" | tee "$0.ran"\n' >"$here/no-interpreter"
"$ww" doctor --wine="$here/no-interpreter" >/dev/null 2>&1
[ -e "$here/no-interpreter.ran" ] || fail "doctor --wine=SCRIPT: the script did not run"

# ---- closed descriptors ----

# closed FD COMMAND...: runs a command with this descriptor closed.
closed() {
    fd=$1
    shift
    case $fd in
    0) "$@" <&- ;;
    1) "$@" >&- ;;
    2) "$@" 2>&- ;;
    esac
}

for fd in 0 1 2; do
    for launcher in run stats record; do
        (closed $fd launch $launcher sh -c '[ ! -e "/proc/$$/fd/$0" ]' $fd 2>/dev/null) ||
            fail "$launcher: the command finds descriptor $fd open"
    done
    # A warning, or what the command prints, must not go into the files.
    closed $fd "$ww" run --verbose --stats="$here/stats" -- sh -c 'echo said; echo said >&2' >"$here/said" 2>&1
    [ "$(head -c 1 "$here/stats" | od -An -c | tr -d ' ')" = '{' ] ||
        fail "--stats=FILE without descriptor $fd: $(od -c "$here/stats" | head -n 3)"
    closed $fd env WW_DISABLE= "$ww" record --backend=mprotect --output="$here/record" -- sh -c 'echo said; echo said >&2' \
        >"$here/said" 2>&1
    [ "$(wc -l <"$here/record")" = 1 ] && grep -q '^{"record":' "$here/record" ||
        fail "record without descriptor $fd: $(od -c "$here/record" | head -n 3)"
done
expect 1 '^writewatch: cannot write to standard output: Bad file descriptor$' sh -c '"$0" --version >&-' "$ww"

# ---- pipes that nobody reads ----

mkfifo "$here/pipe"
exec 8<>"$here/pipe" 9>"$here/pipe" 8>&-
for launcher in stats record; do
    (launch $launcher sh -c 'exit 3' 2>&9)
    code=$?
    [ $code = 3 ] || fail "$launcher: standard error that nobody reads: exit code $code"
    nothing_left "$launcher with standard error that nobody reads"
    (launch $launcher sh -c 'kill -PIPE $$' 2>/dev/null)
    code=$?
    [ $code = 141 ] || fail "$launcher: a command that ended by SIGPIPE: exit code $code"
done
# doctor removes its Wine prefix, in which the server of that Wine may run, also if the reader ends before it does.
mkdir "$here/tmp"
printf '#!/bin/sh\necho wine-1.0\n[ "$1" != wineboot ] || sleep 1\n' >"$here/wine"
chmod 755 "$here/wine"
{ TMPDIR=$here/tmp "$ww" doctor --wine="$here/wine" 2>/dev/null; } | grep -q 'running a Windows program' ||
    fail "doctor ran no program"
left=$(find "$here/tmp" -mindepth 1)
[ -z "$left" ] || fail "doctor whose reader ends early has left $left"
# A warning about something else: the command runs all the same.
mkdir -m 755 "$here/runtime/writewatch"
(launch stats sh -c 'exit 3' 2>&9)
code=$?
[ $code = 3 ] || fail "no folder for statistics, and standard error that nobody reads: exit code $code"
rmdir "$here/runtime/writewatch"
mkdir "$here/a b"
cp "$ww" "$here/a b/writewatch"
ln -s "$build/.libs" "$here/a b/.libs"
expect 3 'has a space or a colon' "$here/a b/writewatch" run -- sh -c 'exit 3'
"$here/a b/writewatch" run -- sh -c 'exit 3' 2>&9
code=$?
[ $code = 3 ] || fail "no preload, and standard error that nobody reads: exit code $code"
exit $failed
