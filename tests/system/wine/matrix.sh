#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# matrix.sh [SUITE-ARCH...]: tests every Wine that a user meets, each in a Debian of its
# own (root.sh), and prints the table of docs/evidence/CONFORMANCE.md. Takes about ten
# minutes a row; progress goes to standard error. Where this kernel runs no 32-bit programs,
# rows with such programs are made in a virtual machine (machine.sh), in half an hour each
# and with fewer random operations.
set -u
here=$(dirname "$0")
top=$(cd "$here/../../.." && pwd)
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
. "$here/../debian/debian.sh"
. "$here/../i386/setup.sh"
rows=${*:-bookworm-amd64 bookworm-i386 trixie-amd64 trixie-i386 trixie-wow64}
status=0
in_machine=
runs_programs_for i386 || in_machine=1

# build_for ARCH FOLDER: builds here what matrix-one.sh otherwise builds in a Debian of ARCH.
build_for() {
    mkdir -p "$2"
    [ "$1" = amd64 ] || i386_from_unpacked "$2/try" "$2/try.log"
    (
        cd "$2" || exit 1
        case $1 in
        i386) i386_configure ;;
        *) [ -f config.status ] || "$top/configure" -q ;;
        esac && make -s -j"$(nproc)" && make -s tests/stress/faults/libwritewatch-ntdll.so
    ) >"$2/matrix.log" 2>&1 || {
        tail -n 20 "$2/matrix.log"
        exit 1
    }
}

# run_in_machine SUITE ARCH ROW COMMAND...: runs a command with this tree's tests and the programs that a row needs.
run_in_machine() {
    suite=$1 arch=$2 row=$3
    shift 3
    build_for "$arch" "$build/matrix/$row"
    WW_BUILT=1 WW_SLOWER=10 WW_SEEDS=${WW_SEEDS:-2} WW_OPERATIONS=${WW_OPERATIONS:-10000} WW_BUILDDIR="$build" \
        sh "$here/../debian/machine.sh" "$suite" "$arch" "$top/tests/system $build/matrix/$row $build/tests/pe/i686 \
$build/tests/stress/soak/i686 $build/tests/system/winetest" "$@"
}

{
    echo "# Conformance"
    echo
    echo "Made by \`make check-wine\` on $(date -u +%Y-%m-%d), writewatch $("$build/writewatch" --version | sed 's/.* //')."
    echo
    echo "Each row is a Wine of Debian's in a Debian of its own: bookworm is 12, trixie is 13; i386 is old-style"
    echo "32-bit Wine (wine32). The conformance program runs with known differences excused (todo) under stock Wine,"
    echo "and with nothing excused under the shim. The differential program checks each answer of random operations"
    echo "against a model: of Windows' two levels under the shim, of stock Wine's one level under stock Wine. The races are"
    echo "those of \`make soak\`; with faults the differential program runs under a shim whose system calls fail, by 13 plans."
    [ -z "$in_machine" ] || echo "This machine's kernel runs no 32-bit programs, so they ran in a virtual machine, whose processors are emulated."
    echo
    echo "| Wine | system | kernel | calls, backend | conformance, stock | conformance, shim | random operations, shim | random operations, stock | Wine's own tests, stock/shim | a minute of races, shim | with faults, shim |"
    echo "|---|---|---|---|---|---|---|---|---|---|---|"
} >"$build/matrix.md"
for row in $rows; do
    suite=${row%-*} arch=${row#*-} pe=$build/tests/pe env=
    [ "$arch" = amd64 ] || pe=$build/tests/pe/i686
    echo "== $row" >&2
    if [ "$arch" = wow64 ]; then
        # 32-bit programs in the 64-bit Wine: the Windows libraries for them come from the i386 package.
        arch=amd64 env="env WINEDLLPATH=/opt/wow64"
        libraries=$cache/$suite-i386-libwine
        [ -d "$libraries" ] || (unpack "$suite" i386 libwine "$libraries" "$libraries.log") >&2
        sh "$here/../debian/root.sh" "$suite" amd64 true && mkdir -p "$cache/$suite-amd64/opt/wow64" &&
            cp -alf "$libraries/usr/lib/i386-linux-gnu/wine/i386-windows" "$cache/$suite-amd64/opt/wow64/"
    fi
    set -- $env sh tests/system/wine/matrix-one.sh "$row" "$pe"
    {
        if [ "$pe" = "$build/tests/pe" ] || [ -z "$in_machine" ]; then
            sh "$here/../debian/root.sh" "$suite" "$arch" "$@"
        else
            (run_in_machine "$suite" "$arch" "$row" "$@")
        fi
        echo $? >"$build/matrix.status"
    } | tee "$build/matrix.out" | sed -u '/^row /d' >&2
    one=$(cat "$build/matrix.status")
    [ $one = 0 ] || status=1
    sed -n 's/^row //p' "$build/matrix.out" >>"$build/matrix.md"
    [ $one != 77 ] || echo "| - | $row | $(uname -r) | $(tail -n 1 "$build/matrix.out") | | | | | | | |" >>"$build/matrix.md"
done
cat >>"$build/matrix.md" <<'END'

What is marked or fails under the shim is documented in writewatch(7), "Differences from Windows":

* A todo: memory that another process allocates here with `VirtualAllocEx` and `MEM_WRITE_WATCH` stays with
  Wine's own emulation, which does not record `WriteProcessMemory`.
* A todo, and the six checks of ws2_32: data that arrives in a receive buffer after a reset is recorded, which
  Windows and stock Wine do not do (`tests/system/winetest/allowed`).

What is marked under stock Wine: it keeps what was written across a decommit, does not record writes from
outside, accepts ranges that wrap around, and loses datagrams and scattered reads into watched memory.
Checks that a Wine cannot run (placeholders in 8.0, for one) are skipped with their reason.

The row wow64 is new WoW64, 32-bit programs in a 64-bit Wine. Debian's 64-bit package has no 32-bit Windows
libraries, so they come from the i386 package of the same version (`WINEDLLPATH`); its ws2_32 does not load there,
and with it the conformance program, which needs sockets. Proton and Wine 11 have not been tried.
END
cat "$build/matrix.md"
exit $status
