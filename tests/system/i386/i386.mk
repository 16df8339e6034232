# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the units as a build for i386, in a build folder of its own ----
SCRIPT_TESTS += %D%/test-i386.sh
EXTRA_DIST += %D%/setup.sh
CLEANFILES += units.list
CLEAN_FOLDERS += i386

# The units alone, and their names for test-i386.sh: nothing else of the project is needed for them.
units: $(UNIT_TESTS)
	@echo $(UNIT_TESTS) >units.list

.PHONY: units
