# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- system calls and allocations that fail on purpose ----
FAULT_CALLS = ioctl syscall open read pread pread64 write pwrite64 epoll_create1 epoll_wait mmap msync \
	mprotect madvise sigaction pthread_create malloc calloc realloc ww_heap_alloc
WRAP_FAULTS = $(FAULT_CALLS:%=-Wl,--wrap=%)

if HAVE_CHECK
UNIT_TESTS += tests/unit/test-faults
tests_unit_test_faults_SOURCES = tests/unit/test-faults.c tests/unit/contract.h tests/unit/model.c tests/unit/model.h \
	tests/unit/model-behind.c tests/unit/model-changes.c tests/unit/model-ops.h tests/unit/util.h tests/faults/inject.c tests/faults/inject.h
tests_unit_test_faults_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/faults
tests_unit_test_faults_LDADD = $(UNIT_LDADD)
tests_unit_test_faults_LDFLAGS = $(WRAP_FAULTS)
endif
