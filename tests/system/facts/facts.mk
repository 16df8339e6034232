# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- kernel behaviour that the engine relies on, bare and through the library ----
if HAVE_CHECK
UNIT_TESTS += %D%/test-kernel
%C%_test_kernel_SOURCES = %D%/test-kernel.c $(ON_EACH_BACKEND) %D%/kernel.h \
	%D%/kernel-bare.c \
	%D%/kernel-fork.c \
	%D%/kernel-ksm.c \
	%D%/kernel-marker.c \
	%D%/kernel-odd.c \
	%D%/kernel-pages.c \
	%D%/kernel-pinned.c \
	%D%/kernel-replace.c \
	%D%/kernel-sandbox.c \
	%D%/kernel-scan.c \
	%D%/kernel-stress.c \
	%D%/kernel-writes.c
%C%_test_kernel_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_kernel_LDADD = $(UNIT_LDADD)
endif
