# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- sanitizers, memcheck, analysers, and what hardening has come to ----
SCRIPT_TESTS += %D%/test-circles.sh %D%/test-hardening.sh
EXTRA_DIST += %D%/allowed %D%/analyze.sh %D%/asan.sh %D%/cppcheck.supp %D%/valgrind.sh %D%/valgrind.supp

check_PROGRAMS += %D%/maps-host
EXTRA_DIST += %D%/maps.c
CLEAN_FOLDERS += analyze analyze.log asan asan.log valgrind
CLEANFILES += %D%/maps.exe %D%/*.with %D%/*.without %D%/host.said
%D%/maps.exe: %D%/maps.c
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(MINGW64) $(PE_CFLAGS) -o $@ $(filter %.c,$^)
if HAVE_MINGW64
noinst_DATA += %D%/maps.exe
endif

# In a build folder of its own; takes about fifteen minutes.
check-asan:
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/%D%/asan.sh || test $$? -eq 77

# For asan.sh, in that folder: what it runs natively, and a list of it.
SANITIZED = $(UNIT_TESTS) $(EXAMPLES)
sanitized-programs: $(SANITIZED) $(check_PROGRAMS)
	@printf '%s\n' $(SANITIZED) >sanitized-programs.list

check-valgrind: all tests/unit/engine/test-page-set tests/unit/engine/test-region tests/unit/kernel/test-maps \
		tests/unit/contract/test-contract
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/%D%/valgrind.sh || test $$? -eq 77

# gcc's analyzer in a build folder of its own, clang-tidy, cppcheck.
analyze:
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/%D%/analyze.sh || test $$? -eq 77

CLEANFILES += sanitized-programs.list %D%/*.out
.PHONY: check-asan check-valgrind analyze sanitized-programs
