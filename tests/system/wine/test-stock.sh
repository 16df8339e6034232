#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Tests the conformance program itself by another implementation: stock Wine must give
# the expected answers, except for the known differences (todo).
. "$(dirname "$0")/env.sh"
need_program conformance.exe
make_prefix
stock 200 "$pe/conformance.exe" permissive
