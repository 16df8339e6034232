# SPDX-License-Identifier: LGPL-2.1-or-later
# Prints the relative links of a Markdown file outside of its blocks of code, with those of pictures, one a line as they
# are written; with -v anchors=1 the anchors of its headings instead, as forges make them: lower case, no punctuation,
# a hyphen for each blank.

/^```/ { in_block = !in_block; next }
in_block { next }

anchors && /^#+ / {
    sub(/^#+ /, "")
    $0 = tolower($0)
    gsub(/[^a-z0-9_ -]/, "")
    gsub(/ /, "-")
    print
}

!anchors {
    while (match($0, /\]\([^()]+\)/)) {
        link = substr($0, RSTART + 2, RLENGTH - 3)
        $0 = substr($0, RSTART + RLENGTH)
        if (link !~ /^[a-z]+:/)
            print link
    }
}
