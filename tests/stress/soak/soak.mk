# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the soak test: all calls at once, for as long as one likes; and unit tests under ThreadSanitizer ----
SOAK_COMMON = tests/stress/soak/soak.c tests/stress/soak/region.c tests/stress/soak/actors.c tests/stress/soak/churn.c \
	tests/stress/soak/collector.c tests/stress/soak/checkpoint.c tests/stress/soak/watchdog.c

check_PROGRAMS += tests/stress/soak/soak
tests_stress_soak_soak_SOURCES = $(SOAK_COMMON) tests/stress/soak/linux.c tests/stress/soak/soak.h
tests_stress_soak_soak_LDADD = libengine.la

SOAK_EXES = tests/stress/soak/soak.exe tests/stress/soak/i686/soak.exe
EXTRA_DIST += tests/stress/soak/windows.c tests/stress/soak/soak.sh tests/stress/soak/test-soak.sh tests/stress/soak/tsan.sh tests/stress/soak/tsan.supp
CLEANFILES += $(SOAK_EXES) tests/stress/soak/*.out tests/stress/soak/*.err tests/stress/soak/wine.counts
tests/stress/soak/soak.exe: SOAK_CC = $(MINGW64)
tests/stress/soak/i686/soak.exe: SOAK_CC = $(MINGW32)
$(SOAK_EXES): $(SOAK_COMMON) tests/stress/soak/windows.c tests/stress/soak/soak.h
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(SOAK_CC) $(PE_CFLAGS) -D__USE_MINGW_ANSI_STDIO=1 -Wno-format -o $@ \
		$(filter %.c,$^) -static -lpthread
if HAVE_MINGW64
noinst_DATA += tests/stress/soak/soak.exe
endif
if HAVE_MINGW32
noinst_DATA += tests/stress/soak/i686/soak.exe
endif

TESTS += tests/stress/soak/test-soak.sh

# Half of the time as a Windows program under the shim, half of it natively, each backend in turn.
SOAK_SECONDS = 1800
soak: all tests/stress/soak/soak
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/stress/soak/soak.sh $(SOAK_SECONDS) \
		$${SOAK_SEED:-$$(date +%s)} 60

# Random operations of one thread, each answer checked against a model: other seeds each time, about half an hour.
soak-random: all
	WW_BUILDDIR='$(abs_builddir)' WW_FIRST_SEED=$$(date +%s) WW_SEEDS=$${WW_SEEDS:-300} WW_OPERATIONS=1000000 \
		$(SHELL) $(srcdir)/tests/system/wine/test-random.sh

# In a build folder of its own; takes about ten minutes.
check-tsan:
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/stress/soak/tsan.sh || test $$? -eq 77

.PHONY: soak soak-random check-tsan
