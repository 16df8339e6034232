# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- tests: standing aside, and whatever a process may meet ----
SCRIPT_TESTS += tests/unit/test-programs.sh tests/wine/test-preloads.sh tests/wine/test-stand-aside.sh

# What the tests preload beside ours.
TEST_PRELOADS = tests/unit/handler.so tests/wine/sandbox.so tests/wine/vandal.so
EXTRA_DIST += tests/unit/handler.c tests/wine/sandbox.c tests/wine/vandal.c
check_DATA += $(TEST_PRELOADS)
CLEANFILES += $(TEST_PRELOADS) tests/wine/vandal.log tests/wine/vandal.err tests/wine/preloads.err
$(TEST_PRELOADS): %.so: $(srcdir)/%.c
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(AM_CPPFLAGS) -std=gnu11 $(CFLAGS) -fPIC -shared -o $@ $(srcdir)/$*.c

if HAVE_CHECK
UNIT_TESTS += tests/unit/test-environment
tests_unit_test_environment_SOURCES = tests/unit/test-environment.c $(ON_EACH_BACKEND) tests/unit/env.h \
	tests/unit/env-children.c tests/unit/env-contexts.c tests/unit/env-descriptors.c tests/unit/env-limits.c tests/unit/env-mappings.c \
	tests/unit/env-sandbox.c
tests_unit_test_environment_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_environment_LDADD = $(UNIT_LDADD)
endif

check_PROGRAMS += tests/unit/fault-host
tests_unit_fault_host_LDADD = libengine.la
