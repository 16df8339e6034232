# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- measurements: never part of `make check` ----
BENCH_REPORT = %D%/bounds.c %D%/command.c %D%/peers.h %D%/report.c
EXTRA_PROGRAMS += %D%/native
%C%_native_SOURCES = %D%/native.c %D%/marker.c $(BENCH_REPORT)
%C%_native_LDADD = libbench.la libengine.la libstrerror.la
# `bounds` is not made from bounds.c, whatever make's built-in rule says if bounds.c is newer.
%D%/bounds: ;
EXTRA_DIST += %D%/bounds %D%/gctest.sh %D%/in-wine.sh %D%/table.awk %D%/targets %D%/wine.sh
CLEANFILES += %D%/native %D%/gctest.samples benchmarks.lines

ROUNDS = 9
bench: all %D%/native
	WW_BUILDDIR=$(abs_builddir) $(SHELL) $(srcdir)/%D%/wine.sh --rounds=$(ROUNDS)
	WW_BUILDDIR=$(abs_builddir) $(SHELL) $(srcdir)/%D%/gctest.sh || test $$? -eq 77

# The same with a report; takes about half an hour, in which the machine should do nothing else.
benchmarks: all %D%/native
	WW_BUILDDIR=$(abs_builddir) $(SHELL) $(srcdir)/%D%/wine.sh --rounds=$(ROUNDS) \
		--targets=$(abs_srcdir)/%D%/targets --report=$(abs_srcdir)/docs/evidence/BENCHMARKS.md \
		--plot=$(abs_srcdir)/docs/evidence/plots >benchmarks.lines

# A short subset, of which only ratios are compared with the committed bounds.
bench-check: %D%/native
	%D%/native --rounds=5 --workload=first_write --workload=dense_small --workload=dense_medium \
		--workload=sparse --workload=regions --workload=pollers --workload=protect --workload=gc \
		--bounds=$(srcdir)/%D%/bounds

.PHONY: bench benchmarks bench-check
