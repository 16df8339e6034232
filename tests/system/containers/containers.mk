# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the preload on an older system, and in a container; no part of `make check` ----
EXTRA_DIST += %D%/container.sh %D%/older.sh %D%/wine.sh

check-container: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/%D%/older.sh || test $$? -eq 77
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/%D%/container.sh || test $$? -eq 77

.PHONY: check-container
