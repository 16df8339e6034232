#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# run-readme.sh: runs the commands of README.md, then those of CONTRIBUTING.md, one after the other, as a user of the
# machine, in the folder of the clone. game.exe is the soak test, which keeps write watches busy for ten seconds;
# program.c is README's. Prints each command, the end of its output, and a verdict: the exit code must be 0.
set -u
failed=0
export WINEDEBUG=-all TERM=xterm

verdict() {
    printf '%s\n' "$*"
    case $1 in FAILED:*) failed=$((failed + 1)) ;; esac
}

# typed COMMAND LOG
typed() {
    printf '$ %s\n' "$1"
    timeout -k 10 1800 bash -c "$1" >"$2" 2>&1 </dev/null
    code=$?
    tail -n 25 "$2" | sed 's/^/    /'
    [ $code = 0 ] && verdict "ok: $1" || verdict "FAILED: exit code $code: $1"
}

# both COMMAND OTHER: runs OTHER in a terminal while COMMAND runs, and ends it with the key q.
both() {
    printf '$ %s &\n' "$1"
    timeout -k 10 1800 bash -c "$1" >/tmp/first.log 2>&1 </dev/null &
    sleep 6
    printf '$ %s\n' "$2"
    tmux new-session -d -x 100 -y 24 "$2"
    sleep 4
    tmux capture-pane -p | tee /tmp/screen | sed 's/^/    /'
    tmux send-keys q
    sleep 1
    ! tmux kill-server 2>/dev/null || verdict "FAILED: q does not end it: $2"
    grep -q '^game.exe (pid' /tmp/screen && verdict "ok: $2" || verdict "FAILED: nothing of game.exe: $2"
    wait $! && verdict "ok: $1" || verdict "FAILED: $1"
    tail -n 25 /tmp/first.log | sed 's/^/    /'
}

echo "== $(. /etc/os-release && echo "$PRETTY_NAME"), kernel $(uname -r), user $(id -un)"
awk -f tests/system/docs/commands.awk README.md CONTRIBUTING.md >/tmp/commands
[ "$(wc -l </tmp/commands)" -gt 20 ] || verdict "FAILED: the documents have but $(wc -l </tmp/commands) commands"
awk '/^```c$/ { inside = 1; next } /^```$/ { inside = 0 } inside' README.md >program.c
tab=$(printf '\t')
while IFS= read -r line <&3; do
    # A person types no faster. Debian's wineserver ends with the last program, and a program that starts at that moment
    # fails: "wine client error:0: recvmsg: Connection reset by peer".
    sleep 2
    # check.sh has built it.
    [ -f game.exe ] || cp build/tests/stress/soak/soak.exe game.exe 2>/dev/null
    case $line in
    "while$tab"*)
        line=${line#while?}
        both "${line%%"$tab"*}" "${line#*"$tab"}"
        ;;
    *) typed "$line" /tmp/command.log ;;
    esac
done 3</tmp/commands
for file in game.exe game.ww.plot/pages.svg game.ww.plot/heat.png; do
    [ -s "$file" ] || verdict "FAILED: there is no $file"
done
[ $failed = 0 ] && echo "ok: README.md and CONTRIBUTING.md, $(wc -l </tmp/commands) lines" || echo "$failed commands failed"
[ $failed = 0 ]
