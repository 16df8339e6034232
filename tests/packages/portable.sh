#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# portable.sh ARCHIVE HEADERS [ARCH...]: the preload for systems with an older glibc, built in a Debian 11 (glibc 2.31)
# with Wine's HEADERS from here, for amd64 and i386: portable/ARCH/libwritewatch-ntdll.so in the build folder, and next
# to it the command. Says which glibc the preload asks for, and loads it in Debian 11, Debian 12 and here; the dynamic
# loader must not say a word. A Windows program runs with it under the Wine of both Debians. Needs root and a network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../wine/debian.sh"
. "$here/fresh.sh"
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
archive=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
headers=$2
shift 2
architectures=${*:-amd64 i386}
out=$build/portable
name=libwritewatch-ntdll.so
failed=0

verdict() {
    printf '%s\n' "$*"
    case $1 in FAILED:*) failed=1 ;; esac
}

# build ARCH, in a subshell. The archive has what autoreconf makes: Debian 11's autoconf is too old for that. Its gcc
# does not know the attribute that keeps the stack protector out of dlopen(), so it is kept out of all of it. The
# command has json-c and ncurses in it, which a container may not have.
build() {
    root=$cache/packages-bullseye-$1
    fresh bullseye "$1" "$root"
    mounts="$mounts
$out/$1|/srv/out
$headers|/srv/headers
$(dirname "$archive")|/srv/archive"
    in_debian "$root" "$1" DEBIAN_FRONTEND=noninteractive sh -euc '
        apt-get -qq update
        apt-get -qq install -y --no-install-recommends make gcc libc6-dev xz-utils pkg-config libffi-dev libbsd-dev \
            libjson-c-dev libncurses-dev
        mkdir /srv/build
        cd /srv/build
        tar -xf "/srv/archive/$1" --strip-components=1
        ./configure -q --prefix=/usr --with-wine-headers=/srv/headers
        make -j2 HARDEN_CFLAGS="-fstack-clash-protection -fcf-protection" JSON_LIBS=-l:libjson-c.a \
            CURSES_LIBS="-l:libncursesw.a -l:libtinfo.a" libwritewatch-ntdll.la writewatch
        cp ".libs/$2" writewatch /srv/out/' sh "$(basename "$archive")" "$name" >"$out/$1/build.log" 2>&1 || {
        tail -n 20 "$out/$1/build.log"
        echo "FAILED: $1: not built, see $out/$1/build.log"
        exit 1
    }
}

# oldest FILE: the newest version of glibc's symbols that it asks for, which is the oldest glibc that has all of them.
oldest() {
    objdump -T "$1" | sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort -Vu | tail -n 1
}

# dlopen() looks at its caller, as tests/analysis/test-hardening.sh says.
leaves_by_jump() {
    code=$(objdump -d --no-show-raw-insn --disassemble=dlopen "$1")
    echo "$code" | grep -q 'jmp *\*%' && ! echo "$code" | grep -q 'call *\*%\|%[fg]s:'
}

