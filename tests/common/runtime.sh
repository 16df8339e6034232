# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced, after expect.sh, by the tests of commands that writewatch starts: makes the folder $here, which goes when the
# test ends, and in it a runtime folder, where nothing may stay.
unset WW_STATS
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
mkdir -m 700 "$here/runtime"
export XDG_RUNTIME_DIR="$here/runtime"

nothing_left() {
    left=$(find "$here/runtime" -mindepth 1)
    [ -z "$left" ] || fail "$1 has left $left"
}
