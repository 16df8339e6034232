# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- what all tests use. Each folder has its own .mk file, where %D% stands for the folder, %C% for it in names ----
EXTRA_DIST += %D%/build.sh
TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = $(SHELL)
AM_TESTS_ENVIRONMENT = WW_BUILDDIR='$(abs_builddir)'; export WW_BUILDDIR;

# Programs over Check, and scripts.
UNIT_TESTS =
SCRIPT_TESTS =
TESTS = $(UNIT_TESTS) $(SCRIPT_TESTS)
check_PROGRAMS = $(UNIT_TESTS)
check_DATA =
EXTRA_PROGRAMS =
EXTRA_DIST += $(SCRIPT_TESTS)

# Unit tests call internal functions of the engine: they link the engine, not the library.
UNIT_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/%D%/common $(CHECK_CFLAGS)
UNIT_LDADD = libengine.la libstrerror.la $(CHECK_LIBS)

# Libraries that tests preload beside the project's own.
TEST_PRELOADS =
check_DATA += $(TEST_PRELOADS)
CLEANFILES += $(TEST_PRELOADS)
$(TEST_PRELOADS): %.so: $(srcdir)/%.c
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(AM_CPPFLAGS) -std=gnu11 $(CFLAGS) -fPIC -shared -o $@ $(srcdir)/$*.c

CLEAN_FOLDERS =
clean-local:
	rm -rf $(CLEAN_FOLDERS)

include %D%/common/common.mk
include %D%/unit/engine/engine.mk
include %D%/unit/contract/contract.mk
include %D%/unit/process/process.mk
include %D%/unit/kernel/kernel.mk
include %D%/unit/backends/backends.mk
include %D%/unit/fill/fill.mk
include %D%/unit/pagemap/pagemap.mk
include %D%/unit/ntdll/ntdll.mk
include %D%/unit/kernel32/kernel32.mk
include %D%/unit/programs/programs.mk
include %D%/system/facts/facts.mk
include %D%/system/environment/environment.mk
include %D%/system/preload/preload.mk
include %D%/system/loader/loader.mk
include %D%/system/wine/wine.mk
include %D%/system/winetest/winetest.mk
include %D%/system/i386/i386.mk
include %D%/system/kernels/kernels.mk
include %D%/system/debian/debian.mk
include %D%/system/packages/packages.mk
include %D%/system/containers/containers.mk
include %D%/system/docs/docs.mk
include %D%/stress/faults/faults.mk
include %D%/stress/soak/soak.mk
include %D%/stress/fuzz/fuzz.mk
include %D%/stress/models/models.mk
include %D%/analysis/analysis.mk
include %D%/bench/bench.mk
include %D%/pe/pe.mk

# ---- the units in a build that asserts the order of locks ----
CLEAN_FOLDERS += debug
check-debug:
	@$(MKDIR_P) debug
	cd debug && $(abs_srcdir)/configure -q --enable-debug && $(MAKE) $(AM_MAKEFLAGS) check TESTS='$(UNIT_TESTS)'

.PHONY: check-debug
