# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- system calls and allocations that fail on purpose ----
FAULT_CALLS = ioctl syscall open read pread pread64 write pwrite64 epoll_create1 epoll_wait mmap msync \
	mprotect madvise sigaction pthread_create malloc calloc realloc ww_heap_alloc
WRAP_FAULTS = $(FAULT_CALLS:%=-Wl,--wrap=%)

if HAVE_CHECK
UNIT_TESTS += %D%/test-faults
%C%_test_faults_SOURCES = %D%/test-faults.c $(ON_EACH_BACKEND) $(MODEL) \
	%D%/inject.c %D%/inject.h
%C%_test_faults_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/%D%
%C%_test_faults_LDADD = $(UNIT_LDADD)
%C%_test_faults_LDFLAGS = $(WRAP_FAULTS)
endif

# The preload with faults, for tests/system/wine/test-faults.sh: the engine and the NT calls are linked to one object
# first, so that faults do not reach Wine's own system calls, which pass through the preload as well.
FAULTY = %D%/libwritewatch-ntdll.so
EXTRA_DIST += %D%/preload.c
check_DATA += $(FAULTY)
CLEANFILES += $(FAULTY) %D%/engine.o %D%/wine.err

$(FAULTY): $(srcdir)/%D%/inject.c $(srcdir)/%D%/inject.h $(srcdir)/%D%/preload.c \
		libengine.la libnt.la libpreload.la
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(AM_CPPFLAGS) $(AM_CFLAGS) $(CFLAGS) -fPIC -r -nostdlib \
		$(FAULT_CALLS:%=-Wl,--wrap=%) -o %D%/engine.o $(srcdir)/%D%/inject.c \
		-Wl,--whole-archive .libs/libengine.a .libs/libnt.a -Wl,--no-whole-archive && \
	$(CC) $(AM_CPPFLAGS) $(AM_CFLAGS) $(CFLAGS) -fPIC -shared -static-libgcc -Wl,-z,defs \
		-Wl,--version-script=$(top_srcdir)/dlls/ntdll/preload.map -o $@ $(srcdir)/%D%/preload.c \
		%D%/engine.o -Wl,--whole-archive .libs/libpreload.a -Wl,--no-whole-archive $(FFI_PIC)

# Many more calls than in `make check`, with a report; and under Wine with other seeds.
EXTRA_DIST += %D%/check-faults.sh
check-faults: all %D%/test-faults $(FAULTY)
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/%D%/check-faults.sh
	WW_BUILDDIR='$(abs_builddir)' WW_SEEDS=3 WW_OPERATIONS=10000 $(SHELL) $(srcdir)/tests/system/wine/test-faults.sh || test $$? -eq 77

.PHONY: check-faults
