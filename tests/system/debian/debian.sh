# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced: makes a Debian of any release and architecture in a folder, by debootstrap, and runs commands inside it.
# Mounts live in a mount namespace and go away with the command. Needs root. Where a step cannot be done, the script
# ends with exit code 77 and a reason. The sourcing script sets $mounts: lines FROM|TO, folders that are mounted
# inside.
cache=${XDG_CACHE_HOME:-/var/tmp}/writewatch
mounts=

skip() {
    echo "skipped: $*"
    exit 77
}

need_debootstrap() {
    command -v debootstrap >/dev/null || apt-get -qq install -y debootstrap >/dev/null 2>&1 ||
        skip "debootstrap is not installed"
}

# unpack SUITE ARCH PACKAGE,PACKAGE... FOLDER LOG: unpacks packages and those they depend on, and runs none of their
# programs.
unpack() {
    need_debootstrap
    rm -rf "$4.new" "$4.part"
    debootstrap --foreign --variant=minbase --arch="$2" --include="$3" "$1" "$4.part" >"$5" 2>&1 ||
        skip "debootstrap of $1 failed, see $5"
    mkdir -p "$4.new"
    for deb in "$4.part"/var/cache/apt/archives/*.deb; do
        dpkg-deb -x "$deb" "$4.new"
    done
    rm -rf "$4.part"
    mv "$4.new" "$4"
}

# runs_programs_for ARCH: fails if this kernel runs no programs for ARCH. Without a compiler for ARCH it cannot tell, and
# succeeds: then debootstrap fails.
runs_programs_for() {
    [ "$1" = i386 ] || return 0
    try=$(mktemp)
    runs=yes
    if echo 'void _start(void) { __asm__("movl $1, %eax; xorl %ebx, %ebx; int $0x80"); }' |
        gcc -m32 -static -nostdlib -o "$try" -x c - 2>/dev/null; then
        { "$try"; } 2>/dev/null || runs=no
    fi
    rm -f "$try"
    [ $runs = yes ]
}

# bootstrap SUITE ARCH FOLDER LOG: makes a minimal system, with this one's settings for the network and apt.
bootstrap() {
    need_debootstrap
    runs_programs_for "$2" || skip "this kernel runs no programs for $2"
    rm -rf "$3"
    mkdir -p "$(dirname "$3")"
    debootstrap --arch="$2" --variant=minbase "$1" "$3" >"$4" 2>&1 || skip "debootstrap of $1 failed, see $4"
    reach_packages "$3"
}

# reach_packages FOLDER: copies this system's settings for the network and apt, so that apt works inside.
reach_packages() {
    cp /etc/resolv.conf "$1/etc/" 2>/dev/null || true
    for conf in /etc/apt/apt.conf /etc/apt/apt.conf.d/*; do
        ! grep -qsE 'Proxy|Acquire' "$conf" || cp "$conf" "$1/etc/apt/apt.conf.d/"
    done
}

# in_debian FOLDER ARCH COMMAND...
in_debian() {
    in=$1 setarch=
    [ "$2" = amd64 ] || setarch="setarch i686"
    shift 2
    unshare --mount --propagation private sh -euc '
        root=$1 mounts=$2 setarch=$3
        shift 3
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/dev/shm" 2>/dev/null || true
        printf "%s\n" "$mounts" | while IFS="|" read -r from to; do
            [ -n "$from" ] || continue
            mkdir -p "$root$to"
            mount --bind "$from" "$root$to"
        done
        exec $setarch chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
    ' sh "$in" "$mounts" "$setarch" "$@"
}
