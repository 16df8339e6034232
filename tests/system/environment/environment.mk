# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- environments of a process: sandboxes, limits, descriptors, forks ----
if HAVE_CHECK
UNIT_TESTS += %D%/test-environment
%C%_test_environment_SOURCES = %D%/test-environment.c $(ON_EACH_BACKEND) %D%/env.h \
	%D%/env-children.c \
	%D%/env-contexts.c \
	%D%/env-descriptors.c \
	%D%/env-limits.c \
	%D%/env-mappings.c \
	%D%/env-sandbox.c
%C%_test_environment_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_environment_LDADD = $(UNIT_LDADD)
endif
