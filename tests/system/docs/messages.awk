# SPDX-License-Identifier: LGPL-2.1-or-later
# Prints the fixed parts of the messages in C files: every string of each statement that
# matches the variable `says`, cut where printf() fills something in. For the match,
# strings are written as @ and blanks are left out. One a line: file:line, a tab, the text.
# Leaves out strings of macros, and parts of less than six characters.

function forget()
{
    code = ""
    nr_strings = 0
}

# Cuts a string at escapes and at conversions of printf().
function print_parts(text, where,    parts, nr, i)
{
    gsub(/\\"/, "\"", text)
    gsub(/\\n|%%/, "\001", text)
    gsub(/%[-0-9.*]*[a-z]+/, "\001", text)
    nr = split(text, parts, "\001")
    for (i = 1; i <= nr; i++) {
        gsub(/^ +| +$/, "", parts[i])
        if (length(parts[i]) >= 6)
            print where "\t" parts[i]
    }
}

FNR == 1 {
    forget()
    in_comment = in_string = 0
}

/^ *#/ { next }

{
    rest = $0
    while (rest != "") {
        if (in_comment) {
            at = index(rest, "*/")
            in_comment = !at
            rest = at ? substr(rest, at + 2) : ""
        } else if (match(rest, /^"([^"\\]|\\.)*"/)) {
            strings[++nr_strings] = substr(rest, 2, RLENGTH - 2)
            lines[nr_strings] = FILENAME ":" FNR
            code = code "@"
            rest = substr(rest, RLENGTH + 1)
        } else if (match(rest, /^'([^'\\]|\\.)+'/)) {
            rest = substr(rest, RLENGTH + 1)
        } else if (rest ~ /^\/\*/) {
            in_comment = 1
            rest = substr(rest, 3)
        } else {
            char = substr(rest, 1, 1)
            rest = substr(rest, 2)
            if (char == ";") {
                if (code ~ says)
                    for (i = 1; i <= nr_strings; i++)
                        print_parts(strings[i], lines[i])
                forget()
            } else if (char !~ /[ \t]/) {
                code = code char
            }
        }
    }
}
