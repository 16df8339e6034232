# SPDX-License-Identifier: LGPL-2.1-or-later
# soak.sh SECONDS SEED LIMIT: runs the soak test as a Windows program under the shim
# (64-bit, and 32-bit where this Wine can) all the time, and beside it natively with
# each backend in turn. A thread without progress for LIMIT seconds is a deadlock. Prints
# the last line of each part, and the output of a part that fails.
. "$(dirname "$0")/../../system/wine/env.sh"
seconds=$1 seed=$2 limit=$3
soak=$build/tests/stress/soak
failed=0 ran=0

# Prints how many pages the kernel has moved since it booted. A page that is moved at the moment of its reset comes
# out as written (tests/system/kernels/test-moving.c). No other page may be reported that was not written.
nr_moved() {
    sed -n 's/^pgmigrate_success //p' /proc/vmstat
}

# run NAME COMMAND...: runs one part and counts it if it fails.
run() {
    name=$1 before=$(nr_moved)
    shift
    "$@" >"$soak/$name.out" 2>"$soak/$name.err"
    status=$?
    [ $status != 77 ] || { # exit code 77: it says why
        echo "$name: $(grep -m 1 skipped "$soak/$name.out")"
        return
    }
    ran=$((ran + 1))
    if [ $status = 4 ]; then
        moved=$(($(nr_moved) - before))
        spurious=$(sed -n 's/^soak: .* spurious=\([0-9]*\) .*/\1/p' "$soak/$name.out" | tail -n 1)
        if [ "$moved" -gt $((100 * spurious)) ]; then
            echo "$name: $spurious pages were reported again; the kernel moved $moved meanwhile"
            status=0
        fi
    fi
    # A part that prints no summary has not run.
    [ $status != 0 ] || grep -q '^soak: seconds=' "$soak/$name.out" || status=none
    [ $status = 0 ] || {
        failed=$((failed + 1))
        echo "$name: exit code $status"
        head -n 1000 "$soak/$name.out"
        tail -n 20 "$soak/$name.err"
    }
    echo "$name: $(tail -n 1 "$soak/$name.out" | tr -d '\r')"
}

native() {
    WW_BACKEND=$1 timeout -k 5 $((native_seconds + 2 * limit + 60)) "$soak/soak" --seconds=$native_seconds \
        --seed="$seed" --limit="$limit"
}

# One heap for all threads, so that they share its lock as many threads do. The watchdog ends a run that hangs long
# before the timeout.
windows() {
    MALLOC_ARENA_MAX=1 shim $((wine_seconds + 2 * limit + 60)) "$1" --seconds=$wine_seconds --seed="$seed" \
        --limit="$limit"
}

# The Windows programs that this Wine can run.
programs=
if ! command -v wine >/dev/null; then
    echo "under Wine: skipped: wine is not installed"
elif ! "$build/writewatch" probe >/dev/null; then
    echo "under Wine: skipped: userfaultfd write tracking does not work here"
else
    make_prefix
    for bits in 64 32; do
        folder=
        [ $bits = 64 ] || folder=i686/
        if [ ! -f "$soak/${folder}soak.exe" ]; then
            echo "wine$bits: skipped: ${folder}soak.exe was not built: mingw-w64 is missing"
        elif ! stock 60 "$soak/${folder}soak.exe" --seconds=1 --stock=1 | grep -q '^soak: seconds='; then
            echo "wine$bits: skipped: this Wine does not run $bits-bit programs"
        else
            programs="$programs $bits"
        fi
    done
fi
native_seconds=$((seconds / 3)) wine_seconds=$seconds
case $programs in
*64*32) wine_seconds=$((seconds / 2)) ;;
esac
[ $native_seconds -gt 0 ] || native_seconds=1

echo "seed $seed"
{
    for bits in $programs; do
        case $bits in
        64) run wine64 windows "$soak/soak.exe" ;;
        32) run wine32 windows "$soak/i686/soak.exe" ;;
        esac
    done
    echo "$ran $failed" >"$soak/wine.counts"
} &
for backend in uffd uffd-sync mprotect; do
    run $backend native $backend
done
wait
read -r wine_ran wine_failed <"$soak/wine.counts"
ran=$((ran + wine_ran)) failed=$((failed + wine_failed))
echo "soak: $ran parts, $failed failed"
[ $ran -gt 0 ] || exit 77
exit $((failed > 0))
