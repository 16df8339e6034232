# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- hostile input: harnesses for libFuzzer, and their corpus as tests ----
# A new harness is a word here, tests/fuzz/NAME.c, a folder of inputs, and below what it links and wraps.
FUZZ_REPLAYS = tests/fuzz/replay-region tests/fuzz/replay-elf tests/fuzz/replay-nt tests/fuzz/replay-maps tests/fuzz/replay-scan tests/fuzz/replay-watch tests/fuzz/replay-arguments
FUZZ_NAMES = $(FUZZ_REPLAYS:tests/fuzz/replay-%=%)
FUZZ_WRAP_region = ww_heap_alloc
FUZZ_WRAP_maps = read fopen
FUZZ_WRAP_arguments = execvp fclose ww_probe ww_pagemap_open ww_pagemap_scan bench_run_all bench_plot \
	fopen capture child_start choose_process counters_folder_make lines_open
FUZZ_LINK_arguments = $(filter-out %-main.$(OBJEXT),$(writewatch_OBJECTS)) libbench.la
FUZZ_LINK_elf = dlls/ntdll/libwritewatch_ntdll_la-elf.lo
FUZZ_LINK_maps = libbench.la
FUZZ_LINK_nt = libnt.la
FUZZ_HARNESS = $(AM_CPPFLAGS) -iquote $(srcdir)/programs -iquote $(srcdir)/dlls/ntdll $(WINE_CPPFLAGS) $(DEFS) \
	-DPKGLIBDIR='"$(pkglibdir)"' -DPKGDATADIR='"$(pkgdatadir)"'
FUZZ_LIBS = $(FFI_PIC) $(JSON_LIBS) $(CURSES_LIBS) -lpthread

# Without clang: each harness over its corpus.
TESTS += $(FUZZ_REPLAYS)
check_DATA += $(FUZZ_REPLAYS)
CLEANFILES += $(FUZZ_REPLAYS)
FUZZ_SHARED = tests/fuzz/fuzz.h tests/fuzz/nt-wine.h
EXTRA_DIST += $(FUZZ_NAMES:%=tests/fuzz/%.c) $(FUZZ_SHARED) tests/fuzz/replay.c tests/fuzz/run.sh tests/fuzz/corpus

$(FUZZ_REPLAYS): tests/fuzz/replay-%: $(srcdir)/tests/fuzz/%.c $(srcdir)/tests/fuzz/replay.c $(FUZZ_SHARED:%=$(srcdir)/%) \
		libnt.la libengine.la libbench.la libstrerror.la $(writewatch_OBJECTS) libwritewatch-ntdll.la
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(LIBTOOL) $(AM_V_lt) --tag=CC --mode=link $(CC) $(FUZZ_HARNESS) $(AM_CFLAGS) $(CFLAGS) \
		-DCORPUS='"$(abs_srcdir)/tests/fuzz/corpus/$*"' $(FUZZ_WRAP_$*:%=-Wl,--wrap=%) -no-install -o $@ \
		$(srcdir)/tests/fuzz/$*.c $(srcdir)/tests/fuzz/replay.c $(FUZZ_LINK_$*) libengine.la libstrerror.la $(FUZZ_LIBS)

# With clang: everything once more, with its sanitizers, under fuzz/. Pointers of Windows programs need not be
# aligned, which the processor does not mind, and lead anywhere.
FUZZ_SANITIZERS = fuzzer,address,undefined
FUZZ_CFLAGS = -std=gnu11 -g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=undefined
FUZZ_OBJECTS = $(patsubst %.c,fuzz/%.o,$(filter-out programs/main.c,$(filter %.c,$(libengine_la_SOURCES) $(libstrerror_la_SOURCES) $(libnt_la_SOURCES) \
	$(libbench_la_SOURCES) $(writewatch_SOURCES) dlls/ntdll/elf.c)))
FUZZERS = $(FUZZ_NAMES:%=fuzz/%)
fuzz/dlls/ntdll/virtual.o fuzz/dlls/ntdll/writewatch.o fuzz/linux/get.o fuzz/tests/fuzz/nt.o: \
	FUZZ_CFLAGS += -fno-sanitize=alignment,null,pointer-overflow

fuzz/%.o: $(srcdir)/%.c
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(FUZZ_CC) $(FUZZ_HARNESS) $(JSON_CFLAGS) $(FFI_CFLAGS) \
		-fsanitize=fuzzer-no-link,address,undefined $(FUZZ_CFLAGS) -MMD -c -o $@ $<

fuzz/all.a: $(FUZZ_OBJECTS)
	$(AM_V_AR)rm -f $@ && $(AR) qcs $@ $(FUZZ_OBJECTS)

$(FUZZERS): fuzz/%: fuzz/tests/fuzz/%.o fuzz/all.a
	$(AM_V_CCLD)$(FUZZ_CC) -fsanitize=$(FUZZ_SANITIZERS) $(FUZZ_WRAP_$*:%=-Wl,--wrap=%) -o $@ $< fuzz/all.a $(FUZZ_LIBS)

-include $(FUZZ_OBJECTS:.o=.d) $(FUZZ_NAMES:%=fuzz/tests/fuzz/%.d)

FUZZ_SECONDS = 600
fuzz-programs: $(FUZZERS)
fuzz:
	@if test '$(FUZZ_CC)' = no; then \
		echo 'skipped: no clang with libFuzzer (Debian: clang, libclang-rt-14-dev); configure looks for it'; exit 77; fi
	@$(MAKE) $(AM_MAKEFLAGS) fuzz-programs
	@WW_BUILDDIR='$(abs_builddir)' FUZZ_SECONDS='$(FUZZ_SECONDS)' $(SHELL) $(srcdir)/tests/fuzz/run.sh $(FUZZ_NAMES)

.PHONY: fuzz fuzz-programs
