# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- sanitizers, memcheck, analysers, and what hardening has come to ----
TESTS += tests/analysis/test-hardening.sh
ANALYSIS_FILES = tests/analysis/allowed tests/analysis/analyze.sh tests/analysis/asan.sh tests/analysis/cppcheck.supp \
	tests/analysis/test-hardening.sh tests/analysis/valgrind.sh tests/analysis/valgrind.supp
EXTRA_DIST += $(ANALYSIS_FILES)

check_PROGRAMS += tests/analysis/maps-host
EXTRA_DIST += tests/analysis/maps.c
CLEANFILES += tests/analysis/maps.exe tests/analysis/*.with tests/analysis/*.without tests/analysis/host.said
tests/analysis/maps.exe: tests/analysis/maps.c
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(MINGW64) $(PE_CFLAGS) -o $@ $(filter %.c,$^)
if HAVE_MINGW64
noinst_DATA += tests/analysis/maps.exe
endif

# In a build folder of its own; takes about fifteen minutes.
check-asan:
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/analysis/asan.sh || test $$? -eq 77

# For asan.sh, in that folder: what it runs natively, and a list of it.
SANITIZED = $(UNIT_TESTS) $(EXAMPLES)
sanitized-programs: $(SANITIZED) tests/stress/soak/soak tests/system/loader/loader tests/system/loader/damage $(check_PROGRAMS)
	@printf '%s\n' $(SANITIZED) >sanitized-programs.list

check-valgrind: all tests/unit/engine/test-page-set tests/unit/engine/test-region tests/unit/kernel/test-maps \
		tests/unit/contract/test-contract
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/analysis/valgrind.sh || test $$? -eq 77

# gcc's analyzer in a build folder of its own, clang-tidy, cppcheck.
analyze:
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/analysis/analyze.sh || test $$? -eq 77

CLEANFILES += sanitized-programs.list tests/analysis/*.out
.PHONY: check-asan check-valgrind analyze sanitized-programs