# loads WHERE COMMAND...: a process has the preload mapped, and nothing but that is said.
loads() {
    where=$1
    shift
    said=$("$@" 2>&1) || said="exit code $?: $said"
    case $said in
    /*"/$name") verdict "ok: loads in $where, without a message" ;;
    *) verdict "FAILED: in $where: $said" ;;
    esac
}

# The file of this name that a process with this preload has mapped.
show='LD_PRELOAD=$1 /bin/cat /proc/self/maps | sed -n "s|^[^/]*/|/|;/libwritewatch-ntdll/p" | sort -u'

quiet_wine='WINEDEBUG=-all WINEDLLOVERRIDES=winemenubuilder.exe,mscoree,mshtml= WINEPREFIX=/root/prefix'

# wine_in WHERE ARCH ATTACHES: a Windows program under the Wine of the Debian in $root. Its answers are right, and the
# preload has stepped in (yes) or stays out without harm (no). What the preload says is part of the verdict.
wine_in() {
    program=watch.exe wine=wine64
    [ "$2" = amd64 ] || program=i686/watch.exe wine=wine32
    [ -f "$build/tests/pe/$program" ] || {
        verdict "skipped: Wine in $1: tests/pe/$program is not built (make check)"
        return
    }
    mounts="$mounts
$build/tests/pe|/srv/pe"
    in_debian "$root" "$2" DEBIAN_FRONTEND=noninteractive $quiet_wine sh -euc '
        apt-get -qq update
        apt-get -qq install -y --no-install-recommends wine "$1"
        timeout 300 wineboot -i
        timeout 60 wineserver -w' sh $wine >"$root.log" 2>&1 || {
        tail -n 5 "$root.log"
        verdict "skipped: Wine in $1: it cannot be installed or makes no prefix, see $root.log"
        return
    }
    where="$1, $(in_debian "$root" "$2" wine --version 2>/dev/null)"
    answers=$(in_debian "$root" "$2" $quiet_wine sh -c '
        WW_DEBUG=1 LD_PRELOAD=$1 timeout 60 wine "$2" 2>/srv/said || echo "exit code $?"
        timeout 60 wineserver -w' sh "/srv/out/$name" "/srv/pe/$program" | tr '\n' ',')
    said=$(grep 'writewatch' "$root/srv/said" | sort -u)
    if [ "$answers" != 'dirty pages: 1 5 9,dirty pages: 2,' ] || grep 'ld\.so' "$root/srv/said"; then
        verdict "FAILED: $where: the program says $answers the preload ${said:-nothing}"
    elif [ "$3" = yes ] && [ "${said#*attached to}" = "$said" ]; then
        verdict "FAILED: $where: the preload does not step in: ${said:-nothing is said}"
    else
        verdict "ok: $where: right answers; the preload says: ${said:-nothing}"
    fi
}

# try ARCH SUITE, in a subshell
try() {
    root=$cache/packages-$2-$1-portable
    fresh "$2" "$1" "$root"
    mounts="$mounts
$out/$1|/srv/out"
    libc=$(in_debian "$root" "$1" ldd --version | sed -n '1s/.* /glibc /p')
    loads "$2 $1, $libc" in_debian "$root" "$1" sh -c "$show" sh "/srv/out/$name"
    said=$(in_debian "$root" "$1" /srv/out/writewatch --version 2>&1) &&
        verdict "ok: $said runs in $2 $1" || verdict "FAILED: the command in $2 $1: $said"
    # Debian 11's Wine 5.0 has no ntdll.so: its name is ntdll.dll.so, and it has no table of system calls.
    attaches=yes
    [ "$2" != bullseye ] && "$build/writewatch" probe >/dev/null 2>&1 || attaches=no
    wine_in "$2 $1" "$1" $attaches
    rm -rf "$root"
    exit $failed
}

# It steps in where a host plays Wine's loader: as far as that goes without Wine.
attaches() {
    "$build/writewatch" probe >/dev/null 2>&1 && [ -x "$build/tests/unit/attach-host-system" ] || {
        verdict "skipped: attaching: no kernel-tracked write watches here, or the tests are not built (make check)"
        return
    }
    said=$(WW_DEBUG=1 LD_PRELOAD=$1 "$build/tests/unit/attach-host-system" "$build/tests/unit/fake-system/ntdll.so" \
        patched 2>&1) || said="exit code $?: $said"
    case $said in
    *"attached to"*) verdict "ok: steps in: $(printf '%s\n' "$said" | grep -m 1 'attached to')" ;;
    *) verdict "FAILED: does not step in: $said" ;;
    esac
}

[ "$(id -u)" = 0 ] || skip "a chroot needs root"
command -v objdump >/dev/null || skip "objdump is not installed (Debian: binutils)"
made=
for arch in $architectures; do
    file=$out/$arch/$name
    rm -rf "$out/$arch"
    mkdir -p "$out/$arch"
    code=0
    (build "$arch") || code=$?
    [ $code != 0 ] || made=yes
    [ $code = 0 ] || [ $code = 77 ] || failed=1
    [ $code = 0 ] || continue
    rm -rf "$cache/packages-bullseye-$arch"
    needs=$(readelf -Wd "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | tr '\n' ' ')
    verdict "$arch: glibc $(oldest "$file") or newer; needs $needs: $file"
    leaves_by_jump "$file" || verdict "FAILED: $arch: dlopen() does not end in a jump, or has a stack protector"
    for suite in bullseye bookworm; do
        (try "$arch" $suite) || [ $? = 77 ] || failed=1
    done
    [ "$arch" = amd64 ] || continue
    loads "this system, $(ldd --version | sed -n '1s/.* /glibc /p')" sh -c "$show" sh "$file"
    attaches "$file"
done
[ $failed != 0 ] || [ -n "$made" ] || exit 77
exit $failed
