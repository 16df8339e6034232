#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Compares the manual pages with what they describe: mandoc and groff find no fault in them;
# each exported function has a page of its name, a declaration and a versioned symbol, and
# nothing else is exported; each subcommand has a page; environment variables and options
# are those of the code; titles name the project and its version; and references between
# the pages lead to pages that exist. Whether the text is true, people have to check.
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
top=$(cd "$(dirname "$0")/../../.." && pwd)
library=$build/.libs/libwritewatch.so
version=WRITEWATCH_0.2
pages="$top/man/*.[1-9]"
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

for tool in mandoc nm; do
    command -v $tool >/dev/null || {
        echo "skipped: $tool is not installed (Debian: mandoc, binutils)"
        exit 77
    }
done

# each_in NAMES OTHERS TEXT: every name must be among the others.
each_in() {
    for name in $1; do
        case " $(echo $2) " in
        *" $name "*) ;;
        *) fail "$name: $3" ;;
        esac
    done
}

# both_ways NAMES TEXT OTHERS TEXT: the two lists must have the same names.
both_ways() {
    [ -n "$1" ] && [ -n "$3" ] || fail "an empty list: $2, $4"
    each_in "$1" "$3" "$2, not $4"
    each_in "$3" "$1" "$4, not $2"
}

# references WORD FILE...: prints what follows the macro WORD, a name and its section, as name.3.
references() {
    word=$1
    shift
    awk -v word="$word" '{
        for (i = 1; i < NF; i++) {
            if ($i == word || $i == "." word) {
                print word == "Xr" ? $(i + 1) "." $(i + 2) : $(i + 1)
            }
        }
    }' "$@" | sort -u
}

# names_of PAGE: the names in its section NAME.
names_of() {
    awk '/^\.Sh /{ inside = $2 == "NAME" } inside && $1 == ".Nm" { print $2 }' "$1"
}

# The file of a page by its name and section; for a link, the page it leads to.
file_of() {
    link=$build/man/links/$1
    if [ -f "$top/man/$1" ]; then
        echo "$top/man/$1"
    elif [ -f "$link" ]; then
        echo "$top/man/$(sed -n 's|^\.so man3/||p' "$link")"
    fi
}

check_markup() {
    for page in $pages; do
        said=$(mandoc -T lint -W warning "$page" 2>&1) && [ -z "$said" ] || fail "mandoc: $said"
        if command -v groff >/dev/null; then
            said=$(groff -t -man -ww -z "$page" 2>&1) && [ -z "$said" ] || fail "groff: $page: $said"
        fi
        grep -q SPDX-License-Identifier "$page" || fail "$page: no licence"
    done
    command -v groff >/dev/null || echo "groff is not installed: its warnings were not looked at"
}

