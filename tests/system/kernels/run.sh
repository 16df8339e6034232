#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# run.sh KERNEL [CONFIGURATION] [PROGRAM ARGUMENT...]: boots one of Debian's kernels
# (as fetch.sh names them) in a virtual machine and runs the test programs, or the
# one program, in one of the configurations of tests/system/kernels/init:
#
#   plain huge swap ksm moving nobody undumpable noproc
#   deny-eperm deny-enosys deny-scan i686
#
# The program `shell` is an interactive shell there; `poweroff -f` or ctrl-a x ends
# it. For example: run.sh 6.12 swap test-contract; run.sh 7 plain shell.
#
# Prints the machine's output; that and the kernel's messages are kept in
# $WW_BUILDDIR/kernels/logs. Exit code 0: the machine came to its end, whether tests
# passed or failed; 1: it did not; 77: something is missing, with a reason.
# WW_QEMU_ACCEL (tcg), WW_QEMU_MEMORY (2048 MB), WW_MACHINE_SECONDS and
# WW_PROGRAM_SECONDS (time limits) may be set; CK_* and WW_TEST_* reach the programs.
set -u
here=$(cd "$(dirname "$0")" && pwd)
kernel=${1:?usage: run.sh KERNEL [CONFIGURATION] [PROGRAM ARGUMENT...]}
configuration=${2:-plain}
[ $# -lt 2 ] || shift
shift
WW_BUILDDIR=$(cd "${WW_BUILDDIR:-build}" && pwd) || exit 1
export WW_BUILDDIR
logs=$WW_BUILDDIR/kernels/logs

skip() {
    echo "skipped: $*" >&2
    exit 77
}

. "$here/qemu.sh"
need_qemu strip

folder=$(sh "$here/fetch.sh" "$kernel") || exit $?
release=${folder##*/}
arch=amd64
[ "$configuration" != i686 ] || arch=i386
[ "${WW_KERNEL_BUILT:-}" = 1 ] || sh "$here/build.sh" $arch || exit $?

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# The part of the initramfs that is different in each run: the environment and the list of programs.
mkdir -p "$work/root/job" "$logs"
shell=
[ "${1:-}" != shell ] || shell=1
{
    echo "WW_CONFIGURATION=$configuration WW_SHELL=$shell WW_PROGRAM_SECONDS=${WW_PROGRAM_SECONDS:-1800}"
    exported 'CK_|WW_TEST_'
} >"$work/root/job/environment"
# A run of one program has another log, so that it does not replace that of all programs.
one=
if [ $# = 0 ]; then
    often=always
    case $configuration in
    plain | i686) often='always|once' ;;
    moving) often=moving ;;
    undumpable | noproc | deny-*) often=barred ;;
    esac
    {
        echo writewatch probe
        sed -n -E "s,^($often) .*/,,p" "$WW_BUILDDIR/kernels/$arch/kernel-programs.list"
    } >"$work/root/job/programs"
else
    one=.one
    quoted "$@" >"$work/root/job/programs"
fi
case $configuration in
plain | i686) modules='zram crc32c_generic ext4' ;;
swap) modules=zram ;;
*) modules= ;;
esac
sh "$here/initramfs.sh" $arch >"$work/fixed" && sh "$here/initramfs.sh" modules "$folder" $modules >>"$work/fixed" || exit 1
make_initramfs() {
    { cat "$work/fixed" && (cd "$work/root" && find . | cpio -o -H newc --quiet); } >"$work/initramfs"
}
make_initramfs || exit 1

parameters=$kernel_parameters
machine="-smp 2"
case $configuration in
huge) parameters="$parameters hugepages=64" ;;
moving)
    half=$((${WW_QEMU_MEMORY:-2048} / 2))
    machine="-smp 2,sockets=2 -object memory-backend-ram,id=m0,size=${half}M -object memory-backend-ram,id=m1,size=${half}M
        -numa node,memdev=m0,cpus=0 -numa node,memdev=m1,cpus=1"
    ;;
esac
log=$logs/$release.$configuration$one
set -- qemu-system-x86_64 $qemu_options -cpu max -m "${WW_QEMU_MEMORY:-2048}" $machine -kernel "$folder/vmlinuz" -initrd "$work/initramfs" -append "$parameters"
if [ -n "$shell" ]; then
    "$@" -serial mon:stdio
    exit $?
fi
boot() {
    rm -f "$log.out" "$log.console"
    # In the foreground, so that a signal to this script's process group ends the machine too.
    timeout --foreground "${WW_MACHINE_SECONDS:-5400}" "$@" -serial "file:$log.console" -serial "file:$log.out" \
        >"$log.qemu" 2>&1 </dev/null
    ended=$?
}

# ended_programs: of the machine's output, prints what belongs to programs that came to their end.
ended_programs() {
    awk '/^@begin / { inside = 1; block = "" }
        !inside { if (/^@(kernel|ready) /) print; next }
        { block = block $0 "\n" }
        /^@end / { printf "%s", block; inside = 0 }'
}

# If a processor meets a breakpoint of the kernel's own patching after its removal, that is a bug of the emulator, not
# of the kernel: boots again, for the programs that are left.
boot "$@"
: >"$work/before" >"$work/console"
boots=1
while ! grep -aq '^@done' "$log.out" && grep -aq 'Oops: int3' "$log.console" && [ $boots -lt 5 ]; do
    sed '/Oops: int3/,$d' "$log.console" >>"$work/console"
    mv "$log.console" "$log.console.int3"
    tr -d '\r' <"$log.out" | ended_programs >>"$work/before"
    sed -n 's/^@end \([^ ]*\) .*/\1/p' "$work/before" >"$work/ended"
    awk 'FILENAME == ARGV[1] { ended[$1] = 1; next } !($1 in ended)' "$work/ended" "$work/root/job/programs" >"$work/left"
    mv "$work/left" "$work/root/job/programs"
    make_initramfs || exit 1
    boot "$@"
    boots=$((boots + 1))
done
touch "$log.out" "$log.console"
{ cat "$work/before" && tr -d '\r' <"$log.out"; } | awk '!(/^@(kernel|ready) / && seen[$0]++)' >"$log.text"
mv "$log.text" "$log.out"
[ $ended = 0 ] || echo "@stopped qemu ended with exit code $ended ($(tail -n 1 "$log.qemu"))" >>"$log.out"
[ $ended != 124 ] || echo "@stopped after ${WW_MACHINE_SECONDS:-5400} seconds" >>"$log.out"
# The kernel's warnings belong to the result.
cat "$work/console" "$log.console" |
    grep -a -E 'WARNING:|BUG:|Oops|Kernel panic|general protection|blocked for more than|Out of memory|oom-kill' |
    tr -d '\r' | sed 's/^\[ *[0-9.]*\] *//; s/^/@complaint /' >>"$log.out"
cat "$log.out"
grep -q '^@done' "$log.out"
