# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- tests: standing aside, and whatever a process may meet ----
SCRIPT_TESTS += tests/system/preload/test-programs.sh tests/system/wine/test-preloads.sh tests/system/wine/test-stand-aside.sh

# What the tests preload beside ours.
TEST_PRELOADS = tests/system/preload/handler.so tests/system/wine/sandbox.so tests/system/wine/vandal.so
EXTRA_DIST += tests/system/preload/handler.c tests/system/wine/sandbox.c tests/system/wine/vandal.c
check_DATA += $(TEST_PRELOADS)
CLEANFILES += $(TEST_PRELOADS) tests/system/wine/vandal.log tests/system/wine/vandal.err tests/system/wine/preloads.err
$(TEST_PRELOADS): %.so: $(srcdir)/%.c
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(AM_CPPFLAGS) -std=gnu11 $(CFLAGS) -fPIC -shared -o $@ $(srcdir)/$*.c

if HAVE_CHECK
UNIT_TESTS += tests/system/environment/test-environment
tests_system_environment_test_environment_SOURCES = tests/system/environment/test-environment.c $(ON_EACH_BACKEND) tests/system/environment/env.h \
	tests/system/environment/env-children.c tests/system/environment/env-contexts.c tests/system/environment/env-descriptors.c tests/system/environment/env-limits.c tests/system/environment/env-mappings.c \
	tests/system/environment/env-sandbox.c
tests_system_environment_test_environment_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_system_environment_test_environment_LDADD = $(UNIT_LDADD)
endif

check_PROGRAMS += tests/system/preload/fault-host
tests_system_preload_fault_host_LDADD = libengine.la
