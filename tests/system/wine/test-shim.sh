#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The conformance program under the shim, where every answer must be Windows'.
. "$(dirname "$0")/env.sh"
need_program conformance.exe
need_kernel
make_prefix
shim_says wine "$pe/watch.exe" | grep 'attached to .*ntdll.so.*backend uffd' || {
    echo "the shim did not step in:"
    shim_says wine "$pe/watch.exe"
    exit 1
}
shim 200 "$pe/conformance.exe" strict
