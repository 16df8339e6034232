# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- documents: their programs compile and run ----
TESTS += tests/docs/test-guide.sh
EXTRA_DIST += tests/docs/test-guide.sh tests/docs/blocks.awk docs/GUIDE.md
AM_TESTS_ENVIRONMENT += WW_CC='$(CC) $(CFLAGS)'; export WW_CC;
