#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# matrix.sh FILE: boots each kernel of WW_KERNELS in each configuration (run.sh),
# WW_KERNEL_JOBS machines at a time, and writes the tables of docs/evidence/KERNELS.md to FILE,
# which it replaces at the end and in one step. WW_CONFIGURATIONS selects configurations.
# With WW_KERNEL_RESUME=1 it does not run a machine again that came to its end without a
# failure, as long as that machine's log is still there.
# Exit code 1 if anything failed, 77 with a reason (and FILE untouched) where the
# machines cannot run. Progress goes to standard error, the machines' output to
# $WW_BUILDDIR/kernels/logs.
set -u
file=$1
here=$(cd "$(dirname "$0")" && pwd)
WW_BUILDDIR=$(cd "${WW_BUILDDIR:-build}" && pwd) || exit 1
kernels=${WW_KERNELS:-6.1 6.12.*deb12 7}
configurations=${WW_CONFIGURATIONS:-plain huge swap ksm moving nobody undumpable noproc deny-eperm deny-enosys deny-scan i686}
cache=${XDG_CACHE_HOME:-/var/tmp}/writewatch/kernels
logs=$WW_BUILDDIR/kernels/logs
# An emulated processor is 5 to 20 times slower than the one the tests' limits were made for.
export WW_BUILDDIR WW_KERNEL_BUILT=1 CK_TIMEOUT_MULTIPLIER="${CK_TIMEOUT_MULTIPLIER:-10}"

# Tests every backend in the plain configuration, elsewhere the best that works there; shortens the long tests where
# only permissions differ.
set_amounts() {
    case $1 in
    nobody | undumpable | noproc | deny-*) steps=200 seconds=0.1 ;;
    *) steps=1000 seconds=0.5 ;;
    esac
    export WW_TEST_STEPS="${WW_TEST_STEPS:-$steps}" WW_TEST_SECONDS="${WW_TEST_SECONDS:-$seconds}"
    [ "$1" = plain ] || export WW_TEST_BEST=1
}

# One machine; called again by xargs below.
if [ "$file" = one ]; then
    set_amounts "$3"
    began=$(date +%s)
    sh "$here/run.sh" "$2" "$3" >/dev/null
    status=$?
    [ $status != 77 ] || echo "@skipped run.sh had no machine" >"$logs/$2.$3.out"
    echo "$2, $3: $(($(date +%s) - began)) s$([ $status = 0 ] || echo ", exit code $status")" >&2
    # A signal that ended this run is meant for all runs: at exit code 255 xargs stops.
    [ $status -lt 128 ] || exit 255
    exit 0
fi

mkdir -p "$logs"
set -f
releases=
for kernel in $kernels; do
    folder=$(sh "$here/fetch.sh" "$kernel")
    status=$?
    [ $status = 0 ] || exit $status
    releases="$releases ${folder##*/}"
done
# One short run shows whether anything else is missing.
sh "$here/build.sh" amd64 || exit $?
set -- $releases
sh "$here/run.sh" "$1" plain true >/dev/null || exit $?
without_i686=
case " $configurations " in
*" i686 "*)
    sh "$here/build.sh" i386 >"$logs/i386.reason" 2>&1 ||
        without_i686="no static programs for i386: $(tail -n 1 "$logs/i386.reason")"
    ;;
esac

# The 32-bit programs run on the last kernel alone.
configurations_of() {
    case " $releases" in
    *" $1") echo "$configurations" ;;
    *) echo " $configurations " | sed 's/ i686 / /' ;;
    esac
}

# is_good FILE: the machine ended by itself, and every program passed or was skipped.
is_good() {
    grep -aq '^@done' "$1" 2>/dev/null && ! grep -aq '^@stopped\|^@complaint\|^@skipped' "$1" &&
        ! grep -a '^@end ' "$1" | grep -qv ' \(0\|77\) [0-9]*$'
}

for release in $releases; do
    for configuration in $(configurations_of "$release"); do
        [ "${WW_KERNEL_RESUME:-}" != 1 ] || ! is_good "$logs/$release.$configuration.out" || continue
        rm -f "$logs/$release.$configuration.out"
        if [ "$configuration" = i686 ] && [ -n "$without_i686" ]; then
            echo "@skipped $without_i686" >"$logs/$release.i686.out"
        else
            echo "$release" "$configuration"
        fi
    done
done | xargs -n 2 -P "${WW_KERNEL_JOBS:-2}" sh "$0" one || {
    echo "matrix.sh: the runs were interrupted; $file is left as it was" >&2
    exit 1
}

{
    cat <<'END'
# Kernels

Made by `make check-kernels`: Debian's own kernels, each booted by qemu's emulator (two processors, 2 GB) once
for every configuration, with this tree's test programs, statically linked, in an initramfs. One configuration
on one kernel, or a shell there: `tests/system/kernels/run.sh`.

A column is a backend, and has what the suite of that name did; numbers in brackets are reasons, at the end. A
program that needs no backend, or chooses its own, stands in the last column. Every backend is tested in the plain
configuration, in the others the best one that works. Suites that are not about threads have one processor.

| configuration | what it is |
|---|---|
| plain | root, the kernel's defaults, files on ext4 |
| huge | transparent huge pages always, khugepaged at work, folios of 64 and 256 kB where there are such, hugetlb pages reserved |
| swap | 12 MB of memory for each test program, and swap on zram |
| ksm | KSM runs all the time, merges all memory of the tests (prctl), and merges zeros into the zero page |
| moving | two NUMA nodes with automatic balancing, and compaction every second |
| nobody | user 65534, vm.unprivileged_userfaultfd=0 |
| undumpable | the same, in programs that may not be read and so are not dumpable |
| noproc | /proc is not mounted |
| deny-eperm, deny-enosys | a seccomp filter answers userfaultfd, and the request to its device, by EPERM, by ENOSYS |
| deny-scan | a seccomp filter answers PAGEMAP_SCAN by ENOTTY, as kernels before 6.7 do |
| i686 | the programs built for 32 bits, on the last kernel only |
END
    for release in $releases; do
        for configuration in $(configurations_of "$release"); do
            echo "@machine $release $configuration $(cat "$cache/$release/about")"
            cat "$logs/$release.$configuration.out" 2>/dev/null
        done
    done | awk -f "$here/table.awk"
    echo "status $?"
} >"$file.new"
status=$(sed -n '$s/^status //p' "$file.new")
sed -i '$d' "$file.new"
mv "$file.new" "$file"
[ "$status" = 0 ] || echo "failures are listed at the end of $file" >&2
exit "$status"
