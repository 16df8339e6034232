#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# fetch.sh KERNEL: prints the folder that holds one of Debian's kernels, unpacked:
# vmlinuz, modules/, and `about` with the package and its version. KERNEL is the
# beginning of a release (6.1, 6.12, 7; the newest one wins), in which * matches
# anything: 6.12.*deb12 is the newest 6.12 that Debian 12 has, 6.18.5+deb13 is one
# kernel. WW_KERNEL_SUITES are the suites to look in.
#
# Nothing is installed here. apt, in folders of its own under $XDG_CACHE_HOME or
# /var/tmp, checks the index against Debian's keys and the package against the index.
# Exit code 77 with a reason where the kernel cannot be found or downloaded.
set -eu
kernel=$1
cache=${XDG_CACHE_HOME:-/var/tmp}/writewatch/kernels
suites=${WW_KERNEL_SUITES:-bookworm bookworm-security bookworm-backports trixie trixie-security trixie-backports sid}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

skip() {
    echo "skipped: $*" >&2
    exit 77
}

in_apt() {
    tool=$1
    shift
    "$tool" -o Dir::State="$cache/apt" -o Dir::State::status="$cache/apt/status" -o Dir::Cache="$cache/apt" \
        -o Dir::Etc::sourcelist="$cache/apt/sources.list" -o Dir::Etc::sourceparts=- \
        -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o APT::Sandbox::User="$(id -un)" -qq "$@"
}

# Fetches the index, unless it is less than a day old; without a network the old one is used.
refresh() {
    mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial"
    : >>"$cache/apt/status"
    for suite in $suites; do
        case $suite in
        *-security) archive=debian-security ;;
        *) archive=debian ;;
        esac
        echo "deb [signed-by=$keyring] http://deb.debian.org/$archive $suite main"
    done >"$cache/apt/sources.list.new"
    if cmp -s "$cache/apt/sources.list.new" "$cache/apt/sources.list" &&
        [ -n "$(find "$cache/apt/stamp" -mtime -1 2>/dev/null)" ]; then
        return
    fi
    mv "$cache/apt/sources.list.new" "$cache/apt/sources.list"
    if in_apt apt-get update >"$cache/apt/log" 2>&1; then
        : >"$cache/apt/stamp"
    fi
}

# Prints version and name of the newest package whose name fits; unsigned, cloud, realtime and debug builds do not.
newest() {
    pattern=$(echo "$kernel" | sed 's/[.+]/\\&/g; s/\*/.*/g')
    names=$(in_apt apt-cache search --names-only "^linux-image-$pattern([-.+].*)?-amd64\$" | cut -d ' ' -f 1 |
        grep -v -E -e '-(rt|cloud)-amd64$|^linux-image-[0-9]+\.[0-9]+-amd64$')
    [ -z "$names" ] || in_apt apt-cache show $names |
        awk '$1 == "Package:" { name = $2 } $1 == "Version:" { print $2, name }' | sort -V | tail -n 1
}

# Prints the packages that a kernel consists of: newer kernels are divided into three.
parts() {
    echo "$package=$version"
    in_apt apt-cache show "$package=$version" | sed -n 's/^Depends: //p' | tr ',' '\n' |
        sed -n 's/^ *\(linux-\(binary\|modules\)-[^ ]*\) (= \(.*\))$/\1=\3/p' | grep -- "-$release=" || true
}

# For a full release that is unpacked already no index is needed.
if [ -f "$cache/$kernel/about" ]; then
    echo "$cache/$kernel"
    exit 0
fi
for tool in apt-get dpkg-deb; do
    command -v $tool >/dev/null || skip "$tool is missing: this needs Debian or a relative"
done
[ -f $keyring ] || skip "$keyring is missing (Debian: debian-archive-keyring)"
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
refresh
set -- $(newest)
[ $# = 2 ] || skip "no kernel $kernel in the package index of: $suites (see $cache/apt/log)"
version=$1 package=$2 release=${2#linux-image-}
folder=$cache/$release
if [ "$(cat "$folder/about" 2>/dev/null)" != "$package $version" ]; then
    rm -rf "$folder" "$folder.new"
    mkdir -p "$folder.new/all"
    chmod 755 "$folder.new"
    (cd "$folder.new" && in_apt apt-get download $(parts)) >"$folder.log" 2>&1 ||
        skip "downloading $package failed, see $folder.log"
    for deb in "$folder.new"/*.deb; do
        dpkg-deb -x "$deb" "$folder.new/all"
    done
    mv "$(find "$folder.new/all" -name 'vmlinuz*' -type f | head -n 1)" "$folder.new/vmlinuz"
    mv "$(find "$folder.new/all" -path "*/lib/modules/$release" -type d | head -n 1)" "$folder.new/modules"
    rm -rf "$folder.new/all" "$folder.new"/*.deb
    echo "$package $version" >"$folder.new/about"
    mv "$folder.new" "$folder"
fi
echo "$folder"
