# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- Debian packages and the source archive; no part of `make check` ----
EXTRA_DIST += %D%/build-in-root.sh %D%/check-packages.sh %D%/test-dist.sh %D%/try-in-root.sh

check-packages: all dist
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/%D%/check-packages.sh $(distdir).tar.xz || test $$? -eq 77

.PHONY: check-packages
