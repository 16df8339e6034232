#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The preload, and the library, in special programs: with no dynamic loader, another word
# size, the rights of another user, a preload that handles SIGSEGV. They must run as
# they do without it. The test names what it cannot try here.
. "$(dirname "$0")/../../common/expect.sh"
sources=$(cd "$(dirname "$0")" && pwd)
unit=$build/tests/system/preload
preload=$build/.libs/libwritewatch-ntdll.so
place=$(mktemp -d "${TMPDIR:-/var/tmp}/writewatch-programs.XXXXXX") || exit 99
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
unset WW_BACKEND WW_DEBUG WW_DISABLE LD_PRELOAD

compile() { ${CC:-cc} -D_GNU_SOURCE -O1 -o "$@" 2>/dev/null; }

# same COMMAND...: must print and return the same by itself, with the preload, and through `writewatch run`.
same() {
    plain=$("$@" 2>&1)
    code=$?
    with=$(WW_DEBUG=1 LD_PRELOAD=$preload "$@" 2>"$place/err")
    [ $? = $code ] && [ "$with" = "$plain" ] || fail "with LD_PRELOAD: $*: $with"
    ! grep -v 'wrong ELF class' "$place/err" || fail "with LD_PRELOAD: $*: said the above"
    with=$("$ww" run --verbose -- "$@" 2>"$place/err")
    [ $? = $code ] && [ "$with" = "$plain" ] || fail "through the command: $*: $with"
    ! grep -v 'wrong ELF class\|stay with Wine' "$place/err" || fail "through the command: $*: said the above"
}

# ---- static programs ----

