# SPDX-License-Identifier: LGPL-2.1-or-later
# Takes the C blocks out of a Markdown file and writes them to files in `folder`.
# A block after a line <!-- part of NAME... --> is appended to each named program;
# another one with a main() is a program by itself. Other blocks are left out, or are
# an error where `strict` is set. By #line compilers name the Markdown file.

function fail(what)
{
    print FILENAME ":" start ": " what
    failed = 1
}

function write_block(name,    file)
{
    file = folder "/" name ".c"
    printf "#line %d \"%s\"\n%s", start + 1, FILENAME, block >>file
    close(file)
}

/^```c$/ {
    in_block = 1
    start = FNR
    block = ""
    next
}

in_block && /^```$/ {
    in_block = 0
    nr = split(names, list, " ")
    for (i = 1; i <= nr; i++)
        write_block(list[i])
    if (!nr && block ~ /(^|\n)int main\(/)
        write_block(prefix "-" start)
    else if (!nr && strict)
        fail("a block that is no program, and no part of one")
    names = ""
    next
}

in_block {
    block = block $0 "\n"
    next
}

/^<!-- part of .* -->$/ {
    names = $0
    gsub(/^<!-- part of | -->$|,/, "", names)
    next
}

names != "" && NF { fail("a marker without a block behind it"); names = "" }

END { exit failed }
