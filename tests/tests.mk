# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- tests: units (Check), the preload, real Wine ----
EXTRA_DIST = packages.sh tests/build.sh tests/system/wine/env.sh
TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = $(SHELL)
AM_TESTS_ENVIRONMENT = WW_BUILDDIR='$(abs_builddir)'; export WW_BUILDDIR;

SCRIPT_TESTS = \
	tests/system/loader/test-loader.sh \
	tests/system/preload/test-attach.sh \
	tests/unit/programs/test-bench.sh \
	tests/unit/programs/test-command.sh \
	tests/unit/programs/test-completion.sh \
	tests/system/i386/test-i386.sh \
	tests/system/preload/test-musl.sh \
	tests/system/preload/test-overlays.sh \
	tests/unit/programs/test-scan.sh \
	tests/unit/programs/test-starts.sh \
	tests/unit/programs/test-word-sizes.sh \
	tests/system/wine/test-doctor.sh \
	tests/system/wine/test-fallback.sh \
	tests/system/wine/test-isolated.sh \
	tests/system/wine/test-random.sh \
	tests/system/wine/test-shim.sh \
	tests/system/wine/test-stats.sh \
	tests/system/wine/test-stock.sh
TESTS = $(UNIT_TESTS) $(SCRIPT_TESTS)
check_PROGRAMS = $(UNIT_TESTS)
EXTRA_DIST += $(SCRIPT_TESTS) tests/common/expect.sh

# Unit tests see the engine's insides: they link the engine, not the library.
UNIT_TESTS =
UNIT_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/common $(CHECK_CFLAGS)
UNIT_LDADD = libengine.la $(CHECK_LIBS)
ON_EACH_BACKEND = tests/common/backends.c tests/common/backends.h tests/common/contract.h tests/common/deny-call.h tests/common/util.h
if HAVE_CHECK
UNIT_TESTS += tests/unit/engine/test-page-set
tests_unit_engine_test_page_set_SOURCES = tests/unit/engine/test-page-set.c tests/common/util.h
tests_unit_engine_test_page_set_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_engine_test_page_set_LDADD = $(UNIT_LDADD)
tests_unit_engine_test_page_set_LDFLAGS = -Wl,--wrap=ww_heap_alloc

UNIT_TESTS += tests/unit/engine/test-region
tests_unit_engine_test_region_SOURCES = tests/unit/engine/test-region.c tests/common/util.h
tests_unit_engine_test_region_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_engine_test_region_LDADD = $(UNIT_LDADD)
tests_unit_engine_test_region_LDFLAGS = -Wl,--wrap=ww_heap_alloc

UNIT_TESTS += tests/unit/engine/test-lockless
tests_unit_engine_test_lockless_SOURCES = tests/unit/engine/test-lockless.c tests/common/util.h
tests_unit_engine_test_lockless_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_engine_test_lockless_LDADD = $(UNIT_LDADD)
tests_unit_engine_test_lockless_LDFLAGS = -Wl,--wrap=ioctl

UNIT_TESTS += tests/unit/kernel/test-fd
tests_unit_kernel_test_fd_SOURCES = tests/unit/kernel/test-fd.c
tests_unit_kernel_test_fd_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_kernel_test_fd_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/kernel/test-release
tests_unit_kernel_test_release_SOURCES = tests/unit/kernel/test-release.c tests/common/util.h
tests_unit_kernel_test_release_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_kernel_test_release_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/kernel/test-refusal
tests_unit_kernel_test_refusal_SOURCES = tests/unit/kernel/test-refusal.c $(ON_EACH_BACKEND)
tests_unit_kernel_test_refusal_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_kernel_test_refusal_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/kernel/test-heap
tests_unit_kernel_test_heap_SOURCES = tests/unit/kernel/test-heap.c tests/common/util.h
tests_unit_kernel_test_heap_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_kernel_test_heap_LDADD = $(UNIT_LDADD)
tests_unit_kernel_test_heap_LDFLAGS = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free

UNIT_TESTS += tests/unit/engine/test-malloc
tests_unit_engine_test_malloc_SOURCES = tests/unit/engine/test-malloc.c tests/common/deny-call.h tests/common/util.h
tests_unit_engine_test_malloc_CPPFLAGS = $(UNIT_CPPFLAGS)
# Its malloc() stands before libc's, in a static program as well.
tests_unit_engine_test_malloc_LDFLAGS = -Wl,-z,muldefs
tests_unit_engine_test_malloc_LDADD = libkernel32.la libnt.la $(UNIT_LDADD) $(FFI_LIBS)

