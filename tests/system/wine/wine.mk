# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- real Wine, here and in other Debian systems ----
SCRIPT_TESTS += %D%/test-doctor.sh %D%/test-fallback.sh %D%/test-faults.sh %D%/test-isolated.sh %D%/test-preloads.sh \
	%D%/test-random.sh %D%/test-shim.sh %D%/test-stand-aside.sh %D%/test-stats.sh %D%/test-stock.sh
EXTRA_DIST += %D%/env.sh
TEST_PRELOADS += %D%/sandbox.so %D%/vandal.so
EXTRA_DIST += %D%/sandbox.c %D%/vandal.c
CLEANFILES += %D%/fallback.err %D%/keep %D%/other-ntdll.so %D%/preloads.err %D%/vandal.err %D%/vandal.log
CLEAN_FOLDERS += %D%/prefix %D%/prefix-named %D%/prefix.lock

# ---- every Wine, each in a Debian of its own; needs root, a network and about half an hour ----
EXTRA_DIST += %D%/matrix.sh %D%/matrix-one.sh
CLEAN_FOLDERS += matrix

check-wine: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/system/winetest/winetest.sh build
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/%D%/matrix.sh >CONFORMANCE.md.new
	mv CONFORMANCE.md.new $(srcdir)/docs/evidence/CONFORMANCE.md

.PHONY: check-wine
