# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the unit tests for i386, in a build folder of their own ----
SCRIPT_TESTS += %D%/test-i386.sh
EXTRA_DIST += %D%/setup.sh
CLEANFILES += units.list
CLEAN_FOLDERS += i386

# Makes the unit tests alone, and the list of their names for test-i386.sh.
units: $(UNIT_TESTS)
	@echo $(UNIT_TESTS) >units.list

.PHONY: units
