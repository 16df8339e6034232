# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- tests: units (Check), the preload, real Wine ----
EXTRA_DIST = packages.sh tests/build.sh tests/wine/env.sh
TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = $(SHELL)
AM_TESTS_ENVIRONMENT = WW_BUILDDIR='$(abs_builddir)'; export WW_BUILDDIR;

SCRIPT_TESTS = \
	tests/loader/test-loader.sh \
	tests/unit/test-attach.sh \
	tests/unit/test-bench.sh \
	tests/unit/test-command.sh \
	tests/unit/test-completion.sh \
	tests/unit/test-i386.sh \
	tests/unit/test-musl.sh \
	tests/unit/test-overlays.sh \
	tests/unit/test-scan.sh \
	tests/unit/test-starts.sh \
	tests/unit/test-word-sizes.sh \
	tests/wine/test-doctor.sh \
	tests/wine/test-fallback.sh \
	tests/wine/test-isolated.sh \
	tests/wine/test-random.sh \
	tests/wine/test-shim.sh \
	tests/wine/test-stats.sh \
	tests/wine/test-stock.sh
TESTS = $(UNIT_TESTS) $(SCRIPT_TESTS)
check_PROGRAMS = $(UNIT_TESTS)
EXTRA_DIST += $(SCRIPT_TESTS) tests/unit/expect.sh

# Unit tests see the engine's insides: they link the engine, not the library.
UNIT_TESTS =
UNIT_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
UNIT_LDADD = libengine.la libstrerror.la $(CHECK_LIBS)
ON_EACH_BACKEND = tests/unit/backends.c tests/unit/backends.h tests/unit/contract.h tests/unit/deny-call.h tests/unit/util.h
if HAVE_CHECK
UNIT_TESTS += tests/unit/test-pageset
tests_unit_test_pageset_SOURCES = tests/unit/test-pageset.c tests/unit/util.h
tests_unit_test_pageset_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_pageset_LDADD = $(UNIT_LDADD)
tests_unit_test_pageset_LDFLAGS = -Wl,--wrap=ww_heap_alloc

UNIT_TESTS += tests/unit/test-region
tests_unit_test_region_SOURCES = tests/unit/test-region.c tests/unit/util.h
tests_unit_test_region_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_region_LDADD = $(UNIT_LDADD)
tests_unit_test_region_LDFLAGS = -Wl,--wrap=ww_heap_alloc

UNIT_TESTS += tests/unit/test-quiet
tests_unit_test_quiet_SOURCES = tests/unit/test-quiet.c tests/unit/util.h
tests_unit_test_quiet_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_quiet_LDADD = $(UNIT_LDADD)
tests_unit_test_quiet_LDFLAGS = -Wl,--wrap=ioctl

UNIT_TESTS += tests/unit/test-fd
tests_unit_test_fd_SOURCES = tests/unit/test-fd.c
tests_unit_test_fd_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_fd_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-release
tests_unit_test_release_SOURCES = tests/unit/test-release.c tests/unit/util.h
tests_unit_test_release_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_release_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-refusal
tests_unit_test_refusal_SOURCES = tests/unit/test-refusal.c $(ON_EACH_BACKEND)
tests_unit_test_refusal_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_refusal_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-heap
tests_unit_test_heap_SOURCES = tests/unit/test-heap.c tests/unit/util.h
tests_unit_test_heap_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_heap_LDADD = $(UNIT_LDADD)
tests_unit_test_heap_LDFLAGS = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free

UNIT_TESTS += tests/unit/test-malloc
tests_unit_test_malloc_SOURCES = tests/unit/test-malloc.c tests/unit/deny-call.h tests/unit/util.h
tests_unit_test_malloc_CPPFLAGS = $(UNIT_CPPFLAGS)
# Its malloc() stands before libc's, in a static program as well.
tests_unit_test_malloc_LDFLAGS = -Wl,-z,muldefs
tests_unit_test_malloc_LDADD = libkernel32.la libnt.la $(UNIT_LDADD) $(FFI_LIBS)

UNIT_TESTS += tests/unit/test-watch
tests_unit_test_watch_SOURCES = tests/unit/test-watch.c tests/unit/util.h
tests_unit_test_watch_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_watch_LDADD = $(UNIT_LDADD)
tests_unit_test_watch_LDFLAGS = -Wl,--wrap=ioctl,--wrap=mprotect