cat >"$place/hello.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    printf("hello %zu\n", sizeof(void *));
    fflush(stdout);
    if (argc > 1) {
        execv(argv[1], argv + 1);
        return 1;
    }
    return 7;
}
END
if compile "$place/static" -static "$place/hello.c"; then
    same "$place/static"
    same "$place/static" /bin/sh -c 'echo child; exit 3'
    [ "$plain" = "hello 8
child" ] || [ "$plain" = "hello 4
child" ] || fail "the static program: $plain"
else
    missing "a static program: libc is there as a shared library only"
fi

# ---- the other word size, and back ----

cat >"$place/bare.c" <<'END'
static long call(long nr, long a, long b, long c)
{
    long ret;
    __asm__ volatile("int $0x80" : "=a"(ret) : "0"(nr), "b"(a), "c"(b), "d"(c) : "memory");
    return ret;
}
void start(long *stack)
{
    char **argv = (char **)(stack + 1), **envp = argv + stack[0] + 1;
    call(4, 1, (long)"bare\n", 5);
    if (stack[0] > 1)
        call(11, (long)argv[1], (long)(argv + 1), (long)envp);
    call(1, 9, 0, 0);
}
__asm__(".globl _start\n_start: mov %esp, %eax\n push %eax\n call start\n");
END
if [ "$(uname -m)" = x86_64 ]; then
    if compile "$place/bare32" -m32 -static -nostdlib -ffreestanding -fno-pic -no-pie -fno-stack-protector \
        "$place/bare.c" && [ "$("$place/bare32" 2>&1)" = bare ]; then
        same "$place/bare32"
        same "$place/bare32" /bin/sh -c 'echo child; exit 3'
        out=$("$ww" run -- "$place/bare32" /bin/sh -c 'echo "$LD_PRELOAD"' 2>&1)
        [ "$out" = "bare
$preload" ] || fail "64 to 32 to 64 bits: $out"
    else
        missing "32-bit programs: no compiler for them, or the kernel does not run them"
    fi
    if compile "$place/hello32" -m32 "$place/hello.c" && "$place/hello32" >/dev/null 2>&1 || [ $? = 7 ]; then
        same "$place/hello32"
        same "$place/hello32" /bin/sh -c 'echo child; exit 3'
        grep -q 'wrong ELF class' "$place/err" || fail "the 32-bit loader took a 64-bit preload: $(cat "$place/err")"
        same "$place/hello32" "$place/hello32" "$place/hello32"
        # One name for all word sizes, as packages install it: 64-bit programs find the preload, 32-bit ones say that
        # they do not.
        out=$(LD_PRELOAD="$place/\$LIB/libwritewatch-ntdll.so" "$place/hello32" /bin/sh -c 'exit 3' 2>"$place/err")
        [ $? = 3 ] && [ "$out" = 'hello 4' ] || fail "with \$LIB: $out"
        out=$(LD_LIBRARY_PATH=$build/.libs LD_PRELOAD=libwritewatch-ntdll.so "$place/hello32" /bin/sh -c 'exit 3' \
            2>"$place/err")
        [ $? = 3 ] && [ "$out" = 'hello 4' ] || fail "with a bare name: $out"
    else
        missing "32-bit programs with a libc: gcc-multilib is not installed"
    fi
fi

# ---- setuid programs ----

# as_nobody COMMAND...
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

try_setuid() {
    mkdir "$place/fake"
    cp "$unit/fake-system/ntdll.so" "$place/fake/ntdll.so"
    cp "$preload" "$place/"
    cp "$unit/attach-host-system" "$place/plain-host"
    cp "$unit/attach-host-system" "$place/host"
    chmod -R a+rX "$place"
    chmod 4755 "$place/host"
    # The dynamic loader ignores a preload with a slash in setuid programs.
    out=$(WW_DEBUG=1 LD_PRELOAD=$place/libwritewatch-ntdll.so as_nobody "$place/plain-host" "$place/fake/ntdll.so" patched 2>&1) &&
        printf '%s\n' "$out" | grep -q '^writewatch: attached' || fail "not setuid: $out"
    out=$(WW_DEBUG=1 LD_PRELOAD=$place/libwritewatch-ntdll.so as_nobody "$place/host" "$place/fake/ntdll.so" untouched 2>&1) ||
        fail "setuid: $out"
    ! printf '%s\n' "$out" | grep '^writewatch' || fail "setuid: the preload said the above"
    # A setuid program that is linked with the preload: the preload ignores the caller's variables.
    if compile "$place/linked" "$sources/attach-host.c" \
        -Wl,--no-as-needed "-Wl,-rpath,$place" "$place/libwritewatch-ntdll.so"; then
        chmod a+rx "$place/linked"
        out=$(WW_DEBUG=1 WW_DISABLE=1 as_nobody "$place/linked" "$place/fake/ntdll.so" untouched 2>&1) &&
            printf '%s\n' "$out" | grep -q 'WW_DISABLE is set' || fail "linked in, not setuid: $out"
        chmod 4755 "$place/linked"
        out=$(WW_DEBUG=1 WW_DISABLE=1 WW_BACKEND=bogus as_nobody "$place/linked" "$place/fake/ntdll.so" patched 2>&1) ||
            fail "linked in and setuid: $out"
        ! printf '%s\n' "$out" | grep '^writewatch' || fail "linked in and setuid: the preload said the above"
    fi
}

if [ "$(id -u)" != 0 ]; then
    missing "setuid programs: only root can make one for another user"
elif ! command -v setpriv >/dev/null; then
    missing "setuid programs: there is no setpriv"
elif cp "$(command -v id)" "$place/id" && chmod 4755 "$place/id" && [ "$(as_nobody "$place/id" -u 2>&1)" != 0 ]; then
    missing "setuid programs: the file system is mounted nosuid"
elif ! "$ww" probe >/dev/null; then
    missing "setuid programs: userfaultfd write tracking does not work here"
else
    try_setuid
fi

# ---- a preload that handles SIGSEGV ----

want=$("$unit/fault-host" mprotect 2>&1)
[ "$want" = "2 5
3 5" ] || fail "fault-host: $want"
for value in "$unit/handler.so" "$unit/handler.so:$preload" "$preload:$unit/handler.so"; do
    for backend in mprotect none; do
        [ $backend = none ] || [ "$(LD_PRELOAD=$value "$unit/fault-host" $backend 2>&1)" = "$want" ] ||
            fail "LD_PRELOAD=$value fault-host $backend"
        expect 66 '^handler: fault at (nil)' env LD_PRELOAD="$value" "$unit/fault-host" $backend crash
    done
done
expect 139 '' sh -c "'$unit/fault-host' mprotect crash"
exit $failed
