# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes the tables of docs/evidence/KERNELS.md from the machines' output (run.sh), each
# after a line "@machine RELEASE CONFIGURATION PACKAGE VERSION". Ends with exit code 1 if
# anything failed. A machine or a program that did not come to its end, and a configuration
# without an effect, are failures, never left out.

function cell(text, column) {
    key = release SUBSEP nr_rows[release] SUBSEP column
    cells[key] = cells[key] (key in cells && cells[key] != "" ? "; " : "") text
}

# Returns the number of a reason on a backend (or -), and adds NAME to the tests that it held for.
function remark(column, reason, name) {
    if (!((column, reason) in remark_of)) {
        reasons[++nr_remarks] = reason
        remark_column[nr_remarks] = column
        remark_of[column, reason] = nr_remarks
    }
    if (name != "" && !((column, reason, name) in remarked))
        remark_names[remark_of[column, reason]] = remark_names[remark_of[column, reason]] ", `" name "`"
    remarked[column, reason, name] = 1
    return remark_of[column, reason]
}

# A full sentence: where, what, why.
function remark_text(i,   text) {
    text = substr(remark_names[i], 3)
    text = (text == "" ? "everything" : text) ": " reasons[i] "."
    return remark_column[i] == "-" ? text : "On " remark_column[i] ", " text
}

function column_of(name) {
    if (name in is_backend)
        return name
    return "-"
}

function new_backend(name) {
    if (!(name in is_backend)) {
        is_backend[name] = 1
        backends[++nr_backends] = name
    }
}

function failure(text) {
    failures[++nr_failures] = release ", " configuration ": " text
}

function fact(text) {
    facts[release, configuration] = facts[release, configuration] (facts[release, configuration] == "" ? "" : "; ") text
}

function end_machine() {
    if (release == "" || skipped)
        return
    if (done) {
        if (nr_rows[release] == rows_before)
            failure("no test program ran")
        return
    }
    if (program != "")
        end_program("no end")
    failure("the machine did not come to its end" (stopped == "" ? "" : ": " stopped))
    fact("**the machine did not come to its end**")
}

function end_program(status,   column, text, broken, shown) {
    broken = status != 0 && status != 77
    if (program == "writewatch") {
        # The probe is no test: it exits with 77 where the kernel cannot track writes.
        program = ""
        return
    }
    nr_rows[release]++
    row_name[release, nr_rows[release]] = configuration " | " program
    for (column in nr_checks) {
        if (nr_bad[column]) {
            text = "**" nr_bad[column] " of " nr_checks[column] " failed**"
            broken = shown = 1
        } else {
            text = nr_checks[column] " passed"
        }
        cell(text (skips[column] == "" ? "" : ", skips " skips[column]), column)
        delete skips[column]
    }
    for (column in skips)
        cell("skipped " skips[column], column)
    if (nr_suites_begun != nr_suites)
        broken = 1
    else if (status == 0 && !nr_suites && !nr_skips)
        cell("passed", "-")
    if (broken && !shown)
        cell("**" (status == "no end" ? "no end" : status == 137 ? "killed (time limit?)" : nr_suites_begun != nr_suites ? "a suite without an end" : "exit code " status) "**", "-")
    if (broken)
        failure(program (status == "no end" ? " has no end" : " ended with exit code " status) details_text())
    nr_programs++
    program = ""
}

function details_text(   i, text) {
    for (i = 1; i <= nr_details && i <= 8; i++)
        text = text "\n  * `" details[i] "`"
    return text
}