UNIT_TESTS += tests/unit/test-lock
tests_unit_test_lock_SOURCES = tests/unit/test-lock.c tests/unit/util.h
tests_unit_test_lock_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_lock_LDADD = $(CHECK_LIBS)

UNIT_TESTS += tests/unit/test-maps
tests_unit_test_maps_SOURCES = tests/unit/test-maps.c tests/unit/util.h
tests_unit_test_maps_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_maps_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-pagemap
tests_unit_test_pagemap_SOURCES = tests/unit/test-pagemap.c tests/unit/pagemap-test.h tests/unit/util.h \
	tests/unit/pagemap-filter.c tests/unit/pagemap-process.c tests/unit/pagemap-protect.c
tests_unit_test_pagemap_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_pagemap_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-strerror
tests_unit_test_strerror_SOURCES = tests/unit/test-strerror.c tests/unit/util.h
tests_unit_test_strerror_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_strerror_LDADD = $(UNIT_LDADD)

# The contract, over every backend that works here.
UNIT_TESTS += tests/unit/test-contract
tests_unit_test_contract_SOURCES = tests/unit/test-contract.c $(ON_EACH_BACKEND) \
	tests/unit/contract-answers.c tests/unit/contract-arguments.c tests/unit/contract-choice.c \
	tests/unit/contract-handover.c tests/unit/contract-mappings.c tests/unit/contract-process.c tests/unit/contract-quiet.c \
	tests/unit/contract-next.c tests/unit/contract-odd.c tests/unit/contract-random.c tests/unit/contract-required.c tests/unit/contract-shared.c tests/unit/contract-sizes.c \
	tests/unit/model.c tests/unit/model.h tests/unit/model-behind.c tests/unit/model-changes.c \
	tests/unit/model-ops.h
tests_unit_test_contract_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_contract_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-mappings
tests_unit_test_mappings_SOURCES = tests/unit/test-mappings.c $(ON_EACH_BACKEND) tests/unit/mappings.c \
	tests/unit/mappings.h
tests_unit_test_mappings_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_mappings_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-fill
tests_unit_test_fill_SOURCES = tests/unit/test-fill.c $(ON_EACH_BACKEND) tests/unit/fill.h \
	tests/unit/fill-at-once.c tests/unit/fill-ends.c tests/unit/fill-on-demand.c
tests_unit_test_fill_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_fill_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-concurrent
tests_unit_test_concurrent_SOURCES = tests/unit/test-concurrent.c tests/unit/util.h
tests_unit_test_concurrent_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_concurrent_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-mprotect
tests_unit_test_mprotect_SOURCES = tests/unit/test-mprotect.c tests/unit/util.h
tests_unit_test_mprotect_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_mprotect_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-waits
tests_unit_test_waits_SOURCES = tests/unit/test-waits.c tests/unit/deny-call.h tests/unit/util.h
tests_unit_test_waits_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_waits_LDADD = $(UNIT_LDADD)
tests_unit_test_waits_LDFLAGS = -Wl,--wrap=ioctl,--wrap=pwrite64,--wrap=ww_heap_alloc

# Facts of the kernel that the engine stands on, bare and through the library.
UNIT_TESTS += tests/unit/test-kernel
tests_unit_test_kernel_SOURCES = tests/unit/test-kernel.c $(ON_EACH_BACKEND) tests/unit/kernel.h \
	tests/unit/kernel-bare.c tests/unit/kernel-fork.c tests/unit/kernel-ksm.c \
	tests/unit/kernel-marker.c tests/unit/kernel-odd.c tests/unit/kernel-pages.c tests/unit/kernel-pinned.c \
	tests/unit/kernel-replace.c tests/unit/kernel-sandbox.c tests/unit/kernel-scan.c \
	tests/unit/kernel-stress.c tests/unit/kernel-writes.c
tests_unit_test_kernel_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_kernel_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-softdirty
tests_unit_test_softdirty_SOURCES = tests/unit/test-softdirty.c tests/unit/util.h
tests_unit_test_softdirty_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_softdirty_LDADD = $(UNIT_LDADD)
tests_unit_test_softdirty_LDFLAGS = -Wl,--wrap=write