UNIT_TESTS += tests/unit/engine/test-watch
tests_unit_engine_test_watch_SOURCES = tests/unit/engine/test-watch.c tests/common/util.h
tests_unit_engine_test_watch_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_engine_test_watch_LDADD = $(UNIT_LDADD)
tests_unit_engine_test_watch_LDFLAGS = -Wl,--wrap=ioctl,--wrap=mprotect

UNIT_TESTS += tests/unit/kernel/test-lock
tests_unit_kernel_test_lock_SOURCES = tests/unit/kernel/test-lock.c tests/common/util.h
tests_unit_kernel_test_lock_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_kernel_test_lock_LDADD = $(CHECK_LIBS)

UNIT_TESTS += tests/unit/kernel/test-maps
tests_unit_kernel_test_maps_SOURCES = tests/unit/kernel/test-maps.c tests/common/util.h
tests_unit_kernel_test_maps_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_kernel_test_maps_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/pagemap/test-pagemap
tests_unit_pagemap_test_pagemap_SOURCES = tests/unit/pagemap/test-pagemap.c tests/unit/pagemap/pagemap-test.h tests/common/util.h \
	tests/unit/pagemap/pagemap-filter.c tests/unit/pagemap/pagemap-process.c tests/unit/pagemap/pagemap-protect.c
tests_unit_pagemap_test_pagemap_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_pagemap_test_pagemap_LDADD = $(UNIT_LDADD)

# The contract, over every backend that works here.
UNIT_TESTS += tests/unit/contract/test-contract
tests_unit_contract_test_contract_SOURCES = tests/unit/contract/test-contract.c $(ON_EACH_BACKEND) \
	tests/unit/contract/contract-answers.c tests/unit/contract/contract-arguments.c tests/unit/contract/contract-choice.c \
	tests/unit/contract/contract-handover.c tests/unit/contract/contract-mappings.c tests/unit/contract/contract-process.c tests/unit/contract/contract-lockless.c \
	tests/unit/contract/contract-odd.c tests/unit/contract/contract-random.c tests/unit/contract/contract-shared.c tests/unit/contract/contract-sizes.c \
	tests/common/model.c tests/common/model.h tests/common/model-behind.c tests/common/model-changes.c \
	tests/common/model-ops.h
tests_unit_contract_test_contract_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_contract_test_contract_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/engine/test-mappings
tests_unit_engine_test_mappings_SOURCES = tests/unit/engine/test-mappings.c $(ON_EACH_BACKEND) tests/unit/engine/mappings.c \
	tests/unit/engine/mappings.h
tests_unit_engine_test_mappings_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_engine_test_mappings_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/fill/test-fill
tests_unit_fill_test_fill_SOURCES = tests/unit/fill/test-fill.c $(ON_EACH_BACKEND) tests/unit/fill/fill.h \
	tests/unit/fill/fill-at-once.c tests/unit/fill/fill-ends.c tests/unit/fill/fill-on-demand.c
tests_unit_fill_test_fill_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_fill_test_fill_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/engine/test-concurrent
tests_unit_engine_test_concurrent_SOURCES = tests/unit/engine/test-concurrent.c tests/common/util.h
tests_unit_engine_test_concurrent_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_engine_test_concurrent_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/backends/test-mprotect
tests_unit_backends_test_mprotect_SOURCES = tests/unit/backends/test-mprotect.c tests/common/util.h
tests_unit_backends_test_mprotect_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_backends_test_mprotect_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/backends/test-waits
tests_unit_backends_test_waits_SOURCES = tests/unit/backends/test-waits.c tests/common/deny-call.h tests/common/util.h
tests_unit_backends_test_waits_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_backends_test_waits_LDADD = $(UNIT_LDADD)
tests_unit_backends_test_waits_LDFLAGS = -Wl,--wrap=ioctl,--wrap=pwrite64,--wrap=ww_heap_alloc

