# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the soak test: all calls at once, for any time; and unit tests under ThreadSanitizer ----
SOAK_COMMON = %D%/soak.c %D%/region.c %D%/actors.c %D%/churn.c \
	%D%/collector.c %D%/checkpoint.c %D%/watchdog.c

check_PROGRAMS += %D%/soak
%C%_soak_SOURCES = $(SOAK_COMMON) %D%/linux.c %D%/soak.h
%C%_soak_LDADD = libengine.la

SOAK_EXES = %D%/soak.exe %D%/i686/soak.exe
EXTRA_DIST += %D%/windows.c %D%/soak.sh %D%/tsan.sh %D%/tsan.supp
CLEANFILES += $(SOAK_EXES) %D%/*.out %D%/*.err %D%/wine.counts
%D%/soak.exe: SOAK_CC = $(MINGW64)
%D%/i686/soak.exe: SOAK_CC = $(MINGW32)
$(SOAK_EXES): $(SOAK_COMMON) %D%/windows.c %D%/soak.h
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(SOAK_CC) $(PE_CFLAGS) -D__USE_MINGW_ANSI_STDIO=1 -Wno-format -o $@ \
		$(filter %.c,$^) -static -lpthread
if HAVE_MINGW64
noinst_DATA += %D%/soak.exe
endif
if HAVE_MINGW32
noinst_DATA += %D%/i686/soak.exe
endif

SCRIPT_TESTS += %D%/test-soak.sh

# As a Windows program under the shim all the time, and beside it natively, with each backend for a third of it.
SOAK_SECONDS = 1800
soak: all %D%/soak
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/%D%/soak.sh $(SOAK_SECONDS) \
		$${SOAK_SEED:-$$(date +%s)} 60

# Random operations of one thread, each answer compared with a model: new seeds each time, about half an hour.
soak-random: all
	WW_BUILDDIR='$(abs_builddir)' WW_FIRST_SEED=$$(date +%s) WW_SEEDS=$${WW_SEEDS:-300} WW_OPERATIONS=1000000 \
		$(SHELL) $(srcdir)/tests/system/wine/test-random.sh

# In a build folder of its own; takes about ten minutes.
CLEAN_FOLDERS += tsan tsan.log
check-tsan:
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/%D%/tsan.sh || test $$? -eq 77

.PHONY: soak soak-random check-tsan
