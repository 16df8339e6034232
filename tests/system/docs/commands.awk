# SPDX-License-Identifier: LGPL-2.1-or-later
# Prints the commands in a Markdown file's blocks of sh, one a line and without comments. A command with the comment "in
# another terminal" runs beside the one before it; the two are one line: while, a tab, the first, a tab, the second.

/^```sh$/ { in_block = 1; next }
/^```$/ { in_block = 0; next }

in_block && NF {
    elsewhere = / # in another terminal/
    command = $0
    sub(/[ \t]+#.*$/, "", command)
    if (!elsewhere && held != "")
        print held
    if (elsewhere)
        print "while\t" held "\t" command
    held = elsewhere ? "" : command
}

END { if (held != "") print held }
