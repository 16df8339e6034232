# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- system calls and allocations that fail on purpose ----
FAULT_CALLS = ioctl syscall open read pread pread64 write pwrite64 epoll_create1 epoll_wait mmap msync \
	mprotect madvise sigaction pthread_create malloc calloc realloc ww_heap_alloc
WRAP_FAULTS = $(FAULT_CALLS:%=-Wl,--wrap=%)

if HAVE_CHECK
UNIT_TESTS += tests/unit/test-faults
tests_unit_test_faults_SOURCES = tests/unit/test-faults.c $(ON_EACH_BACKEND) tests/unit/model.c tests/unit/model.h \
	tests/unit/model-behind.c tests/unit/model-changes.c tests/unit/model-ops.h tests/faults/inject.c tests/faults/inject.h
tests_unit_test_faults_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/faults
tests_unit_test_faults_LDADD = $(UNIT_LDADD)
tests_unit_test_faults_LDFLAGS = $(WRAP_FAULTS)
endif

# The preload with faults: the engine and the NT calls are linked to one object first, so that Wine's own system
# calls, which pass through the preload as well, stay whole.
FAULTY = tests/faults/libwritewatch-ntdll.so
EXTRA_DIST += tests/faults/preload.c
check_DATA += $(FAULTY)
CLEANFILES += $(FAULTY) tests/faults/engine.o tests/faults/wine.err

$(FAULTY): $(srcdir)/tests/faults/inject.c $(srcdir)/tests/faults/inject.h $(srcdir)/tests/faults/preload.c \
		libengine.la libnt.la libpreload.la
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(AM_CPPFLAGS) $(AM_CFLAGS) $(CFLAGS) -fPIC -r -nostdlib \
		$(FAULT_CALLS:%=-Wl,--wrap=%) -o tests/faults/engine.o $(srcdir)/tests/faults/inject.c \
		-Wl,--whole-archive .libs/libengine.a .libs/libnt.a -Wl,--no-whole-archive && \
	$(CC) $(AM_CPPFLAGS) $(AM_CFLAGS) $(CFLAGS) -fPIC -shared -static-libgcc -Wl,-z,defs \
		-Wl,--version-script=$(top_srcdir)/dlls/ntdll/preload.map -o $@ $(srcdir)/tests/faults/preload.c \
		tests/faults/engine.o -Wl,--whole-archive .libs/libpreload.a -Wl,--no-whole-archive $(FFI_PIC)

TESTS += tests/wine/test-faults.sh
EXTRA_DIST += tests/wine/test-faults.sh

# Many more calls than in `make check`, with a report; and under Wine with seeds of its own.
EXTRA_DIST += tests/faults/check-faults.sh
check-faults: all tests/unit/test-faults $(FAULTY)
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/faults/check-faults.sh
	WW_BUILDDIR='$(abs_builddir)' WW_SEEDS=3 WW_OPERATIONS=10000 $(SHELL) $(srcdir)/tests/wine/test-faults.sh || test $$? -eq 77

.PHONY: check-faults
