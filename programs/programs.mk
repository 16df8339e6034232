# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the command; it carries the engine itself, so that it runs from anywhere ----
bin_PROGRAMS = writewatch
writewatch_SOURCES = programs/main.c programs/programs.h programs/bench.c programs/doctor.c programs/plot.c programs/probe.c \
	programs/record.c programs/run.c programs/scan.c programs/top.c \
	programs/bench/json.c \
	programs/common/json.c programs/common/json.h programs/common/options.c programs/common/options.h \
	programs/common/output.c programs/common/output.h programs/common/survey.c programs/common/survey.h \
	programs/counters/choose.c programs/counters/choose.h programs/counters/counters.c programs/counters/counters.h \
	programs/counters/summary.c programs/counters/summary.h \
	programs/doctor/capture.c programs/doctor/capture.h programs/doctor/doctor.h programs/doctor/wine.c \
	programs/launch/child.c programs/launch/launch.h programs/launch/prepare.c programs/launch/spawn.c \
	programs/record/draw.c programs/record/lines.c programs/record/lines.h programs/record/read.c programs/record/record.h \
	programs/top/screen.c programs/top/top.h
writewatch_CPPFLAGS = $(AM_CPPFLAGS) $(JSON_CFLAGS) $(CURSES_CFLAGS) -DPKGLIBDIR='"$(pkglibdir)"' -DPKGDATADIR='"$(pkgdatadir)"'
writewatch_CFLAGS = $(AM_CFLAGS) $(PIE_CFLAGS)
writewatch_LDFLAGS = $(AM_LDFLAGS) $(PIE_LDFLAGS)
writewatch_LDADD = libbench.la libengine.la libstrerror.la $(JSON_LIBS) $(CURSES_LIBS)

# ---- the benchmark's core, for the command and for tests/bench/native ----
noinst_LTLIBRARIES += libbench.la
libbench_la_SOURCES = \
	programs/bench/bench.h \
	programs/bench/bare.c \
	programs/bench/curves.c \
	programs/bench/dense.c \
	programs/bench/library.c \
	programs/bench/mixes.c \
	programs/bench/peers.c \
	programs/bench/print.c \
	programs/bench/results.c \
	programs/bench/rounds.c \
	programs/bench/sparse.c \
	programs/bench/system.c \
	programs/bench/threads.c \
	programs/bench/workloads.c \
	programs/common/gnuplot.c programs/common/gnuplot.h programs/common/proc.c programs/common/proc.h \
	programs/common/tree.c programs/common/tree.h

# ---- what `writewatch doctor` runs under Wine; tests/pe/watch.exe is the same program ----
SELFTEST64 = programs/selftest.exe
SELFTEST32 = programs/selftest32.exe
EXTRA_DIST += programs/doctor/selftest.c
CLEANFILES += $(SELFTEST64) $(SELFTEST32)
$(SELFTEST64): PE_CC = $(MINGW64)
$(SELFTEST32): PE_CC = $(MINGW32)
$(SELFTEST64) $(SELFTEST32): programs/doctor/selftest.c
	$(PE_BUILD)
	$(AM_V_at)$(PE_CC:gcc=strip) $@
pkgdata_DATA =
if HAVE_MINGW64
pkgdata_DATA += $(SELFTEST64)
endif
if HAVE_MINGW32
pkgdata_DATA += $(SELFTEST32)
endif

EXTRA_DIST += programs/completion.bash
bashcompletiondir = $(datadir)/bash-completion/completions
install-data-hook:
	$(MKDIR_P) '$(DESTDIR)$(bashcompletiondir)'
	$(INSTALL_DATA) '$(srcdir)/programs/completion.bash' '$(DESTDIR)$(bashcompletiondir)/writewatch'
uninstall-hook:
	rm -f '$(DESTDIR)$(bashcompletiondir)/writewatch'

