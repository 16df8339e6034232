# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the engine, linux/*.c ----
if HAVE_CHECK
UNIT_TESTS += %D%/test-page-set
%C%_test_page_set_SOURCES = %D%/test-page-set.c tests/common/util.h
%C%_test_page_set_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_page_set_LDADD = $(UNIT_LDADD)
%C%_test_page_set_LDFLAGS = -Wl,--wrap=ww_heap_alloc

UNIT_TESTS += %D%/test-region
%C%_test_region_SOURCES = %D%/test-region.c tests/common/util.h
%C%_test_region_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_region_LDADD = $(UNIT_LDADD)
%C%_test_region_LDFLAGS = -Wl,--wrap=ww_heap_alloc

UNIT_TESTS += %D%/test-strerror
%C%_test_strerror_SOURCES = %D%/test-strerror.c tests/common/util.h
%C%_test_strerror_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_strerror_LDADD = $(UNIT_LDADD)

UNIT_TESTS += %D%/test-lockless
%C%_test_lockless_SOURCES = %D%/test-lockless.c tests/common/util.h
%C%_test_lockless_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_lockless_LDADD = $(UNIT_LDADD)
%C%_test_lockless_LDFLAGS = -Wl,--wrap=ioctl

UNIT_TESTS += %D%/test-watch
%C%_test_watch_SOURCES = %D%/test-watch.c tests/common/util.h
%C%_test_watch_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_watch_LDADD = $(UNIT_LDADD)
%C%_test_watch_LDFLAGS = -Wl,--wrap=ioctl,--wrap=mprotect

UNIT_TESTS += %D%/test-concurrent
%C%_test_concurrent_SOURCES = %D%/test-concurrent.c tests/common/util.h
%C%_test_concurrent_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_concurrent_LDADD = $(UNIT_LDADD)

UNIT_TESTS += %D%/test-interrupted
%C%_test_interrupted_SOURCES = %D%/test-interrupted.c $(ON_EACH_BACKEND)
%C%_test_interrupted_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_interrupted_LDADD = $(UNIT_LDADD)
%C%_test_interrupted_LDFLAGS = -Wl,--wrap=pthread_sigmask

UNIT_TESTS += %D%/test-mappings
%C%_test_mappings_SOURCES = %D%/test-mappings.c $(ON_EACH_BACKEND) %D%/mappings.c %D%/mappings.h
%C%_test_mappings_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_mappings_LDADD = $(UNIT_LDADD)

UNIT_TESTS += %D%/test-malloc
%C%_test_malloc_SOURCES = %D%/test-malloc.c %D%/malloc-test.h %D%/malloc-calls.c %D%/malloc-replacements.c \
	tests/common/deny-call.h tests/common/util.h
%C%_test_malloc_CPPFLAGS = $(UNIT_CPPFLAGS)
# In a static program libc defines malloc() as well: the one of test-malloc.c, which comes first, wins.
%C%_test_malloc_LDFLAGS = -Wl,-z,muldefs
%C%_test_malloc_LDADD = libkernel32.la libnt.la $(UNIT_LDADD) $(FFI_LIBS)
endif
