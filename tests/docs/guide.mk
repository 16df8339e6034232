# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- documents: their programs compile and run, their messages are those of the sources ----
TESTS += tests/docs/test-guide.sh
EXTRA_DIST += tests/docs/test-guide.sh tests/docs/blocks.awk tests/docs/messages.awk \
	docs/GUIDE.md docs/TROUBLESHOOTING.md
AM_TESTS_ENVIRONMENT += WW_CC='$(CC) $(CFLAGS)'; export WW_CC;
