# SPDX-License-Identifier: LGPL-2.1-or-later
# slice.awk -v want=REGEX -v avoid=REGEX -v name=FILE.c -v checks=FILE: reads one of
# Wine's test files and writes a smaller one: the test functions in which `want` occurs
# and `avoid` does not, all that they need of the file, and a START_TEST that runs only
# them. Such a slice compiles with mingw-w64's headers, the whole file does not.
#
# #line keeps the original's line numbers, and `checks` gets a line for each line of
# the functions: number, function, text. Exit code 3: the file has no such test.
# It relies on how Wine writes C: test functions are named test_*, and a definition
# ends with a `}` in column 0 or a `;` outside of braces.

# A line without strings, character constants and comments; `comment` is 1 while a
# comment continues on the next line.
function strip(line,    out, at, mark)
{
    out = ""
    while (line != "") {
        if (comment) {
            if (!(at = index(line, "*/")))
                return out
            line = substr(line, at + 2)
            comment = 0
        } else if (match(line, /["']|\/[*\/]/)) {
            out = out substr(line, 1, RSTART - 1)
            mark = substr(line, RSTART, RLENGTH)
            line = substr(line, RSTART + RLENGTH)
            if (mark == "//")
                return out
            if (mark == "/*")
                comment = 1
            else if (mark == "\"" && match(line, /^([^"\\]|\\.)*"/))
                line = substr(line, RLENGTH + 1)
            else if (mark == "'" && match(line, /^([^'\\]|\\.)*'/))
                line = substr(line, RLENGTH + 1)
        } else {
            out = out line
            line = ""
        }
    }
    return out
}

# The words of a piece of C that could be names defined in this file.
function words(text, found,    n, i, parts)
{
    n = split(text, parts, /[^A-Za-z0-9_]+/)
    split("", found)
    for (i = 1; i <= n; i++)
        if (parts[i] ~ /^[A-Za-z_]/)
            found[parts[i]] = 1
}

function define(item, word)
{
    if (word ~ /^[A-Za-z_]/ && index(defines[item] " ", " " word " ") == 0)
        defines[item] = defines[item] " " word
}

# The names that a declaration such as `int a, *b[2], (WINAPI *c)(int)` declares.
function declare(item, text,    n, i, parts)
{
    while (match(text, /\([^()]*\*+[ ]*[A-Za-z0-9_]+[^()]*\)[ ]*\([^()]*\)/)) {
        i = substr(text, RSTART, RLENGTH)
        text = substr(text, 1, RSTART - 1) " 0" substr(text, RSTART + RLENGTH)
        sub(/^[^*]*\*+[ ]*/, "", i)
        sub(/[^A-Za-z0-9_].*/, "", i)
        define(item, i)
    }
    n = split(text, parts, ",")
    for (i = 1; i <= n; i++) {
        sub(/[=;:([].*/, "", parts[i])
        sub(/[ \n]+$/, "", parts[i])
        sub(/.*[^A-Za-z0-9_]/, "", parts[i])
        define(item, parts[i])
    }
}

# Finds the names that an item at file level defines.
function examine(item,    head, body, tail, typed)
{
    head = code[item]
    if (head ~ /^#/) {
        sub(/^#[ ]*define[ ]+/, "", head)
        sub(/[^A-Za-z0-9_].*/, "", head)
        define(item, head)
        return
    }
    body = ""
    if (match(head, /[{=]/)) {
        body = substr(head, RSTART)
        head = substr(head, 1, RSTART - 1)
    }
    typed = "^((typedef|static|const)[ ]+)*(struct|union|enum)[ \n]*[A-Za-z0-9_]*[ \n]*$"
    if (body ~ /^[{]/ && head ~ typed) {
        if (match(head, /(struct|union|enum)[ ]+[A-Za-z0-9_]+/))
            declare(item, substr(head, RSTART, RLENGTH))
        if (head ~ /enum/)
            declare(item, substr(body, 2))
        tail = code[item]
        while (match(tail, /\n}[^\n]/))
            tail = substr(tail, RSTART + 2)
        sub(/=.*/, "", tail)
        declare(item, tail)
    } else if (body ~ /^[{]/ && match(head, /[A-Za-z0-9_]+[ ]*\(/)) {
        is_function[item] = 1
        head = substr(head, RSTART, RLENGTH)
        sub(/[ ]*\($/, "", head)
        define(item, head)
    } else if (body == "" && head ~ /[A-Za-z0-9_]+[ ]*\([^*]/ && head !~ /\([^()]*\*[^()]*\)[ ]*\(/) {
        match(head, /[A-Za-z0-9_]+[ ]*\(/)
        head = substr(head, RSTART, RLENGTH)
        sub(/[ ]*\($/, "", head)
        define(item, head)
    } else
        declare(item, head)
}

function need_item(item,    found, word)
{
    if (needed[item]++)
        return
    changed = 1
    if (item != start) {
        words(code[item], found)
        for (word in found)
            need(word)
    }
}

function need(word,    n, i, list)
{
    if (!(word in owners))
        return
    n = split(owners[word], list, " ")
    for (i = 1; i <= n; i++)
        need_item(list[i] + 0)
}

function is_needed(word,    n, i, list)
{
    n = split(owners[word], list, " ")
    for (i = 1; i <= n; i++)
        if (needed[list[i] + 0])
            return 1
    return 0
}

# Whether START_TEST keeps this statement. It loses calls of other tests, and
# assignments to variables that no wanted test reads.
function keep(line,    found, word, any, mine)
{
    if (line !~ /[A-Za-z]/)
        return 1
    if (match(line, /^[ ]*(test|do)_[A-Za-z0-9_]+[ ]*\(/)) {
        gsub(/^[ ]*|[ ]*\(.*/, "", line)
        return line in wanted
    }
    if (line ~ /^[ ]*[A-Za-z0-9_]+\(\);/)
        return 1
    words(line, found)
    if (match(line, /^[ ]*[A-Za-z0-9_]+[ ]*=/)) {
        word = substr(line, RSTART, RLENGTH - 1)
        gsub(/ /, "", word)
        return !(word in owners) || is_needed(word)
    }
    for (word in found)
        if (word in owners) {
            mine = 1
            if (is_needed(word))
                any = 1
        }
    return any || !mine
}

function filter_start(    n, i, lines, codes, found, word, skip)
{
    n = split(text[start], lines, "\n")
    split(code[start], codes, "\n")
    kept = lines[1]
    for (i = 2; i <= n; i++) {
        if (codes[i] ~ /^    if \(argc/)
            skip = 1
        if (!skip && codes[i] != "" && (codes[i] ~ /^[#{}]/ || keep(codes[i]))) {
            words(codes[i], found)
            for (word in found)
                need(word)
            kept = kept "\n" lines[i]
        } else
            kept = kept "\n"
        if (skip && codes[i] ~ /^    }/)
            skip = 0
    }
}

# The number of braces that are open after this line of an item; all branches of an #if start with the same number.
function depth_after(line)
{
    if (line ~ /^[ ]*#[ ]*if/)
        outer[++nested] = depth
    else if (line ~ /^[ ]*#[ ]*el/)
        depth = outer[nested]
    else if (line ~ /^[ ]*#[ ]*endif/)
        nested--
    else
        depth += gsub(/[{]/, "", line) - gsub(/}/, "", line)
    return depth
}

{
    sub(/\r$/, "")
    within = comment
    line = strip($0)
    sub(/[ \t]+$/, "", line)
    if (!open) {
        if (line == "" || (within && line !~ /[A-Za-z]/))
            next
        first[++count] = NR
        text[count] = $0
        code[count] = line
        open = 1
        depth = nested = 0
        directive = line ~ /^#/
    } else {
        text[count] = text[count] "\n" $0
        code[count] = code[count] "\n" line
    }
    last[count] = NR
    if (directive)
        open = $0 ~ /\\$/
    else if (depth_after(line) <= 0 && line ~ /^}|[;}]$/)
        open = 0
}

# Items are needed if a wanted test or the rest of START_TEST names them.
function choose(    word, any)
{
    for (word in wanted) {
        need_item(wanted[word])
        any = 1
    }
    if (!any || !start)
        return 0
    do {
        changed = 0
        filter_start()
    } while (changed)
    return 1
}

function print_item(item,    header)
{
    if (text[item] ~ /^#[ ]*include/) {
        # mingw-w64 does not have all headers, and its ddk/ cannot be included together with windows.h.
        match(text[item], /[<"][^>"]*[>"]/)
        header = substr(text[item], RSTART, RLENGTH)
        if (header !~ /ddk/)
            printf "#if __has_include(%s)\n%s\n#endif\n", header, text[item]
    } else if (item == start)
        printf "#line %d \"%s\"\n%s\n", first[item], name, kept
    else if (needed[item] || text[item] ~ /^#/)
        printf "#line %d \"%s\"\n%s\n", first[item], name, text[item]
}

function print_checks(item,    n, i, lines, names)
{
    split(defines[item], names, " ")
    n = split(text[item], lines, "\n")
    for (i = 1; i <= n; i++) {
        sub(/^[ \t]+/, "", lines[i])
        print first[item] + i - 1 "\t" names[1] "\t" lines[i] >checks
    }
}

END {
    for (i = 1; i <= count; i++) {
        examine(i)
        n = split(defines[i], names, " ")
        for (j = 1; j <= n; j++)
            owners[names[j]] = owners[names[j]] " " i
        if (text[i] ~ /^START_TEST/)
            start = i
        else if (is_function[i] && names[1] ~ /^test_/ && text[i] ~ want && text[i] !~ avoid)
            wanted[names[1]] = i
    }
    if (!choose())
        exit 3
    for (i = 1; i <= count; i++) {
        print_item(i)
        if (is_function[i] && needed[i])
            print_checks(i)
    }
}
