# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- manual pages, installed headers and documents, against what they describe ----
DOCS_TESTS = tests/system/docs/test-abi.sh tests/system/docs/test-ci.sh tests/system/docs/test-examples.sh tests/system/docs/test-guide.sh tests/system/docs/test-header.sh \
	tests/system/docs/test-links.sh tests/system/docs/test-man.sh tests/system/docs/test-messages.sh
TESTS += $(DOCS_TESTS)
EXTRA_DIST += $(DOCS_TESTS) tests/system/docs/blocks.awk tests/system/docs/links.awk tests/system/docs/messages.awk tests/system/docs/libwritewatch.abi tests/system/docs/libwritewatch.constants \
	tests/system/docs/examples/frame.h tests/system/docs/examples/ww_fill.c tests/system/docs/examples/ww_get_pages.c \
	tests/system/docs/examples/ww_latch.c tests/system/docs/examples/ww_open.c tests/system/docs/examples/ww_pagemap_scan.c \
	tests/system/docs/examples/ww_probe.c tests/system/docs/examples/ww_win32_open.c
AM_TESTS_ENVIRONMENT += WW_CC='$(CC) $(CFLAGS)'; export WW_CC;

# ---- what README.md and CONTRIBUTING.md have people type, in a fresh Debian; no part of `make check` ----
EXTRA_DIST += tests/system/docs/check-docs.sh tests/system/docs/run-readme.sh tests/system/docs/commands.awk

check-docs: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/system/docs/check-docs.sh || test $$? -eq 77

.PHONY: check-docs
