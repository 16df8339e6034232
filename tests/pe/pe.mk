# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- Windows programs: 64-bit ones here, 32-bit ones in i686/ ----
CONFORMANCE_FILES = \
	%D%/conformance/conformance.c \
	%D%/conformance/conformance_args.c \
	%D%/conformance/conformance_arrays.c \
	%D%/conformance/conformance_async.c \
	%D%/conformance/conformance_discard.c \
	%D%/conformance/conformance_handles.c \
	%D%/conformance/conformance_io.c \
	%D%/conformance/conformance_levels.c \
	%D%/conformance/conformance_marks.c \
	%D%/conformance/conformance_parts.c \
	%D%/conformance/conformance_peer.c \
	%D%/conformance/conformance_run.c \
	%D%/conformance/conformance_state.c \
	%D%/conformance/conformance_stop.c \
	%D%/conformance/conformance_util.c
EXTRA_DIST += $(CONFORMANCE_FILES) %D%/conformance/conformance.h %D%/wwtest.h %D%/bench.c %D%/bench_windows.c %D%/bench_windows.h \
	%D%/differential.c

PE_NAMES = conformance.exe differential.exe bench.exe watch.exe
PE64 = $(PE_NAMES:%=%D%/%)
PE32 = $(PE_NAMES:%=%D%/i686/%)
CLEANFILES += $(PE64) $(PE32)
$(PE64): PE_CC = $(MINGW64)
$(PE32): PE_CC = $(MINGW32)
%D%/conformance.exe %D%/i686/conformance.exe: PE_LIBS = -lntdll -lws2_32
%D%/conformance.exe %D%/i686/conformance.exe: PE_CFLAGS += -I$(srcdir)/%D%
%D%/conformance.exe %D%/i686/conformance.exe: $(CONFORMANCE_FILES) %D%/conformance/conformance.h %D%/wwtest.h
	$(PE_BUILD)
%D%/differential.exe %D%/i686/differential.exe: %D%/differential.c
	$(PE_BUILD)
PE_BENCH = %D%/bench.c %D%/bench_windows.c programs/bench/workloads.c programs/bench/dense.c \
	programs/bench/sparse.c programs/bench/threads.c programs/bench/mixes.c
%D%/bench.exe %D%/i686/bench.exe: PE_LIBS = -static -lpthread
%D%/bench.exe %D%/i686/bench.exe: PE_CFLAGS += -D__USE_MINGW_ANSI_STDIO=1 -Wno-format -I$(top_srcdir)/include
%D%/bench.exe %D%/i686/bench.exe: $(PE_BENCH) %D%/bench_windows.h programs/bench/bench.h
	$(PE_BUILD)
# The program that `writewatch doctor` runs, unstripped.
%D%/watch.exe %D%/i686/watch.exe: programs/doctor/selftest.c
	$(PE_BUILD)

if HAVE_MINGW64
noinst_DATA += $(PE64)
endif
if HAVE_MINGW32
noinst_DATA += $(PE32)
endif