UNIT_TESTS += tests/unit/test-uffd-sync
tests_unit_test_uffd_sync_SOURCES = tests/unit/test-uffd-sync.c tests/unit/uffd-sync.h tests/unit/util.h \
	tests/unit/uffd-sync-held.c tests/unit/uffd-sync-memory.c tests/unit/uffd-sync-world.c
tests_unit_test_uffd_sync_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_uffd_sync_LDADD = $(UNIT_LDADD)

# The benchmark's arithmetic, and that it finds out peers that lie.
UNIT_TESTS += tests/unit/test-bench-core
tests_unit_test_bench_core_SOURCES = tests/unit/test-bench-core.c tests/unit/util.h tests/bench/bounds.c \
	tests/bench/command.c tests/bench/peers.h tests/bench/report.c
tests_unit_test_bench_core_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/bench
tests_unit_test_bench_core_LDADD = libbench.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-nt
tests_unit_test_nt_SOURCES = tests/unit/test-nt.c tests/unit/util.h dlls/ntdll/near.c dlls/ntdll/near.h
tests_unit_test_nt_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/dlls/ntdll $(WINE_CPPFLAGS)
tests_unit_test_nt_LDADD = libnt.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test-win32
tests_unit_test_win32_SOURCES = tests/unit/test-win32.c tests/unit/util.h tests/unit/win32.h \
	tests/unit/win32-memory.c tests/unit/win32-objects.c tests/unit/win32-watches.c tests/unit/win32-world.c
tests_unit_test_win32_CPPFLAGS = $(UNIT_CPPFLAGS) $(WINE_CPPFLAGS)
tests_unit_test_win32_LDADD = libkernel32.la libnt.la $(UNIT_LDADD) $(FFI_LIBS)
tests_unit_test_win32_LDFLAGS = -Wl,--wrap=calloc,--wrap=ww_heap_alloc,--wrap=mprotect,--wrap=ww_watch
endif

if HAVE_SECCOMP
check_PROGRAMS += tests/unit/deny
tests_unit_deny_CPPFLAGS = $(AM_CPPFLAGS) $(SECCOMP_CFLAGS)
tests_unit_deny_LDADD = $(SECCOMP_LIBS)
endif

check_PROGRAMS += tests/unit/known-pages

# Programs that play Wine's loader, and the ntdll.so it finds.
check_PROGRAMS += tests/unit/attach-host-system tests/unit/attach-host-windows tests/unit/runpath-host
tests_unit_attach_host_system_SOURCES = tests/unit/attach-host.c tests/unit/fake-ntdll.h
tests_unit_attach_host_windows_SOURCES = tests/unit/attach-host.c tests/unit/fake-ntdll.h
tests_unit_attach_host_windows_CPPFLAGS = $(AM_CPPFLAGS) -DFAKE_WINDOWS
tests_unit_runpath_host_LDFLAGS = -Wl,--enable-new-dtags,-rpath,'$$ORIGIN'

FAKES = system windows twice noslot notwine oddcall
FAKE_FLAGS_system =
FAKE_FLAGS_windows = -DFAKE_WINDOWS
FAKE_FLAGS_twice = -DFAKE_TWICE
FAKE_FLAGS_noslot = -DFAKE_NO_SLOT
FAKE_FLAGS_notwine = -DFAKE_NOT_WINE
FAKE_FLAGS_oddcall = -DFAKE_ODD_CALL
FAKE_NTDLLS = $(FAKES:%=tests/unit/fake-%/ntdll.so)
EXTRA_DIST += tests/unit/fake-ntdll.c tests/unit/foreign.c

$(FAKE_NTDLLS): tests/unit/fake-%/ntdll.so: $(srcdir)/tests/unit/fake-ntdll.c $(srcdir)/tests/unit/fake-ntdll.h
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(CFLAGS) -fPIC -shared -Wl,-Bsymbolic,-z,relro \
		$(FAKE_FLAGS_$*) -o $@ $(srcdir)/tests/unit/fake-ntdll.c

tests/unit/foreign.so: $(srcdir)/tests/unit/foreign.c
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(CFLAGS) -fPIC -shared -o $@ $(srcdir)/tests/unit/foreign.c

