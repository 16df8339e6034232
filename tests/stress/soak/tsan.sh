# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the engine and the unit tests that have threads with ThreadSanitizer, in a
# folder of its own (tsan/), runs each, and prints for each that it passed or what was
# reported, or why it cannot run under ThreadSanitizer.
#
# Not run: collectors and alarms of the soak test, and the concurrent test that suspends
# writers. When a signal arrives while a thread computes, ThreadSanitizer calls its handler
# only at the thread's next call that it intercepts. That may take long, or be a call that
# the library makes after it has blocked signals and taken a lock: then the thread is
# suspended with the lock held. Nor kernel writes: ThreadSanitizer takes read(2) into a page
# for a plain store that races with the harvesters' loads. It is one, and the test is made
# to handle that.
set -u
top=$(cd "$(dirname "$0")/../../.." && pwd)
build=$(cd "${WW_BUILDDIR:-build}" && pwd) || exit 1
build=$build/tsan
tests="tests/unit/engine/test-page-set tests/unit/process/test-heap tests/unit/engine/test-region tests/unit/engine/test-lockless tests/unit/fill/test-fill tests/unit/backends/test-uffd-sync tests/unit/engine/test-concurrent"
# gcc 12's runtime cannot map its shadow memory if the kernel randomizes more than 28 bits of addresses.
fixed=
[ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28)" -le 28 ] || fixed="setarch -R"
failed=0

mkdir -p "$build"
(
    cd "$build" || exit 1
    [ -f Makefile ] || CFLAGS='-g -O1 -fsanitize=thread' "$top/configure" -q || exit 1
    make -j"$(nproc)" $tests tests/unit/contract/test-contract tests/stress/soak/soak
) >"$build.log" 2>&1 || {
    tail -n 20 "$build.log"
    echo "skipped: no build with -fsanitize=thread, see $build.log"
    exit 77
}
cd "$build" || exit 1

# run NAME SECONDS COMMAND...: runs a test and prints a line about it.
run() {
    name=$1 seconds=$2
    shift 2
    # With reports a process ends with exit code 66, also the children that tests fork; a child's leftover threads are
    # no fault of the library.
    TSAN_OPTIONS="suppressions=$top/tests/stress/soak/tsan.supp exitcode=66" \
        timeout -k 5 "$seconds" $fixed "$@" >"$name.out" 2>&1
    status=$?
    reports=$(grep -c '^SUMMARY: ThreadSanitizer' "$name.out")
    if [ $status = 0 ] && [ "$reports" = 0 ]; then
        echo "$name: passed"
    elif [ $status = 77 ]; then
        echo "$name: $(grep -m 1 -i skip "$name.out")"
    else
        failed=$((failed + 1))
        echo "$name: exit code $status, $reports reports, see tsan/$name.out"
        grep '^SUMMARY\|:[EF]:\|unexpected memory' "$name.out" | sort | uniq -c | head -n 10
    fi
}

export CK_TIMEOUT_MULTIPLIER=10 WW_TEST_SECONDS=2
for test in $tests; do
    run "${test##*/}" 900 "$test"
done
for backend in uffd mprotect; do
    run "test-contract-$backend" 900 env CK_RUN_SUITE=$backend tests/unit/contract/test-contract
done
for backend in uffd uffd-sync mprotect; do
    run "soak-$backend" 200 env WW_BACKEND=$backend tests/stress/soak/soak --seconds=7 --collectors=0 --alarms=0 \
        --kernel-writers=0
done
echo "check-tsan: $failed failed"
exit $((failed > 0))
