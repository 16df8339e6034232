# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the one door to the kernel, linux/kernel/ ----
if HAVE_CHECK
UNIT_TESTS += %D%/test-fd
%C%_test_fd_SOURCES = %D%/test-fd.c
%C%_test_fd_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_fd_LDADD = $(UNIT_LDADD)

UNIT_TESTS += %D%/test-release
%C%_test_release_SOURCES = %D%/test-release.c tests/common/util.h
%C%_test_release_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_release_LDADD = $(UNIT_LDADD)

UNIT_TESTS += %D%/test-refusal
%C%_test_refusal_SOURCES = %D%/test-refusal.c %D%/refusal-steps.c %D%/refusal-test.h $(ON_EACH_BACKEND)
%C%_test_refusal_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_refusal_LDADD = $(UNIT_LDADD)

UNIT_TESTS += %D%/test-maps
%C%_test_maps_SOURCES = %D%/test-maps.c tests/common/util.h
%C%_test_maps_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_maps_LDADD = $(UNIT_LDADD)
endif