# Other preloads, which stand in for functions of the dynamic linker.
OVERLAYS = $(patsubst %,tests/unit/overlay-%.so,dlsym opener dlopen both dlvsym)
OVERLAY_FLAGS_dlsym = -DOVERLAY_DLSYM
OVERLAY_FLAGS_opener = -DOVERLAY_OPENER
OVERLAY_FLAGS_dlopen = -DOVERLAY_DLOPEN
OVERLAY_FLAGS_both = -DOVERLAY_BOTH
OVERLAY_FLAGS_dlvsym = -DOVERLAY_DLVSYM
EXTRA_DIST += tests/unit/overlay.c

$(OVERLAYS): tests/unit/overlay-%.so: $(srcdir)/tests/unit/overlay.c
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(CFLAGS) -D_GNU_SOURCE -fPIC -shared $(OVERLAY_FLAGS_$*) -o $@ \
		$(srcdir)/tests/unit/overlay.c $(LIBS)

check_DATA = $(FAKE_NTDLLS) $(OVERLAYS) tests/unit/foreign.so

# A host that is not Wine, and what it must not fall over.
check_PROGRAMS += tests/loader/loader tests/loader/damage
tests_loader_loader_SOURCES = tests/loader/loader.c tests/loader/pe.c tests/loader/pe.h
tests_loader_loader_CPPFLAGS = $(AM_CPPFLAGS) $(WINE_CPPFLAGS)
tests_loader_loader_LDADD = libwritewatch.la
tests_loader_damage_SOURCES = tests/loader/damage.c tests/loader/pe.c tests/loader/pe.h
tests_loader_damage_CPPFLAGS = $(AM_CPPFLAGS) $(WINE_CPPFLAGS)
EXTRA_DIST += tests/loader/guest.c tests/loader/other.c

# ---- Windows programs ----
CONFORMANCE_FILES = \
	tests/pe/conformance.c \
	tests/pe/conformance_args.c \
	tests/pe/conformance_arrays.c \
	tests/pe/conformance_async.c \
	tests/pe/conformance_discard.c \
	tests/pe/conformance_handles.c \
	tests/pe/conformance_io.c \
	tests/pe/conformance_levels.c \
	tests/pe/conformance_marks.c \
	tests/pe/conformance_parts.c \
	tests/pe/conformance_peer.c \
	tests/pe/conformance_run.c \
	tests/pe/conformance_state.c \
	tests/pe/conformance_stop.c \
	tests/pe/conformance_util.c
EXTRA_DIST += $(CONFORMANCE_FILES) tests/pe/conformance.h tests/pe/wwtest.h tests/pe/bench.c tests/pe/bench_windows.c tests/pe/bench_windows.h tests/pe/differential.c tests/pe/hello.c
PE_CFLAGS = -std=gnu11 -Wall -Wextra -O2
PE_NAMES = conformance.exe differential.exe bench.exe watch.exe
PE_BUILD = $(AM_V_CC)$(MKDIR_P) $(@D) && $(PE_CC) $(PE_CFLAGS) -o $@ $(filter %.c,$^) $(PE_LIBS)

PE64 = $(PE_NAMES:%=tests/pe/%)
PE32 = $(PE_NAMES:%=tests/pe/i686/%)
$(PE64): PE_CC = $(MINGW64)
$(PE32): PE_CC = $(MINGW32)
tests/pe/conformance.exe tests/pe/i686/conformance.exe: PE_LIBS = -lntdll -lws2_32
tests/pe/conformance.exe tests/pe/i686/conformance.exe: $(CONFORMANCE_FILES) tests/pe/conformance.h tests/pe/wwtest.h
	$(PE_BUILD)
tests/pe/differential.exe tests/pe/i686/differential.exe: tests/pe/differential.c
	$(PE_BUILD)
PE_BENCH = tests/pe/bench.c tests/pe/bench_windows.c programs/bench/workloads.c programs/bench/dense.c \
	programs/bench/sparse.c programs/bench/threads.c programs/bench/mixes.c
