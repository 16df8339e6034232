# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- examples: the public API and libc alone; each is a test as well ----
# One more is one more word here.
EXAMPLES = examples/dump-pages examples/lazy-restore examples/remembered-set examples/snapshot \
	examples/texture-cache

# The same again on each backend.
TESTS += $(EXAMPLES) examples/test-backends.sh
check_DATA += $(EXAMPLES)
CLEANFILES += $(EXAMPLES)
CLEAN_FOLDERS += examples/.libs
EXTRA_DIST += $(EXAMPLES:=.c) examples/test-backends.sh

$(EXAMPLES): %: $(srcdir)/%.c libwritewatch.la
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(LIBTOOL) $(AM_V_lt) --tag=CC --mode=link $(CC) \
		-I$(top_srcdir)/include $(AM_CFLAGS) $(CFLAGS) -pthread -no-install -o $@ $(srcdir)/$@.c libwritewatch.la
