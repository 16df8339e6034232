# SPDX-License-Identifier: LGPL-2.1-or-later
# The commands of a Markdown file, those in its blocks of sh, one a line and without comments. Behind one that is to be
# typed "in another terminal" while it runs, the other one stands first, as the line: while, a tab, the command.

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
