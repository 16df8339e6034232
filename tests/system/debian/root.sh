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
. "$(dirname "$0")/debian.sh"
root=$cache/$suite-$arch
top=$(cd "$(dirname "$0")/../../.." && pwd)
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
mounts="$top|$top
$build|$build"
wine=wine64
[ "$arch" = amd64 ] || wine=wine32
packages="autoconf automake libtool make gcc libc6-dev pkg-config libffi-dev libbsd-dev libjson-c-dev libncurses-dev
    libwine-dev check libseccomp-dev wine $wine"

# install FOLDER: installs the packages that are missing.
install() {
    in_debian "$1" "$arch" sh -c "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
        --no-install-recommends $(echo $packages)" >>"$root.log" 2>&1 ||
        skip "installing packages in $root failed, see $root.log"
    echo $packages >"$1/root/packages"
}

[ "$(id -u)" = 0 ] || skip "a chroot needs root"
if [ ! -d "$root" ]; then
    echo "making $root (once, a few minutes)" >&2
    bootstrap "$suite" "$arch" "$root.new" "$root.log"
    install "$root.new"
    mv "$root.new" "$root"
elif [ "$(cat "$root/root/packages" 2>/dev/null)" != "$(echo $packages)" ]; then
    install "$root"
fi
in_debian "$root" "$arch" ${WW_SEEDS:+WW_SEEDS=$WW_SEEDS} ${WW_OPERATIONS:+WW_OPERATIONS=$WW_OPERATIONS} \
    WW_BUILDDIR="$build" sh -c 'cd "$0" && exec "$@"' "$top" "$@"
