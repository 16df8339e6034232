#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# try-in-root.sh DEBS64 DEBS32 PROGRAMS: inside a fresh Debian for amd64, installs the packages of both architectures,
# uses them as a user does, removes them and looks for files that are left. DEBS are folders of packages, PROGRAMS
# the folder with watch.exe and i686/watch.exe. Prints each command, its output, and a verdict for each step.
# A new subcommand of writewatch is one more line in commands(), or in statistics().
set -u
debs64=$1 debs32=$2 programs=$3
failed=0
export DEBIAN_FRONTEND=noninteractive WINEDEBUG=-all WINEPREFIX=/tmp/prefix WINEDLLOVERRIDES='mscoree,mshtml='

verdict() {
    printf '%s\n' "$*"
    case $1 in FAILED:*) failed=$((failed + 1)) ;; esac
}

# step PATTERN COMMAND: the exit code must be 0, a line of the output must match, and none be from the dynamic loader.
step() {
    printf '$ %s\n' "$2"
    out=$(sh -c "$2" 2>&1 </dev/null)
    code=$?
    [ -z "$out" ] || printf '%s\n' "$out" | sed 's/^/    /'
    if [ $code != 0 ]; then
        verdict "FAILED: exit code $code: $2"
    elif ! printf '%s\n' "$out" | grep -qE -- "$1"; then
        verdict "FAILED: no line like \"$1\": $2"
    elif printf '%s\n' "$out" | grep -q 'ld\.so'; then
        verdict "FAILED: the dynamic loader complains: $2"
    else
        verdict "ok: $2"
    fi
}

commands() {
    step '^writewatch [0-9]' 'writewatch --version'
    step '/usr/lib/x86_64-linux-gnu/writewatch/' 'writewatch probe || test $? = 77'
    # With one word size the preload's path; with both the path with $LIB, which each dynamic loader replaces.
    step "^/usr/$([ -n "$wine32" ] && echo '\$LIB' || echo lib/x86_64-linux-gnu)/writewatch/libwritewatch-ntdll.so\$" \
        "writewatch run -- sh -c 'echo \"\$LD_PRELOAD\"'"
    step 'dirty pages: 2$' "writewatch run --verbose -- wine $programs/watch.exe"
    [ -z "$wine32" ] ||
        step 'dirty pages: 2$' "writewatch run --verbose -- wine $programs/i686/watch.exe"
}

# Commands that need a kernel with write tracking.
statistics() {
    writewatch probe >/dev/null 2>&1 || return
    step '^Looks good\.$' 'writewatch doctor'
    step '^watch.exe \(pid' "writewatch run --stats -- wine $programs/watch.exe"
    step 'dirty pages: 2$' "writewatch record --interval=0.02 --output=/tmp/record -- wine $programs/watch.exe"
    step '/heat.png$' 'writewatch plot --output=/tmp/pictures /tmp/record'
    [ -f "$programs/soak.exe" ] || return
    writewatch run --stats -- wine "$programs/soak.exe" --seconds=20 --limit=60 >/tmp/soak.log 2>&1 &
    sleep 8
    step '"gets_per_s": *[1-9]' 'writewatch top --json'
    step '^soak.exe \(pid' 'TERM=xterm tmux new-session -d -x 100 -y 20 "writewatch top; sleep 99"; sleep 4; tmux capture-pane -p; tmux kill-server'
    wait
}

# Where the kernel has write tracking the preload must have attached, in both word sizes.
attached() {
    writewatch probe >/dev/null 2>&1 || {
        verdict "skipped: this kernel has no kernel-tracked write watches, so Wine's own are what was tried"
        return
    }
    for program in watch.exe ${wine32:+i686/watch.exe}; do
        step 'writewatch.*attached to' "writewatch run --verbose -- wine $programs/$program"
    done
}

pages() {
    # With two architectures installed dpkg needs the architecture in a package's name.
    found=$(for package in $packages; do dpkg -L "$package:amd64"; done |
        sed -n 's|^/usr/share/man/man[0-9]/\(.*\)\.gz$|\1|p' | sort -u)
    [ -n "$found" ] || verdict "FAILED: the packages have no manual pages"
    for page in $found; do
        # Several names share a page, and man prints the file of the page.
        step "^/usr/share/man/man${page##*.}/" "man -w ${page##*.} ${page%.*}"
    done
}

# The files that README.md links must lie where its links lead in the installed package.
documents() {
    folder=/usr/share/doc/writewatch
    linked=$(grep -o '](\(docs/\)\?[A-Za-z/-]*\.[a-z]*)' $folder/README.md | sed 's/^](//; s/)$//' | sort -u)
    [ -n "$linked" ] || verdict "FAILED: the packages have no README.md with links"
    for file in $linked; do
        step '' "test -f $folder/$file"
    done
}

# Prints every name in the file system, without the folders where packages, programs and apt keep data of their own.
names() {
    find / -xdev \( -path /proc -o -path /dev -o -path /sys -o -path /tmp -o -path /root -o -path /run -o -path /var/log \
        -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path "$debs64" -o -path "$debs32" \
        -o -path "$programs" \) -prune -o -print | sort
}

echo "== $(. /etc/os-release && echo "$PRETTY_NAME"), kernel $(uname -r)"
wine32=
if ls "$debs32"/*.deb >/dev/null 2>&1; then
    dpkg --add-architecture i386
    wine32=wine32:i386
else
    verdict "skipped: there are no packages for i386, so amd64 is tried alone"
fi
{ apt-get -qq update && apt-get -qq install -y --no-install-recommends gcc libc6-dev pkgconf man-db tmux gnuplot-nox wine wine64 $wine32; } \
    >/tmp/apt.log 2>&1 || {
    tail -n 5 /tmp/apt.log
    echo "skipped: Debian's own packages could not be installed"
    exit 77
}
wineboot --init >/dev/null 2>&1
wineserver -w
names >/tmp/before

packages='libwritewatch0 libwritewatch-dev writewatch writewatch-preload'
step '' "apt-get -qq install -y --no-install-recommends $debs64/*.deb >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; false; }"
[ -z "$wine32" ] || step '' "apt-get -qq install -y --no-install-recommends $debs32/libwritewatch*.deb $debs32/writewatch-preload*.deb \
>/tmp/apt.log 2>&1 || { cat /tmp/apt.log; false; }"
step '^ii' "dpkg -l | grep writewatch"
commands
attached
statistics
step '^== ./texture-cache.c' 'AUTOPKGTEST_TMP=/tmp sh /srv/autopkgtest/examples'
pages
documents
wineserver -k 2>/dev/null
step '' "apt-get -qq purge -y --auto-remove '?name(writewatch)' >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; false; }"
names >/tmp/after
left=$(comm -13 /tmp/before /tmp/after)
if [ -n "$left" ] || dpkg -l 2>/dev/null | grep writewatch; then
    printf '%s\n' "$left" | head -n 20
    verdict "FAILED: files are left after purging"
else
    verdict "ok: no file is left after purging, $(comm -23 /tmp/before /tmp/after | wc -l) are missing"
fi
[ $failed = 0 ] || {
    echo "$failed steps failed"
    exit 1
}