# Facts of the kernel that the engine stands on, bare and through the library.
UNIT_TESTS += tests/system/facts/test-kernel
tests_system_facts_test_kernel_SOURCES = tests/system/facts/test-kernel.c $(ON_EACH_BACKEND) tests/system/facts/kernel.h \
	tests/system/facts/kernel-bare.c tests/system/facts/kernel-fork.c tests/system/facts/kernel-ksm.c \
	tests/system/facts/kernel-marker.c tests/system/facts/kernel-odd.c tests/system/facts/kernel-pages.c tests/system/facts/kernel-pinned.c \
	tests/system/facts/kernel-replace.c tests/system/facts/kernel-sandbox.c tests/system/facts/kernel-scan.c \
	tests/system/facts/kernel-stress.c tests/system/facts/kernel-writes.c
tests_system_facts_test_kernel_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_system_facts_test_kernel_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/backends/test-softdirty
tests_unit_backends_test_softdirty_SOURCES = tests/unit/backends/test-softdirty.c tests/common/util.h
tests_unit_backends_test_softdirty_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_backends_test_softdirty_LDADD = $(UNIT_LDADD)
tests_unit_backends_test_softdirty_LDFLAGS = -Wl,--wrap=write

UNIT_TESTS += tests/unit/backends/test-uffd-sync
tests_unit_backends_test_uffd_sync_SOURCES = tests/unit/backends/test-uffd-sync.c tests/unit/backends/uffd-sync.h tests/common/util.h \
	tests/unit/backends/uffd-sync-held.c tests/unit/backends/uffd-sync-memory.c tests/unit/backends/uffd-sync-world.c
tests_unit_backends_test_uffd_sync_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_backends_test_uffd_sync_LDADD = $(UNIT_LDADD)

# The benchmark's arithmetic, and that it finds out peers that lie.
UNIT_TESTS += tests/unit/programs/test-bench-core
tests_unit_programs_test_bench_core_SOURCES = tests/unit/programs/test-bench-core.c tests/common/util.h tests/bench/bounds.c \
	tests/bench/command.c tests/bench/peers.h tests/bench/report.c
tests_unit_programs_test_bench_core_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/tests/bench
tests_unit_programs_test_bench_core_LDADD = libbench.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/ntdll/test-nt
tests_unit_ntdll_test_nt_SOURCES = tests/unit/ntdll/test-nt.c tests/common/util.h dlls/ntdll/near.c dlls/ntdll/near.h
tests_unit_ntdll_test_nt_CPPFLAGS = $(UNIT_CPPFLAGS) -I$(top_srcdir)/dlls/ntdll $(WINE_CPPFLAGS)
tests_unit_ntdll_test_nt_LDADD = libnt.la $(UNIT_LDADD)

UNIT_TESTS += tests/unit/kernel32/test-win32
tests_unit_kernel32_test_win32_SOURCES = tests/unit/kernel32/test-win32.c tests/common/util.h tests/unit/kernel32/win32.h \
	tests/unit/kernel32/win32-memory.c tests/unit/kernel32/win32-objects.c tests/unit/kernel32/win32-watches.c tests/unit/kernel32/win32-world.c
tests_unit_kernel32_test_win32_CPPFLAGS = $(UNIT_CPPFLAGS) $(WINE_CPPFLAGS)
tests_unit_kernel32_test_win32_LDADD = libkernel32.la libnt.la $(UNIT_LDADD) $(FFI_LIBS)
tests_unit_kernel32_test_win32_LDFLAGS = -Wl,--wrap=calloc,--wrap=ww_heap_alloc,--wrap=mprotect,--wrap=ww_watch
endif

if HAVE_SECCOMP
check_PROGRAMS += tests/common/deny
tests_common_deny_CPPFLAGS = $(AM_CPPFLAGS) $(SECCOMP_CFLAGS)
tests_common_deny_LDADD = $(SECCOMP_LIBS)
endif

check_PROGRAMS += tests/unit/programs/known-pages

# Programs that play Wine's loader, and the ntdll.so it finds.
check_PROGRAMS += tests/system/preload/attach-host-system tests/system/preload/attach-host-windows tests/system/preload/runpath-host
tests_system_preload_attach_host_system_SOURCES = tests/system/preload/attach-host.c tests/system/preload/fake-ntdll.h
tests_system_preload_attach_host_windows_SOURCES = tests/system/preload/attach-host.c tests/system/preload/fake-ntdll.h
tests_system_preload_attach_host_windows_CPPFLAGS = $(AM_CPPFLAGS) -DFAKE_WINDOWS
tests_system_preload_runpath_host_LDFLAGS = -Wl,--enable-new-dtags,-rpath,'$$ORIGIN'

