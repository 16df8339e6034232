# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- scans of any process, linux/pagemap/ ----
if HAVE_CHECK
UNIT_TESTS += %D%/test-pagemap
%C%_test_pagemap_SOURCES = %D%/test-pagemap.c %D%/pagemap-test.h tests/common/util.h \
	%D%/pagemap-filter.c %D%/pagemap-process.c %D%/pagemap-protect.c %D%/pagemap-reasons.c \
	tests/common/deny-call.h
%C%_test_pagemap_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_pagemap_LDADD = $(UNIT_LDADD)
endif
