#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# initramfs.sh ARCH: prints an archive with busybox, tests/system/kernels/init and the
# static programs for ARCH. initramfs.sh modules FOLDER NAME...: prints one with
# modules from a kernel's folder (fetch.sh), those they depend on first. The
# kernel takes several concatenated archives as one.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

archive() {
    (cd "$work/root" && find . | LC_ALL=C sort | cpio -o -H newc --quiet)
}

# unpacked FILE: prints a module without compression, as insmod(8) takes it.
unpacked() {
    case $1 in
    *.xz) xz -dc "$1" ;;
    *.zst) zstd -dcq "$1" ;;
    *.gz) gzip -dc "$1" ;;
    *) cat "$1" ;;
    esac
}

# add_module NAME: adds a module once, after those it needs. The file name may have - where the name has _.
add_module() {
    file=$(find "$folder/modules/kernel" -name "$(echo "$1" | tr _ '?' | tr - '?').ko*" | head -n 1)
    # Without a file the module is built in, or this kernel lacks it; the effects of the configuration show which.
    [ -n "$file" ] || return 0
    ! ls "$work"/root/modules/*-"$1.ko" >/dev/null 2>&1 || return 0
    unpacked "$file" >"$work/$1.ko"
    for needed in $(tr '\0' '\n' <"$work/$1.ko" | sed -n 's/^depends=//p' | tr ',' ' '); do
        add_module "$needed"
    done
    count=$((count + 1))
    mv "$work/$1.ko" "$work/root/modules/$(printf %02d $count)-$1.ko"
}

if [ "$1" = modules ]; then
    folder=$2 count=0
    shift 2
    mkdir -p "$work/root/modules"
    for module; do
        add_module "$module"
    done
    archive
    exit 0
fi

programs=$(cd "${WW_BUILDDIR:-build}/kernels/$1" && pwd)
tools=$(cd "${WW_BUILDDIR:-build}/kernels/amd64" && pwd)
mkdir -p "$work/root/bin/ww" "$work/root/proc" "$work/root/sys" "$work/root/dev" "$work/root/tmp"
cp "$here/init" "$work/root/init"
chmod 755 "$work/root/init"
cp -L "$(command -v busybox)" "$work/root/bin/busybox"
strip -o "$work/root/bin/deny" "$tools/tests/common/deny"
strip -o "$work/root/bin/merge" "$tools/tests/system/kernels/merge"
strip -o "$work/root/bin/ww/writewatch" "$programs/writewatch"
cut -d ' ' -f 2 "$programs/kernel-programs.list" | sort -u | while read -r program; do
    strip -o "$work/root/bin/ww/${program##*/}" "$programs/$program"
done
archive
