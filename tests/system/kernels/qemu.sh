# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced: what the virtual machines of run.sh and of ../debian/machine.sh have in common. The sourcing script defines
# skip.

# tsc=reliable: when the kernel finds its clock unstable it patches code that the other processor is running, which
# this emulator does not always survive.
qemu_options="-accel ${WW_QEMU_ACCEL:-tcg} -nodefaults -no-reboot -display none"
kernel_parameters="console=ttyS0 loglevel=5 panic=-1 oops=panic tsc=reliable"

# need_qemu TOOL...: ends the script if qemu, a tool or a static busybox is missing; sets $busybox.
need_qemu() {
    command -v qemu-system-x86_64 >/dev/null || skip "qemu is not installed (Debian: qemu-system-x86)"
    for tool in cpio xz zstd readelf "$@"; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
    busybox=$(command -v busybox) || skip "busybox is not installed (Debian: busybox-static)"
    ! readelf -lW "$busybox" | grep -q INTERP || skip "$busybox is not a static program (Debian: busybox-static)"
}

# exported PREFIX|PREFIX...: prints the environment's variables that begin so, as commands of a shell.
exported() {
    env | sed -n -E "s/'/'\\\\''/g; s/^(($1)[A-Z_]*)=(.*)\$/export \\1='\\3'/p"
}

# quoted WORD...: prints the words for a shell.
quoted() {
    for word; do
        printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"
    done
    echo
}
