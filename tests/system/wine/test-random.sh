#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Random operations, each answer compared with a model: of Windows' two levels
# under the shim, and, to test the program itself, of stock Wine's one level under
# stock Wine. WW_SEEDS and WW_OPERATIONS make it longer; seeds are fixed, so a
# failure can be repeated.
. "$(dirname "$0")/env.sh"
need_program differential.exe
need_kernel
make_prefix
operations=${WW_OPERATIONS:-20000} failed=0
for seed in $(seq "${WW_FIRST_SEED:-1}" $((${WW_FIRST_SEED:-1} + ${WW_SEEDS:-5} - 1))); do
    shim 300 "$pe/differential.exe" "$seed" "$operations" two || failed=1
    [ "$seed" -gt 2 ] || stock 300 "$pe/differential.exe" "$seed" "$operations" one || failed=1
done
exit $failed
