# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- what several folders of tests use ----
ON_EACH_BACKEND = %D%/backends.c %D%/backends.h %D%/contract.h %D%/deny-call.h %D%/util.h
MODEL = %D%/model.c %D%/model.h %D%/model-behind.c %D%/model-changes.c %D%/model-ops.h
EXTRA_DIST += %D%/expect.sh %D%/runtime.sh

if HAVE_SECCOMP
check_PROGRAMS += %D%/deny
%C%_deny_CPPFLAGS = $(AM_CPPFLAGS) $(SECCOMP_CFLAGS)
%C%_deny_LDADD = $(SECCOMP_LIBS)
endif