tests/pe/bench.exe tests/pe/i686/bench.exe: PE_LIBS = -static -lpthread
tests/pe/bench.exe tests/pe/i686/bench.exe: PE_CFLAGS += -D__USE_MINGW_ANSI_STDIO=1 -Wno-format -I$(top_srcdir)/include
tests/pe/bench.exe tests/pe/i686/bench.exe: $(PE_BENCH) tests/pe/bench_windows.h programs/bench/bench.h
	$(PE_BUILD)
tests/pe/watch.exe tests/pe/i686/watch.exe: tests/pe/hello.c
	$(PE_BUILD)

# What `writewatch doctor` runs: the same program, installed.
SELFTEST64 = programs/selftest.exe
SELFTEST32 = programs/selftest32.exe
$(SELFTEST64): PE_CC = $(MINGW64)
$(SELFTEST32): PE_CC = $(MINGW32)
$(SELFTEST64) $(SELFTEST32): tests/pe/hello.c
	$(PE_BUILD)
	$(AM_V_at)$(PE_CC:gcc=strip) $@

# The test loader's programs: no C runtime.
LOADED = tests/loader/guest.exe tests/loader/other.exe
tests/loader/guest.exe: tests/loader/guest.c
tests/loader/other.exe: tests/loader/other.c
$(LOADED):
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(MINGW64) $(PE_CFLAGS) -nostdlib -nostartfiles -Wl,--entry,guest_main \
		-o $@ $(filter %.c,$^) -lkernel32

noinst_DATA =
pkgdata_DATA =
if HAVE_MINGW64
noinst_DATA += $(PE64) $(LOADED)
pkgdata_DATA += $(SELFTEST64)
endif
if HAVE_MINGW32
noinst_DATA += $(PE32)
pkgdata_DATA += $(SELFTEST32)
endif

