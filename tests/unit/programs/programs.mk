# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the command, programs/ ----
SCRIPT_TESTS += %D%/test-bench.sh %D%/test-command.sh %D%/test-completion.sh %D%/test-launch.sh %D%/test-scan.sh \
	%D%/test-starts.sh %D%/test-word-sizes.sh
CLEAN_FOLDERS += %D%/word-sizes

# A process whose pages test-scan.sh knows.
check_PROGRAMS += %D%/known-pages

# Tests the benchmark's arithmetic, and that it detects peers that give wrong answers.
if HAVE_CHECK
UNIT_TESTS += %D%/test-bench-core
%C%_test_bench_core_SOURCES = %D%/test-bench-core.c tests/common/util.h $(BENCH_REPORT)
%C%_test_bench_core_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/bench
%C%_test_bench_core_LDADD = libbench.la $(UNIT_LDADD)
endif
