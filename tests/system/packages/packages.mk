# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- Debian packages, the source archive, older systems; nothing of it is part of `make check` ----
EXTRA_DIST += tests/system/packages/check-packages.sh tests/system/packages/build-in-root.sh tests/system/packages/try-in-root.sh \
	tests/system/debian/fresh.sh tests/system/containers/older.sh tests/system/containers/wine.sh tests/system/containers/container.sh \
	tests/system/packages/test-dist.sh

EXTRA_DIST += debian/changelog debian/control debian/copyright debian/libwritewatch-dev.examples \
	debian/libwritewatch-dev.install debian/libwritewatch0.install debian/libwritewatch0.symbols debian/not-installed \
	debian/rules debian/source/format debian/writewatch-preload.install debian/writewatch.README.Debian \
	debian/tests/control debian/tests/doctor debian/tests/examples debian/writewatch.docs debian/writewatch.install

# The archive has the same bytes whenever, wherever and by whom it is made: names in order, no owners, and one time for
# all files. That is $SOURCE_DATE_EPOCH if it is set, otherwise the commit's, and in what was unpacked from an archive
# the time of its files. One thread: xz divides the stream among several.
am__tar = epoch=$${SOURCE_DATE_EPOCH:-`$(SHELL) $(srcdir)/tests/system/packages/test-dist.sh --epoch $(srcdir)`}; \
	tar --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mode=u+rw,go+r-w,a+X --mtime="@$$epoch" \
	-cf - "$$tardir"
export XZ_OPT = -e -T1

check-packages: all dist
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/system/packages/check-packages.sh $(distdir).tar.xz || test $$? -eq 77

check-container: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/system/containers/older.sh || test $$? -eq 77
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/system/containers/container.sh || test $$? -eq 77

.PHONY: check-packages check-container
