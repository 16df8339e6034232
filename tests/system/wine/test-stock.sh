#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The conformance program against an implementation that is not ours: what it
# expects is right if stock Wine agrees, but for the known differences (todo).
. "$(dirname "$0")/env.sh"
need_program conformance.exe
make_prefix
stock 200 "$pe/conformance.exe" permissive