CLEANFILES = $(SELFTEST64) $(SELFTEST32) $(LOADED) tests/loader/loader.out tests/loader/bad.exe $(PE64) $(PE32) $(FAKE_NTDLLS) tests/unit/foreign.so tests/wine/fallback.err tests/unit/attach.out $(OVERLAYS) tests/unit/overlays.out tests/unit/overlays.err
CLEANFILES += units.list
clean-local:
	rm -rf i386 tests/unit/word-sizes debug tsan tsan.log asan asan.log analyze analyze.log valgrind tests/wine/prefix tests/wine/prefix.lock examples/.libs tests/fuzz/.libs
	rm -rf tests/winetest/*.exe tests/winetest/*.c tests/winetest/*.checks tests/winetest/*.log \
		tests/winetest/results tests/winetest/include-* matrix kernels fuzz

# ---- measurements: never part of `make check` ----
EXTRA_PROGRAMS = tests/bench/native
tests_bench_native_SOURCES = tests/bench/native.c tests/bench/peers.h tests/bench/bounds.c tests/bench/command.c tests/bench/marker.c \
	tests/bench/report.c
tests_bench_native_LDADD = libbench.la libengine.la libstrerror.la
# tests/bench/bounds is no program made from bounds.c, whichever of the two a checkout made last.
tests/bench/bounds: ;
EXTRA_DIST += tests/bench/bounds tests/bench/targets tests/bench/wine.sh tests/bench/in-wine.sh tests/bench/gctest.sh tests/bench/table.awk
CLEANFILES += tests/bench/native tests/bench/gctest.samples benchmarks.lines

ROUNDS = 9
bench: all tests/bench/native
	WW_BUILDDIR=$(abs_builddir) $(SHELL) $(srcdir)/tests/bench/wine.sh --rounds=$(ROUNDS)
	WW_BUILDDIR=$(abs_builddir) $(SHELL) $(srcdir)/tests/bench/gctest.sh || test $$? -eq 77

# The same with a report; about half an hour, in which the machine should have nothing else to do.
benchmarks: all tests/bench/native
	WW_BUILDDIR=$(abs_builddir) $(SHELL) $(srcdir)/tests/bench/wine.sh --rounds=$(ROUNDS) \
		--targets=$(abs_srcdir)/tests/bench/targets --report=$(abs_srcdir)/docs/evidence/BENCHMARKS.md \
		--plot=$(abs_srcdir)/docs/evidence/plots >benchmarks.lines

# A short subset, ratios only, against what is committed.
bench-check: tests/bench/native
	tests/bench/native --rounds=5 --workload=first_write --workload=dense_small --workload=dense_medium \
		--workload=sparse --workload=regions --workload=pollers --workload=protect --workload=gc \
		--bounds=$(srcdir)/tests/bench/bounds

# ---- Wine's own tests of write watches, fetched, never kept here; not part of `make check` ----
EXTRA_DIST += tests/winetest/winetest.sh tests/winetest/slice.awk tests/winetest/compare.awk \
	tests/winetest/mingw.h tests/winetest/allowed

winetest: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/winetest/winetest.sh || test $$? -eq 77

# ---- every Wine, each in a Debian of its own; needs root, a network and about half an hour ----
EXTRA_DIST += tests/wine/debian.sh tests/wine/root.sh tests/wine/matrix.sh tests/wine/matrix-one.sh

check-wine: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/winetest/winetest.sh build
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/wine/matrix.sh >CONFORMANCE.md.new
	mv CONFORMANCE.md.new $(srcdir)/docs/evidence/CONFORMANCE.md

# ---- Debian's kernels, each in a virtual machine; needs qemu and a network, about 25 minutes ----
# What runs there: in every configuration that tracks as usual; besides in the plain one; where a backend's way is
# barred; and in `moving`, where no answer is exact. A new test is one word here.
KERNEL_TESTS = tests/unit/test-contract tests/unit/test-fill tests/unit/test-kernel tests/unit/test-softdirty \
	tests/unit/test-pagemap tests/unit/test-concurrent
KERNEL_TESTS_ONCE = tests/unit/test-uffd-sync tests/unit/test-quiet tests/unit/test-pageset tests/unit/test-region tests/unit/test-maps tests/unit/test-mprotect tests/unit/test-waits \
	tests/unit/test-nt tests/unit/test-win32 tests/unit/test-heap tests/unit/test-malloc tests/unit/test-watch tests/unit/test-lock tests/unit/test-environment \
	tests/unit/test-faults
KERNEL_TESTS_BARRED = tests/unit/test-contract tests/unit/test-pagemap
KERNEL_TESTS_MOVING = tests/unit/test-concurrent tests/kernels/test-moving
EXTRA_DIST += tests/kernels/build.sh tests/kernels/fetch.sh tests/kernels/init tests/kernels/initramfs.sh \
	tests/kernels/matrix.sh tests/kernels/run.sh tests/kernels/table.awk
EXTRA_PROGRAMS += tests/kernels/merge tests/kernels/test-moving
tests_kernels_test_moving_SOURCES = tests/kernels/test-moving.c tests/unit/util.h
tests_kernels_test_moving_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(srcdir)/tests/unit
tests_kernels_test_moving_LDADD = $(UNIT_LDADD)
CLEANFILES += tests/kernels/merge tests/kernels/test-moving kernel-programs.list

check-kernels: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/kernels/matrix.sh $(srcdir)/docs/evidence/KERNELS.md || test $$? -eq 77

# For tests/kernels/build.sh, in a build folder of its own. What is run only when it is asked for by name is there as well.
kernel-programs: $(KERNEL_TESTS) $(KERNEL_TESTS_ONCE) $(KERNEL_TESTS_BARRED) $(KERNEL_TESTS_MOVING) tests/unit/deny tests/kernels/merge writewatch \
		tests/bench/native
	@{ printf 'always %s\n' $(KERNEL_TESTS); printf 'once %s\n' $(KERNEL_TESTS_ONCE); \
		printf 'barred %s\n' $(KERNEL_TESTS_BARRED); printf 'moving %s\n' $(KERNEL_TESTS_MOVING); \
		echo 'asked tests/bench/native'; } >kernel-programs.list

# The units alone, and their names for tests/unit/test-i386.sh: nothing else of the project is needed for them.
units: $(UNIT_TESTS)
	@echo $(UNIT_TESTS) >units.list

# ---- the units in a build that asserts the order of locks ----
check-debug:
	@$(MKDIR_P) debug
	cd debug && $(abs_srcdir)/configure -q --enable-debug && $(MAKE) $(AM_MAKEFLAGS) check TESTS='$(UNIT_TESTS)'

.PHONY: units check-debug benchmarks bench-check winetest check-wine check-kernels kernel-programs
