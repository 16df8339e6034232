#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the forge's workflow runs must exist: scripts in the tree, targets in the Makefile of this build, tests by name.
# The workflow must have no steps besides its one command.
top=$(cd "$(dirname "$0")/../../.." && pwd)
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
workflow=$top/.github/workflows/ci.yml
failed=0

fail() {
    printf 'FAILED: %s\n' "$*"
    failed=1
}

commands=$(sed -n 's/^ *commands: //p' "$workflow")
[ "$(printf '%s\n' "$commands" | grep -c .)" -ge 7 ] || fail "the workflow has the commands: $commands"
[ "$(grep -c '^ *- run:' "$workflow")" = 1 ] || fail "the workflow has more than one command of its own"
for word in $(printf '%s\n' "$commands" | tr -d ';&' | tr ' =' '\n\n' | grep '/.*\.sh$'); do
    [ -f "$top/$word" ] || fail "there is no $word"
done
for target in $(printf '%s\n' "$commands" | grep -o 'make -C build [a-z-]*' | sed 's/.* //'); do
    grep -q "^$target:" "$build/Makefile" || fail "there is no target $target"
done
echo "$(printf '%s\n' "$commands" | wc -l) rows"
exit $failed
