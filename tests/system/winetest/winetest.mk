# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- Wine's own tests of write watches, which are fetched and never committed here; no part of `make check` ----
EXTRA_DIST += %D%/winetest.sh %D%/slice.awk %D%/compare.awk %D%/mingw.h %D%/allowed
CLEAN_FOLDERS += %D%/*.exe %D%/*.c %D%/*.checks %D%/*.log %D%/results %D%/include-*

winetest: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/%D%/winetest.sh || test $$? -eq 77

.PHONY: winetest