check_functions() {
    mapped=$(sed -n '/^global:/,/^local:/s/^ *\([a-zA-Z_0-9]*\);$/\1/p' "$top/linux/libwritewatch.map")
    # A declaration begins in the first column, which comments do not.
    declared=$(cat "$top"/include/*.h | sed -n 's/^[a-z].*[ *]\(ww_[a-z0-9_]*\)(.*/\1/p')
    exported=$(nm -D --defined-only "$library" | awk -v version=$version '$3 != version { print $3 }')
    both_ways "$mapped" "in libwritewatch.map" "$declared" "declared in include/"
    both_ways "$(printf "%s@@$version\n" $mapped)" "in libwritewatch.map" "$exported" "exported"
    for name in $mapped; do
        page=$(file_of "$name.3")
        if [ -f "$page" ]; then
            names_of "$page" | grep -qx "$name" || fail "$name: not in the section NAME of $page"
            grep -q "^\.F[no] $name" "$page" || fail "$name: no prototype in $page"
        else
            fail "$name: no page"
        fi
    done
    for page in "$top"/man/*.3; do
        each_in "$(names_of "$page")" "writewatch $mapped" "in $page, but not exported"
    done
}

check_variables() {
    calls=$(cd "$top" && grep -rhoE 'getenv\([^)]*\)' linux dlls programs)
    # A name that is not a literal string cannot be looked up in a page.
    odd=$(echo "$calls" | grep -v '^getenv("[A-Z_]*")$')
    [ -z "$odd" ] || fail "an environment variable whose name is not written out: $odd"
    read=$(echo "$calls" | sed -n 's/^getenv("\(WW_[A-Z_]*\)")$/\1/p' | sort -u)
    documented=$(references Ev $pages | grep '^WW_')
    both_ways "$read" "read by the code" "$documented" "in a manual page"
}

# help_options SUBCOMMAND: prints the options in its --help, without those of other commands in quotes and examples.
help_options() {
    "$build/writewatch" $1 --help | sed "s/'[^']*'//g; /^  writewatch /d" | grep -oE "(^|[^[:alnum:]_-])--?[a-z][a-z-]*" | sed 's/^[^-]//' | sort -u
}

# Prints the options in a part of a page, which is on standard input.
page_options() {
    awk '{
        for (i = 1; i < NF; i++) {
            if ($i ~ /^\.?Fl$/ && $(i + 1) == "Fl" && $(i + 2) ~ /^[a-z]/) {
                print "--" $(i + 2)
            } else if ($i ~ /^\.?Fl$/ && $(i - 1) !~ /^\.?Fl$/ && $(i + 1) ~ /^[a-z]/) {
                print "-" $(i + 1)
            }
        }
    }' | sort -u
}

# section NAME PAGE
section() {
    awk -v name="$1" '/^\.Sh /{ inside = $2 == name } inside' "$2"
}

# A subcommand's synopsis and the items of its description must have the options of its --help; writewatch(1) has those
# that all subcommands have. Every option that any page mentions must exist.
check_options() {
    overview=$top/man/writewatch.1
    subcommands=$("$build/writewatch" --help | sed -n 's/.*writewatch \([a-z]*\) .*\[.*/\1/p')
    [ -n "$subcommands" ] || fail "the help names no subcommand"
    listed=$(section DESCRIPTION "$overview" | sed -n 's/^\.It Cm \([a-z]*\).*/\1/p')
    both_ways "$subcommands" "in the help" "$listed" "in writewatch(1)"
    known=$(help_options)
    own=$("$build/writewatch" --help | grep -oE '^  -.*--[a-z]+|^  --[a-z]+' | tr -d ',')
    each_in "$own" "$(page_options <"$overview")" "in the help, not in writewatch(1)"
    for subcommand in $subcommands; do
        options=$(help_options "$subcommand" | grep -vx -e -h -e --help)
        page=$top/man/writewatch-$subcommand.1
        if [ "$subcommand" = help ]; then
            [ -z "$options" ] || fail "help has options: $options"
            continue
        elif [ ! -f "$page" ]; then
            fail "$subcommand has no page"
            continue
        fi
        grep -qx ".Cm $subcommand" "$page" || fail "$page: no synopsis of $subcommand"
        both_ways "$options" "in the help of $subcommand" "$(section SYNOPSIS "$page" | page_options)" "in its synopsis"
        both_ways "$options" "in the help of $subcommand" "$(section DESCRIPTION "$page" | grep '^\.It Fl' | page_options)" \
            "in its description"
        known="$known $options"
    done
    both_ways "$known" "in a --help" "$(cat "$top"/man/writewatch*.1 | page_options)" "in a page of the command"
    for page in "$top"/man/writewatch-*.1; do
        subcommand=${page##*/writewatch-}
        each_in "${subcommand%.1}" "$subcommands" "has a page, but is no subcommand"
    done
}

# A page must have its own name, and in its first and last line the project and this version, not another system.
check_titles() {
    release=$("$build/writewatch" --version)
    for page in $pages; do
        name=${page##*/}
        names_of "$page" | grep -qx "${name%.*}" || fail "$page does not have its own name"
        for formatter in "mandoc -T ascii" "groff -t -man -T ascii -P -c"; do
            command -v "${formatter%% *}" >/dev/null || continue
            said=$($formatter "$page" 2>/dev/null | grep . | sed -n '1p; $p')
            case $said in
            *BSD* | *Debian*) fail "$page: the title of another system: $said" ;;
            *"
$release "*) ;;
            *) fail "$page: the last line has not $release: $said" ;;
            esac
        done
    done
}

check_references() {
    for reference in $(references Xr $pages | grep -E '^(ww_|writewatch)'); do
        [ -f "$(file_of "$reference")" ] || fail "a page refers to $reference, which there is not"
    done
}

check_markup
check_functions
check_variables
check_options
check_titles
check_references
exit $failed
