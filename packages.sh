#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs the Debian packages that building and testing need. Does nothing where
# they are there already; needs root or sudo otherwise. What only the i386 build of
# the unit tests needs is installed where that can be: without it one test is skipped.
set -eu

packages="autoconf automake libtool make gcc libc6-dev pkg-config
    libffi-dev libbsd-dev libjson-c-dev libncurses-dev libwine-dev
    g++ abigail-tools check libjemalloc2 libseccomp-dev mandoc musl-tools tmux gnuplot-nox gcc-mingw-w64-x86-64 gcc-mingw-w64-i686 wine wine64"

command -v dpkg-query >/dev/null || {
    echo "packages.sh: this is not Debian; install the equivalents of:" $packages >&2
    exit 1
}

# Leaves those of the packages that are not installed in $missing.
find_missing() {
    missing=
    for package; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
            missing="$missing $package"
    done
}

# A list that cannot be fetched may be of packages that nobody needs: installing tells.
update() {
    $as_root apt-get -qq update || echo "packages.sh: not all lists of packages could be renewed" >&2
}

install() {
    echo "Installing:$missing"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" $missing >/dev/null
}

as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
find_missing $packages
if [ -n "$missing" ]; then
    [ -z "$as_root" ] || command -v sudo >/dev/null || {
        echo "packages.sh: run this as root, or install:$missing" >&2
        exit 1
    }
    update
    install
fi

# ---- the units for i386, on amd64 ----

[ "$(dpkg --print-architecture)" = amd64 ] || exit 0
[ -z "$as_root" ] || command -v sudo >/dev/null || exit 0
# Not gcc-multilib itself, beside which no cross compiler can be, as README.md has people install one.
i386_packages="gcc-$(gcc -dumpversion)-multilib libffi-dev:i386 check:i386"
find_missing $i386_packages
[ -n "$missing" ] || exit 0
if ! dpkg --print-foreign-architectures | grep -qx i386; then
    $as_root dpkg --add-architecture i386
    update
fi
# Nothing is removed for them: another compiler that cannot be there beside these stays.
install --no-remove ||
    echo "packages.sh: the packages for i386 cannot be installed; the units are not built for it" >&2
