#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# check-packages.sh ARCHIVE [SUITE...]: tests the Debian packages as a user meets them. Builds them from the source
# archive in a fresh Debian of each release (bookworm, trixie) for amd64 and i386, and installs, uses and removes them
# in another. The systems are copies of what debootstrap made once, in $XDG_CACHE_HOME or /var/tmp, where apt's
# downloads stay as well. Needs root, a network and about 15 minutes. Results and logs lie in packages/ in the build
# folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../debian/debian.sh"
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
archive=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
shift
suites=${*:-bookworm trixie}
out=$build/packages
. "$here/../debian/fresh.sh"
status=0 left_out=

say() { printf '%s\n' "$*"; }

# build SUITE ARCH, in a subshell: builds the packages; exit code 77 where no such system can be made.
build() {
    debs=$out/$1-$2
    mkdir -p "$debs"
    root=$cache/packages-$1-$2
    fresh "$1" "$2" "$root"
    lintian=
    [ "$1-$2" != bookworm-amd64 ] || lintian=lintian
    mounts="$mounts
$here|/srv/tests
$debs|$debs
$(dirname "$archive")|/srv/archive"
    if in_debian "$root" "$2" sh /srv/tests/build-in-root.sh "/srv/archive/$(basename "$archive")" "$debs" $lintian \
        >"$debs/build.log" 2>&1; then
        say "ok: $1 $2: packages built: $(cd "$debs" && echo *.deb)"
        [ -z "$lintian" ] || sed -n '/^lintian /,$p' "$debs/build.log"
        [ -z "$lintian" ] || say "ok: $1 $2: lintian has no error and no warning"
        rm -rf "$root"
    else
        tail -n 20 "$debs/build.log"
        say "FAILED: $1 $2: packages, see $debs/build.log; $root is left as it was"
        exit 1
    fi
}

# try SUITE, in a subshell: tries both architectures in one system, or amd64 alone where none are built for i386.
try() {
    root=$cache/packages-$1-amd64
    fresh "$1" amd64 "$root"
    mkdir -p "$build/tests/pe"
    cp "$build/tests/stress/soak/soak.exe" "$build/tests/pe/" 2>/dev/null || true
    mounts="$mounts
$here|/srv/tests
$here/../../../debian/tests|/srv/autopkgtest
$out|$out
$build/tests/pe|/srv/programs"
    code=0
    in_debian "$root" amd64 sh /srv/tests/try-in-root.sh "$out/$1-amd64" "$out/$1-i386" /srv/programs \
        >"$out/$1.transcript" 2>&1 || code=$?
    cat "$out/$1.transcript"
    [ $code != 0 ] || rm -rf "$root"
    exit $code
}

[ "$(id -u)" = 0 ] || skip "a chroot needs root"
[ -f "$build/tests/pe/watch.exe" ] && [ -f "$build/tests/pe/i686/watch.exe" ] ||
    skip "tests/pe/watch.exe is not built for both word sizes (Debian: gcc-mingw-w64-x86-64, gcc-mingw-w64-i686)"
mkdir -p "$out"
say "== the source archive"
sh "$here/test-dist.sh" || [ $? = 77 ] || status=1
for suite in $suites; do
    say "== $suite"
    # Packages of an earlier run must not be tried in place of those that this run cannot build.
    rm -rf "$out/$suite-amd64" "$out/$suite-i386"
    for arch in amd64 i386; do
        code=0
        (build "$suite" $arch) || code=$?
        [ $code = 0 ] || [ $code = 77 ] || status=1
        [ $code = 0 ] || left_out="$left_out $suite-$arch"
    done
    ! ls "$out/$suite-amd64/"*.deb >/dev/null 2>&1 || (try "$suite") || {
        [ $? = 77 ] || status=1
        left_out="$left_out $suite"
    }
done
[ -z "$left_out" ] || say "not tried or failed:$left_out"
[ $status = 0 ] && say "ok: packages" || say "FAILED: packages"
exit $status
