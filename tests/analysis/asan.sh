# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds everything with AddressSanitizer and UndefinedBehaviorSanitizer in a folder of its own (asan/), runs each test
# natively, and prints a line for each: passed, skipped, or what was reported. A single test that cannot run under
# AddressSanitizer prints so itself (NOT_UNDER_ASAN).
#
# Not run, and why:
# * The preload. Its host would have to load the sanitizer's runtime first; under Wine that reserves
#   16 TB of address space where the loader wants to place Windows' images, takes SIGSEGV, by which Wine
#   serves guard pages and system calls, and scans stacks that Wine switches. What the preload adds to the engine
#   is in libnt.la, which test-nt runs here; elf.c, hook.c and remote.c run in tests/system/preload/test-attach.sh only.
# * test-pagemap: it did not end within 200 s; it asks for whole address spaces, to which the sanitizer adds terabytes of shadow.
# * test-softdirty and others skip themselves if the kernel lacks what they test; their line says so.
#
# The options, with reasons:
# * detect_stack_use_after_return stays off: its fake stacks are not where pthread_attr_setstack() says.
# * handle_segv=0, handle_sigbus=0: the handlers under test are ours, and a fault that is not ours must end the
#   test's process by its signal, which tests look for.
# * use_sigaltstack=0: a test gives a thread a signal stack of its own; the runtime would unmap that instead of its own.
# * allocator_may_return_null=1: tests allocate more memory than there is.
# * A leak does not end a process (LSAN_OPTIONS). It counts if a function of linux/, dlls/ or programs/ allocated it:
#   a test's own arrays end with its process. abort_on_error keeps all else fatal.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${WW_BUILDDIR:-build}" && pwd) || exit 1
build=$build/asan
seconds=${WW_SOAK_SECONDS:-20}
flags='-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer'
failed=0 ran=0

mkdir -p "$build"
(
    cd "$build" || exit 1
    [ -f Makefile ] || CFLAGS=$flags "$top/configure" -q || exit 1
    make -j"$(nproc)" all && make -j"$(nproc)" sanitized-programs
) >"$build.log" 2>&1 || {
    tail -n 20 "$build.log"
    grep -q 'sanitize' "$build.log" && ! grep -q ' error: ' "$build.log" || exit 1
    echo "skipped: no build with -fsanitize=address,undefined, see $build.log"
    exit 77
}
cd "$build" || exit 1

# our_leaks OUTPUT: counts the leaks that a function of linux/, dlls/ or programs/ allocated.
our_leaks() {
    awk '/leak of/ { block = 1; ours = 0; next }
        block && /\/(linux|dlls|programs)\// { ours = 1 }
        block && /^$/ { nr += ours; block = 0; ours = 0 }
        END { print nr + ours }' "$1"
}

# run NAME SECONDS COMMAND...: prints a line.
run() {
    name=$1 limit=$2
    shift 2
    leaks_too=1
    case " $* " in *" CHECK_LEAKS=0 "*) leaks_too=0 ;; esac
    ASAN_OPTIONS=detect_leaks=$leaks_too:abort_on_error=1:handle_segv=0:handle_sigbus=0:use_sigaltstack=0:allocator_may_return_null=1 \
        LSAN_OPTIONS=exitcode=0 UBSAN_OPTIONS=print_stacktrace=1 timeout -k 5 "$limit" "$@" >"$name.out" 2>&1
    status=$?
    reports=$(grep -cE 'ERROR: AddressSanitizer|runtime error:' "$name.out")
    leaks=$(our_leaks "$name.out")
    left_out=$(grep -c '^SKIP .* under AddressSanitizer' "$name.out")
    if [ $status = 0 ] && [ "$reports" = 0 ] && [ "$leaks" = 0 ]; then
        ran=$((ran + 1))
        echo "$name: passed$([ "$left_out" = 0 ] || echo ", $left_out left out")"
        grep '^SKIP .* under AddressSanitizer' "$name.out" | sort | uniq -c
    elif [ $status = 77 ]; then
        echo "$name: $(grep -m 1 -i skip "$name.out")"
    else
        failed=$((failed + 1))
        echo "$name: exit code $status, $reports reports, $leaks leaks, see asan/$name.out"
        grep -E '^SUMMARY|runtime error:|:[EF]:' "$name.out" | sort | uniq -c | head -n 10
    fi
}

export CK_TIMEOUT_MULTIPLIER=10 WW_TEST_SECONDS=2
for test in $(cat sanitized-programs.list); do
    case $test in
    */test-pagemap) echo "test-pagemap: not run: see the list at the top" ;;
    # Hundreds of processes per backend, each of which looks for leaks for half a second: only those of one backend do.
    */test-contract)
        run test-contract-leaks 3600 env CK_RUN_SUITE=uffd "$test"
        run test-contract 3600 env CHECK_LEAKS=0 "$test"
        ;;
    # As many processes, most of them under a seccomp filter that the search for leaks does not survive.
    */test-refusal) run test-refusal 3600 env CHECK_LEAKS=0 "$test" ;;
    *) run "$(basename "$test")" 3600 "$test" ;;
    esac
done
for backend in uffd uffd-sync mprotect; do
    run "soak-$backend" $((seconds + 100)) env WW_BACKEND=$backend tests/stress/soak/soak --seconds=$((seconds / 3 + 1))
done
if [ -f tests/system/loader/guest.exe ]; then
    for backend in uffd mprotect; do
        run "loader-$backend" 60 env WW_BACKEND=$backend tests/system/loader/loader tests/system/loader/guest.exe
    done
    run damage 300 tests/system/loader/damage tests/system/loader/guest.exe
else
    echo "loader: skipped: guest.exe was not built: mingw-w64 is missing"
fi
run probe 60 ./writewatch probe
run scan 60 ./writewatch scan --pid=$$
echo "check-asan: $ran passed, $failed failed"
exit $((failed > 0))
