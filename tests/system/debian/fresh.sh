# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced, after debian.sh: makes fresh Debian systems. What debootstrap makes is kept as an archive, so that each
# system is a copy of its own and none is used twice; apt's downloads are kept as well.

# fresh SUITE ARCH FOLDER: makes a system as debootstrap leaves it, and sets $mounts to apt's downloads for it.
fresh() {
    base=$cache/packages-base-$1-$2.tar
    downloads=$cache/packages-apt-$1-$2
    if [ ! -f "$base" ]; then
        echo "making $base (once, a few minutes)" >&2
        bootstrap "$1" "$2" "$base.tree" "$base.log"
        tar -C "$base.tree" -cf "$base.new" . || skip "cannot write $base.new"
        rm -rf "$base.tree"
        mv "$base.new" "$base"
    fi
    rm -rf "$3"
    mkdir -p "$3" "$downloads"
    tar -C "$3" -xf "$base" || skip "cannot unpack $base"
    reach_packages "$3"
    mounts="$downloads|/var/cache/apt/archives"
}
