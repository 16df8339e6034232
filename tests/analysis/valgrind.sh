# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs under memcheck the programs that can run there, and prints a line for each: passed means no error and nothing
# definitely lost.
#
# Not run, and why:
# * The uffd and uffd-sync backends. valgrind 3.19 does not know PAGEMAP_SCAN: it does not see that the kernel has written
#   the vector, and takes each entry for uninitialised; nor that UFFDIO_COPY fills pages.
# * test-mprotect, test-fill, test-kernel: valgrind takes SIGSEGV for itself and keeps its own idea of which memory may be
#   written. A handler that just opens a page works, if registers are up to date at each access (--vex-iropt-register-updates).
# * Of test-contract the cases `sizes` (4 GB of address space, all of which memcheck tracks), `process` (children, whose
#   exit codes would be valgrind's, and many signals) and the random ones (minutes each).
# * test-environment, test-faults, the soak: they limit the address space, or need threads that run at the same time.
# Leaks of test-contract are not looked for here: check-asan does that.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${WW_BUILDDIR:-build}" && pwd) || exit 1
out=$build/valgrind
failed=0

command -v valgrind >/dev/null || {
    echo "skipped: valgrind is not installed"
    exit 77
}
mkdir -p "$out"
cd "$build" || exit 1

# run NAME EXIT-CODE COMMAND...
run() {
    name=$1 expected=$2 leaks=full
    shift 2
    [ -z "${CK_RUN_CASE:-}" ] || leaks=no
    rm -f "$out/$name" "$out/$name".*
    timeout -k 5 600 "$build/libtool" --mode=execute valgrind -q --vex-iropt-register-updates=allregs-at-mem-access \
        --error-exitcode=66 --leak-check=$leaks --errors-for-leak-kinds=definite \
        --show-leak-kinds=definite --suppressions="$top/tests/analysis/valgrind.supp" --log-file="$out/$name.%p" \
        "$@" >"$out/$name" 2>&1
    status=$?
    errors=$(cat "$out/$name".* 2>/dev/null | grep -c 'at 0x')
    [ "$name" = "${name#test-}" ] || grep -q 'Checks: [1-9]' "$out/$name" || errors="no test ran, $errors"
    if [ $status = "$expected" ] && [ "$errors" = 0 ]; then
        echo "$name: passed"
    else
        failed=$((failed + 1))
        echo "$name: exit code $status, $errors reports, see valgrind/$name"
    fi
}

export CK_TIMEOUT_MULTIPLIER=50
for test in tests/unit/engine/test-page-set tests/unit/engine/test-region tests/unit/kernel/test-maps; do
    run ${test##*/} 0 $test
done
# Exported, because with env(1) memcheck would run env(1).
for CK_RUN_SUITE in none mprotect; do
    for CK_RUN_CASE in answers arguments choice handover lockless mappings next 'odd entries' populated required shared; do
        export CK_RUN_SUITE CK_RUN_CASE
        run "test-contract-$CK_RUN_SUITE-${CK_RUN_CASE% *}" 0 tests/unit/contract/test-contract
    done
done
unset CK_RUN_SUITE CK_RUN_CASE
run version 0 ./writewatch --version
run help 0 ./writewatch --help
run bad-argument 1 ./writewatch scan --pid=x
echo "check-valgrind: $failed failed"
exit $((failed > 0))