# skip TEXT: "backend X: reason", "test on X: reason", "test: reason", ": reason".
function skip(text,   colon, name, reason, column, words, nr, i) {
    nr_skips++
    colon = index(text, ": ")
    name = substr(text, 1, colon - 1)
    reason = substr(text, colon + 2)
    column = "-"
    nr = split(name, words, " ")
    sub(/_fn$/, "", words[1])
    name = words[1]
    if (nr == 2 && words[1] == "backend") {
        column = words[2]
        name = ""
    } else if (nr == 3 && words[2] == "on")
        column = words[3]
    if (column != "-")
        new_backend(column)
    i = remark(column, reason, name)
    if (index(" " skips[column] " ", " [" i "] ") == 0)
        skips[column] = skips[column] (skips[column] == "" ? "" : " ") "[" i "]"
}

$1 == "@machine" {
    end_machine()
    release = $2
    configuration = $3
    package[release] = $4 " " $5
    if (!(release in nr_configurations))
        releases[++nr_releases] = release
    configurations[release, ++nr_configurations[release]] = configuration
    rows_before = nr_rows[release]
    done = skipped = 0
    program = stopped = ""
}
$1 == "@skipped" {
    facts[release, configuration] = "skipped: " substr($0, 10)
    skipped = 1
}
$1 == "@begin" {
    program = $2
    nr_details = nr_suites = nr_suites_begun = nr_skips = 0
    suite = ""
    delete nr_checks
    delete nr_bad
    delete skips
}
$1 == "@end" {
    end_program($3)
}
$1 == "@effect" {
    text = substr($0, index($0, $3))
    if ($2 == "1")
        fact(text)
    else if ($2 == "-")
        fact("does not apply: " text)
    else {
        fact("**not so**: " text)
        failure("it could not be shown that " text)
    }
}
$1 == "@complaint" {
    text = substr($0, 12)
    gsub(/\|/, "\\|", text)
    if (!((release, configuration, text) in complained))
        fact("kernel log: `" text "`")
    complained[release, configuration, text] = 1
}
$1 == "@stopped" {
    stopped = substr($0, 10)
}
$1 == "@done" {
    done = 1
}
/^  [a-z-]+ +(works|does not work)/ && program == "writewatch" {
    new_backend($1)
}
/^the library takes/ && program == "writewatch" {
    takes[release, configuration] = $4
}
/^SKIP/ && program != "" {
    skip(substr($0, 6))
}
/^Running suite\(s\): / && program != "" {
    suite = column_of($3)
    nr_suites_begun++
}
/^[0-9]+%: Checks: / && program != "" {
    nr_suites++
    nr_checks[suite] += $3
    nr_bad[suite] += $5 + $7
}
/:[0-9]+:[FE]:/ && program != "" {
    details[++nr_details] = $0
    sub(/^.*\/tests\//, "tests/", details[nr_details])
}

END {
    end_machine()
    for (i = 1; i <= nr_releases; i++) {
        release = releases[i]
        print "\n## " release "\n\nDebian's package " package[release] ".\n"
        print "| configuration | the library takes | seen to be in force |\n|---|---|---|"
        for (j = 1; j <= nr_configurations[release]; j++) {
            configuration = configurations[release, j]
            print "| " configuration " | " takes[release, configuration] " | " facts[release, configuration] " |"
        }
        heading = "\n| configuration | program |"
        rule = "|---|---|"
        for (j = 1; j <= nr_backends; j++) {
            heading = heading " " backends[j] " |"
            rule = rule "---|"
        }
        print heading " without a backend |\n" rule "---|"
        for (j = 1; j <= nr_rows[release]; j++) {
            row = "| " row_name[release, j] " |"
            for (k = 1; k <= nr_backends; k++)
                row = row " " cells[release, j, backends[k]] " |"
            print row " " cells[release, j, "-"] " |"
        }
    }
    print "\n## What was skipped, and why\n"
    for (i = 1; i <= nr_remarks; i++)
        print "* [" i "] " remark_text(i)
    if (nr_remarks == 0)
        print "Nothing."
    print "\n## What failed\n"
    for (i = 1; i <= nr_failures; i++)
        print "* " failures[i]
    if (nr_failures == 0)
        print "Nothing."
    exit nr_failures > 0 || nr_programs == 0
}
