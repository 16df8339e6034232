#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# One command for programs of both word sizes: if preloads for both are installed, each dynamic loader takes its own
# and prints nothing; if there is only one, LD_PRELOAD has its path. The test installs preloads that do nothing in a
# prefix of its own in the build folder, and asks the dynamic loaders what $LIB stands for.
. "$(dirname "$0")/../../common/expect.sh"
unset WW_BACKEND WW_DEBUG WW_DISABLE LD_PRELOAD LD_LIBRARY_PATH
here=$build/tests/unit/programs/word-sizes
name=writewatch/libwritewatch-ntdll.so
cc=${CC:-gcc}

skip() {
    echo "skipped: $*"
    exit 77
}

rm -rf "$here"
mkdir -p "$here/opt/bin"
# The program prints the path of its preload; the preload does nothing.
cat >"$here/show.c" <<'END'
#include <stdio.h>
#include <string.h>

int main(void)
{
    char line[4096], last[4096] = "none";
    FILE *maps = fopen("/proc/self/maps", "r");

    while (maps && fgets(line, sizeof(line), maps)) {
        if (strstr(line, "libwritewatch-ntdll.so")) {
            strcpy(last, strchr(line, '/'));
            last[strcspn(last, "\n")] = '\0';
        }
    }
    puts(last);
    return 0;
}
END
for bits in 64 32; do
    $cc -m$bits -o "$here/show$bits" "$here/show.c" 2>"$here/cc.err" && "$here/show$bits" >/dev/null 2>&1 ||
        skip "no $bits-bit programs can be made and run here (Debian: gcc-multilib)"
    echo 'int ww_nothing;' | $cc -m$bits -shared -fPIC -x c -o "$here/preload$bits.so" - || exit 1
done

# lib_of PROGRAM: what its dynamic loader puts in place of $LIB.
lib_of() {
    LD_DEBUG=libs LD_LIBRARY_PATH='/@$LIB@' "$1" 2>&1 | sed -n 's|.*/@\([^@]*\)@.*|\1|p' | head -n 1
}
lib64=$(lib_of "$here/show64") lib32=$(lib_of "$here/show32")
echo "\$LIB is $lib64 for 64-bit programs, $lib32 for 32-bit ones"
[ -n "$lib64" ] && [ -n "$lib32" ] || skip "the dynamic loaders do not say what \$LIB is"

# The word size of the command itself.
own=64
case $(od -An -tx1 -j4 -N1 "$ww") in *01) own=32 ;; esac
eval "own_lib=\$lib$own"
cp "$ww" "$here/opt/bin/writewatch"
ww=$here/opt/bin/writewatch

# put BITS FOLDER: installs a preload in a folder for libraries.
put() {
    mkdir -p "$here/opt/$2/writewatch"
    cp "$here/preload$1.so" "$here/opt/$2/$name"
}

# run_both WANT64 WANT32: the paths that programs of both word sizes must print; the dynamic loader prints nothing.
run_both() {
    for bits in 64 32; do
        eval "want=\$$([ $bits = 64 ] && echo 1 || echo 2)"
        [ -n "$want" ] || continue
        got=$("$ww" run -- "$here/show$bits" 2>&1 | grep -v 'write watches stay with Wine')
        [ "$got" = "$want" ] || fail "a $bits-bit program says '$got', not '$want'"
    done
}

preload_is() {
    got=$("$ww" run -- sh -c 'echo "$LD_PRELOAD"' 2>/dev/null)
    [ "$got" = "$1" ] || fail "LD_PRELOAD is '$got', not '$1'"
}

# With one word size only, LD_PRELOAD has the path, and the other dynamic loader prints a warning.
put $own "$own_lib"
preload_is "$here/opt/$own_lib/$name"
if [ $own = 64 ]; then run_both "$here/opt/$lib64/$name" ''; else run_both '' "$here/opt/$lib32/$name"; fi

# With both word sizes, LD_PRELOAD has $LIB.
put 64 "$lib64"
put 32 "$lib32"
preload_is "$here/opt/\$LIB/$name"
run_both "$here/opt/$lib64/$name" "$here/opt/$lib32/$name"
expect 0 "$here/opt/$own_lib/$name" "$ww" probe

# `run` keeps what LD_PRELOAD holds already.
got=$(LD_PRELOAD=$here/preload$own.so "$ww" run -- sh -c 'echo "$LD_PRELOAD"' 2>/dev/null)
[ "$got" = "$here/opt/\$LIB/$name:$here/preload$own.so" ] || fail "with another preload: $got"

# A preload beside the command is taken by its path, although there are installed ones for both word sizes.
mkdir -p "$here/opt/bin/.libs"
cp "$here/preload$own.so" "$here/opt/bin/.libs/libwritewatch-ntdll.so"
preload_is "$here/opt/bin/.libs/libwritewatch-ntdll.so"
exit $failed
