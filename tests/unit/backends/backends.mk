# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- each backend by itself, linux/backends/; what all of them do is in tests/unit/contract ----
if HAVE_CHECK
UNIT_TESTS += %D%/test-mprotect
MPROTECT_TEST = %D%/mprotect-test.c %D%/mprotect-test.h tests/common/util.h
%C%_test_mprotect_SOURCES = %D%/test-mprotect.c $(MPROTECT_TEST)
%C%_test_mprotect_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_mprotect_LDADD = $(UNIT_LDADD)

UNIT_TESTS += %D%/test-waits
%C%_test_waits_SOURCES = %D%/test-waits.c %D%/waits.h %D%/waits-fills.c %D%/waits-stores.c $(MPROTECT_TEST) \
	tests/common/deny-call.h
%C%_test_waits_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_waits_LDADD = $(UNIT_LDADD)
%C%_test_waits_LDFLAGS = -Wl,--wrap=ioctl,--wrap=pwrite64,--wrap=ww_heap_alloc

UNIT_TESTS += %D%/test-softdirty
%C%_test_softdirty_SOURCES = %D%/test-softdirty.c tests/common/util.h
%C%_test_softdirty_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_softdirty_LDADD = $(UNIT_LDADD)
%C%_test_softdirty_LDFLAGS = -Wl,--wrap=write

UNIT_TESTS += %D%/test-uffd-sync
%C%_test_uffd_sync_SOURCES = %D%/test-uffd-sync.c %D%/uffd-sync.h tests/common/util.h \
	%D%/uffd-sync-held.c %D%/uffd-sync-late.c %D%/uffd-sync-memory.c %D%/uffd-sync-world.c
%C%_test_uffd_sync_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_uffd_sync_LDADD = $(UNIT_LDADD)
%C%_test_uffd_sync_LDFLAGS = -Wl,--wrap=read
endif