FAKES = system windows twice noslot notwine oddcall
FAKE_FLAGS_system =
FAKE_FLAGS_windows = -DFAKE_WINDOWS
FAKE_FLAGS_twice = -DFAKE_TWICE
FAKE_FLAGS_noslot = -DFAKE_NO_SLOT
FAKE_FLAGS_notwine = -DFAKE_NOT_WINE
FAKE_FLAGS_oddcall = -DFAKE_ODD_CALL
FAKE_NTDLLS = $(FAKES:%=tests/system/preload/fake-%/ntdll.so)
EXTRA_DIST += tests/system/preload/fake-ntdll.c tests/system/preload/foreign.c

$(FAKE_NTDLLS): tests/system/preload/fake-%/ntdll.so: $(srcdir)/tests/system/preload/fake-ntdll.c $(srcdir)/tests/system/preload/fake-ntdll.h
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(CFLAGS) -fPIC -shared -Wl,-Bsymbolic,-z,relro \
		$(FAKE_FLAGS_$*) -o $@ $(srcdir)/tests/system/preload/fake-ntdll.c

tests/system/preload/foreign.so: $(srcdir)/tests/system/preload/foreign.c
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(CFLAGS) -fPIC -shared -o $@ $(srcdir)/tests/system/preload/foreign.c

# Other preloads, which stand in for functions of the dynamic linker.
OVERLAYS = $(patsubst %,tests/system/preload/overlay-%.so,dlsym opener dlopen both dlvsym)
OVERLAY_FLAGS_dlsym = -DOVERLAY_DLSYM
OVERLAY_FLAGS_opener = -DOVERLAY_OPENER
OVERLAY_FLAGS_dlopen = -DOVERLAY_DLOPEN
OVERLAY_FLAGS_both = -DOVERLAY_BOTH
OVERLAY_FLAGS_dlvsym = -DOVERLAY_DLVSYM
EXTRA_DIST += tests/system/preload/overlay.c

$(OVERLAYS): tests/system/preload/overlay-%.so: $(srcdir)/tests/system/preload/overlay.c
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(CFLAGS) -D_GNU_SOURCE -fPIC -shared $(OVERLAY_FLAGS_$*) -o $@ \
		$(srcdir)/tests/system/preload/overlay.c $(LIBS)

check_DATA = $(FAKE_NTDLLS) $(OVERLAYS) tests/system/preload/foreign.so

# A host that is not Wine, and what it must not fall over.
check_PROGRAMS += tests/system/loader/loader tests/system/loader/damage
tests_system_loader_loader_SOURCES = tests/system/loader/loader.c tests/system/loader/pe.c tests/system/loader/pe.h
tests_system_loader_loader_CPPFLAGS = $(AM_CPPFLAGS) $(WINE_CPPFLAGS)
tests_system_loader_loader_LDADD = libwritewatch.la
tests_system_loader_damage_SOURCES = tests/system/loader/damage.c tests/system/loader/pe.c tests/system/loader/pe.h
tests_system_loader_damage_CPPFLAGS = $(AM_CPPFLAGS) $(WINE_CPPFLAGS)
EXTRA_DIST += tests/system/loader/guest.c tests/system/loader/other.c

# ---- Windows programs ----
CONFORMANCE_FILES = \
	tests/pe/conformance/conformance.c \
	tests/pe/conformance/conformance_args.c \
	tests/pe/conformance/conformance_arrays.c \
	tests/pe/conformance/conformance_async.c \
	tests/pe/conformance/conformance_discard.c \
	tests/pe/conformance/conformance_handles.c \
	tests/pe/conformance/conformance_io.c \
	tests/pe/conformance/conformance_levels.c \
	tests/pe/conformance/conformance_marks.c \
	tests/pe/conformance/conformance_parts.c \
	tests/pe/conformance/conformance_peer.c \
	tests/pe/conformance/conformance_run.c \
	tests/pe/conformance/conformance_state.c \
	tests/pe/conformance/conformance_stop.c \
	tests/pe/conformance/conformance_util.c
