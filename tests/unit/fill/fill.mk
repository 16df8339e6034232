# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- first content of watched memory, linux/fill/ ----
if HAVE_CHECK
UNIT_TESTS += %D%/test-fill
%C%_test_fill_SOURCES = %D%/test-fill.c $(ON_EACH_BACKEND) %D%/fill.h \
	%D%/fill-at-once.c %D%/fill-ends.c %D%/fill-on-demand.c
%C%_test_fill_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_fill_LDADD = $(UNIT_LDADD)
endif
