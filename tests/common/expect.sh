# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by the tests of the command: checks what a command prints, and its exit code.
# The test ends with `exit $failed`.
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
ww=$build/writewatch
deny=$build/tests/common/deny
failed=0

fail() {
    printf 'FAILED: %s\n' "$*"
    failed=1
}

missing() { echo "not tried: $*"; }

# expect CODE PATTERN COMMAND...: COMMAND must end with CODE and print a line that matches PATTERN. $out is its output.
expect() {
    code=$1 pattern=$2
    shift 2
    out=$("$@" 2>&1 </dev/null)
    status=$?
    if [ $status != "$code" ] || ! printf '%s\n' "$out" | grep -q -- "$pattern"; then
        fail "$*: exit code $status, no line like \"$pattern\" in:
$out"
    fi
}

# expect_usage_of SUBCOMMAND PATTERN ARGUMENT...: exit code 1, and one line that names the problem and --help.
expect_usage_of() {
    subcommand=$1 pattern=$2
    shift 2
    expect 1 "^writewatch: .*$pattern.*; see 'writewatch $subcommand --help'\$" "$ww" "$subcommand" "$@"
    [ "$(printf '%s\n' "$out" | wc -l)" = 1 ] || fail "$subcommand $*: more than one line"
}
