# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced, after debian.sh and fresh.sh: makes a 64-bit Wine 10 that runs with Debian 11's glibc 2.31; Debian 11 itself
# has only Wine 5.0.3. The Windows half, which does not depend on glibc, is Debian 13's package unchanged. The Unix half
# (loader, server, *.so) is compiled in a Debian 11 from the source of that package, without X11, fonts and sound. This
# Wine runs in any folder, and is kept as an archive.
wine_archive=$cache/wine-10-bullseye-amd64.tar.gz

# wine_source WORK: fetches Debian's source, which apt checks against the archive's signature. The source has no
# generated files: Debian's rules make them, without their ./configure, which wine_compile runs on the other system.
wine_source() {
    root=$1/trixie
    fresh trixie amd64 "$root"
    mounts="$mounts
$1|/srv/wine"
    in_debian "$root" amd64 DEBIAN_FRONTEND=noninteractive sh -euc '
        sed -n "s/^deb /deb-src /p" /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
        apt-get -qq update
        apt-get -qq install -y --no-install-recommends dpkg-dev make autoconf autotools-dev perl libxml-libxml-perl \
            unzip unicode-data unicode-idna unicode-cldr-core libvulkan-dev khronos-api
        cd /srv/wine
        apt-get -qq source wine
        apt-get -qq download libwine libz-mingw-w64
        cd wine-*/
        test "$(dpkg-deb -W --showformat="\${source:Version}" ../libwine_*.deb)" = "$(dpkg-parsechangelog -S Version)"
        sed -i "/^\t\.\/configure/d" debian/rules
        make -f debian/rules override_dh_auto_configure CC=true
        autoreconf -f'
}

# wine_compile WORK: compiles the Unix half, and puts both halves into WORK/tree. Debian's server and loader look for
# the nls files in different folders, hence the link. Wine takes a zlib1.dll for its own only with a mark in it, which
# on Debian an installation script writes.
wine_compile() {
    root=$1/bullseye
    fresh bullseye amd64 "$root"
    mounts="$mounts
$1|/srv/wine"
    in_debian "$root" amd64 DEBIAN_FRONTEND=noninteractive sh -euc '
        apt-get -qq update
        apt-get -qq install -y --no-install-recommends make gcc libc6-dev gcc-mingw-w64-x86-64 bison flex dpkg-dev \
            autotools-dev pkg-config
        cd /srv/wine/wine-*/
        ./configure -q --prefix=/wine --bindir=/wine/bin --libdir=/wine/lib/wine --datarootdir=/wine/share/wine \
            --enable-win64 --with-mingw --disable-tests --without-x --without-freetype CFLAGS="-O2 -w" ZLIB_PE_LIBS=z
        make -j2 VENDOR="Unix half built on Debian 11" loader/wine64 server/wineserver \
            $(sed -n "s/^\(dlls[^ ]*\.so\):.*/\1/p" Makefile)
        for package in ../*.deb; do
            dpkg-deb -x "$package" ../windows
        done
        cd ..
        mkdir -p tree/bin tree/lib/wine/x86_64-unix tree/share
        mv windows/usr/lib/x86_64-linux-gnu/wine/x86_64-windows tree/lib/wine/
        mv windows/usr/share/wine tree/share/
        ln -s . tree/share/wine/wine
        cp wine-*/dlls/*/*.so tree/lib/wine/x86_64-unix/
        cp wine-*/loader/wine64 tree/bin/wine
        cp wine-*/server/wineserver tree/bin/
        strip tree/bin/* tree/lib/wine/x86_64-unix/*
        zlib=tree/lib/wine/x86_64-windows/zlib1.dll
        cp windows/usr/x86_64-w64-mingw32/lib/zlib1.dll $zlib
        { printf "Wine builtin DLL"; head -c 16 /dev/zero; } | dd bs=1 seek=64 conv=notrunc of=$zlib'
}

# old_glibc_wine: makes $wine_archive, unless it exists.
old_glibc_wine() {
    [ ! -f "$wine_archive" ] || return 0
    [ "$(id -u)" = 0 ] || skip "$wine_archive is not there yet, and to make it needs root"
    echo "making $wine_archive (once, some five minutes, 3 GB meanwhile)" >&2
    work=$wine_archive.work
    rm -rf "$work"
    mkdir -p "$work"
    for step in wine_source wine_compile; do
        ($step "$work") >"$wine_archive.$step.log" 2>&1 || {
            tail -n 5 "$wine_archive.$step.log"
            skip "Wine cannot be made, see $wine_archive.$step.log"
        }
    done
    tar -C "$work/tree" -czf "$wine_archive.new" . || skip "cannot write $wine_archive.new"
    mv "$wine_archive.new" "$wine_archive"
    rm -rf "$work"
}
