# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- manual pages, installed headers and documents, compared with what they describe ----
SCRIPT_TESTS += %D%/test-abi.sh %D%/test-ci.sh %D%/test-commands.sh %D%/test-examples.sh %D%/test-guide.sh \
	%D%/test-header.sh %D%/test-links.sh %D%/test-man.sh %D%/test-messages.sh
EXTRA_DIST += %D%/blocks.awk %D%/links.awk %D%/messages.awk %D%/paths.awk %D%/libwritewatch.abi %D%/libwritewatch.constants \
	%D%/examples/frame.h \
	%D%/examples/ww_fill.c \
	%D%/examples/ww_get_pages.c \
	%D%/examples/ww_latch.c \
	%D%/examples/ww_open.c \
	%D%/examples/ww_pagemap_scan.c \
	%D%/examples/ww_probe.c \
	%D%/examples/ww_strerror.c \
	%D%/examples/ww_watch.c \
	%D%/examples/ww_win32_open.c
AM_TESTS_ENVIRONMENT += WW_CC='$(CC) $(CFLAGS)'; export WW_CC;

# ---- the commands in README.md and CONTRIBUTING.md, run in a fresh Debian; no part of `make check` ----
EXTRA_DIST += %D%/check-docs.sh %D%/commands.awk %D%/run-readme.sh

check-docs: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/%D%/check-docs.sh || test $$? -eq 77

.PHONY: check-docs
