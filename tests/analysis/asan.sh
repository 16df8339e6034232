# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds everything with AddressSanitizer and UndefinedBehaviorSanitizer in a folder of
# its own (asan/), runs each test natively, and prints a line for each: passed, skipped, or
# what was reported. What cannot run in such a process is named below with its reason.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${WW_BUILDDIR:-build}" && pwd) || exit 1
build=$build/asan
soak_seconds=${WW_SOAK_SECONDS:-20}
failed=0
