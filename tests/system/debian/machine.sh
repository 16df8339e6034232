#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# machine.sh SUITE ARCH FOLDERS COMMAND...: runs a command inside a Debian in a virtual machine, for 32-bit programs
# where this kernel runs none.
#
# FOLDERS, separated by spaces, are copied into the machine to the paths that they have here, and nothing is copied
# back: the command's results are its output and its exit code. The machine has no network and no compiler.
#
# A system for i386 is made once, by debootstrap here and its second stage in the machine (20 minutes), under
# $XDG_CACHE_HOME or /var/tmp, and used again; that for amd64 is a copy of the one of root.sh. Needs root. Exit code 77 with a reason where the machine cannot be made.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
suite=$1 arch=$2 folders=$3
shift 3
. "$here/debian.sh"
. "$here/../kernels/qemu.sh"
image=$cache/$suite-$arch.image
packages=make,libbsd0,libjson-c5,libncurses6,libseccomp2,wine,wine32

[ "$(id -u)" = 0 ] || skip "debootstrap needs root"
need_qemu mke2fs
kernel=$(sh "$here/../kernels/fetch.sh" "${WW_MACHINE_KERNEL:-6.12.*deb12}") || exit $?
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# boot IMAGE[,snapshot=on] JOB-IMAGE: runs /job/command of the second image in the system of the first, prints its
# output, and ends with its exit code. qemu 7.2 takes the stack of iret for the kernel's, hence no smap.
boot() {
    rm -f "$work/status"
    timeout --foreground "${WW_MACHINE_SECONDS:-7200}" qemu-system-x86_64 $qemu_options -cpu max,-smap,-smep \
        -m 3072 -smp 2 -kernel "$kernel/vmlinuz" -initrd "$work/initramfs" -append "$kernel_parameters" \
        -drive "file=$1,if=virtio,format=raw,cache=unsafe" -drive "file=$2,if=virtio,format=raw,cache=unsafe" \
        -serial "file:$image.console" -serial stdio </dev/null 2>"$work/qemu" |
        sed -u -e 's/\r$//' -e "/^@done /{s///w $work/status" -e 'd;}'
    [ -f "$work/status" ] || {
        echo "the machine did not come to its end, see $image.console: $(tail -n 1 "$work/qemu")"
        return 1
    }
    return "$(cat "$work/status")"
}

# job_image FILE COMMAND...: copies the folders into an image, and the command.
job_image() {
    file=$1
    shift
    mkdir -p "$work/job"
    for folder in $folders; do
        mkdir -p "$work/job$(dirname "$folder")"
        cp -a "$folder" "$work/job$folder"
    done
    {
        exported WW_
        echo "folders='$folders'"
        printf 'cd %s 2>/dev/null || cd /\nexec ' "$(pwd)"
        quoted "$@"
    } >"$work/job/command"
    mke2fs -q -t ext4 -d "$work/job" "$file" 2G >/dev/null
    rm -rf "$work/job"
}

mkdir -p "$work/root/bin" "$work/root/proc" "$work/root/sys" "$work/root/dev"
cp -L "$busybox" "$work/root/bin/busybox"
cp "$here/machine-init" "$work/root/init"
chmod 755 "$work/root/init"
{
    (cd "$work/root" && find . | cpio -o -H newc --quiet)
    sh "$here/../kernels/initramfs.sh" modules "$kernel" virtio_blk ext4 crc32c_generic
} >"$work/initramfs"

make_image() {
    if [ "$arch" = amd64 ]; then
        WW_BUILDDIR=$PWD sh "$here/root.sh" "$suite" amd64 true
        mke2fs -q -t ext4 -d "$cache/$suite-amd64" "$image.new" 6G >/dev/null
        return
    fi
    echo "making $image (once, about 20 minutes)" >&2
    need_debootstrap
    rm -rf "$image.tree"
    debootstrap --foreign --variant=minbase --arch=i386 --include=$packages "$suite" "$image.tree" >"$image.log" 2>&1 ||
        skip "debootstrap of $suite failed, see $image.log"
    mke2fs -q -t ext4 -d "$image.tree" "$image.new" 6G >/dev/null
    rm -rf "$image.tree"
    (folders='' && job_image "$work/job.image" /debootstrap/debootstrap --second-stage)
    boot "$image.new" "$work/job.image" >>"$image.log" || skip "the second stage of debootstrap failed, see $image.log"
}

if [ "$arch" = amd64 ] || [ ! -f "$image" ]; then
    rm -f "$image.new"
    make_image
    mv "$image.new" "$image"
fi
job_image "$work/job.image" "$@"
boot "$image,snapshot=on" "$work/job.image"
