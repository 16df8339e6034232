#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs the Debian packages that building and testing need. Does nothing where
# they are there already; needs root or sudo otherwise.
set -eu

packages="autoconf automake libtool make gcc libc6-dev pkg-config
    libffi-dev libbsd-dev libjson-c-dev libncurses-dev libwine-dev
    g++ abigail-tools check libjemalloc2 libseccomp-dev mandoc musl-tools tmux gnuplot-nox gcc-mingw-w64-x86-64 gcc-mingw-w64-i686 wine wine64"

command -v dpkg-query >/dev/null || {
    echo "packages.sh: this is not Debian; install the equivalents of:" $packages >&2
    exit 1
}
missing=
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "packages.sh: run this as root, or install:$missing" >&2
        exit 1
    }
    as_root=sudo
fi
echo "Installing:$missing"
$as_root apt-get -qq update
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null