EXTRA_DIST += $(CONFORMANCE_FILES) tests/pe/conformance/conformance.h tests/pe/wwtest.h tests/pe/bench.c tests/pe/bench_windows.c tests/pe/bench_windows.h tests/pe/differential.c programs/doctor/selftest.c
PE_CFLAGS = -std=gnu11 -Wall -Wextra -O2 -I$(srcdir)/tests/pe
PE_NAMES = conformance.exe differential.exe bench.exe watch.exe
PE_BUILD = $(AM_V_CC)$(MKDIR_P) $(@D) && $(PE_CC) $(PE_CFLAGS) -o $@ $(filter %.c,$^) $(PE_LIBS)

PE64 = $(PE_NAMES:%=tests/pe/%)
PE32 = $(PE_NAMES:%=tests/pe/i686/%)
$(PE64): PE_CC = $(MINGW64)
$(PE32): PE_CC = $(MINGW32)
tests/pe/conformance.exe tests/pe/i686/conformance.exe: PE_LIBS = -lntdll -lws2_32
tests/pe/conformance.exe tests/pe/i686/conformance.exe: $(CONFORMANCE_FILES) tests/pe/conformance/conformance.h tests/pe/wwtest.h
	$(PE_BUILD)
tests/pe/differential.exe tests/pe/i686/differential.exe: tests/pe/differential.c
	$(PE_BUILD)
PE_BENCH = tests/pe/bench.c tests/pe/bench_windows.c programs/bench/workloads.c programs/bench/dense.c \
	programs/bench/sparse.c programs/bench/threads.c programs/bench/mixes.c
tests/pe/bench.exe tests/pe/i686/bench.exe: PE_LIBS = -static -lpthread
tests/pe/bench.exe tests/pe/i686/bench.exe: PE_CFLAGS += -D__USE_MINGW_ANSI_STDIO=1 -Wno-format -I$(top_srcdir)/include
tests/pe/bench.exe tests/pe/i686/bench.exe: $(PE_BENCH) tests/pe/bench_windows.h programs/bench/bench.h
	$(PE_BUILD)
tests/pe/watch.exe tests/pe/i686/watch.exe: programs/doctor/selftest.c
	$(PE_BUILD)

# What `writewatch doctor` runs: the same program, installed.
SELFTEST64 = programs/selftest.exe
SELFTEST32 = programs/selftest32.exe
$(SELFTEST64): PE_CC = $(MINGW64)
$(SELFTEST32): PE_CC = $(MINGW32)
$(SELFTEST64) $(SELFTEST32): programs/doctor/selftest.c
	$(PE_BUILD)
	$(AM_V_at)$(PE_CC:gcc=strip) $@

# The test loader's programs: no C runtime.
LOADED = tests/system/loader/guest.exe tests/system/loader/other.exe
tests/system/loader/guest.exe: tests/system/loader/guest.c
tests/system/loader/other.exe: tests/system/loader/other.c
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

