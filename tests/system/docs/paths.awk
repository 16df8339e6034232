# SPDX-License-Identifier: LGPL-2.1-or-later
# awk -f paths.awk KNOWN FILE...: prints the paths below tests/ that the files name and that KNOWN does not list, one a
# line. A path with a variable, a pattern or NAME in it need only begin as a known one. %D% is a build file's folder.
FNR == NR {
    for (path = $0; path ~ /\//; sub(/\/[^\/]*$/, "", path)) {
        known[path] = 1
    }
    known["tests"] = 1
    next
}

FNR == 1 {
    folder = FILENAME
    sub(/\/[^\/]*$/, "", folder)
}

function begins_a_known(start, path) {
    for (path in known) {
        if (index(path, start) == 1) {
            return 1
        }
    }
    return 0
}

# Whether the path before tests/ is that of the source or of a build folder.
function is_ours(before) {
    return before ~ /(^|[^A-Za-z0-9_.\/-])$/ || before ~ /(build|\.\.|[)"}]|\$[A-Za-z_]+)\/$/
}

{
    if (FILENAME ~ /\.mk$/) {
        gsub(/%D%/, folder)
    }
    rest = $0
    before = ""
    while (match(rest, /tests\/[A-Za-z0-9_.\/-]*/)) {
        path = substr(rest, RSTART, RLENGTH)
        before = before substr(rest, 1, RSTART - 1)
        rest = substr(rest, RSTART + RLENGTH)
        goes_on = rest ~ /^[$*%{(]/ || sub(/NAME.*/, "", path)
        if (!goes_on) {
            sub(/[.\/-]+$/, "", path)
        }
        if (is_ours(before) && !(goes_on ? begins_a_known(path) : path in known)) {
            print FILENAME ": " path
        }
        before = before path
    }
}
