# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs under memcheck what can run there, a line each: no error and nothing definitely lost.
#
# Not run, and why:
# * The uffd and uffd-sync backends. valgrind 3.19 does not know PAGEMAP_SCAN: it does not see that the kernel has written
#   the vector, and takes each entry for uninitialised; nor that UFFDIO_COPY fills pages.
# * The mprotect backend and test-mprotect, test-fill, test-kernel: valgrind takes SIGSEGV for itself, runs our handler in code that
#   it translated, and keeps its own idea of which memory may be written.
# * test-environment, test-faults, the soak: limits of address space and all threads one after the other.
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
    name=$1 expected=$2
    shift 2
    rm -f "$out/$name".*
    timeout -k 5 600 "$build/libtool" --mode=execute valgrind -q --error-exitcode=66 --leak-check=full --errors-for-leak-kinds=definite \
        --show-leak-kinds=definite --suppressions="$top/tests/analysis/valgrind.supp" --log-file="$out/$name.%p" \
        "$@" >"$out/$name" 2>&1
    status=$?
    errors=$(cat "$out/$name".* 2>/dev/null | grep -c 'at 0x')
    if [ $status = "$expected" ] && [ "$errors" = 0 ]; then
        echo "$name: passed"
    else
        failed=$((failed + 1))
        echo "$name: exit code $status, $errors reports, see valgrind/$name"
    fi
}

export CK_TIMEOUT_MULTIPLIER=50
for test in test-pageset test-region test-maps; do
    run $test 0 tests/unit/$test
done
run test-contract-none 0 env CK_RUN_SUITE=none tests/unit/test-contract
run version 0 ./writewatch --version
run help 0 ./writewatch --help
run bad-argument 1 ./writewatch scan --pid=x
echo "check-valgrind: $failed failed"
exit $((failed > 0))
