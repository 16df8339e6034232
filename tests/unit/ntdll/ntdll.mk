# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the NT calls, dlls/ntdll/ ----
if HAVE_CHECK
UNIT_TESTS += %D%/test-nt
%C%_test_nt_SOURCES = %D%/test-nt.c %D%/nt-test.h %D%/nt-faults.c %D%/nt-filter.c %D%/nt-spans.c tests/common/util.h \
	dlls/ntdll/filter.c dlls/ntdll/filter.h
%C%_test_nt_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/dlls/ntdll $(WINE_CPPFLAGS)
%C%_test_nt_LDADD = libnt.la $(UNIT_LDADD)

UNIT_TESTS += %D%/test-remote
%C%_test_remote_SOURCES = %D%/test-remote.c %D%/nt-test.h tests/common/util.h
%C%_test_remote_CPPFLAGS = $(UNIT_CPPFLAGS) -iquote $(top_srcdir)/dlls/ntdll $(WINE_CPPFLAGS)
%C%_test_remote_LDADD = dlls/ntdll/libpreload_la-elf.lo dlls/ntdll/libpreload_la-filter.lo \
	dlls/ntdll/libpreload_la-remote.lo libnt.la $(UNIT_LDADD)
%C%_test_remote_LDFLAGS = -Wl,--wrap=madvise,--wrap=ww_hold_to_change,--wrap=ww_detach,--wrap=ww_forget
endif
