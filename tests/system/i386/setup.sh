# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced: makes a build for i386 in the current folder, of the source in $top. Headers and libraries are those that are
# installed here, or those of a Debian for i386 in a folder, which is unpacked and never run: for that this kernel need
# not run 32-bit programs.

# i386_from installed|FOLDER: says where headers and libraries are.
i386_from() {
    if [ "$1" = installed ]; then
        # Without gcc-multilib only the folder of the other word size has <asm/...>.
        i386_cc="${CC:-gcc} -m32" i386_cppflags="-idirafter /usr/include/$(uname -m)-linux-gnu"
    else
        i386_cc="gcc -m32 --sysroot=$1" i386_cppflags=
        export PKG_CONFIG=pkg-config PKG_CONFIG_SYSROOT_DIR="$1" PKG_CONFIG_LIBDIR="$1/usr/lib/i386-linux-gnu/pkgconfig"
    fi
}

# i386_makes PROGRAM OPTION...: compiles the source on standard input; fails if that is not possible.
i386_makes() {
    program=$1
    shift
    $i386_cc $i386_cppflags -o "$program" -x c - "$@"
}

# i386_configure OPTION...
i386_configure() {
    [ -f config.status ] || "$top/configure" -q --host=i686-linux-gnu CC="$i386_cc" CPPFLAGS="$i386_cppflags" "$@"
}

# i386_from_unpacked PROGRAM LOG OPTION...: takes headers and libraries from a Debian that is unpacked once under $cache
# (debian.sh), and compiles an empty program with the options. Ends with exit code 77 and a reason if that fails.
i386_from_unpacked() {
    program=$1 log=$2
    shift 2
    [ -d "$cache/kernels/i386-root" ] || unpack bookworm i386 \
        libc6-dev,libffi-dev,libbsd-dev,libjson-c-dev,libncurses-dev,check,libseccomp-dev "$cache/kernels/i386-root" "$log"
    i386_from "$cache/kernels/i386-root"
    echo 'int main(void) { return 0; }' | i386_makes "$program" "$@" >"$log" 2>&1 ||
        skip "gcc makes no 32-bit programs (Debian: gcc-$(gcc -dumpversion)-multilib), see $log"
}
