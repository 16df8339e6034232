# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- manual pages and installed headers, against what they describe ----
DOCS_TESTS = tests/docs/test-man.sh
TESTS += $(DOCS_TESTS)
EXTRA_DIST += $(DOCS_TESTS)
