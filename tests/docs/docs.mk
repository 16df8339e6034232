# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- manual pages, installed headers and documents, against what they describe ----
DOCS_TESTS = tests/docs/test-abi.sh tests/docs/test-ci.sh tests/docs/test-examples.sh tests/docs/test-guide.sh tests/docs/test-header.sh \
	tests/docs/test-links.sh tests/docs/test-man.sh tests/docs/test-messages.sh
TESTS += $(DOCS_TESTS)
EXTRA_DIST += $(DOCS_TESTS) tests/docs/blocks.awk tests/docs/links.awk tests/docs/messages.awk tests/docs/libwritewatch.abi tests/docs/libwritewatch.constants \
	tests/docs/examples/frame.h tests/docs/examples/ww_fill.c tests/docs/examples/ww_get_pages.c \
	tests/docs/examples/ww_latch.c tests/docs/examples/ww_open.c tests/docs/examples/ww_pagemap_scan.c \
	tests/docs/examples/ww_probe.c tests/docs/examples/ww_strerror.c tests/docs/examples/ww_watch.c tests/docs/examples/ww_win32_open.c
AM_TESTS_ENVIRONMENT += WW_CC='$(CC) $(CFLAGS)'; export WW_CC;

# ---- what README.md and CONTRIBUTING.md have people type, in a fresh Debian; no part of `make check` ----
EXTRA_DIST += tests/docs/check-docs.sh tests/docs/run-readme.sh tests/docs/commands.awk

check-docs: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/docs/check-docs.sh || test $$? -eq 77

.PHONY: check-docs
