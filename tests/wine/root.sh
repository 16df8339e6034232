#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# root.sh SUITE ARCH COMMAND...: runs a command inside a Debian of another release
# or architecture, with this checkout and its build folder at their own paths.
# SUITE is bookworm (Wine 8.0) or trixie (Wine 10.0), ARCH amd64 or i386.
#
# The system is made once by debootstrap, under $XDG_CACHE_HOME or /var/tmp, and
# used again. Mounts live in a mount namespace and go away with the command.
# Needs root. Exit code 77 with a reason where it cannot be made.
set -eu
suite=$1 arch=$2
shift 2
cache=${XDG_CACHE_HOME:-/var/tmp}/writewatch
root=$cache/$suite-$arch
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
wine=wine64 setarch=
[ "$arch" = amd64 ] || wine=wine32 setarch="setarch i686"
packages="autoconf automake libtool make gcc libc6-dev pkg-config libffi-dev libbsd-dev libjson-c-dev libncurses-dev
    libwine-dev check libseccomp-dev wine $wine"

skip() {
    echo "skipped: $*"
    exit 77
}

install() {
    command -v debootstrap >/dev/null || apt-get -qq install -y debootstrap >/dev/null 2>&1 ||
        skip "debootstrap is not installed"
    rm -rf "$root.new"
    mkdir -p "$cache"
    echo "making $root (once, a few minutes)" >&2
    debootstrap --arch="$arch" --variant=minbase "$suite" "$root.new" >"$root.log" 2>&1 ||
        skip "debootstrap of $suite failed, see $root.log"
    cp /etc/resolv.conf "$root.new/etc/" 2>/dev/null || true
    for conf in /etc/apt/apt.conf /etc/apt/apt.conf.d/*; do
        # How packages are reached from here holds in there as well.
        ! grep -qsE 'Proxy|Acquire' "$conf" || cp "$conf" "$root.new/etc/apt/apt.conf.d/"
    done
    in_root "$root.new" sh -c "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
        --no-install-recommends $(echo $packages)" >>"$root.log" 2>&1 ||
        skip "installing packages in $root failed, see $root.log"
    mv "$root.new" "$root"
}

# in_root ROOT COMMAND...
in_root() {
    mkdir -p "$1$top" "$1$build"
    in=$1
    shift
    unshare --mount --propagation private sh -euc '
        root=$1 top=$2 build=$3 setarch=$4
        shift 4
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/dev/shm" 2>/dev/null || true
        mount --bind "$top" "$root$top"
        mount --bind "$build" "$root$build"
        exec $setarch chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
            ${WW_SEEDS:+WW_SEEDS=$WW_SEEDS} ${WW_OPERATIONS:+WW_OPERATIONS=$WW_OPERATIONS} \
            WW_BUILDDIR="$build" sh -c "cd \"\$0\" && exec \"\$@\"" "$top" "$@"
    ' sh "$in" "$top" "$build" "$setarch" "$@"
}

[ "$(id -u)" = 0 ] || skip "a chroot needs root"
[ -d "$root" ] || install
in_root "$root" "$@"
