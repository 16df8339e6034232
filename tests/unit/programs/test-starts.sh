#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `run --stats` and `record` before the command runs and after it has ended: with many starts at once, none loses its
# folder; nothing is left behind; and a file that cannot be written is an error before the command runs.
. "$(dirname "$0")/../../common/expect.sh"
. "$(dirname "$0")/../../common/runtime.sh"
unset WW_BACKEND WW_DEBUG LD_PRELOAD
export WW_DISABLE=1

# ---- the folder ----

# The first start makes the common folder, and the last one removes it. At the same time all of them try to remove the
# folder of one that was killed.
round=0
while [ $round -lt 4 ] && [ $failed = 0 ]; do
    mkdir -m 700 "$here/runtime/writewatch" "$here/runtime/writewatch/run-killed"
    started=0
    while [ $started -lt 64 ]; do
        case $((started % 4)) in
        3) set -- record --output="$here/$started.jsonl" -- true ;;
        *) set -- run --stats -- true ;;
        esac
        { "$ww" "$@" >"$here/said.$started" 2>&1 || echo "exit code $?" >>"$here/said.$started"; } &
        started=$((started + 1))
    done
    wait
    for said in "$here"/said.*; do
        ! grep -v 'the preload has attached to no process\|nothing used write watches' "$said" ||
            fail "round $round: a start said: $(cat "$said")"
    done
    rm -f "$here"/said.* "$here"/*.jsonl
    nothing_left "round $round"
    round=$((round + 1))
done

# ---- the file ----

# cannot_write FILE ERROR: one line, exit code 1, and the command does not run.
cannot_write() {
    expect 1 "^writewatch: cannot write statistics to '$1': $2\$" "$ww" run --stats="$1" -- touch "$here/has-run"
    [ "$(printf '%s\n' "$out" | wc -l)" = 1 ] || fail "--stats=$1: more than one line: $out"
    [ ! -e "$here/has-run" ] || fail "--stats=$1: the command ran"
    rm -f "$here/has-run"
}

mkdir "$here/folder"
cannot_write "$here/no/such" 'No such file or directory'
cannot_write "$here/folder" 'Is a directory'
cannot_write "$here/folder/" 'Is a directory'
if [ "$(id -u)" != 0 ]; then
    chmod 500 "$here/folder"
    cannot_write "$here/folder/file" 'Permission denied'
fi
nothing_left "a file that cannot be written"

# The file keeps its content until there are statistics to write, and a command that cannot run leaves no new file.
echo 'as it was' >"$here/stats"
expect 0 'as it was' "$ww" run --stats="$here/stats" -- cat "$here/stats"
grep -q '"processes"' "$here/stats" && ! grep -q 'as it was' "$here/stats" || fail "the statistics: $(cat "$here/stats")"
echo 'as it was' >"$here/stats"
expect 127 "cannot run '/no/such/program'" "$ww" run --stats="$here/stats" -- /no/such/program
[ "$(cat "$here/stats")" = 'as it was' ] || fail "a command that did not run changed the file"
expect 127 "cannot run '/no/such/program'" "$ww" run --stats="$here/new" -- /no/such/program
[ ! -e "$here/new" ] || fail "a command that did not run left an empty file"
# A symbolic link stays as it is: one to a file, and one to a file that does not exist.
ln -s target "$here/link"
ln -s nowhere "$here/dangling"
for link in link dangling; do
    echo 'as it was' >"$here/target"
    expect 127 "cannot run '/no/such/program'" "$ww" run --stats="$here/$link" -- /no/such/program
    [ -L "$here/$link" ] && [ ! -e "$here/nowhere" ] && [ "$(cat "$here/target")" = 'as it was' ] ||
        fail "--stats=$link: a command that did not run left: $(ls -l "$here")"
    expect 127 "cannot run '/no/such/program'" "$ww" record --output="$here/$link" -- /no/such/program
    [ -L "$here/$link" ] && [ ! -e "$here/nowhere" ] && [ -e "$here/target" ] ||
        fail "record --output=$link: a command that did not run left: $(ls -l "$here")"
done
# A record takes the place of what is in a file, and does not remove a file that it has not made.
expect 127 "cannot run '/no/such/program'" "$ww" record --output="$here/target" -- /no/such/program
[ -e "$here/target" ] || fail "a command that did not run removed the file of a record"
expect 0 '"processes"' sh -c "'$ww' run --stats='$here/dangling' -- true && cat '$here/nowhere'"
# A pipe, and a file that can be opened but not written.
expect 0 '"processes"' sh -c "'$ww' run --stats=/dev/stdout -- true | cat"
expect 3 '^writewatch: no statistics in /dev/full: No space left' "$ww" run --stats=/dev/full -- sh -c 'exit 3'
exit $failed
