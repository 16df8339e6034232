# SPDX-License-Identifier: LGPL-2.1-or-later
# compare.awk -F '\t' -v wine=VERSION -v dir=DIR -v allowed=FILE: reads what winetest.sh
# has collected: lines of dll, architecture, version of the tests, stock or shim, and
# a line of the program's output. Prints one table and each check that differs.
#
# Exit code 1: with the shim a check fails that passes without it and that FILE does not
# allow, or fewer checks run. A check that Wine marks todo may pass.

function load_allowed(    line, parts)
{
    while ((getline line <allowed) > 0)
        if (line ~ /^ /)
            reason[nr_allowed] = reason[nr_allowed] "\n" line
        else if (line !~ /^#/ && split(line, parts, / ; /) == 4) {
            allowed_dll[++nr_allowed] = parts[1]
            allowed_check[nr_allowed] = parts[2]
            allowed_text[nr_allowed] = parts[3]
            reason[nr_allowed] = parts[4]
        }
}

function load_checks(dll, version,    line, parts, file)
{
    if (loaded[dll, version]++)
        return
    file = dir "/" dll "-" version ".checks"
    while ((getline line <file) > 0) {
        split(line, parts, "\t")
        where[dll, version, parts[1]] = parts[2]
        source[dll, version, parts[1]] = parts[3]
    }
    close(file)
}

# A figure of both runs as "stock / shim", with "-" for a run without a summary.
function pair(test, figure,    stock, shim)
{
    stock = (test, "stock", figure) in summary ? summary[test, "stock", figure] : "-"
    shim = (test, "shim", figure) in summary ? summary[test, "shim", figure] : "-"
    return stock " / " shim
}

function number(text, pattern)
{
    if (!match(text, pattern))
        return 0
    return substr(text, RSTART) + 0
}

# Counts a line such as "virtual.c:12: Test failed: ...".
function note_event(test, mode, text,    parts, line, key)
{
    sub(/:[0-9.]* /, "\t", text)
    if (split(text, parts, /[:\t]/) < 3)
        return
    line = test SUBSEP parts[1] SUBSEP parts[2]
    sub(/^[^\t]*\t/, "", text)
    if (text !~ /^(Test|Line|this is)/)
        return
    # Addresses differ from run to run.
    gsub(address, "ADDRESS", text)
    if (!(line in seen)) {
        seen[line] = 1
        lines[++nr_lines] = line
    }
    key = line SUBSEP text
    if (!(key in known)) {
        known[key] = 1
        texts[line, ++nr_texts[line]] = text
    }
    times[key, mode]++
    if (text ~ /^Test succeeded inside/)
        summary[test, mode, "passed"]++
}

function permitted(dll, check, text,    i)
{
    for (i = 1; i <= nr_allowed; i++)
        if (allowed_dll[i] == dll && check ~ allowed_check[i] && text ~ allowed_text[i])
            return i
    return 0
}

# Prints the messages of both runs for one line of a test, if they differ.
function report(line,    part, i, text, stock, shim, differs, said, verdict, why)
{
    split(line, part, SUBSEP)
    for (i = 1; i <= nr_texts[line]; i++) {
        text = texts[line, i]
        stock = times[line, text, "stock"] + 0
        shim = times[line, text, "shim"] + 0
        if (stock == shim)
            continue
        differs = 1
        said = said sprintf("    stock %d times, shim %d times: %s\n", stock, shim, text)
        if (shim <= stock)
            continue
        if (text ~ /^Test succeeded inside/)
            verdict = verdict "    a todo of Wine's that passes with the shim\n"
        else if (text ~ /^Test marked/)
            verdict = verdict "    marked todo or flaky by Wine\n"
        else if ((why = permitted(part[1], source[part[1], part[3], part[5]], text))) {
            verdict = verdict sprintf("    allowed (%d)\n", why)
            cited[why] = 1
        } else {
            verdict = verdict "    NOT EXPECTED\n"
            unexpected++
        }
    }
    if (!differs)
        return
    printf "%s %s, tests of %s, %s:%s %s: %s\n%s%s", part[1], part[2], part[3], part[4], part[5],
        where[part[1], part[3], part[5]], source[part[1], part[3], part[5]], said,
        verdict == "" ? "    passes with the shim\n" : verdict
    nr_differ++
}

{
    test = $1 SUBSEP $2 SUBSEP $3
    if (!(test in order)) {
        order[test] = ++nr_tests
        tests[nr_tests] = test
        load_checks($1, $3)
    }
    text = $5
    if (text ~ /^[a-z0-9_]+\.c:[0-9]+:/)
        note_event(test, $4, text)
    else if (text ~ /^[0-9a-f]+:[a-z0-9_]+:.* tests executed/) {
        sub(/^[0-9a-f]+:[a-z0-9_]+:[0-9.]* /, "", text)
        summary[test, $4, "executed"] = text + 0
        summary[test, $4, "todo"] = number(text, "[0-9]+ marked as todo")
        summary[test, $4, "failed"] = number(text, "[0-9]+ failure")
        summary[test, $4, "skipped"] = number(text, "[0-9]+ skipped")
        summary[test, $4, "passed"] += 0
    } else if (text ~ /^ended with/)
        summary[test, $4, "end"] = text
}

BEGIN {
    address = "[0-9A-Fa-f]"
    address = address address address address
    address = address address "+"
}

function print_table(    i, m, test, mode, part, row)
{
    row = "%-9s %-7s %-8s %12s %9s %12s %9s %9s\n"
    printf "%s, stock / shim\n", wine
    printf row, "dll", "arch", "tests of", "executed", "todo", "todo passed", "failed", "skipped"
    for (i = 1; i <= nr_tests; i++) {
        test = tests[i]
        for (m = 1; m <= 2; m++) {
            # Wine's tests count a todo that passes as a failure.
            mode = m == 1 ? "stock" : "shim"
            if ((test, mode, "failed") in summary)
                summary[test, mode, "failed"] -= summary[test, mode, "passed"]
        }
        split(test, part, SUBSEP)
        printf row, part[1], part[2], part[3], pair(test, "executed"), pair(test, "todo"),
            pair(test, "passed"), pair(test, "failed"), pair(test, "skipped")
    }
    print ""
}

function ending(test, mode)
{
    if ((test, mode, "executed") in summary)
        return "ends"
    return summary[test, mode, "end"] ~ /code (124|137)$/ ? "hangs" : "crashes"
}

# A test that is newer than this Wine may crash it. With the shim it must not end earlier than without.
function print_ends(    i, test, part, stock, shim, verdict)
{
    for (i = 1; i <= nr_tests; i++) {
        test = tests[i]
        stock = ending(test, "stock")
        shim = ending(test, "shim")
        if (stock == "ends" && shim == "ends" &&
            summary[test, "shim", "executed"] >= summary[test, "stock", "executed"])
            continue
        verdict = "so not compared"
        if (stock == "ends") {
            verdict = "fewer checks with the shim: NOT EXPECTED"
            unexpected++
        }
        split(test, part, SUBSEP)
        printf "%s %s, tests of %s: %s under stock Wine, %s with the shim, %s\n", part[1], part[2], part[3],
            stock, shim, verdict
    }
}

END {
    load_allowed()
    print_table()
    print_ends()
    for (i = 1; i <= nr_lines; i++)
        report(lines[i])
    if (!nr_differ)
        print "no check differs"
    for (i = 1; i <= nr_allowed; i++)
        if (cited[i])
            printf "(%d) %s\n", i, reason[i]
    if (unexpected)
        printf "%d not expected\n", unexpected
    exit unexpected > 0
}
