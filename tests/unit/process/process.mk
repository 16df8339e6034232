# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- memory and locks in a process that is not ours, linux/process/ ----
if HAVE_CHECK
UNIT_TESTS += %D%/test-heap
%C%_test_heap_SOURCES = %D%/test-heap.c tests/common/util.h
%C%_test_heap_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_heap_LDADD = $(UNIT_LDADD)
%C%_test_heap_LDFLAGS = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free

UNIT_TESTS += %D%/test-lock
%C%_test_lock_SOURCES = %D%/test-lock.c tests/common/util.h
%C%_test_lock_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_lock_LDADD = $(CHECK_LIBS)
endif
