# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- hostile input: harnesses for libFuzzer, and tests that replay their corpus ----
# A new harness needs a word here, NAME.c, a folder of inputs, and below what it links and wraps.
FUZZ_REPLAYS = %D%/replay-arguments %D%/replay-elf %D%/replay-maps %D%/replay-nt %D%/replay-region %D%/replay-scan \
	%D%/replay-watch
FUZZ_NAMES = $(FUZZ_REPLAYS:%D%/replay-%=%)
FUZZ_WRAP_region = ww_heap_alloc
FUZZ_WRAP_maps = read fopen
FUZZ_WRAP_arguments = execvp fclose ww_probe ww_pagemap_try ww_pagemap_scan bench_run_all bench_plot \
	fopen capture child_start choose_process counters_folder_make lines_open
FUZZ_LINK_arguments = $(filter-out %-main.$(OBJEXT),$(writewatch_OBJECTS)) libbench.la
FUZZ_LINK_elf = dlls/ntdll/libpreload_la-elf.lo $(libnt_la_LIBADD)
FUZZ_LINK_maps = libbench.la
FUZZ_LINK_nt = libnt.la
FUZZ_HARNESS = $(AM_CPPFLAGS) -iquote $(srcdir)/programs -iquote $(srcdir)/dlls/ntdll $(WINE_CPPFLAGS) $(DEFS) \
	-DPKGLIBDIR='"$(pkglibdir)"' -DPKGDATADIR='"$(pkgdatadir)"'
FUZZ_LIBS = $(FFI_PIC) $(JSON_LIBS) $(CURSES_LIBS) -lpthread

# Without clang: each harness over its corpus.
TESTS += $(FUZZ_REPLAYS)
check_DATA += $(FUZZ_REPLAYS)
CLEANFILES += $(FUZZ_REPLAYS)
CLEAN_FOLDERS += fuzz %D%/.libs
FUZZ_SHARED = %D%/fuzz.h %D%/nt-wine.h
EXTRA_DIST += $(FUZZ_NAMES:%=%D%/%.c) $(FUZZ_SHARED) %D%/replay.c %D%/run.sh %D%/corpus

$(FUZZ_REPLAYS): %D%/replay-%: $(srcdir)/%D%/%.c $(srcdir)/%D%/replay.c $(FUZZ_SHARED:%=$(srcdir)/%) \
		libnt.la libengine.la libbench.la libstrerror.la $(writewatch_OBJECTS) libpreload.la
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(LIBTOOL) $(AM_V_lt) --tag=CC --mode=link $(CC) $(FUZZ_HARNESS) $(AM_CFLAGS) $(CFLAGS) \
		-DCORPUS='"$(abs_srcdir)/%D%/corpus/$*"' $(FUZZ_WRAP_$*:%=-Wl,--wrap=%) -no-install -o $@ \
		$(srcdir)/%D%/$*.c $(srcdir)/%D%/replay.c $(FUZZ_LINK_$*) libengine.la libstrerror.la $(FUZZ_LIBS)

# With clang: builds everything once more, with its sanitizers, under fuzz/. Pointers of Windows programs may point
# anywhere and need not be aligned, which the processor allows.
FUZZ_SANITIZERS = fuzzer,address,undefined
FUZZ_CFLAGS = -std=gnu11 -g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=undefined
FUZZ_OBJECTS = $(patsubst %.c,fuzz/%.o,$(filter-out programs/main.c,$(filter %.c,$(libengine_la_SOURCES) $(libstrerror_la_SOURCES) $(libnt_la_SOURCES) \
	$(libbench_la_SOURCES) $(writewatch_SOURCES) dlls/ntdll/elf.c dlls/ntdll/abi_$(NTDLL_ABI).c)))
FUZZERS = $(FUZZ_NAMES:%=fuzz/%)
fuzz/dlls/ntdll/virtual.o fuzz/dlls/ntdll/writewatch.o fuzz/linux/get.o fuzz/%D%/nt.o: \
	FUZZ_CFLAGS += -fno-sanitize=alignment,null,pointer-overflow

fuzz/%.o: $(srcdir)/%.c
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(FUZZ_CC) $(FUZZ_HARNESS) $(JSON_CFLAGS) $(FFI_CFLAGS) \
		-fsanitize=fuzzer-no-link,address,undefined $(FUZZ_CFLAGS) -MMD -c -o $@ $<

fuzz/all.a: $(FUZZ_OBJECTS)
	$(AM_V_AR)rm -f $@ && $(AR) qcs $@ $(FUZZ_OBJECTS)

$(FUZZERS): fuzz/%: fuzz/%D%/%.o fuzz/all.a
	$(AM_V_CCLD)$(FUZZ_CC) -fsanitize=$(FUZZ_SANITIZERS) $(FUZZ_WRAP_$*:%=-Wl,--wrap=%) -o $@ $< fuzz/all.a $(FUZZ_LIBS)

-include $(FUZZ_OBJECTS:.o=.d) $(FUZZ_NAMES:%=fuzz/%D%/%.d)

FUZZ_SECONDS = 600
fuzz-programs: $(FUZZERS)
fuzz:
	@if test '$(FUZZ_CC)' = no; then \
		echo 'skipped: no clang with libFuzzer (Debian: clang, libclang-rt-14-dev); configure looks for it'; exit 77; fi
	@$(MAKE) $(AM_MAKEFLAGS) fuzz-programs
	@WW_BUILDDIR='$(abs_builddir)' FUZZ_SECONDS='$(FUZZ_SECONDS)' $(SHELL) $(srcdir)/%D%/run.sh $(FUZZ_NAMES)

.PHONY: fuzz fuzz-programs