CLEANFILES = $(SELFTEST64) $(SELFTEST32) $(LOADED) tests/system/loader/loader.out tests/system/loader/bad.exe $(PE64) $(PE32) $(FAKE_NTDLLS) tests/system/preload/foreign.so tests/system/wine/fallback.err tests/system/preload/attach.out $(OVERLAYS) tests/system/preload/overlays.out tests/system/preload/overlays.err
CLEANFILES += units.list
clean-local:
	rm -rf i386 tests/unit/programs/word-sizes debug tsan tsan.log asan asan.log analyze analyze.log valgrind tests/system/wine/prefix tests/system/wine/prefix.lock examples/.libs tests/stress/fuzz/.libs
	rm -rf tests/system/winetest/*.exe tests/system/winetest/*.c tests/system/winetest/*.checks tests/system/winetest/*.log \
		tests/system/winetest/results tests/system/winetest/include-* matrix kernels fuzz

# ---- measurements: never part of `make check` ----
EXTRA_PROGRAMS = tests/bench/native
tests_bench_native_SOURCES = tests/bench/native.c tests/bench/peers.h tests/bench/bounds.c tests/bench/command.c tests/bench/marker.c \
	tests/bench/report.c
tests_bench_native_LDADD = libbench.la libengine.la
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
EXTRA_DIST += tests/system/winetest/winetest.sh tests/system/winetest/slice.awk tests/system/winetest/compare.awk \
	tests/system/winetest/mingw.h tests/system/winetest/allowed

winetest: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/system/winetest/winetest.sh || test $$? -eq 77

# ---- every Wine, each in a Debian of its own; needs root, a network and about half an hour ----
EXTRA_DIST += tests/system/debian/debian.sh tests/system/debian/root.sh tests/system/wine/matrix.sh tests/system/wine/matrix-one.sh

check-wine: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/system/winetest/winetest.sh build
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/system/wine/matrix.sh >CONFORMANCE.md.new
	mv CONFORMANCE.md.new $(srcdir)/docs/evidence/CONFORMANCE.md

# ---- Debian's kernels, each in a virtual machine; needs qemu and a network, about 25 minutes ----
# What runs there: in every configuration that tracks as usual; besides in the plain one; where a backend's way is
# barred; and in `moving`, where no answer is exact. A new test is one word here.
KERNEL_TESTS = tests/unit/contract/test-contract tests/unit/fill/test-fill tests/system/facts/test-kernel tests/unit/backends/test-softdirty \
	tests/unit/pagemap/test-pagemap tests/unit/engine/test-concurrent
KERNEL_TESTS_ONCE = tests/unit/backends/test-uffd-sync tests/unit/engine/test-lockless tests/unit/engine/test-page-set tests/unit/engine/test-region tests/unit/kernel/test-maps tests/unit/backends/test-mprotect tests/unit/backends/test-waits \
	tests/unit/ntdll/test-nt tests/unit/kernel32/test-win32 tests/unit/kernel/test-heap tests/unit/engine/test-malloc tests/unit/engine/test-watch tests/unit/kernel/test-lock tests/system/environment/test-environment \
	tests/stress/faults/test-faults
KERNEL_TESTS_BARRED = tests/unit/contract/test-contract tests/unit/pagemap/test-pagemap
KERNEL_TESTS_MOVING = tests/unit/engine/test-concurrent tests/system/kernels/test-moving
EXTRA_DIST += tests/system/kernels/build.sh tests/system/kernels/fetch.sh tests/system/kernels/init tests/system/kernels/initramfs.sh \
	tests/system/kernels/matrix.sh tests/system/kernels/run.sh tests/system/kernels/table.awk
EXTRA_PROGRAMS += tests/system/kernels/merge tests/system/kernels/test-moving
tests_system_kernels_test_moving_SOURCES = tests/system/kernels/test-moving.c tests/common/util.h
tests_system_kernels_test_moving_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_system_kernels_test_moving_LDADD = $(UNIT_LDADD)
CLEANFILES += tests/system/kernels/merge tests/system/kernels/test-moving kernel-programs.list

check-kernels: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/tests/system/kernels/matrix.sh $(srcdir)/docs/evidence/KERNELS.md || test $$? -eq 77

# For tests/system/kernels/build.sh, in a build folder of its own. What is run only when it is asked for by name is there as well.
kernel-programs: $(KERNEL_TESTS) $(KERNEL_TESTS_ONCE) $(KERNEL_TESTS_BARRED) $(KERNEL_TESTS_MOVING) tests/common/deny tests/system/kernels/merge writewatch \
		tests/bench/native
	@{ printf 'always %s\n' $(KERNEL_TESTS); printf 'once %s\n' $(KERNEL_TESTS_ONCE); \
		printf 'barred %s\n' $(KERNEL_TESTS_BARRED); printf 'moving %s\n' $(KERNEL_TESTS_MOVING); \
		echo 'asked tests/bench/native'; } >kernel-programs.list

# The units alone, and their names for tests/system/i386/test-i386.sh: nothing else of the project is needed for them.
units: $(UNIT_TESTS)
	@echo $(UNIT_TESTS) >units.list

# ---- the units in a build that asserts the order of locks ----
check-debug:
	@$(MKDIR_P) debug
	cd debug && $(abs_srcdir)/configure -q --enable-debug && $(MAKE) $(AM_MAKEFLAGS) check TESTS='$(UNIT_TESTS)'

.PHONY: units check-debug benchmarks bench-check winetest check-wine check-kernels kernel-programs
